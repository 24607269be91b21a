/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What callers of finit_module see, and what reaches the loaders: the table in docs/design.md, row by row. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "file_times.h"
#include "modgate/handoff.h"
#include "modgate/journal.h"
#include "modgate/module.h"
#include "notify.h"
#include "scripted.h"

/* Lets a load that is held go on, when all these callers wait. */
static void release(struct scripted *kit, struct scripted_module *module, const struct scripted_call *calls,
                    unsigned int count) {
        scripted_settle(kit, calls, count);
        scripted_release(module);
}

static void start_held(struct scripted *kit, struct scripted_module *module, struct scripted_call *calls,
                       unsigned int count, unsigned int threads) {
        unsigned int before = module->loads;

        module->hold = 1;
        scripted_start(kit, calls, count, threads);
        scripted_await_begun(module, before + 1);
}

/* Same identity in flight: one load, everybody gets its result */

static void test_join_success(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, 64, scripted_call_of(alpha));

        start_held(kit, alpha, calls, 64, 0);
        release(kit, alpha, calls, 64);
        scripted_finish(kit, calls, 64);
        CHECK_EQUAL(scripted_count(calls, 64, 0), 64);
        CHECK_EQUAL(alpha->loads, 1);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), EEXIST);
        CHECK_EQUAL(alpha->loads, 1);
}

static void after_join_success(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "requests"), 65);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 1);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "joined"), 63);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "live"), 1);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "bytes_not_read"), 64 * strlen("alpha indexed\n"));
        CHECK_EQUAL(scripted_number(report, "totals", "supervisor_starts"), 1);
        CHECK_EQUAL(scripted_continued(report), 0);
}

static void test_join_failure(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, 64, scripted_call_of(alpha));
        static const int results[] = { ENODEV, 0 };

        scripted_set_results(alpha, results, 2);
        start_held(kit, alpha, calls, 64, 0);
        release(kit, alpha, calls, 64);
        scripted_finish(kit, calls, 64);
        CHECK_EQUAL(scripted_count(calls, 64, ENODEV), 64);
        CHECK_EQUAL(alpha->loads, 1);
        /* nothing is remembered */
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), 0);
        CHECK_EQUAL(alpha->loads, 2);
}

static void test_errnos(struct scripted *kit) {
        /* EEXIST: the init's own, as of acpi-cpufreq. 524, ENOTSUPP: the kernel's, and in no header */
        static const int errors[] = { EEXIST, ENOEXEC, EBUSY, EKEYREJECTED, ENOMEM, ENOENT, EPERM, ENOSYS, 524 };

        for (unsigned int i = 0; i < SCRIPTED_COUNT(errors); i++) {
                struct scripted_module *alpha = scripted_module(kit, "alpha");
                struct scripted_call *calls = scripted_calls(kit, 3, scripted_call_of(alpha));

                scripted_set_result(alpha, errors[i]);
                start_held(kit, alpha, calls, 3, 0);
                release(kit, alpha, calls, 3);
                scripted_finish(kit, calls, 3);
                CHECK_EQUAL(scripted_count(calls, 3, errors[i]), 3);
                CHECK_EQUAL(alpha->loads, i + 1);
        }
}

static void test_threads(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, 64, scripted_call_with(alpha, "from=threads", 0));

        start_held(kit, alpha, calls, 64, 16);
        for (unsigned int i = 0; i < 64; i++)
                CHECK(calls[i].thread == 0 || calls[i].thread != calls[i].process);
        release(kit, alpha, calls, 64);
        scripted_finish(kit, calls, 64);
        CHECK_EQUAL(scripted_count(calls, 64, 0), 64);
        CHECK_EQUAL(alpha->loads, 1);
        CHECK_EQUAL(strcmp(alpha->record[0].params, "from=threads"), 0);
}

static void test_many(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, 2048, scripted_call_of(alpha));

        scripted_set_result(alpha, ENXIO);
        start_held(kit, alpha, calls, 2048, 32);
        release(kit, alpha, calls, 2048);
        scripted_finish(kit, calls, 2048);
        CHECK_EQUAL(scripted_count(calls, 2048, ENXIO), 2048);
        CHECK_EQUAL(alpha->loads, 1);
}

#define OVERFLOW 16U

/* What does not fit into the journal is left to the kernel, and no more than that. */
static void test_more_than_slots(struct scripted *kit) {
        const unsigned int count = NOTIFY_SLOTS + OVERFLOW;
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, count, scripted_call_of(alpha)), *late;

        scripted_set_result(alpha, ENXIO);
        start_held(kit, alpha, calls, count, 64);
        scripted_settle(kit, calls, count);
        CHECK_EQUAL(scripted_count(calls, count, kit->bare[0]), OVERFLOW);
        /* the slots of callers that have died are used again; they are looked for once a second */
        CHECK_EQUAL(kill(calls->process, SIGKILL), 0);
        scripted_sleep_ms(1500);
        late = scripted_calls(kit, 8, scripted_call_of(alpha));
        scripted_start(kit, late, 8, 0);
        release(kit, alpha, late, 8);
        scripted_finish(kit, calls, count);
        scripted_finish(kit, late, 8);
        CHECK_EQUAL(scripted_count(late, 8, ENXIO), 8);
        CHECK(scripted_count(calls, count, ENXIO) >= NOTIFY_SLOTS - 64);
        CHECK_EQUAL(alpha->loads, 1);
}

static void after_more_than_slots(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "no-slot"), OVERFLOW);
}

static void on_signal(int number) {
        (void)number;
}

static void take_signals(void) {
        const struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

        CHECK_EQUAL(sigaction(SIGUSR1, &action, NULL), 0);
}

/* A signal waits for the answer, or makes the caller ask again: neither loads twice. */
static void test_signals(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call like = scripted_call_of(alpha), *calls;

        like.prepare = take_signals;
        calls = scripted_calls(kit, 16, like);
        start_held(kit, alpha, calls, 16, 0);
        scripted_settle(kit, calls, 16);
        for (unsigned int i = 0; i < 16; i++)
                CHECK_EQUAL(kill(calls[i].process, SIGUSR1), 0);
        release(kit, alpha, calls, 16);
        scripted_finish(kit, calls, 16);
        CHECK_EQUAL(scripted_count(calls, 16, 0), 16);
        CHECK_EQUAL(alpha->loads, 1);
}

/* Same name, another file, other parameters or flags in flight */

#define RIVALS 4U
#define OF_EACH 4U

struct rivals {
        struct scripted_call *calls[RIVALS];
        char other_file[SCRIPTED_PATH_MAX];
};

/* A group of callers for each rival, one after the other; all wait for the first one's load, which is held. */
static void start_rivals(struct scripted *kit, struct scripted_module *module, struct rivals *rivals) {
        struct scripted_call like[RIVALS] = {
                scripted_call_of(module),
                scripted_call_with(module, "x=1", 0),
                scripted_call_with(module, "", 1),
                scripted_call_with(module, "x=1", 1),
        };

        for (unsigned int i = 0; i < RIVALS; i++) {
                rivals->calls[i] = scripted_calls(kit, OF_EACH, like[i]);
                if (i == 0)
                        start_held(kit, module, rivals->calls[i], OF_EACH, 0);
                else
                        scripted_start(kit, rivals->calls[i], OF_EACH, 0);
                scripted_settle(kit, rivals->calls[i], OF_EACH);
        }
}

static void finish_rivals(struct scripted *kit, struct rivals *rivals) {
        for (unsigned int i = 0; i < RIVALS; i++)
                scripted_finish(kit, rivals->calls[i], OF_EACH);
}

static void test_rivals_success(struct scripted *kit) {
        struct scripted_module *dash = scripted_module(kit, "with-dash");
        struct rivals rivals;

        start_rivals(kit, dash, &rivals);
        scripted_release(dash);
        finish_rivals(kit, &rivals);
        CHECK_EQUAL(scripted_count(rivals.calls[0], OF_EACH, 0), OF_EACH);
        for (unsigned int i = 1; i < RIVALS; i++)
                CHECK_EQUAL(scripted_count(rivals.calls[i], OF_EACH, EEXIST), OF_EACH);
        CHECK_EQUAL(dash->loads, 1);
}

static void after_rivals_success(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "with_dash", "joined"), OF_EACH - 1);
        CHECK_EQUAL(scripted_module_number(report, "with_dash", "behind"), (RIVALS - 1) * OF_EACH);
}

/* Each has a turn, in the order in which they came, and its own result. */
static void test_rivals_failure(struct scripted *kit) {
        static const int results[RIVALS] = { ENODEV, ENOEXEC, EBUSY, EINVAL };
        static const char *const params[RIVALS] = { "", "x=1", "", "x=1" };
        static const int flags[RIVALS] = { 0, 0, 1, 1 };
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct rivals rivals;

        scripted_set_results(alpha, results, RIVALS);
        alpha->delay_ms = 20;
        start_rivals(kit, alpha, &rivals);
        scripted_release(alpha);
        finish_rivals(kit, &rivals);
        CHECK_EQUAL(alpha->loads, RIVALS);
        CHECK(!alpha->overlapped);
        for (unsigned int i = 0; i < RIVALS; i++) {
                CHECK_EQUAL(scripted_count(rivals.calls[i], OF_EACH, results[i]), OF_EACH);
                CHECK_EQUAL(strcmp(alpha->record[i].params, params[i]), 0);
                CHECK_EQUAL(alpha->record[i].flags, flags[i]);
        }
}

/* The first one that succeeds ends it for those behind it. */
static void test_rivals_failure_then_success(struct scripted *kit) {
        static const int results[] = { ENODEV, 0 };
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct rivals rivals;

        scripted_set_results(alpha, results, 2);
        start_rivals(kit, alpha, &rivals);
        scripted_release(alpha);
        finish_rivals(kit, &rivals);
        CHECK_EQUAL(alpha->loads, 2);
        CHECK(!alpha->overlapped);
        CHECK_EQUAL(scripted_count(rivals.calls[0], OF_EACH, ENODEV), OF_EACH);
        CHECK_EQUAL(scripted_count(rivals.calls[1], OF_EACH, 0), OF_EACH);
        CHECK_EQUAL(scripted_count(rivals.calls[2], OF_EACH, EEXIST), OF_EACH);
        CHECK_EQUAL(scripted_count(rivals.calls[3], OF_EACH, EEXIST), OF_EACH);
}

/* With no room for another load in the journal, those that are there are still joined. */
static void test_more_than_loads(struct scripted *kit) {
        static char params[JOURNAL_LOADS][16];
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *first = scripted_start_waiting(kit, alpha, 1), *behind, *joiners;

        behind = scripted_calls(kit, JOURNAL_LOADS, scripted_call_of(alpha));
        for (unsigned int i = 0; i < JOURNAL_LOADS; i++) {
                (void)snprintf(params[i], sizeof(params[i]), "x=%u", i);
                behind[i].params = params[i];
        }
        scripted_start(kit, behind, JOURNAL_LOADS, 64);
        scripted_settle(kit, behind, JOURNAL_LOADS);
        CHECK_EQUAL(scripted_count(behind, JOURNAL_LOADS, kit->bare[0]), 1);
        joiners = scripted_start_parked(kit, 4, scripted_call_of(alpha));
        CHECK_EQUAL(scripted_count(joiners, 4, NOT_RETURNED), 4);
        scripted_release(alpha);
        scripted_finish_all(kit, first, 1, 0);
        scripted_finish_all(kit, joiners, 4, 0);
        scripted_finish(kit, behind, JOURNAL_LOADS);
        CHECK_EQUAL(scripted_count(behind, JOURNAL_LOADS, EEXIST), JOURNAL_LOADS - 1);
        CHECK_EQUAL(alpha->loads, 1);
}

static void after_more_than_loads(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "internal"), 1);
        CHECK_EQUAL(scripted_continued(report), 1);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "joined"), 4);
}

/* Another file takes the module's place in the index while the old one is being loaded. */
static void test_replaced_file(struct scripted *kit) {
        static const int results[] = { ENODEV, 0 };
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *old = scripted_calls(kit, 4, scripted_call_of(alpha));
        struct scripted_call *new = scripted_calls(kit, 4, scripted_call_of(alpha));

        scripted_set_results(alpha, results, 2);
        start_held(kit, alpha, old, 4, 0);
        scripted_settle(kit, old, 4);
        CHECK_EQUAL(rename(scripted_file(kit, alpha, "updated"), alpha->path), 0);
        file_times_settle();
        scripted_start(kit, new, 4, 0);
        scripted_settle(kit, new, 4);
        CHECK_EQUAL(alpha->loads, 1);
        scripted_release(alpha);
        scripted_finish(kit, old, 4);
        scripted_finish(kit, new, 4);
        CHECK_EQUAL(scripted_count(old, 4, ENODEV), 4);
        CHECK_EQUAL(scripted_count(new, 4, 0), 4);
        CHECK(!alpha->overlapped);
        CHECK_EQUAL(alpha->loads, 2);
        CHECK_EQUAL(strcmp(alpha->record[0].file, "indexed"), 0);
        CHECK_EQUAL(strcmp(alpha->record[1].file, "updated"), 0);
}

/* Files that the index does not have */

/* A file of the same name as the index's is another one all the same. */
static void test_unnamed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call like = { .path = scripted_file(kit, alpha, "alpha"), .params = "" };
        struct scripted_call *calls = scripted_calls(kit, 16, like);

        start_held(kit, alpha, calls, 16, 0);
        release(kit, alpha, calls, 16);
        scripted_finish(kit, calls, 16);
        CHECK_EQUAL(scripted_count(calls, 16, 0), 16);
        CHECK_EQUAL(alpha->loads, 1);
        /* late duplicates go to the kernel, though the module is live */
        CHECK_EQUAL(scripted_one(kit, like), EEXIST);
        CHECK_EQUAL(scripted_one(kit, like), EEXIST);
        CHECK_EQUAL(alpha->loads, 3);
}

static void after_unnamed(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha.ko", "requests"), 18);
        CHECK_EQUAL(scripted_module_number(report, "alpha.ko", "joined"), 15);
        CHECK_EQUAL(scripted_module_number(report, "alpha.ko", "loads"), 3);
        CHECK_EQUAL(scripted_continued(report), 0);
}

/* No name is taken from a file that the index does not have: which module it is only the kernel knows. */
static void test_unnamed_is_no_rival(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *named = scripted_calls(kit, 1, scripted_call_of(alpha)), *unnamed;

        start_held(kit, alpha, named, 1, 0);
        unnamed = scripted_calls(kit, 1,
                                 (struct scripted_call){ .path = scripted_file(kit, alpha, "unnamed"), .params = "" });
        scripted_start(kit, unnamed, 1, 0);
        scripted_await_begun(alpha, 2);
        CHECK(alpha->overlapped);
        scripted_release(alpha);
        scripted_finish(kit, named, 1);
        scripted_finish(kit, unnamed, 1);
}

/* The module is live */

static void test_live(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, 16, scripted_call_with(alpha, "any=thing", 2));

        scripted_set_state(kit, alpha, "live");
        scripted_perform(kit, calls, 16);
        CHECK_EQUAL(scripted_count(calls, 16, EEXIST), 16);
        /* the kernel sees that it is live before it looks at the parameters */
        CHECK_EQUAL(scripted_one(kit, scripted_call_with(alpha, (const char *)8, 0)), EEXIST);
        CHECK_EQUAL(alpha->loads, 0);
        scripted_remove(kit, alpha);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), 0);
        CHECK_EQUAL(alpha->loads, 1);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), EEXIST);
        CHECK_EQUAL(alpha->loads, 1);
}

/* Loaded by somebody else, or being removed: the kernel has to say what that means. */
static void test_coming_and_going(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        scripted_set_result(alpha, EBUSY);
        scripted_set_state(kit, alpha, "coming");
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), EBUSY);
        scripted_set_state(kit, alpha, "going");
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), EBUSY);
        CHECK_EQUAL(alpha->loads, 2);
        scripted_set_state(kit, alpha, "live");
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), EEXIST);
        CHECK_EQUAL(alpha->loads, 2);
}

/* It went live by other hands while its load failed: the failure is the result all the same. */
static void test_live_meanwhile(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, 4, scripted_call_of(alpha)), *late;

        scripted_set_result(alpha, EEXIST);
        start_held(kit, alpha, calls, 4, 0);
        scripted_settle(kit, calls, 4);
        scripted_set_state(kit, alpha, "live");
        late = scripted_calls(kit, 1, scripted_call_of(alpha));
        scripted_perform(kit, late, 1);
        CHECK_EQUAL(late->error, EEXIST);
        CHECK_EQUAL(alpha->running, 1);
        scripted_release(alpha);
        scripted_finish(kit, calls, 4);
        CHECK_EQUAL(scripted_count(calls, 4, EEXIST), 4);
        CHECK_EQUAL(alpha->loads, 1);
}

/* Distinct modules do not wait for each other */

#define DISTINCT 40U

static struct scripted_call *start_distinct(struct scripted *kit, unsigned int count) {
        struct scripted_call *calls = scripted_calls(kit, count, (struct scripted_call){ .params = "" });

        for (unsigned int i = 0; i < count; i++)
                calls[i].path = scripted_numbered(kit, i)->path;
        scripted_start(kit, calls, count, 0);
        return calls;
}

static void test_parallel(struct scripted *kit) {
        uint64_t began_ns = scripted_now_ns();
        struct scripted_call *calls;

        for (unsigned int i = 0; i < DISTINCT; i++)
                scripted_numbered(kit, i)->delay_ms = 300;
        calls = start_distinct(kit, DISTINCT);
        scripted_finish(kit, calls, DISTINCT);
        CHECK_EQUAL(scripted_count(calls, DISTINCT, 0), DISTINCT);
        /* one after the other they would take twelve seconds */
        CHECK(scripted_now_ns() - began_ns < 4000000000U);
}

/* A fast load comes back while slow ones, asked for before it, are still under way. */
static void test_fast_beside_slow(struct scripted *kit) {
        struct scripted_call *slow;

        for (unsigned int i = 0; i < DISTINCT; i++)
                scripted_numbered(kit, i)->hold = 1;
        slow = start_distinct(kit, DISTINCT);
        for (unsigned int i = 0; i < DISTINCT; i++)
                scripted_await_begun(scripted_numbered(kit, i), 1);
        for (unsigned int i = 0; i < 3; i++)
                CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "beta"))), i == 0 ? 0 : EEXIST);
        for (unsigned int i = 0; i < DISTINCT; i++) {
                CHECK_EQUAL(scripted_numbered(kit, i)->running, 1);
                scripted_release(scripted_numbered(kit, i));
        }
        scripted_finish(kit, slow, DISTINCT);
        CHECK_EQUAL(scripted_count(slow, DISTINCT, 0), DISTINCT);
}

/* With all loaders at work the kernel is asked: no load waits for another module's. */
static void test_more_than_loaders(struct scripted *kit) {
        const unsigned int count = LOADERS_MAX + 12;
        struct scripted_call *calls;
        unsigned int loaded = 0;

        for (unsigned int i = 0; i < count; i++)
                scripted_numbered(kit, i)->hold = 1;
        calls = start_distinct(kit, count);
        scripted_settle(kit, calls, count);
        CHECK_EQUAL(scripted_count(calls, count, kit->bare[0]), 12);
        for (unsigned int i = 0; i < count; i++) {
                scripted_release(scripted_numbered(kit, i));
                loaded += scripted_numbered(kit, i)->loads;
        }
        scripted_finish(kit, calls, count);
        CHECK_EQUAL(scripted_count(calls, count, 0), LOADERS_MAX);
        CHECK_EQUAL(loaded, LOADERS_MAX);
}

static void after_more_than_loaders(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "no-loader"), 12);
}

/* The kernel takes a plain file for compressed, and refuses it, before it sees that the module is live. */
static void test_live_and_misflagged(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        scripted_set_state(kit, alpha, "live");
        (void)scripted_one(kit, scripted_call_with(alpha, "", 4));
        CHECK_EQUAL(alpha->loads, 1);
        CHECK_EQUAL(scripted_one(kit, scripted_call_with(alpha, "", 3)), EEXIST);
        CHECK_EQUAL(alpha->loads, 1);
}

/* What the loader is handed */

static void test_flags(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        scripted_set_result(alpha, ENODEV);
        for (int flags = 0; flags < 8; flags++) {
                CHECK_EQUAL(scripted_one(kit, scripted_call_with(alpha, "", flags)), ENODEV);
                CHECK_EQUAL(alpha->record[flags].flags, flags);
        }
}

static void check_params(struct scripted *kit, const char *params) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        const struct scripted_load *load = &alpha->record[alpha->loads % SCRIPTED_LOADS];
        unsigned int before = alpha->loads;

        CHECK_EQUAL(scripted_one(kit, scripted_call_with(alpha, params, 0)), ENODEV);
        CHECK_EQUAL(alpha->loads, before + 1);
        CHECK_EQUAL(load->params_length, strlen(params));
        CHECK_EQUAL(load->params_hash, scripted_hash(params, strlen(params)));
}

/* A string of `length` bytes whose NUL is the last byte before memory that is not there. */
static const char *string_at_the_edge(size_t length) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        size_t size = (length + 1 + page - 1) / page * page;
        char *memory = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        char *string;

        CHECK(memory != MAP_FAILED);
        CHECK_EQUAL(mprotect(memory + size, page, PROT_NONE), 0);
        string = memory + size - length - 1;
        for (size_t i = 0; i < length; i++)
                string[i] = (char)('a' + i % 23);
        string[length] = '\0';
        return string;
}

static void test_params(struct scripted *kit) {
        static const size_t lengths[] = { 0, 1, 4094, 4095, 4096, 4097, 65535, MODULE_PARAMS_MAX };

        scripted_set_result(scripted_module(kit, "alpha"), ENODEV);
        check_params(kit, "");
        check_params(kit, " blanks  \"and quotes\" 'kept'=\\ \t\n\xc3\xa4\xff");
        for (unsigned int i = 0; i < SCRIPTED_COUNT(lengths); i++)
                check_params(kit, string_at_the_edge(lengths[i]));
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "join_success", .body = test_join_success, .after = after_join_success },
                { .name = "join_failure", .body = test_join_failure },
                { .name = "errnos", .body = test_errnos, .after = scripted_after_no_continue },
                { .name = "threads", .body = test_threads },
                { .name = "many", .body = test_many },
                { .name = "more_than_slots",
                  .body = test_more_than_slots,
                  .prepare = scripted_prepare_bare,
                  .after = after_more_than_slots,
                  .limit_s = 60,
                  .counts_inexactly = true },
                { .name = "signals", .body = test_signals },
                { .name = "rivals_success", .body = test_rivals_success, .after = after_rivals_success },
                { .name = "rivals_failure", .body = test_rivals_failure },
                { .name = "rivals_failure_then_success", .body = test_rivals_failure_then_success },
                { .name = "more_than_loads",
                  .prepare = scripted_prepare_bare,
                  .body = test_more_than_loads,
                  .after = after_more_than_loads },
                { .name = "replaced_file", .body = test_replaced_file },
                { .name = "unnamed", .body = test_unnamed, .after = after_unnamed },
                { .name = "unnamed_is_no_rival", .body = test_unnamed_is_no_rival },
                { .name = "live", .body = test_live },
                { .name = "coming_and_going", .body = test_coming_and_going },
                { .name = "live_meanwhile", .body = test_live_meanwhile },
                { .name = "parallel", .body = test_parallel },
                { .name = "fast_beside_slow", .body = test_fast_beside_slow },
                { .name = "more_than_loaders",
                  .body = test_more_than_loaders,
                  .prepare = scripted_prepare_bare,
                  .after = after_more_than_loaders },
                { .name = "live_and_misflagged", .body = test_live_and_misflagged },
                { .name = "flags", .body = test_flags },
                { .name = "params", .body = test_params, .after = scripted_after_no_continue },
        };

        return scripted_main(argc, argv, tests, SCRIPTED_COUNT(tests));
}
