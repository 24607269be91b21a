/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A supervisor of the daemon that hangs and cannot be killed, as one that waits for a dead file server. Here it is one
 * that waits for ever, and that modgate's kill(2) does not reach. (One that is stopped would go on with the end of its
 * session.)
 */

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "scripted.h"
#include "util/event.h"

/* Shared by all processes. */
struct shared {
        _Atomic pid_t immortal;
        _Atomic bool hangs;
};

static struct shared *shared;

int __real_kill(pid_t pid, int number);
int __wrap_kill(pid_t pid, int number);
int __real_event_dispatch(struct event_loop *loop, int timeout_ms);
int __wrap_event_dispatch(struct event_loop *loop, int timeout_ms);

int __wrap_kill(pid_t pid, int number) {
        return number == SIGKILL && pid == shared->immortal ? 0 : __real_kill(pid, number);
}

int __wrap_event_dispatch(struct event_loop *loop, int timeout_ms) {
        while (getpid() == shared->immortal) {
                shared->hangs = true;
                (void)poll(NULL, 0, -1);
        }
        return __real_event_dispatch(loop, timeout_ms);
}

/* With the next request, once that is answered. */
static pid_t hang_for_ever(struct scripted *kit) {
        struct scripted_call call = scripted_call_of(scripted_module(kit, "beta"));
        pid_t supervisor = scripted_process(kit, "modgate-superv", 0);

        CHECK_EQUAL(scripted_one(kit, call), 0);
        shared->immortal = supervisor;
        CHECK_EQUAL(scripted_one(kit, call), EEXIST);
        while (!shared->hangs)
                scripted_sleep_ms(1);
        return supervisor;
}

static void end(pid_t supervisor) {
        shared->immortal = 0;
        CHECK_EQUAL(kill(supervisor, SIGKILL), 0);
        scripted_await_end(supervisor);
}

/* There is another one, and the daemon's end is heard all the same. */
static void test_replaced(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, 8, scripted_call_of(alpha));
        pid_t supervisor = hang_for_ever(kit);

        scripted_perform(kit, calls, 8);
        CHECK_EQUAL(scripted_count(calls, 8, 0) + scripted_count(calls, 8, EEXIST), 8);
        CHECK_EQUAL(alpha->loads, 1);
        scripted_stop_daemon(kit);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), kit->bare[0]);
        scripted_start_daemon(kit);
        scripted_await_log(kit, "serves this tree", 3);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), EEXIST);
        end(supervisor);
}

/* The same if the daemon ends before that is noticed. */
static void test_stopped(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        pid_t supervisor = hang_for_ever(kit);

        scripted_stop_daemon(kit);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), kit->bare[0]);
        end(supervisor);
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "replaced",
                  .prepare = scripted_prepare_bare,
                  .body = test_replaced,
                  .attached = true,
                  .counts_inexactly = true },
                { .name = "stopped",
                  .prepare = scripted_prepare_bare,
                  .body = test_stopped,
                  .attached = true,
                  .counts_inexactly = true },
        };

        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED)
                return 1;
        return scripted_main(argc, argv, tests, SCRIPTED_COUNT(tests));
}
