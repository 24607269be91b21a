/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "call.h"
#include "modgate/journal.h"
#include "observe/trace_text.h"

#define BEGAN_NS 1000000000U

static const struct trace_record led = {
        .type = TRACE_REQUEST,
        .answer = TRACE_LED,
        .call = CALL_FINIT_MODULE,
        .thread = 4242,
        .error = ENODEV,
        .began_ns = BEGAN_NS + 1234567,
        .ended_ns = BEGAN_NS + 1234567 + 89012,
        .size = 4096,
        .params_hash = { 0x0123456789abcdefU, 0xfU },
        .params_length = 7,
        .flags = 4,
        .is_module = true,
        .knows_params = true,
        .name = "alpha",
        .path = "/lib/modules/alpha.ko.xz",
};

/* Exactly this text. */
static void check_event(const struct trace_record *record, const char *expected) {
        char text[TRACE_TEXT_MAX];
        size_t length = trace_text_event(text, record, BEGAN_NS);

        assert_string_equal(text, expected);
        assert_int_equal(length, strlen(expected));
}

static void test_led(void **state) {
        (void)state;
        check_event(&led,
                    "{\"name\":\"alpha\",\"cat\":\"request\",\"ph\":\"X\",\"ts\":1234.567,\"dur\":89.012,\"pid\":1,"
                    "\"tid\":4242,\"args\":{\"call\":\"finit_module\",\"path\":\"/lib/modules/alpha.ko.xz\","
                    "\"size\":4096,\"flags\":4,\"params_length\":7,"
                    "\"params_hash\":\"0123456789abcdef000000000000000f\",\"is_module\":true,"
                    "\"answer\":\"led\",\"result\":\"ENODEV\",\"errno\":19}}");
}

/* What the kernel answers is not known; nor are parameters that nobody has read. */
static void test_continued(void **state) {
        struct trace_record record = {
                .type = TRACE_REQUEST,
                .answer = TRACE_CONTINUED,
                .reason = CONTINUE_NO_CAPABILITY,
                .call = CALL_INIT_MODULE,
                .thread = 1,
                .began_ns = BEGAN_NS,
                .ended_ns = BEGAN_NS,
        };

        (void)state;
        check_event(&record, "{\"name\":\"(unknown)\",\"cat\":\"request\",\"ph\":\"X\",\"ts\":0.000,\"dur\":0.000,"
                             "\"pid\":1,\"tid\":1,\"args\":{\"call\":\"init_module\",\"answer\":\"continued\","
                             "\"reason\":\"no-capability\"}}");
}

static void test_gone(void **state) {
        struct trace_record record = { .type = TRACE_REQUEST, .answer = TRACE_GONE, .thread = 7, .name = "x" };

        (void)state;
        /* a time before the beginning is the beginning */
        check_event(&record, "{\"name\":\"x\",\"cat\":\"request\",\"ph\":\"X\",\"ts\":0.000,\"dur\":0.000,\"pid\":1,"
                             "\"tid\":7,\"args\":{\"call\":\"unknown\",\"answer\":\"gone\"}}");
}

static void test_undelivered(void **state) {
        struct trace_record record = { .type = TRACE_REQUEST, .answer = TRACE_LIVE, .error = EEXIST, .name = "x" };
        char text[TRACE_TEXT_MAX];

        (void)state;
        record.undelivered = true;
        (void)trace_text_event(text, &record, 0);
        assert_non_null(strstr(text, "\"answer\":\"live\",\"result\":\"EEXIST\",\"errno\":17,\"delivered\":false}}"));
}

static void test_load(void **state) {
        struct trace_record record = led;

        (void)state;
        record.type = TRACE_LOAD;
        record.thread = 3;
        record.error = 0;
        record.made_up = true;
        record.knows_params = false;
        record.path[0] = '\0';
        check_event(&record,
                    "{\"name\":\"alpha\",\"cat\":\"load\",\"ph\":\"X\",\"ts\":1234.567,\"dur\":89.012,\"pid\":2,"
                    "\"tid\":3,\"args\":{\"call\":\"finit_module\",\"size\":4096,\"flags\":4,"
                    "\"is_module\":true,\"result\":\"OK\",\"errno\":0,\"made_up\":true}}");
}

/* An errno that is in no header still has its number. */
static void test_strange_errno(void **state) {
        struct trace_record record = led;
        char text[TRACE_TEXT_MAX];

        (void)state;
        record.error = 524;
        (void)trace_text_event(text, &record, 0);
        assert_non_null(strstr(text, "\"result\":\"unknown\",\"errno\":524"));
}

static void test_dropped(void **state) {
        char text[TRACE_TEXT_MAX];

        (void)state;
        (void)trace_text_dropped(text, 12, BEGAN_NS + 1000, BEGAN_NS);
        assert_string_equal(text,
                            "{\"name\":\"dropped\",\"cat\":\"trace\",\"ph\":\"i\",\"s\":\"g\",\"ts\":1.000,\"pid\":1,"
                            "\"tid\":0,\"args\":{\"count\":12}}");
}

static struct json_object *parse(const char *text) {
        struct json_tokener *tokener = json_tokener_new();
        struct json_object *object;

        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        object = json_tokener_parse_ex(tokener, text, (int)strlen(text));
        assert_int_equal(json_tokener_get_error(tokener), json_tokener_success);
        json_tokener_free(tokener);
        return object;
}

/* Beginning, events and end make one JSON text. */
static void test_whole(void **state) {
        char text[4 * TRACE_TEXT_MAX], event[TRACE_TEXT_MAX];
        struct json_object *trace;
        size_t length = trace_text_begin(text, "6.1.0-\"odd\"", BEGAN_NS);

        (void)state;
        assert_int_equal(length, strlen(text));
        (void)trace_text_event(event, &led, 0);
        length += (size_t)snprintf(text + length, sizeof(text) - length, ",\n%s,\n%s", event, event);
        (void)snprintf(text + length, sizeof(text) - length, "%s", TRACE_TEXT_END);
        trace = parse(text);
        assert_int_equal(json_object_array_length(json_object_object_get(trace, "traceEvents")), 4);
        assert_string_equal(
                json_object_get_string(json_object_object_get(json_object_object_get(trace, "otherData"), "kernel")),
                "6.1.0-\"odd\"");
        (void)json_object_put(trace);
}

/* Every byte there is: the text is JSON, fits, and tells each byte. */
static void test_odd_bytes(void **state) {
        struct trace_record record = led;
        char text[TRACE_TEXT_MAX];
        struct json_object *event;
        const char *path;

        (void)state;
        for (unsigned int i = 0; i < TRACE_PATH_SIZE - 1; i++)
                record.path[i] = (char)(i + 1);
        record.path[TRACE_PATH_SIZE - 1] = '\0';
        memset(record.name, '\xff', sizeof(record.name) - 1);
        record.name[sizeof(record.name) - 1] = '\0';
        record.size = record.params_length = record.flags = record.thread = UINT32_MAX;
        assert_true(trace_text_event(text, &record, 0) < TRACE_TEXT_MAX - 1);
        event = parse(text);
        path = json_object_get_string(json_object_object_get(json_object_object_get(event, "args"), "path"));
        /* bytes over 127 are characters of two bytes each */
        assert_int_equal(strlen(path), 127 + 2 * 128);
        assert_memory_equal(path, "\x01\x02\x03", 3);
        assert_string_equal(path + strlen(path) - 2, "\u00ff");
        (void)json_object_put(event);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_led),       cmocka_unit_test(test_continued),
                cmocka_unit_test(test_gone),      cmocka_unit_test(test_undelivered),
                cmocka_unit_test(test_load),      cmocka_unit_test(test_strange_errno),
                cmocka_unit_test(test_dropped),   cmocka_unit_test(test_whole),
                cmocka_unit_test(test_odd_bytes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
