/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Forking processes of our own, which are to have nothing of ours but what they are given. */

#include <sys/types.h>

/* The most descriptors that a child needs, beside the standard ones. */
#define CHILD_KEPT_MAX 3

/* The first of them is this one for the child, and so on. */
#define CHILD_FIRST_KEPT 3

/*
 * As fork(). The child has that title, and of our descriptors only 0 to 2, and the `count` (CHILD_KEPT_MAX at most) of
 * `keep` as CHILD_FIRST_KEPT and what follows; if it cannot part with the others it ends.
 */
pid_t child_fork(const char *title, const int *keep, unsigned int count);
