/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The mediator's parts, and its state.
 *
 *   mediator.c     the loop; signals, reload
 *   agent.c        what container runtimes say (linux.seccomp.listenerPath)
 *   proxy.c        what liblxc's monitors say (lxc.seccomp.notify.proxy)
 *   customer.c     what all listeners of a container have in common: how much it may ask for
 *   container.c    one listener: received from, kept by systemd, taken over, ended
 *   asked.c        the life of a request
 *   work.c         the processes that work on requests
 *   audit.c        the line about each of them
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "call.h"
#include "confinement.h"
#include "mediate/asker.h"
#include "mediate/mediate.h"
#include "modgate/mediation.h"
#include "notify.h"
#include "oci/state.h"
#include "policy/policy.h"
#include "util/event.h"
#include "util/list.h"

/* Listeners, those of exec'd processes too; and of one container. */
#define CONTAINERS_MAX 1024U
#define LISTENERS_OF_ONE_MAX 64U

/* Connections whose state is not complete. */
#define CONNECTIONS_MAX 64U

/* How long it is until systemd is asked again to keep what it did not take at once: it may have much to do. */
#define KEEP_AGAIN_NS (100 * 1000000ULL)

/* Requests that are worked on, in all, and of one container: each has a process, and the others wait for their turn. */
#define WORKING_MAX 512U
#define WORKING_OF_ONE_MAX 8U

/* Mediators may end while a request waits. So many, and it may be the one that they die of. */
#define BEGUN_MAX 10U

enum asked_state {
        ASKED_NONE,
        ASKED_QUEUED,  /* waits for its turn */
        ASKED_NAME,    /* an inspector reads the name in its image */
        ASKED_PARAMS,  /* an inspector reads its parameters */
        ASKED_DECIDED, /* a decider is at work */
        ASKED_LOADED,  /* a performer is */
};

/* A request. One per slot of its container's store, under the same index. */
struct asked {
        struct container *container;
        struct journal_request *slot;
        enum asked_state state;
        bool was_sent;         /* an earlier mediator has had it loaded */
        struct list_node link; /* in customer.queued, or mediator.working */
        enum call call;
        struct asker asker;
        uint64_t image_length;       /* of an init_module call */
        char name[MODULE_NAME_SIZE]; /* empty: not known yet */
        char *params;                /* owned; NULL: not known yet */
        uint32_t params_length;
        int memory_fd;              /* /proc/TID/mem, owned; -1: none */
        struct event_source worker; /* the socket of who works on it, owned */
        struct helper *helper;      /* an inspector or decider; NULL: none */
        uint64_t deadline_ns;       /* of it; UINT64_MAX: none */
        struct decision *decision;  /* owned; NULL: none yet */
};

/*
 * A child that works on a request, until it has been waited for. One that hangs in a caller's memory may not even be
 * killed: as long as it is there, it takes the place of a request of its container.
 */
struct helper {
        struct list_node link; /* in mediator.helpers */
        pid_t pid;
        struct customer *customer;
        struct asked *asked; /* NULL: it has been killed */
};

/* A container, by the name that its runtime gives it. */
struct customer {
        struct list_node link; /* in mediator.customers; whose turn is next is the first one */
        uint32_t users;        /* listeners and helpers */
        uint32_t listeners;
        uint32_t working;  /* requests */
        uint32_t hanging;  /* helpers that were killed, and are not dead yet */
        uint64_t stuck_ns; /* since when these have all places; 0: they have not */
        struct policy_limiter limiter;
        struct list_node queued; /* requests */
        uint64_t audited_ns;     /* begin of the second in which */
        uint32_t audited;        /* so many refusals were told, and */
        uint32_t unaudited;      /* so many were not, since the last one that was */
        char id[CONTAINER_ID_SIZE];
};

enum kept {
        KEPT_BY_NOBODY, /* there is no service manager */
        KEPT_NOT_YET,
        KEPT,
};

/* A listener: of a container, or of a process that was executed in one. */
struct container {
        struct mediator *mediator;
        struct list_node link; /* in mediator.containers, or .ended */
        struct customer *customer;
        struct container_store *store;
        int store_fd;
        uint64_t serial; /* by which systemd keeps it, */
        enum kept kept;
        bool is_monitor; /* of proxy.c: its answers go to a monitor of liblxc, and its store is only ours */
        struct notify notify;
        struct event_source listener; /* the descriptor is notify's */
        struct asked asked[CONTAINER_SLOTS];
};

struct connection {
        struct event_source source; /* its descriptor is owned; -1: none */
        uint64_t serial;            /* by which systemd keeps it, */
        enum kept kept;             /* if it does */
        struct mediator *mediator;
        struct oci_reader reader;
        bool sees_our_pids; /* the runtime is in our pid namespace */
        int fds[OCI_FDS_MAX];
        unsigned int fd_count;
        uint64_t since_ns; /* when its first byte came, or else it itself */
};

struct mediator {
        const struct kernel_interface *kernel;
        const char *policy_directory;
        struct policy *policy; /* NULL: none, all is refused */
        struct confinement confinement;
        struct event_loop loop;
        struct event_source signals;
        struct event_source oci; /* listening sockets */
        struct event_source lxc;
        struct seccomp_notif_sizes sizes; /* of this kernel */
        struct event_source performers;
        struct caller_self self;
        bool stopping;
        int error;
        uint64_t accept_again_ns; /* there were no descriptors for a connection */
        uint64_t keep_again_ns;   /* systemd did not take something at once */
        uint32_t unkept;          /* containers that it has yet to be handed */

        struct connection connections[CONNECTIONS_MAX];
        struct list_node containers;
        struct list_node ended; /* containers, until nothing of this round speaks of them */
        uint32_t container_count;
        struct list_node customers;
        struct list_node helpers;
        struct list_node working;
        uint32_t working_count;
        uint64_t serial;
};

/* agent.c */

/* By this, a serial, and whether the runtime is in our pid namespace, systemd keeps connections. */
#define AGENT_CONNECTION "connection-"

/* A connection waits at the socket. */
void agent_accept(struct event_source *source, uint32_t events);

/*
 * Goes on with a connection that an earlier mediator has accepted, with what it then knew of the runtime; it is taken
 * over.
 */
void agent_resume_consume_fd(struct mediator *mediator, int fd, uint64_t serial, bool sees_our_pids);

/* Accepts a connection of root's, and says whose. Returns a descriptor (owned), or -1. */
int agent_accept_root(struct mediator *mediator, struct event_source *source, pid_t *ret_pid);

/* Is this process in our pid namespace? If it has gone already it is taken to have been. */
bool agent_sees_our_pids(const struct mediator *mediator, pid_t pid);

/*
 * Gives up connections that took too long, and accepts again if that was given up. Returns the nanoseconds until the
 * next one has, or UINT64_MAX.
 */
uint64_t agent_expire(struct mediator *mediator, uint64_t now_ns);

/* customer.c */

/* The one of that name, with another user. NULL: no memory. */
struct customer *customer_use(struct mediator *mediator, const char *id);

/* One more, or one less, of its helpers was killed and is not dead. */
void customer_hang(struct customer *customer, int change);

/*
 * Do such helpers have all of its places, and not only for the moment that it takes to wait for one that was killed?
 * Then there will be none.
 */
bool customer_is_stuck(const struct customer *customer, uint64_t now_ns);

/* One user less: the last one frees it. */
void customer_leave(struct customer *customer);

/* proxy.c */

/* A monitor waits at the socket. */
void proxy_accept(struct event_source *source, uint32_t events);

/* Answers a request of a monitor. False: it has gone. */
bool proxy_answer(struct asked *asked, int error);

/*
 * Answers requests before their monitors' time is up. Returns the nanoseconds until the next one's is, or UINT64_MAX.
 */
uint64_t proxy_expire(struct mediator *mediator, uint64_t now_ns);

/* container.c */

/* By this and a serial systemd keeps both of a container's descriptors. */
#define CONTAINER_KEPT "container-"

/* An empty one, in memory of the caller's that containers_free() frees. Returns 0 or -ENOMEM: there are too many. */
int container_init(struct container *container, struct mediator *mediator);

/*
 * Once its store has its id: shares what a container may have. Returns 0 or negative errno: -EUSERS, it has too many.
 */
int container_join(struct container *container);

/* What a runtime says of a container whose listener it hands over, and what is known of it. */
struct container_claim {
        const char *id;
        const char *profile;        /* what its configuration names; NULL: nothing; empty: a name that is none */
        bool by_annotation;         /* by an annotation */
        uint64_t user_namespace[2]; /* its own; zeros: not known */
};

/* Begins to serve a listener, which is taken over. Returns 0 or negative errno: -EUSERS, there are too many of it. */
int container_begin_consume_fd(struct mediator *mediator, int listener, const struct container_claim *claim);

/* The same for one that an earlier mediator has served: with its store, which is taken over too. */
int container_resume_consume_fds(struct mediator *mediator, int listener, int store_fd, uint64_t serial);

/* Receives no more, if it may not, and begins again, if it may. */
void container_listen(struct container *container);

/* Forgets it; systemd too, if it has ended. */
void container_end(struct container *container, bool forever);

/* The profile of its requests under the policy that there is now, or NULL. */
const struct policy_profile *container_profile(const struct container *container);

/* Hands systemd what it does not keep yet. Returns the nanoseconds until it is to be tried again, or UINT64_MAX. */
uint64_t containers_keep(struct mediator *mediator, uint64_t now_ns);

/* Frees those that have ended. */
void containers_free(struct mediator *mediator);

/* asked.c */

/* Looks at a request that has been received. */
void asked_begin(struct container *container, struct journal_request *slot);

/* Gives requests their turn. */
void asked_work(struct mediator *mediator);

/* Answers it with `error` (0 or a positive errno) and says so in the audit. `why`: a reason of our own; NULL: none. */
void asked_answer(struct asked *asked, int error, const char *why);

/* Its requester has gone, or its container: gives it up. */
void asked_give_up(struct asked *asked);

/* Ends work that took too long. */
void asked_expire(struct mediator *mediator, uint64_t now_ns);

/* The nanoseconds until the next one has, or UINT64_MAX. */
uint64_t asked_wait_ns(const struct mediator *mediator, uint64_t now_ns);

/* work.c */

/* Forks who loads modules, while this process may. Returns 0 or negative errno. */
int work_start_performers(struct mediator *mediator);

/* Has an inspector read the name or the parameters, a decider decide, a performer load. Return 0 or negative errno. */
int work_inspect(struct asked *asked, bool name);
int work_decide(struct asked *asked);
int work_load(struct asked *asked);

/* Whoever works on it is ended, as far as that is possible. */
void work_end(struct asked *asked);

/* A child has been waited for. */
void work_reaped(struct mediator *mediator, pid_t pid);

/* audit.c */

/* The line about a request that is answered with `error`. `why`: a reason of our own; NULL: the decision's. */
void audit(const struct asked *asked, int error, const char *why);

/* The same of one that was refused before any work: under a flood not one for each. */
void audit_refusal(const struct asked *asked, const struct policy_verdict *verdict);
