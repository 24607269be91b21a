/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How much memory something takes at most: a process beside it looks every millisecond. Spikes that are shorter are
 * missed, so a peak is a lower bound.
 */

#include <stdint.h>
#include <sys/types.h>

struct memory_peak {
        pid_t sampler;
        struct memory_peak_shared *shared;
};

/* Forks the process that looks; it ends with this one. Returns 0 or negative errno. */
int memory_peak_start(struct memory_peak *peak);

/* Between them it looks. They may be called in any process that was forked since. */
void memory_peak_begin(struct memory_peak *peak);
void memory_peak_end(struct memory_peak *peak);

/* How far VmallocUsed rose above what it was at the beginning, and MemAvailable fell below. Bytes. */
uint64_t memory_peak_vmalloc(const struct memory_peak *peak);
uint64_t memory_peak_available(const struct memory_peak *peak);

/* Ends the process; safe on one that was not started. */
void memory_peak_stop(struct memory_peak *peak);
