/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the launcher and the keeper say to each other when the listener is handed over. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fdpass.h"
#include "keeper/keeper.h"
#include "modgate/handoff.h"
#include "util/fd.h"

static int say(int socket, enum handoff_type type) {
        struct handoff_message message = { .type = type };

        return fdpass_send_dup_fd(socket, &message, sizeof(message), NULL, 0, -1, 0);
}

/* A keeper that says something else, and takes the listener once the launcher waits no longer. Its exit status. */
static int take_late(int socket, int go) {
        struct handoff_message message;
        char byte;

        if (fdpass_receive(socket, &message, sizeof(message), NULL, 0) != (ssize_t)sizeof(message) ||
            say(socket, HANDOFF_KEEPER_READY) < 0 || read(go, &byte, 1) != 0)
                return EXIT_FAILURE;
        return say(socket, HANDOFF_LISTENER_TAKEN) == -EPIPE ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Two would receive: the keeper, and whoever the launcher has given the listener to since. */
static void test_taken_too_late(void **state) {
        int ours, theirs, go[2], status;
        pid_t child;

        (void)state;
        assert_int_equal(fdpass_pair(&ours, &theirs), 0);
        assert_int_equal(pipe(go), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
                (void)fd_close(ours);
                (void)fd_close(go[1]);
                _exit(take_late(theirs, go[0]));
        }
        (void)fd_close(theirs);
        assert_true(keeper_give_listener_dup_fd(ours, STDIN_FILENO) < 0);
        (void)fd_close(go[1]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        (void)fd_close(ours);
        (void)fd_close(go[0]);
}

/* What it had said by then counts. */
static void test_taken_in_time(void **state) {
        int ours, theirs;

        (void)state;
        assert_int_equal(fdpass_pair(&ours, &theirs), 0);
        assert_int_equal(say(theirs, HANDOFF_KEEPER_READY), 0);
        assert_int_equal(say(theirs, HANDOFF_LISTENER_TAKEN), 0);
        assert_int_equal(keeper_give_listener_dup_fd(ours, STDIN_FILENO), 0);
        (void)fd_close(ours);
        (void)fd_close(theirs);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_taken_too_late),
                cmocka_unit_test(test_taken_in_time),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
