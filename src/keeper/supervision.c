/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/private.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fdpass.h"
#include "journal.h"
#include "step.h"
#include "supervisor.h"
#include "util/child.h"
#include "util/fd.h"
#include "util/log.h"

#define DEATHS_WINDOW_NS (10 * 1000000000ULL)

/* So many ticks in a row with something to do and no heartbeat, and the supervisor hangs. */
#define STILL_TICKS_MAX 5U

int supervisor_start(struct keeper *keeper) {
        _cleanup_fd_ int ours = -1, theirs = -1;
        int room = 1 << 20; /* 128 loaders may have to be handed over at once */
        pid_t pid;
        int r = fdpass_pair(&ours, &theirs);

        if (r < 0)
                return r;
        (void)setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
        pid = child_fork("modgate-superv", (const int[]){ theirs, keeper->trace.fd }, keeper->trace.fd >= 0 ? 2 : 1);
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                struct supervisor_config config = {
                        .kernel = keeper->config.kernel,
                        .confinement = &keeper->confinement,
                        .failure_ttl_ns = keeper->uevents >= 0 ? keeper->config.failure_ttl_ns : 0,
                        .trace_fd = keeper->trace.fd >= 0 ? 4 : -1,
                        .is_daemon = keeper->serving != NULL,
                };

                serve_forget_journals(keeper);
                r = supervisor_run_consume_fd(&config, keeper->journal, 3);
                _exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
        }
        keeper->supervisor = pid;
        keeper->supervisor_socket = fd_steal(&ours);
        keeper->supervisor_ready = false;
        keeper->still_ticks = 0;
        keeper->journal->header.supervisor_starts++;
        return 0;
}

static int hand_over_all(struct keeper *keeper) {
        int r = 0;

        if (keeper->uevents >= 0)
                r = keeper_tell(keeper->supervisor_socket, HANDOFF_UEVENTS, keeper->uevents);
        if (r == 0 && keeper->serving)
                r = serve_equip(keeper);
        else if (r == 0)
                r = keeper_tell(keeper->supervisor_socket, HANDOFF_LISTENER, keeper->listener);
        for (enum worker_kind kind = 0; kind < WORKER_KINDS; kind++)
                for (uint32_t i = 0; r == 0 && i < LOADERS_MAX; i++)
                        if (keeper->workers[kind][i].socket >= 0)
                                r = worker_hand_over(keeper, kind, i);
        STEP(START_DUE);
        return r == 0 ? keeper_tell(keeper->supervisor_socket, HANDOFF_START, -1) : r;
}

/* One that lacks something would miss the answers of loads in flight, or wait for ever: better another one. */
void supervisor_equip(struct keeper *keeper) {
        int r;

        if (!keeper->supervisor_ready || (keeper->listener < 0 && !keeper->serving))
                return;
        r = hand_over_all(keeper);
        if (r < 0) {
                errno = -r;
                log_error("cannot hand the supervisor what it needs: %m");
                supervisor_lose(keeper);
        }
}

int keeper_announce(struct keeper *keeper) {
        int r = 0;

        if (keeper->announced)
                return 0;
        if (keeper->serving)
                serve_ready(keeper);
        else
                r = keeper_tell(keeper->launcher, HANDOFF_KEEPER_READY, -1);
        keeper->announced = r == 0;
        return r;
}

void supervisor_is_ready(struct keeper *keeper) {
        int r = keeper_announce(keeper);

        keeper->supervisor_ready = true;
        if (r < 0) {
                errno = -r;
                log_error("the keeper cannot tell the launcher that it is ready: %m");
                keeper->ended = true;
                return;
        }
        supervisor_equip(keeper);
}

/* The times of its deaths are a ring: is the oldest one of the last DEATHS_MAX recent? */
static bool dies_too_often(struct keeper *keeper) {
        uint64_t now = journal_now_ns();
        uint64_t *oldest = &keeper->deaths_ns[keeper->deaths++ % (DEATHS_MAX - 1)];
        bool too_often = *oldest != 0 && now - *oldest < DEATHS_WINDOW_NS;

        *oldest = now;
        return too_often;
}

/* A daemon that ends gives its trees back to their keepers. */
static void give_up_supervising(struct keeper *keeper) {
        if (!keeper->serving) {
                bypass_begin(keeper);
                return;
        }
        log_error("the supervisor cannot be kept alive: the daemon ends");
        keeper->failed = keeper->ended = true;
}

/* Nothing else receives or answers now. */
void supervisor_replace(struct keeper *keeper) {
        int r;

        keeper->supervisor = 0;
        keeper->supervisor_ready = false;
        keeper->supervisor_socket = fd_close(keeper->supervisor_socket);
        /* they may hold answers to questions that nobody knows any more */
        inspectors_drop(keeper);
        serve_begin_anew(keeper);
        if (!keeper->announced)
                keeper->failed = true;
        if (keeper->failed || keeper_tree_has_ended(keeper))
                keeper->ended = true;
        if (keeper->ended)
                return;
        if (dies_too_often(keeper)) {
                give_up_supervising(keeper);
                return;
        }
        log_warning("the supervisor died; starting another one");
        r = supervisor_start(keeper);
        if (r < 0) {
                errno = -r;
                log_error("cannot fork a supervisor: %m");
                give_up_supervising(keeper);
        }
}

/* A process that cannot even be killed (it waits for a dead file server) is left behind: it will not come back. */
static void supervisor_end_hanging(struct keeper *keeper) {
        bool is_there = true;

        log_error("the supervisor hangs; killing it");
        (void)kill(keeper->supervisor, SIGKILL);
        for (unsigned int i = 0; is_there && i < 100; i++) {
                is_there = waitpid(keeper->supervisor, NULL, WNOHANG) == 0;
                if (is_there)
                        (void)poll(NULL, 0, 10);
        }
        if (is_there)
                serve_leave_behind(keeper);
        supervisor_replace(keeper);
}

/* While any of this holds, the heartbeat of a supervisor that is well moves every second. */
static bool work_waits(const struct keeper *keeper) {
        struct pollfd look = { .fd = keeper->listener, .events = POLLIN };

        if (keeper->serving)
                return keeper->ended || !keeper->supervisor_ready || serve_work_waits(keeper);
        if (keeper->listener < 0)
                return false;
        if (keeper->ended || !keeper->supervisor_ready || keeper->journal->header.in_use > 0)
                return true;
        return poll(&look, 1, 0) > 0 && (look.revents & POLLIN);
}

uint64_t keeper_heartbeat(const struct keeper *keeper) {
        return keeper->journal->header.heartbeat + serve_heartbeat(keeper);
}

void supervisor_check(struct keeper *keeper) {
        uint64_t heartbeat = keeper_heartbeat(keeper);

        if (heartbeat == keeper->heartbeat && keeper->supervisor > 0 && work_waits(keeper))
                keeper->still_ticks++;
        else
                keeper->still_ticks = 0;
        keeper->heartbeat = heartbeat;
        if (keeper->still_ticks >= STILL_TICKS_MAX)
                supervisor_end_hanging(keeper);
}

/* Whoever closes this socket has died, or should: it would get no more workers. */
void supervisor_lose(struct keeper *keeper) {
        /* first: one that hears the end of its socket would take it for ours, and begin with what it has */
        if (!keeper->ended && !keeper_tree_has_ended(keeper) && keeper->supervisor > 0)
                (void)kill(keeper->supervisor, SIGKILL);
        keeper->supervisor_socket = fd_close(keeper->supervisor_socket);
}
