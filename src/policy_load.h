/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reads policy files and makes a policy of them. May wait for a disk. */

#include "policy/policy.h"

#define POLICY_DIRECTORY "/etc/modgate/policy.d"

/*
 * As policy_parse(), of the files at `paths`. One that cannot be read is reported with line 0; then there is no policy,
 * since it might deny something.
 */
int policy_load(const char *const *paths, size_t count, policy_report report, void *context, struct policy **ret);

/*
 * The same of all `*.ini` in a directory that are not hidden, in the order of their names. A directory that is not
 * there is a policy without profiles, which allows nothing.
 */
int policy_load_directory(const char *directory, policy_report report, void *context, struct policy **ret);
