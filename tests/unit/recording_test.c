/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recording.h"

/* As grep counts them. */
#define CALLS_OF_BOOT 30

#define TRACE(events) "{\"otherData\":{\"schema\":\"modgate.trace/1\"},\"traceEvents\":[" events "]}\n"
#define REQUEST(name, ts, tid, args)                                                                                   \
        "{\"name\":\"" name "\",\"cat\":\"request\",\"ph\":\"X\",\"ts\":" ts ",\"dur\":5,\"pid\":1,\"tid\":" tid       \
        ",\"args\":{" args "}}"
#define FINIT "\"call\":\"finit_module\",\"is_module\":true"

static struct recording_problem problem;

static struct recording parse(const char *text) {
        struct recording recording;

        problem.text[0] = '\0';
        if (recording_parse(text, strlen(text), &recording, &problem) != 0)
                fail_msg("%s", problem.text);
        return recording;
}

static void refuse(const char *text, int error, const char *says) {
        struct recording recording;

        assert_int_equal(recording_parse(text, strlen(text), &recording, &problem), error);
        if (!strstr(problem.text, says))
                fail_msg("'%s' is not in '%s'", says, problem.text);
}

/* A trace is in the order of ends; calls are made in that of their beginnings. */
static void test_trace(void **state) {
        struct recording recording =
                parse(TRACE(REQUEST("beta", "1200.5", "8", FINIT ",\"result\":\"EEXIST\",\"errno\":17") "," REQUEST(
                        "alpha", "1000", "9",
                        FINIT
                        ",\"path\":\"/m/\\u00e4.ko\",\"errno\":0") "," REQUEST("alpha", "1100", "8",
                                                                               "\"call\":\"init_module\",\"is_module\":"
                                                                               "true,\"reason\":\"bypass\"")));

        (void)state;
        assert_int_equal(recording.call_count, 3);
        assert_int_equal(recording.caller_count, 2);
        assert_int_equal(recording.duration_ns, 200500);
        assert_int_equal(recording.calls[0].at_ns, 0);
        assert_int_equal(recording.calls[0].caller, 1);
        assert_int_equal(recording.calls[0].error, 0);
        assert_false(recording.calls[0].init);
        assert_int_equal(recording.calls[1].at_ns, 100000);
        assert_int_equal(recording.calls[1].caller, 0);
        assert_int_equal(recording.calls[1].error, RECORDING_NO_RESULT);
        assert_true(recording.calls[1].init);
        assert_int_equal(recording.calls[2].error, EEXIST);
        assert_string_equal(recording.modules[recording.calls[0].module].name, "alpha");
        /* a byte for a character */
        assert_string_equal(recording.modules[recording.calls[0].module].path, "/m/\xe4.ko");
        assert_int_equal(recording.modules[recording.calls[0].module].calls, 2);
        assert_false(recording.modules[recording.calls[0].module].was_live);
        assert_true(recording.modules[recording.calls[2].module].was_live);
        recording_deinit(&recording);
}

static void test_loads(void **state) {
        struct recording recording = parse(TRACE(
                "{\"name\":\"alpha\",\"cat\":\"load\",\"ts\":1,\"dur\":7,\"tid\":0,\"args\":{" FINIT ",\"errno\":17}},"
                "{\"name\":\"dropped\",\"cat\":\"trace\",\"ph\":\"i\",\"ts\":3,\"args\":{\"count\":12}}," REQUEST(
                        "alpha", "0", "1", FINIT ",\"errno\":17") "," REQUEST("(unknown)", "0", "1", "\"errno\":17")));

        (void)state;
        assert_int_equal(recording.call_count, 1);
        assert_int_equal(recording.dropped, 12);
        assert_int_equal(recording.unnamed, 1);
        /* its init said so: nothing was live */
        assert_false(recording.modules[0].was_live);
        assert_int_equal(recording.modules[0].loads, 1);
        assert_int_equal(recording.modules[0].error, EEXIST);
        assert_int_equal(recording.modules[0].load_ns, 7000);
        recording_deinit(&recording);
}

static void test_params(void **state) {
        struct recording recording = parse(TRACE(REQUEST("a", "0", "1", FINIT ",\"params_length\":0,\"params_hash\":\"00\"") "," REQUEST(
                "a", "1", "1",
                FINIT
                ",\"params_length\":7,\"params_hash\":\"12\"") "," REQUEST("a", "2", "1",
                                                                           FINIT
                                                                           ",\"params_length\":7,\"params_hash\":"
                                                                           "\"12\"") "," REQUEST("a", "3", "1",
                                                                                                 FINIT
                                                                                                 ",\"params_length\":7,"
                                                                                                 "\"params_hash\":"
                                                                                                 "\"13\"") "," REQUEST("a",
                                                                                                                       "4",
                                                                                                                       "1",
                                                                                                                       FINIT)));

        (void)state;
        assert_int_equal(recording.calls[0].params, 0);
        assert_int_not_equal(recording.calls[1].params, 0);
        assert_int_equal(recording.calls[1].params, recording.calls[2].params);
        assert_int_not_equal(recording.calls[1].params, recording.calls[3].params);
        assert_int_equal(recording.calls[4].params, 0);
        recording_deinit(&recording);
}

static void test_no_trace(void **state) {
        (void)state;
        refuse("", -EINVAL, "none of 0 lines");
        refuse("hello\nworld\n", -EINVAL, "none of 2 lines");
        refuse("{", -EINVAL, "it is no JSON");
        refuse("{} x", -EINVAL, "it is no JSON");
        refuse("{\"otherData\":1}", -EINVAL, "schema");
        refuse("{\"otherData\":{\"schema\":\"modgate.trace/2\"},\"traceEvents\":[]}", -EINVAL,
               "schema modgate.trace/1");
        refuse("{\"otherData\":{\"schema\":\"modgate.trace/1\"}}", -EINVAL, "traceEvents");
        refuse(TRACE(""), -EINVAL, "no call");
        refuse(TRACE("1,[],null,\"x\""), -EINVAL, "no call");
        refuse(TRACE(REQUEST("a", "-1", "1", FINIT)), -EINVAL, "event 0");
        refuse(TRACE(REQUEST("a", "1e300", "1", FINIT)), -EINVAL, "event 0");
        refuse(TRACE(REQUEST("a", "1", "-1", FINIT)), -EINVAL, "event 0");
        refuse(TRACE(REQUEST("a", "1", "\"x\"", FINIT)), -EINVAL, "event 0");
        refuse("{\"otherData\":{\"schema\":\"modgate.trace/1\"},\"traceEvents\":[[[[[[[[[[[[]]]]]]]]]]]]}", -EINVAL,
               "JSON");
}

static void test_too_much(void **state) {
        size_t size = (size_t)RECORDING_BYTES_MAX + 1;
        char *text = malloc(size);
        struct recording recording;

        (void)state;
        assert_non_null(text);
        memset(text, ' ', size);
        assert_int_equal(recording_parse(text, size, &recording, &problem), -E2BIG);
        free(text);
}

static struct recording parse_file(const char *name) {
        static char text[65536];
        FILE *file = fopen(name, "re");
        size_t length;

        assert_non_null(file);
        length = fread(text, 1, sizeof(text) - 1, file);
        (void)fclose(file);
        text[length] = '\0';
        return parse(text);
}

/* One that modgate wrote. */
static void test_recorded(void **state) {
        struct recording recording = parse_file(DATA "/storm.trace.json");

        (void)state;
        assert_int_equal(recording.call_count, 20);
        assert_int_equal(recording.caller_count, 20);
        assert_int_equal(recording.module_count, 3);
        assert_int_equal(recording.unnamed + recording.dropped, 0);
        for (size_t i = 0; i < recording.module_count; i++) {
                bool fails = strcmp(recording.modules[i].name, "beta") == 0;

                assert_int_equal(recording.modules[i].error, fails ? ENODEV : 0);
                assert_int_equal(recording.modules[i].loads, fails ? 2 : 1);
                assert_true(recording.modules[i].by_name);
        }
        recording_deinit(&recording);
}

/* The beginning of a boot of Debian 12. */
static void test_boot(void **state) {
        struct recording recording = parse_file(DATA "/boot.ftrace");

        (void)state;
        assert_true(recording.is_ftrace);
        assert_int_equal(recording.call_count, CALLS_OF_BOOT);
        assert_int_equal(recording.unnamed, 0);
        assert_string_equal(recording.modules[recording.calls[0].module].name, "autofs4");
        for (size_t i = 0; i < recording.module_count; i++)
                assert_false(recording.modules[i].was_live);
        recording_deinit(&recording);
}

#define OPEN(task, at, path)                                                                                           \
        "  " task " [001] ..... " at ": modgate_open: (do_sys_openat2+0x0/0x190) path=\"" path "\"\n"
#define ENTER(task, at) "  " task " [001] ..... " at ": sys_finit_module(fd: 5, uargs: 7f1, flags: 0)\n"
#define EXIT(task, at, result) "  " task " [001] ..... " at ": sys_finit_module -> " result "\n"

static void test_ftrace(void **state) {
        struct recording recording = parse(
                "# tracer: nop\n#\n" OPEN("(udev-worker)-12", "    1.000001", "/lib/modules/6.1/kernel/with-dash.ko.xz")
                        OPEN("(udev-worker)-13", "    1.000001",
                             "/lib/modules/6.1/kernel/beta.ko") OPEN("(udev-worker)-13", "    1.000002", "/etc/passwd")
                                ENTER("(udev-worker)-12", "    1.000100") ENTER("(udev-worker)-13", "    1.000150")
                                        EXIT("(udev-worker)-13", "    1.000200",
                                             "0xffffffffffffffef") EXIT("(udev-worker)-12", "    1.000400",
                                                                        "0x0") ENTER("odd [3] name-12", "    2.000100")
                                                EXIT("odd [3] name-12", "    2.000110", "0xffffffed")
                                                        ENTER("nobody-99", "    2.000110")
                                                                EXIT("nobody-99", "    2.000110",
                                                                     "0x0") "  x-13 [000] d..1. 2.5: half a line\n");

        (void)state;
        assert_true(recording.is_ftrace);
        assert_int_equal(recording.call_count, 3);
        assert_int_equal(recording.caller_count, 2);
        assert_int_equal(recording.unnamed, 1);
        assert_int_equal(recording.module_count, 2);
        assert_string_equal(recording.modules[recording.calls[0].module].name, "with_dash");
        assert_int_equal(recording.calls[0].error, 0);
        assert_int_equal(recording.calls[0].took_ns, 300000);
        assert_int_equal(recording.calls[1].at_ns, 50000);
        assert_int_equal(recording.calls[1].error, EEXIST);
        assert_int_equal(recording.calls[2].at_ns, 1000000000);
        assert_int_equal(recording.calls[2].error, ENODEV);
        /* one of its loads succeeded */
        assert_int_equal(recording.modules[recording.calls[0].module].error, 0);
        assert_true(recording.modules[recording.calls[1].module].was_live);
        recording_deinit(&recording);
}

/* The trace was read in the middle of a call. */
static void test_ftrace_unfinished(void **state) {
        struct recording recording = parse(OPEN("a-1", "1.000000", "/a.ko") ENTER("a-1", "1.000001"));

        (void)state;
        assert_int_equal(recording.call_count, 1);
        assert_int_equal(recording.calls[0].error, RECORDING_NO_RESULT);
        recording_deinit(&recording);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_trace),
                cmocka_unit_test(test_loads),
                cmocka_unit_test(test_params),
                cmocka_unit_test(test_no_trace),
                cmocka_unit_test(test_too_much),
                cmocka_unit_test(test_ftrace),
                cmocka_unit_test(test_ftrace_unfinished),
                cmocka_unit_test(test_recorded),
                cmocka_unit_test(test_boot),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
