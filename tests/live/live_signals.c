/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Callers that are interrupted. With WAIT_KILLABLE_RECV a signal waits for the answer. Without it the call ends, and
 * comes back: it joins its load again, or gets the result that it missed.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "scripted_images.h"

/* What the callers' handlers share with the test. */
static struct {
        atomic_uint entered;
        atomic_uint hold; /* handlers do not return */
} * shared;

static void handle_signal(int number) {
        (void)number;
        atomic_fetch_add(&shared->entered, 1);
        while (shared->hold)
                (void)usleep(1000);
}

static void install_handler(int flags) {
        struct sigaction action = { .sa_handler = handle_signal, .sa_flags = flags };

        CHECK_EQUAL(sigaction(SIGUSR1, &action, NULL), 0);
        CHECK_EQUAL(sigaction(SIGALRM, &action, NULL), 0);
}

static void restarting(void) {
        install_handler(SA_RESTART);
}

static void returning_eintr(void) {
        install_handler(0);
}

static void restarting_all_the_time(void) {
        struct itimerval every = { .it_interval.tv_usec = 5000, .it_value.tv_usec = 5000 };

        restarting();
        CHECK_EQUAL(setitimer(ITIMER_REAL, &every, NULL), 0);
}

static void share(void) {
        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(shared != MAP_FAILED);
}

static struct scripted_call interrupted_call(const struct scripted_module *module, void (*prepare)(void)) {
        struct scripted_call call = scripted_call_of(module);

        call.prepare = prepare;
        call.retries = true;
        return call;
}

/* The call of a module whose load is held, known to the supervisor. */
static struct scripted_call *start_held(struct scripted *kit, struct scripted_module *module,
                                        struct scripted_call like) {
        struct scripted_call *call = scripted_calls(kit, 1, like);

        module->hold = 1;
        scripted_start(kit, call, 1, 0);
        scripted_await_begun(module, 1);
        scripted_settle(kit, call, 1);
        return call;
}

static void interrupt(const struct scripted_call *call, unsigned int handlers) {
        CHECK_EQUAL(kill(call->process, SIGUSR1), 0);
        while (shared->entered < handlers)
                scripted_sleep_ms(1);
}

/* The load ends while its caller is in a handler. */
static void miss(struct scripted *kit, struct scripted_module *module, const struct scripted_call *call) {
        shared->hold = 1;
        interrupt(call, shared->entered + 1);
        scripted_release(module);
        scripted_await_ended(module, 1);
        scripted_settle(kit, call, 1);
}

static void come_back(struct scripted *kit, struct scripted_call *call) {
        shared->hold = 0;
        scripted_finish(kit, call, 1);
}

/* A signal that waits */

static void check_waits(struct scripted *kit, void (*prepare)(void), int result) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *call;

        share();
        scripted_set_result(alpha, result);
        call = start_held(kit, alpha, interrupted_call(alpha, prepare));
        CHECK_EQUAL(kill(call->process, SIGUSR1), 0);
        scripted_settle(kit, call, 1);
        CHECK_EQUAL(shared->entered, 0);
        scripted_release(alpha);
        scripted_finish(kit, call, 1);
        CHECK_EQUAL(call->error, result);
        CHECK_EQUAL(call->interruptions, 0);
        CHECK_EQUAL(shared->entered, 1);
        CHECK_EQUAL(alpha->loads, 1);
}

static void test_waits_restarting(struct scripted *kit) {
        check_waits(kit, restarting, 0);
}

static void test_waits_returning(struct scripted *kit) {
        check_waits(kit, returning_eintr, ENOEXEC);
}

/* Back before the load has ended */

static void check_joins_again(struct scripted *kit, void (*prepare)(void), int result) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *call, like = interrupted_call(alpha, prepare);

        share();
        scripted_set_result(alpha, result);
        like.twice = true;
        call = start_held(kit, alpha, like);
        for (unsigned int i = 1; i <= 5; i++) {
                interrupt(call, i);
                scripted_settle(kit, call, 1);
        }
        CHECK_EQUAL(alpha->loads, 1);
        scripted_release(alpha);
        scripted_finish(kit, call, 1);
        CHECK_EQUAL(call->error, result);
        CHECK_EQUAL(call->interruptions, prepare == restarting ? 0 : 5);
        /* nothing was missed: what is asked for again is asked for again */
        CHECK_EQUAL(call->second_error, result == 0 ? EEXIST : result);
        CHECK_EQUAL(alpha->loads, result == 0 ? 1 : 2);
}

static void test_restarted_joins_success(struct scripted *kit) {
        check_joins_again(kit, restarting, 0);
}

static void test_restarted_joins_failure(struct scripted *kit) {
        check_joins_again(kit, restarting, ENODEV);
}

static void test_repeated_joins_success(struct scripted *kit) {
        check_joins_again(kit, returning_eintr, 0);
}

static void test_repeated_joins_failure(struct scripted *kit) {
        check_joins_again(kit, returning_eintr, EINVAL);
}

/* The module shows as live already, but its load has not returned: it is still this call's own load. */
static void test_joins_while_live(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *call;

        share();
        call = start_held(kit, alpha, interrupted_call(alpha, restarting));
        scripted_set_state(kit, alpha, "live");
        interrupt(call, 1);
        scripted_settle(kit, call, 1);
        CHECK_EQUAL(call->error, NOT_RETURNED);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), EEXIST);
        scripted_release(alpha);
        scripted_finish(kit, call, 1);
        CHECK_EQUAL(call->error, 0);
        CHECK_EQUAL(alpha->loads, 1);
}

/* Back after the load has ended */

static void check_missed(struct scripted *kit, struct scripted_call like, int result) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *call;

        share();
        scripted_set_result(alpha, result);
        like.twice = true; /* it is given once */
        call = start_held(kit, alpha, like);
        miss(kit, alpha, call);
        /* others are not given it */
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), result == 0 ? EEXIST : result);
        come_back(kit, call);
        CHECK_EQUAL(call->error, result);
        CHECK_EQUAL(call->second_error, result == 0 ? EEXIST : result);
        CHECK_EQUAL(alpha->loads, result == 0 ? 1 : 3);
}

static void test_restarted_missed_success(struct scripted *kit) {
        check_missed(kit, interrupted_call(scripted_module(kit, "alpha"), restarting), 0);
}

static void test_restarted_missed_failure(struct scripted *kit) {
        check_missed(kit, interrupted_call(scripted_module(kit, "alpha"), restarting), EBUSY);
}

static void test_repeated_missed_success(struct scripted *kit) {
        check_missed(kit, interrupted_call(scripted_module(kit, "alpha"), returning_eintr), 0);
}

static void test_repeated_missed_failure(struct scripted *kit) {
        check_missed(kit, interrupted_call(scripted_module(kit, "alpha"), returning_eintr), ENODEV);
}

static struct scripted_call image_call(struct scripted *kit) {
        struct scripted_call call = scripted_image_call(kit, scripted_module(kit, "alpha"), "image");

        call.prepare = restarting;
        return call;
}

static void test_missed_image_success(struct scripted *kit) {
        check_missed(kit, image_call(kit), 0);
}

static void test_missed_image_failure(struct scripted *kit) {
        check_missed(kit, image_call(kit), EOPNOTSUPP);
}

/* The image was changed in the meantime: that is not what has failed. */
static void test_missed_image_changed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *call, like = image_call(kit);
        const char *other = scripted_image(kit, alpha, "other");
        char bytes[65536];
        ssize_t length;
        int fd;

        share();
        scripted_set_result(alpha, ENODEV);
        call = start_held(kit, alpha, like);
        miss(kit, alpha, call);
        fd = open(other, O_RDONLY | O_CLOEXEC);
        length = read(fd, bytes, sizeof(bytes));
        CHECK(length > 0);
        (void)close(fd);
        fd = open(like.path, O_WRONLY | O_CLOEXEC); /* what the caller has mapped */
        CHECK_EQUAL(write(fd, bytes, (size_t)length), length);
        (void)close(fd);
        scripted_set_result(alpha, EINVAL);
        come_back(kit, call);
        CHECK_EQUAL(call->error, EINVAL);
        CHECK_EQUAL(alpha->loads, 2);
        CHECK_EQUAL(strncmp(alpha->record[1].file, "other", 5), 0);
}

/* What is still being read of the caller's first call is of no interest any more, and no harm to the second one. */
static void test_missed_while_compared(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call like = scripted_image_call(kit, alpha, "two"), *leader, *joiner;
        pid_t keeper, inspector, spare;

        share();
        like.prepare = restarting;
        scripted_set_results(alpha, (const int[]){ ENODEV, EINVAL }, 2);
        leader = scripted_start_held(kit, alpha, 1, scripted_image_call(kit, alpha, "one"));
        joiner = scripted_start_parked(kit, 1, like);
        /* one inspector, that does not get on */
        while ((spare = scripted_process(kit, "modgate-inspect", 1)) != 0)
                (void)kill(spare, SIGKILL);
        keeper = scripted_stop(kit, "modgate-keeper");
        inspector = scripted_stop(kit, "modgate-inspect");
        scripted_release(alpha);
        scripted_finish_all(kit, leader, 1, ENODEV);
        interrupt(joiner, 1);
        scripted_settle(kit, joiner, 1);
        CHECK_EQUAL(kill(inspector, SIGCONT), 0);
        CHECK_EQUAL(kill(keeper, SIGCONT), 0);
        scripted_finish_all(kit, joiner, 1, EINVAL);
        CHECK_EQUAL(alpha->loads, 2);
}

/* The inspector of a call that nobody waits for any more comes back late: that is no harm to the call that does. */
static void test_missed_while_inspected(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *leader, *joiner;
        pid_t inspector, spare;

        share();
        leader = scripted_start_waiting(kit, alpha, 1);
        while ((spare = scripted_process(kit, "modgate-inspect", 1)) != 0)
                (void)kill(spare, SIGKILL);
        inspector = scripted_stop(kit, "modgate-inspect");
        joiner = scripted_start_parked(kit, 1, interrupted_call(alpha, restarting));
        interrupt(joiner, 1);
        /* the second call is inspected by another one, and joins */
        while (scripted_process(kit, "modgate-inspect", 1) == 0)
                scripted_sleep_ms(1);
        scripted_settle(kit, joiner, 1);
        CHECK_EQUAL(kill(inspector, SIGCONT), 0);
        scripted_settle(kit, joiner, 1);
        scripted_release(alpha);
        scripted_finish_all(kit, leader, 1, 0);
        scripted_finish_all(kit, joiner, 1, 0);
        CHECK_EQUAL(alpha->loads, 1);
}

/* A joiner, whose leader has its answer long since. */
static void test_missed_by_joiner(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *leader, *joiner;

        share();
        leader = scripted_start_waiting(kit, alpha, 1);
        joiner = scripted_calls(kit, 1, interrupted_call(alpha, restarting));
        scripted_start(kit, joiner, 1, 0);
        scripted_settle(kit, joiner, 1);
        miss(kit, alpha, joiner);
        scripted_finish(kit, leader, 1);
        come_back(kit, joiner);
        CHECK_EQUAL(leader->error, 0);
        CHECK_EQUAL(joiner->error, 0);
        CHECK_EQUAL(alpha->loads, 1);
}

/* A file that has no name: only the kernel can say that its module is there. */
static void test_missed_without_name(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *call, like = interrupted_call(alpha, restarting);

        share();
        like.path = scripted_file(kit, alpha, "copy");
        like.twice = true;
        alpha->errors[0] = 0;
        alpha->errors[1] = EEXIST;
        alpha->results = 2;
        call = start_held(kit, alpha, like);
        miss(kit, alpha, call);
        come_back(kit, call);
        CHECK_EQUAL(call->error, 0);
        CHECK_EQUAL(call->second_error, EEXIST);
        CHECK_EQUAL(alpha->loads, 3);
}

/* Its module was removed again: then the call that comes back loads it, as it would have without us. */
static void test_missed_and_removed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *call;

        share();
        call = start_held(kit, alpha, interrupted_call(alpha, restarting));
        miss(kit, alpha, call);
        scripted_remove(kit, alpha);
        come_back(kit, call);
        CHECK_EQUAL(call->error, 0);
        CHECK_EQUAL(alpha->loads, 2);
}

static void test_missed_for_long(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *call;

        share();
        alpha->errors[0] = EBUSY;
        alpha->errors[1] = 0;
        alpha->results = 2;
        call = start_held(kit, alpha, interrupted_call(alpha, returning_eintr));
        miss(kit, alpha, call);
        scripted_sleep_ms(5100);
        come_back(kit, call);
        CHECK_EQUAL(call->error, 0);
        CHECK_EQUAL(alpha->loads, 2);
}

/* The file behind the same descriptor is another one by now. */
static void test_missed_with_other_file(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *call, like = interrupted_call(alpha, restarting);
        char path[SCRIPTED_PATH_MAX];
        int fd;

        share();
        (void)snprintf(path, sizeof(path), "%s", scripted_file(kit, alpha, "copy"));
        like.path = path;
        alpha->errors[0] = ENODEV;
        alpha->errors[1] = EINVAL;
        alpha->results = 2;
        call = start_held(kit, alpha, like);
        miss(kit, alpha, call);
        fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        CHECK_EQUAL(write(fd, " ", 1), 1);
        (void)close(fd);
        come_back(kit, call);
        CHECK_EQUAL(call->error, EINVAL);
        CHECK_EQUAL(alpha->loads, 2);
}

/* The supervisor died in between: its successor knows who waited for the load. */
static void check_missed_across_restart(struct scripted *kit, int result) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *call;

        share();
        scripted_set_result(alpha, result);
        call = start_held(kit, alpha, interrupted_call(alpha, restarting));
        shared->hold = 1;
        interrupt(call, 1);
        (void)scripted_replace_supervisor(kit);
        scripted_settle(kit, call, 1);
        scripted_release(alpha);
        scripted_await_ended(alpha, 1);
        scripted_settle(kit, call, 1);
        come_back(kit, call);
        CHECK_EQUAL(call->error, result);
        CHECK_EQUAL(alpha->loads, 1);
}

static void test_missed_success_across_restart(struct scripted *kit) {
        check_missed_across_restart(kit, 0);
}

static void test_missed_failure_across_restart(struct scripted *kit) {
        check_missed_across_restart(kit, ENODEV);
}

/* Interrupted all the time */

#define CALLERS 32U

static struct scripted_call *storm(struct scripted *kit, int result) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, CALLERS, interrupted_call(alpha, restarting_all_the_time));

        share();
        scripted_set_result(alpha, result);
        alpha->delay_ms = 500;
        scripted_perform(kit, calls, CALLERS);
        CHECK(shared->entered >= CALLERS);
        return calls;
}

/* Who comes when the module is live already has never waited, and hears that. */
static void test_storm_success(struct scripted *kit) {
        struct scripted_call *calls = storm(kit, 0);
        unsigned int succeeded = scripted_count(calls, CALLERS, 0);

        CHECK(succeeded >= 1);
        CHECK_EQUAL(scripted_count(calls, CALLERS, EEXIST), CALLERS - succeeded);
        CHECK_EQUAL(scripted_module(kit, "alpha")->loads, 1);
}

static void test_storm_failure(struct scripted *kit) {
        CHECK_EQUAL(scripted_count(storm(kit, ENODEV), CALLERS, ENODEV), CALLERS);
}

/*
 * Without WAIT_KILLABLE_RECV the kernel may take an answer and interrupt the call nevertheless (src/missed.c). What
 * comes back then is a new call to anybody: nobody hangs, and all hear what is true of the module.
 */
static void test_interruptible_storm_success(struct scripted *kit) {
        struct scripted_call *calls = storm(kit, 0);

        CHECK_EQUAL(scripted_count(calls, CALLERS, 0) + scripted_count(calls, CALLERS, EEXIST), CALLERS);
        CHECK_EQUAL(scripted_module(kit, "alpha")->loads, 1);
}

#define INTERRUPTIBLE .interruptible = true, .after = scripted_after_no_continue

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "a restarting signal waits",
                  .body = test_waits_restarting,
                  .after = scripted_after_no_continue },
                { .name = "a signal without SA_RESTART waits", .body = test_waits_returning },
                { .name = "restarted, joins: success", .body = test_restarted_joins_success, INTERRUPTIBLE },
                { .name = "restarted, joins: failure", .body = test_restarted_joins_failure, INTERRUPTIBLE },
                { .name = "repeated, joins: success", .body = test_repeated_joins_success, INTERRUPTIBLE },
                { .name = "repeated, joins: failure", .body = test_repeated_joins_failure, INTERRUPTIBLE },
                { .name = "joins while the module is live", .body = test_joins_while_live, INTERRUPTIBLE },
                { .name = "restarted, missed: success", .body = test_restarted_missed_success, INTERRUPTIBLE },
                { .name = "restarted, missed: failure", .body = test_restarted_missed_failure, INTERRUPTIBLE },
                { .name = "repeated, missed: success", .body = test_repeated_missed_success, INTERRUPTIBLE },
                { .name = "repeated, missed: failure", .body = test_repeated_missed_failure, INTERRUPTIBLE },
                { .name = "missed, image: success", .body = test_missed_image_success, INTERRUPTIBLE },
                { .name = "missed, image: failure", .body = test_missed_image_failure, INTERRUPTIBLE },
                { .name = "missed, image changed", .body = test_missed_image_changed, INTERRUPTIBLE },
                { .name = "missed while compared", .body = test_missed_while_compared, INTERRUPTIBLE },
                { .name = "missed while inspected", .body = test_missed_while_inspected, INTERRUPTIBLE },
                { .name = "missed by a joiner", .body = test_missed_by_joiner, INTERRUPTIBLE },
                { .name = "missed, file without a name", .body = test_missed_without_name, INTERRUPTIBLE },
                { .name = "missed and removed", .body = test_missed_and_removed, INTERRUPTIBLE },
                { .name = "missed for long", .body = test_missed_for_long, INTERRUPTIBLE },
                { .name = "missed, another file", .body = test_missed_with_other_file, INTERRUPTIBLE },
                { .name = "missed across a restart: success",
                  .body = test_missed_success_across_restart,
                  .counts_inexactly = true,
                  INTERRUPTIBLE },
                { .name = "missed across a restart: failure",
                  .body = test_missed_failure_across_restart,
                  .counts_inexactly = true,
                  INTERRUPTIBLE },
                { .name = "storm: success",
                  .body = test_storm_success,
                  .limit_s = 60,
                  .after = scripted_after_no_continue },
                { .name = "storm: failure",
                  .body = test_storm_failure,
                  .limit_s = 60,
                  .after = scripted_after_no_continue },
                { .name = "interruptible storm: success",
                  .body = test_interruptible_storm_success,
                  .limit_s = 60,
                  INTERRUPTIBLE },
                { .name = "interruptible storm: failure", .body = test_storm_failure, .limit_s = 60, INTERRUPTIBLE },
        };

        return scripted_main(argc, argv, tests, SCRIPTED_COUNT(tests));
}
