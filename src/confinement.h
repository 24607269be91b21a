/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a process of ours may still ask of the kernel once it does its work: a seccomp filter for each role, which
 * allows what is listed, and refuses all else with EPERM. A process that was taken over could try it; one that is well
 * never does. In builds with a sanitizer there are no filters, since the sanitizer's own calls are nobody's to list.
 *
 * The programs are made once, by the keeper: a process that is forked in a storm only has to hand one to the kernel.
 */

#include <linux/filter.h>

#include "kernel_interface.h"

enum confinement_role {
        CONFINED_SUPERVISOR,
        CONFINED_LOADER,
        CONFINED_INSPECTOR,
        CONFINED_DECIDER,
        CONFINED_ROLES,
};

struct confinement {
        struct sock_filter *program[CONFINED_ROLES]; /* for as long as the process lives */
        unsigned short count[CONFINED_ROLES];        /* instructions */
};

/* Makes the programs. Returns 0 or negative errno. */
int confinement_init(struct confinement *confinement, const struct kernel_interface *kernel);

/*
 * Puts the filter of that role on the calling process, which must have no_new_privs set; for good. An inspector also
 * loses the file system (Landlock, where the kernel has it and lets us: without it the filter still keeps it from
 * opening anything). Returns 0 or negative errno.
 */
int confinement_enter(const struct confinement *confinement, enum confinement_role role);
