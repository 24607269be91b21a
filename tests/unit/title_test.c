/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/fd.h"
#include "util/title.h"

/* Of /proc/self/FILE. Returns its length. */
static size_t read_own(const char *path, char *text, size_t size) {
        _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t length;

        assert_true(fd >= 0);
        memset(text, 0, size);
        length = read(fd, text, size - 1);
        assert_true(length > 0);
        return (size_t)length;
}

static int set_in_child(const char *title, void (*check)(const char *command_line, size_t length)) {
        char text[4096];
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                title_set(title);
                check(text, read_own("/proc/self/cmdline", text, sizeof(text)));
                text[read_own("/proc/self/comm", text, sizeof(text)) - 1] = '\0'; /* the newline */
                _exit(strncmp(text, title, 15) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

/* Nothing behind it: neither of the arguments, nor of the environment. */
static void is_short_title(const char *command_line, size_t length) {
        size_t title = strlen("modgate-x");

        if (strcmp(command_line, "modgate-x") != 0)
                _exit(EXIT_FAILURE);
        for (size_t i = title; i < length; i++)
                if (command_line[i] != '\0')
                        _exit(EXIT_FAILURE);
}

static void is_cut(const char *command_line, size_t length) {
        if (strspn(command_line, "y") != length - 1)
                _exit(EXIT_FAILURE);
}

static void test_only_in_the_child(void **state) {
        char before[4096], after[4096];
        size_t length = read_own("/proc/self/cmdline", before, sizeof(before));

        (void)state;
        assert_int_equal(set_in_child("modgate-x", is_short_title), 0);
        assert_int_equal(read_own("/proc/self/cmdline", after, sizeof(after)), length);
        assert_memory_equal(after, before, length);
}

static void test_too_long(void **state) {
        char title[8192];

        (void)state;
        memset(title, 'y', sizeof(title) - 1);
        title[sizeof(title) - 1] = '\0';
        assert_int_equal(set_in_child(title, is_cut), 0);
}

int main(int argc, char **argv) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_only_in_the_child),
                cmocka_unit_test(test_too_long),
        };

        title_init(argc, argv);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
