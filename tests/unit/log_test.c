/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/fd.h"
#include "util/log.h"

static int kept_stderr = -1;

/* Leads stderr to `fd` until restore_stderr(): cmocka writes its own there in between. */
static void redirect_stderr(int fd) {
        kept_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
        assert_true(kept_stderr >= 0);
        assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
        log_init();
}

static void restore_stderr(void) {
        (void)dup2(kept_stderr, STDERR_FILENO);
        kept_stderr = fd_close(kept_stderr);
        log_init();
}

static void make_pipe(int *ret_read, int *ret_write) {
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        /* the reading side does not block; the writing side does, as a real stderr may */
        assert_int_equal(fcntl(fds[1], F_SETFL, 0), 0);
        *ret_read = fds[0];
        *ret_write = fds[1];
}

static void expect_text(int fd, const char *text) {
        char buffer[2 * PIPE_BUF] = { 0 };
        ssize_t n = read(fd, buffer, sizeof(buffer) - 1);

        assert_int_equal(n < 0 ? 0 : n, (ssize_t)strlen(text));
        assert_string_equal(buffer, text);
}

static void test_levels(void **state) {
        static const struct {
                const char *environment, *expected;
        } rows[] = {
                { NULL, "modgate: e 3\nmodgate: w 4\nmodgate: n 5\n" },
                { "error", "modgate: e 3\n" },
                { "info", "modgate: e 3\nmodgate: w 4\nmodgate: n 5\nmodgate: i 6\n" },
                { "debug", "modgate: e 3\nmodgate: w 4\nmodgate: n 5\nmodgate: i 6\nmodgate: d 7\n" },
                { "loud", "modgate: e 3\nmodgate: w 4\nmodgate: n 5\n" },
        };

        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                _cleanup_fd_ int out = -1, in = -1;

                if (rows[i].environment)
                        (void)setenv("MODGATE_LOG", rows[i].environment, 1);
                make_pipe(&out, &in);
                redirect_stderr(in);
                log_error("e %d", 3);
                log_warning("w %d", 4);
                log_notice("n %d", 5);
                log_info("i %d", 6);
                log_debug("d %d", 7);
                restore_stderr();
                (void)unsetenv("MODGATE_LOG");
                expect_text(out, rows[i].expected);
        }
}

static void test_keeps_errno(void **state) {
        _cleanup_fd_ int out = -1, in = -1;

        (void)state;
        make_pipe(&out, &in);
        redirect_stderr(in);
        out = fd_close(out);
        errno = EXDEV;
        log_error("nobody reads");
        assert_int_equal(errno, EXDEV);
        restore_stderr();
}

static void test_one_line(void **state) {
        _cleanup_fd_ int out = -1, in = -1;

        (void)state;
        make_pipe(&out, &in);
        redirect_stderr(in);
        log_error("%s", "a\nb\x1b[31m\x7f ü");
        restore_stderr();
        expect_text(out, "modgate: a?b?[31m? ü\n");
}

static void test_long_line_is_cut(void **state) {
        _cleanup_fd_ int out = -1, in = -1;
        char text[3 * PIPE_BUF], buffer[sizeof(text)];

        (void)state;
        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        make_pipe(&out, &in);
        redirect_stderr(in);
        log_error("%s", text);
        restore_stderr();
        assert_int_equal(read(out, buffer, sizeof(buffer)), PIPE_BUF);
        assert_int_equal(buffer[PIPE_BUF - 1], '\n');
        assert_int_equal(buffer[PIPE_BUF - 2], 'x');
}

/* Would hang, and be ended by its alarm, if a write blocked. */
static void test_never_blocks(void **state) {
        _cleanup_fd_ int out = -1, in = -1, a = -1, b = -1;
        int fds[2];

        (void)state;
        (void)alarm(10);
        make_pipe(&out, &in);
        redirect_stderr(in);
        for (int i = 0; i < 10000; i++)
                log_error("%d: nobody reads this", i);
        restore_stderr();

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        a = fds[0];
        b = fds[1];
        redirect_stderr(a);
        for (int i = 0; i < 10000; i++)
                log_error("%d: nobody reads this", i);
        b = fd_close(b);
        log_error("nobody is there");
        restore_stderr();
        (void)alarm(0);
}

/* What has room for a part of a line is ready, and the rest of it would have to wait. */
static void fill_and_check(int reader, int writer) {
        static char text[3000];
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                (void)alarm(20);
                memset(text, 'x', sizeof(text) - 1);
                (void)dup2(writer, STDERR_FILENO);
                log_init();
                log_open_again();
                for (int i = 0; i < 200; i++)
                        log_error("%d %s", i, text);
                if (!(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK))
                        _exit(EXIT_FAILURE);
                log_let_block();
                _exit(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK ? EXIT_FAILURE : EXIT_SUCCESS);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        /* not where others have it */
        assert_false(fcntl(writer, F_GETFL) & O_NONBLOCK);
        assert_true(read(reader, text, 9) == 9);
        assert_memory_equal(text, "modgate: ", 9);
}

static void test_never_blocks_terminal(void **state) {
        _cleanup_fd_ int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), end = -1;

        (void)state;
        assert_true(terminal >= 0);
        assert_int_equal(unlockpt(terminal), 0);
        end = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(end >= 0);
        fill_and_check(terminal, end);
}

static void test_never_blocks_pipe(void **state) {
        _cleanup_fd_ int out = -1, in = -1;

        (void)state;
        make_pipe(&out, &in);
        fill_and_check(out, in);
}

/* Opening a file again would write at its beginning; where nobody reads there is nothing to open. */
static void test_others_are_not_opened_again(void **state) {
        _cleanup_fd_ int out = -1, in = -1, file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        char text[32] = "";

        (void)state;
        assert_true(file >= 0);
        assert_int_equal(write(file, "before\n", 7), 7);
        redirect_stderr(file);
        log_open_again();
        log_error("after");
        restore_stderr();
        assert_int_equal(pread(file, text, sizeof(text) - 1, 0), 22);
        assert_string_equal(text, "before\nmodgate: after\n");

        make_pipe(&out, &in);
        out = fd_close(out);
        redirect_stderr(in);
        log_open_again();
        log_error("nobody reads");
        restore_stderr();
}

static void test_sigpipe(void **state) {
        _cleanup_fd_ int out = -1, in = -1;
        sigset_t pending;

        (void)state;
        (void)signal(SIGPIPE, SIG_DFL);
        make_pipe(&out, &in);
        redirect_stderr(in);
        out = fd_close(out);
        log_error("nobody reads");
        restore_stderr();
        assert_int_equal(sigpending(&pending), 0);
        assert_false(sigismember(&pending, SIGPIPE));
}

static void test_no_stderr(void **state) {
        (void)state;
        kept_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
        (void)close(STDERR_FILENO);
        log_init();
        log_error("there is no stderr");
        restore_stderr();
}

static void test_journal(void **state) {
        _cleanup_fd_ int a = -1, b = -1;
        struct stat status;
        char stream[64];
        int fds[2];

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        a = fds[0];
        b = fds[1];
        assert_int_equal(fstat(a, &status), 0);

        (void)snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
        (void)setenv("JOURNAL_STREAM", stream, 1);
        redirect_stderr(a);
        log_warning("to the journal");
        restore_stderr();
        expect_text(b, "<4>modgate: to the journal\n");

        (void)snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino + 1);
        (void)setenv("JOURNAL_STREAM", stream, 1);
        redirect_stderr(a);
        log_warning("elsewhere");
        restore_stderr();
        expect_text(b, "modgate: elsewhere\n");
        (void)unsetenv("JOURNAL_STREAM");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_levels),
                cmocka_unit_test(test_keeps_errno),
                cmocka_unit_test(test_one_line),
                cmocka_unit_test(test_long_line_is_cut),
                cmocka_unit_test(test_never_blocks),
                cmocka_unit_test(test_never_blocks_terminal),
                cmocka_unit_test(test_never_blocks_pipe),
                cmocka_unit_test(test_others_are_not_opened_again),
                cmocka_unit_test(test_sigpipe),
                cmocka_unit_test(test_no_stderr),
                cmocka_unit_test(test_journal),
        };

        (void)unsetenv("MODGATE_LOG");
        (void)unsetenv("JOURNAL_STREAM");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
