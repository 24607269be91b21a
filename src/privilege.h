/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Giving up privilege, each process as far as it can. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/capability.h>

/* Is this capability permitted to the calling process? */
bool privilege_has(cap_value_t capability);

/*
 * Keeps the `count` capabilities of `keep` permitted (and effective, if `effective`) and nothing else: none
 * inheritable, ambient or in the bounding set, which CAP_SETPCAP has to be permitted for (a set that is smaller already
 * is fine). Sets no_new_privs too. Returns 0 or negative errno.
 */
int privilege_keep(const cap_value_t *keep, size_t count, bool effective);
