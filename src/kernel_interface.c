/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel_interface.h"

#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

static int native_finit_module(int fd, const char *params, int flags) {
        return syscall(SYS_finit_module, fd, params, flags) < 0 ? -errno : 0;
}

static int native_init_module(const void *image, unsigned long length, const char *params) {
        return syscall(SYS_init_module, image, length, params) < 0 ? -errno : 0;
}

const struct kernel_interface kernel_interface_native = {
        .module_sysfs = "/sys/module",
        .modules_directory = NULL,
        .modules_disabled = "/proc/sys/kernel/modules_disabled",
        .uevent_seqnum = "/sys/kernel/uevent_seqnum",
        .open_uevents = uevent_open,
        .receive_uevent = uevent_receive,
        .finit_module = native_finit_module,
        .init_module = native_init_module,
};
