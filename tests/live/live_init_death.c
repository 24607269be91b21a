/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Callers of init_module that cannot go on, and processes that die over their images. */

#include <signal.h>

#include "notify.h"
#include "scripted_images.h"

#define KILLS 3U

/* A leader that cannot go on leaves the load to those who joined it */

static void test_leader_unreadable(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_crowd crowd;

        scripted_set_result(alpha, ENODEV);
        /* until all of them have been looked at */
        alpha->hold = 1;
        crowd = scripted_start_crowd(kit, scripted_raw_headers(kit, alpha), 2, scripted_raw_small(kit, alpha, "good"),
                                     8);
        scripted_finish_all(kit, crowd.first, 2, kit->bare[0]);
        scripted_await_begun(alpha, 1);
        scripted_settle(kit, crowd.others, 8);
        scripted_release(alpha);
        scripted_finish_all(kit, crowd.others, 8, ENODEV);
        CHECK_EQUAL(alpha->loads, 1);
        CHECK(scripted_loaded_from(alpha, 0, "good"));
}

static void after_leader_unreadable(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "memory-unreadable"), 2);
        CHECK_EQUAL(scripted_continued(report), 2);
}

static void test_leader_killed_copying(struct scripted *kit) {
        struct scripted_raw large = scripted_raw_large(kit);
        struct scripted_crowd crowd = scripted_start_crowd(kit, large, 1, large, 4);
        pid_t inspector = scripted_stop_copying(kit);

        scripted_kill(crowd.first, 1);
        scripted_finish(kit, crowd.first, 1);
        CHECK_EQUAL(kill(inspector, SIGCONT), 0);
        scripted_finish_all(kit, crowd.others, 4, ENOEXEC);
}

static void after_leader_killed_copying(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "requests"), 5);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 1);
        /* a read that has begun goes on to its end, without the caller: then the load was from its image */
        CHECK(scripted_module_number(report, "alpha", "joined") >= 3);
        CHECK_EQUAL(scripted_number(report, "totals", "gone"), 1);
        CHECK_EQUAL(scripted_continued(report), 0);
}

/* The slots of the dead are looked for when there is no other one: that ends the inspection, and not the load. */
static void test_leader_swept(struct scripted *kit) {
        const unsigned int count = NOTIFY_SLOTS - 4;
        struct scripted_module *beta = scripted_module(kit, "beta");
        struct scripted_raw large = scripted_raw_large(kit);
        struct scripted_crowd crowd = scripted_start_crowd(kit, large, 1, large, 4);
        struct scripted_call *calls = scripted_calls(kit, count, scripted_call_of(beta));

        (void)scripted_stop_copying(kit);
        scripted_kill(crowd.first, 1);
        scripted_finish(kit, crowd.first, 1);
        beta->hold = 1;
        scripted_start(kit, calls, count, 128);
        scripted_finish_all(kit, crowd.others, 4, ENOEXEC);
        scripted_release(beta);
        scripted_finish(kit, calls, count);
        CHECK_EQUAL(scripted_count(calls, count, 0) + scripted_count(calls, count, EEXIST), count);
}

static void check_callers_killed(struct scripted *kit, struct scripted_module *module, int result) {
        struct scripted_call *leader, *calls;

        scripted_set_result(module, result);
        leader = scripted_start_held(kit, module, 1, scripted_image_call(kit, module, "one"));
        calls = scripted_start_parked(kit, 16, scripted_image_call(kit, module, "one"));
        scripted_kill(leader, 1);
        scripted_kill(calls, 8);
        scripted_finish(kit, leader, 1);
        scripted_finish(kit, calls, 8);
        CHECK_EQUAL(module->running, 1);
        scripted_release(module);
        scripted_finish_all(kit, calls + 8, 8, result);
        CHECK_EQUAL(module->loads, 1);
}

static void test_callers_killed(struct scripted *kit) {
        check_callers_killed(kit, scripted_module(kit, "alpha"), 0);
        check_callers_killed(kit, scripted_module(kit, "beta"), ENODEV);
}

static void after_callers_killed(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "totals", "gone"), 18);
        CHECK_EQUAL(scripted_continued(report), 0);
}

/* The loader */

static void test_loader_killed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        struct scripted_call *calls = scripted_start_held(kit, alpha, 8, scripted_image_call(kit, alpha, "one")), *one,
                             *two;

        CHECK_EQUAL(kill(alpha->record[0].loader, SIGKILL), 0);
        scripted_finish_all(kit, calls, 8, kit->bare[0]);
        CHECK_EQUAL(alpha->loads, 1);
        alpha->running = 0;
        scripted_release(alpha);

        /* the module hangs half-way: EBUSY is for those of the same image only */
        one = scripted_start_held(kit, beta, 4, scripted_image_call(kit, beta, "one"));
        two = scripted_start_parked(kit, 4, scripted_image_call(kit, beta, "two"));
        scripted_set_state(kit, beta, "coming");
        CHECK_EQUAL(kill(beta->record[0].loader, SIGKILL), 0);
        scripted_finish_all(kit, one, 4, EBUSY);
        beta->running = 0;
        scripted_release(beta);
        scripted_finish(kit, two, 4);
        CHECK_EQUAL(scripted_count(two, 4, 0) + scripted_count(two, 4, EEXIST), 4);
        CHECK_EQUAL(beta->loads, 2);
}

/* The supervisor */

static void test_supervisor_killed_success(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_start_held(kit, alpha, 64, scripted_image_call(kit, alpha, "one"));

        for (unsigned int i = 0; i < KILLS; i++)
                (void)scripted_replace_supervisor(kit);
        scripted_release(alpha);
        scripted_finish_all(kit, calls, 64, 0);
        CHECK_EQUAL(alpha->loads, 1);
}

/* Which image was whose is forgotten: all begin again, and then there is a load of each. */
static void test_supervisor_killed_failure(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *one, *two;

        scripted_set_result(alpha, ENODEV);
        one = scripted_start_held(kit, alpha, 32, scripted_image_call(kit, alpha, "one"));
        two = scripted_start_parked(kit, 32, scripted_image_call(kit, alpha, "two"));
        for (unsigned int i = 0; i < KILLS; i++)
                (void)scripted_replace_supervisor(kit);
        for (unsigned int loads = 2; loads <= 3; loads++) {
                scripted_release_one(kit, alpha);
                scripted_await_begun(alpha, loads);
                scripted_settle(kit, one, 64);
        }
        scripted_release(alpha);
        scripted_finish_all(kit, one, 32, ENODEV);
        scripted_finish_all(kit, two, 32, ENODEV);
        CHECK_EQUAL(alpha->loads, 3);
        CHECK(!alpha->overlapped);
}

static void test_supervisor_killed_copying(struct scripted *kit) {
        struct scripted_module *beta = scripted_module(kit, "beta");
        struct scripted_raw large = scripted_raw_large(kit);
        struct scripted_crowd crowd = scripted_start_crowd(kit, large, 1, large, 4);

        (void)scripted_stop_copying(kit);
        (void)scripted_replace_supervisor(kit);
        CHECK_EQUAL(scripted_one(kit, scripted_image_call(kit, beta, "one")), 0);
        scripted_finish_all(kit, crowd.first, 1, ENOEXEC);
        scripted_finish_all(kit, crowd.others, 4, ENOEXEC);
}

/* At any moment, those of comparing included. */
static void test_supervisor_killed_anywhere(struct scripted *kit) {
        struct scripted_call *calls[KILLS][2];

        for (unsigned int i = 0; i < KILLS; i++) {
                struct scripted_module *module = &kit->module[8 + i];

                scripted_set_result(module, ENODEV);
                calls[i][0] = scripted_start_held(kit, module, 24, scripted_image_call(kit, module, "one"));
                calls[i][1] = scripted_start_parked(kit, 24, scripted_image_call(kit, module, "two"));
                scripted_release(module);
                scripted_sleep_ms((unsigned int)scripted_random(kit, 4));
                (void)scripted_replace_supervisor(kit);
        }
        for (unsigned int i = 0; i < KILLS; i++) {
                scripted_finish_all(kit, calls[i][0], 24, ENODEV);
                scripted_finish_all(kit, calls[i][1], 24, ENODEV);
                CHECK(!kit->module[8 + i].overlapped);
        }
}

/* Inspectors */

static void test_inspector_killed_copying(struct scripted *kit) {
        struct scripted_raw large = scripted_raw_large(kit);
        struct scripted_crowd crowd = scripted_start_crowd(kit, large, 1, large, 4);

        CHECK_EQUAL(kill(scripted_stop_copying(kit), SIGKILL), 0);
        scripted_finish_all(kit, crowd.first, 1, kit->bare[0]);
        scripted_finish_all(kit, crowd.others, 4, ENOEXEC);
}

static void after_inspector_killed_copying(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "no-inspector"), 1);
        CHECK_EQUAL(scripted_continued(report), 1);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 1);
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "leader_unreadable",
                  .prepare = scripted_prepare_bare_image,
                  .body = test_leader_unreadable,
                  .after = after_leader_unreadable },
                { .name = "leader_killed_copying",
                  .body = test_leader_killed_copying,
                  .after = after_leader_killed_copying },
                { .name = "leader_swept",
                  .body = test_leader_swept,
                  .after = scripted_after_no_continue,
                  .limit_s = 60 },
                { .name = "callers_killed", .body = test_callers_killed, .after = after_callers_killed },
                { .name = "loader_killed",
                  .prepare = scripted_prepare_bare_image,
                  .body = test_loader_killed,
                  .counts_inexactly = true },
                { .name = "supervisor_killed_success",
                  .body = test_supervisor_killed_success,
                  .after = scripted_after_no_continue,
                  .counts_inexactly = true },
                { .name = "supervisor_killed_failure",
                  .body = test_supervisor_killed_failure,
                  .after = scripted_after_no_continue,
                  .counts_inexactly = true },
                { .name = "supervisor_killed_copying",
                  .body = test_supervisor_killed_copying,
                  .after = scripted_after_no_continue,
                  .counts_inexactly = true },
                { .name = "supervisor_killed_anywhere",
                  .body = test_supervisor_killed_anywhere,
                  .after = scripted_after_no_continue,
                  .counts_inexactly = true },
                { .name = "inspector_killed_copying",
                  .prepare = scripted_prepare_bare_image,
                  .body = test_inspector_killed_copying,
                  .after = after_inspector_killed_copying },
        };

        return scripted_main(argc, argv, tests, SCRIPTED_COUNT(tests));
}
