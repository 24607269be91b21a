/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a tree pays that loads nothing: each of its other system calls, and the memory of what waits for its loads. */

#include "memory.h"

enum overhead_kind {
        OVERHEAD_BARE,
        OVERHEAD_ALLOW, /* under a filter that is one instruction and allows all: no filter costs less */
        OVERHEAD_MODGATE,
        OVERHEAD_KINDS,
};

struct overhead {
        double call_ns;       /* of one getppid(2), in the fastest of 100 pieces of the loop */
        struct memory memory; /* of modgate, where there is one */
};

/*
 * Makes so many calls, at least 100, in a tree. Needs CAP_SYS_ADMIN. Returns 0 or negative errno and `*ret_what`, as
 * setting_run() does, and memory_of_modgate().
 */
int overhead_measure(enum overhead_kind kind, unsigned int calls, struct overhead *ret, const char **ret_what);
