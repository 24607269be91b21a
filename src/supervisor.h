/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The supervisor receives requests, decides, and answers. It owns all state but what has to outlive it, which is in the
 * journals. CAP_SYS_PTRACE, never CAP_SYS_MODULE; it never waits for a caller.
 *
 * It serves one tree, or as the daemon's any number of them. Each tree has its own listener, requests, and journal for
 * these. Common are the loads, with the journal that they stand in, and all that is known of modules. For one tree both
 * journals are the same one.
 *
 *   tree.c      a tree's life: received from, swept, ended
 *   request.c   the life of a request: looked at, inspected, waiting, answered
 *   inspect.c   what inspectors read for it: parameters, and images of init_module
 *   remember.c  failures that still stand, and the events that end them
 *   missed.c    results that their callers missed, for when they come back
 *   load.c      the life of a load: queued, sent to a loader, complete
 *   recover.c   what an earlier supervisor left behind
 *   tracing.c   what the tracer is told, if there is one
 */

#include <stdbool.h>
#include <stdint.h>

#include "call.h"
#include "caller.h"
#include "confinement.h"
#include "dedup_table.h"
#include "failures.h"
#include "kernel_interface.h"
#include "modgate/journal.h"
#include "module/index.h"
#include "module/sysfs.h"
#include "notify.h"
#include "pool.h"
#include "trace.h"
#include "uevent_sequence.h"
#include "util/event.h"
#include "util/list.h"

#define NO_MODULE UINT32_MAX

#define THREAD_BUCKETS 1024U

/* What is to be read in a caller's memory. */
enum inspection {
        INSPECT_NAME,   /* the name in the image */
        INSPECT_PARAMS, /* the parameters */
        INSPECT_IMAGE,  /* all of the image, to load it: once for each load */
        INSPECT_HASH,   /* all of the image, to compare it: only where a failure is to be shared */
};

enum request_state {
        REQUEST_NONE,
        REQUEST_LOOKED_AT, /* not in the table: an inspection comes first */
        REQUEST_WAITING,   /* in the table */
};

/* One per slot of its tree's journal, under the same index. */
struct request {
        struct tree *tree;
        struct journal_request *slot;
        enum request_state state;
        struct dedup_request dedup;
        struct list_node by_thread; /* in supervisor.threads */
        bool may_miss;              /* it waits in the table, and its thread has made no other call since */
        bool comes_back;            /* its thread has made this call before, and missed the result, or will */
        bool had_succeeded;         /* and that was a success */
        bool was_sent;              /* a daemon that is dead had sent its load, and has told nobody what became of it */

        struct list_node inspecting; /* in supervisor.inspecting */
        enum inspection inspection;
        uint64_t inspection_serial;
        struct worker *inspector; /* NULL: none is free yet */
        uint64_t since_ns;        /* when the inspector got it, or else when it was queued */
        int memory_fd;            /* /proc/TID/mem */

        enum call call;
        struct module_file file;     /* of an init_module call: only the size, which is the image's length */
        bool settled;                /* else the file may still change without another identity */
        char name[MODULE_NAME_SIZE]; /* empty: it has none */
        uint32_t module;             /* its counters in the tree's journal, or NO_MODULE */
        char *path;                  /* for a trace, owned; NULL: there is none, or it is not known */
        enum trace_answer answer;    /* for a trace: how it is answered, if it is */

        struct module_key key;   /* once all of it is known */
        uint64_t shared_hash[2]; /* of the image that was loaded, and failed with */
        int shared_error;
        bool shared_remembered; /* that failure is a remembered one */
        bool asks_kernel;       /* no failure that is known is for this request: its image is another one */
};

/* One per entry of the journal's loads, under the same index. */
struct load {
        struct dedup_load dedup;
        bool used;
        struct list_node pending; /* in supervisor.pending while it waits for a loader */
        struct worker *loader;    /* NULL: none has it */
        uint32_t loaders_asked;   /* how often one was asked for, to perform it */
        struct request *leader;   /* NULL: it has gone, or is not known */
        bool made_up;             /* no request asked for it */
        uint64_t uevents_before;  /* events up to this number were counted before it was sent */
        uint64_t epoch;           /* failures.epoch then */
        bool disturbed;           /* an event since may have changed its result */
        bool live_since;          /* a module has gone live since */
        enum call call;
        uint64_t serial;
        int file_fd; /* the O_PATH descriptor of a finit_module, the image of an init_module; -1: not there yet */
        uint64_t image_hash[2];
        char *params;
        uint32_t params_length;
        uint32_t module; /* its counters in the supervisor's journal */
};

/* Whose calls are received by one listener. */
struct tree {
        struct supervisor *supervisor;
        struct list_node link; /* in supervisor.trees */
        uint32_t index;        /* by which the keeper knows it */
        struct journal *journal;
        struct notify notify;
        struct event_source listener; /* the descriptor is notify's */
        int connection; /* to the tree's own keeper, owned: it is open for as long as we may receive; or -1 */
        bool ended;
        uint32_t received; /* requests */
        uint64_t swept_ns; /* when slots were last looked through for requesters that have gone */
        struct request requests[JOURNAL_REQUESTS];
};

struct supervisor {
        const struct kernel_interface *kernel;
        struct journal *journal; /* of the loads */
        struct list_node trees;
        struct event_loop loop;
        struct event_source keeper;  /* socket to the keeper, owned */
        struct event_source uevents; /* socket, owned; -1: nothing is remembered */
        int uevent_seqnum_fd;
        struct uevent_sequence uevents_seen;
        struct failures failures;
        bool is_daemon; /* trees come and go */
        bool started;   /* HANDOFF_START has come */
        bool stopping;  /* the daemon receives nothing any more */
        bool ended;     /* there is no tree left, or the daemon stops */
        int error;      /* negative errno: it cannot go on, and the keeper starts another one */

        struct caller_self self;
        int modules_disabled_fd;
        struct module_index index;
        struct module_sysfs sysfs;

        struct trace trace;
        struct dedup_table table;
        struct pool loaders;
        struct pool inspectors;
        struct list_node threads[THREAD_BUCKETS]; /* requests, by their thread */
        struct list_node missed;                  /* results */
        uint32_t missed_count;
        struct list_node inspecting; /* requests, in order */
        uint64_t heard_ns;           /* what workers and keeper had said by then has been heard */
        uint64_t inspected_ns;       /* when an inspector last came back, or had no chance to */
        uint64_t expired_ns;         /* when inspections_expire() last looked at all of them */
        bool inspection_queued;      /* since they were last given to inspectors */
        uint64_t no_inspector_ns;    /* when the keeper last could not fork one; 0: never */
        uint32_t cpus;               /* that we may run on */
        uint64_t inspection_serial;  /* last given */
        struct list_node pending;    /* loads, in order */

        struct load loads[JOURNAL_LOADS];
};

struct supervisor_config {
        const struct kernel_interface *kernel;
        const struct confinement *confinement;
        uint64_t failure_ttl_ns; /* how long failures are remembered; 0: not at all */
        int trace_fd;            /* the pipe to the tracer, taken over; -1: there is none */
        bool is_daemon;          /* serves trees as they come, until its keeper stops it or ends */
};

/*
 * Runs until the tree has ended, or the daemon does. `keeper_fd`: the socket to the keeper, taken over. Says
 * HANDOFF_SUPERVISOR_READY there once it is initialised. Returns 0 or negative errno.
 */
int supervisor_run_consume_fd(const struct supervisor_config *config, struct journal *journal, int keeper_fd);

/* tree.c */

/*
 * Adds a tree, by a number that no other one has. `journal`: of its requests; another one than the supervisor's is
 * unmapped when the tree is removed. Returns NULL without memory.
 */
struct tree *tree_new(struct supervisor *supervisor, uint32_t index, struct journal *journal);

/* The tree of that number, or NULL. */
struct tree *tree_find(struct supervisor *supervisor, uint32_t index);

/* Its listener is there: takes it over, with the slots that an earlier receiver has left. Nothing is received yet. */
void tree_take_listener_consume_fd(struct tree *tree, int listener);

/* Receives from now on. */
void tree_listen(struct tree *tree);

/* Gives up requests whose requesters have gone, but for leaders of loads that are on their way. */
void tree_sweep(struct tree *tree);

/* Receives nothing any more. */
void tree_be_deaf(struct tree *tree);

/* Forgets the tree, and closes what is its. What its requests wait for is not waited for. */
void tree_remove(struct tree *tree);

/* How many slots hold a request, in all trees. */
uint32_t trees_in_use(const struct supervisor *supervisor);

/* request.c */

/* Decides about a request that has just been received, as far as that is possible at once. */
void request_begin(struct tree *tree, struct journal_request *slot);

/* Puts a request back to the load it waited for under an earlier supervisor. */
void request_adopt(struct tree *tree, struct journal_request *slot, struct load *load);

/* The counters of its module or file, in its tree's journal. */
struct journal_module *request_counters(const struct request *request);

/* Answers a request that is no longer in the table. */
void request_answer(struct supervisor *supervisor, struct request *request, int error);
void request_continue(struct supervisor *supervisor, struct request *request, enum continue_reason reason);

/* Closes what it holds, and leaves its slot to whoever comes next. For the end of this process. */
void request_forget(struct request *request);

/* Gives up a request whose requester has gone, and that is no longer in the table. */
void request_release(struct supervisor *supervisor, struct request *request);

/* Its requester has gone: takes it out of the table, and gives it up. A load that was waiting for its image goes on. */
void request_give_up(struct supervisor *supervisor, struct request *request);

/*
 * Its thread has made another call, and what became of this one is of no interest any more. It is given up, but for a
 * leader: the load is counted as its.
 */
void request_supersede(struct supervisor *supervisor, struct request *request);

/* Takes a request out of the table, if it is in it. It still has to be answered or released. */
void request_withdraw(struct supervisor *supervisor, struct request *request);

/*
 * Shares a failure, of the load that was joined or a remembered one. An init_module call gets it only if its image is
 * the one that failed, `hash`; else it begins again.
 */
void request_share_failure(struct supervisor *supervisor, struct request *request, const uint64_t hash[static 2],
                           int error, bool remembered);

/* What an inspector found. `bytes`: answer->length of them; `*fd` may be taken over. */
void request_inspected(struct supervisor *supervisor, struct request *request, const struct job_answer *answer,
                       const char *bytes, int *fd);

/* An inspection failed, or could not be made. */
void request_not_inspected(struct supervisor *supervisor, struct request *request, enum continue_reason reason);

/* inspect.c */

/* Queues an inspection of a request that is not being inspected. */
void inspect(struct supervisor *supervisor, struct request *request, enum inspection inspection);

/* Does an inspection of the request wait for an inspector? */
bool inspect_is_queued(const struct request *request);

/* Forgets the inspection of a request, if there is one; an inspector that works on it is given up. */
void inspect_cancel(struct supervisor *supervisor, struct request *request);

/*
 * Gives waiting inspections to inspectors, and asks for another one when there is none, when those there are hang, or
 * when large images are to be compared.
 */
void inspections_send(struct supervisor *supervisor);

/* The supervisor's list of them, and how many CPUs there are for inspectors. */
void inspections_init(struct supervisor *supervisor);

/* The keeper could not fork an inspector. As inspections_give_up(), and it is not asked again at once. */
void inspections_failed(struct supervisor *supervisor);

/* No inspector could be forked: unless there are others, all inspections that wait for one have failed. */
void inspections_give_up(struct supervisor *supervisor);

/*
 * Ends the inspections that took too long. Returns the nanoseconds after which it and inspections_send() want to be
 * called again, whatever happens; or UINT64_MAX.
 */
uint64_t inspections_expire(struct supervisor *supervisor);

/* An inspector has something to say. */
void inspector_ready(struct pool *pool, struct worker *worker);

/* missed.c */

/* Nothing is known yet; before anything is received. */
void missed_init(struct supervisor *supervisor);

/* Forgets all results. */
void missed_deinit(struct supervisor *supervisor);

/* A request begins. What its thread asked for before, and nobody has looked into yet, is given up. */
void missed_thread_calls(struct supervisor *supervisor, struct request *request);

/* Has its thread made a later call? Then nobody waits for this one. */
bool missed_thread_went_on(struct supervisor *supervisor, const struct request *request);

/*
 * The kernel did not take this answer (0 or a positive errno), since the caller no longer waits. `slot`: a copy of the
 * request's, as it was before. Only results of loads count.
 */
void missed_add(struct supervisor *supervisor, const struct request *request, const struct journal_request *slot,
                int error);

/* Has the same thread made this call before, without having had an answer? True only if it is the same thread. */
bool missed_comes_back(struct supervisor *supervisor, const struct request *request);

/* Of one that comes back, with its key: is the load that it waited for still in the table? */
bool missed_is_in_flight(struct supervisor *supervisor, const struct request *request);

/* Of one that comes back, with its key: the result that it missed, and the hash of the image that failed. */
bool missed_find(struct supervisor *supervisor, const struct request *request, int *ret_error,
                 uint64_t ret_hash[static 2]);

/* A call of this thread was answered, or waits in the table now: what it missed before is void. */
void missed_forget(struct supervisor *supervisor, uint32_t thread);

/* remember.c */

/* Takes the socket for uevents over: from now on failures may be remembered. */
void remember_init_consume_fd(struct supervisor *supervisor, int uevents_fd);

/* Closes it, and forgets all failures: none is remembered from now on. */
void remember_deinit(struct supervisor *supervisor);

/* Notes the state before a load is sent. */
void remember_before_load(struct supervisor *supervisor, struct load *load);

/* Remembers the result of a load, if that is to be; then what the load owned is the memory's. */
void remember_result(struct supervisor *supervisor, struct load *load, int error);

/* The failure that stands for this key, or NULL. None does unless every event up to now was seen. */
struct failure *remember_find(struct supervisor *supervisor, const struct module_key *key);

/* Makes up for attempts that are due. Returns the nanoseconds after which it wants to be called again, or UINT64_MAX.
 */
uint64_t remember_make_up(struct supervisor *supervisor);

/* load.c */

/* The journal's side of a load. */
struct journal_load *load_journal(struct supervisor *supervisor, const struct load *load);

/* An unused load with a serial of its own, or NULL. */
struct load *load_new(struct supervisor *supervisor);

/* Gives back a load that is not in the table, and what it owns. */
void load_free(struct supervisor *supervisor, struct load *load);

/*
 * Begins with a load that is in flight in the table: sends for the image first, where there is one. The first of its
 * requests that still waits is its leader; those before it have gone, and are released. If there is none left, it ends.
 */
void load_begin(struct supervisor *supervisor, struct load *load);

/* The image of a load's leader is there. Takes the memfd over. */
void load_image_arrived_consume_fd(struct supervisor *supervisor, struct load *load, int memfd,
                                   const uint64_t hash[static 2]);

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

/* Closes what those hold that nobody has begun, for the end of this process. */
void loads_forget(struct supervisor *supervisor);

/* Does any loader still work? */
bool loads_in_flight(const struct supervisor *supervisor);

/* recover.c */

/*
 * Takes over what the journals hold, of loads and of the requests of all trees. Once, when all loaders were handed
 * over, and before anything is received.
 */
void supervisor_recover(struct supervisor *supervisor);

/* The same for the requests of a tree that has come later. */
void recover_requests(struct tree *tree);

/* tracing.c */

/* Takes the pipe to the tracer over; -1: nothing is traced. */
void tracing_init_consume_fd(struct supervisor *supervisor, int fd);

/* Closes it. */
void tracing_deinit(struct supervisor *supervisor);

/* From now on the tracer is told of the requests of this tree. Only if there is one. */
void tracing_tree(struct tree *tree);

/* The file of a request is known: its path is kept for the trace. Only if there is one. */
void tracing_file(struct supervisor *supervisor, struct request *request, pid_t tid, int number);

/* A load was performed: `error` 0 or a positive errno. */
void tracing_load(struct supervisor *supervisor, const struct load *load, int error, uint64_t duration_ns);
