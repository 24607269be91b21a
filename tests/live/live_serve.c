/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Trees that the daemon serves, and what becomes of them when it dies, or refuses them. */

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fdpass.h"
#include "journal.h"
#include "modgate/attach.h"
#include "modgate/handoff.h"
#include "scripted.h"
#include "util/fd.h"

#define SERVES "serves this tree"

/* Several trees */

static void second_calls_alpha(struct scripted *kit) {
        struct scripted_call *calls = &kit->call[8];

        scripted_start(kit, calls, 8, 0);
        scripted_finish(kit, calls, 8);
}

static void check_two_trees(struct scripted *kit, int error) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls, *second;
        struct json_object *report;

        scripted_set_result(alpha, error);
        calls = scripted_start_waiting(kit, alpha, 8);
        second = scripted_calls(kit, 8, scripted_call_of(alpha));
        scripted_start_second(kit);
        scripted_await_log(kit, SERVES, 2);
        scripted_settle(kit, second, 8);
        scripted_release(alpha);
        scripted_finish_all(kit, calls, 8, error);
        scripted_await_end(kit->second);
        CHECK_EQUAL(scripted_count(second, 8, error), 8);
        CHECK_EQUAL(alpha->loads, 1);
        while (!(report = json_object_from_file(kit->second_report)) ||
               !json_object_get_boolean(json_object_object_get(report, "ended"))) {
                (void)json_object_put(report);
                scripted_sleep_ms(10);
        }
        CHECK_EQUAL(scripted_module_number(report, "alpha", "joined"), 8);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 0);
        CHECK_EQUAL(scripted_number(report, "totals", "answered"), 8);
        (void)json_object_put(report);
}

static void test_two_trees(struct scripted *kit) {
        check_two_trees(kit, 0);
}

static void test_two_trees_failure(struct scripted *kit) {
        check_two_trees(kit, ENODEV);
}

static void after_two_trees(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "requests"), 8);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 1);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "joined"), 7);
        CHECK_EQUAL(scripted_continued(report), 0);
        CHECK_EQUAL(scripted_number(report, "totals", "supervisor_starts"), 1);
}

/* The keeper waits until the daemon has counted the load of a tree that ended meanwhile. */
static void test_end_during_load(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, 4, scripted_call_of(alpha));

        alpha->delay_ms = 500;
        scripted_start(kit, calls, 4, 0);
        scripted_await_begun(alpha, 1);
        scripted_kill(calls, 4);
        scripted_finish(kit, calls, 4);
}

static void after_end_during_load(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 1);
}

/* But not for ever. */
static void test_end_during_long_load(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, 4, scripted_call_of(alpha));

        alpha->delay_ms = 14000;
        scripted_start(kit, calls, 4, 0);
        scripted_await_begun(alpha, 1);
        scripted_kill(calls, 4);
        scripted_finish(kit, calls, 4);
}

/* The daemon's supervisor has no room for another tree: it gives it back, and that tree's calls are left to the kernel.
 */
static void test_no_room(struct scripted *kit) {
        struct rlimit before, none = { .rlim_cur = 3 };
        pid_t supervisor = scripted_process(kit, "modgate-superv", 0);

        /* it has all that it needs to begin */
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "gamma"))), 0);
        /* the second tree's are the ones from the eighth on */
        (void)scripted_calls(kit, 8 - kit->call_count, (struct scripted_call){ 0 });
        (void)scripted_calls(kit, 8, scripted_call_of(scripted_module(kit, "alpha")));
        CHECK_EQUAL(prlimit(supervisor, RLIMIT_NOFILE, NULL, &before), 0);
        none.rlim_max = before.rlim_max;
        CHECK_EQUAL(prlimit(supervisor, RLIMIT_NOFILE, &none, NULL), 0);
        scripted_start_second(kit);
        scripted_await_end(kit->second);
        CHECK_EQUAL(scripted_count(&kit->call[8], 8, kit->bare[0]), 8);
        CHECK_EQUAL(prlimit(supervisor, RLIMIT_NOFILE, &before, NULL), 0);
        CHECK_EQUAL(scripted_process(kit, "modgate-superv", 0), supervisor);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "beta"))), 0);
}

/* The end of the daemon */

/* The daemon's socket is held by somebody else from then on. */
static void start_with_held_socket(struct scripted *kit) {
        scripted_await_log(kit, SERVES, 1);
        scripted_hold_socket(kit, true);
        scripted_stop_daemon(kit);
        scripted_start_daemon(kit);
        scripted_await_log(kit, SERVES, 2);
}

/* Its loader dies with it, in the middle of a load that goes on for ever. */
static void kill_daemon_loading(struct scripted *kit, struct scripted_module *module) {
        scripted_kill_daemon(kit);
        module->running = 0;
        scripted_release(module);
}

/* What waits is answered by the next daemon, which loads anew. */
static void test_killed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        struct scripted_call *calls, *behind, *others;

        start_with_held_socket(kit);
        scripted_set_result(beta, ENODEV);
        calls = scripted_start_waiting(kit, alpha, 64);
        behind = scripted_start_parked(kit, 4, scripted_call_with(alpha, "x=1", 0));
        scripted_kill_daemon(kit);
        alpha->running = 0;
        others = scripted_calls(kit, 8, scripted_call_of(beta));
        scripted_start(kit, others, 8, 0);
        scripted_start_daemon(kit);
        scripted_await_begun(alpha, 2);
        scripted_settle(kit, calls, 68);
        scripted_release(alpha);
        scripted_finish_all(kit, calls, 64, 0);
        scripted_finish_all(kit, behind, 4, EEXIST);
        scripted_finish_all(kit, others, 8, ENODEV);
        CHECK_EQUAL(alpha->loads, 2);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), EEXIST);
        scripted_await_log(kit, SERVES, 3);
}

static void after_killed(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_continued(report), 0);
        CHECK_EQUAL(scripted_number(report, "totals", "bypassed"), 0);
        CHECK(scripted_number(report, "totals", "recovered") >= 68);
}

/* No other daemon comes: everything is left to the kernel, those that wait included, until one does. */
static void check_left_alone(struct scripted *kit, unsigned int served_before) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        struct scripted_call *calls = scripted_start_waiting(kit, alpha, 16);

        kill_daemon_loading(kit, alpha);
        scripted_finish_all(kit, calls, 16, kit->bare[0]);
        CHECK_EQUAL(alpha->loads, 1);
        for (unsigned int i = 0; i < 8; i++)
                CHECK_EQUAL(scripted_one(kit, scripted_call_of(beta)), kit->bare[0]);
        CHECK_EQUAL(beta->loads, 0);
        CHECK_EQUAL(scripted_log_lines(kit, "left to the kernel until there is one"), 1);
        scripted_start_daemon(kit);
        scripted_await_log(kit, SERVES, served_before + 1);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(beta)), 0);
        CHECK_EQUAL(beta->loads, 1);
}

static void test_absent(struct scripted *kit) {
        check_left_alone(kit, 1);
}

/* The socket is there, and nobody at it. */
static void test_silent(struct scripted *kit) {
        start_with_held_socket(kit);
        check_left_alone(kit, 2);
}

static void after_left_alone(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "bypass"), 24);
        CHECK_EQUAL(scripted_continued(report), 24);
        CHECK_EQUAL(scripted_number(report, "totals", "bypassed"), 0);
}

/* Its keeper alone dies: its supervisor ends too, before the tree is taken back. */
static void test_daemons_keeper_killed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_start_waiting(kit, alpha, 16);
        struct scripted_call *behind = scripted_start_parked(kit, 4, scripted_call_with(alpha, "x=1", 0));
        pid_t supervisor = scripted_process(kit, "modgate-superv", 0);

        CHECK_EQUAL(kill(kit->daemon, SIGKILL), 0);
        scripted_await_end(supervisor);
        CHECK_EQUAL(scripted_log_lines(kit, "its supervisor ends too"), 1);
        scripted_release(alpha);
        scripted_await_ended(alpha, 1);
        scripted_start_daemon(kit);
        /* the load went on without anybody to hear of it: that is seen of its module */
        scripted_finish_all(kit, calls, 16, 0);
        scripted_finish_all(kit, behind, 4, EEXIST);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), EEXIST);
        CHECK_EQUAL(alpha->loads, 1);
}

/* A keeper that does not move is none that has let go: nobody else receives. */
static void test_supervisor_stopped(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, 4, scripted_call_of(alpha));
        pid_t supervisor;

        /* with that, it has the tree */
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "beta"))), 0);
        supervisor = scripted_stop(kit, "modgate-superv");
        scripted_start(kit, calls, 4, 0);
        CHECK_EQUAL(kill(kit->daemon, SIGKILL), 0);
        scripted_await_end(kit->daemon);
        scripted_sleep_ms(2000);
        CHECK_EQUAL(scripted_count(calls, 4, NOT_RETURNED), 4);
        CHECK_EQUAL(scripted_log_lines(kit, "any more; waiting"), 0);
        CHECK_EQUAL(kill(supervisor, SIGKILL), 0);
        scripted_start_daemon(kit);
        scripted_finish(kit, calls, 4);
        CHECK_EQUAL(scripted_count(calls, 4, 0) + scripted_count(calls, 4, EEXIST), 4);
        CHECK_EQUAL(alpha->loads, 1);
}

/* Its supervisor alone: the keeper starts another one, which has the tree, and the load that is under way. */
static void test_supervisor_killed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        struct scripted_call *calls;

        scripted_set_result(alpha, ENODEV);
        calls = scripted_start_waiting(kit, alpha, 64);
        for (unsigned int i = 0; i < 3; i++)
                (void)scripted_replace_supervisor(kit);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(beta)), 0);
        scripted_release(alpha);
        scripted_finish_all(kit, calls, 64, ENODEV);
        CHECK_EQUAL(alpha->loads, 1);
}

static void after_supervisor_killed(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_continued(report), 0);
        /* one that was killed at once has not had the tree */
        CHECK(scripted_number(report, "totals", "supervisor_starts") >= 2);
}

static void test_supervisor_hangs(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, 16, scripted_call_of(alpha));

        (void)scripted_stop(kit, "modgate-superv");
        scripted_perform(kit, calls, 16);
        CHECK_EQUAL(scripted_count(calls, 16, 0) + scripted_count(calls, 16, EEXIST), 16);
        CHECK_EQUAL(alpha->loads, 1);
        CHECK_EQUAL(scripted_log_lines(kit, "the supervisor hangs"), 1);
}

/* One that cannot be kept alive ends the daemon. */
static void test_supervisor_dies_too_often(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_start_waiting(kit, alpha, 8);

        for (unsigned int i = 0; i < 4; i++)
                (void)scripted_replace_supervisor(kit);
        CHECK_EQUAL(kill(scripted_await_process(kit, "modgate-superv"), SIGKILL), 0);
        scripted_finish_all(kit, calls, 8, kit->bare[0]);
        scripted_await_end(kit->daemon);
        CHECK_EQUAL(scripted_log_lines(kit, "the daemon ends"), 1);
        scripted_release(alpha);
}

/* With SIGTERM it ends when no load is under way. What comes meanwhile waits for the next one. */
static void test_stopped(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        struct scripted_call *calls, *others;
        pid_t daemon;

        start_with_held_socket(kit);
        calls = scripted_start_waiting(kit, alpha, 16);
        daemon = kit->daemon;
        CHECK_EQUAL(kill(daemon, SIGTERM), 0);
        scripted_sleep_ms(200);
        others = scripted_calls(kit, 4, scripted_call_of(beta));
        scripted_start(kit, others, 4, 0);
        scripted_sleep_ms(200);
        CHECK_EQUAL(beta->loads, 0);
        scripted_release(alpha);
        scripted_finish_all(kit, calls, 16, 0);
        scripted_await_end(daemon);
        scripted_start_daemon(kit);
        scripted_finish(kit, others, 4);
        CHECK_EQUAL(scripted_count(others, 4, 0) + scripted_count(others, 4, EEXIST), 4);
        CHECK_EQUAL(alpha->loads, 1);
        CHECK_EQUAL(beta->loads, 1);
}

/* It does not wait for ever. */
static void test_stopped_during_long_load(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_start_waiting(kit, alpha, 4);

        scripted_stop_daemon(kit);
        scripted_start_daemon(kit);
        scripted_await_log(kit, SERVES, 2);
        scripted_settle(kit, calls, 4);
        CHECK_EQUAL(scripted_count(calls, 4, NOT_RETURNED), 4);
        alpha->running = 0;
        scripted_release(alpha);
        scripted_finish(kit, calls, 4);
        CHECK_EQUAL(scripted_count(calls, 4, 0) + scripted_count(calls, 4, EEXIST), 4);
}

static void after_no_continue(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_continued(report), 0);
}

/* A stream of calls, and a daemon that is killed and stopped again and again */

#define ENDS 12U
#define WAVE 8U

static void test_stream(struct scripted *kit) {
        struct scripted_call *waves[ENDS][2];

        printf("# MODGATE_SEED=%" PRIu64 "\n", kit->seed);
        start_with_held_socket(kit);
        for (unsigned int i = 0; i < ENDS; i++) {
                struct scripted_module *failing = scripted_numbered(kit, i), *good = scripted_numbered(kit, 100 + i);

                scripted_set_result(failing, ENODEV);
                failing->delay_ms = good->delay_ms = (unsigned int)scripted_random(kit, 20);
                waves[i][0] = scripted_calls(kit, WAVE, scripted_call_of(failing));
                waves[i][1] = scripted_calls(kit, WAVE, scripted_call_of(good));
                scripted_start(kit, waves[i][0], WAVE, 0);
                scripted_start(kit, waves[i][1], WAVE, 0);
                scripted_sleep_ms((unsigned int)scripted_random(kit, 60));
                if (scripted_random(kit, 2) == 0)
                        scripted_kill_daemon(kit);
                else
                        scripted_stop_daemon(kit);
                scripted_start_daemon(kit);
                scripted_sleep_ms(1000);
        }
        for (unsigned int i = 0; i < ENDS; i++) {
                scripted_finish_all(kit, waves[i][0], WAVE, ENODEV);
                scripted_finish(kit, waves[i][1], WAVE);
                CHECK_EQUAL(scripted_count(waves[i][1], WAVE, 0) + scripted_count(waves[i][1], WAVE, EEXIST), WAVE);
        }
}

/* The tree's keeper */

/* The daemon serves on, since nobody else would; and says so. */
static void test_trees_keeper_killed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_start_waiting(kit, alpha, 8);
        pid_t keeper = scripted_process(kit, "modgate-keeper", 0);

        CHECK_EQUAL(kill(keeper, SIGKILL), 0);
        scripted_await_end(keeper);
        scripted_await_log(kit, "the keeper of a tree is gone", 1);
        scripted_release(alpha);
        scripted_finish_all(kit, calls, 8, 0);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), EEXIST);
        /* nobody has its listener after that */
        scripted_stop_daemon(kit);
        scripted_await_log(kit, "the keepers of 1 of its trees are gone", 1);
}

/* No daemon at the start: the tree has a supervisor of its own. */
static void test_without(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_start_waiting(kit, alpha, 8);

        CHECK_EQUAL(scripted_log_lines(kit, "has a supervisor of its own"), 1);
        CHECK(scripted_process(kit, "modgate-superv", 0) > 0);
        scripted_release(alpha);
        scripted_finish_all(kit, calls, 8, 0);
        CHECK_EQUAL(alpha->loads, 1);
}

/* Refused */

static int connect_to(const struct scripted *kit) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", kit->socket);
        CHECK(fd >= 0);
        CHECK_EQUAL(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        return fd;
}

static struct attach_message message_of(enum attach_type type) {
        return (struct attach_message){ .type = type,
                                        .version = JOURNAL_VERSION,
                                        .journal_size = sizeof(struct journal) };
}

static void say(int socket, const struct attach_message *message, size_t length, int fd) {
        CHECK_EQUAL(fdpass_send_dup_fd(socket, message, length, NULL, 0, fd, 0), 0);
}

static void say_type(int socket, enum attach_type type, int fd) {
        const struct attach_message message = message_of(type);

        say(socket, &message, sizeof(message), fd);
}

static struct attach_message hear(int socket) {
        struct attach_message message;

        CHECK_EQUAL(fdpass_receive(socket, &message, sizeof(message), NULL, 0), sizeof(message));
        return message;
}

static void hear_refusal(int socket, enum attach_refusal refusal) {
        struct attach_message message = hear(socket);

        CHECK_EQUAL(message.type, ATTACH_REFUSED);
        CHECK_EQUAL(message.refusal, refusal);
        CHECK(fdpass_receive(socket, &message, sizeof(message), NULL, 0) <= 0);
        (void)close(socket);
}

static int be_welcome(const struct scripted *kit) {
        int socket = connect_to(kit);

        say_type(socket, ATTACH_HELLO, -1);
        CHECK_EQUAL(hear(socket).type, ATTACH_WELCOME);
        return socket;
}

static int memfd_of(size_t size, int seals) {
        int fd = memfd_create("no-journal", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        CHECK(fd >= 0);
        CHECK_EQUAL(ftruncate(fd, (off_t)size), 0);
        CHECK_EQUAL(fcntl(fd, F_ADD_SEALS, seals), 0);
        return fd;
}

static void check_no_journal(const struct scripted *kit, int fd) {
        int socket = be_welcome(kit);

        say_type(socket, ATTACH_JOURNAL, fd);
        if (fd >= 0)
                (void)close(fd);
        hear_refusal(socket, ATTACH_NONSENSE);
}

static void check_versions(const struct scripted *kit) {
        struct attach_message hello = message_of(ATTACH_HELLO);
        int socket = connect_to(kit);

        hello.version++;
        say(socket, &hello, sizeof(hello), -1);
        hear_refusal(socket, ATTACH_VERSION);
        hello = message_of(ATTACH_HELLO);
        hello.journal_size -= 8;
        socket = connect_to(kit);
        say(socket, &hello, sizeof(hello), -1);
        hear_refusal(socket, ATTACH_VERSION);
}

static void check_nonsense(const struct scripted *kit) {
        const struct attach_message hello = message_of(ATTACH_HELLO);
        int socket = connect_to(kit);

        say(socket, &hello, sizeof(hello) - 1, -1);
        hear_refusal(socket, ATTACH_NONSENSE);
        socket = connect_to(kit);
        say_type(socket, ATTACH_LISTENER, -1);
        hear_refusal(socket, ATTACH_NONSENSE);
        socket = be_welcome(kit);
        say_type(socket, ATTACH_HELLO, -1);
        hear_refusal(socket, ATTACH_NONSENSE);
        socket = be_welcome(kit);
        say_type(socket, ATTACH_LISTENER, 0);
        hear_refusal(socket, ATTACH_NONSENSE);
}

/* A journal that is one, and a listener that is none. */
static void check_no_listener(const struct scripted *kit) {
        struct journal *journal;
        int socket = be_welcome(kit), fd;

        CHECK_EQUAL(journal_create(&journal, &fd), 0);
        CHECK_EQUAL(munmap(journal, sizeof(*journal)), 0);
        say_type(socket, ATTACH_JOURNAL, fd);
        say_type(socket, ATTACH_LISTENER, fd);
        (void)close(fd);
        hear_refusal(socket, ATTACH_NONSENSE);
}

static int be_somebody_else(void *context) {
        CHECK_EQUAL(setuid(65534), 0);
        hear_refusal(connect_to(context), ATTACH_NOT_ROOT);
        return 0;
}

/* Whatever comes, the tree is served on. */
static void test_strangers(struct scripted *kit) {
        const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

        CHECK_EQUAL(chmod(kit->directory, 0755), 0);
        CHECK_EQUAL(chmod(kit->socket, 0666), 0);
        for (unsigned int i = 0; i < 3; i++) {
                CHECK_EQUAL(scripted_own(kit, be_somebody_else, kit), 0);
                check_versions(kit);
                check_nonsense(kit);
                check_no_journal(kit, -1);
                check_no_journal(kit, memfd_of(sizeof(struct journal) - 1, seals));
                check_no_journal(kit, memfd_of(sizeof(struct journal), F_SEAL_GROW));
                check_no_journal(kit, open(kit->report, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
                check_no_listener(kit);
                (void)close(connect_to(kit));
                (void)close(be_welcome(kit));
        }
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "alpha"))), 0);
        CHECK_EQUAL(scripted_log_lines(kit, "waiting for another one"), 0);
}

/* More than there are places for: those are refused, and there is room again once others have gone. */
static void test_too_many(struct scripted *kit) {
        int sockets[TREES_MAX];

        for (unsigned int i = 0; i < TREES_MAX - 1; i++)
                sockets[i] = be_welcome(kit);
        hear_refusal(connect_to(kit), ATTACH_FULL);
        for (unsigned int i = 0; i < TREES_MAX - 1; i++)
                (void)close(sockets[i]);
        scripted_sleep_ms(100);
        (void)close(be_welcome(kit));
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "alpha"))), 0);
}

/* A daemon of another version: who waits is left to the kernel at once. */
static void refuse_one(int listener) {
        struct attach_message refusal = message_of(ATTACH_REFUSED);
        struct pollfd poller = { .fd = listener, .events = POLLIN };
        int socket;

        CHECK_EQUAL(poll(&poller, 1, -1), 1);
        socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        CHECK(socket >= 0);
        CHECK_EQUAL(hear(socket).type, ATTACH_HELLO);
        refusal.version = JOURNAL_VERSION + 1;
        refusal.refusal = ATTACH_VERSION;
        say(socket, &refusal, sizeof(refusal), -1);
        (void)close(socket);
}

static void test_version_refused(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_start_waiting(kit, alpha, 8);
        int listener = scripted_listen(kit);

        kill_daemon_loading(kit, alpha);
        refuse_one(listener);
        scripted_finish_all(kit, calls, 8, kit->bare[0]);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), kit->bare[0]);
        /* it is asked again, and told once */
        refuse_one(listener);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), kit->bare[0]);
        CHECK_EQUAL(scripted_log_lines(kit, "its journal is of version 2"), 1);
        (void)close(listener);
        scripted_start_daemon(kit);
        scripted_await_log(kit, SERVES, 2);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), 0);
}

/* Daemons that come, and end before they have answered: nobody waits for ever because there is always another one. */
static void test_fruitless(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_start_waiting(kit, alpha, 8);
        unsigned int ends;

        for (ends = 0; scripted_count(calls, 8, NOT_RETURNED) == 8; ends++) {
                scripted_await_log(kit, SERVES, ends + 1);
                scripted_kill_daemon(kit);
                alpha->running = 0;
                scripted_start_daemon(kit);
                scripted_sleep_ms(300);
        }
        CHECK(ends >= 5);
        scripted_finish_all(kit, calls, 8, kit->bare[0]);
        scripted_release(alpha);
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "two_trees",
                  .body = test_two_trees,
                  .second = second_calls_alpha,
                  .after = after_two_trees,
                  .attached = true },
                { .name = "two_trees_failure",
                  .body = test_two_trees_failure,
                  .second = second_calls_alpha,
                  .after = after_two_trees,
                  .attached = true },
                { .name = "end_during_load",
                  .body = test_end_during_load,
                  .after = after_end_during_load,
                  .attached = true },
                { .name = "end_during_long_load",
                  .body = test_end_during_long_load,
                  .attached = true,
                  .counts_inexactly = true },
                { .name = "no_room",
                  .prepare = scripted_prepare_bare,
                  .body = test_no_room,
                  .second = second_calls_alpha,
                  .after = after_no_continue,
                  .attached = true },
                { .name = "killed",
                  .body = test_killed,
                  .after = after_killed,
                  .attached = true,
                  .counts_inexactly = true },
                { .name = "absent",
                  .prepare = scripted_prepare_bare,
                  .body = test_absent,
                  .after = after_left_alone,
                  .attached = true,
                  .counts_inexactly = true },
                { .name = "silent",
                  .prepare = scripted_prepare_bare,
                  .body = test_silent,
                  .after = after_left_alone,
                  .attached = true,
                  .counts_inexactly = true },
                { .name = "daemons_keeper_killed",
                  .body = test_daemons_keeper_killed,
                  .after = after_no_continue,
                  .attached = true,
                  .counts_inexactly = true },
                { .name = "supervisor_stopped",
                  .body = test_supervisor_stopped,
                  .after = after_no_continue,
                  .attached = true,
                  .counts_inexactly = true },
                { .name = "supervisor_killed",
                  .body = test_supervisor_killed,
                  .after = after_supervisor_killed,
                  .attached = true,
                  .counts_inexactly = true },
                { .name = "supervisor_hangs",
                  .body = test_supervisor_hangs,
                  .after = after_no_continue,
                  .attached = true,
                  .counts_inexactly = true },
                { .name = "supervisor_dies_too_often",
                  .prepare = scripted_prepare_bare,
                  .body = test_supervisor_dies_too_often,
                  .attached = true,
                  .counts_inexactly = true },
                { .name = "stopped", .body = test_stopped, .after = after_no_continue, .attached = true },
                { .name = "stopped_during_long_load",
                  .body = test_stopped_during_long_load,
                  .after = after_no_continue,
                  .attached = true,
                  .counts_inexactly = true },
                { .name = "stream",
                  .body = test_stream,
                  .after = after_no_continue,
                  .attached = true,
                  .limit_s = 120,
                  .counts_inexactly = true },
                { .name = "fruitless",
                  .prepare = scripted_prepare_bare,
                  .body = test_fruitless,
                  .attached = true,
                  .counts_inexactly = true },
                { .name = "trees_keeper_killed",
                  .body = test_trees_keeper_killed,
                  .attached = true,
                  .loses_keeper = true },
                { .name = "without",
                  .body = test_without,
                  .after = after_no_continue,
                  .attached = true,
                  .without_daemon = true },
                { .name = "strangers", .body = test_strangers, .after = after_no_continue, .attached = true },
                { .name = "too_many", .body = test_too_many, .after = after_no_continue, .attached = true },
                { .name = "version_refused",
                  .prepare = scripted_prepare_bare,
                  .body = test_version_refused,
                  .attached = true,
                  .counts_inexactly = true },
        };

        return scripted_main_at_once(argc, argv, tests, SCRIPTED_COUNT(tests));
}
