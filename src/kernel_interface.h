/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * All of the kernel's module interface that modgate uses, as data: tests link the library with a table of their own,
 * since the kernel they run on may have no modules. The programs that are installed only ever use the native one.
 */

#include <stddef.h>

#include "uevent.h"

struct kmod_module;

struct kernel_interface {
        const char *module_sysfs;      /* directory with NAME/initstate */
        const char *modules_directory; /* with modules.dep.bin and the files it names; NULL: /lib/modules/`uname -r` */
        const char *modules_disabled;  /* sysctl file */
        const char *uevent_seqnum;     /* sysfs file */

        /* As uevent_open() and uevent_receive(). */
        int (*open_uevents)(void);
        int (*receive_uevent)(int socket, char *buffer, size_t size, struct uevent *ret);

        /* The system calls, called in a loader. They return 0 or negative errno. */
        int (*finit_module)(int fd, const char *params, int flags);
        int (*init_module)(const void *image, unsigned long length, const char *params);

        /* As kmod_module_insert_module(module, 0, params): a module of modules_directory. */
        int (*insert_module)(struct kmod_module *module, const char *params);

        /* The system calls that finit_module and init_module make, as SCMP_SYS() numbers them, ended by -1: see
         * confinement.h. */
        const int *load_calls;
};

extern const struct kernel_interface kernel_interface_native;
