/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scratch.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int scratch_create(struct scratch *scratch) {
        const char *parent = getenv("TMPDIR");
        size_t length;

        if (!parent || parent[0] != '/')
                parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
        length = (size_t)snprintf(scratch->path, sizeof(scratch->path), "%s/modgate-storm-XXXXXX", parent);
        if (length < sizeof(scratch->path) && mkdtemp(scratch->path))
                return 0;
        scratch->path[0] = '\0';
        return length < sizeof(scratch->path) ? -errno : -ENAMETOOLONG;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place) {
        (void)status, (void)type, (void)place;
        return remove(path);
}

void scratch_remove(struct scratch *scratch) {
        if (scratch->path[0] != '\0')
                (void)nftw(scratch->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        scratch->path[0] = '\0';
}
