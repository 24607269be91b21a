/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Random policies, and what has to be true of any of them. Names, patterns and parameters are of few letters, so that
 * much of it meets.
 */

#include "policy/policy.h"

#include <errno.h>
#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history.h"
#include "policy/parameters.h"
#include "policy/pattern.h"

#define LINES_MAX 12
#define LINE_SIZE 128
#define FILES_MAX 3

struct text {
        char lines[LINES_MAX][LINE_SIZE];
        size_t count;
};

static const char *const letters[] = { "a", "b", "_", "-", "*", "?", "[ab]", "[!a]", "[_-]", "[a-b]" };

static void append(char *text, size_t size, const char *more) {
        size_t length = strlen(text);

        (void)snprintf(text + length, size - length, "%s", more);
}

/* 1 to 3 letters of the first `kinds`. */
static void draw_word(struct history_random *random, char *text, size_t size, size_t kinds) {
        for (uint64_t i = 1 + history_draw(random, 3); i > 0; i--)
                append(text, size, letters[history_draw(random, kinds)]);
}

static void draw_entry(struct history_random *random, char *text, size_t size) {
        if (history_draw(random, 4) == 0)
                append(text, size, "alias:");
        draw_word(random, text, size, sizeof(letters) / sizeof(letters[0]));
}

static void draw_line(struct history_random *random, char line[static LINE_SIZE]) {
        static const char *const starts[] = { "allow=", "allow =", "deny=", " allow=" };
        uint64_t kind = history_draw(random, 10);

        line[0] = '\0';
        if (kind == 0) {
                append(line, LINE_SIZE, history_draw(random, 2) ? "[p]" : "[q]");
        } else if (kind == 1) {
                append(line, LINE_SIZE, "# allow=*");
        } else if (kind == 2) {
                append(line, LINE_SIZE, "parameters=");
                draw_entry(random, line, LINE_SIZE);
                append(line, LINE_SIZE, " a=");
                draw_word(random, line, LINE_SIZE, sizeof(letters) / sizeof(letters[0]));
        } else {
                append(line, LINE_SIZE, starts[history_draw(random, sizeof(starts) / sizeof(starts[0]))]);
                draw_entry(random, line, LINE_SIZE);
                append(line, LINE_SIZE, " ");
                draw_entry(random, line, LINE_SIZE);
        }
}

/* The lines of one file, below a section. */
static void draw_text(struct history_random *random, struct text *text) {
        text->count = 1 + history_draw(random, LINES_MAX - 1);
        (void)snprintf(text->lines[0], LINE_SIZE, "[p]");
        for (size_t i = 1; i < text->count; i++)
                draw_line(random, text->lines[i]);
}

/* All lines with their ends; to be freed. */
static char *join(const struct text *text) {
        char *joined = calloc(text->count + 1, LINE_SIZE + 1);

        assert_non_null(joined);
        for (size_t i = 0; i < text->count; i++) {
                append(joined, (text->count + 1) * (LINE_SIZE + 1), text->lines[i]);
                append(joined, (text->count + 1) * (LINE_SIZE + 1), "\n");
        }
        return joined;
}

static int parse(const struct text *texts, size_t count, struct policy **ret) {
        struct policy_file files[FILES_MAX];
        char *joined[FILES_MAX];
        int r;

        for (size_t i = 0; i < count; i++) {
                joined[i] = join(&texts[i]);
                files[i] = (struct policy_file){ .name = "file", .text = joined[i], .length = strlen(joined[i]) };
        }
        r = policy_parse(files, count, NULL, NULL, ret);
        for (size_t i = 0; i < count; i++)
                free(joined[i]);
        return r;
}

struct drawn_request {
        struct policy_request request;
        struct policy_module dependency, dependent;
        char name[8], alias[8], other[8], third[8], parameters[16];
        const char *aliases[1];
};

static void draw_request(struct history_random *random, struct drawn_request *drawn) {
        memset(drawn, 0, sizeof(*drawn));
        draw_word(random, drawn->name, sizeof(drawn->name), 4);
        draw_word(random, drawn->alias, sizeof(drawn->alias), 4);
        draw_word(random, drawn->other, sizeof(drawn->other), 4);
        draw_word(random, drawn->third, sizeof(drawn->third), 4);
        drawn->aliases[0] = drawn->alias;
        drawn->dependency.name = drawn->other;
        drawn->dependent.name = drawn->third;
        drawn->request.module = (struct policy_module){ .name = drawn->name,
                                                        .aliases = drawn->aliases,
                                                        .alias_count = history_draw(random, 2) };
        drawn->request.dependencies = &drawn->dependency;
        drawn->request.dependency_count = history_draw(random, 2);
        drawn->request.dependents = &drawn->dependent;
        drawn->request.dependent_count = history_draw(random, 2);
        drawn->request.caller.root = history_draw(random, 8) > 0;
        drawn->request.live = history_draw(random, 8) == 0;
        if (history_draw(random, 2)) {
                append(drawn->parameters, sizeof(drawn->parameters), "a=");
                draw_word(random, drawn->parameters, sizeof(drawn->parameters), 4);
                drawn->request.parameters = drawn->parameters;
                drawn->request.parameter_length = strlen(drawn->parameters);
        }
}

static int answer(const struct policy *policy, const struct drawn_request *drawn) {
        return policy_decide(policy_find(policy, "p"), &drawn->request).error;
}

static void insert_line(struct history_random *random, struct text *text, const char *line) {
        size_t at = history_draw(random, text->count + 1);

        assert_true(text->count < LINES_MAX);
        memmove(text->lines[at + 1], text->lines[at], (text->count - at) * LINE_SIZE);
        (void)snprintf(text->lines[at], LINE_SIZE, "%s", line);
        text->count++;
}

static void shuffle(struct history_random *random, struct text *texts, size_t count) {
        for (size_t i = count; i > 1; i--) {
                size_t other = history_draw(random, i);
                struct text text = texts[i - 1];

                texts[i - 1] = texts[other];
                texts[other] = text;
        }
}

/* Whatever else there is, in whatever file: what is denied is not loaded, nor with another module. */
static void deny_always_wins(void **state) {
        struct history_random random = history_begin(16000);
        uint64_t allowed = 0;

        (void)state;
        for (uint64_t step = 0; step < random.steps / 4; step++) {
                _cleanup_policy_ struct policy *before = NULL, *after = NULL;
                struct text texts[FILES_MAX];
                struct drawn_request drawn;
                char line[LINE_SIZE];
                bool needs;

                for (size_t i = 0; i < FILES_MAX - 1; i++)
                        draw_text(&random, &texts[i]);
                draw_request(&random, &drawn);
                needs = drawn.request.dependency_count > 0 && history_draw(&random, 2);
                (void)snprintf(line, sizeof(line), "deny=%s", needs ? drawn.other : drawn.name);
                texts[FILES_MAX - 1] = (struct text){ .lines = { "[p]" }, .count = 2 };
                memcpy(texts[FILES_MAX - 1].lines[1], line, LINE_SIZE);
                assert_int_equal(parse(texts, FILES_MAX - 1, &before), 0);
                shuffle(&random, texts, FILES_MAX);
                assert_int_equal(parse(texts, FILES_MAX, &after), 0);
                allowed += answer(before, &drawn) == 0;
                assert_int_equal(answer(after, &drawn), EPERM);
        }
        assert_true(allowed > random.steps / 400);
}

/* The same files in another order are the same policy. */
static void order_means_nothing(void **state) {
        struct history_random random = history_begin(16000);

        (void)state;
        for (uint64_t step = 0; step < random.steps / 4; step++) {
                _cleanup_policy_ struct policy *one = NULL, *other = NULL;
                struct text texts[FILES_MAX];
                struct drawn_request drawn;

                for (size_t i = 0; i < FILES_MAX; i++)
                        draw_text(&random, &texts[i]);
                assert_int_equal(parse(texts, FILES_MAX, &one), 0);
                shuffle(&random, texts, FILES_MAX);
                assert_int_equal(parse(texts, FILES_MAX, &other), 0);
                for (int i = 0; i < 8; i++) {
                        draw_request(&random, &drawn);
                        assert_int_equal(answer(one, &drawn), answer(other, &drawn));
                }
        }
}

/* A line that is wrong, anywhere: there is no policy, so nothing is allowed. */
static void wrong_line_allows_nothing(void **state) {
        static const char *const wrong[] = {
                "allow=",
                "allow",
                "allow=/",
                "allow=a # b",
                "allow=a ; b",
                "[p] allow=*",
                "[p",
                "[",
                "bogus=1",
                "rate=1",
                "allow=[",
                "allow=alias:",
                "parameters=a",
                "parameters=a *",
                "live=maybe",
                "allow: *",
                "deny=a,b",
                "allow=\x80",
                "parameters=a b=\"",
                "  *",
        };
        struct history_random random = history_begin(16000);

        (void)state;
        for (uint64_t step = 0; step < random.steps / 4; step++) {
                struct policy *policy = NULL;
                struct text texts[FILES_MAX];

                for (size_t i = 0; i < FILES_MAX; i++)
                        draw_text(&random, &texts[i]);
                texts[0].count -= texts[0].count == LINES_MAX;
                insert_line(&random, &texts[0], wrong[step % (sizeof(wrong) / sizeof(wrong[0]))]);
                shuffle(&random, texts, FILES_MAX);
                assert_int_equal(parse(texts, FILES_MAX, &policy), -EINVAL);
                assert_null(policy);
        }
}

struct bounds {
        const char *name;
        unsigned int lines;
        unsigned int errors;
};

static void check_place(const struct policy_place *place, const char *reason, void *context) {
        struct bounds *bounds = context;

        assert_string_equal(place->file, bounds->name);
        assert_true(place->line >= 1 && place->line <= bounds->lines);
        assert_true(strlen(reason) > 0);
        bounds->errors++;
}

/* A policy whose bytes were changed: it still is one, or says in which line not. */
static void parsing_is_total(void **state) {
        struct history_random random = history_begin(20000);
        uint64_t good = 0;

        (void)state;
        for (uint64_t step = 0; step < random.steps; step++) {
                _cleanup_policy_ struct policy *policy = NULL;
                struct bounds bounds = { .name = "file" };
                struct policy_file file = { .name = bounds.name };
                struct text text;
                char *joined;
                int r;

                draw_text(&random, &text);
                joined = join(&text);
                file.text = joined;
                file.length = strlen(joined);
                for (uint64_t i = history_draw(&random, 3); i > 0; i--)
                        joined[history_draw(&random, file.length)] = (char)history_draw(&random, 256);
                file.length -= history_draw(&random, 4) == 0;
                bounds.lines = file.length > 0 && joined[file.length - 1] != '\n';
                for (size_t i = 0; i < file.length; i++)
                        bounds.lines += joined[i] == '\n';
                r = policy_parse(&file, 1, check_place, &bounds, &policy);
                assert_int_equal(r, bounds.errors > 0 ? -EINVAL : 0);
                good += r == 0;
                free(joined);
        }
        assert_true(good > random.steps / 10);
}

/* Against the C library's, for patterns that mean the same to both. */
static void patterns(void **state) {
        struct history_random random = history_begin(200000);
        uint64_t matched = 0;

        (void)state;
        for (uint64_t step = 0; step < random.steps; step++) {
                char pattern[64] = "", text[64] = "", folded[64];
                bool matches;

                for (uint64_t i = history_draw(&random, 3); i > 0; i--)
                        draw_word(&random, pattern, sizeof(pattern), sizeof(letters) / sizeof(letters[0]));
                for (uint64_t i = history_draw(&random, 4); i > 0; i--)
                        draw_word(&random, text, sizeof(text), 4);
                assert_null(pattern_check(pattern));
                matches = fnmatch(pattern, text, 0) == 0;
                assert_int_equal(pattern_match(pattern, text, strlen(text), false), matches);
                matched += matches;
                /* which of `-` and `_` is in the text makes no difference then */
                (void)snprintf(folded, sizeof(folded), "%s", text);
                for (char *c = folded; *c; c++)
                        if (*c == '-')
                                *c = '_';
                assert_int_equal(pattern_match(pattern, text, strlen(text), true),
                                 pattern_match(pattern, folded, strlen(folded), true));
        }
        assert_true(matched > random.steps / 100);
}

/* What the kernel does with the string, in the way it does it: by writing NULs into it. */
static char *take_as_kernel(char *at, char **name, char **value) {
        bool quoted = *at == '"', within = quoted;
        char *equals = NULL, *end;

        at += quoted;
        for (end = at; *end && (within || (*end != ' ' && *end != '\t' && *end != '\xa0')); end++) {
                if (*end == '=' && end > at && !equals)
                        equals = end;
                within = within != (*end == '"');
        }
        *name = at;
        *value = NULL;
        if (equals) {
                *equals = '\0';
                *value = equals + 1;
                if (**value == '"') {
                        ++*value;
                        if (end[-1] == '"')
                                end[-1] = '\0';
                }
        }
        if (quoted && end > at && end[-1] == '"')
                end[-1] = '\0';
        if (*end)
                *end++ = '\0';
        while (*end == ' ' || *end == '\t' || *end == '\xa0')
                end++;
        return end;
}

static void parameters_as_the_kernel(void **state) {
        static const char bytes[] = { 'a', '-', '=', '"', ' ', '\t', '\xa0' };
        struct history_random random = history_begin(200000);

        (void)state;
        for (uint64_t step = 0; step < random.steps; step++) {
                char text[16], copy[16], *rest = copy, *name, *value;
                const char *at = text;
                size_t length = history_draw(&random, sizeof(text)), left = length;
                struct parameter parameter;

                for (size_t i = 0; i < length; i++)
                        text[i] = bytes[history_draw(&random, sizeof(bytes))];
                text[length] = '\0';
                memcpy(copy, text, sizeof(copy));
                while (*rest == ' ' || *rest == '\t' || *rest == '\xa0')
                        rest++;
                while (*rest) {
                        rest = take_as_kernel(rest, &name, &value);
                        assert_true(parameters_next(&at, &left, &parameter));
                        assert_int_equal(parameter.name_length, strlen(name));
                        assert_memory_equal(parameter.name, name, strlen(name));
                        assert_int_equal(parameter.value != NULL, value != NULL);
                        if (!value)
                                continue;
                        assert_int_equal(parameter.value_length, strlen(value));
                        assert_memory_equal(parameter.value, value, strlen(value));
                }
                assert_false(parameters_next(&at, &left, &parameter));
        }
}

/* Stars upon stars against a long text: a caller's value. */
static void no_pattern_takes_long(void **state) {
        size_t length = 1 << 16;
        char *text = malloc(length);

        (void)state;
        assert_non_null(text);
        memset(text, 'a', length);
        assert_false(pattern_match("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text, length, false));
        assert_true(pattern_match("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a", text, length, false));
        free(text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(deny_always_wins),
                cmocka_unit_test(order_means_nothing),
                cmocka_unit_test(wrong_line_allows_nothing),
                cmocka_unit_test(parsing_is_total),
                cmocka_unit_test(patterns),
                cmocka_unit_test(parameters_as_the_kernel),
                cmocka_unit_test(no_pattern_takes_long),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
