/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "uevent_sequence.h"

#define START 1000U
#define NUMBERS 4000U

static void see(struct uevent_sequence *sequence, const uint64_t *numbers, size_t count) {
        for (size_t i = 0; i < count; i++)
                uevent_sequence_seen(sequence, numbers[i]);
}

#define see_all(sequence, ...)                                                                                         \
        see(sequence, (const uint64_t[]){ __VA_ARGS__ }, sizeof((const uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t))

static void test_in_order(void **state) {
        struct uevent_sequence sequence;

        (void)state;
        uevent_sequence_init(&sequence, START);
        assert_true(uevent_sequence_complete(&sequence, START, START));
        assert_false(uevent_sequence_complete(&sequence, START, START + 1));
        see_all(&sequence, START + 1, START + 2);
        assert_true(uevent_sequence_complete(&sequence, START, START + 2));
        assert_true(uevent_sequence_complete(&sequence, START, START + 1));
        assert_false(uevent_sequence_complete(&sequence, START, START + 3));
        /* nothing was counted since */
        assert_true(uevent_sequence_complete(&sequence, START + 3, START + 3));
        assert_true(uevent_sequence_complete(&sequence, START + 4, START + 3));
}

static void test_swapped(void **state) {
        struct uevent_sequence sequence;

        (void)state;
        uevent_sequence_init(&sequence, START);
        see_all(&sequence, START + 2, START + 5);
        assert_false(uevent_sequence_complete(&sequence, START, START + 5));
        see_all(&sequence, START + 4, START + 1, START + 5, START + 2, START, START - 1);
        assert_true(uevent_sequence_complete(&sequence, START, START + 2));
        assert_false(uevent_sequence_complete(&sequence, START, START + 3));
        assert_false(uevent_sequence_complete(&sequence, START + 2, START + 5));
        assert_true(uevent_sequence_complete(&sequence, START + 3, START + 5));
        see_all(&sequence, START + 3);
        assert_true(uevent_sequence_complete(&sequence, START, START + 5));
}

/* What never comes is in the way of what was known before it, and of nothing else. */
static void test_never_comes(void **state) {
        struct uevent_sequence sequence;

        (void)state;
        uevent_sequence_init(&sequence, START);
        for (uint64_t number = START + 2; number < START + NUMBERS; number++) {
                uevent_sequence_seen(&sequence, number);
                assert_false(uevent_sequence_complete(&sequence, START, number));
                assert_true(uevent_sequence_complete(&sequence, START + 1, number));
        }
}

static void test_many_missing(void **state) {
        const uint64_t beyond = START + 3 * (uint64_t)UEVENT_SEQUENCE_MISSING_MAX;
        struct uevent_sequence sequence;

        (void)state;
        uevent_sequence_init(&sequence, START);
        see_all(&sequence, beyond);
        assert_true(uevent_sequence_complete(&sequence, beyond - 1, beyond));
        assert_false(uevent_sequence_complete(&sequence, beyond - 2, beyond));
        /* so many of them may still come, and no more */
        for (uint64_t number = beyond - UEVENT_SEQUENCE_MISSING_MAX; number < beyond; number++)
                uevent_sequence_seen(&sequence, number);
        assert_true(uevent_sequence_complete(&sequence, beyond - UEVENT_SEQUENCE_MISSING_MAX - 1, beyond));
        for (uint64_t number = START + 1; number < beyond; number++)
                uevent_sequence_seen(&sequence, number);
        assert_false(uevent_sequence_complete(&sequence, beyond - UEVENT_SEQUENCE_MISSING_MAX - 2, beyond));
        assert_true(uevent_sequence_complete(&sequence, beyond - UEVENT_SEQUENCE_MISSING_MAX - 1, beyond));
}

static void test_largest(void **state) {
        struct uevent_sequence sequence;

        (void)state;
        uevent_sequence_init(&sequence, START);
        see_all(&sequence, UINT64_MAX, START + 1, UINT64_MAX - 1);
        assert_true(uevent_sequence_complete(&sequence, UINT64_MAX - 2, UINT64_MAX));
        assert_false(uevent_sequence_complete(&sequence, UINT64_MAX - 3, UINT64_MAX));
}

/* Random histories against an array of what was seen. */

struct model {
        struct uevent_sequence sequence;
        bool seen[NUMBERS];
        unsigned int highest;
        bool exact; /* so little is missing that it has to be right, not only careful */
};

static unsigned int random_below(unsigned int limit) {
        return (unsigned int)random() % limit;
}

static bool model_complete(const struct model *model, unsigned int after, unsigned int up_to) {
        for (unsigned int number = after + 1; number <= up_to; number++)
                if (!model->seen[number])
                        return false;
        return true;
}

static void model_check(const struct model *model) {
        unsigned int after = random_below(model->highest + 3), up_to = after + random_below(model->highest + 3 - after);
        bool complete = uevent_sequence_complete(&model->sequence, after, up_to);
        bool expected = model_complete(model, after, up_to);

        /* never what was not seen; and what is counted anew begins anew */
        if (complete || model->exact)
                assert_int_equal(complete, expected);
        assert_true(uevent_sequence_complete(&model->sequence, model->highest, model->highest));
}

static void model_see(struct model *model, unsigned int number) {
        uevent_sequence_seen(&model->sequence, number);
        model->seen[number] = true;
        if (number > model->highest)
                model->highest = number;
        model_check(model);
}

/* Numbers are handed in as they come from a queue that is taken from anywhere in its first `reach` places. */
static void run_history(bool exact) {
        struct model *model = calloc(1, sizeof(*model));
        unsigned int queue[NUMBERS], length = 0, reach = exact ? 16 : 200, lost = 0;

        assert_non_null(model);
        model->exact = exact;
        uevent_sequence_init(&model->sequence, 0);
        for (unsigned int number = 1; number < NUMBERS - 2; number++) {
                if (exact && random_below(100) == 0 && lost < UEVENT_SEQUENCE_MISSING_MAX - 16) {
                        lost++;
                        continue;
                }
                if (!exact && random_below(300) == 0)
                        number += random_below(300);
                if (number < NUMBERS - 2)
                        queue[length++] = number;
        }
        while (length > 0) {
                unsigned int index = random_below(length < reach ? length : reach), number = queue[index];

                /* the one that waits longest does not wait for ever */
                if (exact && queue[0] + reach < model->highest)
                        number = queue[index = 0];
                memmove(&queue[index], &queue[index + 1], (--length - index) * sizeof(queue[0]));
                model_see(model, number);
                if (random_below(10) == 0)
                        model_see(model, number);
        }
        free(model);
}

static void test_random(void **state) {
        const char *given = getenv("MODGATE_SEED");
        unsigned int seed = given ? (unsigned int)strtoul(given, NULL, 10) : (unsigned int)time(NULL);

        (void)state;
        print_message("MODGATE_SEED=%u\n", seed);
        srandom(seed);
        for (unsigned int i = 0; i < 50; i++) {
                run_history(true);
                run_history(false);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_in_order),     cmocka_unit_test(test_swapped), cmocka_unit_test(test_never_comes),
                cmocka_unit_test(test_many_missing), cmocka_unit_test(test_largest), cmocka_unit_test(test_random),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
