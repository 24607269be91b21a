/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Epoll dispatch. The source is embedded in its owner, which a handler gets back by container_of. Every ready source is
 * handled once a round, in the order of its priority.
 */

#include <stdbool.h>
#include <stdint.h>

#define EVENT_ROUND_MAX 64
#define EVENT_DIRECT_MAX 8

enum event_priority {
        EVENT_PRIORITY_ANSWERS, /* what workers found out: it lets callers go */
        EVENT_PRIORITY_KEEPER,  /* new workers */
        EVENT_PRIORITIES,
};

struct event_source {
        void (*handle)(struct event_source *source, uint32_t events); /* EPOLL* */
        enum event_priority priority;
        int fd; /* not owned */
        bool watched;
};

struct event_loop {
        int epoll_fd;
        struct event_source *direct[EVENT_DIRECT_MAX]; /* or NULL */
        unsigned int direct_count;                     /* places behind that are NULL */
        unsigned int busy_rounds; /* in a row, the last ones, that had other events than the direct sources' */
};

/* Returns 0 or negative errno. */
int event_loop_init(struct event_loop *loop);
/* Closes the loop; its sources' descriptors are not its own. */
void event_loop_deinit(struct event_loop *loop);

/* Watches source->fd for input (and what epoll always reports) until it is removed. Returns 0 or negative errno. */
int event_add(struct event_loop *loop, struct event_source *source);

/*
 * As event_add(), for a few sources of the loop (from EVENT_DIRECT_MAX on they are ordinary ones): they are waited for
 * without a detour through epoll. Epoll forgets on which CPU a seccomp listener wants its reader to be woken
 * (fs/eventpoll.c, ep_poll_callback()), poll(2) does not.
 */
int event_add_direct(struct event_loop *loop, struct event_source *source);

/* The next round looks at the direct sources, whatever was ready in the last one: nobody waits for the others. */
void event_listen(struct event_loop *loop);

/* Does nothing for a source that is not watched. To be called before its descriptor is closed. */
void event_remove(struct event_loop *loop, struct event_source *source);

/* Waits at most `timeout_ms` (-1: without limit) and handles one round. Returns 0 or negative errno. */
int event_dispatch(struct event_loop *loop, int timeout_ms);
