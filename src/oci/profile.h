/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Pure: the name of a container's profile, in what its configuration says to us. */

#include <stdbool.h>

/* The longest name of a profile, without its NUL: as the policy has them. */
#define OCI_PROFILE_MAX 48
#define OCI_PROFILE_SIZE (OCI_PROFILE_MAX + 1)

/* May a profile be called that? Letters, digits, `_`, `-` and `.`, of ASCII; it is good for a log as it is. */
bool oci_profile_is_name(const char *name);

/*
 * Takes the NAME out of `profile=NAME`, which may stand among other words (listenerMetadata, a cookie of liblxc).
 * Between words are blanks, tabs, ends of lines or semicolons. Returns 0, or without a name: -ENOENT (there is no such
 * word; `words` may be NULL), -EEXIST (more than one, even if both say the same), -EINVAL (it is no name). With the
 * last two the configuration wants to say something: the container has no profile then, not even the default one.
 */
int oci_profile_find(const char *words, char name[static OCI_PROFILE_SIZE]);
