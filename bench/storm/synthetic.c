/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One round in one setting. In storm: set up, look at what came of it, clean up. In the tree: let the callers go, and
 * do between the waves what was asked for.
 */

#include "synthetic.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "crowd.h"
#include "floor_server.h"
#include "interrupt.h"
#include "journal_view.h"
#include "memory_peak.h"
#include "storm.h"
#include "traffic.h"

/* How often who holds a load looks whether all have called. */
#define HOLD_LOOK_NS 200000L

/* After a module went live: modgate makes up for an attempt when it has been quiet for half a second. */
#define MAKE_UP_NS 1500000000L

/* In memory that all processes of a run share. */
struct outcome {
        struct traffic before, after; /* what is measured */
        uint64_t scripted_calls, scripted_inits;
        int result_of_live;
        char what[128]; /* failed; empty: nothing of the body's own */
};

struct measurement {
        const struct storm_plan *plan;
        enum setting_kind kind;
        const struct kernel_interface *kernel; /* what the callers call */
        struct journal_view view;              /* under modgate */
        struct crowd crowd;
        struct memory_peak memory;
        struct outcome *outcome;
};

/* In the tree */

static int fail(struct measurement *measurement, int error, const char *what, const char *name) {
        (void)snprintf(measurement->outcome->what, sizeof(measurement->outcome->what), "%s%s", what, name);
        return error;
}

static void rest(long ns) {
        const struct timespec time = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

        (void)nanosleep(&time, NULL);
}

static int make_call(unsigned int caller, unsigned int call, void *context) {
        const struct measurement *measurement = context;
        const struct storm_plan *plan = measurement->plan;

        (void)caller;
        return target_call(&plan->targets[call % plan->target_count], measurement->kernel, plan->params);
}

static uint64_t sum_of_calls(const struct storm_plan *plan) {
        uint64_t sum = 0;

        for (size_t i = 0; i < plan->target_count; i++)
                sum += plan->scripted->modules[plan->targets[i].scripted].calls;
        return sum;
}

static uint64_t sum_of_inits(const struct storm_plan *plan) {
        uint64_t sum = 0;

        for (size_t i = 0; i < plan->target_count; i++)
                sum += plan->scripted->modules[plan->targets[i].scripted].loads;
        return sum;
}

/* Bare callers are in the scripted kernel then; all others wait for the load, and modgate knows them. */
static bool all_have_called(const struct measurement *measurement) {
        if (measurement->kind == SETTING_BARE)
                return sum_of_calls(measurement->plan) >= measurement->plan->callers;
        return journal_view_all_wait(&measurement->view, measurement->plan->callers);
}

static int fork_holder(struct measurement *measurement) {
        pid_t parent = getpid(), pid;

        /* the floor's server has a way of its own */
        if (!measurement->plan->hold || measurement->kind == SETTING_FLOOR)
                return 0;
        scripted_kernel_hold(measurement->plan->scripted);
        pid = fork();
        if (pid != 0)
                return pid < 0 ? fail(measurement, -errno, "fork a process that holds the loads", "") : 0;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (getppid() == parent && !all_have_called(measurement))
                rest(HOLD_LOOK_NS);
        scripted_kernel_release(measurement->plan->scripted);
        _exit(EXIT_SUCCESS);
}

static int remove_target(struct measurement *measurement, const struct target *target) {
        const struct storm_plan *plan = measurement->plan;
        int r = plan->scripted ? scripted_kernel_remove(plan->scripted, target->scripted) : target_remove(target);

        return r == 0 || r == -ENOENT ? 0 : fail(measurement, r, "remove the module ", target->name);
}

static int between_waves(struct measurement *measurement, unsigned int wave) {
        const struct storm_plan *plan = measurement->plan;
        int r = 0;

        for (size_t i = 0; plan->remove && r == 0 && i < plan->target_count; i++)
                r = remove_target(measurement, &plan->targets[i]);
        if (r == 0 && plan->live && wave == 0)
                measurement->outcome->result_of_live = target_call(plan->live, measurement->kernel, "");
        return r;
}

static int run_waves(struct measurement *measurement) {
        int r = 0;

        for (unsigned int i = 0; r == 0 && i < crowd_waves(&measurement->crowd); i++) {
                r = crowd_run_wave(&measurement->crowd, i);
                if (r < 0)
                        return fail(measurement, r, "keep all callers alive", "");
                r = between_waves(measurement, i);
        }
        return r;
}

/* What modgate has done so far. Its counters are complete when all is answered. */
static int look_at_traffic(struct measurement *measurement, struct traffic *ret) {
        const struct storm_plan *plan = measurement->plan;
        struct journal *journal;
        int r = 0;

        if (measurement->kind != SETTING_MODGATE)
                return 0;
        journal = aligned_alloc(_Alignof(struct journal), sizeof(*journal));
        if (!journal)
                return -ENOMEM;
        do
                r = journal_view_read(&measurement->view, journal);
        while (r == 0 && journal->header.requests > journal->header.answered + journal->header.gone);
        if (r == 0)
                *ret = traffic_of(journal, plan->targets, plan->target_count, plan->live);
        free(journal);
        return r < 0 ? fail(measurement, r, "read modgate's journal", "") : 0;
}

/* The calls before those that are measured. Whoever answers them, the floor has nothing to remember. */
static void warm_up(const struct measurement *measurement) {
        const struct storm_plan *plan = measurement->plan;

        for (size_t i = 0; plan->warm && measurement->kind != SETTING_FLOOR && i < plan->target_count; i++)
                (void)target_call(&plan->targets[i], measurement->kernel, plan->params);
}

static int prepare(struct measurement *measurement) {
        struct outcome *outcome = measurement->outcome;
        struct scripted_kernel *scripted = measurement->plan->scripted;
        int r = 0;

        if (scripted)
                scripted->owner = getpid();
        if (measurement->kind == SETTING_MODGATE)
                r = journal_view_open(&measurement->view, getppid());
        if (r < 0)
                return fail(measurement, r, "look into modgate's journal", "");
        warm_up(measurement);
        r = look_at_traffic(measurement, &outcome->before);
        if (r == 0 && scripted) {
                outcome->scripted_calls = sum_of_calls(measurement->plan);
                outcome->scripted_inits = sum_of_inits(measurement->plan);
        }
        return r;
}

static int run_crowd(struct measurement *measurement) {
        int r = crowd_start(&measurement->crowd, make_call, measurement);

        if (r < 0)
                return fail(measurement, r, "fork the callers", "");
        r = fork_holder(measurement);
        if (measurement->memory.shared)
                memory_peak_begin(&measurement->memory);
        if (r == 0)
                r = run_waves(measurement);
        if (measurement->memory.shared)
                memory_peak_end(&measurement->memory);
        crowd_stop(&measurement->crowd);
        return r;
}

static int body(void *context) {
        struct measurement *measurement = context;
        const struct storm_plan *plan = measurement->plan;
        struct outcome *outcome = measurement->outcome;
        int r = prepare(measurement);

        if (r == 0)
                r = run_crowd(measurement);
        if (r == 0 && plan->live && plan->failure_ttl_s > 0 && measurement->kind == SETTING_MODGATE)
                rest(MAKE_UP_NS);
        if (r == 0)
                r = look_at_traffic(measurement, &outcome->after);
        if (r == 0 && plan->scripted) {
                outcome->scripted_calls = sum_of_calls(plan) - outcome->scripted_calls;
                outcome->scripted_inits = sum_of_inits(plan) - outcome->scripted_inits;
        }
        return r;
}

/* In storm */

static void count_traffic(const struct measurement *measurement, struct storm_result *result) {
        const struct traffic *before = &measurement->outcome->before, *after = &measurement->outcome->after;
        const struct storm_plan *plan = measurement->plan;

        if (measurement->kind == SETTING_MODGATE) {
                result->kernel_calls = after->calls - before->calls;
                result->kernel_bytes = after->bytes - before->bytes;
        } else if (measurement->kind == SETTING_BARE) {
                result->kernel_calls = crowd_total(&measurement->crowd);
                for (unsigned int i = 0; i < plan->calls; i++)
                        result->kernel_bytes += plan->callers * plan->targets[i % plan->target_count].size;
        }
}

/* Figures that do not agree are worse than none. */
static int check(const struct measurement *measurement, const struct storm_result *result) {
        const struct storm_plan *plan = measurement->plan;
        const struct outcome *outcome = measurement->outcome;
        const char *name = setting_name(measurement->kind);
        uint64_t none = results_of(&result->results, CROWD_NO_RESULT), nobody = results_of(&result->results, ENOSYS);

        if (none > 0)
                (void)storm_error("%s: %" PRIu64 " calls have no result", name, none);
        else if (nobody > 0)
                (void)storm_error("%s: %" PRIu64 " calls were answered ENOSYS: %s", name, nobody,
                                  measurement->kind == SETTING_BARE ? "this kernel has no modules; use --scripted"
                                                                    : "nobody served them");
        else if (plan->live && outcome->result_of_live != 0 && measurement->kind != SETTING_FLOOR)
                (void)storm_error("%s: %s did not go live: %s", name, plan->live->name,
                                  strerror(outcome->result_of_live));
        else if (plan->scripted && outcome->after.left > 0)
                (void)storm_error("%s: %" PRIu64 " calls were left to the real kernel, which has nothing to load", name,
                                  outcome->after.left);
        else if (plan->scripted && outcome->scripted_calls != result->kernel_calls)
                (void)storm_error("%s: %" PRIu64 " calls reached the scripted kernel, which counts %" PRIu64, name,
                                  result->kernel_calls, outcome->scripted_calls);
        else
                return 0;
        return -EPROTO;
}

static int collect(const struct measurement *measurement, struct storm_result *ret) {
        const struct crowd *crowd = &measurement->crowd;
        struct storm_result result = { 0 };
        int r;

        for (size_t i = 0; i < crowd_total(crowd); i++)
                results_add(&result.results, crowd_results(crowd)[i], 1);
        count_traffic(measurement, &result);
        r = check(measurement, &result);
        if (r < 0)
                return r;
        result.wall_ns = crowd_wall_ns(crowd);
        result.latency_ns = sample_of(crowd_latencies_ns(crowd), crowd_total(crowd));
        result.inits = measurement->outcome->scripted_inits;
        if (measurement->memory.shared) {
                result.vmalloc_peak = memory_peak_vmalloc(&measurement->memory);
                result.memory_peak = memory_peak_available(&measurement->memory);
        }
        *ret = result;
        return 0;
}

static bool wakes_synchronously(const struct storm_plan *plan) {
        return plan->wake == WAKE_SYNC || (plan->wake == WAKE_AUTO && plan->wave == 1);
}

static int run(struct measurement *measurement, bool sync_wake_up) {
        const struct storm_plan *plan = measurement->plan;
        const struct setting_config config = {
                .kind = measurement->kind,
                .sync_wake_up = sync_wake_up,
                .parked = plan->hold ? plan->callers : 0,
                .kernel = plan->scripted ? &plan->scripted->interface : &kernel_interface_native,
                .failure_ttl_ns = plan->failure_ttl_s * 1000000000ULL,
        };
        const char *what;
        int r = setting_run(&config, body, measurement, &what);

        if (r == -EOPNOTSUPP && sync_wake_up && plan->wake == WAKE_AUTO)
                return run(measurement, false);
        if (r < 0 && r != -EINTR)
                (void)storm_error("%s: cannot %s: %s%s", setting_name(config.kind),
                                  what ? what : measurement->outcome->what, strerror(-r), setting_advice(r));
        return r;
}

static int take_away(const struct target *target) {
        int r = target->was_live ? -ENOENT : target_remove(target);

        if (r == 0 || r == -ENOENT)
                return 0;
        (void)storm_error("cannot remove the module %s again: %s", target->name, strerror(-r));
        return r;
}

/* What was loaded goes. */
static int clean_up(const struct storm_plan *plan) {
        int r = 0;

        if (plan->scripted) {
                scripted_kernel_reset(plan->scripted);
                return 0;
        }
        for (size_t i = 0; i < plan->target_count; i++)
                if (take_away(&plan->targets[i]) < 0)
                        r = -EBUSY;
        return plan->live && take_away(plan->live) < 0 ? -EBUSY : r;
}

static int set_up(struct measurement *measurement) {
        const struct storm_plan *plan = measurement->plan;
        int r = crowd_init(&measurement->crowd, plan->callers, plan->calls, plan->wave);

        measurement->outcome = mmap(NULL, sizeof(*measurement->outcome), PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (measurement->outcome == MAP_FAILED)
                return -errno;
        if (r == 0 && !plan->scripted)
                r = memory_peak_start(&measurement->memory);
        return r;
}

static void tear_down(struct measurement *measurement) {
        memory_peak_stop(&measurement->memory);
        crowd_deinit(&measurement->crowd);
        if (measurement->outcome != MAP_FAILED)
                (void)munmap(measurement->outcome, sizeof(*measurement->outcome));
}

/* The plan as it is for that setting. */
static struct storm_plan plan_for(const struct storm_plan *plan, enum setting_kind kind) {
        struct storm_plan own = *plan;

        if (kind == SETTING_BARE && plan->bare_callers > 0)
                own.callers = plan->bare_callers;
        if (own.wave > own.callers)
                own.wave = own.callers;
        return own;
}

int storm_measure(const struct storm_plan *plan, enum setting_kind kind, struct storm_result *ret) {
        const struct storm_plan own = plan_for(plan, kind);
        struct measurement measurement = { .plan = &own, .kind = kind, .kernel = &kernel_interface_native };
        int r = set_up(&measurement), cleaned;

        if (plan->scripted && kind == SETTING_BARE)
                measurement.kernel = &plan->scripted->interface;
        if (r < 0)
                (void)storm_error("cannot measure: %s", strerror(-r));
        else
                r = run(&measurement, wakes_synchronously(plan));
        cleaned = clean_up(plan);
        if (r == 0)
                r = collect(&measurement, ret);
        tear_down(&measurement);
        return r < 0 ? r : cleaned;
}
