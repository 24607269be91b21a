/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Processes that die or stand still: no caller hangs, none gets a wrong answer, nothing is loaded twice. */

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scripted.h"

static void after_recovered(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_continued(report), 0);
        CHECK(scripted_number(report, "totals", "supervisor_starts") >= 2);
        CHECK(scripted_number(report, "totals", "recovered") >= 1);
}

/* The supervisor */

static void check_killed_while_waiting(struct scripted *kit, int error) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls;

        scripted_set_result(alpha, error);
        calls = scripted_start_waiting(kit, alpha, 64);
        (void)scripted_replace_supervisor(kit);
        scripted_settle(kit, calls, 64);
        scripted_release(alpha);
        scripted_finish(kit, calls, 64);
        CHECK_EQUAL(scripted_count(calls, 64, error), 64);
        CHECK_EQUAL(alpha->loads, 1);
}

static void test_supervisor_killed_success(struct scripted *kit) {
        check_killed_while_waiting(kit, 0);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "alpha"))), EEXIST);
}

static void test_supervisor_killed_failure(struct scripted *kit) {
        check_killed_while_waiting(kit, ENODEV);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "alpha"))), ENODEV);
        CHECK_EQUAL(scripted_module(kit, "alpha")->loads, 2);
}

/* Who waited behind the load that was taken over waits behind it again, and still gets a turn. */
static void test_supervisor_killed_with_rivals(struct scripted *kit) {
        static const int results[] = { ENODEV, ENOEXEC, EINVAL };
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *first, *second, *third;

        scripted_set_results(alpha, results, 3);
        alpha->delay_ms = 20;
        first = scripted_start_waiting(kit, alpha, 4);
        second = scripted_calls(kit, 4, scripted_call_with(alpha, "x=1", 0));
        third = scripted_calls(kit, 4, scripted_call_with(alpha, "x=2", 0));
        scripted_start(kit, second, 4, 0);
        scripted_start(kit, third, 4, 0);
        scripted_settle(kit, second, 8);
        (void)scripted_replace_supervisor(kit);
        scripted_settle(kit, first, 12);
        CHECK_EQUAL(alpha->loads, 1);
        scripted_release(alpha);
        scripted_finish(kit, first, 12);
        CHECK_EQUAL(scripted_count(first, 4, ENODEV), 4);
        CHECK_EQUAL(scripted_count(second, 4, second->error), 4);
        CHECK_EQUAL(scripted_count(third, 4, third->error), 4);
        CHECK_EQUAL(scripted_count(second, 8, ENOEXEC), 4);
        CHECK_EQUAL(scripted_count(second, 8, EINVAL), 4);
        CHECK_EQUAL(alpha->loads, 3);
        CHECK(!alpha->overlapped);
}

/* A load that ends while there is nobody to hear of it. */
static struct scripted_call *end_unheard(struct scripted *kit, struct scripted_module *module) {
        struct scripted_call *calls;

        scripted_set_result(module, ENODEV);
        calls = scripted_start_waiting(kit, module, 16);
        (void)scripted_stop(kit, "modgate-superv");
        scripted_release(module);
        scripted_await_ended(module, 1);
        scripted_sleep_ms(50);
        return calls;
}

static void check_heard(struct scripted *kit, const struct scripted_module *module, struct scripted_call *calls) {
        scripted_sleep_ms(20);
        (void)scripted_replace_supervisor(kit);
        scripted_finish_all(kit, calls, 16, ENODEV);
        CHECK_EQUAL(module->loads, 1);
}

static void test_answer_without_supervisor(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        check_heard(kit, alpha, end_unheard(kit, alpha));
}

/* The same, and the loader has died after its answer. */
static void test_answer_of_a_dead_loader(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = end_unheard(kit, alpha);

        CHECK_EQUAL(kill(alpha->record[0].loader, SIGKILL), 0);
        check_heard(kit, alpha, calls);
}

#define MANY 1024U

/* It dies in the middle of telling them all: the others hear the same from its successor. */
static void test_supervisor_killed_answering(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, MANY, scripted_call_of(alpha));
        pid_t supervisor = scripted_process(kit, "modgate-superv", 0);

        scripted_set_result(alpha, ENODEV);
        alpha->hold = 1;
        scripted_start(kit, calls, MANY, 32);
        scripted_await_begun(alpha, 1);
        scripted_settle(kit, calls, MANY);
        scripted_release(alpha);
        while (scripted_count(calls, MANY, NOT_RETURNED) == MANY)
                ;
        CHECK_EQUAL(kill(supervisor, SIGKILL), 0);
        while (scripted_await_process(kit, "modgate-superv") == supervisor)
                scripted_sleep_ms(1);
        scripted_finish(kit, calls, MANY);
        CHECK_EQUAL(scripted_count(calls, MANY, ENODEV), MANY);
        CHECK_EQUAL(alpha->loads, 1);
}

static void after_killed_answering(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_continued(report), 0);
        CHECK_EQUAL(scripted_number(report, "totals", "supervisor_starts"), 2);
}

/* Calls are made while there is nobody to receive them. */
static void test_requests_without_supervisor(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, 32, scripted_call_of(alpha));

        (void)scripted_stop(kit, "modgate-superv");
        scripted_start(kit, calls, 32, 0);
        scripted_sleep_ms(50);
        (void)scripted_replace_supervisor(kit);
        scripted_finish(kit, calls, 32);
        CHECK_EQUAL(scripted_count(calls, 32, 0) + scripted_count(calls, 32, EEXIST), 32);
        CHECK(scripted_count(calls, 32, 0) >= 1);
        CHECK_EQUAL(alpha->loads, 1);
}

/* A stream of calls, and a supervisor that dies again and again */

#define WAVES 32U
#define WAVE 16U
#define KILLS 4U /* the fifth within ten seconds would be the last */
#define FAILING 4U
#define SUCCEEDING 28U

static pid_t start_killer(struct scripted *kit) {
        pid_t pid = fork();

        CHECK(pid >= 0);
        if (pid > 0)
                return pid;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        kit->random ^= 0x9e3779b97f4a7c15U;
        for (unsigned int i = 0; i < KILLS; i++) {
                scripted_sleep_ms(5 + (unsigned int)scripted_random(kit, 150));
                (void)scripted_replace_supervisor(kit);
        }
        _exit(EXIT_SUCCESS);
}

static void script_stream(struct scripted *kit) {
        for (unsigned int i = 0; i < FAILING + SUCCEEDING; i++) {
                struct scripted_module *module = scripted_numbered(kit, i);

                module->delay_ms = (unsigned int)scripted_random(kit, 30);
                module->shows_coming = scripted_random(kit, 2) == 0;
                if (i < FAILING)
                        scripted_set_result(module, ENODEV);
        }
        scripted_set_result(scripted_module(kit, "alpha"), EINVAL);
        scripted_module(kit, "alpha")->delay_ms = 5;
        scripted_set_result(scripted_module(kit, "beta"), ENOEXEC);
        scripted_module(kit, "beta")->delay_ms = 5;
}

/* A module that fails or succeeds, one that fails whatever its parameters are, or a file that is not in the index. */
static struct scripted_call random_call(struct scripted *kit, const char *unnamed) {
        static const char *const params[] = { "", "x=1", "x=2" };
        uint64_t kind = scripted_random(kit, 10);

        if (kind == 0)
                return (struct scripted_call){ .path = unnamed, .params = "" };
        if (kind < 3)
                return scripted_call_with(scripted_module(kit, "alpha"), params[scripted_random(kit, 3)], 0);
        return scripted_call_of(scripted_numbered(kit, (unsigned int)scripted_random(kit, FAILING + SUCCEEDING)));
}

static void check_answer(struct scripted *kit, const struct scripted_call *call) {
        unsigned int number = 0;
        const char *name = strrchr(call->path, '/') + 1;

        if (strncmp(name, "alpha", 5) == 0)
                CHECK_EQUAL(call->error, EINVAL);
        else if (strncmp(name, "unnamed", 7) == 0)
                CHECK_EQUAL(call->error, ENOEXEC);
        else if (sscanf(name, "m%u", &number) == 1 && number < FAILING)
                CHECK_EQUAL(call->error, ENODEV);
        else
                CHECK(call->error == 0 || call->error == EEXIST);
        (void)kit;
}

static void check_loads(struct scripted *kit) {
        for (unsigned int i = 0; i < kit->module_count; i++) {
                const struct scripted_module *module = &kit->module[i];

                CHECK(!module->overlapped);
                if (module->results == 0)
                        CHECK(module->loads <= 1);
        }
}

static void test_stream(struct scripted *kit) {
        const char *unnamed = strdup(scripted_file(kit, scripted_module(kit, "beta"), "unnamed"));
        struct scripted_call *waves[WAVES];
        int status;
        pid_t killer;

        printf("# MODGATE_SEED=%" PRIu64 "\n", kit->seed);
        script_stream(kit);
        killer = start_killer(kit);
        for (unsigned int i = 0; i < WAVES; i++) {
                waves[i] = scripted_calls(kit, WAVE, (struct scripted_call){ 0 });
                for (unsigned int j = 0; j < WAVE; j++) {
                        struct scripted_call like = random_call(kit, unnamed);

                        waves[i][j].path = like.path;
                        waves[i][j].params = like.params;
                }
                scripted_start(kit, waves[i], WAVE, 0);
                if (i > 0)
                        scripted_finish(kit, waves[i - 1], WAVE);
        }
        scripted_finish(kit, waves[WAVES - 1], WAVE);
        CHECK_EQUAL(waitpid(killer, &status, 0), killer);
        CHECK_EQUAL(status, 0);
        for (unsigned int i = 0; i < WAVES; i++)
                for (unsigned int j = 0; j < WAVE; j++)
                        check_answer(kit, &waves[i][j]);
        check_loads(kit);
}

static void after_stream(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_continued(report), 0);
        CHECK_EQUAL(scripted_number(report, "totals", "supervisor_starts"), 1 + KILLS);
}

/* A supervisor that cannot be kept alive: everything is left to the kernel, those that wait included. */

/* Is there a socket for events still? */
static bool has_uevent_socket(const struct scripted *kit) {
        FILE *sockets = fopen("/proc/net/unix", "re");
        char line[512], path[SCRIPTED_PATH_MAX];
        bool found = false;

        CHECK(sockets);
        CHECK((size_t)snprintf(path, sizeof(path), "%s/uevents", kit->directory) < sizeof(path));
        while (fgets(line, sizeof(line), sockets))
                found = found || strstr(line, path);
        (void)fclose(sockets);
        return found;
}

/* It comes back when somebody asks for it, and what is left of the supervisors that died is taken over. */
static void test_bypass_ended(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *gamma = scripted_module(kit, "gamma");
        struct scripted_call *calls = scripted_start_waiting(kit, alpha, 8);
        pid_t keeper = scripted_process(kit, "modgate-keeper", 0);

        for (unsigned int i = 0; i < 4; i++)
                (void)scripted_replace_supervisor(kit);
        CHECK_EQUAL(kill(scripted_await_process(kit, "modgate-superv"), SIGKILL), 0);
        scripted_finish(kit, calls, 8);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(gamma)), kit->bare[0]);
        CHECK_EQUAL(gamma->loads, 0);
        CHECK_EQUAL(kill(keeper, SIGUSR1), 0);
        (void)scripted_await_process(kit, "modgate-superv");
        /* the keeper may have answered a few more */
        while (scripted_one(kit, scripted_call_of(gamma)) == kit->bare[0])
                scripted_sleep_ms(5);
        CHECK_EQUAL(gamma->loads, 1);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(gamma)), EEXIST);
        CHECK(has_uevent_socket(kit));
        /* not once more: there is nothing to end */
        CHECK_EQUAL(kill(keeper, SIGUSR1), 0);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(gamma)), EEXIST);
        (void)scripted_replace_supervisor(kit);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(gamma)), EEXIST);
        /* the load that is still held */
        calls = scripted_start_parked(kit, 4, scripted_call_of(alpha));
        CHECK_EQUAL(alpha->loads, 1);
        scripted_release(alpha);
        scripted_finish_all(kit, calls, 4, 0);
}

static void test_bypass(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_start_waiting(kit, alpha, 8);
        pid_t keeper = scripted_process(kit, "modgate-keeper", 0);

        for (unsigned int i = 0; i < 4; i++)
                (void)scripted_replace_supervisor(kit);
        CHECK_EQUAL(scripted_log_lines(kit, "cannot be kept alive"), 0);
        CHECK(has_uevent_socket(kit));
        CHECK_EQUAL(kill(scripted_await_process(kit, "modgate-superv"), SIGKILL), 0);
        scripted_finish(kit, calls, 8);
        CHECK_EQUAL(scripted_count(calls, 8, kit->bare[0]), 8);
        for (unsigned int i = 0; i < 20; i++)
                CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "beta"))), kit->bare[0]);
        CHECK_EQUAL(scripted_module(kit, "beta")->loads, 0);
        CHECK_EQUAL(scripted_process(kit, "modgate-superv", 0), 0);
        CHECK_EQUAL(scripted_process(kit, "modgate-keeper", 0), keeper);
        CHECK_EQUAL(scripted_log_lines(kit, "cannot be kept alive"), 1);
        CHECK(!has_uevent_socket(kit));
        scripted_release(alpha);
}

static void after_bypass_ended(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK(scripted_number(report, "continued", "bypass") >= 9);
        CHECK_EQUAL(scripted_number(report, "totals", "bypassed"), 0);
        CHECK_EQUAL(scripted_number(report, "totals", "requests"), scripted_number(report, "totals", "answered"));
}

static void after_bypass(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "bypass"), 28);
        CHECK_EQUAL(scripted_number(report, "totals", "bypassed"), 1);
        CHECK_EQUAL(scripted_number(report, "totals", "requests"), 28);
        CHECK_EQUAL(scripted_number(report, "totals", "answered"), 28);
}

/* The keeper */

static void test_keeper_killed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_start_waiting(kit, alpha, 64);
        pid_t supervisor = scripted_process(kit, "modgate-superv", 0);

        CHECK_EQUAL(kill(scripted_await_process(kit, "modgate-keeper"), SIGKILL), 0);
        while (scripted_process(kit, "modgate-keeper", 0) != 0)
                scripted_sleep_ms(1);
        scripted_sleep_ms(50);
        /* the one loader is at work, and there will be no other */
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "beta"))), kit->bare[0]);
        scripted_release(alpha);
        scripted_finish(kit, calls, 64);
        CHECK_EQUAL(scripted_count(calls, 64, 0), 64);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), EEXIST);
        CHECK_EQUAL(alpha->loads, 1);
        /* it goes on with what there is */
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "beta"))), 0);
        CHECK_EQUAL(scripted_process(kit, "modgate-superv", 0), supervisor);
        CHECK_EQUAL(scripted_log_lines(kit, "the keeper is gone"), 1);
}

/* Inspectors */

static void test_inspector_killed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        scripted_set_result(alpha, ENODEV);
        for (unsigned int i = 0; i < 3; i++) {
                pid_t inspector = scripted_await_process(kit, "modgate-inspect");

                CHECK_EQUAL(kill(inspector, SIGKILL), 0);
                scripted_sleep_ms(20);
                CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), ENODEV);
                CHECK(scripted_await_process(kit, "modgate-inspect") != inspector);
        }
}

/* One that dies over a request: that one is left to the kernel, all others are served. */
static void test_inspector_killed_at_work(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, 8, scripted_call_of(alpha));
        pid_t inspector = scripted_stop(kit, "modgate-inspect");

        scripted_set_result(alpha, ENODEV);
        scripted_start(kit, calls, 8, 0);
        while (scripted_count(calls, 8, ENODEV) < 7)
                scripted_sleep_ms(1);
        CHECK_EQUAL(scripted_count(calls, 8, NOT_RETURNED), 1);
        CHECK_EQUAL(kill(inspector, SIGKILL), 0);
        scripted_finish(kit, calls, 8);
        CHECK_EQUAL(scripted_count(calls, 8, kit->bare[0]), 1);
}

static void after_one_inspection(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "no-inspector"), 1);
        CHECK_EQUAL(scripted_continued(report), 1);
}

/* Loaders */

static void check_loader_killed(struct scripted *kit, const char *name, const char *state, int expected) {
        struct scripted_module *module = scripted_module(kit, name);
        struct scripted_call *calls = scripted_start_waiting(kit, module, 8);

        scripted_set_state(kit, module, state);
        CHECK_EQUAL(kill(module->record[0].loader, SIGKILL), 0);
        scripted_finish(kit, calls, 8);
        CHECK_EQUAL(scripted_count(calls, 8, expected), 8);
        CHECK_EQUAL(module->loads, 1);
        module->running = 0;
        scripted_release(module);
}

static void test_loader_killed(struct scripted *kit) {
        check_loader_killed(kit, "alpha", NULL, kit->bare[0]);
        check_loader_killed(kit, "beta", "live", 0);
        check_loader_killed(kit, "gamma", "coming", EBUSY);
        /* there are others */
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "alpha"))), 0);
        CHECK_EQUAL(scripted_module(kit, "alpha")->loads, 2);
}

static void after_loader_killed(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "totals", "loader_deaths"), 3);
        CHECK_EQUAL(scripted_number(report, "continued", "no-loader"), 8);
}

/* One that dies idle is noticed, and costs nothing. */
static void test_idle_loader_killed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        scripted_set_result(alpha, ENODEV);
        for (unsigned int i = 0; i < 3; i++) {
                pid_t loader = scripted_await_process(kit, "modgate-loader");

                CHECK_EQUAL(kill(loader, SIGKILL), 0);
                while (kill(loader, 0) == 0)
                        scripted_sleep_ms(1);
                CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), ENODEV);
        }
}

/* Both at once: the new supervisor hears from the socket that the loader has ended. */
static void test_loader_and_supervisor_killed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_start_waiting(kit, alpha, 8);

        (void)scripted_stop(kit, "modgate-superv");
        CHECK_EQUAL(kill(alpha->record[0].loader, SIGKILL), 0);
        scripted_sleep_ms(20);
        (void)scripted_replace_supervisor(kit);
        scripted_finish(kit, calls, 8);
        CHECK_EQUAL(scripted_count(calls, 8, kit->bare[0]), 8);
        CHECK_EQUAL(alpha->loads, 1);
}

/* Callers */

static void test_callers_killed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *leader = scripted_start_waiting(kit, alpha, 1), *calls;

        calls = scripted_calls(kit, 32, scripted_call_of(alpha));
        scripted_start(kit, calls, 32, 0);
        scripted_settle(kit, calls, 32);
        scripted_kill(leader, 1);
        scripted_kill(calls, 16);
        scripted_finish(kit, leader, 1);
        scripted_finish(kit, calls, 16);
        CHECK_EQUAL(alpha->running, 1);
        scripted_release(alpha);
        scripted_finish(kit, calls + 16, 16);
        CHECK_EQUAL(scripted_count(calls + 16, 16, 0), 16);
        CHECK_EQUAL(scripted_count(leader, 1, NOT_RETURNED), 1);
        CHECK_EQUAL(alpha->loads, 1);
}

static void after_callers_killed(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "totals", "gone"), 17);
        CHECK_EQUAL(scripted_continued(report), 0);
}

/* The load goes on without anybody who waits for it. */
static void test_all_callers_killed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_start_waiting(kit, alpha, 8);

        scripted_kill(calls, 8);
        scripted_finish(kit, calls, 8);
        scripted_release(alpha);
        scripted_await_ended(alpha, 1);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), EEXIST);
        CHECK_EQUAL(alpha->loads, 1);
}

/* What nobody waits for any more is not loaded when its turn comes; the next one is. */
static void test_callers_behind_killed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *first, *killed, *last;

        scripted_set_result(alpha, ENODEV);
        first = scripted_start_waiting(kit, alpha, 2);
        killed = scripted_calls(kit, 4, scripted_call_with(alpha, "killed", 0));
        scripted_start(kit, killed, 4, 0);
        scripted_settle(kit, killed, 4);
        last = scripted_calls(kit, 4, scripted_call_with(alpha, "last", 0));
        scripted_start(kit, last, 4, 0);
        scripted_settle(kit, last, 4);
        scripted_kill(killed, 4);
        scripted_finish(kit, killed, 4);
        scripted_release(alpha);
        scripted_finish(kit, first, 2);
        scripted_finish(kit, last, 4);
        CHECK_EQUAL(scripted_count(first, 2, ENODEV), 2);
        CHECK_EQUAL(scripted_count(last, 4, ENODEV), 4);
        CHECK_EQUAL(alpha->loads, 2);
        CHECK_EQUAL(strcmp(alpha->record[1].params, "last"), 0);
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "supervisor_killed_success",
                  .body = test_supervisor_killed_success,
                  .after = after_recovered,
                  .counts_inexactly = true },
                { .name = "supervisor_killed_failure",
                  .body = test_supervisor_killed_failure,
                  .after = after_recovered,
                  .counts_inexactly = true },
                { .name = "supervisor_killed_with_rivals",
                  .body = test_supervisor_killed_with_rivals,
                  .after = after_recovered,
                  .counts_inexactly = true },
                { .name = "answer_without_supervisor",
                  .body = test_answer_without_supervisor,
                  .after = after_recovered,
                  .counts_inexactly = true },
                { .name = "answer_of_a_dead_loader",
                  .body = test_answer_of_a_dead_loader,
                  .after = after_recovered,
                  .counts_inexactly = true },
                { .name = "supervisor_killed_answering",
                  .body = test_supervisor_killed_answering,
                  .after = after_killed_answering,
                  .counts_inexactly = true },
                { .name = "requests_without_supervisor",
                  .body = test_requests_without_supervisor,
                  .counts_inexactly = true },
                { .name = "stream_1", .body = test_stream, .after = after_stream, .counts_inexactly = true },
                { .name = "stream_2", .body = test_stream, .after = after_stream, .counts_inexactly = true },
                { .name = "stream_3", .body = test_stream, .after = after_stream, .counts_inexactly = true },
                { .name = "bypass",
                  .prepare = scripted_prepare_bare,
                  .body = test_bypass,
                  .after = after_bypass,
                  .failure_ttl_s = 60,
                  .counts_inexactly = true },
                { .name = "bypass_ended",
                  .prepare = scripted_prepare_bare,
                  .body = test_bypass_ended,
                  .after = after_bypass_ended,
                  .failure_ttl_s = 60,
                  .counts_inexactly = true },
                { .name = "keeper_killed",
                  .prepare = scripted_prepare_bare,
                  .body = test_keeper_killed,
                  .loses_keeper = true },
                { .name = "inspector_killed", .body = test_inspector_killed, .after = scripted_after_no_continue },
                { .name = "inspector_killed_at_work",
                  .prepare = scripted_prepare_bare,
                  .body = test_inspector_killed_at_work,
                  .after = after_one_inspection },
                { .name = "loader_killed",
                  .prepare = scripted_prepare_bare,
                  .body = test_loader_killed,
                  .after = after_loader_killed,
                  .counts_inexactly = true },
                { .name = "idle_loader_killed", .body = test_idle_loader_killed },
                { .name = "loader_and_supervisor_killed",
                  .prepare = scripted_prepare_bare,
                  .body = test_loader_and_supervisor_killed,
                  .counts_inexactly = true },
                { .name = "callers_killed", .body = test_callers_killed, .after = after_callers_killed },
                { .name = "all_callers_killed", .body = test_all_callers_killed },
                { .name = "callers_behind_killed", .body = test_callers_behind_killed, .counts_inexactly = true },
        };

        return scripted_main(argc, argv, tests, SCRIPTED_COUNT(tests));
}
