/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a service says to systemd, and gets from it: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3). */

#include <stdint.h>

/* Says it (READY=1, WATCHDOG=1, STOPPING=1) to the service manager, if there is one; waits for it 2 s at most. */
void service_tell(const char *state);

/*
 * The one socket that was handed over (CLOEXEC, owned by the caller), or -1: none, or not exactly one. The environment
 * does not speak of it afterwards.
 */
int service_take_socket(void);

/* How often, in nanoseconds, the service manager wants to hear WATCHDOG=1 from this process; 0: never. */
uint64_t service_watchdog_ns(void);
