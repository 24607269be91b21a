/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "recording.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recording_private.h"

int recording_fail(struct recording_builder *builder, int error, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(builder->problem->text, sizeof(builder->problem->text), format, arguments);
        va_end(arguments);
        return error;
}

/* Makes room for one more. */
static int grow(struct recording_builder *builder, void **array, size_t count, size_t *room, size_t size) {
        size_t wanted = *room > 0 ? 2 * *room : 64;
        void *grown;

        if (count < *room)
                return 0;
        grown = reallocarray(*array, wanted, size);
        if (!grown)
                return recording_fail(builder, -ENOMEM, "no memory for so many calls");
        *array = grown;
        *room = wanted;
        return 0;
}

static int find_module(const struct recording *recording, const char *name, bool by_name) {
        for (size_t i = 0; i < recording->module_count; i++)
                if (recording->modules[i].by_name == by_name && strcmp(recording->modules[i].name, name) == 0)
                        return (int)i;
        return -1;
}

int recording_module(struct recording_builder *builder, const char *name, bool by_name, const char *path) {
        struct recording *recording = &builder->recording;
        struct recording_module *module;
        char cut[MODULE_NAME_SIZE];
        int r;

        (void)snprintf(cut, sizeof(cut), "%s", name);
        r = find_module(recording, cut, by_name);
        if (r < 0) {
                if (recording->module_count == RECORDING_MODULES_MAX)
                        return recording_fail(builder, -E2BIG, "more than %u modules", RECORDING_MODULES_MAX);
                r = grow(builder, (void **)&recording->modules, recording->module_count, &builder->module_room,
                         sizeof(recording->modules[0]));
                if (r < 0)
                        return r;
                r = (int)recording->module_count++;
                module = &recording->modules[r];
                *module = (struct recording_module){ .by_name = by_name, .error = RECORDING_NO_RESULT };
                memcpy(module->name, cut, sizeof(cut));
        }
        module = &recording->modules[r];
        if (path && !module->path && !(module->path = strdup(path)))
                return recording_fail(builder, -ENOMEM, "no memory for a path");
        return r;
}

/* As libkmod makes a module's name of a path: without `.ko` and what follows, `-` as `_`. */
int recording_file(struct recording_builder *builder, const char *path) {
        const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strstr(base, ".ko");
        size_t length = dot ? (size_t)(dot - base) : strlen(base);
        char name[MODULE_NAME_SIZE];

        if (length >= sizeof(name))
                length = sizeof(name) - 1;
        for (size_t i = 0; i < length; i++)
                name[i] = base[i] == '-' ? '_' : base[i];
        name[length] = '\0';
        return recording_module(builder, name, true, path);
}

int recording_add(struct recording_builder *builder, const struct recording_call *call) {
        struct recording *recording = &builder->recording;
        int r;

        if (recording->call_count == RECORDING_CALLS_MAX)
                return recording_fail(builder, -E2BIG, "more than %u calls", RECORDING_CALLS_MAX);
        r = grow(builder, (void **)&recording->calls, recording->call_count, &builder->call_room,
                 sizeof(recording->calls[0]));
        if (r < 0)
                return r;
        recording->calls[recording->call_count++] = *call;
        recording->modules[call->module].calls++;
        return 0;
}

void recording_add_load(struct recording_builder *builder, uint32_t index, int error, uint64_t took_ns) {
        struct recording_module *module = &builder->recording.modules[index];

        if (module->loads++ == 0)
                module->load_ns = took_ns;
        if (module->error != 0 && (error == 0 || module->error == RECORDING_NO_RESULT))
                module->error = error;
}

static int compare_calls(const void *a, const void *b) {
        const struct recording_call *left = a, *right = b;

        if (left->at_ns != right->at_ns)
                return left->at_ns < right->at_ns ? -1 : 1;
        return (left->thread > right->thread) - (left->thread < right->thread);
}

static int compare_threads(const void *a, const void *b) {
        const uint32_t *left = a, *right = b;

        return (*left > *right) - (*left < *right);
}

/* Gives each thread a number. */
static int count_callers(struct recording_builder *builder) {
        struct recording *recording = &builder->recording;
        uint32_t *threads = calloc(recording->call_count, sizeof(threads[0])), *found;
        size_t count = 0;

        if (!threads)
                return recording_fail(builder, -ENOMEM, "no memory for the callers");
        for (size_t i = 0; i < recording->call_count; i++)
                threads[i] = recording->calls[i].thread;
        qsort(threads, recording->call_count, sizeof(threads[0]), compare_threads);
        for (size_t i = 0; i < recording->call_count; i++)
                if (count == 0 || threads[i] != threads[count - 1])
                        threads[count++] = threads[i];
        for (size_t i = 0; i < recording->call_count; i++) {
                found = bsearch(&recording->calls[i].thread, threads, count, sizeof(threads[0]), compare_threads);
                recording->calls[i].caller = (uint32_t)(found - threads);
        }
        free(threads);
        recording->caller_count = (unsigned int)count;
        if (count > RECORDING_CALLERS_MAX)
                return recording_fail(builder, -E2BIG, "more than %u callers", RECORDING_CALLERS_MAX);
        return 0;
}

static bool is_duplicates(int error) {
        return error == EEXIST || error == EBUSY;
}

/*
 * What the loads of a module resulted in, where only its calls are known: one that succeeded was a load, and so was any
 * failure but those that duplicates get. With nothing but EEXIST it was live before.
 */
static void derive_loads(struct recording *recording) {
        for (size_t i = 0; i < recording->call_count; i++) {
                const struct recording_call *call = &recording->calls[i];
                struct recording_module *module = &recording->modules[call->module];
                bool says_more = module->error == RECORDING_NO_RESULT ||
                                 (is_duplicates(module->error) && !is_duplicates(call->error)) ||
                                 (module->error != 0 && call->error == 0);

                if (module->loads > 0 || call->error == RECORDING_NO_RESULT || !says_more)
                        continue;
                module->error = call->error;
                module->load_ns = call->took_ns;
        }
        for (size_t i = 0; i < recording->module_count; i++) {
                struct recording_module *module = &recording->modules[i];

                module->was_live = module->loads == 0 && module->error == EEXIST;
                if (module->was_live || module->error == RECORDING_NO_RESULT)
                        module->error = 0;
        }
}

static int finish(struct recording_builder *builder) {
        struct recording *recording = &builder->recording;
        uint64_t began_ns;

        if (recording->call_count == 0)
                return recording_fail(builder, -EINVAL, "there is no call in it that names its module");
        qsort(recording->calls, recording->call_count, sizeof(recording->calls[0]), compare_calls);
        began_ns = recording->calls[0].at_ns;
        for (size_t i = 0; i < recording->call_count; i++)
                recording->calls[i].at_ns -= began_ns;
        recording->duration_ns = recording->calls[recording->call_count - 1].at_ns;
        derive_loads(recording);
        return count_callers(builder);
}

int recording_parse(const char *text, size_t length, struct recording *ret, struct recording_problem *problem) {
        struct recording_builder builder = { .problem = problem };
        size_t start = 0;
        int r;

        while (start < length && strchr(" \t\r\n", text[start]) && text[start] != '\0')
                start++;
        builder.recording.is_ftrace = start == length || text[start] != '{';
        if (length > RECORDING_BYTES_MAX)
                r = recording_fail(&builder, -E2BIG, "more than %u MiB", RECORDING_BYTES_MAX >> 20);
        else if (builder.recording.is_ftrace)
                r = recording_read_ftrace(&builder, text, length);
        else
                r = recording_read_json(&builder, text, length);
        if (r == 0)
                r = finish(&builder);
        if (r == 0)
                *ret = builder.recording;
        else
                recording_deinit(&builder.recording);
        return r;
}

void recording_deinit(struct recording *recording) {
        for (size_t i = 0; i < recording->module_count; i++)
                free(recording->modules[i].path);
        free(recording->modules);
        free(recording->calls);
        *recording = (struct recording){ 0 };
}
