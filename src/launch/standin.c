/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launch/standin.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "fdpass.h"
#include "keeper/keeper.h"
#include "launch/cgroup.h"
#include "privilege.h"
#include "util/detach.h"
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

static void stand_in(void *context) {
        int listener = -1, r;
        sigset_t all;

        (void)context;
        /* as the keeper: what a service manager sends to all of a unit must not leave COMMAND without anybody */
        (void)sigfillset(&all);
        (void)sigprocmask(SIG_SETMASK, &all, NULL);
        privilege_hide_memory();
        /* what it may have to do later (its own cgroup, answers) needs none */
        if (privilege_keep(NULL, 0, false) < 0)
                return;
        if (send_byte(DETACHED_SOCKET, -1) < 0)
                return;

        r = receive_byte(DETACHED_SOCKET, &listener);
        if (r < 0 || listener < 0)
                return;

        r = cgroup_leave_udev();
        if (r < 0)
                log_warning("cannot leave udevd's control group: %s", strerror(-r));

        if (send_byte(DETACHED_SOCKET, -1) == 0)
                keeper_bypass_without_journal(listener);
}

int standin_start(int *ret_socket) {
        _cleanup_fd_ int ours = -1, theirs = -1;
        int r;

        r = fdpass_pair(&ours, &theirs);
        if (r < 0)
                return r;

        r = detach(theirs, stand_in, NULL);
        if (r < 0)
                return r;

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
