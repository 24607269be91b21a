/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <unistd.h>

/* Closes `fd` if it is one. Returns -1: `fd = fd_close(fd)`. Linux releases the number even when close() fails. */
static inline int fd_close(int fd) {
        if (fd >= 0)
                (void)close(fd);
        return -1;
}

static inline void fd_closep(int *fd) {
        *fd = fd_close(*fd);
}

/* Hands the descriptor out of a variable that would close it. */
static inline int fd_steal(int *fd) {
        int stolen = *fd;

        *fd = -1;
        return stolen;
}

#define _cleanup_fd_ __attribute__((cleanup(fd_closep)))
