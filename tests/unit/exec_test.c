/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch/exec.h"
#include "util/fd.h"

static char scratch[] = "/tmp/modgate-exec-test-XXXXXX";

static void write_file(const char *name, const char *text, mode_t mode) {
        _cleanup_fd_ int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        assert_int_equal(fchmod(fd, mode), 0);
}

/* The test's working directory is the scratch one: a/ has what is not executable, b/ has what is. */
static int setup(void **state) {
        (void)state;
        if (!mkdtemp(scratch) || chdir(scratch) < 0)
                return -1;

        assert_int_equal(mkdir("a", 0755), 0);
        assert_int_equal(mkdir("b", 0755), 0);
        assert_int_equal(mkdir("a/directory", 0755), 0);
        assert_int_equal(mkfifo("a/fifo", 0755), 0);
        assert_int_equal(symlink("loop", "a/loop"), 0);
        write_file("a/plain", "", 0644);
        write_file("a/both", "", 0644);
        write_file("b/both", "#!/bin/sh\nexit 7\n", 0755);
        write_file("b/tool", "#!/bin/sh\n[ \"$#\" = 2 ] && [ \"$1\" = one ] && [ \"$2\" = 'two words' ]\n", 0755);
        write_file("b/bare", "[ \"$#\" = 1 ] && [ \"$1\" = one ] && exit 9\n", 0755);
        write_file("b/lost", "#!/nonexistent/interpreter\n", 0755);
        write_file("here", "#!/bin/sh\n", 0755);
        return 0;
}

static int teardown(void **state) {
        char command[64];

        (void)state;
        (void)snprintf(command, sizeof(command), "rm -rf %s", scratch);
        return chdir("/") < 0 || system(command) != 0 ? -1 : 0;
}

static void test_resolve(void **state) {
        static const struct {
                const char *command, *search, *path;
                int error;
        } rows[] = {
                { "tool", "a:b", "b/tool", 0 },
                { "tool", "nonexistent:a/plain:b", "b/tool", 0 },
                { "both", "a:b", "b/both", 0 }, /* the first is not executable: look further */
                { "here", ":b", "here", 0 },
                { "here", "b:", "here", 0 },
                { "here", "b::a", "here", 0 },
                { "here", "", "here", 0 },
                { "./here", "b", "./here", 0 },
                { "b/tool", NULL, "b/tool", 0 },
                { "lost", "b", "b/lost", 0 },
                { "sh", NULL, "/bin/sh", 0 },
                { "tool", "a", NULL, -ENOENT },
                { "tool", "", NULL, -ENOENT },
                { "", "a:b", NULL, -ENOENT },
                { "a/nothing", "b", NULL, -ENOENT },
                { "plain", "a:b", NULL, -EACCES },
                { "plain", "a", NULL, -EACCES },
                { "a/plain", NULL, NULL, -EACCES },
                { "directory", "a", NULL, -EACCES },
                { "a/directory", NULL, NULL, -EACCES },
                { "/", NULL, NULL, -EACCES },
                { "fifo", "a", NULL, -EACCES },
                { "a/plain/under", NULL, NULL, -ENOTDIR },
                { "loop", "a:b", NULL, -ELOOP },
        };

        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                char *path = NULL;

                assert_int_equal(exec_resolve(rows[i].command, rows[i].search, &path), rows[i].error);
                if (rows[i].path)
                        assert_string_equal(path, rows[i].path);
                else
                        assert_null(path);
                free(path);
        }
}

/* The exit status of a child that executes it; 100 + errno if it could not. */
static int status_of(const char *path, char *const *argv) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(100 - exec_file(path, argv));

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void test_execute(void **state) {
        char *const two[] = { (char *)"x", (char *)"one", (char *)"two words", NULL };
        char *const one[] = { (char *)"x", (char *)"one", NULL };
        char *const odd[] = { (char *)"odd name", (char *)"-c", (char *)"[ \"$0\" = 'odd name' ]", NULL };

        (void)state;
        assert_int_equal(status_of("b/tool", two), 0);
        assert_int_equal(status_of("b/bare", one), 9); /* ENOEXEC: by /bin/sh */
        assert_int_equal(status_of("/bin/sh", odd), 0);
        assert_int_equal(status_of("b/lost", one), 100 + ENOENT);
        assert_int_equal(status_of("a/plain", one), 100 + EACCES);
        assert_int_equal(status_of("a/nothing", one), 100 + ENOENT);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_resolve),
                cmocka_unit_test(test_execute),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
