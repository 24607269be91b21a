/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/fd.h"
#include "util/service.h"

static int set_up(void **state) {
        static const char *const names[] = { "NOTIFY_SOCKET",  "LISTEN_PID",    "LISTEN_FDS",
                                             "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID" };

        (void)state;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
                assert_int_equal(unsetenv(names[i]), 0);
        return 0;
}

static void set_number(const char *name, long long value) {
        char text[32];

        (void)snprintf(text, sizeof(text), "%lld", value);
        assert_int_equal(setenv(name, text, 1), 0);
}

/* What is said arrives at a socket with a path, and at one without (an abstract one, which begins with @). */
static void check_told(const char *name, socklen_t length) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        char text[32] = "";

        memcpy(address.sun_path, name, length);
        if (name[0] == '@')
                address.sun_path[0] = '\0';
        assert_true(fd >= 0);
        assert_int_equal(
                bind(fd, (struct sockaddr *)&address, (socklen_t)offsetof(struct sockaddr_un, sun_path) + length), 0);
        assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
        service_tell("READY=1");
        assert_int_equal(recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT), 7);
        assert_string_equal(text, "READY=1");
}

static void test_told(void **state) {
        char directory[] = "/tmp/modgate-service-XXXXXX", path[64], abstract[64];

        (void)state;
        assert_non_null(mkdtemp(directory));
        (void)snprintf(path, sizeof(path), "%s/notify", directory);
        check_told(path, (socklen_t)strlen(path));
        (void)snprintf(abstract, sizeof(abstract), "@%s", directory);
        check_told(abstract, (socklen_t)strlen(abstract));
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(directory), 0);
}

/* No manager, or one that is gone. */
static void test_told_nobody(void **state) {
        char name[256];

        (void)state;
        service_tell("READY=1");
        assert_int_equal(setenv("NOTIFY_SOCKET", "", 1), 0);
        service_tell("READY=1");
        assert_int_equal(setenv("NOTIFY_SOCKET", "/nowhere/notify", 1), 0);
        service_tell("READY=1");
        memset(name, 'x', sizeof(name));
        name[sizeof(name) - 1] = '\0';
        assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
        service_tell("READY=1");
}

static void test_socket(void **state) {
        (void)state;
        (void)fd_close(3);
        assert_int_equal(open("/dev/null", O_RDONLY), 3);
        set_number("LISTEN_PID", getpid());
        set_number("LISTEN_FDS", 1);
        assert_int_equal(service_take_socket(), 3);
        assert_int_equal(fcntl(3, F_GETFD), FD_CLOEXEC);
        assert_null(getenv("LISTEN_PID"));
        assert_null(getenv("LISTEN_FDS"));
        assert_int_equal(service_take_socket(), -1);
        (void)fd_close(3);
}

/* Another process's, more than one, none, and one that is not open. */
static void test_no_socket(void **state) {
        const struct {
                pid_t pid;
                int count;
        } cases[] = { { getpid() + 1, 1 }, { getpid(), 2 }, { getpid(), 0 }, { getpid(), -1 }, { getpid(), 1 } };

        (void)state;
        (void)fd_close(3);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                set_number("LISTEN_PID", cases[i].pid);
                set_number("LISTEN_FDS", cases[i].count);
                assert_int_equal(service_take_socket(), -1);
        }
}

static void test_watchdog(void **state) {
        (void)state;
        assert_true(service_watchdog_ns() == 0);
        set_number("WATCHDOG_USEC", 30000000);
        assert_true(service_watchdog_ns() == 30000000000U);
        set_number("WATCHDOG_PID", getpid());
        assert_true(service_watchdog_ns() == 30000000000U);
        set_number("WATCHDOG_PID", getpid() + 1);
        assert_true(service_watchdog_ns() == 0);
        assert_int_equal(unsetenv("WATCHDOG_PID"), 0);
        assert_int_equal(setenv("WATCHDOG_USEC", "soon", 1), 0);
        assert_true(service_watchdog_ns() == 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_told, set_up),     cmocka_unit_test_setup(test_told_nobody, set_up),
                cmocka_unit_test_setup(test_socket, set_up),   cmocka_unit_test_setup(test_no_socket, set_up),
                cmocka_unit_test_setup(test_watchdog, set_up),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
