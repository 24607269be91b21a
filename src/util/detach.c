/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/log.h"

/* Nothing of COMMAND's may stay open: a pipe's reader would wait for its end. */
static void keep_only(int socket) {
        int null;

        if ((socket != DETACHED_SOCKET && dup3(socket, DETACHED_SOCKET, O_CLOEXEC) < 0) ||
            close_range(DETACHED_SOCKET + 1, ~0U, 0) < 0) {
                log_error("cannot part with COMMAND's descriptors: %m");
                _exit(EXIT_FAILURE);
        }
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
        /* stderr is open in any case; nothing is written to the other two */
        (void)dup2(null >= 0 ? null : STDERR_FILENO, STDIN_FILENO);
        (void)dup2(null >= 0 ? null : STDERR_FILENO, STDOUT_FILENO);
        if (null > STDERR_FILENO)
                (void)close(null);
        log_open_again();
}

/* In a child, which ends as its child begins. Its exit status is the errno of what it could not do. */
static _Noreturn void fork_again(int socket, void (*run)(void *context), void *context) {
        pid_t pid = fork();

        if (pid != 0)
                _exit(pid > 0 ? EXIT_SUCCESS : errno);
        (void)setsid();
        keep_only(socket);
        run(context);
        _exit(EXIT_SUCCESS);
}

int detach(int socket, void (*run)(void *context), void *context) {
        pid_t pid = fork(), ended;
        int status = 0;

        if (pid < 0)
                return -errno;
        if (pid == 0)
                fork_again(socket, run, context);
        /* ECHILD where SIGCHLD is ignored: then there is nothing to collect */
        do
                ended = waitpid(pid, &status, 0);
        while (ended < 0 && errno == EINTR);
        return ended == pid && WIFEXITED(status) ? -WEXITSTATUS(status) : 0;
}
