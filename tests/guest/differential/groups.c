/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Several processes that call at once. Which of them is first is nobody's to say, so the step says how many had which
 * result, and its context what each kind of call would result in alone: compare.c has the rules.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "differential.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define KINDS_MAX 3U
#define CALLERS_MAX 10U

struct kind {
        struct call call;
        struct params params;
        const char *alone;
        unsigned int callers;
};

struct shared {
        unsigned int ready, go;
        long results[CALLERS_MAX];
};

static const struct {
        const char *text, *alone;
} behaviours[] = {
        { "", "OK" },
        { "sleep_ms=30", "OK" },
        { "sleep_ms=5", "OK" },
        { "error=19 sleep_ms=30", "ENODEV" },
        { "error=17 sleep_ms=20", "EEXIST" },
        { "error=16", "EBUSY" },
        { "error=12 sleep_ms=30", "ENOMEM" },
        { "error=4 sleep_ms=10", "EINTR" },
        { "error=abc", "EINVAL" },
};

/* Of one module, each in another way. Returns whether modgate knows the names of all. */
static bool choose(struct kind *kinds, unsigned int count) {
        static const char *const modules[] = { "one", "two", "three", "four" };
        const char *module = modules[random_below(COUNT(modules))];
        bool known = true;

        for (unsigned int i = 0; i < count; i++) {
                struct kind *kind = &kinds[i];
                size_t behaviour = random_below(COUNT(behaviours)), way = random_below(5);
                char label[32];

                *kind = (struct kind){
                        .params = params_of(behaviours[behaviour].text),
                        .alone = behaviours[behaviour].alone,
                        .callers = 1 + (unsigned int)random_below(CALLERS_MAX / KINDS_MAX),
                };
                snprintf(label, sizeof(label), "%s %s", way < 3 ? "indexed" : "plain", module);
                kind->call =
                        (struct call){ .source = source_find(label), .params = &kind->params, .length = &lengths[0] };
                kind->call.init = way == 3;
                if (way < 3)
                        kind->call.flags = indexed_flags();
                known = known && call_known_name(&kind->call);
        }
        return known;
}

static void call_when_told(struct shared *shared, const struct call *call, unsigned int number) {
        __atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
        while (!__atomic_load_n(&shared->go, __ATOMIC_SEQ_CST))
                usleep(500);
        shared->results[number] = call_make(call);
        _exit(0);
}

static void call_at_once(struct shared *shared, const struct kind *kinds, unsigned int count) {
        unsigned int callers = 0;

        memset(shared, 0, sizeof(*shared));
        for (unsigned int i = 0; i < count; i++)
                for (unsigned int j = 0; j < kinds[i].callers; j++, callers++)
                        if (fork() == 0)
                                call_when_told(shared, &kinds[i].call, callers);
        while (__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST) < callers)
                usleep(500);
        __atomic_store_n(&shared->go, 1, __ATOMIC_SEQ_CST);
        while (wait(NULL) > 0)
                ;
}

static int compare_results(const void *a, const void *b) {
        long left = *(const long *)a, right = *(const long *)b;

        return (left < right) - (left > right);
}

/* "A 2*OK 1*EEXIST B 3*ENODEV" */
static void describe_results(struct shared *shared, const struct kind *kinds, unsigned int count, FILE *text) {
        long *results = shared->results;

        for (unsigned int i = 0; i < count; results += kinds[i++].callers) {
                fprintf(text, "%c ", 'A' + i);
                qsort(results, kinds[i].callers, sizeof(*results), compare_results);
                for (unsigned int j = 0, same; j < kinds[i].callers; j += same) {
                        for (same = 1; j + same < kinds[i].callers && results[j + same] == results[j]; same++)
                                ;
                        fprintf(text, "%u*%s ", same, result_name(results[j]));
                }
        }
}

static void describe_group(const struct kind *kinds, unsigned int count, bool known, char *context, char *text,
                           size_t size) {
        FILE *context_file = fmemopen(context, size, "w"), *text_file = fmemopen(text, size, "w");

        fputs(known ? "group known " : "group unknown ", context_file);
        for (unsigned int i = 0; i < count; i++) {
                char call[256];

                call_describe(&kinds[i].call, call, sizeof(call));
                fprintf(context_file, "%c %s ", 'A' + i, kinds[i].alone);
                fprintf(text_file, "%s%u times %s", i > 0 ? " and " : "", kinds[i].callers, call);
        }
        fclose(context_file);
        fclose(text_file);
}

static void group_run(struct shared *shared) {
        struct kind kinds[KINDS_MAX];
        unsigned int count = 1 + (unsigned int)random_below(KINDS_MAX);
        char context[1024], text[1024], outcome[512];
        bool known = choose(kinds, count);
        FILE *file = fmemopen(outcome, sizeof(outcome), "w");

        state_module_load();
        call_at_once(shared, kinds, count);
        describe_results(shared, kinds, count, file);
        fclose(file);
        describe_group(kinds, count, known, context, text, sizeof(text));
        step_write(context, text, outcome);
        modules_remove();
}

void groups_run(unsigned int count) {
        struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        for (unsigned int i = 0; i < count; i++)
                group_run(shared);
        modules_reset();
}
