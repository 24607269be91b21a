/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launch/standin.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fdpass.h"
#include "keeper.h"
#include "launch/cgroup.h"
#include "util/fd.h"
#include "util/log.h"

/* One byte each way: ready, here is the listener, taken. */
static int send_byte(int socket, int fd) {
        return fdpass_send_dup_fd(socket, "", 1, NULL, 0, fd, 0);
}

static int receive_byte(int socket, int *ret_fd) {
        char byte;
        ssize_t n = fdpass_receive(socket, &byte, 1, ret_fd, 0);

        if (n < 0)
                return (int)n;

        return n == 0 ? -EPIPE : 0;
}

/* Closes all but stderr and one more: a pipe of COMMAND's must not stay open here. */
static void close_all_but(int keep) {
        for (int fd = 0; fd < keep; fd++)
                if (fd != STDERR_FILENO)
                        (void)close(fd);

        (void)syscall(SYS_close_range, (unsigned int)(keep > STDERR_FILENO ? keep : STDERR_FILENO) + 1, UINT_MAX, 0);
}

static void stand_in(int socket) {
        int listener = -1, r;

        (void)setsid(); /* a ^C is for COMMAND */
        if (send_byte(socket, -1) < 0)
                return;

        r = receive_byte(socket, &listener);
        if (r < 0 || listener < 0)
                return;

        r = cgroup_leave_udev();
        if (r < 0)
                log_warning("cannot leave udevd's control group: %s", strerror(-r));

        if (send_byte(socket, -1) == 0)
                keeper_bypass_without_journal(listener);
}

/* The child: forks once more, so that COMMAND gets no child it does not know. */
_Noreturn static void detach(int socket) {
        if (fork() == 0) {
                close_all_but(socket);
                stand_in(socket);
        }

        _exit(EXIT_SUCCESS);
}

int standin_start(int *ret_socket) {
        _cleanup_fd_ int ours = -1, theirs = -1;
        pid_t pid;
        int r;

        r = fdpass_pair(&ours, &theirs);
        if (r < 0)
                return r;

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                detach(theirs);

        /* Where SIGCHLD is ignored there is nothing to collect (ECHILD), so success is told by a message. */
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;

        theirs = fd_close(theirs);
        r = receive_byte(ours, NULL);
        if (r < 0)
                return r;

        *ret_socket = fd_steal(&ours);
        return 0;
}

int standin_give_listener_dup_fd(int socket, int listener_fd) {
        int r = send_byte(socket, listener_fd);

        return r < 0 ? r : receive_byte(socket, NULL);
}
