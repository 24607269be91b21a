/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "journal.h"
#include "step.h"
#include "supervisor.h"
#include "util/fd.h"
#include "util/log.h"

/* Loaders that are forked and have ended before they get the load: something is wrong with all of them. */
#define ASKED_MAX 8U

struct journal_load *load_journal(struct supervisor *supervisor, const struct load *load) {
        return &supervisor->journal->loads[load - supervisor->loads];
}

struct load *load_new(struct supervisor *supervisor) {
        for (uint32_t i = 0; i < JOURNAL_LOADS; i++) {
                struct load *load = &supervisor->loads[i];

                if (load->used)
                        continue;
                memset(load, 0, sizeof(*load));
                list_init(&load->pending);
                load->used = true;
                load->file_fd = -1;
                load->serial = ++supervisor->journal->header.load_serial;
                return load;
        }
        return NULL;
}

void load_free(struct supervisor *supervisor, struct load *load) {
        list_remove(&load->pending);
        load->file_fd = fd_close(load->file_fd);
        free(load->params);
        load->params = NULL;
        load->used = false;
        load_journal(supervisor, load)->state = JOURNAL_LOAD_FREE;
        STEP(LOAD_FREED);
}

void load_begin(struct supervisor *supervisor, struct load *load) {
        list_for_each_safe(node, after, &load->dedup.requests) {
                struct dedup_request *dedup = container_of(node, struct dedup_request, link);
                struct request *request = container_of(dedup, struct request, dedup);

                if (notify_is_waiting(&request->tree->notify, request->slot)) {
                        load->leader = request;
                        break;
                }
                request_withdraw(supervisor, request);
                request_release(supervisor, request);
        }
        if (!load->leader && !load->made_up)
                load_complete(supervisor, load, JOB_REFUSED, 0, CONTINUE_INTERNAL);
        else if (load->leader && load->call == CALL_INIT_MODULE && load->file_fd < 0)
                inspect(supervisor, load->leader, INSPECT_IMAGE);
        else
                list_insert_before(&supervisor->pending, &load->pending);
}

void load_image_arrived_consume_fd(struct supervisor *supervisor, struct load *load, int memfd,
                                   const uint64_t hash[static 2]) {
        load->file_fd = memfd;
        memcpy(load->image_hash, hash, sizeof(load->image_hash));
        list_insert_before(&supervisor->pending, &load->pending);
}

/* Whether the load that they wait for was sent. */
static void mark_requests(struct load *load, uint32_t sent) {
        list_for_each_safe(node, after, &load->dedup.requests)
                container_of(container_of(node, struct dedup_request, link), struct request, dedup)
                        ->slot->sent = sent;
}

/*
 * Into the journal before the job is sent. If we die in between, our successor asks the loader, which answers in the
 * order of what it was sent.
 */
static void write_sent(struct supervisor *supervisor, struct load *load, const struct worker *worker) {
        struct journal_load *entry = load_journal(supervisor, load);

        entry->loader = pool_index(worker);
        entry->serial = load->serial;
        entry->key = load->dedup.key;
        entry->call = load->call;
        memcpy(entry->image_hash, load->image_hash, sizeof(entry->image_hash));
        entry->module = load->module;
        mark_requests(load, 1);
        __atomic_store_n(&entry->state, JOURNAL_LOAD_SENT, __ATOMIC_RELEASE);
}

/* Returns 0, -EAGAIN when no loader is idle, or another negative errno: no loader could take it. */
static int send_to_loader(struct supervisor *supervisor, struct load *load) {
        struct job job = {
                .type = load->call == CALL_INIT_MODULE ? JOB_INIT : JOB_FINIT,
                .flags = load->dedup.key.flags,
                .serial = load->serial,
                .image_length = load->dedup.key.file.size,
                .params_length = load->params_length,
        };
        struct worker *worker;

        while ((worker = pool_idle(&supervisor->loaders))) {
                int r;

                remember_before_load(supervisor, load);
                write_sent(supervisor, load, worker);
                STEP(LOAD_JOURNALED);
                r = pool_send(worker, &job, load->params, load->file_fd);
                if (r == 0) {
                        STEP(LOAD_SENT);
                        load->loader = worker;
                        list_remove(&load->pending);
                        return 0;
                }
                mark_requests(load, 0);
                load_journal(supervisor, load)->state = JOURNAL_LOAD_FREE;
                if (r != -EPIPE)
                        return r == -EAGAIN ? -ENOBUFS : r;
                pool_drop(worker);
        }
        return -EAGAIN;
}

static struct load *pending_load(struct list_node *node) {
        return container_of(node, struct load, pending);
}

/* False: a load was given up, and another one may have taken its place in the queue. */
static bool send_pending(struct supervisor *supervisor) {
        uint32_t starting = pool_count(&supervisor->loaders, WORKER_STARTING);

        list_for_each_safe(node, after, &supervisor->pending) {
                struct load *load = pending_load(node);
                int r = send_to_loader(supervisor, load);

                if (r == 0)
                        continue;
                /* no load waits for another one's loader */
                if (r == -EAGAIN && starting > 0) {
                        starting--;
                } else if (r != -EAGAIN || load->loaders_asked++ >= ASKED_MAX ||
                           pool_grow(&supervisor->loaders, journal_now_ns()) < 0) {
                        load_complete(supervisor, load, JOB_REFUSED, 0, CONTINUE_NO_LOADER);
                        return false;
                }
        }
        return true;
}

void loads_send(struct supervisor *supervisor) {
        while (!send_pending(supervisor))
                ;
}

void loads_give_up_one(struct supervisor *supervisor) {
        if (!list_is_empty(&supervisor->pending))
                load_complete(supervisor, pending_load(supervisor->pending.next), JOB_REFUSED, 0, CONTINUE_NO_LOADER);
}

struct result {
        enum job_status status;
        int error;
        enum continue_reason reason;
        const struct load *load;
};

static void answer_joiner(struct supervisor *supervisor, struct request *request, const struct result *result) {
        struct journal_module *counters = request_counters(request);

        /* a success needs no closer look: the module is live now, whatever image it is from */
        if (result->error != 0) {
                request_share_failure(supervisor, request, result->load->image_hash, result->error, false);
                return;
        }
        counters->joined++;
        request->answer = TRACE_JOINED;
        counters->bytes_saved += request->file.size;
        request_answer(supervisor, request, result->error);
}

static void answer(struct supervisor *supervisor, struct request *request, const struct result *result) {
        struct journal_module *counters = request_counters(request);

        if (request->dedup.outcome == DEDUP_EXISTS) {
                counters->behind++;
                request->answer = TRACE_BEHIND;
                counters->bytes_saved += request->file.size;
                request->may_miss = false; /* it would get the same again */
                request_answer(supervisor, request, EEXIST);
        } else if (result->status != JOB_DONE) {
                request_continue(supervisor, request, result->reason);
        } else if (request == result->load->leader) {
                memcpy(request->shared_hash, result->load->image_hash, sizeof(request->shared_hash));
                request_answer(supervisor, request, result->error);
        } else {
                answer_joiner(supervisor, request, result);
        }
}

/*
 * After the death of a supervisor the leader of a load is not known. With the same file it makes no difference who is
 * taken for it; an image has to be compared first.
 */
static void find_leader(struct load *load) {
        struct dedup_request *first;

        if (load->leader || load->made_up || load->call == CALL_INIT_MODULE || list_is_empty(&load->dedup.requests))
                return;
        first = container_of(load->dedup.requests.next, struct dedup_request, link);
        load->leader = container_of(first, struct request, dedup);
}

/* They would queue up for this CPU. */
static void wake_anywhere(struct supervisor *supervisor) {
        list_for_each_safe(node, after, &supervisor->trees)
                notify_wake_here(&container_of(node, struct tree, link)->notify, false);
}

void load_complete(struct supervisor *supervisor, struct load *load, enum job_status status, int error,
                   enum continue_reason reason) {
        struct result result = { .status = status, .error = error, .reason = reason, .load = load };
        struct list_node answered, removed, *node;
        struct dedup_load *next;

        list_init(&answered);
        list_init(&removed);
        find_leader(load);
        next = dedup_table_complete(&supervisor->table, &load->dedup, status == JOB_DONE && error == 0, &answered,
                                    &removed);
        if (!list_is_empty(&answered) && answered.next != answered.previous)
                wake_anywhere(supervisor);
        while ((node = list_take_first(&answered))) {
                struct dedup_request *dedup = container_of(node, struct dedup_request, link);

                answer(supervisor, container_of(dedup, struct request, dedup), &result);
        }
        /* only now: as long as a request waits, the journal has its result */
        while ((node = list_take_first(&removed)))
                load_free(supervisor, container_of(container_of(node, struct dedup_load, link), struct load, dedup));
        if (next)
                load_begin(supervisor, container_of(next, struct load, dedup));
}

/* Where all loads are counted, and in the journal of its leader's tree, if that is another one. */
static void count_load(struct supervisor *supervisor, struct load *load, int error, uint64_t duration_ns) {
        struct journal_module *counters = &supervisor->journal->modules[load->module];
        uint64_t bytes = load->dedup.key.file.size;

        if (load->made_up)
                counters->made_up++;
        journal_count_load(counters, error, duration_ns, bytes);
        find_leader(load);
        if (load->leader && load->leader->tree->journal != supervisor->journal)
                journal_count_load(request_counters(load->leader), error, duration_ns, bytes);
        tracing_load(supervisor, load, error, duration_ns);
}

void load_lost(struct supervisor *supervisor, struct load *load) {
        const char *name = load->dedup.key.name;
        int error;
        enum module_state state = name[0] ? module_sysfs_state(&supervisor->sysfs, name) : MODULE_ABSENT;

        supervisor->journal->header.loader_deaths++;
        load->loader = NULL;
        log_error("the loader of %s ended without an answer; the module is %s",
                  supervisor->journal->modules[load->module].name,
                  state == MODULE_LIVE ? "live" : (state == MODULE_ABSENT ? "not loaded" : "in an unknown state"));
        if (state == MODULE_ABSENT) {
                load_complete(supervisor, load, JOB_REFUSED, 0, CONTINUE_NO_LOADER);
                return;
        }
        error = state == MODULE_LIVE ? 0 : EBUSY;
        count_load(supervisor, load, error, 0);
        load_complete(supervisor, load, JOB_DONE, error, CONTINUE_NOT);
}

static struct load *loaded_by(struct supervisor *supervisor, const struct worker *worker) {
        for (uint32_t i = 0; i < JOURNAL_LOADS; i++)
                if (supervisor->loads[i].used && supervisor->loads[i].loader == worker)
                        return &supervisor->loads[i];
        return NULL;
}

/* First into the journal, then off the socket: wherever we die, the result is in one of the two. */
static void take_answer(struct supervisor *supervisor, struct load *load, struct worker *worker,
                        const struct job_answer *job_answer) {
        struct journal_load *entry = load_journal(supervisor, load);

        STEP(RESULT_PEEKED);
        entry->status = job_answer->status;
        entry->error = job_answer->error;
        entry->duration_ns = job_answer->duration_ns;
        __atomic_store_n(&entry->state, JOURNAL_LOAD_DONE, __ATOMIC_RELEASE);
        STEP(RESULT_JOURNALED);
        pool_consume(worker, job_answer);
        STEP(RESULT_CONSUMED);
        load->loader = NULL;
        if (job_answer->status == JOB_DONE) {
                count_load(supervisor, load, job_answer->error, job_answer->duration_ns);
                remember_result(supervisor, load, job_answer->error);
        }
        STEP(RESULT_COUNTED);
        load_complete(supervisor, load, job_answer->status, job_answer->error, CONTINUE_LOADER_REFUSED);
}

void loader_ready(struct pool *pool, struct worker *worker) {
        struct supervisor *supervisor = container_of(pool, struct supervisor, loaders);
        struct load *load = loaded_by(supervisor, worker);
        struct job_answer job_answer;
        int r = pool_peek(worker, &job_answer, NULL, 0);

        if (r > 0)
                return;
        if (r < 0) {
                pool_drop(worker);
                if (load)
                        load_lost(supervisor, load);
        } else if (load && job_answer.serial == load->serial) {
                take_answer(supervisor, load, worker, &job_answer);
        } else {
                /* to a load that was complete when its supervisor died */
                pool_consume(worker, &job_answer);
        }
}

void loads_forget(struct supervisor *supervisor) {
        for (uint32_t i = 0; i < JOURNAL_LOADS; i++)
                if (supervisor->loads[i].used)
                        supervisor->loads[i].file_fd = fd_close(supervisor->loads[i].file_fd);
}

bool loads_in_flight(const struct supervisor *supervisor) {
        for (uint32_t i = 0; i < JOURNAL_LOADS; i++)
                if (supervisor->loads[i].used && supervisor->loads[i].loader)
                        return true;
        return false;
}
