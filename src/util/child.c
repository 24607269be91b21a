/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/log.h"
#include "util/title.h"

/* Out of the way first: one of them may have the number that another one is to get. Returns 0 or negative errno. */
static int keep_only(const int *keep, unsigned int count) {
        int moved[CHILD_KEPT_MAX];

        for (unsigned int i = 0; i < count; i++) {
                moved[i] = fcntl(keep[i], F_DUPFD_CLOEXEC, CHILD_FIRST_KEPT + CHILD_KEPT_MAX);
                if (moved[i] < 0)
                        return -errno;
        }
        for (unsigned int i = 0; i < count; i++)
                if (dup3(moved[i], (int)(CHILD_FIRST_KEPT + i), O_CLOEXEC) < 0)
                        return -errno;
        return close_range(CHILD_FIRST_KEPT + count, ~0U, 0) < 0 ? -errno : 0;
}

pid_t child_fork(const char *title, const int *keep, unsigned int count) {
        pid_t pid = fork();
        int r;

        if (pid != 0)
                return pid;
        title_set(title);
        r = keep_only(keep, count);
        if (r < 0) {
                /* with descriptors of ours it could do anything: its end is that of its socket, as any other death */
                errno = -r;
                log_error("%s cannot part with its parent's descriptors: %m", title);
                _exit(EXIT_FAILURE);
        }
        return 0;
}
