/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static void nothing(void **state) {
        struct sample sample = sample_of(NULL, 0);

        (void)state;
        assert_int_equal(sample.count, 0);
        assert_int_equal(sample.max, 0);
}

static void one(void **state) {
        uint64_t value = 7;
        struct sample sample = sample_of(&value, 1);

        (void)state;
        assert_int_equal(sample.min, 7);
        assert_int_equal(sample.median, 7);
        assert_int_equal(sample.p99, 7);
        assert_int_equal(sample.max, 7);
}

static void hundred_backwards(void **state) {
        uint64_t values[100];
        struct sample sample;

        (void)state;
        for (unsigned int i = 0; i < 100; i++)
                values[i] = 100 - i;
        sample = sample_of(values, 100);
        assert_int_equal(sample.count, 100);
        assert_int_equal(sample.min, 1);
        assert_int_equal(sample.median, 50);
        assert_int_equal(sample.p90, 90);
        assert_int_equal(sample.p99, 99);
        assert_int_equal(sample.max, 100);
}

static void check_rank(const uint64_t *values, size_t count, uint64_t found, size_t percent) {
        size_t below = 0, up_to = 0;

        for (size_t i = 0; i < count; i++) {
                below += values[i] < found;
                up_to += values[i] <= found;
        }
        assert_true(up_to * 100 >= count * percent);
        assert_true(below * 100 < count * percent);
}

/* By definition: at least so many are not above it, and of everything below it that is not true. */
static void any(void **state) {
        unsigned int seed = (unsigned int)time(NULL);

        (void)state;
        print_message("seed %u\n", seed);
        srand(seed);
        for (unsigned int round = 0; round < 300; round++) {
                uint64_t values[64];
                size_t count = 1 + (size_t)rand() % 64;
                struct sample sample;

                for (size_t i = 0; i < count; i++)
                        values[i] = (uint64_t)rand() % 40;
                sample = sample_of(values, count);
                check_rank(values, count, sample.median, 50);
                check_rank(values, count, sample.p90, 90);
                check_rank(values, count, sample.p99, 99);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nothing),
                cmocka_unit_test(one),
                cmocka_unit_test(hundred_backwards),
                cmocka_unit_test(any),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
