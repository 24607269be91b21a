/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Processes that make calls, let go at the same moment. What they measure stands in memory that all of them share.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct crowd {
        unsigned int size;  /* processes */
        unsigned int calls; /* of each */
        pid_t *processes;
        struct crowd_shared *shared;
        size_t shared_size;
};

/* Makes one call. Returns 0 or a positive errno. `caller` and `call` count from 0. */
typedef int (*crowd_call)(unsigned int caller, unsigned int call, void *context);

/*
 * Forks the processes, which wait. They end when the process that called this one does. Returns 0 or negative errno;
 * after an error none is left.
 */
int crowd_start(struct crowd *crowd, unsigned int size, unsigned int calls, crowd_call call, void *context);

/* Lets them go. */
void crowd_go(struct crowd *crowd);

/* Waits until all have ended. Returns 0, or -ECANCELED if one ended in another way than by having made its calls. */
int crowd_wait(struct crowd *crowd);

/* Nanoseconds from crowd_go() to the return of the last call. */
uint64_t crowd_wall_ns(const struct crowd *crowd);

/* Of all calls, in the order of callers: `size` * `calls` of each. */
uint64_t *crowd_latencies_ns(const struct crowd *crowd);
const int *crowd_results(const struct crowd *crowd);

/* Ends what still runs, and frees all. */
void crowd_deinit(struct crowd *crowd);

/* CLOCK_MONOTONIC */
uint64_t crowd_now_ns(void);
