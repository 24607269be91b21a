/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The supervisor receives requests, decides, and answers. It owns all of a tree's state but what has to outlive it,
 * which is in the journal. CAP_SYS_PTRACE, never CAP_SYS_MODULE; it never waits for a caller.
 *
 *   request.c   the life of a request: looked at, inspected, waiting, answered
 *   load.c      the life of a load: queued, sent to a loader, complete
 *   recover.c   what an earlier supervisor left behind
 */

#include <stdbool.h>
#include <stdint.h>

#include "caller.h"
#include "dedup_table.h"
#include "kernel_interface.h"
#include "modgate/journal.h"
#include "module/index.h"
#include "module/sysfs.h"
#include "notify.h"
#include "pool.h"
#include "util/event.h"
#include "util/list.h"

#define NO_MODULE UINT32_MAX

enum request_state {
        REQUEST_NONE,
        REQUEST_INSPECTING, /* its parameters are being read, or wait for an inspector */
        REQUEST_WAITING,    /* in the table */
};

/* One per journal slot, under the same index. */
struct request {
        struct journal_request *slot;
        enum request_state state;
        struct dedup_request dedup;

        struct list_node inspecting; /* in supervisor.inspecting */
        struct worker *inspector;    /* NULL: none is free yet */
        uint64_t deadline_ns;        /* for the inspection */
        int memory_fd;               /* /proc/TID/mem, until an inspector has it */

        int file_fd; /* O_PATH; a load takes it over */
        struct module_file file;
        char name[MODULE_NAME_SIZE]; /* empty: it has none */
        uint32_t module;             /* its counters, or NO_MODULE */
};

/* One per entry of the journal's loads, under the same index. */
struct load {
        struct dedup_load dedup;
        bool used;
        struct list_node pending; /* in supervisor.pending while it waits for a loader */
        struct worker *loader;    /* NULL: none has it */
        uint64_t serial;
        int file_fd;
        char *params;
        uint32_t params_length;
        uint32_t module;
};

struct supervisor {
        const struct kernel_interface *kernel;
        struct journal *journal;
        struct event_loop loop;
        struct event_source keeper;   /* socket to the keeper, owned */
        struct event_source listener; /* the descriptor is notify's */
        bool started;                 /* HANDOFF_START has come */
        bool ended;                   /* the tree has */

        struct caller_self self;
        int modules_disabled_fd;
        struct module_index index;
        struct module_sysfs sysfs;

        struct notify notify;
        struct dedup_table table;
        struct pool loaders;
        struct pool inspectors;
        uint64_t swept_ns;           /* when slots were last looked through for requesters that have gone */
        struct list_node inspecting; /* requests, by deadline */
        struct list_node pending;    /* loads, in order */

        struct request requests[JOURNAL_REQUESTS];
        struct load loads[JOURNAL_LOADS];
};

/*
 * Runs until the tree has ended. `keeper_fd`: the socket to the keeper, taken over. Says HANDOFF_SUPERVISOR_READY there
 * once it is initialised. Returns 0 or negative errno.
 */
int supervisor_run_consume_fd(const struct kernel_interface *kernel, struct journal *journal, int keeper_fd);

/* request.c */

/* Decides about a request that has just been received, as far as that is possible at once. */
void request_begin(struct supervisor *supervisor, struct journal_request *slot);

/* Puts a request back to the load it waited for under an earlier supervisor. */
void request_adopt(struct supervisor *supervisor, struct journal_request *slot, struct load *load);

/* Answers a request that is no longer in the table. */
void request_answer(struct supervisor *supervisor, struct request *request, int error);
void request_continue(struct supervisor *supervisor, struct request *request, enum continue_reason reason);

/* Gives up a request whose requester has gone. */
void request_release(struct supervisor *supervisor, struct request *request);

/* Gives waiting inspections to inspectors, and asks for another one when there is none, or those there are hang. */
void requests_inspect(struct supervisor *supervisor);

/* No inspector could be forked: unless there are others, all that wait for one are left to the kernel. */
void requests_give_up_inspection(struct supervisor *supervisor);

/*
 * Ends the inspections that took too long. Returns the nanoseconds after which it and requests_inspect() want to be
 * called again, whatever happens; or UINT64_MAX.
 */
uint64_t requests_expire(struct supervisor *supervisor);

/* An inspector has something to say. */
void inspector_ready(struct pool *pool, struct worker *worker);

/* load.c */

/* The journal's side of a load. */
struct journal_load *load_journal(struct supervisor *supervisor, const struct load *load);

/* An unused load with a serial of its own, or NULL. */
struct load *load_new(struct supervisor *supervisor);

/* Gives back a load that is not in the table, and what it owns. */
void load_free(struct supervisor *supervisor, struct load *load);

/* Queues a load that is in flight in the table. */
void load_start(struct supervisor *supervisor, struct load *load);

/* Sends queued loads to loaders, and asks for more of these; leaves to the kernel what no loader can be had for. */
void loads_send(struct supervisor *supervisor);

/* No loader could be forked for the load that waits longest: it is left to the kernel. */
void loads_give_up_one(struct supervisor *supervisor);

/*
 * Ends a load: answers all that waited for it, and starts the next one of its name. JOB_DONE: with the kernel's
 * `error`; any other status: it was not performed, and its requests are left to the kernel for `reason`.
 */
void load_complete(struct supervisor *supervisor, struct load *load, enum job_status status, int error,
                   enum continue_reason reason);

/* The loader has ended without an answer. */
void load_lost(struct supervisor *supervisor, struct load *load);

/* A loader has something to say. */
void loader_ready(struct pool *pool, struct worker *worker);

/* Does any loader still work? */
bool loads_in_flight(const struct supervisor *supervisor);

/* recover.c */

/* Takes over what the journal holds. Once, when all loaders were handed over, and before anything is received. */
void supervisor_recover(struct supervisor *supervisor);
