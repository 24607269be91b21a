/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * monitored SOCKET COOKIE COMMAND [ARG…]: what a monitor of liblxc does with lxc.seccomp.notify.proxy=unix:SOCKET and
 * lxc.seccomp.notify.cookie=COOKIE. COMMAND is its container's only process; exits as that does. The message is the one
 * of docs/oci.md.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fdpass.h"
#include "launch/filter.h"

/* liblxc's own limit is 30 s. */
#define PATIENCE_MS 30000

struct message {
        uint64_t reserved;
        uint32_t monitor_pid;
        uint32_t init_pid;
        uint16_t notif_size;
        uint16_t resp_size;
        uint16_t data_size;
        uint16_t padding;
        uint64_t cookie_length;
        struct seccomp_notif notif;
        struct seccomp_notif_resp resp;
        char cookie[256];
};

static _Noreturn void fail(const char *what) {
        (void)fprintf(stderr, "monitored: %s: %s\n", what, strerror(errno));
        _exit(125);
}

static int connect_to(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
                fail(path);
        (void)strcpy(address.sun_path, path);
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                fail(path);
        return fd;
}

static void send_message(int socket, struct message *message, size_t length, int listener) {
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(3 * sizeof(int))];
        } control = {
                .header = { .cmsg_len = CMSG_LEN(3 * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS }
        };
        struct iovec part = { .iov_base = message, .iov_len = length };
        struct msghdr header = {
                .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        int fds[3] = { -1, -1, listener };
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%u", message->notif.pid);
        fds[0] = open(path, O_DIRECTORY | O_CLOEXEC);
        (void)snprintf(path, sizeof(path), "/proc/%u/mem", message->notif.pid);
        fds[1] = open(path, O_RDWR | O_CLOEXEC);
        memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
        if (fds[0] < 0 || fds[1] < 0 || sendmsg(socket, &header, MSG_NOSIGNAL) != (ssize_t)length)
                fail("the notification cannot be sent");
        (void)close(fds[0]);
        (void)close(fds[1]);
}

/* Without an answer in time, or with one of another length, the caller gets ENOSYS. */
static void mediate(int listener, const char *path, const char *cookie, pid_t init) {
        struct message message = { .monitor_pid = (uint32_t)getpid(),
                                   .init_pid = (uint32_t)init,
                                   .notif_size = sizeof(struct seccomp_notif),
                                   .resp_size = sizeof(struct seccomp_notif_resp),
                                   .data_size = sizeof(struct seccomp_data),
                                   .cookie_length = strlen(cookie) };
        size_t length = offsetof(struct message, cookie) + strlen(cookie);
        static int socket = -1;
        struct pollfd poller;

        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &message.notif) < 0)
                return;
        (void)strcpy(message.cookie, cookie);
        message.resp.id = message.notif.id;
        if (socket < 0)
                socket = connect_to(path);
        send_message(socket, &message, length, listener);
        poller = (struct pollfd){ .fd = socket, .events = POLLIN };
        if (poll(&poller, 1, PATIENCE_MS) <= 0 ||
            recv(socket, &message, sizeof(message), MSG_DONTWAIT) != (ssize_t)offsetof(struct message, cookie)) {
                message.resp = (struct seccomp_notif_resp){ .error = -ENOSYS };
                (void)close(socket);
                socket = -1;
        }
        message.resp.id = message.notif.id;
        (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &message.resp);
}

static _Noreturn void contain(char **command, int socket) {
        struct sock_filter *program;
        unsigned short count;
        int listener, r = filter_build(&program, &count);

        if (r == 0)
                r = filter_install(program, count, &listener);
        if (r == 0)
                r = fdpass_send_dup_fd(socket, "l", 1, NULL, 0, listener, 0);
        if (r < 0) {
                errno = -r;
                fail("the filter");
        }
        (void)close(listener);
        (void)execvp(command[0], command);
        fail(command[0]);
}

int main(int argc, char **argv) {
        int ours, theirs, listener, status;
        struct pollfd poller;
        pid_t child;
        char byte;

        if (argc < 4 || strlen(argv[2]) >= sizeof(((struct message *)NULL)->cookie) || fdpass_pair(&ours, &theirs) < 0)
                return 125;
        child = fork();
        if (child < 0)
                fail("fork");
        if (child == 0)
                contain(argv + 3, theirs);
        if (fdpass_receive(ours, &byte, 1, &listener, 0) != 1)
                fail("the listener");
        poller = (struct pollfd){ .fd = listener, .events = POLLIN };
        while (poll(&poller, 1, -1) >= 0 && !(poller.revents & POLLHUP))
                if (poller.revents & POLLIN)
                        mediate(listener, argv[1], argv[2], child);
        if (waitpid(child, &status, 0) != child)
                fail("waitpid");
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
