/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void check(double *values, size_t count, double min, double median, double max) {
        struct spread spread = spread_of(values, count);

        assert_int_equal(spread.count, count);
        assert_true(spread.min == min && spread.median == median && spread.max == max);
}

static void spreads(void **state) {
        (void)state;
        check(NULL, 0, 0, 0, 0);
        check((double[]){ 7 }, 1, 7, 7, 7);
        check((double[]){ 2, 1 }, 2, 1, 1.5, 2);
        check((double[]){ 0.3, -1, 0.2 }, 3, -1, 0.2, 0.3);
        check((double[]){ 9, 1, 3, 2 }, 4, 1, 2.5, 9);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(spreads),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
