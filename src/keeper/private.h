/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The keeper's parts, and its state.
 *
 *   keeper.c       the loop, and what supervisor and launcher say
 *   start.c        how it becomes a process of its own, and what the launcher says to it
 *   children.c     forks; the workers
 *   supervision.c  the supervisor's life: started, equipped, watched, replaced
 *   bypass.c       answers CONTINUE when there is no supervisor
 *   attach.c       of a tree that the daemon serves: lends the tree to it, and takes it back
 *   serve.c        of the daemon: takes trees from their keepers
 *   reports.c      the process that writes the report
 *   tracing.c      the process that writes the trace
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "confinement.h"
#include "keeper/keeper.h"
#include "modgate/attach.h"
#include "modgate/handoff.h"
#include "modgate/journal.h"
#include "notify.h"
#include "trace.h"
#include "util/event.h"

/* A supervisor that dies so often within DEATHS_WINDOW_NS is not started again. */
#define DEATHS_MAX 5U

struct child {
        pid_t pid;  /* 0: none */
        int socket; /* our duplicate of the supervisor's end; -1: none */
};

enum attach_state {
        ATTACH_NOT,      /* the tree has a supervisor of our own */
        ATTACH_AWAITED,  /* there is no daemon, or it has not answered */
        ATTACH_WELCOMED, /* it would take the tree, once there is a listener */
        ATTACH_LENT,     /* it receives, until the connection ends */
};

struct attach {
        enum attach_state state;
        int connection;          /* -1: none */
        uint64_t lent_ns;        /* the tree was, for the last time */
        uint64_t lost_ns;        /* requests wait since then */
        uint64_t tried_ns;       /* to connect */
        uint64_t tried_requests; /* received by then */
        uint64_t progress;       /* requests that had ended when the last daemon did */
        unsigned int fruitless;  /* daemons in a row that ended while requests waited, and had answered none */
        bool refused;            /* and that was told */
};

enum peer_state {
        PEER_NONE,
        PEER_NEW,      /* has said nothing yet */
        PEER_WELCOME,  /* may send what is its tree's */
        PEER_ATTACHED, /* its tree is ours */
};

/* The keeper of a tree, as the daemon's keeper sees it, and what it has lent. */
struct peer {
        struct event_source connection; /* its descriptor is owned; -1: none */
        struct keeper *keeper;
        enum peer_state state;
        uint64_t since_ns; /* it connected */
        int journal_fd;
        struct journal *journal;
        int listener;
        bool handed_over;     /* the supervisor has it */
        uint64_t orphaned_ns; /* its keeper is gone since then; or 0 */
        bool orphan_told;
};

/* What only the daemon's keeper has. */
struct serving {
        struct event_loop loop; /* of socket and peers */
        struct event_source socket;
        bool refusal_told; /* of connections */
        bool stopping;
        uint64_t stopping_ns;
        uint64_t killed_ns;           /* the supervisor was, since all ends; or 0 */
        uint64_t watchdog_ns;         /* 0: nobody waits for a word */
        uint64_t told_ns;             /* the last one */
        struct peer peers[TREES_MAX]; /* by the index of their tree */
};

struct keeper {
        struct keeper_config config;
        struct journal *journal;
        struct confinement confinement; /* of the children */
        int journal_fd;                 /* its memfd, of an attached tree; or -1 */
        struct attach attach;
        struct serving *serving; /* NULL: this is no daemon */
        int launcher; /* socket; stays open until we end: its end of file is the word that the tree has ended */
        bool launcher_gone;
        int signals; /* signalfd: SIGCHLD; SIGUSR1 asks to end the bypass */
        int uevents; /* socket, for the supervisor; -1: failures are not remembered */
        int listener;
        bool ended;               /* the tree has; or the daemon is to */
        bool failed;              /* the daemon does, since its supervisor cannot be kept alive */
        unsigned int ended_ticks; /* since it ended */

        pid_t supervisor;
        int supervisor_socket;
        bool supervisor_ready;
        bool announced;                     /* the launcher was told, and may have the filter on */
        uint64_t deaths_ns[DEATHS_MAX - 1]; /* a ring */
        unsigned int deaths;
        uint64_t heartbeat; /* at the last tick */
        unsigned int still_ticks;
        bool bypass;
        struct notify notify; /* for the bypass */

        struct child workers[WORKER_KINDS][LOADERS_MAX];
        bool worker_failed[WORKER_KINDS]; /* the last one could not be provided, and that was told */

        pid_t reporter;
        uint64_t reported;  /* what the last report knew of, see reports.c */
        bool report_failed; /* the last one could not be begun, and that was told */

        pid_t tracer;
        struct trace trace;
};

/* start.c */

/* A keeper with nothing open. `launcher`: socket, taken over, or -1. NULL: no memory. */
struct keeper *keeper_new(const struct keeper_config *config, int launcher);

/* Becomes a keeper: signals, journal, privileges, children. Has said what is wrong. Returns 0 or negative errno. */
int keeper_init(struct keeper *keeper);

/* keeper.c */

/* Serves supervisor, launcher and children until the tree and its supervisor have ended. */
void keeper_loop(struct keeper *keeper);

/* Sends a message without waiting. `fd`: duplicated; -1: none. Returns 0 or negative errno. */
int keeper_tell(int socket, enum handoff_type type, int fd);

/* Does no process use the listener's filter any more? */
bool keeper_tree_has_ended(const struct keeper *keeper);

/* start.c */

/* Opens the socket for uevents, if there is to be one. Without it failures are not remembered: no reason to fail. */
void keeper_open_uevents(struct keeper *keeper);

/* children.c */

/* Forks a worker. Returns 0 or negative errno. */
int worker_fork(struct keeper *keeper, enum worker_kind kind, uint32_t index);

/*
 * Gives the supervisor a duplicate of its end of the worker's socket; ours keeps unread answers alive if it dies.
 * Returns 0 or negative errno.
 */
int worker_hand_over(struct keeper *keeper, enum worker_kind kind, uint32_t index);

/* Forks a worker for the supervisor and hands it over, or says that there will be none. */
void worker_provide(struct keeper *keeper, enum worker_kind kind, uint32_t index);

/* The supervisor has no use for it any more. */
void worker_drop(struct keeper *keeper, enum worker_kind kind, uint32_t index);
void inspectors_drop(struct keeper *keeper);

/* Kills all loaders: whoever they loaded for is dead. What they have in the kernel ends as it would have for those. */
void loaders_kill(struct keeper *keeper);

/* A child has been waited for that may have been a worker. */
void worker_reaped(struct keeper *keeper, pid_t pid);

/* supervision.c */

/* Forks a supervisor. Returns 0 or negative errno. */
int supervisor_start(struct keeper *keeper);

/* Tells whoever waits for it that requests can be served; once. Returns 0 or negative errno. */
int keeper_announce(struct keeper *keeper);

/* What moves as long as the supervisor does, if there is work. */
uint64_t keeper_heartbeat(const struct keeper *keeper);

/* It is initialised. The first time the launcher hears of it, and goes on; from then on one that dies is replaced. */
void supervisor_is_ready(struct keeper *keeper);

/* Hands it what it works with, once it is ready and there is a listener. */
void supervisor_equip(struct keeper *keeper);

/* It is dead, or as good as dead: starts another one, unless the tree has ended or it dies too often. */
void supervisor_replace(struct keeper *keeper);

/* It has closed its socket. */
void supervisor_lose(struct keeper *keeper);

/* At every tick: replaces a supervisor that stands still while work waits. */
void supervisor_check(struct keeper *keeper);

/* bypass.c */

/* From now on all requests are left to the kernel, those that the supervisor has left behind included. */
void bypass_begin(struct keeper *keeper);

/* The same for a listener that has only come since. */
void bypass_take_over(struct keeper *keeper);

/* Somebody has asked for it: tries again with a supervisor, as if none had ever died. */
void bypass_end(struct keeper *keeper);

/* Answers what waits at the listener. */
void bypass_receive(struct notify *notify);

/* attach.c */

/*
 * Looks for the daemon that is to serve the tree, for some seconds at most. False: there is none, or none is asked for,
 * which is told; then the tree needs a supervisor of our own.
 */
bool attach_start(struct keeper *keeper);

/* Lends the tree to the daemon, now that there is a listener. */
void attach_take_listener(struct keeper *keeper);

/* The daemon has something to say, or has ended. */
void attach_handle(struct keeper *keeper);

/* In each round: looks for a daemon, or gives up waiting for it. */
void attach_check(struct keeper *keeper);

/* The longest that the next round may wait; -1: as long as it likes. */
int attach_timeout_ms(const struct keeper *keeper);

/* The tree has ended, and nobody else receives: counts the requests that nobody has answered. */
void attach_finish(struct keeper *keeper);

/* serve.c */

/* There is something at the socket, or one of the peers. */
void serve_handle(struct keeper *keeper);

/* The supervisor can work now. */
void serve_ready(struct keeper *keeper);

/* Hands the supervisor what it does not have yet. Returns 0, or negative errno if it did not take all of it. */
int serve_equip(struct keeper *keeper);

/* It has nothing any more, since there is another one. */
void serve_begin_anew(struct keeper *keeper);

/* The supervisor was killed, and does not end: gives all trees back to their keepers. Not of a daemon: nothing. */
void serve_leave_behind(struct keeper *keeper);

/* The supervisor does not serve this tree any more. */
void serve_tree_left(struct keeper *keeper, uint32_t index);

/* At every tick, and more often: words to the service manager, peers that are silent, the end. */
void serve_check(struct keeper *keeper);

/* The longest that the next round may wait; -1: as long as it likes. */
int serve_timeout_ms(const struct keeper *keeper);

/* Receives nothing any more, and ends once no load is under way, or too long is. */
void serve_stop(struct keeper *keeper);

/* In a child that is not to know of the trees: unmaps their journals. */
void serve_forget_journals(struct keeper *keeper);

/* Does a tree have work? And the sum of their heartbeats. */
bool serve_work_waits(const struct keeper *keeper);
uint64_t serve_heartbeat(const struct keeper *keeper);

/* reports.c */

/* Waits until a child that writes has ended, but not for a dead disk or terminal. Then `*pid` is 0. */
void keeper_await(pid_t *pid);

/* Is the report a file, and not a table at the end? */
bool report_is_file(const struct keeper *keeper);

/* Has anything happened that a report file does not have yet? */
bool report_is_due(const struct keeper *keeper);

/* While the tree lives the file is kept up to date: udevd's unit kills the keeper as soon as udevd has ended. */
void report_refresh(struct keeper *keeper);

/* The last one. Waits until it is written, but not for a dead disk or terminal. */
void report_finish(struct keeper *keeper);

/* tracing.c */

/*
 * Makes the trace's file and forks the tracer, if there is to be one. Before privileges are given up. Returns 0 or
 * negative errno, and has said what is wrong.
 */
int tracing_start(struct keeper *keeper);

/* The tracer has ended before its time. */
void tracing_lose(struct keeper *keeper);

/* What the keeper answers itself goes into the trace too. */
void tracing_bypass(struct keeper *keeper);

/* Nothing more is told. Waits until all of it is written. */
void tracing_finish(struct keeper *keeper);
