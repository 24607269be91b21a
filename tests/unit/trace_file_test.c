/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The file of a trace is JSON at every moment: after each event, after SIGKILL, and when there is no room. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "observe/trace_file.h"

#define BEGIN "{\"traceEvents\":[\n0"
#define KILLS 300

static char scratch[] = "/tmp/modgate-trace-test-XXXXXX";

static int setup(void **state) {
        (void)state;
        return mkdtemp(scratch) && chdir(scratch) == 0 ? 0 : -1;
}

static int teardown(void **state) {
        char command[64];

        (void)state;
        (void)snprintf(command, sizeof(command), "rm -rf %s", scratch);
        return chdir("/") < 0 || system(command) != 0 ? -1 : 0;
}

/* The number of events, or -1: what stands there is no JSON. */
static long read_back(const char *path) {
        struct json_tokener *tokener = json_tokener_new();
        struct json_object *trace = NULL;
        FILE *file = fopen(path, "re");
        char *text = NULL;
        size_t size = 0;
        ssize_t length = file ? getdelim(&text, &size, '\0', file) : -1;
        long events = -1;

        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
        if (length > 0)
                trace = json_tokener_parse_ex(tokener, text, (int)length);
        if (trace && json_tokener_get_parse_end(tokener) == (size_t)length)
                events = (long)json_object_array_length(json_object_object_get(trace, "traceEvents")) - 1;
        (void)json_object_put(trace);
        json_tokener_free(tokener);
        free(text);
        if (file)
                (void)fclose(file);
        return events;
}

/* An event of that length. */
static size_t make_event(char event[static TRACE_TEXT_MAX], size_t length) {
        memset(event, 'x', length);
        event[0] = event[length - 1] = '"';
        return length;
}

static uint32_t random_below(uint32_t below) {
        static uint32_t state = 2463534242U;

        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        return state % below;
}

static void test_empty(void **state) {
        struct trace_file file;

        (void)state;
        assert_int_equal(trace_file_create(&file, "empty", BEGIN, strlen(BEGIN)), 0);
        assert_int_equal(read_back("empty"), 0);
        assert_int_equal(access("empty.new", F_OK), 0);
        trace_file_close(&file);
        assert_int_equal(read_back("empty"), 0);
        assert_int_equal(access("empty.new", F_OK), -1);
}

/* Of all lengths, so that ends and events meet the ends of pages in all ways. */
static void test_every_event(void **state) {
        struct trace_file file;
        char event[TRACE_TEXT_MAX];

        (void)state;
        assert_int_equal(trace_file_create(&file, "every", BEGIN, strlen(BEGIN)), 0);
        for (long i = 1; i <= 3000; i++) {
                size_t length = i % 100 == 0 ? TRACE_TEXT_MAX - random_below(8) : 2 + random_below(700);

                assert_int_equal(trace_file_append(&file, event, make_event(event, length)), 0);
                if (i < 200 || i % 50 == 0)
                        assert_int_equal(read_back("every"), i);
        }
        trace_file_close(&file);
        assert_int_equal(read_back("every"), 3000);
}

/* What stood there before is replaced; a link is, and not what it leads to. */
static void test_replaces(void **state) {
        struct trace_file file;
        struct stat status;

        (void)state;
        assert_int_equal(symlink("precious", "trace"), 0);
        assert_int_equal(symlink("precious", "trace.new"), 0);
        assert_int_equal(trace_file_create(&file, "trace", BEGIN, strlen(BEGIN)), 0);
        trace_file_close(&file);
        assert_int_equal(lstat("trace", &status), 0);
        assert_true(S_ISREG(status.st_mode));
        assert_int_equal(access("precious", F_OK), -1);
        assert_int_equal(read_back("trace"), 0);
}

static void test_nowhere(void **state) {
        struct trace_file file;

        (void)state;
        assert_int_equal(trace_file_create(&file, "nowhere/trace", BEGIN, strlen(BEGIN)), -ENOENT);
}

/* A writer that does nothing else, killed at any moment of its writing. */
static void write_for_ever(void) {
        struct trace_file file;
        char event[TRACE_TEXT_MAX];

        if (trace_file_create(&file, "killed", BEGIN, strlen(BEGIN)) < 0)
                _exit(EXIT_FAILURE);
        for (;;)
                if (trace_file_append(&file, event, make_event(event, 200 + random_below(200))) < 0)
                        _exit(EXIT_FAILURE);
}

static void test_killed(void **state) {
        long most = 0;

        (void)state;
        srand((unsigned int)time(NULL));
        for (unsigned int i = 0; i < KILLS; i++) {
                struct timespec pause = { .tv_nsec = 1000000 + rand() % 3000000 };
                long events;
                pid_t pid;
                int status;

                (void)unlink("killed");
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0)
                        write_for_ever();
                while (access("killed", F_OK) < 0)
                        ;
                (void)nanosleep(&pause, NULL);
                assert_int_equal(kill(pid, SIGKILL), 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status));
                events = read_back("killed");
                assert_true(events >= 0);
                most = events > most ? events : most;
        }
        /* they were killed at work */
        assert_true(most > 100);
}

/* No room, wherever that begins: the file stays as it was, and goes on once there is some. */
static void test_no_room(void **state) {
        char event[TRACE_TEXT_MAX];
        struct rlimit unlimited;

        (void)state;
        (void)signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
        for (rlim_t limit = 4000; limit < 8400; limit += 7) {
                struct rlimit limited = { .rlim_cur = limit, .rlim_max = unlimited.rlim_max };
                struct trace_file file;
                long events = 0;

                assert_int_equal(trace_file_create(&file, "full", BEGIN, strlen(BEGIN)), 0);
                assert_int_equal(setrlimit(RLIMIT_FSIZE, &limited), 0);
                while (trace_file_append(&file, event, make_event(event, 100 + random_below(900))) == 0)
                        events++;
                assert_true(trace_file_append(&file, event, make_event(event, TRACE_TEXT_MAX)) < 0);
                assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
                assert_int_equal(read_back("full"), events);
                for (unsigned int i = 0; i < 20; i++)
                        assert_int_equal(trace_file_append(&file, event, make_event(event, 20)), 0);
                assert_int_equal(read_back("full"), events + 20);
                trace_file_close(&file);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_empty),   cmocka_unit_test(test_every_event), cmocka_unit_test(test_replaces),
                cmocka_unit_test(test_nowhere), cmocka_unit_test(test_killed),      cmocka_unit_test(test_no_room),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
