/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a service says to systemd, and gets from it: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3). */

#include <stdbool.h>
#include <stdint.h>

#define SERVICE_NAME_SIZE 64

/* Says it (READY=1, WATCHDOG=1, STOPPING=1) to the service manager, if there is one; waits for it 2 s at most. */
void service_tell(const char *state);

/*
 * The one socket that was handed over (CLOEXEC, owned by the caller), or -1: none, or not exactly one. The environment
 * does not speak of it afterwards.
 */
int service_take_socket(void);

/*
 * Calls `take` for each descriptor that was handed over (CLOEXEC, owned by who is called) with its name: that of
 * FileDescriptorName=, or of service_keep_fds(). The environment does not speak of them afterwards.
 */
void service_take_fds(void (*take)(int fd, const char *name, void *context), void *context);

/*
 * Has the service manager keep duplicates of `count` descriptors (SERVICE_KEPT_MAX at most) under a name, for whoever
 * is started after us (FDSTORE=1): `until_hangup`, unless they hang up, else until service_forget_fds() (FDPOLL=0).
 * Does not wait. Returns 0 or negative errno: -ENOTCONN, there is no service manager; -EAGAIN, it does not take it now.
 */
int service_keep_fds(const char *name, const int *fds, unsigned int count, bool until_hangup);

#define SERVICE_KEPT_MAX 2

/* It need not keep those of that name any longer. */
void service_forget_fds(const char *name);

/* How often, in nanoseconds, the service manager wants to hear WATCHDOG=1 from this process; 0: never. */
uint64_t service_watchdog_ns(void);
