/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which of the two trapped system calls a notification is about, on whatever architecture it was made. */

#include <linux/seccomp.h>
#include <stdint.h>

enum call {
        CALL_UNKNOWN,
        CALL_INIT_MODULE,
        CALL_FINIT_MODULE,
};

/* Asks libseccomp once per architecture and remembers the numbers. */
enum call call_of(const struct seccomp_data *data);

/*
 * Its argument `index`, as the system call sees it: for a 32-bit call only the lower half of a register counts, while
 * the notification has all of it.
 */
uint64_t call_argument(const struct seccomp_data *data, unsigned int index);
