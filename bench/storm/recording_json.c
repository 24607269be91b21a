/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Traces of `modgate run --trace`: docs/trace.md. */

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "recording_private.h"

#define SCHEMA "modgate.trace/1"

/* No event is nested deeper than this. */
#define DEPTH_MAX 8

/* Longer than any time that makes sense: a hundred days, in microseconds. */
#define TIME_MAX_US 8.64e12

static struct json_object *member(struct json_object *object, const char *name) {
        struct json_object *value = NULL;

        return json_object_is_type(object, json_type_object) && json_object_object_get_ex(object, name, &value) ? value
                                                                                                                : NULL;
}

/* NULL: it is none. */
static const char *text_of(struct json_object *object, const char *name) {
        struct json_object *value = member(object, name);

        return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

static bool is(struct json_object *object, const char *name, const char *expected) {
        const char *text = text_of(object, name);

        return text && strcmp(text, expected) == 0;
}

static bool number_of(struct json_object *object, const char *name, double lowest, double highest, double *ret) {
        struct json_object *value = member(object, name);
        double number = json_object_get_double(value);

        if (!json_object_is_type(value, json_type_int) && !json_object_is_type(value, json_type_double))
                return false;
        if (!(number >= lowest && number <= highest))
                return false;
        *ret = number;
        return true;
}

/* Bytes, as they were before each became the character of its number. In place; a character beyond these is kept. */
static void to_bytes(char *text) {
        unsigned char *to = (unsigned char *)text;

        for (const unsigned char *from = to; *from != '\0'; from++) {
                if ((*from == 0xc2 || *from == 0xc3) && (from[1] & 0xc0) == 0x80) {
                        *to++ = (unsigned char)(from[0] << 6 | (from[1] & 0x3f));
                        from++;
                } else {
                        *to++ = *from;
                }
        }
        *to = '\0';
}

/* The module of an event. Returns its number, -ENOENT if the event names none, or another negative errno. */
static int module_of(struct recording_builder *builder, struct json_object *event, struct json_object *args) {
        const char *name = text_of(event, "name"), *recorded = text_of(args, "path");
        char *path = recorded ? strdup(recorded) : NULL;
        bool by_name = json_object_get_boolean(member(args, "is_module"));
        int r;

        if (recorded && !path)
                return recording_fail(builder, -ENOMEM, "no memory for a path");
        if (path)
                to_bytes(path);
        if (!name || name[0] == '\0' || name[0] == '(')
                r = -ENOENT;
        else
                r = recording_module(builder, name, by_name, path);
        free(path);
        return r;
}

/* Equal numbers for equal parameters: their length and hash, folded. 0: there are none. */
static uint32_t params_of(struct json_object *args) {
        const char *hash = text_of(args, "params_hash");
        uint32_t number = 2166136261U;
        double length;

        if (!hash || !number_of(args, "params_length", 1, MODULE_PARAMS_MAX, &length))
                return 0;
        for (; *hash; hash++)
                number = (number ^ (unsigned char)*hash) * 16777619U;
        return number != 0 ? number : 1;
}

static int result_of(struct json_object *args) {
        double number;

        return number_of(args, "errno", 0, 1U << 30, &number) ? (int)number : RECORDING_NO_RESULT;
}

static int read_event(struct recording_builder *builder, struct json_object *event, size_t index) {
        struct json_object *args = member(event, "args");
        bool load = is(event, "cat", "load");
        struct recording_call call;
        double ts, dur, tid;
        int r;

        if (is(event, "cat", "trace") && is(event, "name", "dropped")) {
                if (number_of(args, "count", 0, 1e15, &ts))
                        builder->recording.dropped += (uint64_t)ts;
                return 0;
        }
        if (!load && !is(event, "cat", "request"))
                return 0;
        if (!number_of(event, "ts", 0, TIME_MAX_US, &ts) || !number_of(event, "dur", 0, TIME_MAX_US, &dur) ||
            !number_of(event, "tid", 0, UINT32_MAX, &tid))
                return recording_fail(builder, -EINVAL, "event %zu has no time or thread that makes sense", index);
        r = module_of(builder, event, args);
        if (r == -ENOENT) {
                builder->recording.unnamed += !load;
                return 0;
        }
        if (r < 0)
                return r;
        call = (struct recording_call){
                .at_ns = (uint64_t)(ts * 1000),
                .thread = (uint32_t)tid,
                .module = (uint32_t)r,
                .params = params_of(args),
                .init = is(args, "call", "init_module"),
                .error = result_of(args),
                .took_ns = (uint64_t)(dur * 1000),
        };
        if (!load)
                return recording_add(builder, &call);
        recording_add_load(builder, call.module, call.error, call.took_ns);
        return 0;
}

static int read_events(struct recording_builder *builder, struct json_object *trace) {
        struct json_object *events = member(trace, "traceEvents");

        if (!is(member(trace, "otherData"), "schema", SCHEMA))
                return recording_fail(builder, -EINVAL, "it is JSON, but not with the schema " SCHEMA);
        if (!json_object_is_type(events, json_type_array))
                return recording_fail(builder, -EINVAL, "it has no array traceEvents");
        for (size_t i = 0; i < json_object_array_length(events); i++) {
                int r = read_event(builder, json_object_array_get_idx(events, i), i);

                if (r < 0)
                        return r;
        }
        return 0;
}

int recording_read_json(struct recording_builder *builder, const char *text, size_t length) {
        struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
        struct json_object *trace;
        int r;

        if (!tokener)
                return recording_fail(builder, -ENOMEM, "no memory for a parser");
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
        trace = json_tokener_parse_ex(tokener, text, (int)length);
        if (trace && json_tokener_get_error(tokener) == json_tokener_success)
                r = read_events(builder, trace);
        else
                r = recording_fail(builder, -EINVAL, "it is no JSON from byte %zu on (%s)",
                                   json_tokener_get_parse_end(tokener),
                                   json_tokener_error_desc(json_tokener_get_error(tokener)));
        (void)json_object_put(trace);
        json_tokener_free(tokener);
        return r;
}
