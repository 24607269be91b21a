/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Pure: the name of a container's profile, in what its configuration says to us. */

#include "policy/policy.h"

/* Of a name, with its NUL. */
#define OCI_PROFILE_SIZE (POLICY_NAME_MAX + 1)

/*
 * Takes the NAME out of `profile=NAME`, which may stand among other words (listenerMetadata, a cookie of liblxc).
 * Between words are blanks, tabs, ends of lines or semicolons. Returns 0, or without a name: -ENOENT (there is no such
 * word; `words` may be NULL), -EEXIST (more than one, even if both say the same), -EINVAL (it is no name). With the
 * last two the configuration wants to say something: the container has no profile then, not even the default one.
 */
int oci_profile_find(const char *words, char name[static OCI_PROFILE_SIZE]);
