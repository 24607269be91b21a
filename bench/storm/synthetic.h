/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A storm that is made up: who asks for which modules, and what is measured of it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "results.h"
#include "sample.h"
#include "scripted_kernel.h"
#include "setting.h"
#include "targets.h"

enum floor_wake {
        WAKE_AUTO, /* synchronous where the kernel has it and only one caller is there at a time */
        WAKE_PLAIN,
        WAKE_SYNC,
};

struct storm_plan {
        unsigned int callers;
        unsigned int calls;        /* of each caller, through the targets and again from the first */
        unsigned int wave;         /* how many callers at once */
        unsigned int bare_callers; /* in the setting bare; 0: as many as in the others */
        bool init;                 /* init_module */
        const char *params;
        bool remove; /* targets that are live are removed after each wave */
        bool warm;   /* each target is asked for once before anything is measured */
        bool hold;   /* no load ends before all calls have been received */
        unsigned int failure_ttl_s;
        enum floor_wake wake;

        struct target *targets;
        size_t target_count;
        struct target *live;              /* NULL, or what goes live after the first wave */
        struct scripted_kernel *scripted; /* NULL: the real one */
};

/* What one setting came to in one round. */
struct storm_result {
        struct sample latency_ns;
        uint64_t wall_ns; /* from letting a wave go until its last call is answered, all waves together */
        struct results results;
        uint64_t kernel_calls; /* that reached the kernel, for the targets */
        uint64_t kernel_bytes; /* sizes of the files and images that these handed to it */
        uint64_t inits;        /* scripted: of these calls, those that went on to the init */
        uint64_t vmalloc_peak; /* bytes above the beginning; both 0 if scripted */
        uint64_t memory_peak;  /* bytes of MemAvailable below the beginning */
};

/*
 * Measures once. Returns 0, -EINTR (interrupt.h), or another negative errno when it has said what went wrong. What was
 * loaded is removed again in any case, but not what was live before.
 */
int storm_measure(const struct storm_plan *plan, enum setting_kind kind, struct storm_result *ret);
