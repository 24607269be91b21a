/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel_interface.h"

#include <errno.h>
#include <libkmod.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/* An init may return what is no errno at all, beyond -4095: it comes through as it is, and errno is not set. */
static int result(long r) {
        return r == -1 ? -errno : (int)r;
}

static int native_finit_module(int fd, const char *params, int flags) {
        return result(syscall(SYS_finit_module, fd, params, flags));
}

static int native_init_module(const void *image, unsigned long length, const char *params) {
        return result(syscall(SYS_init_module, image, length, params));
}

static int native_insert_module(struct kmod_module *module, const char *params) {
        return kmod_module_insert_module(module, 0, params);
}

static const int native_calls[] = { SCMP_SYS(finit_module), SCMP_SYS(init_module), -1 };

const struct kernel_interface kernel_interface_native = {
        .module_sysfs = "/sys/module",
        .modules_directory = NULL,
        .modules_disabled = "/proc/sys/kernel/modules_disabled",
        .uevent_seqnum = "/sys/kernel/uevent_seqnum",
        .open_uevents = uevent_open,
        .receive_uevent = uevent_receive,
        .finit_module = native_finit_module,
        .init_module = native_init_module,
        .insert_module = native_insert_module,
        .load_calls = native_calls,
};
