/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * ftrace's text (/sys/kernel/tracing/trace) of a boot without modgate. A line is
 *
 *     (udev-worker)-345     [002] .....    12.345678: sys_finit_module(fd: 5, uargs: 7f0000000000, flags: 0)
 *
 * Which module a call was for, the kernel does not say of one that fails early. So it is the file ending in .ko (or
 * .ko.xz and so on) that the same thread opened last.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "recording_private.h"

#define LINE_MAX_BYTES 4096U
#define ERRNO_MAX 4095

/* What is known of a thread, between its lines. */
struct thread {
        uint32_t id;
        int module; /* that it opened last, or -1 */
        bool calls; /* it is in a call */
        struct recording_call call;
};

struct reader {
        struct recording_builder *builder;
        struct thread *threads; /* by id */
        size_t count, room;
};

struct line {
        uint32_t thread;
        uint64_t at_ns;
        const char *event; /* and what follows it */
};

/* The place for it, or where it would be. */
static size_t place_of(const struct reader *reader, uint32_t id) {
        size_t low = 0, high = reader->count;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (reader->threads[middle].id < id)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static struct thread *thread_of(struct reader *reader, uint32_t id) {
        size_t place = place_of(reader, id);
        struct thread *grown;

        if (place < reader->count && reader->threads[place].id == id)
                return &reader->threads[place];
        if (reader->count == RECORDING_CALLERS_MAX)
                return NULL;
        if (reader->count == reader->room) {
                size_t room = reader->room > 0 ? 2 * reader->room : 64;

                grown = reallocarray(reader->threads, room, sizeof(grown[0]));
                if (!grown)
                        return NULL;
                reader->threads = grown;
                reader->room = room;
        }
        memmove(&reader->threads[place + 1], &reader->threads[place],
                (reader->count - place) * sizeof(reader->threads[0]));
        reader->count++;
        reader->threads[place] = (struct thread){ .id = id, .module = -1 };
        return &reader->threads[place];
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* Decimal digits, as many as there are, up to `highest`. Returns what follows, or NULL. */
static const char *read_number(const char *text, uint64_t highest, uint64_t *ret) {
        uint64_t number = 0;

        if (!is_digit(*text))
                return NULL;
        for (; is_digit(*text); text++) {
                number = number * 10 + (uint64_t)(*text - '0');
                if (number > highest)
                        return NULL;
        }
        *ret = number;
        return text;
}

/* `12.345678:` with six digits behind the point. Returns what follows the colon, or NULL. */
static const char *read_time(const char *text, uint64_t *ret_ns) {
        uint64_t s, us;
        const char *point = read_number(text, 1000000000U, &s), *end;

        if (!point || *point != '.')
                return NULL;
        end = read_number(point + 1, 999999, &us);
        if (!end || end - point != 7 || *end != ':')
                return NULL;
        *ret_ns = s * 1000000000U + us * 1000U;
        return end + 1;
}

static const char *skip_blanks(const char *text) {
        return text + strspn(text, " \t");
}

/* The CPU in brackets comes behind the thread; a task's own name may have brackets too. */
static bool read_line(const char *text, struct line *line) {
        for (const char *bracket = strchr(text, '['); bracket; bracket = strchr(bracket + 1, '[')) {
                const char *end = bracket, *rest;
                uint64_t cpu, thread;

                rest = read_number(bracket + 1, UINT32_MAX, &cpu);
                while (end > text && end[-1] == ' ')
                        end--;
                while (end > text && is_digit(end[-1]))
                        end--;
                if (!rest || *rest != ']' || end == text || end[-1] != '-' || !read_number(end, UINT32_MAX, &thread))
                        continue;
                rest = skip_blanks(rest + 1);
                rest = skip_blanks(rest + strcspn(rest, " \t")); /* the flags */
                rest = read_time(rest, &line->at_ns);
                if (!rest)
                        continue;
                line->thread = (uint32_t)thread;
                line->event = skip_blanks(rest);
                return true;
        }
        return false;
}

/* `modgate_open: (do_sys_openat2+0x0/0x190) path="/lib/modules/…"`; other files than modules are of no interest. */
static int read_open(struct reader *reader, const struct line *line) {
        const char *quote = strchr(line->event, '"'), *end = quote ? strchr(quote + 1, '"') : NULL;
        char path[LINE_MAX_BYTES];
        struct thread *thread;
        size_t length;

        if (!end)
                return 0;
        length = (size_t)(end - quote - 1);
        memcpy(path, quote + 1, length);
        path[length] = '\0';
        if (!strstr(path, ".ko") || strstr(path, ".ko")[3] == '/')
                return 0;
        if (path[0] == '.' || strstr(path, "/.ko"))
                return 0; /* no module is called that */
        thread = thread_of(reader, line->thread);
        if (!thread)
                return recording_fail(reader->builder, -E2BIG, "more than %u callers", RECORDING_CALLERS_MAX);
        thread->module = recording_file(reader->builder, path);
        return thread->module < 0 ? thread->module : 0;
}

static int read_enter(struct reader *reader, const struct line *line, bool init) {
        struct thread *thread = thread_of(reader, line->thread);

        if (!thread)
                return recording_fail(reader->builder, -E2BIG, "more than %u callers", RECORDING_CALLERS_MAX);
        if (thread->module < 0) {
                reader->builder->recording.unnamed++;
                return 0;
        }
        thread->calls = true;
        thread->call = (struct recording_call){
                .at_ns = line->at_ns,
                .thread = line->thread,
                .module = (uint32_t)thread->module,
                .init = init,
                .error = RECORDING_NO_RESULT,
        };
        return 0;
}

/* `-> 0x0`, or an errno as the kernel has it: `-> 0xffffffffffffffef`. On 32 bits the upper half is missing. */
static int result_of(const char *text) {
        uint64_t value = strtoull(text, NULL, 16);
        int64_t result = value >> 32 == 0 && value > INT32_MAX ? (int32_t)(uint32_t)value : (int64_t)value;

        if (result == 0)
                return 0;
        return result < 0 && result >= -ERRNO_MAX ? (int)-result : RECORDING_NO_RESULT;
}

static int read_exit(struct reader *reader, const struct line *line, const char *arrow) {
        size_t place = place_of(reader, line->thread);
        struct thread *thread;

        if (place == reader->count)
                return 0;
        thread = &reader->threads[place];
        if (thread->id != line->thread || !thread->calls)
                return 0;
        thread->calls = false;
        thread->call.error = result_of(skip_blanks(arrow + 2));
        if (line->at_ns > thread->call.at_ns)
                thread->call.took_ns = line->at_ns - thread->call.at_ns;
        return recording_add(reader->builder, &thread->call);
}

static bool starts(const char *text, const char *with) {
        return strncmp(text, with, strlen(with)) == 0;
}

static int read_event(struct reader *reader, const struct line *line) {
        const char *arrow = strstr(line->event, "->");

        if (starts(line->event, "modgate_open:"))
                return read_open(reader, line);
        if (starts(line->event, "sys_finit_module("))
                return read_enter(reader, line, false);
        if (starts(line->event, "sys_init_module("))
                return read_enter(reader, line, true);
        if (arrow && (starts(line->event, "sys_finit_module ->") || starts(line->event, "sys_init_module ->")))
                return read_exit(reader, line, arrow);
        return 0;
}

/* Calls that had not returned when the trace was read. */
static int add_unfinished(struct reader *reader) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < reader->count; i++)
                if (reader->threads[i].calls)
                        r = recording_add(reader->builder, &reader->threads[i].call);
        return r;
}

static int read_lines(struct reader *reader, const char *text, size_t length) {
        size_t lines = 0, understood = 0;
        char copy[LINE_MAX_BYTES];
        struct line line;
        int r = 0;

        for (const char *end = text + length; r == 0 && text < end;) {
                const char *newline = memchr(text, '\n', (size_t)(end - text));
                size_t size = (size_t)((newline ? newline : end) - text);

                if (size < sizeof(copy) && size > 0 && text[0] != '#') {
                        lines++;
                        memcpy(copy, text, size);
                        copy[size] = '\0';
                        if (read_line(copy, &line)) {
                                understood++;
                                r = read_event(reader, &line);
                        }
                }
                text = newline ? newline + 1 : end;
        }
        if (r == 0 && understood == 0)
                return recording_fail(reader->builder, -EINVAL,
                                      "it is neither JSON nor ftrace's text: none of %zu lines is an event", lines);
        return r;
}

int recording_read_ftrace(struct recording_builder *builder, const char *text, size_t length) {
        struct reader reader = { .builder = builder };
        int r = read_lines(&reader, text, length);

        if (r == 0)
                r = add_unfinished(&reader);
        free(reader.threads);
        return r;
}
