/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * All of the kernel's module interface that modgate uses, as data: tests link the library with a table of their own,
 * since the kernel they run on may have no modules. The programs that are installed only ever use the native one.
 */

struct kernel_interface {
        const char *module_sysfs;      /* directory with NAME/initstate */
        const char *modules_directory; /* with modules.dep.bin and the files it names; NULL: /lib/modules/`uname -r` */
        const char *modules_disabled;  /* sysctl file */

        /* The system call, called in a loader. Returns 0 or negative errno. */
        int (*finit_module)(int fd, const char *params, int flags);
};

extern const struct kernel_interface kernel_interface_native;
