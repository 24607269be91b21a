/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a tree of processes is measured in: nothing, the least that can answer it, or modgate.
 *
 *   storm         asks for a tree in a setting, and waits
 *    └─ run       forked for it: starts what is below, ends what is left of it
 *        ├─ server or keeper …     who answers: floor_server.h, or modgate in full
 *        └─ tree                   puts the filter on itself and runs the body
 *            └─ …                  what the body starts
 *
 * The run is the reaper of all, so when it has ended, all has. It also ends when storm does, however that ends.
 */

#include <stdbool.h>
#include <stdint.h>

#include "kernel_interface.h"

enum setting_kind {
        SETTING_BARE,    /* no filter */
        SETTING_FLOOR,   /* every call is answered by a loop that does nothing */
        SETTING_MODGATE, /* in this process's own library: keeper, supervisor, loaders, inspectors */
        SETTINGS,
};

struct setting_config {
        enum setting_kind kind;

        /* floor */
        bool sync_wake_up;   /* SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, Linux 6.6 */
        unsigned int parked; /* so many calls are received, then answered, oldest first; 0: each at once */

        /* modgate */
        const struct kernel_interface *kernel; /* what its loaders call */
        uint64_t failure_ttl_ns;               /* how long failures are remembered; 0: not at all */
        const char *report;                    /* NULL: none; else the absolute path of a JSON file (docs/report.md) */
};

/* `bare`, `floor`, `modgate` */
const char *setting_name(enum setting_kind kind);

/* The other way round; `length` bytes are looked at. False: there is none of that name. */
bool setting_from_name(const char *name, size_t length, enum setting_kind *ret);

/*
 * Runs the body in a tree of its own, and waits until the tree, and all that was started for it, has ended; then the
 * report is there. The body returns 0 or negative errno. What it measures it leaves in memory that was mapped shared
 * before. Processes that it forked and left behind are killed.
 *
 * Returns 0 or negative errno, and in `*ret_what` a text that says what failed, NULL if it was the body: -EINTR
 * (interrupt.h), -EACCES (no CAP_SYS_ADMIN), -EBUSY (there is a listener already), -EOPNOTSUPP (the kernel has no
 * SYNC_WAKE_UP), -ECANCELED (the tree was killed).
 */
int setting_run(const struct setting_config *config, int (*body)(void *context), void *context, const char **ret_what);

/* What a person can do about such an error: text to be put behind the message; empty if nothing is known. */
const char *setting_advice(int error);
