/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between the files of the kit. */

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "scripted.h"

/* In the runner: everything a test needs but its processes. */
struct scripted *scripted_new(void);
void scripted_free(struct scripted *kit);

/* futex(2): FUTEX_WAIT as long as the word has `value`, or FUTEX_WAKE of `value` waiters. */
void scripted_futex(atomic_uint *word, int operation, unsigned int value);

/* What /proc says of a process or thread. */
struct scripted_status {
        pid_t pid;
        pid_t parent;
        char state; /* R, S, D, T, Z … */
        char name[16];
};

/* False: there is no such process. */
bool scripted_status(pid_t pid, struct scripted_status *status);

/* Calls `visit` for every process of the machine until it returns true; returns whether it did. */
bool scripted_each_process(bool (*visit)(const struct scripted_status *status, void *context), void *context);

/* Whether it is one of modgate's processes of this case. */
bool scripted_is_ours(const struct scripted *kit, const struct scripted_status *status);

/* Is there a trace? */
bool scripted_is_traced(const struct scripted_test *test);

/* In the case: the process that starts the daemon, with a daemon if there is to be one. And its end, with the daemon's.
 */
void scripted_start_spawner(struct scripted *kit, const struct scripted_test *test);
void scripted_end_spawner(struct scripted *kit);

/*
 * The loader's side. A load of the module of that name, from what has that label: recorded, and done as the module's
 * script says. Returns 0 or negative errno.
 */
int scripted_load(const char *name, const char *label, const char *params, int flags);

/* init_module, in place of the kernel's. */
int scripted_init_module(const void *start, unsigned long length, const char *params);
