/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A directory of one's own for as long as something is measured, below TMPDIR, or where a disk has no part in what is
 * measured: /dev/shm, else /tmp.
 */

/* Bytes, with the NUL. */
#define SCRATCH_PATH_MAX 256
struct scratch {
        char path[SCRATCH_PATH_MAX]; /* absolute; empty: there is none */
};

/* Creates it. Returns 0 or negative errno. */
int scratch_create(struct scratch *scratch);

/* Removes it with all that is in it; safe where there is none. */
void scratch_remove(struct scratch *scratch);
