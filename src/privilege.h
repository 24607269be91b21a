/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Giving up privilege, each process as far as it can. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/capability.h>

/* Is this capability permitted to the calling process? */
bool privilege_has(cap_value_t capability);

/*
 * No core dumps of the calling process and its later forks, and nobody looks into their memory or traces them without
 * CAP_SYS_PTRACE: not even root's other processes that have given it up, such as an inspector that was taken over.
 */
void privilege_hide_memory(void);

/*
 * Keeps the `count` capabilities of `keep` permitted (and effective, if `effective`) and nothing else: none
 * inheritable, ambient or in the bounding set, which CAP_SETPCAP has to be permitted for (a set that is smaller already
 * is fine). Sets no_new_privs too. Returns 0 or negative errno.
 */
int privilege_keep(const cap_value_t *keep, size_t count, bool effective);
