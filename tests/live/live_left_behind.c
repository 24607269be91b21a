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

#include "fdpass.h"
#include "modgate/handoff.h"
#include "scripted.h"
#include "util/event.h"

/* Shared by all processes. */
struct shared {
        _Atomic pid_t immortal;
        _Atomic bool hangs;
        _Atomic bool lacks_start; /* the next supervisor is not told to start, and killed late for that */
};

static struct shared *shared;

int __real_kill(pid_t pid, int number);
int __wrap_kill(pid_t pid, int number);
int __real_event_dispatch(struct event_loop *loop, int timeout_ms);
int __wrap_event_dispatch(struct event_loop *loop, int timeout_ms);

int __real_fdpass_send_dup_fd(int socket, const void *head, size_t head_size, const void *tail, size_t tail_size,
                              int fd, int flags);
int __wrap_fdpass_send_dup_fd(int socket, const void *head, size_t head_size, const void *tail, size_t tail_size,
                              int fd, int flags);

static bool refused_start; /* in the keeper */

int __wrap_fdpass_send_dup_fd(int socket, const void *head, size_t head_size, const void *tail, size_t tail_size,
                              int fd, int flags) {
        const struct handoff_message *message = head;

        if (shared->lacks_start && head_size == sizeof(*message) && message->type == HANDOFF_START) {
                shared->lacks_start = false;
                refused_start = true;
                return -EAGAIN;
        }
        return __real_fdpass_send_dup_fd(socket, head, head_size, tail, tail_size, fd, flags);
}

int __wrap_kill(pid_t pid, int number) {
        if (refused_start)
                scripted_sleep_ms(200);
        refused_start = false;
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

/* Its load ends while nobody has the tree: those who wait for it have loaded the module, or have joined that. */
static void test_replaced_during_load(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_start_waiting(kit, alpha, 8);
        pid_t supervisor = hang_for_ever(kit);

        scripted_release(alpha);
        scripted_finish_all(kit, calls, 8, 0);
        CHECK_EQUAL(alpha->loads, 1);
        end(supervisor);
}

/* The daemon ends before that is noticed. */
static void test_stopped(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        pid_t supervisor = hang_for_ever(kit);

        scripted_stop_daemon(kit);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), kit->bare[0]);
        end(supervisor);
}

/* One that was not handed all that it needs never begins: it would miss the answers of loaders that it lacks. */
static void test_not_started(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_start_waiting(kit, alpha, 8);

        shared->lacks_start = true;
        CHECK_EQUAL(kill(scripted_process(kit, "modgate-superv", 0), SIGKILL), 0);
        scripted_await_log(kit, "cannot hand the supervisor what it needs", 1);
        scripted_await_log(kit, "the supervisor died", 2);
        scripted_release(alpha);
        scripted_finish_all(kit, calls, 8, 0);
        CHECK_EQUAL(scripted_log_lines(kit, "the keeper is gone"), 0);
        CHECK_EQUAL(alpha->loads, 1);
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "replaced",
                  .prepare = scripted_prepare_bare,
                  .body = test_replaced,
                  .attached = true,
                  .counts_inexactly = true },
                { .name = "replaced_during_load",
                  .body = test_replaced_during_load,
                  .attached = true,
                  .counts_inexactly = true },
                { .name = "stopped",
                  .prepare = scripted_prepare_bare,
                  .body = test_stopped,
                  .attached = true,
                  .counts_inexactly = true },
                { .name = "not_started", .body = test_not_started, .counts_inexactly = true },
        };

        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED)
                return 1;
        return scripted_main(argc, argv, tests, SCRIPTED_COUNT(tests));
}
