/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A file system in user space with one file, whose server stops answering on demand. Whoever waits for it then cannot
 * be killed before the server is.
 */

#include <sys/types.h>

#include "scripted.h"

enum scripted_fuse_state {
        SCRIPTED_FUSE_SERVES,
        SCRIPTED_FUSE_READS_HANG, /* all but the content of the file is answered */
        SCRIPTED_FUSE_HANGS,
};

struct scripted_fuse {
        char path[SCRIPTED_PATH_MAX]; /* of the file */
        pid_t server;
        atomic_int *state; /* enum scripted_fuse_state, shared with the server */
};

/*
 * Mounts it below the test's directory, in a mount namespace of this process, with the content of the file `backing`.
 * For a `prepare`: the server must not be under the filter. False: there is no /dev/fuse here.
 */
bool scripted_fuse_mount(struct scripted *kit, const char *backing, struct scripted_fuse *ret);

/* Kills the server: whoever waits for it gets an error. */
void scripted_fuse_abort(const struct scripted_fuse *fuse);
