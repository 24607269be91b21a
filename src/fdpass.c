/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fdpass.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "util/fd.h"

/*
 * Room for more descriptors than are allowed, so that a second one is seen as such: CMSG_SPACE() of one descriptor is
 * padded to where two fit on 64 bits. What does not fit at all the kernel drops, and says MSG_CTRUNC.
 */
#define FDS_ROOM 4

union control {
        struct cmsghdr align;
        unsigned char bytes[CMSG_SPACE(FDS_ROOM * sizeof(int))];
};

int fdpass_pair(int *ret_a, int *ret_b) {
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;

        *ret_a = fds[0];
        *ret_b = fds[1];
        return 0;
}

static void attach_fd(struct msghdr *message, union control *control, int fd) {
        struct cmsghdr *header;

        memset(control, 0, sizeof(*control));
        message->msg_control = control->bytes;
        message->msg_controllen = CMSG_SPACE(sizeof(int));

        header = CMSG_FIRSTHDR(message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &fd, sizeof(fd));
}

int fdpass_send_dup_fd(int socket, const void *head, size_t head_size, const void *tail, size_t tail_size, int fd,
                       int flags) {
        struct iovec parts[2] = {
                { .iov_base = (void *)head, .iov_len = head_size },
                { .iov_base = (void *)tail, .iov_len = tail_size },
        };
        struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
        union control control;
        ssize_t sent;

        /* The receiver could not tell an empty message from the end of file. */
        if (head_size + tail_size == 0)
                return -EINVAL;

        if (fd >= 0)
                attach_fd(&message, &control, fd);

        do
                sent = sendmsg(socket, &message, flags | MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);

        return sent < 0 ? -errno : 0;
}

/* Takes the descriptors out of the control data: keeps the first one and closes the others. Returns their number. */
static size_t take_fds(struct msghdr *message, int *ret_fd) {
        size_t taken = 0;

        for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
                size_t count;

                if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
                        continue;

                count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < count; i++, taken++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
                        if (taken == 0)
                                *ret_fd = fd;
                        else
                                (void)fd_close(fd);
                }
        }

        return taken;
}

ssize_t fdpass_receive(int socket, void *buffer, size_t size, int *ret_fd, int flags) {
        struct iovec part = { .iov_base = buffer, .iov_len = size };
        struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
        bool peek = flags & MSG_PEEK;
        union control control;
        _cleanup_fd_ int fd = -1;
        size_t fds;
        ssize_t length;

        /* A peek without room for control data installs no descriptor, so there is nothing to close twice. */
        if (!peek) {
                message.msg_control = control.bytes;
                message.msg_controllen = sizeof(control.bytes);
        }

        do
                length = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
        while (length < 0 && errno == EINTR);
        if (length < 0)
                return -errno;

        fds = take_fds(&message, &fd);
        if (message.msg_flags & MSG_TRUNC)
                return -EMSGSIZE;
        /* net/core/scm.c: no room in our table, or a security module forbids it */
        if (!peek && fds == 0 && (message.msg_flags & MSG_CTRUNC))
                return -EMFILE;
        if (!peek && (fds > 1 || (message.msg_flags & MSG_CTRUNC) || (fds > 0 && length == 0)))
                return -EPROTO;

        if (ret_fd)
                *ret_fd = fd_steal(&fd);
        return length;
}
