/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "observe/trace_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "call.h"
#include "observe/names.h"

/* Rows of the picture are threads of processes: the callers' threads, and the loaders. */
#define ROWS_OF_CALLERS 1
#define ROWS_OF_LOADERS 2

static const char *const answer_names[TRACE_ANSWERS] = {
        [TRACE_LED] = "led",       [TRACE_JOINED] = "joined",         [TRACE_LIVE] = "live",
        [TRACE_BEHIND] = "behind", [TRACE_REMEMBERED] = "remembered", [TRACE_CONTINUED] = "continued",
        [TRACE_GONE] = "gone",
};

static const char *const call_names[] = {
        [CALL_UNKNOWN] = "unknown",
        [CALL_INIT_MODULE] = "init_module",
        [CALL_FINIT_MODULE] = "finit_module",
};

struct text {
        char *bytes; /* TRACE_TEXT_MAX of them */
        size_t length;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...) {
        va_list arguments;
        int added;

        va_start(arguments, format);
        added = vsnprintf(text->bytes + text->length, TRACE_TEXT_MAX - text->length, format, arguments);
        va_end(arguments);
        if (added > 0)
                text->length += (size_t)added;
        if (text->length >= TRACE_TEXT_MAX)
                text->length = TRACE_TEXT_MAX - 1;
}

/* A file name is bytes of no known encoding: each that is not plain ASCII becomes the character of its number. */
static void add_string(struct text *text, const char *bytes, size_t size) {
        add(text, "\"");
        for (size_t i = 0; i < size && bytes[i] != '\0'; i++) {
                unsigned char byte = (unsigned char)bytes[i];

                if (byte < ' ' || byte > '~' || byte == '"' || byte == '\\')
                        add(text, "\\u%04x", byte);
                else
                        add(text, "%c", byte);
        }
        add(text, "\"");
}

/* Microseconds, as the format has them. */
static void add_us(struct text *text, const char *member, uint64_t ns) {
        add(text, ",\"%s\":%" PRIu64 ".%03u", member, ns / 1000, (unsigned int)(ns % 1000));
}

static uint64_t later(uint64_t ns, uint64_t than_ns) {
        return ns > than_ns ? ns - than_ns : 0;
}

size_t trace_text_begin(char bytes[static TRACE_TEXT_MAX], const char *release, uint64_t began_ns) {
        struct text text = { .bytes = bytes };

        add(&text, "{\"otherData\":{\"schema\":\"modgate.trace/1\",\"modgate\":\"%s\",\"kernel\":", MODGATE_VERSION);
        add_string(&text, release, strlen(release));
        add_us(&text, "began_us", began_ns);
        add(&text, "},\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
        add(&text, "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":%d,\"tid\":0,\"args\":{\"name\":\"callers\"}},\n",
            ROWS_OF_CALLERS);
        add(&text, "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":%d,\"tid\":0,\"args\":{\"name\":\"loaders\"}}",
            ROWS_OF_LOADERS);
        return text.length;
}

static void add_call(struct text *text, const struct trace_record *record) {
        bool known = record->call <= CALL_FINIT_MODULE;

        add(text, ",\"args\":{\"call\":\"%s\"", call_names[known ? record->call : CALL_UNKNOWN]);
        if (record->path[0] != '\0') {
                add(text, ",\"path\":");
                add_string(text, record->path, sizeof(record->path));
        }
        if (record->size > 0)
                add(text, ",\"size\":%" PRIu64, record->size);
        if (record->call == CALL_FINIT_MODULE)
                add(text, ",\"flags\":%" PRIu32, record->flags);
        if (record->knows_params)
                add(text, ",\"params_length\":%" PRIu32 ",\"params_hash\":\"%016" PRIx64 "%016" PRIx64 "\"",
                    record->params_length, record->params_hash[0], record->params_hash[1]);
}

static void add_result(struct text *text, int error) {
        add(text, ",\"result\":\"%s\",\"errno\":%d", error == 0 ? "OK" : name_of_error(error), error);
}

static void add_request(struct text *text, const struct trace_record *record) {
        uint32_t answer = record->answer < TRACE_ANSWERS ? record->answer : TRACE_GONE;

        add(text, ",\"answer\":\"%s\"", answer_names[answer]);
        if (answer == TRACE_CONTINUED)
                add(text, ",\"reason\":\"%s\"", name_of_reason(record->reason));
        else if (answer != TRACE_GONE)
                add_result(text, record->error);
        if (record->undelivered)
                add(text, ",\"delivered\":false");
}

size_t trace_text_event(char bytes[static TRACE_TEXT_MAX], const struct trace_record *record, uint64_t began_ns) {
        struct text text = { .bytes = bytes };
        bool load = record->type == TRACE_LOAD;

        add(&text, "{\"name\":");
        add_string(&text, record->name[0] != '\0' ? record->name : "(unknown)", sizeof(record->name));
        add(&text, ",\"cat\":\"%s\",\"ph\":\"X\"", load ? "load" : "request");
        add_us(&text, "ts", later(record->began_ns, began_ns));
        add_us(&text, "dur", later(record->ended_ns, record->began_ns));
        add(&text, ",\"pid\":%d,\"tid\":%" PRIu32, load ? ROWS_OF_LOADERS : ROWS_OF_CALLERS, record->thread);
        add_call(&text, record);
        if (record->is_module)
                add(&text, ",\"is_module\":true");
        if (load)
                add_result(&text, record->error);
        else
                add_request(&text, record);
        if (load && record->made_up)
                add(&text, ",\"made_up\":true");
        add(&text, "}}");
        return text.length;
}

size_t trace_text_dropped(char bytes[static TRACE_TEXT_MAX], uint64_t count, uint64_t now_ns, uint64_t began_ns) {
        struct text text = { .bytes = bytes };

        add(&text, "{\"name\":\"dropped\",\"cat\":\"trace\",\"ph\":\"i\",\"s\":\"g\"");
        add_us(&text, "ts", later(now_ns, began_ns));
        add(&text, ",\"pid\":%d,\"tid\":0,\"args\":{\"count\":%" PRIu64 "}}", ROWS_OF_CALLERS, count);
        return text.length;
}
