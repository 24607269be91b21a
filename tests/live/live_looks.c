/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Callers that cannot be looked at: the supervisor dies of it, or hangs, as with a file on an NFS server that does not
 * answer. That caller is left to the kernel, and all others are served. Or a security module forbids it. (Linked with
 * --wrap= for caller_check, caller_open_memory, caller_open_file; and for confinement_enter, since a supervisor that is
 * confined cannot even kill itself.)
 */

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "caller.h"
#include "confinement.h"
#include "scripted.h"

enum effect {
        EFFECT_DEATH,
        EFFECT_HANG,
        EFFECT_DEATH_LATER, /* when its file is opened */
        EFFECT_FORBIDDEN,   /* its memory, as with Yama's ptrace_scope=3 */
};

static struct {
        _Atomic pid_t thread; /* whoever looks at it … */
        enum effect effect;
        atomic_uint looks;
} * poison;

enum continue_reason __real_caller_check(const struct caller_self *self, pid_t tid);
enum continue_reason __wrap_caller_check(const struct caller_self *self, pid_t tid);

enum continue_reason __wrap_caller_check(const struct caller_self *self, pid_t tid) {
        if (tid == poison->thread && (poison->effect == EFFECT_DEATH || poison->effect == EFFECT_HANG)) {
                poison->looks++;
                (void)kill(getpid(), poison->effect == EFFECT_DEATH ? SIGKILL : SIGSTOP);
        }
        return __real_caller_check(self, tid);
}

int __real_caller_open_memory(const struct caller_self *self, pid_t tid);
int __wrap_caller_open_memory(const struct caller_self *self, pid_t tid);

int __wrap_caller_open_memory(const struct caller_self *self, pid_t tid) {
        if (tid == poison->thread && poison->effect == EFFECT_FORBIDDEN)
                return -EACCES;
        return __real_caller_open_memory(self, tid);
}

enum continue_reason __real_caller_open_file(const struct caller_self *self, pid_t tid, int number,
                                             const struct module_file *seen, int *ret_fd);
enum continue_reason __wrap_caller_open_file(const struct caller_self *self, pid_t tid, int number,
                                             const struct module_file *seen, int *ret_fd);

enum continue_reason __wrap_caller_open_file(const struct caller_self *self, pid_t tid, int number,
                                             const struct module_file *seen, int *ret_fd) {
        if (tid == poison->thread && poison->effect == EFFECT_DEATH_LATER) {
                poison->looks++;
                (void)kill(getpid(), SIGKILL);
        }
        return __real_caller_open_file(self, tid, number, seen, ret_fd);
}

int __wrap_confinement_enter(const struct confinement *confinement, enum confinement_role role);

int __wrap_confinement_enter(const struct confinement *confinement, enum confinement_role role) {
        (void)confinement, (void)role;
        return 0;
}

/* Before the keeper is started, which shares it. */
static void prepare(struct scripted *kit) {
        poison = mmap(NULL, sizeof(*poison), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(poison != MAP_FAILED);
        scripted_prepare_bare(kit);
}

static void be_poisonous(void) {
        poison->thread = getpid();
}

static void check_poison(struct scripted *kit, enum effect effect) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        struct scripted_call *poisonous, *others, like = scripted_call_of(alpha);

        poison->effect = effect;
        like.prepare = be_poisonous;
        poisonous = scripted_calls(kit, 1, like);
        others = scripted_calls(kit, 16, scripted_call_of(beta));
        scripted_start(kit, poisonous, 1, 0);
        while (poison->looks == 0)
                scripted_sleep_ms(1);
        scripted_perform(kit, others, 16);
        scripted_finish(kit, poisonous, 1);
        CHECK_EQUAL(poisonous->error, kit->bare[0]);
        CHECK_EQUAL(alpha->loads, 0);
        CHECK_EQUAL(scripted_count(others, 16, 0) + scripted_count(others, 16, EEXIST), 16);
        CHECK_EQUAL(beta->loads, 1);
        CHECK_EQUAL(poison->looks, 2);
        CHECK_EQUAL(scripted_log_lines(kit, "2 supervisors died or hung while they looked at"), 1);
}

static void test_dies(struct scripted *kit) {
        check_poison(kit, EFFECT_DEATH);
}

static void test_dies_later(struct scripted *kit) {
        check_poison(kit, EFFECT_DEATH_LATER);
}

static void test_hangs(struct scripted *kit) {
        check_poison(kit, EFFECT_HANG);
}

static void after(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "not-looked-at"), 1);
        CHECK_EQUAL(scripted_continued(report), 1);
        CHECK_EQUAL(scripted_number(report, "totals", "supervisor_starts"), 3);
}

static void test_forbidden(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call like = scripted_call_of(alpha);

        poison->effect = EFFECT_FORBIDDEN;
        like.prepare = be_poisonous;
        CHECK_EQUAL(scripted_one(kit, like), kit->bare[0]);
        CHECK_EQUAL(alpha->loads, 0);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), 0);
        /* its memory is not needed for this */
        CHECK_EQUAL(scripted_one(kit, like), EEXIST);
}

static void after_forbidden(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "memory-unreadable"), 1);
        CHECK_EQUAL(scripted_continued(report), 1);
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "dies", .body = test_dies, .prepare = prepare, .after = after, .counts_inexactly = true },
                { .name = "dies_later",
                  .body = test_dies_later,
                  .prepare = prepare,
                  .after = after,
                  .counts_inexactly = true },
                { .name = "hangs", .body = test_hangs, .prepare = prepare, .after = after, .counts_inexactly = true },
                { .name = "forbidden", .body = test_forbidden, .prepare = prepare, .after = after_forbidden },
        };

        return scripted_main(argc, argv, tests, SCRIPTED_COUNT(tests));
}
