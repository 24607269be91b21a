/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * contained SOCKET ID METADATA OWNER COMMAND [ARG…]: a container runtime of the least kind. COMMAND gets a filter whose
 * listener is handed over at SOCKET, as OCI runtimes do; and a user namespace of its own, whose root is the host's user
 * OWNER, or none if that is `-`, or that of process PID if it is `@PID`, as with `crun exec`. Exits as COMMAND does.
 * CONTAINED_WAITS is a file whose first byte it waits for before it hands over: the start of a container may take long.
 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch/filter.h"

static _Noreturn void fail(const char *what) {
        (void)fprintf(stderr, "contained: %s: %s\n", what, strerror(errno));
        _exit(125);
}

static void write_text(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
                fail(path);
        (void)close(fd);
}

/* In the parent, which may. */
static void map(pid_t child, const char *owner) {
        char path[64], text[64];

        (void)snprintf(text, sizeof(text), "0 %s 1000\n", owner);
        (void)snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)child);
        write_text(path, text);
        (void)snprintf(path, sizeof(path), "/proc/%d/gid_map", (int)child);
        write_text(path, text);
}

static int connect_to(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
                fail(path);
        (void)strcpy(address.sun_path, path);
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                fail(path);
        return fd;
}

/* `pid`: 0 is what crun says of executed processes. */
static void send_state(int socket, const char *id, const char *metadata, pid_t pid, int listener) {
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int))];
        } control = { .header = {
                              .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
        char text[4096];
        struct iovec part = { .iov_base = text };
        struct msghdr message = {
                .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };

        memcpy(CMSG_DATA(&control.header), &listener, sizeof(listener));
        part.iov_len =
                (size_t)snprintf(text, sizeof(text),
                                 "{\"ociVersion\":\"1.0.2\",\"fds\":[\"seccompFd\"],\"pid\":%d,\"metadata\":\"%s\","
                                 "\"state\":{\"ociVersion\":\"1.0.2\",\"id\":\"%s\",\"status\":\"creating\",\"pid\":%d,"
                                 "\"bundle\":\"/\"}}",
                                 (int)pid, metadata, id, (int)pid);
        if (sendmsg(socket, &message, 0) != (ssize_t)part.iov_len)
                fail("the state cannot be sent");
        (void)close(socket);
}

static void wait_for_file(const char *path) {
        int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        char byte;

        if (path && (fd < 0 || read(fd, &byte, 1) != 1))
                fail(path);
        if (fd >= 0)
                (void)close(fd);
}

static void become_root(void) {
        if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
                fail("setresuid");
}

static void join(const char *pid) {
        char path[64];
        int fd;

        (void)snprintf(path, sizeof(path), "/proc/%s/ns/user", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || setns(fd, CLONE_NEWUSER) < 0)
                fail(path);
        (void)close(fd);
        become_root();
}

/* The socket is connected before, since the container's root may not connect there. */
static _Noreturn void contain(char **argv, int socket, int wait_fd) {
        struct sock_filter *program;
        unsigned short count;
        int listener, r;
        char byte;

        if (argv[4][0] == '@') {
                join(argv[4] + 1);
        } else if (strcmp(argv[4], "-") != 0) {
                if (unshare(CLONE_NEWUSER) < 0)
                        fail("unshare");
                if (write(wait_fd, "", 1) != 1 || read(wait_fd, &byte, 1) != 1)
                        fail("the map");
                become_root();
        }
        r = filter_build(&program, &count);
        if (r == 0)
                r = filter_install(program, count, &listener);
        if (r < 0) {
                errno = -r;
                fail("the filter");
        }
        wait_for_file(getenv("CONTAINED_WAITS"));
        send_state(socket, argv[2], argv[3], argv[4][0] == '@' ? 0 : getpid(), listener);
        (void)close(listener);
        (void)execvp(argv[5], argv + 5);
        fail(argv[5]);
}

int main(int argc, char **argv) {
        int pair[2], socket, status;
        pid_t child;
        char byte;

        if (argc < 6 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return 125;
        socket = connect_to(argv[1]);
        child = fork();
        if (child < 0)
                fail("fork");
        if (child == 0)
                contain(argv, socket, pair[1]);
        (void)close(socket);
        (void)close(pair[1]);
        if (read(pair[0], &byte, 1) == 1) {
                map(child, argv[4]);
                if (write(pair[0], "", 1) != 1)
                        fail("the map");
        }
        if (waitpid(child, &status, 0) != child)
                fail("waitpid");
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
