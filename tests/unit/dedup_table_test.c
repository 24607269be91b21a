/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table of loads in flight: an example of each rule. dedup_model_test.c has random histories. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dedup_table.h"
#include "module/identity.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct module_key key_of(const char *name, uint64_t inode, const char *params, unsigned int flags) {
        const struct module_file file = { .device = 1, .inode = inode, .size = 4096, .ctime_ns = 1, .mtime_ns = 1 };

        return module_key_make(&file, name, params, strlen(params), flags);
}

/* Examples */

struct fixture {
        struct dedup_table table;
        struct dedup_request requests[8];
        struct dedup_load loads[8];
        struct list_node answered;
        struct list_node removed;
};

static int set_up(void **state) {
        struct fixture *fixture = calloc(1, sizeof(*fixture));

        if (!fixture)
                return -1;
        dedup_table_init(&fixture->table);
        list_init(&fixture->answered);
        list_init(&fixture->removed);
        *state = fixture;
        return 0;
}

static int tear_down(void **state) {
        free(*state);
        return 0;
}

static enum dedup_verdict submit(struct fixture *fixture, unsigned int i, struct module_key key) {
        fixture->requests[i].order = i + 1;
        return dedup_table_submit(&fixture->table, &key, &fixture->requests[i], &fixture->loads[i]);
}

static struct dedup_load *complete(struct fixture *fixture, unsigned int i, bool succeeded) {
        return dedup_table_complete(&fixture->table, &fixture->loads[i], succeeded, &fixture->answered,
                                    &fixture->removed);
}

static void assert_answered(struct fixture *fixture, unsigned int i, enum dedup_outcome outcome) {
        struct list_node *node = list_take_first(&fixture->answered);

        assert_ptr_equal(node, &fixture->requests[i].link);
        assert_int_equal(fixture->requests[i].outcome, outcome);
        assert_null(fixture->requests[i].load);
}

static void assert_removed(struct fixture *fixture, unsigned int i) {
        assert_ptr_equal(list_take_first(&fixture->removed), &fixture->loads[i].link);
        assert_false(fixture->loads[i].in_flight);
}

static void assert_nothing_more(const struct fixture *fixture) {
        assert_true(list_is_empty(&fixture->answered));
        assert_true(list_is_empty(&fixture->removed));
}

static void test_first_leads(void **state) {
        struct fixture *fixture = *state;

        assert_int_equal(submit(fixture, 0, key_of("a", 1, "", 0)), DEDUP_LEAD);
        assert_ptr_equal(fixture->requests[0].load, &fixture->loads[0]);
        assert_true(fixture->loads[0].in_flight);
        assert_int_equal(fixture->requests[0].outcome, DEDUP_WAITING);
        assert_null(complete(fixture, 0, true));
        assert_answered(fixture, 0, DEDUP_RESULT);
        assert_removed(fixture, 0);
        assert_nothing_more(fixture);
        assert_true(list_is_empty(&fixture->table.loads));
}

static void test_same_key_joins(void **state) {
        struct fixture *fixture = *state;

        assert_int_equal(submit(fixture, 0, key_of("a", 1, "x=1", 4)), DEDUP_LEAD);
        assert_int_equal(submit(fixture, 1, key_of("a", 1, "x=1", 4)), DEDUP_JOINED);
        assert_ptr_equal(fixture->requests[1].load, &fixture->loads[0]);
        assert_null(complete(fixture, 0, false));
        assert_answered(fixture, 0, DEDUP_RESULT);
        assert_answered(fixture, 1, DEDUP_RESULT);
        assert_removed(fixture, 0);
        assert_nothing_more(fixture);
        /* nothing is remembered */
        assert_int_equal(submit(fixture, 1, key_of("a", 1, "x=1", 4)), DEDUP_LEAD);
}

static void test_other_name_is_independent(void **state) {
        struct fixture *fixture = *state;

        assert_int_equal(submit(fixture, 0, key_of("a", 1, "", 0)), DEDUP_LEAD);
        assert_int_equal(submit(fixture, 1, key_of("b", 2, "", 0)), DEDUP_LEAD);
        assert_null(complete(fixture, 0, true));
        assert_answered(fixture, 0, DEDUP_RESULT);
        assert_removed(fixture, 0);
        assert_nothing_more(fixture);
        assert_int_equal(fixture->requests[1].outcome, DEDUP_WAITING);
}

static void test_same_name_waits_behind(void **state) {
        struct fixture *fixture = *state;
        const struct module_key others[] = {
                key_of("a", 2, "", 0),    /* another file */
                key_of("a", 1, "x=1", 0), /* other parameters */
                key_of("a", 1, "", 1),    /* other flags */
        };

        assert_int_equal(submit(fixture, 0, key_of("a", 1, "", 0)), DEDUP_LEAD);
        for (unsigned int i = 0; i < COUNT(others); i++) {
                assert_int_equal(submit(fixture, i + 1, others[i]), DEDUP_BEHIND);
                assert_ptr_equal(fixture->requests[i + 1].load, &fixture->loads[i + 1]);
                assert_false(fixture->loads[i + 1].in_flight);
        }
        /* the second of a key that waits is with the first one of it */
        assert_int_equal(submit(fixture, 4, others[1]), DEDUP_BEHIND);
        assert_ptr_equal(fixture->requests[4].load, &fixture->loads[2]);
}

static void test_success_is_exists_for_those_behind(void **state) {
        struct fixture *fixture = *state;

        (void)submit(fixture, 0, key_of("a", 1, "", 0));
        (void)submit(fixture, 1, key_of("a", 2, "", 0));
        (void)submit(fixture, 2, key_of("a", 1, "", 0));
        (void)submit(fixture, 3, key_of("a", 3, "", 0));
        assert_null(complete(fixture, 0, true));
        assert_answered(fixture, 0, DEDUP_RESULT);
        assert_answered(fixture, 1, DEDUP_EXISTS);
        assert_answered(fixture, 2, DEDUP_RESULT);
        assert_answered(fixture, 3, DEDUP_EXISTS);
        assert_removed(fixture, 0);
        assert_removed(fixture, 1);
        assert_removed(fixture, 3);
        assert_nothing_more(fixture);
}

static void test_failure_lets_the_next_one_lead(void **state) {
        struct fixture *fixture = *state;

        (void)submit(fixture, 0, key_of("a", 1, "", 0));
        (void)submit(fixture, 1, key_of("a", 2, "", 0));
        (void)submit(fixture, 2, key_of("a", 3, "", 0));
        assert_ptr_equal(complete(fixture, 0, false), &fixture->loads[1]);
        assert_true(fixture->loads[1].in_flight);
        assert_false(fixture->loads[2].in_flight);
        assert_answered(fixture, 0, DEDUP_RESULT);
        assert_removed(fixture, 0);
        assert_nothing_more(fixture);
        /* who asks for it now joins it; who asks for the first one again waits */
        assert_int_equal(submit(fixture, 3, key_of("a", 2, "", 0)), DEDUP_JOINED);
        assert_int_equal(submit(fixture, 0, key_of("a", 1, "", 0)), DEDUP_BEHIND);
        assert_null(complete(fixture, 1, true));
        assert_int_equal(fixture->requests[0].outcome, DEDUP_EXISTS);
        assert_int_equal(fixture->requests[1].outcome, DEDUP_RESULT);
        assert_int_equal(fixture->requests[2].outcome, DEDUP_EXISTS);
        assert_int_equal(fixture->requests[3].outcome, DEDUP_RESULT);
        assert_true(list_is_empty(&fixture->table.loads));
}

static void test_without_name_only_joins(void **state) {
        struct fixture *fixture = *state;

        assert_int_equal(submit(fixture, 0, key_of(NULL, 1, "", 0)), DEDUP_LEAD);
        assert_int_equal(submit(fixture, 1, key_of(NULL, 2, "", 0)), DEDUP_LEAD);
        assert_int_equal(submit(fixture, 2, key_of(NULL, 1, "x", 0)), DEDUP_LEAD);
        assert_int_equal(submit(fixture, 3, key_of(NULL, 1, "", 0)), DEDUP_JOINED);
        assert_null(complete(fixture, 0, false));
        assert_answered(fixture, 0, DEDUP_RESULT);
        assert_answered(fixture, 3, DEDUP_RESULT);
        assert_removed(fixture, 0);
        assert_nothing_more(fixture);
}

static void test_withdraw(void **state) {
        struct fixture *fixture = *state;

        (void)submit(fixture, 0, key_of("a", 1, "", 0));
        (void)submit(fixture, 1, key_of("a", 2, "", 0));
        (void)submit(fixture, 2, key_of("a", 2, "", 0));
        /* a load in flight stays, though nobody waits for it */
        assert_null(dedup_table_withdraw(&fixture->requests[0]));
        assert_null(fixture->requests[0].load);
        assert_true(fixture->loads[0].in_flight);
        /* one that waits goes with its last request */
        assert_null(dedup_table_withdraw(&fixture->requests[1]));
        assert_ptr_equal(dedup_table_withdraw(&fixture->requests[2]), &fixture->loads[1]);
        /* twice does nothing */
        assert_null(dedup_table_withdraw(&fixture->requests[2]));
        assert_null(complete(fixture, 0, false));
        assert_true(list_is_empty(&fixture->answered));
        assert_removed(fixture, 0);
}

static void test_adopt_and_attach(void **state) {
        struct fixture *fixture = *state;
        const struct module_key key = key_of("a", 1, "", 0);

        dedup_table_adopt(&fixture->table, &key, &fixture->loads[0]);
        fixture->requests[0].order = 1;
        dedup_table_attach(&fixture->loads[0], &fixture->requests[0]);
        assert_int_equal(submit(fixture, 1, key), DEDUP_JOINED);
        assert_int_equal(submit(fixture, 2, key_of("a", 2, "", 0)), DEDUP_BEHIND);
        assert_null(complete(fixture, 0, true));
        assert_answered(fixture, 0, DEDUP_RESULT);
        assert_answered(fixture, 1, DEDUP_RESULT);
        assert_answered(fixture, 2, DEDUP_EXISTS);
}

/* A request that begins again is older than those that wait already. */
static void test_answers_in_order(void **state) {
        static const uint64_t orders[] = { 5, 7, 6, 1, 9, 8, 2, 4 };
        struct fixture *fixture = *state;
        const struct module_key key = key_of("a", 1, "", 0), other = key_of("a", 2, "", 0);
        uint64_t last = 0;
        struct list_node *node;

        for (unsigned int i = 0; i < COUNT(orders); i++) {
                fixture->requests[i].order = orders[i];
                (void)dedup_table_submit(&fixture->table, i % 2 ? &key : &other, &fixture->requests[i],
                                         &fixture->loads[i]);
        }
        assert_null(complete(fixture, 0, true));
        for (unsigned int i = 0; i < COUNT(orders); i++) {
                node = list_take_first(&fixture->answered);
                assert_non_null(node);
                assert_true(container_of(node, struct dedup_request, link)->order > last);
                last = container_of(node, struct dedup_request, link)->order;
        }
}

/* Who joins needs no load. */
static void test_find(void **state) {
        struct fixture *fixture = *state;
        const struct module_key key = key_of("a", 1, "", 0), behind = key_of("a", 2, "", 0);

        assert_null(dedup_table_find(&fixture->table, &key));
        assert_int_equal(submit(fixture, 0, key), DEDUP_LEAD);
        assert_int_equal(submit(fixture, 1, behind), DEDUP_BEHIND);
        assert_ptr_equal(dedup_table_find(&fixture->table, &key), &fixture->loads[0]);
        assert_ptr_equal(dedup_table_find(&fixture->table, &behind), &fixture->loads[1]);
        assert_int_equal(dedup_table_submit(&fixture->table, &key, &fixture->requests[2], NULL), DEDUP_JOINED);
        assert_int_equal(dedup_table_submit(&fixture->table, &behind, &fixture->requests[3], NULL), DEDUP_BEHIND);
        assert_ptr_equal(fixture->requests[2].load, &fixture->loads[0]);
        assert_ptr_equal(fixture->requests[3].load, &fixture->loads[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_first_leads, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_same_key_joins, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_other_name_is_independent, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_same_name_waits_behind, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_success_is_exists_for_those_behind, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_failure_lets_the_next_one_lead, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_without_name_only_joins, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_withdraw, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_adopt_and_attach, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_answers_in_order, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_find, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
