/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Remembered failures, in random histories against a model.
 *
 * The model knows for each module, variant of its request, and image what the rules of failures.h make of it. No list:
 * what is older has a lower number.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "failures.h"
#include "history.h"
#include "module/identity.h"

#define STEPS 1000000
#define SUMS_EVERY 4 /* steps */
#define ALL_EVERY 16

#define TTL (10 * 1000000000ULL)
#define NAMES 80
#define VARIANTS 4 /* of the request */
#define IMAGES 2
#define KEYS (NAMES * VARIANTS)
#define MEMORIES (KEYS * IMAGES) /* more than FAILURES_MAX */
#define NOBODY (-1)

/* What is known of a key and an image. */
struct memory {
        bool there;
        bool stands; /* else it is only there because it is owed; of a key, one stands at most */
        bool live_since;
        bool owed;
        bool postponed;
        int error;
        uint64_t until;
        uint64_t bytes;
        uint64_t age;
};

struct model {
        struct memory memories[MEMORIES];
        uint64_t live;
        uint64_t epoch;
        uint64_t clock; /* of ages */
};

struct history {
        struct history_random random;
        struct model model;
        struct failures failures;
        struct module_key keys[KEYS];
        uint64_t now;
};

/* The model */

static int model_standing(const struct model *model, int key) {
        for (int i = key * IMAGES; i < (key + 1) * IMAGES; i++)
                if (model->memories[i].there && model->memories[i].stands)
                        return i;
        return NOBODY;
}

static int model_find(const struct model *model, int key, uint64_t now) {
        int standing = model_standing(model, key);

        return standing != NOBODY && now < model->memories[standing].until ? standing : NOBODY;
}

static void model_end(struct memory *memory) {
        memory->stands = false;
        memory->there = memory->there && memory->owed;
}

static unsigned int model_count(const struct model *model) {
        unsigned int count = 0;

        for (int i = 0; i < MEMORIES; i++)
                count += model->memories[i].there;
        return count;
}

static uint64_t model_bytes(const struct model *model) {
        uint64_t bytes = 0;

        for (int i = 0; i < MEMORIES; i++)
                bytes += model->memories[i].there ? model->memories[i].bytes : 0;
        return bytes;
}

/* The oldest one that makes room, or NOBODY. */
static int model_dispensable(const struct model *model, bool too_many) {
        int oldest = NOBODY;

        for (int i = 0; i < MEMORIES; i++) {
                const struct memory *memory = &model->memories[i];

                if (memory->there && !memory->owed && (too_many || memory->bytes > 0) &&
                    (oldest == NOBODY || memory->age < model->memories[oldest].age))
                        oldest = i;
        }
        return oldest;
}

static bool model_make_room(struct model *model, uint64_t bytes) {
        if (bytes > FAILURE_BYTES_MAX)
                return false;
        for (;;) {
                bool too_many = model_count(model) == FAILURES_MAX;
                int dispensable;

                if (!too_many && model_bytes(model) + bytes <= FAILURES_BYTES_MAX)
                        return true;
                dispensable = model_dispensable(model, too_many);
                if (dispensable == NOBODY)
                        return false;
                model->memories[dispensable].there = false;
        }
}

static void model_remember(struct model *model, int i, const struct failure *failure, uint64_t now) {
        int standing;

        model->memories[i].there = false;
        standing = model_standing(model, i / IMAGES);
        if (standing != NOBODY)
                model_end(&model->memories[standing]);
        if (!model_make_room(model, failure->bytes))
                return;
        model->memories[i] = (struct memory){
                .there = true,
                .stands = true,
                .live_since = failure->live_since,
                .error = failure->error,
                .until = now + TTL,
                .bytes = failure->bytes,
                .age = ++model->clock,
        };
}

static uint64_t model_due(const struct model *model, int i) {
        const struct memory *memory = &model->memories[i];
        uint64_t quiet = model->live + FAILURES_QUIET_NS;

        if (!memory->there)
                return UINT64_MAX;
        return memory->owed && !memory->postponed && quiet < memory->until ? quiet : memory->until;
}

static uint64_t model_next(const struct model *model) {
        uint64_t next = UINT64_MAX;

        for (int i = 0; i < MEMORIES; i++)
                if (model_due(model, i) < next)
                        next = model_due(model, i);
        return next;
}

/* The oldest one that is due, or NOBODY. */
static int model_oldest_due(const struct model *model, uint64_t now) {
        int oldest = NOBODY;

        for (int i = 0; i < MEMORIES; i++)
                if (model_due(model, i) <= now &&
                    (oldest == NOBODY || model->memories[i].age < model->memories[oldest].age))
                        oldest = i;
        return oldest;
}

/* Which one is to be attempted now, or NOBODY. */
static int model_take_due(struct model *model, uint64_t now) {
        int oldest;

        while ((oldest = model_oldest_due(model, now)) != NOBODY) {
                model->memories[oldest].there = false;
                if (model->memories[oldest].owed)
                        return oldest;
        }
        return NOBODY;
}

/* Names of both sides */

static void hash_of(int i, uint64_t hash[static 2]) {
        hash[0] = 7;
        hash[1] = (uint64_t)(i % IMAGES);
}

/* What is not of this table's interest says which one it is. */
static int memory_of(const struct history *history, const struct failure *failure) {
        int i = (int)failure->module;
        uint64_t hash[2];

        assert_in_range(i, 0, MEMORIES - 1);
        hash_of(i, hash);
        assert_true(module_key_equal(&failure->key, &history->keys[i / IMAGES]));
        assert_memory_equal(failure->image_hash, hash, sizeof(hash));
        return i;
}

static uint64_t draw(struct history *history, uint64_t below) {
        return history_draw(&history->random, below);
}

static int any_memory(struct history *history) {
        return (int)draw(history, MEMORIES);
}

/* Steps */

static void check_failure(const struct history *history, const struct failure *failure, int i) {
        const struct memory *memory = &history->model.memories[i];

        assert_non_null(failure);
        assert_int_equal(memory_of(history, failure), i);
        assert_int_equal(failure->error, memory->error);
        assert_int_equal(failure->until_ns, memory->until);
        assert_int_equal(failure->bytes, memory->bytes);
        assert_int_equal(failure->live_since, memory->live_since);
        assert_int_equal(failure->owed, memory->owed);
        assert_true(failure->file_fd < 0 || fcntl(failure->file_fd, F_GETFD) >= 0);
}

/* Often to the moment when something is due, or right before it. */
static void step_time(struct history *history) {
        uint64_t next = model_next(&history->model) - draw(history, 2);

        if (draw(history, 8) == 0 && next != UINT64_MAX && next > history->now)
                history->now = next;
        else
                history->now += draw(history, draw(history, 1000) == 0 ? TTL : FAILURES_QUIET_NS / 100);
}

static void remember(struct history *history, int i) {
        static const uint64_t sizes[] = { 1 << 20, 5 << 20, FAILURE_BYTES_MAX, FAILURE_BYTES_MAX + 1 };
        static const int errors[] = { ENODEV, ENXIO, EOPNOTSUPP, EEXIST };
        struct failure failure = {
                .key = history->keys[i / IMAGES],
                .module = (uint32_t)i,
                .error = errors[draw(history, 4)],
                .live_since = draw(history, 4) == 0,
                .file_fd = draw(history, 4) == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : -1,
                .bytes = draw(history, 8) == 0 ? sizes[draw(history, 4)] : 0,
                .params = strdup("p"),
                .params_length = 1,
                /* of no meaning here */
                .owed = true,
                .ended = true,
                .postponed = true,
        };

        hash_of(i, failure.image_hash);
        failures_remember(&history->failures, &failure, history->now);
        model_remember(&history->model, i, &failure, history->now);
}

static void step_remember(struct history *history) {
        remember(history, any_memory(history));
}

/* More than there is room for. */
static void step_remember_many(struct history *history) {
        if (draw(history, 1000) != 0)
                return;
        for (int i = (int)draw(history, MEMORIES); i < MEMORIES; i++)
                remember(history, i);
}

/* What ends something comes seldom enough for the memory to get full meanwhile. */

static void step_attempted(struct history *history) {
        int i = any_memory(history);
        uint64_t hash[2];

        if (draw(history, 4) != 0)
                return;
        hash_of(i, hash);
        failures_attempted(&history->failures, &history->keys[i / IMAGES], hash);
        history->model.memories[i].there = false;
}

static void step_give(struct history *history) {
        int due = model_oldest_due(&history->model, history->now);
        int key = (due != NOBODY && draw(history, 4) == 0 ? due : any_memory(history)) / IMAGES;
        int i = model_find(&history->model, key, history->now);
        struct failure *failure = failures_find(&history->failures, &history->keys[key], history->now);

        if (i == NOBODY) {
                assert_null(failure);
                return;
        }
        check_failure(history, failure, i);
        failure_given(failure);
        if (history->model.memories[i].live_since)
                history->model.memories[i].owed = true;
}

static void step_end_name(struct history *history) {
        int name = any_memory(history) / (VARIANTS * IMAGES);

        if (draw(history, 4) != 0)
                return;
        failures_end_name(&history->failures, history->keys[name * VARIANTS].name);
        for (int i = name * VARIANTS * IMAGES; i < (name + 1) * VARIANTS * IMAGES; i++)
                model_end(&history->model.memories[i]);
}

static void step_end_all(struct history *history) {
        if (draw(history, 100) != 0)
                return;
        failures_end_all(&history->failures);
        history->model.epoch++;
        for (int i = 0; i < MEMORIES; i++)
                model_end(&history->model.memories[i]);
}

static void step_went_live(struct history *history) {
        if (draw(history, 50) != 0)
                return;
        failures_module_went_live(&history->failures, history->now);
        history->model.live = history->now;
        for (int i = 0; i < MEMORIES; i++)
                history->model.memories[i].live_since = true;
}

static void step_take_due(struct history *history) {
        struct failure *failure = failures_take_due(&history->failures, history->now);
        int i = model_take_due(&history->model, history->now);
        struct memory *memory = i == NOBODY ? NULL : &history->model.memories[i];

        if (!memory) {
                assert_null(failure);
                return;
        }
        check_failure(history, failure, i);
        if (draw(history, 3) != 0) {
                failure_free(failure);
                return;
        }
        failures_postpone(&history->failures, failure, history->now);
        memory->there = true;
        memory->stands = false;
        memory->postponed = true;
        memory->until = history->now + FAILURES_QUIET_NS;
        memory->age = ++history->model.clock;
}

/* What holds at any time */

static void check_sums(const struct history *history) {
        assert_int_equal(history->failures.count, model_count(&history->model));
        assert_int_equal(history->failures.bytes, model_bytes(&history->model));
        assert_int_equal(history->failures.epoch, history->model.epoch);
        assert_int_equal(failures_next_ns(&history->failures), model_next(&history->model));
        assert_true(history->failures.count <= FAILURES_MAX);
        assert_true(history->failures.bytes <= FAILURES_BYTES_MAX);
}

static void check_all(struct history *history) {
        uint64_t last = 0;
        unsigned int count = 0;

        list_for_each_safe(node, after, &history->failures.entries) {
                struct failure *failure = container_of(node, struct failure, link);
                int i = memory_of(history, failure);

                check_failure(history, failure, i);
                assert_true(history->model.memories[i].there);
                assert_int_equal(failure->ended, !history->model.memories[i].stands);
                assert_true(history->model.memories[i].age > last);
                last = history->model.memories[i].age;
                count++;
        }
        assert_int_equal(count, model_count(&history->model));
}

/* The history */

static void make_keys(struct history *history) {
        const struct module_file file = { .device = 1, .inode = 2, .size = 3, .ctime_ns = 4, .mtime_ns = 5 };
        char name[16];

        for (unsigned int key = 0; key < KEYS; key++) {
                /* some are the beginning of others */
                (void)snprintf(name, sizeof(name), "m%u", key / VARIANTS);
                history->keys[key] = module_key_make(&file, name, "p", 1, key % VARIANTS);
        }
}

static void step(struct history *history) {
        static void (*const steps[])(struct history * history) = {
                step_remember_many, step_time,    step_remember,  step_remember, step_remember,
                step_attempted,     step_give,    step_give,      step_give,     step_give,
                step_end_name,      step_end_all, step_went_live, step_take_due,
        };

        steps[draw(history, sizeof(steps) / sizeof(steps[0]))](history);
}

static int next_fd(void) {
        int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);

        (void)close(fd);
        return fd;
}

static void test_random_histories(void **state) {
        struct history *history = calloc(1, sizeof(*history));
        int fd = next_fd();

        (void)state;
        assert_non_null(history);
        history->random = history_begin(STEPS);
        history->now = TTL;
        failures_init(&history->failures, TTL);
        make_keys(history);
        for (uint64_t i = 0; i < history->random.steps; i++) {
                step(history);
                if (i % SUMS_EVERY == 0)
                        check_sums(history);
                if (i % ALL_EVERY == 0)
                        check_all(history);
        }
        failures_deinit(&history->failures);
        assert_int_equal(history->failures.count, 0);
        assert_int_equal(next_fd(), fd);
        free(history);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_random_histories),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
