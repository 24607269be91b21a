/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "replay.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "crowd.h"
#include "scratch.h"
#include "storm.h"

/* What a call came to. */
struct outcome {
        uint64_t latency_ns, lag_ns;
        int result; /* CROWD_NO_RESULT: it was not made, or has not returned */
};

/* In memory that all processes of a run share. */
struct shared {
        _Atomic uint64_t start_ns; /* the first call's time; 0: nobody is let go yet */
        struct outcome outcomes[]; /* of each recorded call */
};

struct measurement {
        const struct replay_plan *plan;
        enum setting_kind kind;
        const struct kernel_interface *kernel; /* what the callers call */
        struct crowd crowd;
        uint32_t *order; /* calls by caller, and of each in the order in which they were made */
        size_t *first;   /* in `order`, of each caller; one more at the end */
        struct shared *shared;
        size_t shared_size;
        struct scratch scratch;
        char report[SCRATCH_PATH_MAX + 16];
};

struct target *replay_target(const struct replay_plan *plan, const struct recording_call *call) {
        return &plan->targets[2 * call->module + (call->init ? 1 : 0)];
}

bool replay_has(const struct target *target) {
        return target->path != NULL;
}

/* In the callers */

static void sleep_until(uint64_t ns) {
        const struct timespec time = { .tv_sec = (time_t)(ns / 1000000000U), .tv_nsec = (long)(ns % 1000000000U) };

        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
                ;
}

static void make_one(const struct measurement *measurement, size_t index) {
        const struct replay_plan *plan = measurement->plan;
        const struct recording_call *call = &plan->recording->calls[index];
        struct outcome *outcome = &measurement->shared->outcomes[index];
        const struct target *target = replay_target(plan, call);
        uint64_t began_ns, due_ns = 0;
        char params[32] = "";

        if (!replay_has(target))
                return;
        /* the text is not known; the kernel warns of a parameter that it does not know, and goes on */
        if (call->params != 0)
                (void)snprintf(params, sizeof(params), "modgate_replay=%" PRIu32, call->params);
        if (plan->speed > 0) {
                due_ns = measurement->shared->start_ns + (uint64_t)((double)call->at_ns / plan->speed);
                sleep_until(due_ns);
        }
        began_ns = crowd_now_ns();
        outcome->result = target_call(target, measurement->kernel, params);
        outcome->latency_ns = crowd_now_ns() - began_ns;
        outcome->lag_ns = due_ns > 0 && began_ns > due_ns ? began_ns - due_ns : 0;
}

/* All calls of one caller. Whoever comes first says when it began. */
static int make_all(unsigned int caller, unsigned int call, void *context) {
        struct measurement *measurement = context;
        uint64_t nobody = 0;

        (void)call;
        (void)atomic_compare_exchange_strong(&measurement->shared->start_ns, &nobody, crowd_now_ns());
        for (size_t i = measurement->first[caller]; i < measurement->first[caller + 1]; i++)
                make_one(measurement, measurement->order[i]);
        return 0;
}

/* In the tree */

/* What was live when the recording began is, also here. The floor loads nothing. */
static void load_first(const struct measurement *measurement) {
        const struct recording *recording = measurement->plan->recording;

        for (size_t i = 0; measurement->kind != SETTING_FLOOR && i < recording->module_count; i++) {
                const struct target *targets = &measurement->plan->targets[2 * i];

                if (recording->modules[i].was_live)
                        (void)target_call(replay_has(&targets[0]) ? &targets[0] : &targets[1], measurement->kernel, "");
        }
}

static int body(void *context) {
        struct measurement *measurement = context;
        int r;

        if (measurement->plan->scripted)
                measurement->plan->scripted->owner = getpid();
        load_first(measurement);
        r = crowd_start(&measurement->crowd, make_all, measurement);
        if (r == 0)
                r = crowd_run_wave(&measurement->crowd, 0);
        crowd_stop(&measurement->crowd);
        return r;
}

/* In storm */

static void sort_by_caller(struct measurement *measurement) {
        const struct recording *recording = measurement->plan->recording;
        size_t *next = measurement->first;

        /* first how many of each; then where those of each begin; then the calls, which move that to the next one's */
        for (size_t i = 0; i < recording->call_count; i++)
                next[recording->calls[i].caller + 2]++;
        for (size_t i = 2; i < recording->caller_count + 2; i++)
                next[i] += next[i - 1];
        for (size_t i = 0; i < recording->call_count; i++)
                measurement->order[next[recording->calls[i].caller + 1]++] = (uint32_t)i;
}

static int set_up(struct measurement *measurement) {
        const struct recording *recording = measurement->plan->recording;
        int r = crowd_init(&measurement->crowd, recording->caller_count, 1, recording->caller_count);

        measurement->shared_size =
                sizeof(*measurement->shared) + recording->call_count * sizeof(measurement->shared->outcomes[0]);
        measurement->shared = mmap(NULL, measurement->shared_size, PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        measurement->order = calloc(recording->call_count, sizeof(*measurement->order));
        measurement->first = calloc((size_t)recording->caller_count + 2, sizeof(*measurement->first));
        if (r < 0 || measurement->shared == MAP_FAILED || !measurement->order || !measurement->first)
                return r < 0 ? r : -ENOMEM;
        for (size_t i = 0; i < recording->call_count; i++)
                measurement->shared->outcomes[i].result = CROWD_NO_RESULT;
        sort_by_caller(measurement);
        r = scratch_create(&measurement->scratch);
        (void)snprintf(measurement->report, sizeof(measurement->report), "%s/report.json", measurement->scratch.path);
        return r;
}

static void tear_down(struct measurement *measurement) {
        scratch_remove(&measurement->scratch);
        free(measurement->first);
        free(measurement->order);
        if (measurement->shared != MAP_FAILED)
                (void)munmap(measurement->shared, measurement->shared_size);
        crowd_deinit(&measurement->crowd);
}

static int run(struct measurement *measurement) {
        const struct replay_plan *plan = measurement->plan;
        const struct setting_config config = {
                .kind = measurement->kind,
                .kernel = plan->scripted ? &plan->scripted->interface : &kernel_interface_native,
                .failure_ttl_ns = plan->failure_ttl_s * 1000000000ULL,
                .report = measurement->report,
        };
        const char *what;
        int r = setting_run(&config, body, measurement, &what);

        if (r < 0 && r != -EINTR)
                (void)storm_error("%s: cannot %s: %s%s", setting_name(config.kind), what ? what : "start the callers",
                                  strerror(-r), setting_advice(r));
        return r;
}

/* Those that others use go after these. Returns how many went; `*ret_left`: one that is still there, or NULL. */
static size_t remove_some(const struct replay_plan *plan, const struct target **ret_left) {
        size_t removed = 0;

        *ret_left = NULL;
        for (size_t i = 0; i < 2 * plan->recording->module_count; i++) {
                const struct target *target = &plan->targets[i];
                int r;

                if (!replay_has(target) || target->was_live)
                        continue;
                r = target_remove(target);
                removed += r == 0;
                if (r < 0 && r != -ENOENT)
                        *ret_left = target;
        }
        return removed;
}

static int clean_up(const struct replay_plan *plan) {
        const struct target *left = NULL;

        if (plan->scripted) {
                scripted_kernel_reset(plan->scripted);
                return 0;
        }
        while (remove_some(plan, &left) > 0)
                ;
        if (!left)
                return 0;
        (void)storm_error(
                "cannot remove the module %s again: it is in use; what would be measured now is its duplicates",
                left->name);
        return -EBUSY;
}

static uint64_t number(struct json_object *report, const char *section, const char *name) {
        return json_object_get_uint64(json_object_object_get(json_object_object_get(report, section), name));
}

/* Under modgate: loads that it performed, and calls that it left to the kernel; without those from before. */
static int count_kernel_calls(const struct measurement *measurement, struct replay_result *result) {
        const struct recording *recording = measurement->plan->recording;
        struct json_object *report;

        if (measurement->kind == SETTING_BARE)
                result->kernel_calls = result->calls;
        if (measurement->kind != SETTING_MODGATE)
                return 0;
        report = json_object_from_file(measurement->report);
        if (!report)
                return -EPROTO;
        result->kernel_calls = number(report, "totals", "loads");
        json_object_object_foreach(json_object_object_get(report, "continued"), reason, count) {
                (void)reason;
                result->kernel_calls += json_object_get_uint64(count);
        }
        (void)json_object_put(report);
        for (size_t i = 0; i < recording->module_count; i++) {
                const struct target *targets = &measurement->plan->targets[2 * i];

                if (recording->modules[i].was_live && !targets[0].was_live &&
                    (replay_has(&targets[0]) || replay_has(&targets[1])))
                        result->kernel_calls--;
        }
        return 0;
}

/* Figures that do not agree are worse than none. */
static int check(const struct measurement *measurement, const struct replay_result *result, uint64_t wanted) {
        const struct replay_plan *plan = measurement->plan;
        const char *name = setting_name(measurement->kind);
        uint64_t counted = 0;

        if (result->calls != wanted)
                return storm_error("%s: %" PRIu64 " calls have no result", name, wanted - result->calls), -EPROTO;
        if (results_of(&result->results, ENOSYS) > 0)
                return storm_error("%s: %" PRIu64 " calls were answered ENOSYS: %s", name,
                                   results_of(&result->results, ENOSYS),
                                   measurement->kind == SETTING_BARE ? "this kernel has no modules; use --scripted"
                                                                     : "nobody served them"),
                       -EPROTO;
        if (!plan->scripted)
                return 0;
        for (size_t i = 0; i < plan->scripted->module_count; i++)
                counted += plan->scripted->modules[i].calls - (plan->recording->modules[i].was_live ? 1 : 0);
        if (measurement->kind != SETTING_FLOOR && counted != result->kernel_calls)
                return storm_error("%s: %" PRIu64 " calls reached the scripted kernel, which counts %" PRIu64, name,
                                   result->kernel_calls, counted),
                       -EPROTO;
        return 0;
}

static int collect(const struct measurement *measurement, struct replay_result *ret) {
        const struct recording *recording = measurement->plan->recording;
        uint64_t *latencies = calloc(recording->call_count, sizeof(*latencies)), wanted = 0;
        uint64_t *lags = calloc(recording->call_count, sizeof(*lags));
        struct replay_result result = { .wall_ns = crowd_wall_ns(&measurement->crowd) };
        int r = latencies && lags ? 0 : -ENOMEM;

        for (size_t i = 0; r == 0 && i < recording->call_count; i++) {
                const struct recording_call *call = &recording->calls[i];
                const struct outcome *outcome = &measurement->shared->outcomes[i];

                wanted += replay_has(replay_target(measurement->plan, call));
                if (outcome->result == CROWD_NO_RESULT)
                        continue;
                latencies[result.calls] = outcome->latency_ns;
                lags[result.calls++] = outcome->lag_ns;
                results_add(&result.results, outcome->result, 1);
                if (call->error != RECORDING_NO_RESULT)
                        *(call->error == outcome->result ? &result.as_recorded : &result.otherwise) += 1;
        }
        if (r == 0)
                r = count_kernel_calls(measurement, &result);
        if (r == 0)
                r = check(measurement, &result, wanted);
        if (r == 0) {
                result.latency_ns = sample_of(latencies, result.calls);
                result.lag_ns = sample_of(lags, result.calls);
                *ret = result;
        }
        free(lags);
        free(latencies);
        return r;
}

int replay_measure(const struct replay_plan *plan, enum setting_kind kind, struct replay_result *ret) {
        struct measurement measurement = { .plan = plan, .kind = kind, .kernel = &kernel_interface_native };
        int r = set_up(&measurement), cleaned;

        if (plan->scripted && kind == SETTING_BARE)
                measurement.kernel = &plan->scripted->interface;
        if (r < 0)
                (void)storm_error("cannot measure: %s", strerror(-r));
        else
                r = run(&measurement);
        if (r == 0)
                r = collect(&measurement, ret);
        cleaned = clean_up(plan);
        tear_down(&measurement);
        return r < 0 ? r : cleaned;
}
