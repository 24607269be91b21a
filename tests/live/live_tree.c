/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whole trees, from the launcher to the report: with COMMAND executed, as `modgate run` does it. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch/launch.h"
#include "scripted.h"

#define CALLERS 64

/* COMMAND: live_tree --callers FILE [linger]. Calls at the same time; exits 0 if one got 0 and all others 0 or EEXIST.
 */

static int make_call(const char *path) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return errno;
        return syscall(SYS_finit_module, fd, "", 0) < 0 ? errno : 0;
}

/* Outlives COMMAND, and makes a last call. */
static void linger(const char *path) {
        if (fork() != 0)
                return;
        scripted_sleep_ms(300);
        (void)make_call(path);
        _exit(EXIT_SUCCESS);
}

static int make_calls(const char *path, bool lingering) {
        unsigned int succeeded = 0, wrong = 0;
        int status;

        for (unsigned int i = 0; i < CALLERS; i++)
                if (fork() == 0)
                        _exit(make_call(path) & 0xff);
        while (wait(&status) > 0) {
                succeeded += status == 0;
                wrong += status != 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != EEXIST);
        }
        if (lingering)
                linger(path);
        return succeeded > 0 && wrong == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int launch(struct scripted *kit, char *const *argv) {
        const struct launch_config config = {
                .kernel = scripted_interface(),
                .argv = argv,
                .on_error = LAUNCH_FAIL,
                .wait = true,
                .report = kit->report,
        };

        return launch_run(&config);
}

static void test_launched(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        alpha->delay_ms = 50;
        CHECK_EQUAL(launch(kit, (char *[]){ "/proc/self/exe", "--callers", alpha->path, NULL }), 0);
        CHECK_EQUAL(alpha->loads, 1);
}

/* The tree ends with its last process, not with COMMAND. */
static void test_lingering(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        CHECK_EQUAL(launch(kit, (char *[]){ "/proc/self/exe", "--callers", alpha->path, "linger", NULL }), 0);
        CHECK_EQUAL(alpha->loads, 1);
}

static void after_launched(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "requests"), CALLERS);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 1);
        CHECK_EQUAL(scripted_continued(report), 0);
}

static void after_lingering(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "requests"), CALLERS + 1);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 1);
}

/* A second tree inside of the first one cannot be: its COMMAND is not run. */
static void test_nested(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        char *const argv[] = { "/proc/self/exe", "--callers", alpha->path, NULL };

        CHECK_EQUAL(launch(kit, argv), LAUNCH_EXIT_FAILED);
        CHECK_EQUAL(scripted_log_lines(kit, "another seccomp listener"), 1);
        CHECK_EQUAL(alpha->loads, 0);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), 0);
}

/* A tree that never calls. */
static void test_no_calls(struct scripted *kit) {
        (void)kit;
}

static void after_no_calls(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "totals", "requests"), 0);
        CHECK_EQUAL(scripted_number(report, "totals", "supervisor_starts"), 1);
}

/* The tree ends while a load is under way: the load is finished, and reported. */
static void test_end_during_load(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, 4, scripted_call_of(alpha));

        alpha->delay_ms = 500;
        scripted_start(kit, calls, 4, 0);
        scripted_await_begun(alpha, 1);
        for (unsigned int i = 0; i < 4; i++)
                CHECK_EQUAL(kill(calls[i].process, SIGKILL), 0);
        scripted_finish(kit, calls, 4);
}

static void after_end_during_load(struct scripted *kit, struct json_object *report) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        CHECK_EQUAL(alpha->loads, 1);
        CHECK(alpha->record[0].ended_ns != 0);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 1);
}

/* The report is kept up to date while the tree lives. */
static void test_report_meanwhile(struct scripted *kit) {
        struct json_object *report;

        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "alpha"))), 0);
        while (!(report = json_object_from_file(kit->report)) ||
               scripted_module_number(report, "alpha", "requests") == 0) {
                (void)json_object_put(report);
                scripted_sleep_ms(20);
        }
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 1);
        CHECK(!json_object_get_boolean(json_object_object_get(report, "ended")));
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "launched", .body = test_launched, .after = after_launched, .starts_itself = true },
                { .name = "lingering", .body = test_lingering, .after = after_lingering, .starts_itself = true },
                { .name = "nested", .body = test_nested },
                { .name = "no_calls", .body = test_no_calls, .after = after_no_calls },
                { .name = "end_during_load", .body = test_end_during_load, .after = after_end_during_load },
                { .name = "report_meanwhile", .body = test_report_meanwhile },
        };

        if (argc > 2 && strcmp(argv[1], "--callers") == 0)
                return make_calls(argv[2], argc > 3);
        return scripted_main(argc, argv, tests, SCRIPTED_COUNT(tests));
}
