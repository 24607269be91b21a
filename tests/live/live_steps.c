/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A process of modgate's is stopped at each step of a request's life (src/step.h), and killed there: every caller is
 * answered, and rightly. Built from modgate's sources with STEPS_STOP. Each test is one step, the first time that it is
 * come by, or a later time.
 *
 * The calls: files and images, of modules that load, fail, and are asked for with several parameters, by many at once.
 */

#include "step.h"

#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "notify.h"
#include "scripted.h"
#include "scripted_images.h"
#include "scripted_private.h"

static struct {
        enum step step;
        atomic_int before; /* so many times more it is passed by */
        atomic_uint stopped;
        _Atomic pid_t pid; /* who stands still there */
        bool recovers;     /* a step of a second supervisor: the first one is killed before */
} * trap;

/* In any process of modgate's; in the test's own there is no trap yet, or it has been sprung. */
void step_reached(enum step step) {
        if (!trap || step != trap->step || atomic_fetch_sub(&trap->before, 1) != 0)
                return;
        trap->pid = getpid();
        trap->stopped = 1;
        for (;;)
                scripted_futex(&trap->stopped, FUTEX_WAIT, 1);
}

static void set_trap(struct scripted *kit, enum step step, int before) {
        trap = mmap(NULL, sizeof(*trap), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(trap != MAP_FAILED);
        trap->step = step;
        trap->before = before;
        trap->recovers = step >= STEP_RECOVERING;
        scripted_prepare_bare(kit);
}

/* The kinds of calls, and what may come of them. */
#define KINDS 7U
#define CALLERS 6U

struct kind {
        const char *module;
        const char *params;
        bool image;
        int error; /* 0: the module loads */
};

static const struct kind kinds[KINDS] = {
        { "alpha", "", false, 0 },     { "beta", "", false, ENODEV }, { "beta", "x=1", false, ENODEV },
        { "gamma", "x=2", true, 0 },   { "delta", "", true, EINVAL }, { "m000", "", false, EEXIST },
        { "with-dash", "", false, 0 },
};

static struct scripted_call call_of_kind(struct scripted *kit, const struct kind *kind) {
        struct scripted_module *module = scripted_module(kit, kind->module);

        if (kind->error != 0)
                scripted_set_result(module, kind->error);
        module->delay_ms = 2;
        return kind->image ? scripted_image_call_with(kit, module, "one", kind->params)
                           : scripted_call_with(module, kind->params, 0);
}

/* The kinds take turns. */
static struct scripted_call *make_calls(struct scripted *kit) {
        struct scripted_call likes[KINDS], *calls;

        for (unsigned int i = 0; i < KINDS; i++)
                likes[i] = call_of_kind(kit, &kinds[i]);
        calls = scripted_calls(kit, 1, likes[0]);
        for (unsigned int i = 1; i < KINDS * CALLERS; i++)
                (void)scripted_calls(kit, 1, likes[i % KINDS]);
        return calls;
}

/* Whoever stands still is killed. Returns whether anybody did, before all calls were answered. */
static bool spring(const struct scripted_call *calls, unsigned int count) {
        while (!trap->stopped && scripted_count(calls, count, NOT_RETURNED) > 0)
                scripted_sleep_ms(1);
        /* what follows the last answer */
        for (unsigned int i = 0; !trap->stopped && i < 200; i++)
                scripted_sleep_ms(1);
        if (!trap->stopped)
                return false;
        CHECK_EQUAL(kill(trap->pid, SIGKILL), 0);
        return true;
}

/* Some died with a worker, and were left to the kernel: here it has no modules, and says always the same. */
static void check_answers(struct scripted *kit, const struct scripted_call *calls, unsigned int left_to_kernel) {
        unsigned int left = 0;

        for (unsigned int i = 0; i < KINDS * CALLERS; i++) {
                const struct kind *kind = &kinds[i % KINDS];
                int error = calls[i].error;

                if (error == kit->bare[0])
                        left++;
                else if (kind->error == 0)
                        CHECK(error == 0 || error == EEXIST);
                else
                        CHECK_EQUAL(error, kind->error);
        }
        CHECK(left <= left_to_kernel);
}

/* The keeper comes by it before anybody calls, and not again. There is no other keeper. */
static bool is_of_keeper(enum step step) {
        return step == STEP_START_DUE;
}

/*
 * How many calls may be left to the kernel. None for the death of a supervisor, but in one moment: of a load that was
 * written down and not sent, its successor only hears that the loader has ended without an answer.
 */
static unsigned int left_at_most(enum step step) {
        bool of_worker = step >= STEP_JOB_TAKEN && step < STEP_RECOVERING;

        /* those that are there serve on, and what needs more at once is left to the kernel */
        if (is_of_keeper(step))
                return KINDS * CALLERS;
        return of_worker || step == STEP_LOAD_JOURNALED ? CALLERS : 0;
}

static void check_loads(struct scripted *kit, bool loader_died) {
        for (unsigned int i = 0; i < kit->module_count; i++) {
                const struct scripted_module *module = &kit->module[i];

                /* one that died never said that it had ended */
                CHECK(loader_died || !module->overlapped);
                if (module->results == 0 && !loader_died)
                        CHECK(module->loads <= 1);
        }
}

static void test_step(struct scripted *kit) {
        struct scripted_call *calls = make_calls(kit);
        bool loader = trap->step >= STEP_JOB_TAKEN && trap->step < STEP_INSPECTING;

        if (trap->recovers) {
                struct scripted_module *alpha = scripted_module(kit, "alpha");

                atomic_store(&alpha->hold, 1);
                scripted_start(kit, calls, KINDS * CALLERS, 0);
                scripted_await_begun(alpha, 1);
                CHECK_EQUAL(kill(scripted_await_process(kit, "modgate-superv"), SIGKILL), 0);
                for (unsigned int i = 0; !trap->stopped && i < 1000; i++)
                        scripted_sleep_ms(1);
                scripted_release(alpha);
        } else {
                scripted_start(kit, calls, KINDS * CALLERS, 0);
        }
        CHECK(spring(calls, KINDS * CALLERS));
        scripted_finish(kit, calls, KINDS * CALLERS);
        check_answers(kit, calls, left_at_most(trap->step));
        check_loads(kit, loader);
        /* and everything works as before */
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "m001"))), 0);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "m001"))), EEXIST);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "m000"))), EEXIST);
}

/* The first supervisor comes by these too, with nothing to take over. */
static bool is_come_by_at_start(enum step step) {
        return step == STEP_RECOVERING || step == STEP_REQUESTS_FOUND || step == STEP_RECOVERED;
}

static void prepare_step(struct scripted *kit, enum step step, int before) {
        set_trap(kit, step, is_come_by_at_start(step) ? 1 : before);
}

/* Later: the third time. What is done once in the life of a load may be done but once or twice here. */
#define PREPARE(name)                                                                                                  \
        static void prepare_##name(struct scripted *kit) {                                                             \
                prepare_step(kit, STEP_##name, 0);                                                                     \
        }                                                                                                              \
        static void prepare_later_##name(struct scripted *kit) {                                                       \
                prepare_step(kit, STEP_##name, STEP_##name >= STEP_RECOVERING || is_of_keeper(STEP_##name) ? 0 : 2);   \
        }
STEPS(PREPARE)

/*
 * The journal is full, and the supervisor dies with a call that it had received only to leave it to the kernel. Nor
 * does the next one have room for it.
 */

#define OVERFLOW 8U

static void prepare_full(struct scripted *kit) {
        set_trap(kit, STEP_RECEIVED, NOTIFY_SLOTS);
}

static void test_full(struct scripted *kit) {
        const unsigned int count = NOTIFY_SLOTS + OVERFLOW;
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, count, scripted_call_of(alpha));

        scripted_set_result(alpha, ENXIO);
        atomic_store(&alpha->hold, 1);
        scripted_start(kit, calls, count, 64);
        CHECK(spring(calls, count));
        scripted_settle(kit, calls, count);
        CHECK_EQUAL(scripted_count(calls, count, kit->bare[0]), OVERFLOW);
        scripted_release(alpha);
        scripted_finish(kit, calls, count);
        CHECK_EQUAL(scripted_count(calls, count, ENXIO), NOTIFY_SLOTS);
        CHECK_EQUAL(alpha->loads, 1);
}

/* is_of_keeper() */
#define KEEPER_DIES(step) (STEP_##step == STEP_START_DUE)

#define TESTS_OF(step)                                                                                                 \
        { .name = #step,                                                                                               \
          .prepare = prepare_##step,                                                                                   \
          .body = test_step,                                                                                           \
          .counts_inexactly = true,                                                                                    \
          .loses_keeper = KEEPER_DIES(step) },                                                                         \
                { .name = #step "_later",                                                                              \
                  .prepare = prepare_later_##step,                                                                     \
                  .body = test_step,                                                                                   \
                  .counts_inexactly = true,                                                                            \
                  .loses_keeper = KEEPER_DIES(step) },

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                STEPS(TESTS_OF){ .name = "full", .prepare = prepare_full, .body = test_full, .counts_inexactly = true },
        };

        return scripted_main(argc, argv, tests, SCRIPTED_COUNT(tests));
}
