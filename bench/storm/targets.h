/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The modules that are asked for: their files, as callers hand them to the kernel. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel_interface.h"
#include "modgate/module.h"
#include "scripted_kernel.h"

struct target {
        char name[MODULE_NAME_SIZE]; /* as the kernel has it */
        char *path;
        uint64_t size; /* bytes of the file */
        int flags;     /* of finit_module */
        int fd;
        void *image;     /* NULL, or the file, for init_module */
        bool was_live;   /* before anything was measured: it stays */
        size_t scripted; /* its number in the scripted kernel */
};

/*
 * Fills a target from what a person named: a path with a `/`, or a module's name, whose file libkmod finds for the
 * running kernel. Returns 0; else it has said why, and returns -1.
 */
int target_find(struct target *target, const char *text);

/* Fills it with one of the scripted kernel's. Returns 0 or negative errno. */
int target_from_scripted(struct target *target, const struct scripted_kernel *kernel, size_t module);

/*
 * Opens the file, and maps it for init_module. Forked processes have both too. Returns 0; else it has said why, and
 * returns -1.
 */
int target_open(struct target *target, bool init);

/* Asks for it, by the system call or by a function in its place. Returns 0 or a positive errno. */
int target_call(const struct target *target, const struct kernel_interface *kernel, const char *params);

/* Removes the module from the real kernel, unless it is in use. Returns 0 or negative errno: -ENOENT (it is not live).
 */
int target_remove(const struct target *target);

/* Is it live? `sysfs`: see kernel_interface.h */
bool target_is_live(const struct target *target, const char *sysfs);

/* Frees what it has. */
void target_deinit(struct target *target);
