/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A kernel's module interface that is made of files and shared memory, for machines whose kernel has no modules, and
 * for loads that take and result in what one wants. Whatever is measured with it says so.
 *
 * It does what Linux 6.1 does: a module is loaded once; who asks for it meanwhile waits, and gets EEXIST if it went
 * live, else EBUSY; who asks for a live one gets EEXIST.
 */

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "kernel_interface.h"
#include "modgate/module.h"
#include "scratch.h"

#define SCRIPTED_DIRECTORY_MAX (SCRATCH_PATH_MAX + 64)

/* Its script, which may be changed at any time, and what it counts. */
struct scripted_module {
        char name[MODULE_NAME_SIZE]; /* as the kernel has it */
        int error;                   /* what its loads result in: 0 or an errno */
        uint64_t duration_ns;        /* how long each load takes */

        atomic_uint state;
        _Atomic uint64_t calls; /* for it that reached the kernel */
        _Atomic uint64_t loads; /* of these: went on to its init */
};

/* In memory that is shared with all processes forked later. There is one at a time. */
struct scripted_kernel {
        struct kernel_interface interface; /* what modgate is given, and bare callers call */
        struct scratch scratch;
        char modules_directory[SCRIPTED_DIRECTORY_MAX];
        char sysfs[SCRIPTED_DIRECTORY_MAX];
        char modules_disabled[SCRIPTED_DIRECTORY_MAX];
        char uevent_seqnum[SCRIPTED_DIRECTORY_MAX];
        struct sockaddr_un uevents; /* of who receives them */
        socklen_t uevents_length;   /* 0: nobody does */
        size_t size;                /* of all this in memory */

        uint64_t image_size; /* bytes of each module's file */
        atomic_uint hold;    /* see scripted_kernel_hold() */
        pid_t owner;         /* 0, or a process at whose end all loads end too, however long they should take */

        size_t module_count;
        struct scripted_module modules[];
};

/*
 * Makes one with modules of these names (at most MODULE_NAME_SIZE - 1 bytes, `-` as `_`, all different), which load at
 * once and without an error; NULL: storm_00000, storm_00001, … Each file has `image_size` bytes, or what the smallest
 * image needs. Runs depmod. Returns 0 or negative errno: -ENOENT (there is no depmod).
 */
int scripted_kernel_create(const char *const *names, size_t count, uint64_t image_size, struct scripted_kernel **ret);

/* Removes its files and frees it; NULL is none. */
void scripted_kernel_destroy(struct scripted_kernel *kernel);

/* All modules are gone, all counts 0, and nobody receives uevents. Only while nobody uses it. */
void scripted_kernel_reset(struct scripted_kernel *kernel);

/* The module's file, in the index of its module directory. */
void scripted_kernel_path(const struct scripted_kernel *kernel, size_t module, char path[static PATH_MAX]);

/* delete_module(2). Returns 0 or negative errno: -ENOENT (it is not live). */
int scripted_kernel_remove(struct scripted_kernel *kernel, size_t module);

/* From now on no load ends before the release. */
void scripted_kernel_hold(struct scripted_kernel *kernel);
void scripted_kernel_release(struct scripted_kernel *kernel);
