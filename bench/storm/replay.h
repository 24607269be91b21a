/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A recorded storm, made once more: each recorded thread is a process, which makes its calls when they were made. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "recording.h"
#include "results.h"
#include "sample.h"
#include "scripted_kernel.h"
#include "setting.h"
#include "spread.h"
#include "targets.h"

struct replay_plan {
        const struct recording *recording;
        /* two for each of its modules: for finit_module, and for init_module; without a path: there is none */
        struct target *targets;
        struct scripted_kernel *scripted; /* NULL: the real one */
        double speed;                     /* times as fast as recorded; 0: no call waits for its time */
        unsigned int failure_ttl_s;
};

/* What one setting came to in one round. */
struct replay_result {
        struct sample latency_ns;
        struct sample lag_ns; /* how long after its time each call was made; all 0 at speed 0 */
        uint64_t wall_ns;     /* from the first call's time until the last call is answered */
        struct results results;
        uint64_t calls;        /* that were made */
        uint64_t as_recorded;  /* of these: with the recorded result */
        uint64_t otherwise;    /* with another one; of the rest, none is recorded */
        uint64_t kernel_calls; /* that reached the kernel */
};

/* The target of a call. */
struct target *replay_target(const struct replay_plan *plan, const struct recording_call *call);

/* Is there something to be called? */
bool replay_has(const struct target *target);

/*
 * Measures once. Returns 0, -EINTR (interrupt.h), or another negative errno when it has said what went wrong. What was
 * loaded is removed again in any case, but not what was live before.
 */
int replay_measure(const struct replay_plan *plan, enum setting_kind kind, struct replay_result *ret);

#define REPLAY_ROUNDS_MAX 1000U

enum replay_measure {
        REPLAY_LATENCY_MEDIAN,
        REPLAY_LATENCY_P90,
        REPLAY_LATENCY_P99,
        REPLAY_LATENCY_MAX,
        REPLAY_WALL,
        REPLAY_LAG_MEDIAN,
        REPLAY_LAG_P99,
        REPLAY_LAG_MAX,
        REPLAY_KERNEL_CALLS,
        REPLAY_AS_RECORDED,
        REPLAY_OTHERWISE,
        REPLAY_MEASURES,
};

/* All rounds. */
struct replay_series {
        const struct replay_plan *plan;
        const char *trace; /* the file's name, as it was given */
        uint64_t left_out; /* calls for modules that are not there */
        enum setting_kind settings[SETTINGS];
        size_t setting_count;
        unsigned int rounds_wanted, rounds;
        bool partial;                  /* it was interrupted */
        struct replay_result *results; /* `setting_count` of each round */
};

/* A measure of a setting over all rounds; and as a ratio to the first setting in the same round, where that is not 0.
 */
struct spread replay_spread(const struct replay_series *series, size_t setting, enum replay_measure measure);
struct spread replay_ratio(const struct replay_series *series, size_t setting, enum replay_measure measure);

/* All results of a setting. */
struct results replay_results(const struct replay_series *series, size_t setting);

/* To stdout: the table for people, and JSON as bench/README.md says. */
void replay_print_table(const struct replay_series *series);
void replay_print_json(const struct replay_series *series);
