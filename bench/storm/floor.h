/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The physical limit of this machine: a listener that receives and answers, and does nothing else. No supervisor can be
 * faster than that.
 */

#include <stdbool.h>
#include <stdint.h>

#include "sample.h"

struct floor_case {
        bool sync_wake_up; /* SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6 */
        unsigned int
                callers; /* 1: its calls are answered one after the other; more: all are received, then all answered */
        unsigned int calls; /* of each */
};

struct floor_result {
        struct sample latency_ns; /* of the calls, as their callers see it */
        uint64_t wall_ns;         /* until the last one has its answer */
};

/*
 * Runs one case in processes of its own, under a filter of their own, and ends them. Needs CAP_SYS_ADMIN. Returns 0 or
 * negative errno, as setting_run() does.
 */
int floor_run(const struct floor_case *which, struct floor_result *ret, const char **ret_what);
