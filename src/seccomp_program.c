/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seccomp_program.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/fd.h"
#include "util/memfd.h"

static int read_program(int fd, struct sock_filter **ret, unsigned short *ret_count) {
        struct sock_filter *program;
        struct stat status;
        size_t size;

        if (fstat(fd, &status) < 0)
                return -errno;

        size = (size_t)status.st_size;
        if (size == 0 || size % sizeof(*program) != 0 || size / sizeof(*program) > USHRT_MAX)
                return -EINVAL;

        program = malloc(size);
        if (!program)
                return -ENOMEM;

        if (pread(fd, program, size, 0) != (ssize_t)size) {
                free(program);
                return -EIO;
        }

        *ret = program;
        *ret_count = (unsigned short)(size / sizeof(*program));
        return 0;
}

int seccomp_program(scmp_filter_ctx context, struct sock_filter **ret, unsigned short *ret_count) {
        _cleanup_fd_ int fd = memfd_new("modgate-filter", 0);
        int r;

        if (fd < 0)
                return fd;

        r = seccomp_export_bpf(context, fd);
        if (r < 0)
                return r;

        return read_program(fd, ret, ret_count);
}
