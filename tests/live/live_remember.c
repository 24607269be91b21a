/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Remembered failures: when they are given out, and what ends them. live_made_up.c has what takes its time. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "file_times.h"
#include "scripted_failures.h"
#include "scripted_images.h"

/* Given out */

static void test_given_out(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        scripted_set_result(alpha, ENODEV);
        for (unsigned int i = 0; i < 10; i++)
                scripted_check(kit, alpha, ENODEV, 1);
}

static void after_given_out(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "requests"), 10);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 1);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "remembered"), 9);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "made_up"), 0);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "bytes_not_read"), 9 * strlen("alpha indexed\n"));
        CHECK_EQUAL(scripted_continued(report), 0);
}

static void test_concurrent(struct scripted *kit) {
        struct scripted_module *alpha = scripted_remembered(kit, "alpha", ENXIO), *beta = scripted_module(kit, "beta");
        struct scripted_call *calls = scripted_calls(kit, 64, scripted_call_of(alpha));

        scripted_perform(kit, calls, 64);
        CHECK_EQUAL(scripted_count(calls, 64, ENXIO), 64);
        CHECK_EQUAL(alpha->loads, 1);
        /* nothing is known yet: who comes late gets what was remembered, all others join */
        calls = scripted_calls(kit, 64, scripted_call_of(beta));
        scripted_set_result(beta, ENODEV);
        scripted_start(kit, calls, 64, 16);
        scripted_finish(kit, calls, 64);
        CHECK_EQUAL(scripted_count(calls, 64, ENODEV), 64);
        CHECK_EQUAL(beta->loads, 1);
}

static void after_concurrent(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "remembered"), 65);
        CHECK_EQUAL(scripted_module_number(report, "beta", "joined") +
                            scripted_module_number(report, "beta", "remembered"),
                    63);
}

/* Which failures */

static void test_errnos(struct scripted *kit) {
        /* EEXIST: the init's own, as of acpi-cpufreq */
        static const int errors[] = { ENODEV, ENXIO, EOPNOTSUPP, EEXIST };

        for (unsigned int i = 0; i < SCRIPTED_COUNT(errors); i++) {
                char name[8];

                (void)snprintf(name, sizeof(name), "m%03u", i);
                (void)scripted_remembered(kit, name, errors[i]);
        }
}

static void test_other_errnos(struct scripted *kit) {
        /* 524, ENOTSUPP: the kernel's, and in no header */
        static const int errors[] = { EBUSY,  ENOEXEC, ENOMEM, EPERM,  EINVAL,       ENOENT, EIO,
                                      EAGAIN, EINTR,   EFAULT, ENOSYS, EKEYREJECTED, EACCES, 524 };
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        for (unsigned int i = 0; i < SCRIPTED_COUNT(errors); i++) {
                scripted_set_result(alpha, errors[i]);
                scripted_check(kit, alpha, errors[i], 2 * i + 1);
                scripted_check(kit, alpha, errors[i], 2 * i + 2);
        }
}

static void after_none_remembered(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "remembered"), 0);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "made_up"), 0);
}

/* Somebody else's load of the module went live meanwhile: EEXIST is the kernel's, and not its init's. */
static void test_exists(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls;

        scripted_set_result(alpha, EEXIST);
        calls = scripted_start_waiting(kit, alpha, 1);
        scripted_set_state(kit, alpha, "live");
        scripted_release(alpha);
        scripted_finish(kit, calls, 1);
        CHECK_EQUAL(calls->error, EEXIST);
        scripted_check(kit, alpha, EEXIST, 1);
        scripted_remove(kit, alpha); /* even if that remained untold */
        scripted_check(kit, alpha, EEXIST, 2);
}

static void after_exists(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "live"), 1);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "remembered"), 0);
}

/* A module that is live comes before a failure that stands. */
static void test_live(struct scripted *kit) {
        struct scripted_module *alpha = scripted_remembered(kit, "alpha", ENODEV);

        scripted_set_state(kit, alpha, "live");
        scripted_check(kit, alpha, EEXIST, 1);
        scripted_set_state(kit, alpha, "going");
        scripted_check(kit, alpha, ENODEV, 1);
}

static void test_off(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        scripted_set_result(alpha, ENODEV);
        for (unsigned int i = 1; i <= 3; i++)
                scripted_check(kit, alpha, ENODEV, i);
}

/* Whose failure it is */

static void test_other_requests(struct scripted *kit) {
        struct scripted_module *alpha = scripted_remembered(kit, "alpha", ENODEV);

        scripted_check_call(kit, alpha, scripted_call_with(alpha, "x=1", 0), ENODEV, 2);
        scripted_check_call(kit, alpha, scripted_call_with(alpha, "", 1), ENODEV, 3);
        scripted_check_call(kit, alpha, scripted_call_with(alpha, "x=1", 1), ENODEV, 4);
        /* each is remembered for itself */
        scripted_check_call(kit, alpha, scripted_call_with(alpha, "x=1", 0), ENODEV, 4);
        scripted_check_call(kit, alpha, scripted_call_with(alpha, "", 1), ENODEV, 4);
        scripted_check_call(kit, alpha, scripted_call_with(alpha, "x=1", 1), ENODEV, 4);
        scripted_check(kit, alpha, ENODEV, 4);
}

static void test_replaced_file(struct scripted *kit) {
        struct scripted_module *alpha = scripted_remembered(kit, "alpha", ENODEV);

        CHECK_EQUAL(rename(scripted_file(kit, alpha, "updated"), alpha->path), 0);
        file_times_settle();
        scripted_check(kit, alpha, ENODEV, 2);
        CHECK_EQUAL(strcmp(alpha->record[1].file, "updated"), 0);
        scripted_check(kit, alpha, ENODEV, 2);
        /* touched: its ctime is another one */
        CHECK_EQUAL(chmod(alpha->path, 0600), 0);
        file_times_settle();
        scripted_check(kit, alpha, ENODEV, 3);
}

/* No event would lead to it. */
static void test_unnamed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call like = { .path = scripted_file(kit, alpha, "alpha"), .params = "" };

        scripted_set_result(alpha, ENODEV);
        for (unsigned int i = 1; i <= 3; i++)
                scripted_check_call(kit, alpha, like, ENODEV, i);
}

/* Behind another load of its name a request gets nothing that is remembered: that load may change it. */
static void test_behind(struct scripted *kit) {
        static const int results[] = { ENODEV, 0 };
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *other = scripted_calls(kit, 1, scripted_call_with(alpha, "x=1", 0));
        struct scripted_call *calls = scripted_calls(kit, 4, scripted_call_of(alpha));

        scripted_set_results(alpha, results, 2);
        scripted_check(kit, alpha, ENODEV, 1);
        alpha->hold = 1;
        scripted_start(kit, other, 1, 0);
        scripted_await_begun(alpha, 2);
        scripted_start(kit, calls, 4, 0);
        scripted_settle(kit, calls, 4);
        CHECK_EQUAL(scripted_count(calls, 4, NOT_RETURNED), 4);
        scripted_release(alpha);
        scripted_finish(kit, other, 1);
        scripted_finish(kit, calls, 4);
        CHECK_EQUAL(other->error, 0);
        CHECK_EQUAL(scripted_count(calls, 4, EEXIST), 4);
        CHECK_EQUAL(alpha->loads, 2);
}

/* What ends it */

static void test_events(struct scripted *kit) {
        static const char *const actions[] = { "add", "change", "bind", "online", "move" };
        struct scripted_module *alpha = scripted_remembered(kit, "alpha", ENODEV),
                               *beta = scripted_remembered(kit, "beta", ENXIO);
        unsigned int loads = 1;

        for (unsigned int i = 0; i < SCRIPTED_COUNT(actions); i++) {
                scripted_uevent(kit, actions[i], "SUBSYSTEM=pci\nMODALIAS=alpha");
                scripted_check(kit, alpha, ENODEV, ++loads);
                scripted_check(kit, alpha, ENODEV, loads);
        }
        scripted_check(kit, beta, ENXIO, 1);
}

/* Also for a module whose file is called otherwise, and for all parameters. */
static void test_event_of_dash(struct scripted *kit) {
        struct scripted_module *dash = scripted_remembered(kit, "with-dash", ENODEV);

        scripted_check_call(kit, dash, scripted_call_with(dash, "x=1", 0), ENODEV, 2);
        scripted_uevent(kit, "add", "MODALIAS=with-dash");
        scripted_check(kit, dash, ENODEV, 3);
        scripted_check_call(kit, dash, scripted_call_with(dash, "x=1", 0), ENODEV, 4);
        scripted_uevent(kit, "add", "MODALIAS=with_dash");
        scripted_check(kit, dash, ENODEV, 5);
}

static void test_stands(struct scripted *kit) {
        static const struct {
                const char *action, *properties;
        } events[] = {
                { "remove", "SUBSYSTEM=pci\nMODALIAS=alpha" },
                { "offline", "SUBSYSTEM=cpu\nMODALIAS=alpha" },
                { "add", "SUBSYSTEM=pci\nMODALIAS=alpha\nSYNTH_UUID=0" },
                { "change", "SUBSYSTEM=pci\nSYNTH_UUID=fe4d7c9d-b8c6-4a70-9ef1-3d8a58d18eed\nMODALIAS=alpha" },
                { "remove", "SUBSYSTEM=module\nSYNTH_UUID=0" },
                { "add", "SUBSYSTEM=pci\nMODALIAS=beta" },
                { "add", "SUBSYSTEM=pci\nMODALIAS=pci:v00008086d0000nobody" },
                { "add", "SUBSYSTEM=pci\nMODALIAS=" },
                { "add", "SUBSYSTEM=pci\nX_MODALIAS=alpha" },
                { "add", "SUBSYSTEM=tty" },
                { "remove", "SUBSYSTEM=drivers" },
                { "change", "SUBSYSTEM=module" },
        };
        struct scripted_module *alpha = scripted_remembered(kit, "alpha", ENODEV);

        for (unsigned int i = 0; i < SCRIPTED_COUNT(events); i++) {
                scripted_uevent(kit, events[i].action, events[i].properties);
                scripted_check(kit, alpha, ENODEV, 1);
        }
        /* the storm of a trigger */
        for (unsigned int i = 0; i < 200; i++)
                scripted_uevent(kit, "add", "MODALIAS=alpha\nSYNTH_UUID=0");
        scripted_check(kit, alpha, ENODEV, 1);
}

static void check_all_end(struct scripted *kit, void (*happen)(struct scripted *kit)) {
        struct scripted_module *alpha = scripted_remembered(kit, "alpha", ENODEV),
                               *beta = scripted_remembered(kit, "beta", EEXIST);
        struct scripted_call image = scripted_image_call(kit, alpha, "image");

        scripted_check_call(kit, alpha, image, ENODEV, 2);
        happen(kit);
        scripted_check(kit, alpha, ENODEV, 3);
        scripted_check_call(kit, alpha, image, ENODEV, 4);
        scripted_check(kit, beta, EEXIST, 2);
        /* and that is remembered again */
        scripted_check(kit, alpha, ENODEV, 3 + 1);
        scripted_check(kit, beta, EEXIST, 2);
}

static void remove_module(struct scripted *kit) {
        scripted_uevent(kit, "remove", "SUBSYSTEM=module\nDEVPATH=/module/gamma");
}

static void test_module_removed(struct scripted *kit) {
        check_all_end(kit, remove_module);
}

static void lose_one(struct scripted *kit) {
        scripted_count_uevent(kit);
        scripted_lose_uevents(kit);
}

static void test_lost_events(struct scripted *kit) {
        check_all_end(kit, lose_one);
}

static void miss_one(struct scripted *kit) {
        scripted_count_uevent(kit);
        scripted_uevent(kit, "add", "SUBSYSTEM=tty");
}

static void test_gap(struct scripted *kit) {
        check_all_end(kit, miss_one);
}

/* The event of an earlier number, or of no number yet. */
static void send_numbered(struct scripted *kit, uint64_t number, const char *action, const char *properties) {
        uint64_t counted = kit->uevent_sequence;

        kit->uevent_sequence = number;
        scripted_send_uevent(kit, action, properties);
        kit->uevent_sequence = counted;
}

/* One event overtakes another: nothing is missing in the end. */
static void overtake(struct scripted *kit, const char *properties) {
        scripted_count_uevent(kit);
        scripted_count_uevent(kit);
        scripted_send_uevent(kit, "add", "SUBSYSTEM=tty");
        send_numbered(kit, kit->uevent_sequence - 1, "add", properties);
}

static void test_overtaken(struct scripted *kit) {
        struct scripted_module *alpha = scripted_remembered(kit, "alpha", ENODEV),
                               *beta = scripted_remembered(kit, "beta", ENXIO);

        for (unsigned int i = 0; i < 100; i++)
                overtake(kit, "SUBSYSTEM=pci\nMODALIAS=pci:v00008086d0000nobody");
        scripted_check(kit, alpha, ENODEV, 1);
        overtake(kit, "SUBSYSTEM=pci\nMODALIAS=alpha");
        scripted_check(kit, beta, ENXIO, 1);
        scripted_check(kit, alpha, ENODEV, 2);
}

/* It has come, but not the one before it. */
static void test_not_yet(struct scripted *kit) {
        struct scripted_module *alpha = scripted_remembered(kit, "alpha", ENODEV);

        scripted_count_uevent(kit);
        scripted_count_uevent(kit);
        scripted_send_uevent(kit, "add", "SUBSYSTEM=tty");
        scripted_check(kit, alpha, ENODEV, 2);
        send_numbered(kit, kit->uevent_sequence - 1, "add", "MODALIAS=alpha");
        scripted_check(kit, alpha, ENODEV, 3);
}

/* As of a device in another network namespace. It costs one load, and that is all. */
static void test_never_comes(struct scripted *kit) {
        struct scripted_module *alpha = scripted_remembered(kit, "alpha", ENODEV),
                               *beta = scripted_remembered(kit, "beta", ENXIO);

        scripted_count_uevent(kit);
        scripted_check(kit, alpha, ENODEV, 2);
        for (unsigned int i = 0; i < 10; i++)
                scripted_check(kit, alpha, ENODEV, 2);
        for (unsigned int i = 0; i < 100; i++)
                scripted_uevent(kit, "add", "SUBSYSTEM=tty");
        scripted_check(kit, alpha, ENODEV, 2);
        scripted_check(kit, beta, ENXIO, 2);
        scripted_check(kit, beta, ENXIO, 2);
}

/* What was counted may be on its way. */
static void test_not_delivered(struct scripted *kit) {
        struct scripted_module *alpha = scripted_remembered(kit, "alpha", ENODEV);

        scripted_count_uevent(kit);
        scripted_check(kit, alpha, ENODEV, 2);
        scripted_send_uevent(kit, "add", "MODALIAS=beta");
        scripted_check(kit, alpha, ENODEV, 2);
        scripted_count_uevent(kit);
        scripted_send_uevent(kit, "add", "MODALIAS=alpha");
        scripted_check(kit, alpha, ENODEV, 3);
}

/* What a later load said counts, be it of a kind that is remembered or not. */
static void test_later_result(struct scripted *kit) {
        static const int results[] = { ENODEV, EBUSY, ENXIO, ENODEV };
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        scripted_set_results(alpha, results, 4);
        scripted_check(kit, alpha, ENODEV, 1);
        scripted_count_uevent(kit);
        scripted_check(kit, alpha, EBUSY, 2);
        scripted_send_uevent(kit, "add", "SUBSYSTEM=tty");
        scripted_check(kit, alpha, ENXIO, 3);
        scripted_check(kit, alpha, ENXIO, 3);
}

/* During the failing load */

static void test_events_during_load(struct scripted *kit) {
        static const struct {
                const char *action, *properties;
                bool ends;
        } events[] = {
                { "add", "MODALIAS=alpha", true },
                { "remove", "SUBSYSTEM=module", true },
                { "add", "MODALIAS=beta", false },
        };
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        unsigned int loads = 0;

        scripted_set_result(alpha, ENODEV);
        for (unsigned int i = 0; i < SCRIPTED_COUNT(events); i++) {
                struct scripted_call *calls = scripted_start_waiting(kit, alpha, 2);

                CHECK_EQUAL(alpha->loads, ++loads);
                scripted_uevent(kit, events[i].action, events[i].properties);
                scripted_release(alpha);
                scripted_finish(kit, calls, 2);
                CHECK_EQUAL(scripted_count(calls, 2, ENODEV), 2);
                if (events[i].ends)
                        loads++;
                scripted_check(kit, alpha, ENODEV, loads);
                scripted_check(kit, alpha, ENODEV, loads);
                scripted_uevent(kit, "add", "MODALIAS=alpha");
        }
}

static void test_lost_during_load(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls;

        scripted_set_result(alpha, ENODEV);
        calls = scripted_start_waiting(kit, alpha, 1);
        scripted_lose_uevents(kit);
        scripted_release(alpha);
        scripted_finish(kit, calls, 1);
        scripted_check(kit, alpha, ENODEV, 2);
        scripted_check(kit, alpha, ENODEV, 2);
}

/* Counted while it ran, delivered when it was remembered already. */
static void test_delivered_after_load(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls;

        scripted_set_result(alpha, ENODEV);
        calls = scripted_start_waiting(kit, alpha, 1);
        scripted_count_uevent(kit);
        scripted_release(alpha);
        scripted_finish(kit, calls, 1);
        scripted_send_uevent(kit, "bind", "MODALIAS=alpha");
        scripted_check(kit, alpha, ENODEV, 2);
        scripted_check(kit, alpha, ENODEV, 2);
}

/* The storm */

#define WAVES 14U
#define WAVE 32U

/* 448 callers, as of as many threads of a CPU-modalias module. */
static void test_storm(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        scripted_set_result(alpha, ENODEV);
        alpha->delay_ms = 2;
        for (unsigned int i = 0; i < WAVES; i++) {
                struct scripted_call *calls = scripted_calls(kit, WAVE, scripted_call_of(alpha));

                if (i == WAVES / 2)
                        scripted_uevent(kit, "add", SCRIPTED_MODULE_WENT_LIVE);
                scripted_perform(kit, calls, WAVE);
                CHECK_EQUAL(scripted_count(calls, WAVE, ENODEV), WAVE);
                CHECK(alpha->loads <= (i < WAVES / 2 ? 1 : 2));
        }
        scripted_await_load(kit, alpha, 2);
        scripted_sleep_ms(SCRIPTED_WELL_OVER_QUIET_MS);
        CHECK_EQUAL(alpha->loads, 2);
}

static void after_storm(struct scripted *kit, struct json_object *report) {
        /* what the daemon makes up for is no load of this tree */
        unsigned int made_up = kit->spawner_pid == 0 ? 1 : 0;

        CHECK_EQUAL(scripted_module_number(report, "alpha", "made_up"), made_up);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 1 + made_up);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "joined") +
                            scripted_module_number(report, "alpha", "remembered"),
                    WAVES * WAVE - 1);
}

/* init_module: the content decides */

static void test_images(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call one = scripted_image_call(kit, alpha, "one"), two = scripted_image_call(kit, alpha, "two");
        struct scripted_call *calls = scripted_calls(kit, 16, one), with_params = one;

        scripted_set_result(alpha, ENODEV);
        for (unsigned int i = 0; i < 3; i++)
                scripted_check_call(kit, alpha, one, ENODEV, 1);
        scripted_perform(kit, calls, 16);
        CHECK_EQUAL(scripted_count(calls, 16, ENODEV), 16);
        CHECK_EQUAL(alpha->loads, 1);
        with_params.params = "x=1";
        scripted_check_call(kit, alpha, with_params, ENODEV, 2);
        /* the latest one of a name and length is remembered */
        scripted_check_call(kit, alpha, two, ENODEV, 3);
        CHECK_EQUAL(strcmp(alpha->record[2].file, "two"), 0);
        scripted_check_call(kit, alpha, two, ENODEV, 3);
        scripted_check_call(kit, alpha, one, ENODEV, 4);
        scripted_check_call(kit, alpha, one, ENODEV, 4);
        /* a file is something else */
        scripted_check(kit, alpha, ENODEV, 5);
        scripted_uevent(kit, "add", "MODALIAS=alpha");
        scripted_check_call(kit, alpha, one, ENODEV, 6);
}

static void after_images(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "requests"), 26);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 6);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "remembered"), 20);
        CHECK_EQUAL(scripted_continued(report), 0);
}

/* A supervisor that is killed takes its memory with it, and no more. */
static void test_killed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_remembered(kit, "alpha", ENODEV);

        scripted_uevent(kit, "add", "MODALIAS=beta");
        (void)scripted_replace_supervisor(kit);
        scripted_check(kit, alpha, ENODEV, 2);
        scripted_check(kit, alpha, ENODEV, 2);
        scripted_uevent(kit, "add", "MODALIAS=beta");
        scripted_check(kit, alpha, ENODEV, 2);
        scripted_uevent(kit, "add", "MODALIAS=alpha");
        scripted_check(kit, alpha, ENODEV, 3);
        scripted_uevent(kit, "add", SCRIPTED_MODULE_WENT_LIVE);
        scripted_check(kit, alpha, ENODEV, 3);
        scripted_await_load(kit, alpha, 4);
}

/* Random events and calls, against what the rules say. Modules do not go live here: the time of that is not ours. */
static void test_random(struct scripted *kit) {
        struct scripted_module *modules[] = { scripted_module(kit, "alpha"), scripted_module(kit, "beta") };
        static const char *const aliases[] = { "MODALIAS=alpha", "MODALIAS=beta" };
        bool stands[SCRIPTED_COUNT(modules)] = { false };
        unsigned int loads[SCRIPTED_COUNT(modules)] = { 0 };

        for (unsigned int i = 0; i < SCRIPTED_COUNT(modules); i++)
                scripted_set_result(modules[i], ENODEV);
        for (unsigned int step = 0; step < 300; step++) {
                uint64_t which = scripted_random(kit, SCRIPTED_COUNT(modules));

                switch (scripted_random(kit, 12)) {
                case 0:
                        scripted_uevent(kit, "add", aliases[which]);
                        stands[which] = false;
                        break;
                case 1:
                        scripted_uevent(kit, "remove", aliases[which]);
                        break;
                case 2:
                        remove_module(kit);
                        memset(stands, 0, sizeof(stands));
                        break;
                case 3:
                        miss_one(kit);
                        memset(stands, 0, sizeof(stands));
                        break;
                case 4:
                        /* what is on its way makes it a load, which changes nothing else */
                        scripted_count_uevent(kit);
                        scripted_check(kit, modules[which], ENODEV, ++loads[which]);
                        scripted_send_uevent(kit, "change", aliases[which]);
                        stands[which] = false;
                        break;
                default:
                        if (!stands[which])
                                loads[which]++;
                        scripted_check(kit, modules[which], ENODEV, loads[which]);
                        stands[which] = true;
                }
        }
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { "given_out", test_given_out, .failure_ttl_s = SCRIPTED_TTL_S, .after = after_given_out },
                { "concurrent", test_concurrent, .failure_ttl_s = SCRIPTED_TTL_S, .after = after_concurrent },
                { "errnos", test_errnos, .failure_ttl_s = SCRIPTED_TTL_S },
                { "other_errnos", test_other_errnos, .failure_ttl_s = SCRIPTED_TTL_S, .after = after_none_remembered },
                { "exists", test_exists, .failure_ttl_s = SCRIPTED_TTL_S, .after = after_exists },
                { "live", test_live, .failure_ttl_s = SCRIPTED_TTL_S },
                { "off", test_off, .after = after_none_remembered },
                { "other_requests", test_other_requests, .failure_ttl_s = SCRIPTED_TTL_S },
                { "replaced_file", test_replaced_file, .failure_ttl_s = SCRIPTED_TTL_S },
                { "unnamed", test_unnamed, .failure_ttl_s = SCRIPTED_TTL_S },
                { "behind", test_behind, .failure_ttl_s = SCRIPTED_TTL_S },
                { "events", test_events, .failure_ttl_s = SCRIPTED_TTL_S },
                { "event_of_dash", test_event_of_dash, .failure_ttl_s = SCRIPTED_TTL_S },
                { "stands", test_stands, .failure_ttl_s = SCRIPTED_TTL_S },
                { "module_removed", test_module_removed, .failure_ttl_s = SCRIPTED_TTL_S },
                { "lost_events", test_lost_events, .failure_ttl_s = SCRIPTED_TTL_S },
                { "gap", test_gap, .failure_ttl_s = SCRIPTED_TTL_S },
                { "overtaken", test_overtaken, .failure_ttl_s = SCRIPTED_TTL_S },
                { "not_yet", test_not_yet, .failure_ttl_s = SCRIPTED_TTL_S },
                { "never_comes", test_never_comes, .failure_ttl_s = SCRIPTED_TTL_S },
                { "not_delivered", test_not_delivered, .failure_ttl_s = SCRIPTED_TTL_S },
                { "later_result", test_later_result, .failure_ttl_s = SCRIPTED_TTL_S },
                { "events_during_load", test_events_during_load, .failure_ttl_s = SCRIPTED_TTL_S },
                { "lost_during_load", test_lost_during_load, .failure_ttl_s = SCRIPTED_TTL_S },
                { "delivered_after_load", test_delivered_after_load, .failure_ttl_s = SCRIPTED_TTL_S },
                { "storm", test_storm, .failure_ttl_s = SCRIPTED_TTL_S, .after = after_storm },
                { "images", test_images, .failure_ttl_s = SCRIPTED_TTL_S, .after = after_images },
                { "killed", test_killed, .failure_ttl_s = SCRIPTED_TTL_S, .counts_inexactly = true },
                { "random", test_random, .failure_ttl_s = SCRIPTED_TTL_S },
        };

        return scripted_main(argc, argv, tests, SCRIPTED_COUNT(tests));
}
