/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Out of the control group that udevd empties.
 *
 * systemd ≥ 254 starts udevd in the sub-cgroup `udev` of its unit, and idle udevd kills everything else whose cgroup's
 * path ends in `/udev`. A sibling of that sub-cgroup is still the unit's: it ends with the unit.
 */

#include <stdbool.h>

enum cgroup_hierarchy {
        CGROUP_UNIFIED,       /* version 2 */
        CGROUP_NAMED_SYSTEMD, /* the version 1 hierarchy that systemd keeps track of its units in */
        CGROUP_HIERARCHIES,
};

/*
 * The process's path within `hierarchy`, from the text of /proc/self/cgroup (see cgroups(7)). `*ret` is the caller's to
 * free(). Returns 0 or negative errno: -ENOENT (not in this hierarchy).
 */
int cgroup_parse_path(const char *text, enum cgroup_hierarchy hierarchy, char **ret);

/*
 * The directory of `path` within `hierarchy`, from the text of /proc/self/mountinfo (see proc(5)). `*ret` is the
 * caller's to free(). Returns 0 or negative errno: -ENOENT (mounted nowhere, or this part of it is not).
 */
int cgroup_parse_directory(const char *text, enum cgroup_hierarchy hierarchy, const char *path, char **ret);

/* Whether idle udevd kills what is at `path`: systemd's own condition. */
bool cgroup_path_is_udev(const char *path);

/*
 * Moves the calling process into the group `modgate` beside `udev` if it is in such a one, in every hierarchy where it
 * is; else does nothing. Returns 0 or negative errno.
 */
int cgroup_leave_udev(void);
