/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What modgate-storm makes of what it has measured: counted results, ratios of rounds, what reached the kernel. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "meminfo.h"
#include "results.h"
#include "synthetic_series.h"
#include "traffic.h"

#include <cmocka.h>

static void counting(void **state) {
        struct results results = { 0 };

        (void)state;
        assert_int_equal(results_of(&results, 0), 0);
        results_add(&results, ENODEV, 2);
        results_add(&results, 0, 1);
        results_add(&results, ENODEV, 3);
        results_add(&results, EEXIST, 1);
        assert_int_equal(results.count, 3);
        assert_int_equal(results.kinds[0].error, 0);
        assert_int_equal(results.kinds[1].error, EEXIST);
        assert_int_equal(results_of(&results, ENODEV), 5);
        assert_int_equal(results_of(&results, ENOENT), 0);
}

/* However many kinds there are, none of the calls is lost. */
static void too_many_kinds(void **state) {
        struct results results = { 0 };
        uint64_t sum = 0;

        (void)state;
        for (int i = 0; i < 2 * RESULTS_KINDS; i++)
                results_add(&results, (i * 37) % 101, 1);
        assert_int_equal(results.count, RESULTS_KINDS);
        for (size_t i = 0; i < results.count; i++)
                sum += results.kinds[i].count;
        assert_int_equal(sum, 2 * RESULTS_KINDS);
}

static void check_name(int error, const char *expected) {
        char name[RESULT_NAME_SIZE];
        int back = -1;

        assert_string_equal(result_name(error, name), expected);
        assert_int_equal(result_from_name(expected, &back), 0);
        assert_int_equal(back, error);
}

static void names(void **state) {
        char name[RESULT_NAME_SIZE];
        int error;

        (void)state;
        check_name(0, "OK");
        check_name(ENODEV, "ENODEV");
        check_name(4000, "4000");
        assert_string_equal(result_name(-1, name), "-1");
        assert_int_equal(result_from_name("19", &error), 0);
        assert_int_equal(error, ENODEV);
        assert_int_equal(result_from_name("", &error), -EINVAL);
        assert_int_equal(result_from_name("-1", &error), -EINVAL);
        assert_int_equal(result_from_name("19x", &error), -EINVAL);
        assert_int_equal(result_from_name("4096", &error), -EINVAL);
        assert_int_equal(result_from_name("ENOSUCH", &error), -EINVAL);
}

static void series(void **state) {
        /* rounds of two settings; in the last one the first setting has nothing to compare with */
        struct storm_result results[] = {
                { .wall_ns = 100, .latency_ns = { .median = 50 } }, { .wall_ns = 50, .latency_ns = { .median = 40 } },
                { .wall_ns = 200, .latency_ns = { .median = 50 } }, { .wall_ns = 50, .latency_ns = { .median = 80 } },
                { .wall_ns = 0, .latency_ns = { .median = 50 } },   { .wall_ns = 70, .latency_ns = { .median = 51 } },
        };
        const struct storm_series all = { .setting_count = 2, .rounds = 3, .results = results };
        struct spread spread = storm_series_ratio(&all, 1, MEASURE_WALL);

        (void)state;
        assert_int_equal(spread.count, 2);
        assert_true(spread.min == 0.25);
        assert_true(spread.median == 0.375);
        assert_true(spread.max == 0.5);
        assert_int_equal(storm_series_ratio(&all, 1, MEASURE_KERNEL_CALLS).count, 0);
        spread = storm_series_spread(&all, 1, MEASURE_WALL);
        assert_int_equal(spread.count, 3);
        assert_true(spread.max == 70);
        spread = storm_series_added(&all, 1);
        assert_true(spread.min == -10);
        assert_true(spread.median == 1);
        assert_true(spread.max == 30);
}

static void meminfo(void **state) {
        struct meminfo found = meminfo_parse("MemTotal:  10 kB\nMemAvailable:    7 kB\nVmallocTotal:  99 kB\n"
                                             "VmallocUsed:       3 kB\n");

        (void)state;
        assert_int_equal(found.available, 7 * 1024);
        assert_int_equal(found.vmalloc_used, 3 * 1024);
        found = meminfo_parse("");
        assert_int_equal(found.available, 0);
        assert_int_equal(found.vmalloc_used, 0);
}

static void set(struct journal *journal, unsigned int index, const char *name, uint64_t loads, uint64_t continued,
                uint64_t bytes) {
        struct journal_module *module = &journal->modules[index];

        memcpy(module->name, name, strlen(name));
        module->used = 1;
        module->loads = loads;
        module->continued = continued;
        module->bytes_loaded = bytes;
        journal->header.continued[CONTINUE_FD] += continued;
}

static void traffic(void **state) {
        static struct journal memory; /* aligned as it has to be */
        struct journal *journal = &memory;
        struct target targets[] = {
                { .name = "one", .path = (char *)"/m/one.ko", .size = 100 },
                { .name = "two", .path = (char *)"/m/two.ko.xz", .size = 1000 },
                { .name = "live", .path = (char *)"/m/live.ko", .size = 7 },
        };
        struct traffic found;

        (void)state;
        set(journal, 0, "one", 2, 0, 200);
        set(journal, 1, "two.ko.xz", 1, 3, 1000); /* not in the index: known by its file's name */
        set(journal, 2, "live", 1, 1, 7);
        journal->header.continued[CONTINUE_NO_PID]++; /* nobody's */
        found = traffic_of(journal, targets, 2, &targets[2]);
        assert_int_equal(found.calls, 2 + 1 + 3 + 1);
        assert_int_equal(found.left, 4);
        assert_int_equal(found.bytes, 200 + 1000 + 3 * 1000);
        found = traffic_of(journal, targets, 3, NULL);
        assert_int_equal(found.calls, 2 + 1 + 3 + 1 + 2);
        assert_int_equal(found.bytes, 200 + 1000 + 3 * 1000 + 7 + 7);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(counting), cmocka_unit_test(too_many_kinds), cmocka_unit_test(names),
                cmocka_unit_test(series),   cmocka_unit_test(meminfo),        cmocka_unit_test(traffic),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
