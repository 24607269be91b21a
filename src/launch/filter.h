/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The filter that turns finit_module and init_module into notifications and allows all else. It looks at nothing but
 * the number and the architecture of a call, so that every other call stays in the kernel's action cache.
 */

#include <linux/filter.h>

/*
 * Builds the program for every architecture whose calls this machine may execute (x86-64: also i386 and x32). An
 * architecture that is not known is allowed. `*ret` is the caller's to free(). Asks nothing of the kernel's seccomp.
 * Returns 0 or negative errno.
 */
int filter_build(struct sock_filter **ret, unsigned short *ret_count);

/*
 * Installs the program on this process, for good, with seccomp(2): with WAIT_KILLABLE_RECV where the kernel knows it
 * (5.19). Needs CAP_SYS_ADMIN, and leaves no_new_privs alone. `*ret_listener`: CLOEXEC (the kernel makes it so), owned
 * by the caller. Returns 0 or negative errno: -EBUSY (a filter of this process has a listener already), -EACCES (no
 * CAP_SYS_ADMIN), -EPERM or -ENOSYS (another filter forbids seccomp(2)).
 */
int filter_install(const struct sock_filter *program, unsigned short count, int *ret_listener);
