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

        if (socket != DETACHED_SOCKET && dup3(socket, DETACHED_SOCKET, O_CLOEXEC) < 0)
                _exit(EXIT_FAILURE);
        (void)close_range(DETACHED_SOCKET + 1, ~0U, 0);
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null < 0)
                return;
        (void)dup2(null, STDIN_FILENO);
        (void)dup2(null, STDOUT_FILENO);
        if (null > STDERR_FILENO)
                (void)close(null);
        log_open_again();
}

int detach(int socket, void (*run)(void *context), void *context) {
        pid_t pid = fork();

        if (pid < 0)
                return -errno;
        if (pid == 0) {
                if (fork() != 0)
                        _exit(EXIT_SUCCESS);
                (void)setsid();
                keep_only(socket);
                run(context);
                _exit(EXIT_SUCCESS);
        }
        /* ECHILD where SIGCHLD is ignored: then there is nothing to collect */
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        return 0;
}
