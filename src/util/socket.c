/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/socket.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/fd.h"

/* So many may be waiting while a daemon starts. */
#define BACKLOG 64

/* Does somebody listen at this address? Then it is not ours to take. */
static bool is_served(const struct sockaddr_un *address, int type) {
        _cleanup_fd_ int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        return fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN);
}

int socket_listen(const char *path, int type) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct stat status;
        char *slash;
        _cleanup_fd_ int fd = -1;
        mode_t mask;
        int r;

        memcpy(address.sun_path, path, strlen(path));
        slash = strrchr(address.sun_path, '/');
        *slash = '\0';
        if (address.sun_path[0] != '\0' && mkdir(address.sun_path, 0755) < 0 && errno != EEXIST)
                return -errno;
        *slash = '/';
        if (is_served(&address, type))
                return -EADDRINUSE;
        fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (lstat(path, &status) == 0 && !S_ISSOCK(status.st_mode))
                return -EEXIST;
        (void)unlink(path);
        mask = umask(0177);
        r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
        (void)umask(mask);
        if (r == 0 && listen(fd, BACKLOG) < 0)
                r = -errno;
        return r < 0 ? r : fd_steal(&fd);
}

unsigned int socket_take_fds(struct msghdr *message, int *fds, unsigned int room) {
        unsigned int count = 0;

        for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
                if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t at = 0; at + sizeof(int) <= header->cmsg_len - CMSG_LEN(0); at += sizeof(int), count++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(header) + at, sizeof(fd));
                        if (count < room)
                                fds[count] = fd;
                        else
                                fd_close(fd);
                }
        }
        return count;
}
