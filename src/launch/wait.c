/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launch/wait.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fdpass.h"
#include "util/fd.h"

#define EXIT_SIGNALLED 128

/* What the parent changes about signals, and what was there before: COMMAND gets the latter. */
struct signals {
        sigset_t waited;
        sigset_t old_mask;
        struct sigaction old_child;
};

static void take_signals(struct signals *signals) {
        static const int forwarded[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };
        struct sigaction action = { .sa_handler = SIG_DFL };

        (void)sigemptyset(&signals->waited);
        (void)sigaddset(&signals->waited, SIGCHLD);
        for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
                (void)sigaddset(&signals->waited, forwarded[i]);

        (void)sigprocmask(SIG_BLOCK, &signals->waited, &signals->old_mask);
        /* An inherited SIG_IGN would throw the exit status away. */
        (void)sigaction(SIGCHLD, &action, &signals->old_child);
}

static void give_signals_back(const struct signals *signals) {
        (void)sigaction(SIGCHLD, &signals->old_child, NULL);
        (void)sigprocmask(SIG_SETMASK, &signals->old_mask, NULL);
}

/*
 * The kernel's own signals (SI_KERNEL: ^C, ^\, a terminal that hangs up) go to the whole process group: COMMAND has
 * them already. One that another process sends to the whole group does arrive twice.
 */
static void forward(pid_t pid, const siginfo_t *info) {
        if (info->si_signo != SIGCHLD && info->si_code != SI_KERNEL)
                (void)kill(pid, info->si_signo);
}

static int wait_for_command(pid_t pid, const struct signals *signals) {
        static const struct timespec at_once = { 0 };
        int status;

        for (;;) {
                siginfo_t info;
                pid_t ended = waitpid(pid, &status, WNOHANG);

                if (ended == pid)
                        break;
                if (ended < 0 && errno == EINTR)
                        continue;
                if (ended < 0)
                        return -errno;
                if (sigwaitinfo(&signals->waited, &info) > 0)
                        forward(pid, &info);
        }

        /* What came for COMMAND, such as the ^C that ended it, must not end the wait for its tree. */
        while (sigtimedwait(&signals->waited, NULL, &at_once) > 0)
                ;

        return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SIGNALLED + WTERMSIG(status);
}

/* Nothing comes from a COMMAND that was executed bare, or that never was. */
static void wait_for_tree(int socket) {
        _cleanup_fd_ int tree = -1;
        ssize_t n;
        char byte;

        if (fdpass_receive(socket, &byte, 1, &tree, MSG_DONTWAIT) <= 0 || tree < 0)
                return;

        do
                n = recv(tree, &byte, 1, 0);
        while (n > 0 || (n < 0 && errno == EINTR));
}

int wait_run(int (*run)(void *userdata, int socket), void *userdata) {
        _cleanup_fd_ int ours = -1, theirs = -1;
        struct signals signals;
        pid_t pid;
        int r;

        r = fdpass_pair(&ours, &theirs);
        if (r < 0)
                return r;

        take_signals(&signals);
        pid = fork();
        if (pid < 0) {
                r = -errno;
                give_signals_back(&signals);
                return r;
        }
        if (pid == 0) {
                ours = fd_close(ours);
                give_signals_back(&signals);
                _exit(run(userdata, theirs));
        }

        theirs = fd_close(theirs);
        r = wait_for_command(pid, &signals);
        give_signals_back(&signals);
        wait_for_tree(ours);
        return r;
}

int wait_give_tree_dup_fd(int socket, int tree_fd) {
        return fdpass_send_dup_fd(socket, "", 1, NULL, 0, tree_fd, 0);
}
