/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The mediator's parts, and its state.
 *
 *   mediator.c     the loop; signals, reload
 *   agent.c        what container runtimes say (linux.seccomp.listenerPath)
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

/* Listeners, those of exec'd processes too. */
#define CONTAINERS_MAX 1024U

/* Connections whose state is not complete. */
#define CONNECTIONS_MAX 64U

/* Requests that are worked on, in all, and of one container: each has a process, and the others wait for their turn. */
#define WORKING_MAX 128U
#define WORKING_OF_ONE_MAX 8U

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
        struct list_node link; /* in container.queued, or mediator.working */
        enum call call;
        struct asker asker;
        uint64_t image_length;       /* of an init_module call */
        char name[MODULE_NAME_SIZE]; /* empty: not known yet */
        char *params;                /* owned; NULL: not known yet */
        uint32_t params_length;
        int memory_fd;             /* /proc/TID/mem, owned; -1: none */
        struct event_source worker; /* the socket of who works on it, owned */
        pid_t pid;                 /* of an inspector or decider; 0: none */
        uint64_t deadline_ns;      /* of it; UINT64_MAX: none */
        struct decision *decision; /* owned; NULL: none yet */
};

/* A listener: of a container, or of a process that was executed in one. */
struct container {
        struct mediator *mediator;
        struct list_node link; /* in mediator.containers */
        struct container_store *store;
        int store_fd;
        uint64_t serial; /* by which systemd keeps it, */
        bool kept;       /* if it does */
        struct notify notify;
        struct event_source listener; /* the descriptor is notify's */
        struct list_node queued;
        uint32_t working;
        uint64_t audited_ns; /* begin of the second in which */
        uint32_t audited;    /* so many refusals were told, and */
        uint32_t unaudited;  /* so many were not, since the last one that was */
        struct asked asked[CONTAINER_SLOTS];
};

struct connection {
        struct event_source source; /* its descriptor is owned; -1: none */
        struct mediator *mediator;
        struct oci_reader reader;
        pid_t runtime; /* as we see it; 0: it cannot be seen */
        int fds[OCI_FDS_MAX];
        unsigned int fd_count;
        uint64_t since_ns;
};

struct mediator {
        const struct kernel_interface *kernel;
        const char *policy_directory;
        struct policy *policy; /* NULL: none, all is refused */
        struct confinement confinement;
        struct event_loop loop;
        struct event_source signals;
        struct event_source oci; /* listening socket */
        struct event_source performers;
        struct caller_self self;
        bool stopping;
        int error;

        struct connection connections[CONNECTIONS_MAX];
        struct list_node containers; /* whose turn is next is the first one */
        uint32_t container_count;
        struct list_node working;
        uint32_t working_count;
        uint64_t serial;
};

/* agent.c */

/* A connection waits at the socket. */
void agent_accept(struct event_source *source, uint32_t events);

/* Gives up connections that took too long. Returns the nanoseconds until the next one has, or UINT64_MAX. */
uint64_t agent_expire(struct mediator *mediator, uint64_t now_ns);

/* container.c */

/*
 * Begins to serve a listener, which is taken over. `profile`: what the configuration names; NULL: nothing; empty: a name
 * that is none. `pid`: of the process with the filter. Returns 0 or negative errno.
 */
int container_begin_consume_fd(struct mediator *mediator, int listener, const char *id, const char *profile, pid_t pid,
                               const uint64_t user_namespace[static 2]);

/* The same for one that an earlier mediator has served: with its store, which is taken over too. */
int container_resume_consume_fds(struct mediator *mediator, int listener, int store_fd, uint64_t serial);

/* Receives no more, if it may not, and begins again, if it may. */
void container_listen(struct container *container);

/* Forgets it; systemd too, if it has ended. */
void container_end(struct container *container, bool forever);

/* The profile of its requests under the policy that there is now, or NULL. */
const struct policy_profile *container_profile(const struct container *container);

/* In a child that is not to know of them: unmaps the stores. */
void containers_forget(struct mediator *mediator);

/* asked.c */

/* Looks at a request that has been received. */
void asked_begin(struct container *container, struct journal_request *slot);

/* Gives requests their turn. */
void asked_work(struct mediator *mediator);

/* Answers it with `error` (0 or a positive errno) and says so in the audit. `why`: a reason of our own; NULL: none. */
void asked_answer(struct asked *asked, int error, const char *why);

/* Its requester has gone, or its container: gives it up. */
void asked_give_up(struct asked *asked);

/* Ends work that took too long. Returns the nanoseconds until the next one has, or UINT64_MAX. */
uint64_t asked_expire(struct mediator *mediator, uint64_t now_ns);

/* work.c */

/* Forks who loads modules, while this process may. Returns 0 or negative errno. */
int work_start_performers(struct mediator *mediator);

/* Has an inspector read the name or the parameters, a decider decide, a performer load. Return 0 or negative errno. */
int work_inspect(struct asked *asked, bool name);
int work_decide(struct asked *asked);
int work_load(struct asked *asked);

/* Whoever works on it is ended, as far as that is possible. */
void work_end(struct asked *asked);

/* audit.c */

/* The line about a request that is answered with `error`. `why`: a reason of our own; NULL: the decision's. */
void audit(struct asked *asked, int error, const char *why);

/* The same of one that was refused before any work: under a flood not one for each. */
void audit_refusal(const struct asked *asked, const struct policy_verdict *verdict);
