/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The daemon of a test, and a second tree. A process under the filter can start neither, and the body is under it: a
 * process beside it does, the spawner, when it is asked to. It stands for systemd, too, which holds the daemon's
 * socket.
 */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fdpass.h"
#include "keeper/keeper.h"
#include "launch/filter.h"
#include "scripted_private.h"
#include "util/fd.h"

enum order {
        START_DAEMON = 1,
        START_TREE,
        LISTEN,
        NOT_LISTEN,
};

struct spawner {
        struct scripted *kit;
        const struct scripted_test *test;
        int socket;   /* to whoever gives orders */
        int listener; /* the daemon's socket, or -1 */
};

int scripted_listen(struct scripted *kit) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        CHECK(fd >= 0);
        CHECK((size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s", kit->socket) <
              sizeof(address.sun_path));
        (void)unlink(kit->socket);
        CHECK_EQUAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        CHECK_EQUAL(listen(fd, 8), 0);
        return fd;
}

/* The daemon has no descriptor of the test's but its socket and stderr. */
static _Noreturn void run_daemon(const struct spawner *spawner) {
        const struct keeper_config config = {
                .kernel = scripted_interface(),
                .failure_ttl_ns = spawner->test->failure_ttl_s * 1000000000ULL,
                .trace = scripted_is_traced(spawner->test) ? spawner->kit->trace : NULL,
        };

        (void)dup3(spawner->listener, 3, O_CLOEXEC);
        (void)close_range(4, ~0U, 0);
        _exit(keeper_serve_consume_fd(&config, 3) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* The case is the daemon's parent, as its reaper. */
static void start_daemon(struct spawner *spawner) {
        bool listens = spawner->listener >= 0;
        int status;
        pid_t pid;

        if (!listens)
                spawner->listener = scripted_listen(spawner->kit);
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
                pid = fork();
                if (pid == 0)
                        run_daemon(spawner);
                /* the kit is shared by all */
                spawner->kit->daemon = pid;
                _exit(pid < 0);
        }
        CHECK_EQUAL(waitpid(pid, &status, 0), pid);
        CHECK_EQUAL(status, 0);
        if (!listens)
                spawner->listener = fd_close(spawner->listener);
}

static _Noreturn void run_second_body(const struct spawner *spawner) {
        const struct keeper_config config = {
                .kernel = scripted_interface(),
                .report = spawner->kit->second_report,
                .attach = spawner->kit->socket,
        };
        struct sock_filter *program;
        unsigned short count;
        int socket, listener;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        CHECK_EQUAL(keeper_start(&config, &socket), 0);
        CHECK_EQUAL(filter_build(&program, &count), 0);
        CHECK_EQUAL(filter_install(program, count, &listener), 0);
        CHECK_EQUAL(keeper_give_listener_dup_fd(socket, listener), 0);
        (void)close(listener);
        free(program);
        spawner->test->second(spawner->kit);
        (void)fflush(stdout);
        _exit(EXIT_SUCCESS);
}

static void obey(struct spawner *spawner, enum order order) {
        pid_t pid;

        if (order == START_DAEMON)
                start_daemon(spawner);
        if (order == LISTEN && spawner->listener < 0)
                spawner->listener = scripted_listen(spawner->kit);
        if (order == NOT_LISTEN)
                spawner->listener = fd_close(spawner->listener);
        if (order != START_TREE)
                return;
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
                run_second_body(spawner);
        spawner->kit->second = pid;
}

/* It ends with the case, or when nobody is left who could order anything. */
static _Noreturn void run_spawner(struct spawner *spawner) {
        enum order order;
        int status;

        while (recv(spawner->socket, &order, sizeof(order), 0) == sizeof(order)) {
                obey(spawner, order);
                CHECK_EQUAL(send(spawner->socket, &order, sizeof(order), 0), sizeof(order));
        }
        while (wait(&status) > 0)
                CHECK_EQUAL(status, 0);
        _exit(EXIT_SUCCESS);
}

static void order(struct scripted *kit, enum order what) {
        CHECK_EQUAL(send(kit->spawner, &what, sizeof(what), 0), sizeof(what));
        CHECK_EQUAL(recv(kit->spawner, &what, sizeof(what), 0), sizeof(what));
}

void scripted_start_spawner(struct scripted *kit, const struct scripted_test *test) {
        struct spawner spawner = { .kit = kit, .test = test, .listener = -1 };
        pid_t pid;

        CHECK_EQUAL(fdpass_pair(&kit->spawner, &spawner.socket), 0);
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
                (void)close(kit->spawner);
                run_spawner(&spawner);
        }
        kit->spawner_pid = pid;
        (void)close(spawner.socket);
        if (!test->without_daemon)
                scripted_start_daemon(kit);
}

void scripted_end_spawner(struct scripted *kit) {
        int status;

        (void)close(kit->spawner);
        CHECK_EQUAL(waitpid(kit->spawner_pid, &status, 0), kit->spawner_pid);
        CHECK_EQUAL(status, 0);
        if (kit->daemon > 0)
                (void)kill(kit->daemon, SIGTERM);
}

void scripted_start_daemon(struct scripted *kit) {
        order(kit, START_DAEMON);
}

void scripted_hold_socket(struct scripted *kit, bool hold) {
        order(kit, hold ? LISTEN : NOT_LISTEN);
}

void scripted_start_second(struct scripted *kit) {
        order(kit, START_TREE);
}

static bool has_ended(pid_t pid) {
        struct scripted_status status;

        return !scripted_status(pid, &status) || status.state == 'Z';
}

void scripted_await_end(pid_t pid) {
        while (!has_ended(pid))
                scripted_sleep_ms(1);
}

static bool stands_still(pid_t pid) {
        struct scripted_status status;

        return !scripted_status(pid, &status) || status.state == 'T' || status.state == 'Z';
}

struct unit {
        pid_t main;
        pid_t pids[64];
        unsigned int count;
};

static bool add_member(const struct scripted_status *status, void *context) {
        struct unit *unit = context;

        if (status->pid == unit->main || status->parent == unit->main)
                unit->pids[unit->count++] = status->pid;
        return unit->count == SCRIPTED_COUNT(unit->pids);
}

void scripted_kill_daemon(struct scripted *kit) {
        struct unit unit = { .main = kit->daemon };

        (void)scripted_each_process(add_member, &unit);
        CHECK(unit.count > 0);
        /* at the same time: none sees another one die, and acts upon it */
        for (unsigned int i = 0; i < unit.count; i++)
                (void)kill(unit.pids[i], SIGSTOP);
        for (unsigned int i = 0; i < unit.count; i++)
                while (!stands_still(unit.pids[i]))
                        scripted_sleep_ms(1);
        for (unsigned int i = 0; i < unit.count; i++)
                (void)kill(unit.pids[i], SIGKILL);
        for (unsigned int i = 0; i < unit.count; i++)
                scripted_await_end(unit.pids[i]);
        kit->daemon = 0;
}

void scripted_stop_daemon(struct scripted *kit) {
        CHECK_EQUAL(kill(kit->daemon, SIGTERM), 0);
        scripted_await_end(kit->daemon);
        kit->daemon = 0;
}

void scripted_await_log(struct scripted *kit, const char *text, unsigned int lines) {
        while (scripted_log_lines(kit, text) < lines)
                scripted_sleep_ms(5);
}
