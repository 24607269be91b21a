/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The table of loads in flight, in random histories against a model.
 *
 * In the model keys are numbers; of each it is known whether it is in flight, or since when it waits behind another
 * one. No list, and nothing of the table's code.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dedup_table.h"
#include "history.h"
#include "module/identity.h"

#define STEPS 1000000

#define NAMES 4 /* the last one is "no name" */
#define FILES 6
#define PARAMS 3
#define FLAGS 2
#define PER_NAME (FILES * PARAMS * FLAGS)
#define KEYS (NAMES * PER_NAME)
#define REQUESTS 48
#define LOADS (KEYS + 1)
#define NOBODY (-1)

struct model {
        bool flying[KEYS];
        uint64_t since[KEYS];    /* when the key began to wait; 0: it does not */
        bool offered[KEYS];      /* that was not for a request */
        int waits_for[REQUESTS]; /* a key, or NOBODY */
};

/* What the end of a load brings. */
struct ending {
        enum dedup_outcome outcomes[REQUESTS]; /* DEDUP_WAITING: none */
        bool leaves[KEYS];
};

struct history {
        struct history_random random;
        struct model model;
        struct dedup_table table;
        struct module_key keys[KEYS];
        struct dedup_request requests[REQUESTS];
        struct dedup_load loads[LOADS];
        int key_of_load[LOADS];          /* NOBODY: it is not in the table */
        struct dedup_load *there[KEYS];  /* the key's load */
        unsigned int outcomes[REQUESTS]; /* that the request in this place has had */
        uint64_t clock;
};

/* The model */

static int name_of(int key) {
        return key / PER_NAME;
}

static bool rivals(int a, int b) {
        return a != b && name_of(a) == name_of(b) && name_of(a) != NAMES - 1;
}

static bool rival_flies(const struct model *model, int key) {
        for (int other = 0; other < KEYS; other++)
                if (rivals(key, other) && model->flying[other])
                        return true;
        return false;
}

static bool model_is_there(const struct model *model, int key) {
        return model->flying[key] || model->since[key] != 0;
}

static bool model_is_idle(const struct model *model, int key) {
        for (int other = 0; other < KEYS; other++)
                if ((other == key || rivals(key, other)) && model_is_there(model, other))
                        return false;
        return true;
}

static enum dedup_verdict model_enter(struct model *model, int key, uint64_t now) {
        if (model->flying[key])
                return DEDUP_JOINED;
        if (!rival_flies(model, key)) {
                model->flying[key] = true;
                return DEDUP_LEAD;
        }
        if (model->since[key] == 0)
                model->since[key] = now;
        return DEDUP_BEHIND;
}

static void model_leave(struct model *model, int key) {
        model->flying[key] = false;
        model->since[key] = 0;
        model->offered[key] = false;
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
        if (key == NOBODY || model->flying[key] || model_is_wanted(model, key))
                return false;
        model_leave(model, key);
        return true;
}

static void model_answer(struct model *model, int key, enum dedup_outcome outcome, struct ending *ending) {
        for (int i = 0; i < REQUESTS; i++)
                if (model->waits_for[i] == key) {
                        ending->outcomes[i] = outcome;
                        model->waits_for[i] = NOBODY;
                }
        ending->leaves[key] = true;
        model_leave(model, key);
}

/* Of the rivals of a key, the one that has waited longest; or NOBODY. */
static int model_next(const struct model *model, int key) {
        int next = NOBODY;

        for (int other = 0; other < KEYS; other++)
                if (rivals(key, other) && model->since[other] != 0 &&
                    (next == NOBODY || model->since[other] < model->since[next]))
                        next = other;
        return next;
}

/* Returns whose turn has come. */
static int model_complete(struct model *model, int key, bool succeeded, struct ending *ending) {
        int next;

        model_answer(model, key, DEDUP_RESULT, ending);
        while ((next = model_next(model, key)) != NOBODY && succeeded)
                model_answer(model, next, DEDUP_EXISTS, ending);
        if (next != NOBODY) {
                model->since[next] = 0;
                model->flying[next] = true;
        }
        return next;
}

/* The table's side */

static struct dedup_load *free_load(struct history *history) {
        for (size_t i = 0; i < LOADS; i++)
                if (history->key_of_load[i] == NOBODY) {
                        memset(&history->loads[i], 0xa5, sizeof(history->loads[i]));
                        return &history->loads[i];
                }
        fail_msg("the table holds more loads than there are keys");
        return NULL;
}

static void note_entered(struct history *history, int key, struct dedup_load *load) {
        assert_null(history->there[key]);
        assert_true(module_key_equal(&load->key, &history->keys[key]));
        history->there[key] = load;
        history->key_of_load[load - history->loads] = key;
}

static int note_left(struct history *history, const struct dedup_load *load) {
        int key = history->key_of_load[load - history->loads];

        assert_int_not_equal(key, NOBODY);
        assert_ptr_equal(history->there[key], load);
        history->there[key] = NULL;
        history->key_of_load[load - history->loads] = NOBODY;
        return key;
}

/* Some keys are asked for more often than others, as in life. */
static int any_key(struct history *history) {
        int name = (int)history_draw(&history->random, NAMES);
        uint64_t variants = history_draw(&history->random, 3) == 0 ? PER_NAME : 4;

        return name * PER_NAME + (int)history_draw(&history->random, variants) * 7 % PER_NAME;
}

static int idle_request(struct history *history) {
        int start = (int)history_draw(&history->random, REQUESTS);

        for (int i = 0; i < REQUESTS; i++)
                if (history->model.waits_for[(start + i) % REQUESTS] == NOBODY)
                        return (start + i) % REQUESTS;
        return NOBODY;
}

/* A request that comes now; or the one that was there, which begins again. */
static void begin_request(struct history *history, int request) {
        struct dedup_request *real = &history->requests[request];
        uint64_t order = real->order;

        if (order == 0 || history_draw(&history->random, 4) != 0)
                order = ++history->clock;
        memset(real, 0, sizeof(*real));
        list_init(&real->link);
        real->order = order;
        history->outcomes[request] = 0;
}

/* Steps */

/* Who finds the load of its key there need not bring another one. */
static void step_submit(struct history *history) {
        int request = idle_request(history), key = any_key(history);
        bool there = history->there[key];
        struct dedup_load *fresh = there && history_draw(&history->random, 2) ? NULL : free_load(history);
        enum dedup_verdict verdict;

        if (request == NOBODY)
                return;
        begin_request(history, request);
        verdict = dedup_table_submit(&history->table, &history->keys[key], &history->requests[request], fresh);
        assert_int_equal(verdict, model_enter(&history->model, key, ++history->clock));
        history->model.waits_for[request] = key;
        assert_int_equal(history->requests[request].outcome, DEDUP_WAITING);
        if (!there)
                note_entered(history, key, fresh);
        assert_ptr_equal(history->requests[request].load, history->there[key]);
}

static void step_offer(struct history *history) {
        int key = any_key(history);
        bool there = history->there[key], taken;
        struct dedup_load *fresh = free_load(history);
        enum dedup_verdict verdict;

        verdict = dedup_table_offer(&history->table, &history->keys[key], fresh, &taken);
        assert_int_equal(verdict, model_enter(&history->model, key, ++history->clock));
        assert_int_equal(taken, !there);
        if (!taken)
                return;
        note_entered(history, key, fresh);
        history->model.offered[key] = true;
}

static void step_withdraw(struct history *history) {
        int request = (int)history_draw(&history->random, REQUESTS);
        struct dedup_load *waited_for = history->requests[request].load;
        struct dedup_load *emptied = dedup_table_withdraw(&history->requests[request]);

        history->outcomes[request]++;
        assert_null(history->requests[request].load);
        if (!model_withdraw(&history->model, request)) {
                assert_null(emptied);
                return;
        }
        assert_ptr_equal(emptied, waited_for);
        (void)note_left(history, emptied);
}

static int any_flying(struct history *history) {
        int start = (int)history_draw(&history->random, KEYS);

        for (int i = 0; i < KEYS; i++)
                if (history->model.flying[(start + i) % KEYS])
                        return (start + i) % KEYS;
        return NOBODY;
}

static void check_answered(struct history *history, struct list_node *answered, const struct ending *ending) {
        bool seen[REQUESTS] = { false };
        uint64_t last = 0;
        struct list_node *node;

        while ((node = list_take_first(answered))) {
                struct dedup_request *request = container_of(node, struct dedup_request, link);
                int i = (int)(request - history->requests);

                assert_in_range(i, 0, REQUESTS - 1);
                assert_int_equal(request->outcome, ending->outcomes[i]);
                assert_null(request->load);
                assert_true(request->order > last);
                last = request->order;
                seen[i] = true;
                assert_int_equal(++history->outcomes[i], 1);
        }
        for (int i = 0; i < REQUESTS; i++)
                assert_int_equal(seen[i], ending->outcomes[i] != DEDUP_WAITING);
}

static void check_removed(struct history *history, struct list_node *removed, const struct ending *ending) {
        bool seen[KEYS] = { false };
        struct list_node *node;

        while ((node = list_take_first(removed))) {
                struct dedup_load *load = container_of(node, struct dedup_load, link);

                assert_false(load->in_flight);
                assert_true(list_is_empty(&load->requests));
                seen[note_left(history, load)] = true;
        }
        assert_memory_equal(seen, ending->leaves, sizeof(seen));
}

static void complete_one(struct history *history, struct list_node *answered, struct list_node *removed,
                         struct ending *ending) {
        int key = any_flying(history), next;
        bool succeeded = history_draw(&history->random, 3) == 0;
        struct dedup_load *turn;

        if (key == NOBODY)
                return;
        turn = dedup_table_complete(&history->table, history->there[key], succeeded, answered, removed);
        next = model_complete(&history->model, key, succeeded, ending);
        assert_ptr_equal(turn, next == NOBODY ? NULL : history->there[next]);
}

/* The lists may have something in them already. */
static void step_complete(struct history *history) {
        struct ending ending = { 0 };
        struct list_node answered, removed;

        list_init(&answered);
        list_init(&removed);
        complete_one(history, &answered, &removed, &ending);
        if (history_draw(&history->random, 4) == 0)
                complete_one(history, &answered, &removed, &ending);
        check_answered(history, &answered, &ending);
        check_removed(history, &removed, &ending);
}

/* A load of an earlier supervisor, with some requests that waited for it. */
static void step_adopt(struct history *history) {
        int key = any_key(history);
        uint64_t waiting = history_draw(&history->random, 4);
        struct dedup_load *load = free_load(history);

        if (!model_is_idle(&history->model, key))
                return;
        dedup_table_adopt(&history->table, &history->keys[key], load);
        note_entered(history, key, load);
        history->model.flying[key] = true;
        for (uint64_t i = 0; i < waiting; i++) {
                int request = idle_request(history);

                if (request == NOBODY)
                        return;
                begin_request(history, request);
                dedup_table_attach(load, &history->requests[request]);
                history->model.waits_for[request] = key;
        }
}

/* What holds after every step */

static unsigned int check_load(const struct history *history, const struct dedup_load *load) {
        int key = history->key_of_load[load - history->loads];
        unsigned int waiting = 0;
        uint64_t last = 0;

        assert_int_not_equal(key, NOBODY);
        assert_ptr_equal(history->there[key], load);
        assert_true(model_is_there(&history->model, key));
        assert_int_equal(load->in_flight, history->model.flying[key]);
        assert_true(load->in_flight || !list_is_empty(&load->requests) || history->model.offered[key]);
        for (const struct list_node *node = load->requests.next; node != &load->requests; node = node->next) {
                const struct dedup_request *request = container_of(node, const struct dedup_request, link);

                assert_ptr_equal(request->load, load);
                assert_int_equal(history->model.waits_for[request - history->requests], key);
                assert_true(request->order > last);
                last = request->order;
                waiting++;
        }
        return waiting;
}

static void check_table(const struct history *history) {
        bool name_flies[NAMES] = { false };
        unsigned int in_table = 0, used = 0, waiting = 0, expected = 0;
        const struct list_node *head = &history->table.loads;

        for (const struct list_node *node = head->next; node != head; node = node->next, in_table++) {
                const struct dedup_load *load = container_of(node, const struct dedup_load, link);
                int name = name_of(history->key_of_load[load - history->loads]);

                waiting += check_load(history, load);
                if (!load->in_flight || name == NAMES - 1)
                        continue;
                assert_false(name_flies[name]);
                name_flies[name] = true;
        }
        for (size_t i = 0; i < LOADS; i++)
                used += history->key_of_load[i] != NOBODY;
        for (size_t i = 0; i < REQUESTS; i++)
                expected += history->model.waits_for[i] != NOBODY;
        assert_int_equal(in_table, used);
        assert_int_equal(waiting, expected);
}

static void check_questions(struct history *history) {
        int key = any_key(history);

        assert_ptr_equal(dedup_table_find(&history->table, &history->keys[key]), history->there[key]);
        assert_int_equal(dedup_table_is_idle(&history->table, &history->keys[key]),
                         model_is_idle(&history->model, key));
}

/* The history */

/* Each file differs from the first one in one thing. */
static void make_keys(struct history *history) {
        static const char *const names[NAMES] = { "alpha", "beta", "alpha_2", NULL };
        static const char *const params[PARAMS] = { "", "x=1", "x=2" };
        static const struct module_file files[FILES] = {
                { .device = 1, .inode = 1, .size = 1, .ctime_ns = 1, .mtime_ns = 1 },
                { .device = 2, .inode = 1, .size = 1, .ctime_ns = 1, .mtime_ns = 1 },
                { .device = 1, .inode = 2, .size = 1, .ctime_ns = 1, .mtime_ns = 1 },
                { .device = 1, .inode = 1, .size = 2, .ctime_ns = 1, .mtime_ns = 1 },
                { .device = 1, .inode = 1, .size = 1, .ctime_ns = 2, .mtime_ns = 1 },
                { .device = 1, .inode = 1, .size = 1, .ctime_ns = 1, .mtime_ns = 2 },
        };

        for (unsigned int key = 0; key < KEYS; key++) {
                const char *text = params[key / FLAGS % PARAMS];

                history->keys[key] = module_key_make(&files[key / (PARAMS * FLAGS) % FILES], names[key / PER_NAME],
                                                     text, strlen(text), key % FLAGS);
        }
}

static struct history *history_new(void) {
        struct history *history = calloc(1, sizeof(*history));

        assert_non_null(history);
        history->random = history_begin(STEPS);
        dedup_table_init(&history->table);
        make_keys(history);
        for (int i = 0; i < REQUESTS; i++)
                history->model.waits_for[i] = NOBODY;
        for (int i = 0; i < LOADS; i++)
                history->key_of_load[i] = NOBODY;
        return history;
}

static void step(struct history *history) {
        uint64_t kind = history_draw(&history->random, 20);

        if (kind < 10)
                step_submit(history);
        else if (kind < 12)
                step_withdraw(history);
        else if (kind < 18)
                step_complete(history);
        else if (kind < 19)
                step_adopt(history);
        else
                step_offer(history);
}

static void test_random_histories(void **state) {
        struct history *history = history_new();

        (void)state;
        for (uint64_t i = 0; i < history->random.steps; i++) {
                step(history);
                check_table(history);
                check_questions(history);
        }
        free(history);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_random_histories),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
