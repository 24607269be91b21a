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
 *   reports.c      the process that writes the report
 *   tracing.c      the process that writes the trace
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "confinement.h"
#include "keeper/keeper.h"
#include "modgate/handoff.h"
#include "modgate/journal.h"
#include "notify.h"
#include "trace.h"

/* A supervisor that dies so often within DEATHS_WINDOW_NS is not started again. */
#define DEATHS_MAX 5U

/* The most descriptors that a child needs, beside the standard ones. */
#define KEPT_MAX 3

struct child {
        pid_t pid;  /* 0: none */
        int socket; /* our duplicate of the supervisor's end; -1: none */
};

struct keeper {
        struct keeper_config config;
        struct journal *journal;
        struct confinement confinement; /* of the children */
        int launcher; /* socket; stays open until we end: its end of file is the word that the tree has ended */
        bool launcher_gone;
        int signals; /* signalfd: SIGCHLD; SIGUSR1 asks to end the bypass */
        int uevents; /* socket, for the supervisor; -1: failures are not remembered */
        int listener;
        bool ended;               /* the tree has */
        unsigned int ended_ticks; /* since then */

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

/*
 * As fork(). The child has that title, and of our descriptors only 0 to 2, and the `count` (KEPT_MAX at most) of `keep`
 * as 3, 4 and so on.
 */
pid_t keeper_fork(const char *title, const int *keep, unsigned int count);

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
