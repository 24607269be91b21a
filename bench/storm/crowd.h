/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Processes that make calls, let go at the same moment: all of them, or one wave after the other. What they measure
 * stands in memory that is shared with whoever set the crowd up.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct crowd {
        unsigned int size;  /* processes */
        unsigned int calls; /* of each */
        unsigned int wave;  /* how many are let go at once; the last wave may be smaller */
        pid_t *processes;
        struct crowd_shared *shared;
        size_t shared_size;
};

/* The result of a call that was not made, or has not returned. */
#define CROWD_NO_RESULT (-1)

/* Makes one call. Returns 0 or a positive errno. `caller` and `call` count from 0. */
typedef int (*crowd_call)(unsigned int caller, unsigned int call, void *context);

/* Sets the memory up. Nobody is there yet. Returns 0 or negative errno; after an error there is nothing to free. */
int crowd_init(struct crowd *crowd, unsigned int size, unsigned int calls, unsigned int wave);

/*
 * Forks the processes, which wait. They end when the process that called this one does. Returns 0 or negative errno;
 * after an error none is left.
 */
int crowd_start(struct crowd *crowd, crowd_call call, void *context);

/* How many waves there are. */
unsigned int crowd_waves(const struct crowd *crowd);

/*
 * Lets a wave go, counted from 0, and waits until its processes have ended. Returns 0, or -ECANCELED if one ended in
 * another way than by having made its calls.
 */
int crowd_run_wave(struct crowd *crowd, unsigned int wave);

/* Ends what still runs. For the process that called crowd_start(). */
void crowd_stop(struct crowd *crowd);

/* Nanoseconds from letting go to the return of the last call: the sum of all waves. */
uint64_t crowd_wall_ns(const struct crowd *crowd);

/* How many calls there are in all. */
size_t crowd_total(const struct crowd *crowd);

/* Of all calls, in the order of callers: `size` * `calls` of each. */
uint64_t *crowd_latencies_ns(const struct crowd *crowd);
const int *crowd_results(const struct crowd *crowd);

/* Frees the memory. */
void crowd_deinit(struct crowd *crowd);

/* CLOCK_MONOTONIC */
uint64_t crowd_now_ns(void);
