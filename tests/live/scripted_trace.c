/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Traces, and whether they agree with reports. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scripted.h"

static char *read_text(const char *path, int *ret_length) {
        FILE *file = fopen(path, "re");
        char *text = NULL;
        size_t size = 0;
        ssize_t length;

        CHECK(file != NULL);
        length = getdelim(&text, &size, '\0', file);
        CHECK(length > 0);
        (void)fclose(file);
        *ret_length = (int)length;
        return text;
}

struct json_object *scripted_read_trace(const char *path) {
        struct json_tokener *tokener = json_tokener_new();
        struct json_object *trace;
        int length;
        char *text = read_text(path, &length);

        CHECK(tokener != NULL);
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        trace = json_tokener_parse_ex(tokener, text, length);
        if (json_tokener_get_error(tokener) != json_tokener_success || !trace)
                printf("# %s\n", text + (length > 500 ? length - 500 : 0));
        CHECK(trace != NULL);
        CHECK_EQUAL(json_tokener_get_parse_end(tokener), (size_t)length);
        json_tokener_free(tokener);
        free(text);
        CHECK_EQUAL(strcmp(json_object_get_string(
                                   json_object_object_get(json_object_object_get(trace, "otherData"), "schema")),
                           "modgate.trace/1"),
                    0);
        return trace;
}

static bool has_text(struct json_object *object, const char *member, const char *text) {
        const char *found = json_object_get_string(json_object_object_get(object, member));

        return found && strcmp(found, text) == 0;
}

/* The events of `name` (NULL: of any). */
static unsigned int count(struct json_object *trace, const char *name, const char *category, const char *member,
                          const char *text) {
        struct json_object *events = json_object_object_get(trace, "traceEvents");
        unsigned int found = 0;

        for (size_t i = 0; i < json_object_array_length(events); i++) {
                struct json_object *event = json_object_array_get_idx(events, i);

                found += has_text(event, "cat", category) && (!name || has_text(event, "name", name)) &&
                         (!member || has_text(json_object_object_get(event, "args"), member, text));
        }
        return found;
}

unsigned int scripted_events(struct json_object *trace, const char *category, const char *member, const char *text) {
        return count(trace, NULL, category, member, text);
}

uint64_t scripted_dropped(struct json_object *trace) {
        struct json_object *events = json_object_object_get(trace, "traceEvents");
        uint64_t dropped = 0;

        for (size_t i = 0; i < json_object_array_length(events); i++) {
                struct json_object *event = json_object_array_get_idx(events, i);

                if (has_text(event, "name", "dropped") && has_text(event, "cat", "trace"))
                        dropped += json_object_get_uint64(
                                json_object_object_get(json_object_object_get(event, "args"), "count"));
        }
        return dropped;
}

static uint64_t number(struct json_object *entry, const char *name) {
        return json_object_get_uint64(json_object_object_get(entry, name));
}

static void check_module(struct json_object *trace, struct json_object *entry) {
        static const char *const answers[] = { "joined", "live", "behind", "remembered", "continued" };
        const char *name = json_object_get_string(json_object_object_get(entry, "name"));

        CHECK_EQUAL(count(trace, name, "request", NULL, NULL), number(entry, "requests"));
        for (size_t i = 0; i < SCRIPTED_COUNT(answers); i++)
                CHECK_EQUAL(count(trace, name, "request", "answer", answers[i]), number(entry, answers[i]));
        CHECK_EQUAL(count(trace, name, "load", NULL, NULL), number(entry, "loads"));
        CHECK_EQUAL(count(trace, name, "load", "made_up", "true"), number(entry, "made_up"));
        json_object_object_foreach(json_object_object_get(entry, "results"), result, value) {
                if (strcmp(result, "ok") != 0 && strcmp(result, "other") != 0 && strcmp(result, "unknown") != 0)
                        CHECK_EQUAL(count(trace, name, "load", "result", result), json_object_get_uint64(value));
        }
}

void scripted_check_trace(struct json_object *trace, struct json_object *report) {
        struct json_object *modules = json_object_object_get(report, "modules");

        CHECK_EQUAL(scripted_dropped(trace), 0);
        CHECK_EQUAL(scripted_events(trace, "request", NULL, NULL), scripted_number(report, "totals", "requests"));
        CHECK_EQUAL(scripted_events(trace, "load", NULL, NULL), scripted_number(report, "totals", "loads"));
        CHECK_EQUAL(scripted_events(trace, "request", "answer", "continued"), scripted_continued(report));
        CHECK_EQUAL(scripted_events(trace, "request", "answer", "gone") +
                            scripted_events(trace, "request", "delivered", "false"),
                    scripted_number(report, "totals", "gone"));
        json_object_object_foreach(json_object_object_get(report, "continued"), reason, value)
                CHECK_EQUAL(scripted_events(trace, "request", "reason", reason), json_object_get_uint64(value));
        for (size_t i = 0; i < json_object_array_length(modules); i++)
                check_module(trace, json_object_array_get_idx(modules, i));
}
