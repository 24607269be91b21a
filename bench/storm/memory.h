/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The memory of the modgate that serves a tree: PSS, in which a page counts for each process by the share that it has
 * in it. Since this program starts modgate by forking, modgate shares pages with it that it would have for itself
 * otherwise; the shares that this program has in its pages are added, so that the total is rather too high.
 */

#include <sys/types.h>

enum {
        MEMORY_PROCESSES_MAX = 64,
        MEMORY_NAME_SIZE = 16,
};

struct memory_process {
        char name[MEMORY_NAME_SIZE]; /* modgate-keeper, … */
        pid_t pid;
        unsigned int pss_kib;
};

struct memory {
        struct memory_process processes[MEMORY_PROCESSES_MAX];
        unsigned int n_processes;
        unsigned int shared_kib; /* this program's shares in what it shares with anybody */
        unsigned int total_kib;  /* all of these */
};

/*
 * Of all modgate processes below `run`; `ours` are this program's processes. Returns 0 or negative errno: -ESRCH (there
 * is no modgate), -EAGAIN (it is still starting), -EOPNOTSUPP (the kernel gives no PSS), -E2BIG.
 */
int memory_of_modgate(pid_t run, const pid_t *ours, size_t n_ours, struct memory *ret);
