/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Whether a module is live: /sys/module/NAME/initstate, kept open per module.
 *
 * kernel/module/sysfs.c: the file says coming, live or going; an open one gives ENODEV once its module was removed,
 * also after it was loaded again. A built-in module has none.
 */

enum module_state {
        MODULE_ABSENT, /* no such module, or a built-in one, or it cannot be told: then the kernel is asked */
        MODULE_LIVE,
        MODULE_PASSING, /* coming or going */
};

struct module_sysfs {
        const char *directory; /* not owned */
        void *modules;         /* tsearch(3) tree of open files, by name */
};

/* Opens nothing yet. `directory`, not owned, has to outlive it. */
void module_sysfs_init(struct module_sysfs *sysfs, const char *directory);

/* Closes all files. */
void module_sysfs_deinit(struct module_sysfs *sysfs);

/* Reads the state anew each time. `name` as the kernel has it. */
enum module_state module_sysfs_state(struct module_sysfs *sysfs, const char *name);
