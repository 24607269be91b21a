/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The workers of one kind, as the supervisor sees them. The keeper forks them and keeps a duplicate of each socket, so
 * that an answer outlives the supervisor it was meant for. A worker that ends shows as the end of file of its socket.
 *
 *   ABSENT ─wanted→ STARTING ─arrived→ IDLE ⇄ BUSY       any of these ─dropped→ ABSENT
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "modgate/handoff.h"
#include "modgate/job.h"
#include "util/event.h"

enum worker_state {
        WORKER_ABSENT,
        WORKER_STARTING,
        WORKER_IDLE,
        WORKER_BUSY,
        WORKER_STATES,
};

struct worker {
        struct event_source source; /* source.fd: the socket, owned; -1: none */
        struct pool *pool;
        enum worker_state state;
        uint64_t serial;   /* of the job it is BUSY with */
        uint64_t since_ns; /* STARTING since */
};

struct pool {
        struct event_loop *loop;
        int keeper; /* socket, not owned */
        enum worker_kind kind;
        bool watching; /* false: workers that arrive are only kept, see pool_watch() */
        uint32_t count;
        uint32_t in_state[WORKER_STATES]; /* how many workers are */
        struct worker workers[LOADERS_MAX];
        void (*ready)(struct pool *pool, struct worker *worker); /* its socket has something, or has ended */
};

void pool_init(struct pool *pool, struct event_loop *loop, int keeper, enum worker_kind kind,
               void (*ready)(struct pool *pool, struct worker *worker));

/*
 * Watches the workers that have arrived, and from now on each one that arrives. Until then an answer stays where it is:
 * what it belongs to has to be known first. Returns 0 or negative errno: then some are not watched.
 */
int pool_watch(struct pool *pool);

/* Drops all workers, without a word to the keeper. */
void pool_deinit(struct pool *pool);

/* An idle worker has a job already, of this serial: an earlier supervisor has sent it. */
void pool_set_busy(struct worker *worker, uint64_t serial);

/* The worker's place in its pool, by which the keeper knows it too. */
uint32_t pool_index(const struct worker *worker);
/* How many workers are in that state. */
uint32_t pool_count(const struct pool *pool, enum worker_state state);

/* An idle worker, or NULL. */
struct worker *pool_idle(struct pool *pool);

/*
 * Gives an idle worker a job, with a duplicate of `fd` (-1: none) and the job's parameters; it is busy with it then.
 * Returns 0 or negative errno: -EPIPE, the worker has ended and should be dropped; any other is our trouble, and
 * another worker would not do better.
 */
int pool_send(struct worker *worker, const struct job *job, const char *params, int fd);

/* Asks the keeper for one worker more. Returns 0 or negative errno: -EMFILE (all there may be), -EPIPE (no keeper). */
int pool_grow(struct pool *pool, uint64_t now_ns);

/*
 * The keeper has forked one. Takes the descriptor over; it is closed if there is no place for it. Returns 0 or negative
 * errno: it cannot be watched, and was dropped.
 */
int pool_arrived_consume_fd(struct pool *pool, uint32_t index, int fd);

/* The keeper could not fork this one: it may be asked for again. */
void pool_failed(struct pool *pool, uint32_t index);

/*
 * Gives up one worker that was asked for `limit_ns` ago or earlier and has not come: the keeper stands still, or its
 * message was lost. One that comes after that is welcome. Returns false when there is none.
 */
bool pool_expire_one(struct pool *pool, uint64_t now_ns, uint64_t limit_ns);

/* The keeper has gone: those that it was asked for will not come. */
void pool_forget_starting(struct pool *pool);

/*
 * The answer that waits at a worker's socket: `answer`, and up to `size` bytes behind it. It stays there until
 * pool_consume(). Returns 0, 1 when there is none, or negative errno: the worker has ended or talks nonsense.
 */
int pool_peek(struct worker *worker, struct job_answer *answer, char *bytes, size_t size);

/*
 * Takes the answer off the socket. The worker is idle, if that was the job it is busy with; it is dropped, if the
 * answer cannot be taken.
 */
void pool_consume(struct worker *worker, const struct job_answer *answer);

/*
 * Both at once, for a worker whose answers need not outlive us, with the descriptor that may come along: `*ret_fd` is
 * the caller's, or -1.
 */
int pool_receive(struct worker *worker, struct job_answer *answer, char *bytes, size_t size, int *ret_fd);

/* Ends a worker, whatever it does, and tells the keeper to forget it. */
void pool_drop(struct worker *worker);

/* Drops idle workers until no more than `keep` are left. */
void pool_shrink(struct pool *pool, uint32_t keep);
