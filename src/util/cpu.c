/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/cpu.h"

#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORD_BITS (8 * sizeof(unsigned long))

/* The system calls themselves: glibc's cpu_set_t has room for 1024. */

void cpu_stay_init(struct cpu_stay *stay) {
        long size = syscall(SYS_sched_getaffinity, 0, sizeof(stay->allowed), stay->allowed);

        stay->size = size > 0 ? (size_t)size : 0;
        stay->cpu = CPU_ANY;
}

unsigned int cpu_count(const struct cpu_stay *stay) {
        unsigned int count = 0;

        for (size_t i = 0; i < stay->size / sizeof(stay->allowed[0]); i++)
                count += (unsigned int)__builtin_popcountl(stay->allowed[i]);
        return count;
}

int cpu_stay_here(struct cpu_stay *stay) {
        if (stay->cpu == CPU_ANY && stay->size > 0)
                cpu_stay_on(stay, sched_getcpu());
        return stay->cpu;
}

void cpu_stay_on(struct cpu_stay *stay, int cpu) {
        unsigned long only[CPU_WORDS] = { 0 };

        if (cpu < 0 || cpu >= (int)CPU_MAX)
                cpu = CPU_ANY;
        else
                only[(size_t)cpu / WORD_BITS] = 1UL << ((size_t)cpu % WORD_BITS);
        if (stay->cpu == cpu || stay->size == 0)
                return;
        if (syscall(SYS_sched_setaffinity, 0, stay->size, cpu != CPU_ANY ? only : stay->allowed) == 0)
                stay->cpu = cpu;
        else if (cpu != CPU_ANY)
                cpu_stay_on(stay, CPU_ANY); /* it is going off line, or this is forbidden */
}
