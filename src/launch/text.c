/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launch/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "util/fd.h"

#define TEXT_CHUNK ((size_t)16384)
#define TEXT_MAX ((size_t)4 << 20)

static int append(int fd, char **text, size_t *length) {
        char *larger;
        ssize_t n;

        if (*length > TEXT_MAX)
                return -EFBIG;

        larger = realloc(*text, *length + TEXT_CHUNK + 1);
        if (!larger)
                return -ENOMEM;
        *text = larger;

        do
                n = read(fd, larger + *length, TEXT_CHUNK);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;

        *length += (size_t)n;
        larger[*length] = '\0';
        return n > 0;
}

int text_read(const char *path, char **ret) {
        _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        char *text = NULL;
        size_t length = 0;
        int r;

        if (fd < 0)
                return -errno;

        do
                r = append(fd, &text, &length);
        while (r > 0);
        if (r < 0) {
                free(text);
                return r;
        }

        *ret = text;
        return 0;
}
