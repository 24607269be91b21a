/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <sched.h>

#include "journal.h"
#include "step.h"
#include "supervisor.h"
#include "util/fd.h"
#include "util/log.h"

/* Callers whose memory does not answer are left to the kernel, which will have to read the same memory. */
#define INSPECTION_LIMIT_NS (5 * 1000000000ULL)

/* A large image takes its time: so much more for each MiB. */
#define INSPECTION_MIB_NS (100 * 1000000ULL)

/* Inspectors of which none has come back for so long hang, if a request waits for them: one more is asked for. */
#define INSPECTORS_HANG_NS (50 * 1000000ULL)

/* Comparing so much takes longer than to fork an inspector. */
#define WORTH_AN_INSPECTOR (1U << 20)

/* The others are for requests that do not wait for somebody else's image. */
#define COMPARING_MAX (INSPECTORS_MAX / 2)

void inspections_init(struct supervisor *supervisor) {
        cpu_set_t cpus;

        list_init(&supervisor->inspecting);
        /* EINVAL: there are more CPUs than a set has room for */
        supervisor->cpus = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? (uint32_t)CPU_COUNT(&cpus) : CPU_SETSIZE;
}

static struct request *request_of(struct list_node *node) {
        return container_of(node, struct request, inspecting);
}

void inspect(struct supervisor *supervisor, struct request *request, enum inspection inspection) {
        request->inspection = inspection;
        request->inspection_serial = ++supervisor->inspection_serial;
        request->inspector = NULL;
        request->since_ns = journal_now_ns();
        list_insert_before(&supervisor->inspecting, &request->inspecting);
        supervisor->inspection_queued = true;
}

bool inspect_is_queued(const struct request *request) {
        return !list_is_empty(&request->inspecting) && !request->inspector;
}

static void leave(struct request *request) {
        list_remove(&request->inspecting);
        request->inspector = NULL;
}

void inspect_cancel(struct supervisor *supervisor, struct request *request) {
        struct worker *worker = request->inspector;

        (void)supervisor;
        leave(request);
        if (worker)
                pool_drop(worker);
}

static struct job job_for(const struct request *request) {
        static const enum job_type types[] = {
                [INSPECT_NAME] = JOB_READ_NAME,
                [INSPECT_PARAMS] = JOB_READ_STRING,
                [INSPECT_IMAGE] = JOB_COPY_IMAGE,
                [INSPECT_HASH] = JOB_HASH_IMAGE,
        };
        const struct seccomp_data *data = &request->slot->notif.data;
        bool image = request->call == CALL_INIT_MODULE;
        /* init_module(image, length, params), finit_module(fd, params, flags) */
        uint64_t params = call_argument(data, image ? 2 : 1);

        return (struct job){
                .type = types[request->inspection],
                .serial = request->inspection_serial,
                .address = request->inspection == INSPECT_PARAMS ? params : call_argument(data, 0),
                .image_length = image ? request->file.size : 0,
        };
}

static bool give_to_inspector(struct supervisor *supervisor, struct request *request) {
        struct job job = job_for(request);
        struct worker *worker;

        while ((worker = pool_idle(&supervisor->inspectors))) {
                int r = pool_send(worker, &job, NULL, request->memory_fd);

                if (r == 0) {
                        request->inspector = worker;
                        request->since_ns = journal_now_ns();
                        STEP(INSPECTION_SENT);
                        return true;
                }
                if (r != -EPIPE)
                        return false;
                pool_drop(worker);
        }
        return false;
}

/*
 * Since when nothing has happened for this request: it is being inspected, or waits for an inspector and none has come
 * back. A long queue on a slow machine is no reason to give up.
 */
static uint64_t idle_since(const struct supervisor *supervisor, const struct request *request) {
        return request->inspector || request->since_ns > supervisor->inspected_ns ? request->since_ns
                                                                                  : supervisor->inspected_ns;
}

static uint64_t deadline_of(const struct supervisor *supervisor, const struct request *request) {
        bool whole_image = request->inspection == INSPECT_IMAGE || request->inspection == INSPECT_HASH;
        uint64_t limit_ns = INSPECTION_LIMIT_NS;

        if (whole_image)
                limit_ns += (request->file.size >> 20) * INSPECTION_MIB_NS;
        return idle_since(supervisor, request) + limit_ns;
}

/*
 * The request that is next for an inspector, or NULL. Comparisons of whole images come last, and not too many at a
 * time: there may be as many as callers, and requests for other modules must not wait for them.
 */
static struct request *not_inspected(struct supervisor *supervisor) {
        struct request *comparison = NULL;
        uint32_t comparing = 0;

        list_for_each_safe(node, after, &supervisor->inspecting) {
                struct request *request = request_of(node);

                if (request->inspection == INSPECT_HASH && request->inspector)
                        comparing++;
                else if (request->inspector)
                        continue;
                else if (request->inspection != INSPECT_HASH)
                        return request;
                else if (!comparison)
                        comparison = request;
        }
        return comparing < COMPARING_MAX ? comparison : NULL;
}

/* One more inspector: none works, all hang, or large images are to be compared. */
static bool wants_another(const struct supervisor *supervisor, const struct request *request) {
        uint32_t busy = pool_count(&supervisor->inspectors, WORKER_BUSY);
        uint64_t now = journal_now_ns();

        if (busy == 0)
                return true;
        /* others are at work: time enough until the keeper can fork again */
        if (supervisor->no_inspector_ns != 0 && now - supervisor->no_inspector_ns < INSPECTORS_HANG_NS)
                return false;
        return now - idle_since(supervisor, request) >= INSPECTORS_HANG_NS ||
               (request->inspection == INSPECT_HASH && request->file.size >= WORTH_AN_INSPECTOR &&
                busy < supervisor->cpus);
}

void inspections_send(struct supervisor *supervisor) {
        struct pool *pool = &supervisor->inspectors;
        struct request *request;

        supervisor->inspection_queued = false;
        while ((request = not_inspected(supervisor)))
                if (!give_to_inspector(supervisor, request))
                        break;
        if (!request || pool_count(pool, WORKER_STARTING) > 0 || !wants_another(supervisor, request))
                return;
        if (pool_grow(pool, journal_now_ns()) < 0)
                inspections_give_up(supervisor);
}

void inspections_failed(struct supervisor *supervisor) {
        supervisor->no_inspector_ns = journal_now_ns();
        inspections_give_up(supervisor);
}

void inspections_give_up(struct supervisor *supervisor) {
        struct request *request;

        if (pool_count(&supervisor->inspectors, WORKER_BUSY) > 0 || pool_idle(&supervisor->inspectors))
                return;
        while ((request = not_inspected(supervisor))) {
                leave(request);
                request_not_inspected(supervisor, request, CONTINUE_INSPECTOR);
        }
}

/* The one whose time is up first, or NULL. */
static struct request *first_to_expire(struct supervisor *supervisor) {
        struct request *first = NULL;

        list_for_each_safe(node, after, &supervisor->inspecting) {
                struct request *request = request_of(node);

                if (!first || deadline_of(supervisor, request) < deadline_of(supervisor, first))
                        first = request;
        }
        return first;
}

uint64_t inspections_expire(struct supervisor *supervisor) {
        uint64_t now = journal_now_ns();
        struct request *request;

        if (list_is_empty(&supervisor->inspecting))
                return UINT64_MAX;
        /* thousands may wait, and this is called all the time */
        if (now - supervisor->expired_ns < INSPECTORS_HANG_NS)
                return INSPECTORS_HANG_NS;
        supervisor->expired_ns = now;
        while ((request = first_to_expire(supervisor))) {
                uint64_t deadline_ns = deadline_of(supervisor, request);

                /* its answer may be there, if we are the ones who were slow */
                if (deadline_ns > supervisor->heard_ns)
                        return not_inspected(supervisor) || deadline_ns <= now ? INSPECTORS_HANG_NS : deadline_ns - now;
                log_warning("the memory of thread %u cannot be read in time; its call is left to the kernel",
                            request->slot->notif.pid);
                inspect_cancel(supervisor, request);
                request_not_inspected(supervisor, request, CONTINUE_INSPECTOR);
        }
        return UINT64_MAX;
}

static struct request *inspected_by(struct supervisor *supervisor, const struct worker *worker) {
        list_for_each_safe(node, after, &supervisor->inspecting) {
                struct request *request = request_of(node);

                if (request->inspector == worker)
                        return request;
        }
        return NULL;
}

void inspector_ready(struct pool *pool, struct worker *worker) {
        struct supervisor *supervisor = container_of(pool, struct supervisor, inspectors);
        struct request *request = inspected_by(supervisor, worker);
        static char bytes[MODULE_PARAMS_MAX];
        struct job_answer answer;
        _cleanup_fd_ int fd = -1;
        int r = pool_receive(worker, &answer, bytes, sizeof(bytes), &fd);

        if (r > 0)
                return;
        if (r < 0) {
                pool_drop(worker);
                if (request) {
                        leave(request);
                        request_not_inspected(supervisor, request, CONTINUE_INSPECTOR);
                }
                return;
        }
        supervisor->inspected_ns = journal_now_ns();
        if (!request || answer.serial != request->inspection_serial)
                return;
        leave(request);
        request_inspected(supervisor, request, &answer, bytes, &fd);
}
