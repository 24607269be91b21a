/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/private.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fdpass.h"
#include "journal.h"
#include "util/fd.h"

/* While something happens the supervisor is looked at every second, else rarely: the machine may want to sleep. */
#define TICK_BUSY_MS 1000
#define TICK_IDLE_MS 5000

/*
 * So many ticks after the end of the tree its last loads are no longer waited for. They may wait in the kernel for
 * ever, for a module that crashed in its init.
 */
#define ENDED_TICKS_MAX 5U

int keeper_tell(int socket, enum handoff_type type, int fd) {
        struct handoff_message message = { .type = type };

        return fdpass_send_dup_fd(socket, &message, sizeof(message), NULL, 0, fd, MSG_DONTWAIT);
}

bool keeper_tree_has_ended(const struct keeper *keeper) {
        struct pollfd look = { .fd = keeper->listener };

        return keeper->listener >= 0 && poll(&look, 1, 0) > 0 && (look.revents & (POLLHUP | POLLERR));
}

static void reap(struct keeper *keeper) {
        pid_t pid;

        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
                if (pid == keeper->supervisor)
                        supervisor_replace(keeper);
                else if (pid == keeper->reporter)
                        keeper->reporter = 0;
                else if (pid == keeper->tracer)
                        tracing_lose(keeper);
                else
                        worker_reaped(keeper, pid);
        }
}

static void handle_signals(struct keeper *keeper) {
        struct signalfd_siginfo info;
        bool asked = false, stopped = false;

        while (read(keeper->signals, &info, sizeof(info)) > 0) {
                asked = asked || info.ssi_signo == SIGUSR1;
                stopped = stopped || info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT;
        }
        reap(keeper);
        if (stopped)
                serve_stop(keeper);
        if (asked)
                bypass_end(keeper);
}

static void handle_message(struct keeper *keeper, const struct handoff_message *message) {
        if (message->type == HANDOFF_SUPERVISOR_READY) {
                supervisor_is_ready(keeper);
                return;
        }
        if (message->type == HANDOFF_TREE_LEFT) {
                serve_tree_left(keeper, message->index);
                return;
        }
        if (message->kind >= WORKER_KINDS ||
            message->index >= (message->kind == WORKER_LOADER ? LOADERS_MAX : INSPECTORS_MAX))
                return;
        if (message->type == HANDOFF_WORKER_WANTED)
                worker_provide(keeper, message->kind, message->index);
        else if (message->type == HANDOFF_WORKER_DROPPED)
                worker_drop(keeper, message->kind, message->index);
}

static void handle_supervisor(struct keeper *keeper) {
        while (keeper->supervisor_socket >= 0) {
                struct handoff_message message;
                ssize_t length =
                        fdpass_receive(keeper->supervisor_socket, &message, sizeof(message), NULL, MSG_DONTWAIT);

                if (length == -EAGAIN || length == -EINTR)
                        return;
                if (length == (ssize_t)sizeof(message))
                        handle_message(keeper, &message);
                else
                        supervisor_lose(keeper);
        }
}

static void take_listener(struct keeper *keeper, int *fd) {
        /* a launcher that waits no longer has given it to somebody else: two receivers would wait for each other */
        if (keeper_tell(keeper->launcher, HANDOFF_LISTENER_TAKEN, -1) < 0) {
                keeper->ended = true;
                return;
        }
        keeper->listener = fd_steal(fd);
        if (keeper->attach.state != ATTACH_NOT)
                attach_take_listener(keeper);
        else if (keeper->bypass)
                bypass_take_over(keeper);
        else
                supervisor_equip(keeper);
}

static void handle_launcher(struct keeper *keeper) {
        struct handoff_message message;
        _cleanup_fd_ int fd = -1;
        ssize_t length = fdpass_receive(keeper->launcher, &message, sizeof(message), &fd, MSG_DONTWAIT);

        if (length == -EAGAIN || length == -EINTR)
                return;
        if (length <= 0) {
                /* it became COMMAND, or gave up before the filter was on */
                keeper->launcher_gone = true;
                if (keeper->listener < 0)
                        keeper->ended = true;
        } else if (length == (ssize_t)sizeof(message) && message.type == HANDOFF_LISTENER && fd >= 0 &&
                   keeper->listener < 0) {
                take_listener(keeper, &fd);
        }
}

static void tick(struct keeper *keeper) {
        supervisor_check(keeper);
        report_refresh(keeper);
        if (keeper->ended && keeper->ended_ticks++ >= ENDED_TICKS_MAX)
                loaders_kill(keeper);
}

static bool is_busy(const struct keeper *keeper) {
        return keeper->ended || keeper->still_ticks > 0 || keeper->heartbeat != keeper_heartbeat(keeper) ||
               report_is_due(keeper);
}

/* Not as long as somebody else receives: it may still have loads in flight when the tree has ended. */
static bool is_over(const struct keeper *keeper) {
        if (!keeper->ended)
                return false;
        if (keeper->attach.state == ATTACH_LENT)
                return keeper->ended_ticks > ENDED_TICKS_MAX;
        return keeper->supervisor == 0 || (keeper->listener < 0 && !keeper->serving);
}

static int shorter(int a_ms, int b_ms) {
        return b_ms < 0 || (a_ms >= 0 && a_ms < b_ms) ? a_ms : b_ms;
}

void keeper_loop(struct keeper *keeper) {
        uint64_t tick_ns = journal_now_ns();

        while (!is_over(keeper)) {
                uint64_t period_ns = (is_busy(keeper) ? TICK_BUSY_MS : TICK_IDLE_MS) * 1000000ULL;
                uint64_t now = journal_now_ns();
                struct pollfd pollers[] = {
                        { .fd = keeper->signals, .events = POLLIN },
                        { .fd = keeper->launcher_gone ? -1 : keeper->launcher, .events = POLLIN },
                        { .fd = keeper->supervisor_socket, .events = POLLIN },
                        { .fd = keeper->ended ? -1 : keeper->listener, .events = keeper->bypass ? POLLIN : 0 },
                        { .fd = keeper->serving ? keeper->serving->loop.epoll_fd : keeper->attach.connection,
                          .events = POLLIN },
                };
                /* poll(2) takes no more than there may be descriptors, used or not */
                nfds_t count = pollers[4].fd >= 0 ? 5 : 4;
                int timeout_ms = now - tick_ns >= period_ns ? 0 : (int)((period_ns - (now - tick_ns)) / 1000000U + 1);

                timeout_ms = shorter(timeout_ms, attach_timeout_ms(keeper));
                timeout_ms = shorter(timeout_ms, serve_timeout_ms(keeper));
                if (poll(pollers, count, timeout_ms) < 0)
                        continue;
                if (keeper->bypass && (pollers[3].revents & POLLIN))
                        bypass_receive(&keeper->notify);
                if (pollers[3].revents & (POLLHUP | POLLERR))
                        keeper->ended = true;
                if (pollers[2].revents)
                        handle_supervisor(keeper);
                if (pollers[1].revents)
                        handle_launcher(keeper);
                if (pollers[0].revents)
                        handle_signals(keeper);
                if (pollers[4].revents && keeper->serving)
                        serve_handle(keeper);
                else if (pollers[4].revents)
                        attach_handle(keeper);
                attach_check(keeper);
                serve_check(keeper);
                if (journal_now_ns() - tick_ns >= period_ns) {
                        tick_ns = journal_now_ns();
                        tick(keeper);
                }
        }
}
