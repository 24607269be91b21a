/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The table of loads in flight: an example of each rule, and random histories against a model.
 *
 * MODGATE_SEED and MODGATE_STEPS choose the history; the seed is printed.
 */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

/*
 * The model. Keys are numbers; of each it is known whether it is in flight, or since when it waits behind another one.
 * No list, and nothing of the table's code.
 */

#define NAMES 4 /* the last one is "no name" */
#define FILES 3
#define PARAMS 2
#define FLAGS 2
#define KEYS (NAMES * FILES * PARAMS * FLAGS)
#define PER_NAME (FILES * PARAMS * FLAGS)
#define REQUESTS 48
#define LOADS 64
#define NOBODY (-1)

struct model {
        bool flying[KEYS];
        uint64_t since[KEYS]; /* when the key began to wait; 0: it does not */
        int waits_for[REQUESTS];
        uint64_t order[REQUESTS];
};

struct history {
        struct model model;
        struct dedup_table table;
        struct module_key keys[KEYS];
        struct dedup_request requests[REQUESTS];
        struct dedup_load loads[LOADS];
        bool load_used[LOADS];
        struct dedup_load *flying[KEYS];
        unsigned int outcomes[REQUESTS]; /* that the request in this place has had */
        uint64_t clock;
        uint64_t random;
};

static uint64_t draw(struct history *history, uint64_t below) {
        history->random ^= history->random << 13;
        history->random ^= history->random >> 7;
        history->random ^= history->random << 17;
        return history->random % below;
}

static int name_of(int key) {
        return key / PER_NAME;
}

static bool rivals(int a, int b) {
        return a != b && name_of(a) == name_of(b) && name_of(a) != NAMES - 1;
}

static int flying_rival(const struct model *model, int key) {
        for (int other = 0; other < KEYS; other++)
                if (rivals(key, other) && model->flying[other])
                        return other;
        return NOBODY;
}

static enum dedup_verdict model_submit(struct model *model, int request, int key, uint64_t now) {
        model->waits_for[request] = key;
        model->order[request] = now;
        if (model->flying[key])
                return DEDUP_JOINED;
        if (flying_rival(model, key) != NOBODY) {
                if (model->since[key] == 0)
                        model->since[key] = now;
                return DEDUP_BEHIND;
        }
        model->flying[key] = true;
        return DEDUP_LEAD;
}

static bool model_is_wanted(const struct model *model, int key) {
        for (int i = 0; i < REQUESTS; i++)
                if (model->waits_for[i] == key)
                        return true;
        return false;
}

/* Whether the key has left the table. */
static bool model_withdraw(struct model *model, int request) {
        int key = model->waits_for[request];

        model->waits_for[request] = NOBODY;
        if (model->flying[key] || model_is_wanted(model, key))
                return false;
        model->since[key] = 0;
        return true;
}

/* The outcomes of a completed load; DEDUP_WAITING for those that it does not concern. Returns whose turn has come. */
static int model_complete(struct model *model, int key, bool succeeded, enum dedup_outcome outcomes[REQUESTS]) {
        int next = NOBODY;

        for (int i = 0; i < REQUESTS; i++) {
                bool is_rival = model->waits_for[i] != NOBODY && rivals(model->waits_for[i], key);

                outcomes[i] = DEDUP_WAITING;
                if (model->waits_for[i] == key)
                        outcomes[i] = DEDUP_RESULT;
                else if (is_rival && succeeded)
                        outcomes[i] = DEDUP_EXISTS;
                if (outcomes[i] != DEDUP_WAITING)
                        model->waits_for[i] = NOBODY;
        }
        model->flying[key] = false;
        for (int other = 0; other < KEYS; other++) {
                if (!rivals(key, other) || model->since[other] == 0)
                        continue;
                if (succeeded)
                        model->since[other] = 0;
                else if (next == NOBODY || model->since[other] < model->since[next])
                        next = other;
        }
        if (next != NOBODY) {
                model->since[next] = 0;
                model->flying[next] = true;
        }
        return next;
}

/* The steps of a history, done to both */

static struct dedup_load *take_load(struct history *history) {
        for (size_t i = 0; i < LOADS; i++)
                if (!history->load_used[i]) {
                        history->load_used[i] = true;
                        memset(&history->loads[i], 0xa5, sizeof(history->loads[i]));
                        return &history->loads[i];
                }
        fail_msg("the table holds more loads than there are keys");
        return NULL;
}

static void give_load_back(struct history *history, struct dedup_load *load) {
        assert_true(history->load_used[load - history->loads]);
        history->load_used[load - history->loads] = false;
}

static int idle_request(struct history *history) {
        int start = (int)draw(history, REQUESTS);

        for (int i = 0; i < REQUESTS; i++)
                if (history->model.waits_for[(start + i) % REQUESTS] == NOBODY)
                        return (start + i) % REQUESTS;
        return NOBODY;
}

static void begin_request(struct history *history, int request) {
        struct dedup_request *real = &history->requests[request];

        memset(real, 0, sizeof(*real));
        list_init(&real->link);
        real->order = ++history->clock;
        history->outcomes[request] = 0;
}

static void step_submit(struct history *history) {
        int request = idle_request(history);
        int key = (int)draw(history, KEYS);
        struct dedup_load *fresh;
        enum dedup_verdict expected, verdict;

        if (request == NOBODY)
                return;
        begin_request(history, request);
        fresh = take_load(history);
        verdict = dedup_table_submit(&history->table, &history->keys[key], &history->requests[request], fresh);
        expected = model_submit(&history->model, request, key, history->clock);
        assert_int_equal(verdict, expected);
        assert_non_null(history->requests[request].load);
        assert_true(module_key_equal(&history->requests[request].load->key, &history->keys[key]));
        if (verdict == DEDUP_LEAD) {
                assert_ptr_equal(history->requests[request].load, fresh);
                history->flying[key] = fresh;
        }
        if (history->requests[request].load != fresh)
                give_load_back(history, fresh);
}

static void step_withdraw(struct history *history) {
        int request = (int)draw(history, REQUESTS);
        struct dedup_load *waited_for = history->requests[request].load;
        struct dedup_load *emptied;

        if (history->model.waits_for[request] == NOBODY)
                return;
        emptied = dedup_table_withdraw(&history->requests[request]);
        history->outcomes[request]++;
        if (model_withdraw(&history->model, request)) {
                assert_ptr_equal(emptied, waited_for);
                give_load_back(history, emptied);
        } else {
                assert_null(emptied);
        }
}

static void check_answered(struct history *history, struct list_node *answered,
                           const enum dedup_outcome expected[REQUESTS]) {
        bool seen[REQUESTS] = { false };
        uint64_t last = 0;
        struct list_node *node;

        while ((node = list_take_first(answered))) {
                struct dedup_request *request = container_of(node, struct dedup_request, link);
                int i = (int)(request - history->requests);

                assert_in_range(i, 0, REQUESTS - 1);
                assert_int_equal(request->outcome, expected[i]);
                assert_true(request->order > last);
                last = request->order;
                seen[i] = true;
                assert_int_equal(++history->outcomes[i], 1);
        }
        for (int i = 0; i < REQUESTS; i++)
                assert_int_equal(seen[i], expected[i] != DEDUP_WAITING);
}

static void step_complete(struct history *history) {
        int start = (int)draw(history, KEYS), key = NOBODY, next;
        bool succeeded = draw(history, 3) == 0;
        enum dedup_outcome expected[REQUESTS];
        struct list_node answered, removed, *node;
        struct dedup_load *turn;

        for (int i = 0; i < KEYS && key == NOBODY; i++)
                if (history->model.flying[(start + i) % KEYS])
                        key = (start + i) % KEYS;
        if (key == NOBODY)
                return;
        list_init(&answered);
        list_init(&removed);
        turn = dedup_table_complete(&history->table, history->flying[key], succeeded, &answered, &removed);
        history->flying[key] = NULL;
        next = model_complete(&history->model, key, succeeded, expected);
        check_answered(history, &answered, expected);
        while ((node = list_take_first(&removed)))
                give_load_back(history, container_of(node, struct dedup_load, link));
        if (next == NOBODY) {
                assert_null(turn);
                return;
        }
        assert_non_null(turn);
        assert_true(module_key_equal(&turn->key, &history->keys[next]));
        history->flying[next] = turn;
}

/* A load of an earlier supervisor, with some requests that waited for it. */
static void step_adopt(struct history *history) {
        int key = (int)draw(history, KEYS);
        uint64_t waiting = draw(history, 4);
        struct dedup_load *load;

        if (history->model.flying[key] || flying_rival(&history->model, key) != NOBODY)
                return;
        load = take_load(history);
        dedup_table_adopt(&history->table, &history->keys[key], load);
        history->flying[key] = load;
        history->model.flying[key] = true;
        for (uint64_t i = 0; i < waiting; i++) {
                int request = idle_request(history);

                if (request == NOBODY)
                        return;
                begin_request(history, request);
                dedup_table_attach(load, &history->requests[request]);
                assert_int_equal(model_submit(&history->model, request, key, history->clock), DEDUP_JOINED);
        }
}

static void check_invariants(const struct history *history) {
        bool name_flies[NAMES] = { false };
        unsigned int in_table = 0, used = 0, waiting = 0, expected = 0;
        const struct list_node *head = &history->table.loads;

        for (const struct list_node *node = head->next; node != head; node = node->next, in_table++) {
                const struct dedup_load *load = container_of(node, struct dedup_load, link);
                int key = 0;

                while (key < KEYS && !module_key_equal(&load->key, &history->keys[key]))
                        key++;
                assert_in_range(key, 0, KEYS - 1);
                assert_int_equal(load->in_flight, history->model.flying[key]);
                assert_true(load->in_flight || !list_is_empty(&load->requests));
                for (const struct list_node *r = load->requests.next; r != &load->requests; r = r->next)
                        waiting++;
                if (!load->in_flight || name_of(key) == NAMES - 1)
                        continue;
                assert_false(name_flies[name_of(key)]);
                name_flies[name_of(key)] = true;
        }
        for (size_t i = 0; i < LOADS; i++)
                used += history->load_used[i];
        for (size_t i = 0; i < REQUESTS; i++)
                expected += history->model.waits_for[i] != NOBODY;
        assert_int_equal(in_table, used);
        assert_int_equal(waiting, expected);
}

static void make_keys(struct history *history) {
        static const char *const names[NAMES] = { "alpha", "beta", "alpha_2", NULL };
        static const char *const params[PARAMS] = { "", "x=1" };

        for (unsigned int key = 0; key < KEYS; key++)
                history->keys[key] = key_of(names[key / PER_NAME], 1 + key / (PARAMS * FLAGS) % FILES,
                                            params[key / FLAGS % PARAMS], key % FLAGS);
}

static uint64_t number_from_environment(const char *name, uint64_t otherwise) {
        const char *text = getenv(name);

        return text ? strtoull(text, NULL, 0) : otherwise;
}

static void test_random_histories(void **state) {
        struct history *history = calloc(1, sizeof(*history));
        uint64_t seed = number_from_environment("MODGATE_SEED", (uint64_t)time(NULL));
        uint64_t steps = number_from_environment("MODGATE_STEPS", 300000);

        (void)state;
        assert_non_null(history);
        print_message("MODGATE_SEED=%" PRIu64 " MODGATE_STEPS=%" PRIu64 "\n", seed, steps);
        history->random = seed * 2654435769U + 88172645463325252U;
        dedup_table_init(&history->table);
        make_keys(history);
        for (int i = 0; i < REQUESTS; i++)
                history->model.waits_for[i] = NOBODY;
        for (uint64_t i = 0; i < steps; i++) {
                uint64_t kind = draw(history, 16);

                if (kind < 8)
                        step_submit(history);
                else if (kind < 10)
                        step_withdraw(history);
                else if (kind < 15)
                        step_complete(history);
                else
                        step_adopt(history);
                check_invariants(history);
        }
        free(history);
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
                cmocka_unit_test(test_random_histories),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
