/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launch/check.h"
#include "launch/text.h"
#include "util/fd.h"

static char scratch[] = "/tmp/modgate-check-test-XXXXXX";

static int setup(void **state) {
        (void)state;
        if (!mkdtemp(scratch) || chdir(scratch) < 0)
                return -1;

        assert_int_equal(mkdir("directory", 0755), 0);
        assert_int_equal(mkfifo("fifo", 0600), 0);
        assert_int_equal(symlink("plain", "link"), 0);
        assert_int_equal(close(open("plain", O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
        return 0;
}

static int teardown(void **state) {
        char command[64];

        (void)state;
        (void)snprintf(command, sizeof(command), "rm -rf %s", scratch);
        return chdir("/") < 0 || system(command) != 0 ? -1 : 0;
}

static void test_command_line(void **state) {
        static const struct {
                const char *text;
                bool has;
        } rows[] = {
                { "modgate=0", true },
                { "modgate=0\n", true },
                { "quiet modgate=0 splash\n", true },
                { "quiet\tmodgate=0", true },
                { "a=\"b c\" modgate=0", true },
                { "", false },
                { "\n", false },
                { "modgate=01", false },
                { "xmodgate=0", false },
                { "modgate=1", false },
                { "modgate = 0", false },
                { "a=\"b modgate=0 c\"", false },
                { "a=\"never closed modgate=0", false },
        };

        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                assert_int_equal(check_command_line_has(rows[i].text, "modgate=0"), rows[i].has);
}

static void test_report(void **state) {
        static const struct {
                const char *path;
                int error;
                const char *said; /* part of the problem */
        } rows[] = {
                { "new.json", 0, NULL },
                { "plain", 0, NULL },
                { "directory/new.json", 0, NULL },
                { "directory", -EISDIR, "Is a directory" },
                { "new/", -ENOENT, "No such file" },
                { "directory/", -EISDIR, "Is a directory" },
                { "fifo", -EEXIST, "not an ordinary file" },
                { "link", -EEXIST, "not an ordinary file" },
                { "/dev/null", -EEXIST, "not an ordinary file" },
                { "nowhere/new.json", -ENOENT, "No such file" },
                { "plain/new.json", -ENOTDIR, "Not a directory" },
                { "/proc/self/new.json", -EACCES, "Permission denied" },
        };

        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                struct problem problem = { "" };
                char *path = NULL;

                if (rows[i].error == -EACCES && geteuid() == 0)
                        continue; /* root may write nearly everywhere */
                assert_int_equal(check_report(rows[i].path, &path, &problem), rows[i].error);
                assert_int_equal(path != NULL, rows[i].error == 0);
                if (path)
                        assert_int_equal(path[0], '/');
                if (rows[i].said)
                        assert_non_null(strstr(problem.text, rows[i].said));
                free(path);
        }
}

static void test_report_is_absolute_and_untouched(void **state) {
        _cleanup_fd_ int fd = open("plain", O_WRONLY | O_TRUNC | O_CLOEXEC);
        struct problem problem = { "" };
        char expected[64], *path = NULL, *text = NULL;

        (void)state;
        assert_int_equal(write(fd, "before", 6), 6);
        assert_int_equal(check_report("plain", &path, &problem), 0);
        (void)snprintf(expected, sizeof(expected), "%s/plain", scratch);
        assert_string_equal(path, expected);
        assert_int_equal(text_read(path, &text), 0);
        assert_string_equal(text, "before");
        free(text);
        free(path);
}

static void test_report_elsewhere(void **state) {
        struct problem problem = { "" };
        char *path = (char *)"unchanged";

        (void)state;
        assert_int_equal(check_report(NULL, &path, &problem), 0);
        assert_null(path);
        assert_int_equal(check_report("-", &path, &problem), 0);
        assert_string_equal(path, "-");
        free(path);
}

static void test_trace(void **state) {
        struct problem problem = { "" };
        char *path = (char *)"unchanged";

        (void)state;
        assert_int_equal(check_trace("directory", &path, &problem), -EISDIR);
        assert_non_null(strstr(problem.text, "cannot write the trace directory: Is a directory"));
        assert_int_equal(check_trace("fifo", &path, &problem), -EEXIST);
        assert_non_null(strstr(problem.text, "the trace would take its place"));
        assert_string_equal(path, "unchanged");
        assert_int_equal(check_trace(NULL, &path, &problem), 0);
        assert_null(path);
        assert_int_equal(check_trace("new.json", &path, &problem), 0);
        assert_int_equal(path[0], '/');
        free(path);
}

static void test_text(void **state) {
        char *text = NULL;

        (void)state;
        assert_int_equal(text_read("/proc/self/status", &text), 0);
        assert_memory_equal(text, "Name:", 5);
        free(text);

        text = NULL;
        assert_int_equal(text_read("nothing", &text), -ENOENT);
        assert_int_equal(text_read("directory", &text), -EISDIR);
        assert_int_equal(text_read("/dev/zero", &text), -EFBIG);
        assert_null(text);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_command_line),
                cmocka_unit_test(test_report),
                cmocka_unit_test(test_report_is_absolute_and_untouched),
                cmocka_unit_test(test_report_elsewhere),
                cmocka_unit_test(test_trace),
                cmocka_unit_test(test_text),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
