/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Remembered failures and time: attempts that are made up for after modules went live, and the time limit. Most of
 * these tests wait most of their time, so they run at the same time.
 *
 * When a module went live, 500 ms of quiet are all a test has to do what it wants to do before the attempt comes. On a
 * busy machine that may not be enough: so no test counts loads in between, and where the order matters it sees whether
 * it was too late.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scripted_failures.h"
#include "scripted_images.h"

/* It was given out after a module went live. */
static struct scripted_module *owed(struct scripted *kit, const char *name, int error) {
        struct scripted_module *module = scripted_remembered(kit, name, error);

        scripted_uevent(kit, "add", SCRIPTED_MODULE_WENT_LIVE);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(module)), error);
        return module;
}

/* The time limit */

static void test_time_is_up(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        scripted_set_result(alpha, ENODEV);
        scripted_check(kit, alpha, ENODEV, 1);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), ENODEV);
        CHECK(alpha->loads == 1 || scripted_now_ns() - alpha->record[0].ended_ns > 900000000U);
        scripted_sleep_ms(1100);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), ENODEV);
        CHECK_EQUAL(alpha->loads, 2);
        CHECK(alpha->record[1].began_ns - alpha->record[0].ended_ns >= 1000000000U);
}

/* A module went live: made up for */

static void test_made_up(struct scripted *kit) {
        struct scripted_module *alpha = scripted_remembered(kit, "alpha", ENODEV),
                               *gamma = scripted_remembered(kit, "gamma", ENODEV);
        uint64_t live_ns = scripted_now_ns();

        scripted_uevent(kit, "add", SCRIPTED_MODULE_WENT_LIVE);
        for (unsigned int i = 0; i < 5; i++)
                CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), ENODEV);
        scripted_await_load(kit, alpha, 2);
        CHECK(alpha->record[1].began_ns - live_ns >= SCRIPTED_QUIET_MS * 1000000U);
        CHECK_EQUAL(strcmp(alpha->record[1].file, "indexed"), 0);
        /* its result stands, and nothing is owed */
        scripted_check(kit, alpha, ENODEV, 2);
        scripted_sleep_ms(SCRIPTED_WELL_OVER_QUIET_MS);
        scripted_check(kit, alpha, ENODEV, 2);
        /* was given out before, but not since */
        CHECK_EQUAL(gamma->loads, 1);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(gamma)), ENODEV);
        scripted_await_load(kit, gamma, 2);
        /* once more, for the next one that goes live */
        scripted_uevent(kit, "add", SCRIPTED_MODULE_WENT_LIVE);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), ENODEV);
        scripted_await_load(kit, alpha, 3);
        CHECK_EQUAL(gamma->loads, 2);
}

static void after_made_up(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "requests"), 10);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 3);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "made_up"), 2);
        CHECK_EQUAL(scripted_module_number(report, "gamma", "made_up"), 1);
}

static void test_not_owed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_remembered(kit, "alpha", ENODEV), *beta = scripted_module(kit, "beta");

        scripted_uevent(kit, "add", SCRIPTED_MODULE_WENT_LIVE);
        scripted_uevent(kit, "add", "SUBSYSTEM=module\nSYNTH_UUID=0");
        /* this load is a later one */
        scripted_set_result(beta, ENODEV);
        scripted_check(kit, beta, ENODEV, 1);
        scripted_check(kit, beta, ENODEV, 1);
        scripted_sleep_ms(SCRIPTED_WELL_OVER_QUIET_MS);
        CHECK_EQUAL(alpha->loads, 1);
        CHECK_EQUAL(beta->loads, 1);
}

static void after_nothing_made_up(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "made_up"), 0);
        CHECK_EQUAL(scripted_module_number(report, "beta", "made_up"), 0);
}

static void test_made_up_succeeds(struct scripted *kit) {
        static const int results[] = { ENODEV, 0 };
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        scripted_set_results(alpha, results, 2);
        scripted_check_call(kit, alpha, scripted_call_with(alpha, "x=1", 2), ENODEV, 1);
        scripted_uevent(kit, "add", SCRIPTED_MODULE_WENT_LIVE);
        CHECK_EQUAL(scripted_one(kit, scripted_call_with(alpha, "x=1", 2)), ENODEV);
        scripted_await_load(kit, alpha, 2);
        CHECK_EQUAL(strcmp(alpha->record[1].params, "x=1"), 0);
        CHECK_EQUAL(alpha->record[1].flags, 2);
        scripted_check(kit, alpha, EEXIST, 2);
}

static void after_made_up_succeeds(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "made_up"), 1);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "live"), 1);
}

/* It is performed from the file of then, not from what has its path now. */
static void test_made_up_from_file(struct scripted *kit) {
        struct scripted_module *alpha = owed(kit, "alpha", ENODEV);

        CHECK_EQUAL(rename(scripted_file(kit, alpha, "updated"), alpha->path), 0);
        scripted_await_load(kit, alpha, 2);
        CHECK_EQUAL(strcmp(alpha->record[1].file, "indexed"), 0);
}

/* What was written into the file since nobody has asked for. */
static void test_not_made_up_from_written_file(struct scripted *kit) {
        struct scripted_module *alpha = owed(kit, "alpha", ENODEV);
        FILE *file = fopen(alpha->path, "we");

        CHECK(file != NULL);
        CHECK(fputs("alpha written\n", file) >= 0);
        CHECK_EQUAL(fclose(file), 0);
        scripted_sleep_ms(SCRIPTED_WELL_OVER_QUIET_MS);
        for (unsigned int i = 1; i < alpha->loads; i++)
                CHECK(scripted_loaded_from(alpha, i, "indexed")); /* we were too late */
        scripted_check_call(kit, alpha, scripted_call_of(alpha), ENODEV, alpha->loads + 1);
}

static void test_made_up_is_joined(struct scripted *kit) {
        struct scripted_module *alpha = scripted_remembered(kit, "alpha", ENODEV);
        struct scripted_call *calls = scripted_calls(kit, 16, scripted_call_of(alpha));

        alpha->hold = 1;
        scripted_uevent(kit, "add", SCRIPTED_MODULE_WENT_LIVE);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), ENODEV);
        scripted_await_begun(alpha, 2);
        scripted_start(kit, calls, 16, 0);
        scripted_settle(kit, calls, 16);
        CHECK_EQUAL(scripted_count(calls, 16, NOT_RETURNED), 16);
        scripted_release(alpha);
        scripted_finish(kit, calls, 16);
        CHECK_EQUAL(scripted_count(calls, 16, ENODEV), 16);
        scripted_check(kit, alpha, ENODEV, 2);
}

static void after_made_up_is_joined(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "made_up"), 1);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "joined"), 16);
}

/* It went live when the load had begun: whether the load still noticed is not known. */
static void test_live_during_load(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls;

        scripted_set_result(alpha, ENODEV);
        calls = scripted_start_waiting(kit, alpha, 1);
        scripted_uevent(kit, "add", SCRIPTED_MODULE_WENT_LIVE);
        scripted_release(alpha);
        scripted_finish(kit, calls, 1);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), ENODEV);
        scripted_await_load(kit, alpha, 2);
        scripted_check(kit, alpha, ENODEV, 2);
        scripted_sleep_ms(SCRIPTED_WELL_OVER_QUIET_MS);
        CHECK_EQUAL(alpha->loads, 2);
}

/* Modules keep going live: then it is made up for when its time is up. */
static void test_no_quiet(struct scripted *kit) {
        struct scripted_module *alpha = owed(kit, "alpha", ENODEV);
        uint64_t live_ns = scripted_now_ns(), longest_ns = 0;

        while (alpha->loads < 2) {
                uint64_t now_ns = scripted_now_ns();

                scripted_uevent(kit, "add", SCRIPTED_MODULE_WENT_LIVE);
                longest_ns = now_ns - live_ns > longest_ns ? now_ns - live_ns : longest_ns;
                live_ns = now_ns;
                scripted_sleep_ms(50);
        }
        scripted_await_load(kit, alpha, 2);
        CHECK(alpha->record[1].began_ns - alpha->record[0].ended_ns >= 1000000000U ||
              longest_ns > SCRIPTED_QUIET_MS * 1000000U);
        CHECK(alpha->record[1].began_ns - live_ns < SCRIPTED_QUIET_MS * 1000000U ||
              longest_ns > SCRIPTED_QUIET_MS * 1000000U);
}

/* What is owed is not paid by what ends the failure. */
static void test_owed_and_ended(struct scripted *kit) {
        struct scripted_module *alpha = owed(kit, "alpha", ENODEV);

        scripted_uevent(kit, "add", "MODALIAS=alpha");
        scripted_uevent(kit, "remove", "SUBSYSTEM=module\nDEVPATH=/module/gamma");
        scripted_await_load(kit, alpha, 2);
        scripted_sleep_ms(SCRIPTED_WELL_OVER_QUIET_MS);
        CHECK_EQUAL(alpha->loads, 2);
}

static void after_made_up_once(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "made_up"), 1);
}

static bool too_late(const struct scripted_module *module, unsigned int loads) {
        if (module->loads == loads)
                return false;
        printf("# too late: shows nothing\n");
        return true;
}

/* But by a caller's attempt it is. */
static void test_owed_and_attempted(struct scripted *kit) {
        struct scripted_module *alpha = owed(kit, "alpha", ENODEV);

        scripted_uevent(kit, "add", "MODALIAS=alpha");
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), ENODEV);
        if (too_late(alpha, 2))
                return;
        scripted_sleep_ms(SCRIPTED_WELL_OVER_QUIET_MS);
        CHECK_EQUAL(alpha->loads, 2);
}

/* Another load of its name is in flight when it is due. */
static void test_owed_and_busy(struct scripted *kit) {
        struct scripted_module *alpha = owed(kit, "alpha", ENODEV);
        struct scripted_call *other = scripted_calls(kit, 1, scripted_call_with(alpha, "x=1", 0));

        alpha->hold = 1;
        scripted_start(kit, other, 1, 0);
        scripted_await_begun(alpha, 2);
        scripted_sleep_ms(SCRIPTED_WELL_OVER_QUIET_MS);
        CHECK_EQUAL(alpha->loads, 2);
        scripted_release(alpha);
        scripted_finish(kit, other, 1);
        scripted_await_load(kit, alpha, 3);
        CHECK(!alpha->overlapped);
        /* one of the two is the made-up one; the other way round if that came first */
        CHECK(strcmp(alpha->record[1].params, alpha->record[2].params) != 0);
        scripted_check(kit, alpha, ENODEV, 3);
}

/* It has gone live by other means: there is nothing to attempt. */
static void test_owed_and_live(struct scripted *kit) {
        struct scripted_module *alpha = owed(kit, "alpha", ENODEV);

        scripted_set_state(kit, alpha, "live");
        if (too_late(alpha, 1))
                return;
        scripted_sleep_ms(SCRIPTED_WELL_OVER_QUIET_MS);
        CHECK_EQUAL(alpha->loads, 1);
}

/* init_module */

static void test_image_made_up(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call one = scripted_image_call(kit, alpha, "one"), two = scripted_image_call(kit, alpha, "two");

        scripted_set_result(alpha, ENODEV);
        scripted_check_call(kit, alpha, one, ENODEV, 1);
        scripted_uevent(kit, "add", SCRIPTED_MODULE_WENT_LIVE);
        /* only compared, not given out */
        scripted_check_call(kit, alpha, two, ENODEV, 2);
        scripted_sleep_ms(SCRIPTED_WELL_OVER_QUIET_MS);
        CHECK_EQUAL(alpha->loads, 2);
        scripted_uevent(kit, "add", SCRIPTED_MODULE_WENT_LIVE);
        CHECK_EQUAL(scripted_one(kit, two), ENODEV);
        /* owed to the one, remembered of the other */
        CHECK_EQUAL(scripted_one(kit, one), ENODEV);
        scripted_await_load(kit, alpha, 4);
        CHECK(strcmp(alpha->record[2].file, alpha->record[3].file) != 0);
}

static void after_image_made_up(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "made_up"), 1);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "remembered"), 1);
}

static void test_image_made_up_is_joined(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call one = scripted_image_call(kit, alpha, "one"), *calls = scripted_calls(kit, 4, one);

        scripted_set_result(alpha, ENODEV);
        scripted_check_call(kit, alpha, one, ENODEV, 1);
        alpha->hold = 1;
        scripted_uevent(kit, "add", SCRIPTED_MODULE_WENT_LIVE);
        CHECK_EQUAL(scripted_one(kit, one), ENODEV);
        scripted_await_begun(alpha, 2);
        scripted_start(kit, calls, 4, 0);
        scripted_settle(kit, calls, 4);
        scripted_release(alpha);
        scripted_finish(kit, calls, 4);
        CHECK_EQUAL(scripted_count(calls, 4, ENODEV), 4);
        scripted_check_call(kit, alpha, one, ENODEV, 2);
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { "time_is_up", test_time_is_up, .failure_ttl_s = 1 },
                { "made_up", test_made_up, .failure_ttl_s = SCRIPTED_TTL_S, .after = after_made_up },
                { "not_owed", test_not_owed, .failure_ttl_s = SCRIPTED_TTL_S, .after = after_nothing_made_up },
                { "made_up_succeeds", test_made_up_succeeds, .failure_ttl_s = SCRIPTED_TTL_S,
                  .after = after_made_up_succeeds },
                { "made_up_from_file", test_made_up_from_file, .failure_ttl_s = SCRIPTED_TTL_S },
                { "not_made_up_from_written_file", test_not_made_up_from_written_file,
                  .failure_ttl_s = SCRIPTED_TTL_S },
                { "made_up_is_joined", test_made_up_is_joined, .failure_ttl_s = SCRIPTED_TTL_S,
                  .after = after_made_up_is_joined },
                { "live_during_load", test_live_during_load, .failure_ttl_s = SCRIPTED_TTL_S },
                { "no_quiet", test_no_quiet, .failure_ttl_s = 1 },
                { "owed_and_ended", test_owed_and_ended, .failure_ttl_s = SCRIPTED_TTL_S, .after = after_made_up_once },
                { "owed_and_attempted", test_owed_and_attempted, .failure_ttl_s = SCRIPTED_TTL_S },
                { "owed_and_busy", test_owed_and_busy, .failure_ttl_s = SCRIPTED_TTL_S, .after = after_made_up_once },
                { "owed_and_live", test_owed_and_live, .failure_ttl_s = SCRIPTED_TTL_S },
                { "image_made_up", test_image_made_up, .failure_ttl_s = SCRIPTED_TTL_S, .after = after_image_made_up },
                { "image_made_up_is_joined", test_image_made_up_is_joined, .failure_ttl_s = SCRIPTED_TTL_S },
        };

        return scripted_main_at_once(argc, argv, tests, SCRIPTED_COUNT(tests));
}
