/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "call.h"
#include "journal.h"
#include "module/identity.h"
#include "supervisor.h"
#include "util/fd.h"
#include "util/log.h"

/* Callers whose memory does not answer are left to the kernel, which will have to read the same memory. */
#define INSPECTION_LIMIT_NS (5 * 1000000000ULL)

/* Inspectors that leave the next request waiting for so long hang: one more is asked for. */
#define INSPECTORS_HANG_NS (50 * 1000000ULL)

/* include/uapi/linux/module.h; MODULE_INIT_COMPRESSED_FILE is missing in older headers. */
#define KNOWN_FLAGS 7U

static struct request *request_of(struct supervisor *supervisor, struct journal_request *slot) {
        return &supervisor->requests[slot - supervisor->journal->requests];
}

static struct journal_module *counters_of(struct supervisor *supervisor, const struct request *request) {
        static struct journal_module nobody;

        return request->module == NO_MODULE ? &nobody : &supervisor->journal->modules[request->module];
}

/* The counterpart of request_begin(). Whatever waits in a list has been taken out of it. */
static void request_end(struct request *request) {
        request->file_fd = fd_close(request->file_fd);
        request->memory_fd = fd_close(request->memory_fd);
        request->state = REQUEST_NONE;
        request->slot = NULL;
}

void request_answer(struct supervisor *supervisor, struct request *request, int error) {
        (void)notify_answer(&supervisor->notify, request->slot, error);
        request_end(request);
}

void request_continue(struct supervisor *supervisor, struct request *request, enum continue_reason reason) {
        counters_of(supervisor, request)->continued++;
        (void)notify_continue(&supervisor->notify, request->slot, reason);
        request_end(request);
}

void request_release(struct supervisor *supervisor, struct request *request) {
        counters_of(supervisor, request)->gone++;
        notify_release(&supervisor->notify, request->slot);
        request_end(request);
}

static bool modules_disabled(const struct supervisor *supervisor) {
        char digit = '0';

        if (supervisor->modules_disabled_fd >= 0 && pread(supervisor->modules_disabled_fd, &digit, 1, 0) == 1)
                return digit != '0';
        return false;
}

/* The file of a finit_module call, its name, and its counters. */
static enum continue_reason look_at_file(struct supervisor *supervisor, struct request *request, int directory) {
        const struct seccomp_data *data = &request->slot->notif.data;
        struct caller_file file;
        enum continue_reason reason;
        const char *slash;
        bool indexed;

        if ((uint32_t)data->args[2] & ~KNOWN_FLAGS)
                return CONTINUE_FLAGS;
        reason = caller_file_init(&file, directory, (int)data->args[0]);
        if (reason != CONTINUE_NOT)
                return reason;
        request->file = file.identity;
        request->file_fd = fd_steal(&file.fd);
        indexed = module_index_name(&supervisor->index, file.path, &file.identity, request->name);
        slash = strrchr(file.path, '/');
        request->module =
                journal_module(supervisor->journal, indexed ? request->name : (slash ? slash + 1 : file.path), indexed);
        /* once, also when it begins again */
        if (request->slot->module == 0)
                counters_of(supervisor, request)->requests++;
        request->slot->module = request->module + 1;
        return CONTINUE_NOT;
}

/* All that makes a request one for the kernel alone, short of its parameters. */
static enum continue_reason look(struct supervisor *supervisor, struct request *request) {
        const struct seccomp_notif *notif = &request->slot->notif;
        enum call call = call_of(&notif->data);
        _cleanup_fd_ int directory = -1;
        enum continue_reason reason;

        if (call == CALL_UNKNOWN)
                return CONTINUE_UNKNOWN_CALL;
        if (call == CALL_INIT_MODULE)
                return CONTINUE_INIT_MODULE;
        if (modules_disabled(supervisor))
                return CONTINUE_DISABLED;
        if (notif->pid == 0)
                return CONTINUE_NO_PID;
        directory = caller_open(&supervisor->self, (pid_t)notif->pid);
        if (directory < 0)
                return directory == -ENOENT || directory == -ESRCH ? CONTINUE_CALLER_GONE : CONTINUE_INTERNAL;
        reason = caller_check(&supervisor->self, directory, (pid_t)notif->pid);
        if (reason == CONTINUE_NOT)
                reason = look_at_file(supervisor, request, directory);
        if (reason != CONTINUE_NOT)
                return reason;
        request->memory_fd = caller_open_memory(directory);
        return CONTINUE_NOT;
}

/* Answers a request whose module is live, which the kernel would see before it looked at the parameters. */
static bool answer_if_live(struct supervisor *supervisor, struct request *request) {
        struct journal_module *counters = counters_of(supervisor, request);

        if (request->name[0] == '\0' || module_sysfs_state(&supervisor->sysfs, request->name) != MODULE_LIVE)
                return false;
        counters->live++;
        counters->bytes_saved += request->file.size;
        request_answer(supervisor, request, EEXIST);
        return true;
}

static void request_init(struct request *request, struct journal_request *slot) {
        memset(request, 0, sizeof(*request));
        request->slot = slot;
        request->memory_fd = -1;
        request->file_fd = -1;
        request->module = NO_MODULE;
        request->dedup.order = slot->order;
        list_init(&request->dedup.link);
        list_init(&request->inspecting);
}

void request_begin(struct supervisor *supervisor, struct journal_request *slot) {
        struct request *request = request_of(supervisor, slot);
        enum continue_reason reason;

        request_init(request, slot);
        reason = look(supervisor, request);
        if (reason != CONTINUE_NOT) {
                request_continue(supervisor, request, reason);
                return;
        }
        if (answer_if_live(supervisor, request))
                return;
        if (request->memory_fd < 0) {
                request_continue(supervisor, request, CONTINUE_MEMORY);
                return;
        }
        request->state = REQUEST_INSPECTING;
        request->deadline_ns = journal_now_ns() + INSPECTION_LIMIT_NS;
        list_insert_before(&supervisor->inspecting, &request->inspecting);
}

void request_adopt(struct supervisor *supervisor, struct journal_request *slot, struct load *load) {
        struct request *request = request_of(supervisor, slot);

        request_init(request, slot);
        request->module = load->module;
        request->file = load->dedup.key.file;
        request->state = REQUEST_WAITING;
        dedup_table_attach(&load->dedup, &request->dedup);
}

/* The load that a request leads, or would lead once its turn comes, gets what is needed to perform it. */
static int load_fill(struct load *load, struct request *request, const char *params, uint32_t length) {
        char *copy = length > 0 ? malloc(length) : NULL;

        if (length > 0 && !copy)
                return -ENOMEM;
        if (length > 0)
                memcpy(copy, params, length);
        load->params = copy;
        load->params_length = length;
        load->file_fd = fd_steal(&request->file_fd);
        load->module = request->module;
        return 0;
}

/* Everything is known: lead, join, or wait behind another load of this name. */
static void decide(struct supervisor *supervisor, struct request *request, const char *params, uint32_t length) {
        uint32_t flags = (uint32_t)request->slot->notif.data.args[2];
        struct module_key key = module_key_make(&request->file, request->name, params, length, flags);
        enum dedup_verdict verdict;
        struct load *load;

        /* What was seen of /proc/TID is only true of the requester if it still waits now. */
        if (!notify_is_waiting(&supervisor->notify, request->slot)) {
                request_release(supervisor, request);
                return;
        }
        if (answer_if_live(supervisor, request))
                return;
        load = load_new(supervisor);
        if (load && load_fill(load, request, params, length) < 0) {
                load_free(supervisor, load);
                load = NULL;
        }
        if (!load) {
                request_continue(supervisor, request, CONTINUE_INTERNAL);
                return;
        }
        request->state = REQUEST_WAITING;
        verdict = dedup_table_submit(&supervisor->table, &key, &request->dedup, &load->dedup);
        if (request->dedup.load != &load->dedup)
                load_free(supervisor, load);
        load = container_of(request->dedup.load, struct load, dedup);
        request->slot->load_serial = load->serial;
        request->slot->load = (uint32_t)(load - supervisor->loads);
        if (verdict == DEDUP_LEAD)
                load_start(supervisor, load);
}

static bool give_to_inspector(struct supervisor *supervisor, struct request *request) {
        struct job job = {
                .type = JOB_READ_STRING,
                .serial = request->slot->order,
                .address = request->slot->notif.data.args[1],
        };
        struct worker *worker;

        while ((worker = pool_idle(&supervisor->inspectors))) {
                int r = pool_send(worker, &job, NULL, request->memory_fd);

                if (r == 0) {
                        request->memory_fd = fd_close(request->memory_fd);
                        request->inspector = worker;
                        return true;
                }
                if (r != -EPIPE)
                        return false;
                pool_drop(worker);
        }
        return false;
}

static struct request *inspecting_request(struct list_node *node) {
        return container_of(node, struct request, inspecting);
}

static void leave_inspection(struct request *request) {
        list_remove(&request->inspecting);
        request->inspector = NULL;
}

/* The oldest request that no inspector has, or NULL. */
static struct request *not_inspected(struct supervisor *supervisor) {
        list_for_each_safe(node, after, &supervisor->inspecting) {
                struct request *request = inspecting_request(node);

                if (!request->inspector)
                        return request;
        }
        return NULL;
}

static bool has_waited_long(const struct request *request) {
        return journal_now_ns() + INSPECTION_LIMIT_NS >= request->deadline_ns + INSPECTORS_HANG_NS;
}

void requests_inspect(struct supervisor *supervisor) {
        struct pool *pool = &supervisor->inspectors;
        struct request *request;

        while ((request = not_inspected(supervisor)))
                if (!give_to_inspector(supervisor, request))
                        break;
        if (!request || pool_count(pool, WORKER_STARTING) > 0)
                return;
        if (pool_count(pool, WORKER_BUSY) > 0 && !has_waited_long(request))
                return;
        if (pool_grow(pool, journal_now_ns()) < 0)
                requests_give_up_inspection(supervisor);
}

void requests_give_up_inspection(struct supervisor *supervisor) {
        struct request *request;

        if (pool_count(&supervisor->inspectors, WORKER_BUSY) > 0)
                return;
        while ((request = not_inspected(supervisor))) {
                leave_inspection(request);
                request_continue(supervisor, request, CONTINUE_INSPECTOR);
        }
}

static void abandon(struct supervisor *supervisor, struct request *request) {
        struct worker *worker = request->inspector;

        leave_inspection(request);
        if (worker)
                pool_drop(worker);
        request_continue(supervisor, request, CONTINUE_INSPECTOR);
}

uint64_t requests_expire(struct supervisor *supervisor) {
        uint64_t now = journal_now_ns();

        while (!list_is_empty(&supervisor->inspecting)) {
                struct request *request = inspecting_request(supervisor->inspecting.next);

                if (request->deadline_ns > now)
                        return not_inspected(supervisor) ? INSPECTORS_HANG_NS : request->deadline_ns - now;
                log_warning("the memory of thread %u cannot be read in time; its call is left to the kernel",
                            request->slot->notif.pid);
                abandon(supervisor, request);
        }
        return UINT64_MAX;
}

static struct request *inspected_by(struct supervisor *supervisor, const struct worker *worker) {
        list_for_each_safe(node, after, &supervisor->inspecting) {
                struct request *request = inspecting_request(node);

                if (request->inspector == worker)
                        return request;
        }
        return NULL;
}

void inspector_ready(struct pool *pool, struct worker *worker) {
        struct supervisor *supervisor = container_of(pool, struct supervisor, inspectors);
        struct request *request = inspected_by(supervisor, worker);
        static char params[MODULE_PARAMS_MAX];
        struct job_answer answer;
        int r = pool_peek(worker, &answer, params, sizeof(params));

        if (r > 0)
                return;
        if (r < 0) {
                pool_drop(worker);
                if (request) {
                        leave_inspection(request);
                        request_continue(supervisor, request, CONTINUE_INSPECTOR);
                }
                return;
        }
        pool_consume(worker, &answer);
        if (!request || answer.serial != request->slot->order)
                return;
        leave_inspection(request);
        if (answer.status == JOB_DONE)
                decide(supervisor, request, params, answer.length);
        else
                request_continue(supervisor, request,
                                 answer.status == JOB_TOO_LONG ? CONTINUE_PARAMS_TOO_LONG : CONTINUE_MEMORY);
}
