/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Processes that stand still. It takes seconds until that is noticed, so they run at the same time. */

#include <signal.h>

#include "scripted.h"

/* A supervisor that stands still is replaced by the keeper, after some seconds. */
static void test_supervisor_stands_still(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, 16, scripted_call_of(alpha));
        pid_t old = scripted_stop(kit, "modgate-superv");

        scripted_perform(kit, calls, 16);
        CHECK_EQUAL(scripted_count(calls, 16, 0) + scripted_count(calls, 16, EEXIST), 16);
        CHECK_EQUAL(alpha->loads, 1);
        CHECK(scripted_process(kit, "modgate-superv", 0) != old);
        CHECK_EQUAL(scripted_log_lines(kit, "the supervisor hangs"), 1);
}

/* The same when there is nothing to receive, but the end of a load to be told. */
static void test_supervisor_stands_still_with_answer(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_start_waiting(kit, alpha, 16);

        (void)scripted_stop(kit, "modgate-superv");
        scripted_release(alpha);
        scripted_finish(kit, calls, 16);
        CHECK_EQUAL(scripted_count(calls, 16, 0), 16);
        CHECK_EQUAL(alpha->loads, 1);
        CHECK_EQUAL(scripted_log_lines(kit, "the supervisor hangs"), 1);
}

/* A supervisor that waits for a long load is none that stands still. */
static void test_long_load(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls;

        alpha->delay_ms = 11000;
        calls = scripted_calls(kit, 4, scripted_call_of(alpha));
        scripted_perform(kit, calls, 4);
        CHECK_EQUAL(scripted_count(calls, 4, 0), 4);
}

static void after_long_load(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "totals", "supervisor_starts"), 1);
}

/* One that hangs for ever is abandoned. */
static void test_inspector_hangs(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, 8, scripted_call_of(alpha));
        pid_t inspector = scripted_stop(kit, "modgate-inspect");

        scripted_set_result(alpha, ENODEV);
        scripted_perform(kit, calls, 8);
        CHECK_EQUAL(scripted_count(calls, 8, ENODEV), 7);
        CHECK_EQUAL(scripted_count(calls, 8, kit->bare[0]), 1);
        scripted_sleep_ms(50);
        CHECK(kill(inspector, 0) < 0);
}

static void after_one_inspection(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "no-inspector"), 1);
        CHECK_EQUAL(scripted_continued(report), 1);
}

/*
 * Supervisor and keeper stood still in the middle of their work, as on a machine that was frozen: what was answered
 * meanwhile did not take too long.
 */
static void test_frozen(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, 1024, scripted_call_of(alpha));
        pid_t keeper, supervisor;

        /* with that, the keeper has handed over all that there is */
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "beta"))), 0);
        keeper = scripted_stop(kit, "modgate-keeper");
        alpha->hold = 1;
        scripted_start(kit, calls, 1024, 32);
        scripted_await_begun(alpha, 1);
        supervisor = scripted_stop(kit, "modgate-superv");
        scripted_sleep_ms(5100);
        CHECK_EQUAL(kill(supervisor, SIGCONT), 0);
        CHECK_EQUAL(kill(keeper, SIGCONT), 0);
        scripted_settle(kit, calls, 1024);
        scripted_release(alpha);
        scripted_finish_all(kit, calls, 1024, 0);
}

/*
 * The tree ends while a load of it is still on its way, and will be for ever: the runner checks that all of modgate
 * ends with it.
 */
static void test_load_without_end(struct scripted *kit) {
        struct scripted_call *call = scripted_start_waiting(kit, scripted_module(kit, "alpha"), 1);

        scripted_kill(call, 1);
        scripted_finish(kit, call, 1);
        CHECK_EQUAL(call->error, NOT_RETURNED);
}

static void after_load_without_end(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "totals", "gone"), 1);
        CHECK_EQUAL(scripted_number(report, "totals", "loader_deaths"), 1);
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "supervisor", .body = test_supervisor_stands_still, .counts_inexactly = true },
                { .name = "supervisor_with_answer",
                  .body = test_supervisor_stands_still_with_answer,
                  .counts_inexactly = true },
                { .name = "long_load", .body = test_long_load, .after = after_long_load },
                { .name = "frozen", .body = test_frozen, .after = scripted_after_no_continue },
                { .name = "load_without_end",
                  .body = test_load_without_end,
                  .after = after_load_without_end,
                  .counts_inexactly = true },
                { .name = "inspector",
                  .prepare = scripted_prepare_bare,
                  .body = test_inspector_hangs,
                  .after = after_one_inspection },
        };

        return scripted_main_at_once(argc, argv, tests, SCRIPTED_COUNT(tests));
}
