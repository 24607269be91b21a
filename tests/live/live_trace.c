/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* --trace: what stands in it, and that nobody waits for whoever writes it. */

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "scripted.h"
#include "scripted_images.h"

#define CALLS_EACH 200U

static struct json_object *args_of(struct json_object *event) {
        return json_object_object_get(event, "args");
}

static const char *text_of(struct json_object *object, const char *member) {
        const char *text = json_object_get_string(json_object_object_get(object, member));

        return text ? text : "(none)";
}

/* The only event with that text at `args`.`member`. */
static struct json_object *find(struct json_object *trace, const char *category, const char *member, const char *text) {
        struct json_object *events = json_object_object_get(trace, "traceEvents"), *found = NULL;

        for (size_t i = 0; i < json_object_array_length(events); i++) {
                struct json_object *event = json_object_array_get_idx(events, i);

                if (strcmp(text_of(event, "cat"), category) != 0 || strcmp(text_of(args_of(event), member), text) != 0)
                        continue;
                CHECK(found == NULL);
                found = event;
        }
        CHECK(found != NULL);
        return found;
}

/* One of each kind. */
static void test_content(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        struct scripted_call *calls, *behind, odd = scripted_call_of(alpha);

        alpha->delay_ms = 100;
        calls = scripted_start_held(kit, alpha, 2, scripted_call_with(alpha, "speed=1", 0));
        behind = scripted_start_parked(kit, 1, scripted_call_of(alpha));
        scripted_release(alpha);
        scripted_finish_all(kit, calls, 2, 0);
        scripted_finish_all(kit, behind, 1, EEXIST);
        CHECK_EQUAL(scripted_one(kit, scripted_call_with(alpha, "", 1)), EEXIST);
        scripted_set_result(beta, ENODEV);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(beta)), ENODEV);
        odd.flags = 8;
        (void)scripted_one(kit, odd);
}

static void check_led(struct scripted *kit, struct json_object *trace) {
        struct json_object *event = find(trace, "request", "result", "ENODEV"), *load;

        CHECK_EQUAL(strcmp(text_of(event, "name"), "beta"), 0);
        CHECK_EQUAL(strcmp(text_of(event, "ph"), "X"), 0);
        CHECK_EQUAL(strcmp(text_of(args_of(event), "answer"), "led"), 0);
        CHECK_EQUAL(strcmp(text_of(args_of(event), "call"), "finit_module"), 0);
        CHECK_EQUAL(strcmp(text_of(args_of(event), "path"), scripted_module(kit, "beta")->path), 0);
        CHECK_EQUAL(strcmp(text_of(args_of(event), "errno"), "19"), 0);
        CHECK_EQUAL(strcmp(text_of(args_of(event), "params_length"), "0"), 0);
        load = find(trace, "load", "result", "ENODEV");
        CHECK_EQUAL(strcmp(text_of(load, "name"), "beta"), 0);
        CHECK(json_object_get_double(json_object_object_get(load, "ts")) >=
              json_object_get_double(json_object_object_get(event, "ts")));
        CHECK(json_object_get_double(json_object_object_get(load, "dur")) <=
              json_object_get_double(json_object_object_get(event, "dur")));
}

static void after_content(struct scripted *kit, struct json_object *report) {
        struct json_object *trace = scripted_read_trace(kit->trace), *event;
        struct stat status;

        (void)report;
        check_led(kit, trace);
        event = find(trace, "request", "answer", "joined");
        CHECK_EQUAL(strcmp(text_of(args_of(event), "params_length"), "7"), 0);
        CHECK_EQUAL(scripted_events(trace, "request", "params_hash", text_of(args_of(event), "params_hash")), 2);
        CHECK_EQUAL(strcmp(text_of(args_of(find(trace, "request", "answer", "behind")), "result"), "EEXIST"), 0);
        event = find(trace, "request", "answer", "live");
        CHECK_EQUAL(strcmp(text_of(args_of(event), "flags"), "1"), 0);
        event = find(trace, "request", "reason", "unknown-flags");
        CHECK_EQUAL(strcmp(text_of(args_of(event), "result"), "(none)"), 0);
        event = find(trace, "load", "params_length", "7");
        CHECK(json_object_get_double(json_object_object_get(event, "dur")) >= 100000.0);
        (void)json_object_put(trace);
        /* nothing is left beside it */
        CHECK(strlen(kit->trace) + 4 < sizeof(kit->trace));
        CHECK(lstat(strcat(kit->trace, ".new"), &status) < 0);
}

/* A caller that makes many calls; they need no memory of the kit's. */
static int make_many(void *context) {
        const struct scripted_module *module = context;
        int fd = open(module->path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return errno;
        for (unsigned int i = 0; i < CALLS_EACH; i++)
                if (syscall(SYS_finit_module, fd, "", 0) == 0 || errno != EEXIST)
                        return errno != 0 ? errno : EALREADY;
        return 0;
}

/* `callers` times CALLS_EACH calls of a live module. */
static void perform_many(struct scripted *kit, unsigned int callers) {
        struct scripted_call *calls = scripted_start_own(kit, callers, make_many, scripted_module(kit, "alpha"));

        scripted_finish(kit, calls, callers);
        CHECK_EQUAL(scripted_count(calls, callers, 0), callers);
}

static void test_many(struct scripted *kit) {
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "alpha"))), 0);
        perform_many(kit, 16);
}

/* More than the pipe holds; the limit of the test is for callers that would have to wait. */
static void test_stopped(struct scripted *kit) {
        pid_t tracer = scripted_stop(kit, "modgate-tracer");

        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "alpha"))), 0);
        perform_many(kit, 20);
        CHECK_EQUAL(kill(tracer, SIGCONT), 0);
        /* there is room again, and this one is told */
        scripted_sleep_ms(200);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "beta"))), 0);
}

static void after_stopped(struct scripted *kit, struct json_object *report) {
        struct json_object *trace = scripted_read_trace(kit->trace);
        uint64_t dropped = scripted_dropped(trace);

        CHECK(dropped > 0);
        CHECK_EQUAL(scripted_events(trace, "request", NULL, NULL) + scripted_events(trace, "load", NULL, NULL) +
                            dropped,
                    scripted_number(report, "totals", "requests") + scripted_number(report, "totals", "loads"));
        CHECK_EQUAL(scripted_events(trace, "request", "path", scripted_module(kit, "beta")->path), 1);
        (void)json_object_put(trace);
}

/* A tracer that dies is missed by nobody but the reader of the log. */
static void test_tracer_killed(struct scripted *kit) {
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "alpha"))), 0);
        CHECK_EQUAL(kill(scripted_await_process(kit, "modgate-tracer"), SIGKILL), 0);
        while (scripted_log_lines(kit, "the tracer died") == 0)
                scripted_sleep_ms(1);
        perform_many(kit, 2);
        (void)scripted_replace_supervisor(kit);
        perform_many(kit, 2);
        CHECK_EQUAL(scripted_log_lines(kit, "trace"), 1);
        (void)json_object_put(scripted_read_trace(kit->trace));
}

/* Another supervisor goes on with the trace. */
static void test_supervisor_killed(struct scripted *kit) {
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "alpha"))), 0);
        perform_many(kit, 1);
        /* the last caller has its answer before the supervisor tells of it */
        scripted_settle(kit, NULL, 0);
        (void)scripted_replace_supervisor(kit);
        perform_many(kit, 1);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "beta"))), 0);
}

static void after_supervisor_killed(struct scripted *kit, struct json_object *report) {
        struct json_object *trace = scripted_read_trace(kit->trace);

        CHECK_EQUAL(scripted_number(report, "totals", "supervisor_starts"), 2);
        CHECK_EQUAL(scripted_number(report, "totals", "requests"), 2 + 2 * CALLS_EACH);
        scripted_check_trace(trace, report);
        (void)json_object_put(trace);
}

/* Without a supervisor the keeper answers, and says so. */
static void test_bypass(struct scripted *kit) {
        for (unsigned int i = 0; i < 4; i++)
                (void)scripted_replace_supervisor(kit);
        CHECK_EQUAL(kill(scripted_await_process(kit, "modgate-superv"), SIGKILL), 0);
        for (unsigned int i = 0; i < 8; i++)
                CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "beta"))), kit->bare[0]);
}

static void after_bypass(struct scripted *kit, struct json_object *report) {
        struct json_object *trace = scripted_read_trace(kit->trace);

        CHECK_EQUAL(scripted_events(trace, "request", "reason", "bypass"), 8);
        scripted_check_trace(trace, report);
        (void)json_object_put(trace);
}

/* All of modgate's processes are killed at a random moment of a storm. The file is JSON, and more than nothing. */
static void test_all_killed(struct scripted *kit) {
        static const char *const names[] = { "modgate-tracer", "modgate-keeper", "modgate-superv" };
        pid_t pids[SCRIPTED_COUNT(names)];
        struct json_object *trace;

        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "alpha"))), 0);
        /* all of them before the first is killed: the others may end by themselves then */
        for (size_t i = 0; i < SCRIPTED_COUNT(names); i++)
                pids[i] = scripted_await_process(kit, names[i]);
        (void)scripted_start_own(kit, 8, make_many, scripted_module(kit, "alpha"));
        scripted_sleep_ms(20 + (unsigned int)scripted_random(kit, 50));
        for (size_t i = 0; i < SCRIPTED_COUNT(names); i++)
                (void)kill(pids[i], SIGKILL);
        for (size_t i = 0; i < SCRIPTED_COUNT(names); i++)
                while (scripted_process(kit, names[i], 0) != 0)
                        scripted_sleep_ms(1);
        trace = scripted_read_trace(kit->trace);
        CHECK(scripted_events(trace, "request", NULL, NULL) > 0);
        (void)json_object_put(trace);
}

/* A disk without room for much. */
static void mount_tiny(struct scripted *kit) {
        (void)snprintf(kit->trace, sizeof(kit->trace), "%s/trace.json", scripted_mount_tiny(kit, "size=128k"));
}

static void test_disk_full(struct scripted *kit) {
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "alpha"))), 0);
        perform_many(kit, 8);
        while (scripted_log_lines(kit, "cannot write the trace") == 0)
                scripted_sleep_ms(1);
}

static void after_disk_full(struct scripted *kit, struct json_object *report) {
        struct json_object *trace = scripted_read_trace(kit->trace);

        CHECK_EQUAL(scripted_log_lines(kit, "cannot write the trace"), 1);
        CHECK_EQUAL(scripted_number(report, "totals", "requests"), 1 + 8 * CALLS_EACH);
        CHECK(scripted_events(trace, "request", NULL, NULL) > 64);
        CHECK(scripted_events(trace, "request", NULL, NULL) < 1 + 8 * CALLS_EACH);
        (void)json_object_put(trace);
}

/* There is room again: the events of then are there, and the others are counted. */
static void test_disk_full_for_a_while(struct scripted *kit) {
        char ballast[SCRIPTED_PATH_MAX + 8];

        (void)snprintf(ballast, sizeof(ballast), "%s.ballast", kit->trace);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "alpha"))), 0);
        scripted_sleep_ms(100);
        {
                static const char page[4096];
                int fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

                CHECK(fd >= 0);
                while (write(fd, page, sizeof(page)) > 0)
                        ;
                (void)close(fd);
        }
        perform_many(kit, 1);
        while (scripted_log_lines(kit, "cannot write the trace") == 0)
                scripted_sleep_ms(1);
        scripted_sleep_ms(100);
        CHECK_EQUAL(unlink(ballast), 0);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "beta"))), 0);
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "content", .body = test_content, .after = after_content, .traced = true },
                { .name = "many", .body = test_many, .traced = true },
                { .name = "stopped",
                  .body = test_stopped,
                  .after = after_stopped,
                  .traced = true,
                  .counts_inexactly = true },
                { .name = "tracer_killed", .body = test_tracer_killed, .traced = true, .counts_inexactly = true },
                { .name = "supervisor_killed",
                  .body = test_supervisor_killed,
                  .after = after_supervisor_killed,
                  .traced = true,
                  .counts_inexactly = true },
                { .name = "bypass",
                  .prepare = scripted_prepare_bare,
                  .body = test_bypass,
                  .after = after_bypass,
                  .traced = true,
                  .counts_inexactly = true },
                { .name = "all_killed", .body = test_all_killed, .traced = true, .loses_keeper = true },
                { .name = "disk_full",
                  .prepare = mount_tiny,
                  .body = test_disk_full,
                  .after = after_disk_full,
                  .traced = true,
                  .counts_inexactly = true },
                { .name = "disk_full_for_a_while",
                  .prepare = mount_tiny,
                  .body = test_disk_full_for_a_while,
                  .after = after_stopped,
                  .traced = true,
                  .counts_inexactly = true },
        };

        return scripted_main(argc, argv, tests, SCRIPTED_COUNT(tests));
}
