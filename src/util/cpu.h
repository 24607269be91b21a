/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Staying on a CPU. Two processes that wait for each other in turn are fastest on one: to wake an idle CPU takes far
 * longer than what they have to tell each other. Who stays cannot get out of the way of others, so it is for short.
 */

#include <stddef.h>

#define CPU_ANY (-1)

/* What Linux can be built for, on any architecture (NR_CPUS). */
#define CPU_MAX 8192U
#define CPU_WORDS (CPU_MAX / (8 * sizeof(unsigned long)))

struct cpu_stay {
        unsigned long allowed[CPU_WORDS]; /* the CPUs of this process otherwise */
        size_t size;                      /* bytes of it; 0: it cannot be told, and the process stays nowhere */
        int cpu;                          /* where it stays, or CPU_ANY */
};

/* Of the calling process; changes nothing yet. */
void cpu_stay_init(struct cpu_stay *stay);

/* How many CPUs it may run on; 0: it cannot be told. */
unsigned int cpu_count(const struct cpu_stay *stay);

/* Stays where it runs now, unless it stays somewhere already. Returns that CPU, or CPU_ANY if it cannot stay. */
int cpu_stay_here(struct cpu_stay *stay);

/* Moves to that CPU and stays there; CPU_ANY, or one that does not exist: it may run on any of its CPUs again. */
void cpu_stay_on(struct cpu_stay *stay, int cpu);
