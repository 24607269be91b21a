/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The sweep: one tree for each call of modgate's processes that can fail (tests/live/faults.h), and that one call does
 * fail. It is a tree as `modgate run --wait --on-error=exec --report --trace --failure-ttl` starts it, with callers of
 * finit_module and init_module, successes and failures, duplicates in flight, and a supervisor that is killed over
 * them. Whatever fails, all callers are answered, rightly, and nothing is left; what was lost is told.
 *
 * Not tried here: a tree that is attached to a daemon, and the daemon itself.
 *
 * A first tree counts the calls. Then some trees at a time take what is next from a common queue. `single_…`: one call
 * fails. `lasting_…`: from the moment on at which COMMAND is executed, all calls of that function fail in that role.
 * MODGATE_FAULTS=ROLE.FUNCTION.NTH.WHICH does one of the former alone (NTH 0: of the latter). With
 * MODGATE_FAULTS_ONE_ERRNO each call has one of its errnos, and not all of them one after the other.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults.h"
#include "launch/launch.h"
#include "scripted.h"
#include "scripted_images.h"
#include "scripted_private.h"

/* A tree takes a fraction of a second. One that lost a message may wait for several limits in a row. */
#define TREE_LIMIT_MS 45000U

/* In memory that all shards share. */
static struct sweep {
        atomic_uint state; /* enum sweep_state */
        unsigned int calls[FAULT_ROLES][FAULT_FUNCTION_COUNT];
        unsigned int lasting_calls[FAULT_ROLES][FAULT_FUNCTION_COUNT];
        atomic_uint next_single, next_lasting;
} * sweep;

enum sweep_state {
        SWEEP_NEW,
        SWEEP_COUNTING,
        SWEEP_COUNTED,
};

/* What became of the trees of a shard. */
struct sums {
        unsigned int planned, hit, failed, unsupervised, bypassed;
        unsigned int slowest_ms;
        struct fault_plan slowest;
};

static struct scripted *the_kit;
static struct faults *faults;

/* COMMAND: the callers, in the tree */

enum {
        CALLS_ALPHA = 0,       /* two of a file, in flight when the supervisor is killed */
        CALLS_BETA = 2,        /* two of an image that fails, the same */
        CALLS_GAMMA = 4,       /* two of a file that fails, one after the other: the second may be remembered */
        CALLS_BETA_AGAIN = 6,  /* and one of that image */
        CALLS_ALPHA_AGAIN = 7, /* alpha is live */
        CALLS_LAST = 8,        /* two of other modules: by then all is well again */
        CALLS = 10,
};

static bool have_returned(const struct scripted_call *calls, unsigned int count) {
        return scripted_count(calls, count, NOT_RETURNED) == 0;
}

/* A load may never begin: its callers are left to the kernel. */
static void await_load_or_answers(const struct scripted_module *module, const struct scripted_call *calls) {
        while (module->loads == 0 && !have_returned(calls, 2))
                scripted_sleep_ms(1);
}

static void kill_supervisor(void) {
        pid_t supervisor = faults->pids[FAULT_SUPERVISOR];

        /* there is none in a tree that is not supervised */
        if (supervisor > 0)
                (void)kill(supervisor, SIGKILL);
}

static struct scripted_call *start(struct scripted *kit, unsigned int count, struct scripted_call like) {
        struct scripted_call *calls = scripted_calls(kit, count, like);

        scripted_start(kit, calls, count, 0);
        return calls;
}

static bool log_has(struct scripted *kit, const char *text) {
        return scripted_log_lines(kit, text) > 0;
}

static bool is_alive(enum fault_role role) {
        pid_t pid = faults->pids[role];

        return pid > 0 && kill(pid, 0) == 0;
}

static void command(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        struct scripted_module *gamma = scripted_module(kit, "gamma");
        struct scripted_call image = scripted_image_call(kit, beta, "one"), *first;

        first = start(kit, 2, scripted_call_with(alpha, "x=1", 0));
        (void)start(kit, 2, image);
        await_load_or_answers(alpha, first + CALLS_ALPHA);
        await_load_or_answers(beta, first + CALLS_BETA);
        scripted_sleep_ms(10); /* most often the duplicates are known by then */
        kill_supervisor();
        scripted_release(alpha);
        scripted_release(beta);
        scripted_finish(kit, first, 4);
        (void)scripted_one(kit, scripted_call_of(gamma));
        (void)scripted_one(kit, scripted_call_of(gamma));
        (void)scripted_one(kit, image);
        (void)scripted_one(kit, scripted_call_with(alpha, "x=1", 0));
        (void)scripted_one(kit, scripted_call_of(scripted_module(kit, "m000")));
        (void)scripted_one(kit, scripted_call_of(scripted_module(kit, "m001")));
        /* else these answers are from nobody */
        CHECK(is_alive(FAULT_KEEPER) || is_alive(FAULT_STANDIN) || log_has(kit, "runs without modgate"));
}

int __real_exec_file(const char *path, char *const *argv);
int __wrap_exec_file(const char *path, char *const *argv);

/* COMMAND is executed: here and now, in this process. */
int __wrap_exec_file(const char *path, char *const *argv) {
        (void)path, (void)argv;
        faults_play(FAULT_NOBODY);
        faults_begin_lasting(faults);
        command(the_kit);
        (void)fflush(stdout);
        _exit(EXIT_SUCCESS);
}

/* A tree */

static void forget_module(struct scripted *kit, const char *name, int result) {
        struct scripted_module *module = scripted_module(kit, name);

        module->loads = 0;
        module->running = 0;
        module->overlapped = false;
        scripted_set_result(module, result);
        scripted_remove(kit, module);
}

static void forget_last_tree(struct scripted *kit) {
        char path[SCRIPTED_PATH_MAX];

        kit->call_count = 0;
        forget_module(kit, "alpha", 0);
        forget_module(kit, "beta", ENODEV);
        forget_module(kit, "gamma", ENXIO);
        forget_module(kit, "m000", 0);
        forget_module(kit, "m001", 0);
        scripted_module(kit, "alpha")->hold = 1;
        scripted_module(kit, "beta")->hold = 1;
        CHECK_EQUAL(truncate(kit->log, 0), 0);
        (void)unlink(kit->report);
        (void)unlink(kit->trace);
        CHECK((size_t)snprintf(path, sizeof(path), "%s/uevents", kit->directory) < sizeof(path));
        (void)unlink(path);
}

static _Noreturn void launch(struct scripted *kit) {
        const struct launch_config config = {
                .kernel = scripted_interface(),
                .argv = (char *[]){ "/proc/self/exe", NULL },
                .on_error = LAUNCH_EXEC,
                .failure_ttl_s = 60,
                .wait = true,
                .report = kit->report,
                .trace = kit->trace,
        };

        faults_play(FAULT_LAUNCHER);
        _exit(launch_run(&config));
}

static void show_plan(const struct fault_plan *plan, unsigned int ms, const char *what) {
        const struct fault_row *row = &fault_rows[plan->function];

        printf("# %s: %s.%s.%u.%u (%s)%s, %u ms\n", what, fault_role_names[plan->role], row->name, plan->nth,
               plan->error, strerrorname_np(row->errors[plan->error]), plan->lasts ? " and all later ones" : "", ms);
}

/* Returns how COMMAND's launcher ended, once all of the tree's processes have; they are our children then. */
static int await_tree(pid_t launcher) {
        uint64_t began_ns = scripted_now_ns();
        int result = -1, status;

        for (;;) {
                pid_t pid = waitpid(-1, &status, WNOHANG);

                if (pid < 0)
                        return result;
                if (pid == launcher)
                        result = status;
                if (pid > 0)
                        continue;
                CHECK((scripted_now_ns() - began_ns) / 1000000 < TREE_LIMIT_MS);
                scripted_sleep_ms(1);
        }
}

/* Checks */

/* It is `expected`, EEXIST instead of success, or the kernel's own word. */
static bool is_right(const struct scripted *kit, const struct scripted_call *call, int expected) {
        return call->error == expected || call->error == kit->bare[call->image] ||
               (expected == 0 && call->error == EEXIST);
}

static void check_answers(struct scripted *kit) {
        static const int expected[CALLS] = { 0, 0, ENODEV, ENODEV, ENXIO, ENXIO, ENODEV, 0, 0, 0 };

        CHECK_EQUAL(kit->call_count, CALLS);
        for (unsigned int i = 0; i < CALLS; i++) {
                const struct scripted_call *call = &kit->call[i];

                if (!is_right(kit, call, expected[i]))
                        printf("# call %u\n", i);
                CHECK(is_right(kit, call, expected[i]));
        }
}

static unsigned int count_bare(const struct scripted *kit) {
        unsigned int bare = 0;

        for (unsigned int i = 0; i < kit->call_count; i++)
                bare += kit->call[i].error == kit->bare[kit->call[i].image];
        return bare;
}

/*
 * A file whose name cannot be had is joined under none, beside another call that has it: the kernel's own check for
 * duplicates stands between the two, as it does for a call that is left to it.
 */
static bool may_miss_names(const struct fault_plan *plan) {
        static const enum fault_function functions[] = { FAULT_readlinkat, FAULT_statx,
                                                         FAULT_realpath,   FAULT_kmod_new,
                                                         FAULT_tsearch,    FAULT_kmod_module_new_from_name };

        for (unsigned int i = 0; plan && plan->role == FAULT_SUPERVISOR && i < SCRIPTED_COUNT(functions); i++)
                if (plan->function == functions[i])
                        return true;
        return false;
}

/* Else nothing is loaded twice at the same time. */
static void check_loads(struct scripted *kit, const struct fault_plan *plan) {
        for (unsigned int i = 0; i < kit->module_count && !may_miss_names(plan); i++)
                CHECK(!kit->module[i].overlapped);
}

static void check_log(struct scripted *kit) {
        CHECK(!log_has(kit, "Sanitizer"));
        CHECK(!log_has(kit, "runtime error"));
        CHECK(!log_has(kit, "was about to be forgotten"));
        CHECK(!log_has(kit, "cannot answer request"));
        CHECK(!log_has(kit, "something unknown"));
}

/* Whoever was left to the kernel is counted in the report, or the log says that there is none. */
static void check_report(struct scripted *kit) {
        struct json_object *report = json_object_from_file(kit->report);

        if (report)
                CHECK(scripted_continued(report) >= count_bare(kit));
        else
                CHECK(log_has(kit, "report"));
        (void)json_object_put(report);
}

static void check_trace(struct scripted *kit) {
        if (access(kit->trace, F_OK) == 0)
                (void)json_object_put(scripted_read_trace(kit->trace));
        else
                CHECK(log_has(kit, "trace"));
}

/* COMMAND runs as it would without us, or not at all because there is no memory for its name. */
static bool is_unsupervised(struct scripted *kit, int status) {
        if (status != 0) {
                CHECK(WIFEXITED(status) && WEXITSTATUS(status) == LAUNCH_EXIT_NOT_EXECUTABLE);
                CHECK(log_has(kit, "cannot be executed"));
                return true;
        }
        return log_has(kit, "runs without modgate");
}

/* Has the stand-in, or the keeper, taken over for good? */
static bool is_bypassed(struct scripted *kit) {
        return log_has(kit, "the keeper did not take over") || log_has(kit, "cannot be kept alive");
}

static void check_tree(struct scripted *kit, const struct fault_plan *plan, int status, struct sums *sums) {
        check_log(kit);
        if (is_unsupervised(kit, status)) {
                sums->unsupervised++;
                CHECK(status != 0 || count_bare(kit) == CALLS);
                return;
        }
        check_answers(kit);
        check_loads(kit, plan);
        if (is_bypassed(kit)) {
                sums->bypassed++;
        } else if (!plan || !plan->lasts) {
                /* what failed, failed once: not in both of them */
                CHECK(kit->call[CALLS_LAST].error == 0 || kit->call[CALLS_LAST + 1].error == 0);
        }
        if (log_has(kit, "the keeper did not take over"))
                return;
        check_report(kit);
        check_trace(kit);
}

/* NULL: nothing fails. */
static void run_tree(struct scripted *kit, const struct fault_plan *plan, struct sums *sums) {
        uint64_t began_ns = scripted_now_ns();
        unsigned int ms;
        pid_t launcher;
        int status;

        forget_last_tree(kit);
        faults_plan(faults, plan);
        launcher = fork();
        CHECK(launcher >= 0);
        if (launcher == 0)
                launch(kit);
        status = await_tree(launcher);
        ms = (unsigned int)((scripted_now_ns() - began_ns) / 1000000);
        check_tree(kit, plan, status, sums);
        sums->planned++;
        sums->hit += faults->hits > 0;
        if (plan && ms > sums->slowest_ms) {
                sums->slowest_ms = ms;
                sums->slowest = *plan;
        }
}

static void print_log(const struct scripted *kit) {
        FILE *file = fopen(kit->log, "re");
        char line[1024];

        while (file && fgets(line, sizeof(line), file))
                printf("#   %s", line);
        if (file)
                (void)fclose(file);
}

static bool kill_child(const struct scripted_status *status, void *context) {
        (void)context;
        if (status->parent == getpid())
                (void)kill(status->pid, SIGKILL);
        return false;
}

/* What a tree has left behind that was not as it should be. */
static void end_tree(void) {
        while (waitpid(-1, NULL, WNOHANG) >= 0) {
                (void)scripted_each_process(kill_child, NULL);
                scripted_sleep_ms(2);
        }
}

/* In a process of its own: whatever is wrong with one tree, the others are tried too. */
static void run_tree_apart(struct scripted *kit, const struct fault_plan *plan, struct sums *sums) {
        pid_t pid = fork();
        int status;

        CHECK(pid >= 0);
        if (pid == 0) {
                CHECK_EQUAL(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                kit->case_pid = getpid();
                run_tree(kit, plan, sums);
                (void)fflush(stdout);
                _exit(EXIT_SUCCESS);
        }
        CHECK_EQUAL(waitpid(pid, &status, 0), pid);
        if (status == 0)
                return;
        sums->failed++;
        show_plan(plan, 0, "failed");
        print_log(kit);
        end_tree();
}

/* The queue */

static void count_calls(struct scripted *kit, struct sums *sums) {
        unsigned int expected = SWEEP_NEW;

        if (atomic_compare_exchange_strong(&sweep->state, &expected, SWEEP_COUNTING)) {
                run_tree(kit, NULL, sums);
                CHECK_EQUAL(count_bare(kit), 0);
                memcpy(sweep->calls, faults->calls, sizeof(sweep->calls));
                memcpy(sweep->lasting_calls, faults->lasting_calls, sizeof(sweep->lasting_calls));
                sweep->state = SWEEP_COUNTED;
        }
        while (sweep->state != SWEEP_COUNTED)
                scripted_sleep_ms(2);
}

static unsigned int errors_of(enum fault_function function) {
        unsigned int count = 0;

        while (count < FAULT_ERRNOS && fault_rows[function].errors[count] != 0)
                count++;
        return count;
}

/* The `index`th of all (role, function, nth, errno). False: there are not so many. */
static bool single_plan(unsigned int index, struct fault_plan *plan) {
        bool one_each = getenv("MODGATE_FAULTS_ONE_ERRNO") != NULL;

        for (enum fault_role role = FAULT_LAUNCHER; role < FAULT_ROLES; role++)
                for (enum fault_function function = 0; function < FAULT_FUNCTION_COUNT; function++) {
                        unsigned int known = errors_of(function), errors = one_each ? 1 : known;
                        unsigned int count = sweep->calls[role][function] * errors;

                        if (index >= count) {
                                index -= count;
                                continue;
                        }
                        *plan = (struct fault_plan){
                                .role = role, .function = function, .nth = index / errors + 1, .error = index % errors
                        };
                        return true;
                }
        return false;
}

static bool lasting_plan(unsigned int index, struct fault_plan *plan) {
        for (enum fault_role role = FAULT_KEEPER; role < FAULT_ROLES; role++)
                for (enum fault_function function = 0; function < FAULT_FUNCTION_COUNT; function++) {
                        if (!fault_rows[function].lasts || sweep->lasting_calls[role][function] == 0 || index-- > 0)
                                continue;
                        *plan = (struct fault_plan){ .role = role, .function = function, .lasts = true };
                        return true;
                }
        return false;
}

static void show_sums(const struct sums *sums) {
        printf("# %u faults planned, %u met; %u trees not supervised, %u bypassed\n", sums->planned, sums->hit,
               sums->unsupervised, sums->bypassed);
        if (sums->slowest_ms > 0)
                show_plan(&sums->slowest, sums->slowest_ms, "slowest");
}

static bool named_plan(struct fault_plan *plan) {
        const char *text = getenv("MODGATE_FAULTS");
        char role[32], function[64];

        *plan = (struct fault_plan){ 0 };
        if (!text || sscanf(text, "%31[^.].%63[^.].%u.%u", role, function, &plan->nth, &plan->error) != 4)
                return false;
        while (plan->role < FAULT_ROLES && strcmp(fault_role_names[plan->role], role) != 0)
                plan->role++;
        while (plan->function < FAULT_FUNCTION_COUNT && strcmp(fault_rows[plan->function].name, function) != 0)
                plan->function++;
        CHECK(plan->role < FAULT_ROLES && plan->function < FAULT_FUNCTION_COUNT);
        plan->lasts = plan->nth == 0;
        return true;
}

static void run_sweep(struct scripted *kit, atomic_uint *next, bool (*plan_of)(unsigned int, struct fault_plan *)) {
        struct sums *sums = mmap(NULL, sizeof(*sums), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        struct fault_plan plan;

        CHECK(sums != MAP_FAILED);
        CHECK_EQUAL(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        the_kit = kit;
        faults = faults_new();
        if (named_plan(&plan)) {
                run_tree_apart(kit, &plan, sums);
        } else {
                count_calls(kit, sums);
                memset(sums, 0, sizeof(*sums));
                while (plan_of(atomic_fetch_add(next, 1), &plan))
                        run_tree_apart(kit, &plan, sums);
        }
        show_sums(sums);
        CHECK_EQUAL(sums->failed, 0);
        CHECK(sums->planned > 0);
}

static void test_single(struct scripted *kit) {
        run_sweep(kit, &sweep->next_single, single_plan);
}

static void test_lasting(struct scripted *kit) {
        run_sweep(kit, &sweep->next_lasting, lasting_plan);
}

/* The kernel's own results, for both calls: the index is whether it is one with an image. */
static void prepare(struct scripted *kit) {
        scripted_prepare_bare_image(kit);
        kit->bare[1] = kit->bare[0];
        scripted_prepare_bare(kit);
}

#define SHARD(kind, number)                                                                                            \
        {                                                                                                              \
                .name = #kind "_" #number, .body = test_##kind, .prepare = prepare, .limit_s = 600,                    \
                .starts_itself = true, .loses_keeper = true                                                            \
        }

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                SHARD(single, 1), SHARD(single, 2), SHARD(single, 3),  SHARD(single, 4),  SHARD(single, 5),
                SHARD(single, 6), SHARD(single, 7), SHARD(lasting, 1), SHARD(lasting, 2), SHARD(lasting, 3),
        };

        sweep = mmap(NULL, sizeof(*sweep), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (sweep == MAP_FAILED)
                return EXIT_FAILURE;
        return scripted_main_at_once(argc, argv, tests, SCRIPTED_COUNT(tests));
}
