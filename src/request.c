/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "call.h"
#include "journal.h"
#include "module/identity.h"
#include "step.h"
#include "supervisor.h"
#include "util/fd.h"
#include "util/log.h"

/* An image beyond that is left to the kernel, which has to find room for it too. */
#define IMAGE_SIZE_MAX (1ULL << 30)

/* Tells a key of init_module from those of files: no file has such flags. */
#define KEY_FLAG_IMAGE (1U << 31)

/* include/uapi/linux/module.h; MODULE_INIT_COMPRESSED_FILE is missing in older headers. */
#define KNOWN_FLAGS 7U
#define FLAG_COMPRESSED 4U

static struct request *request_of(struct tree *tree, const struct journal_request *slot) {
        return &tree->requests[slot - tree->journal->requests];
}

struct journal_module *request_counters(const struct request *request) {
        static struct journal_module nobody;

        return request->module == NO_MODULE ? &nobody : &request->tree->journal->modules[request->module];
}

void request_forget(struct request *request) {
        request->memory_fd = fd_close(request->memory_fd);
        free(request->path);
        request->path = NULL;
        request->state = REQUEST_NONE;
        request->slot = NULL;
}

/* The counterpart of request_begin(), for one that is not in the table. */
static void request_end(struct supervisor *supervisor, struct request *request) {
        inspect_cancel(supervisor, request);
        list_remove(&request->by_thread);
        request_forget(request);
}

/* A module that is there because this very call has loaded it does not "exist" for its caller. */
static bool exists_by_its_own_load(struct supervisor *supervisor, const struct request *request) {
        return (request->had_succeeded || request->was_sent) &&
               (request->name[0] == '\0' || module_sysfs_state(&supervisor->sysfs, request->name) == MODULE_LIVE);
}

void request_answer(struct supervisor *supervisor, struct request *request, int error) {
        struct journal_request slot = *request->slot;

        if (error == EEXIST && exists_by_its_own_load(supervisor, request))
                error = 0;
        if (notify_answer(&request->tree->notify, request->slot, error))
                missed_forget(supervisor, slot.notif.pid);
        else
                missed_add(supervisor, request, &slot, error);
        request_end(supervisor, request);
}

void request_continue(struct supervisor *supervisor, struct request *request, enum continue_reason reason) {
        uint32_t thread = request->slot->notif.pid;

        request_counters(request)->continued++;
        if (notify_continue(&request->tree->notify, request->slot, reason))
                missed_forget(supervisor, thread);
        request_end(supervisor, request);
}

void request_release(struct supervisor *supervisor, struct request *request) {
        request_counters(request)->gone++;
        notify_release(&request->tree->notify, request->slot);
        request_end(supervisor, request);
}

void request_give_up(struct supervisor *supervisor, struct request *request) {
        struct dedup_load *copied_for = list_is_empty(&request->inspecting) ? NULL : request->dedup.load;

        request_withdraw(supervisor, request);
        request_release(supervisor, request);
        if (copied_for)
                load_begin(supervisor, container_of(copied_for, struct load, dedup));
}

void request_supersede(struct supervisor *supervisor, struct request *request) {
        struct dedup_load *dedup = request->dedup.load;

        request->may_miss = false;
        if (dedup && container_of(dedup, struct load, dedup)->leader != request)
                request_give_up(supervisor, request);
}

/* Once, also when it begins again: where its image has another name by then, it is that module's. */
static void count_request(struct request *request) {
        uint32_t counted = request->slot->module;

        if (counted == request->module + 1)
                return;
        /* by now it may be anything, if the journal is another program's */
        if (counted != 0 && counted <= JOURNAL_MODULES)
                request->tree->journal->modules[counted - 1].requests--;
        request_counters(request)->requests++;
        request->slot->module = request->module + 1;
}

static bool modules_disabled(const struct supervisor *supervisor) {
        char digit = '0';

        if (supervisor->modules_disabled_fd >= 0 && pread(supervisor->modules_disabled_fd, &digit, 1, 0) == 1)
                return digit != '0';
        return false;
}

/* libkmod's name of the file, or none. Returns what its counters are called (static memory). */
static const char *name_file(struct supervisor *supervisor, struct request *request, pid_t tid, int number) {
        /* whatever is live, the kernel refuses a file that is not as the flag says, before it looks for its name */
        bool compressed, flagged = (request->slot->notif.data.args[2] & FLAG_COMPRESSED) != 0;
        const char *known = module_index_known(&supervisor->index, &request->file, &compressed), *slash;
        static char path[CALLER_PATH_MAX];

        if (known && compressed == flagged)
                return memcpy(request->name, known, sizeof(request->name));
        if (!caller_file_path(&supervisor->self, tid, number, path))
                return "(no path)"; /* it is too long for /proc */
        if (!known && module_path_is_compressed(path) == flagged &&
            module_index_name(&supervisor->index, path, &request->file, request->name)) {
                if (request->settled)
                        module_index_keep(&supervisor->index, path, &request->file, request->name);
                return request->name;
        }
        slash = strrchr(path, '/');
        return slash ? slash + 1 : path;
}

/* The file of a finit_module call, its name, and its counters. */
static enum continue_reason look_at_file(struct supervisor *supervisor, struct request *request, pid_t tid) {
        const struct seccomp_data *data = &request->slot->notif.data;
        int number = (int)data->args[0];
        struct caller_file file;
        enum continue_reason reason;
        const char *counted;

        if ((uint32_t)data->args[2] & ~KNOWN_FLAGS)
                return CONTINUE_FLAGS;
        reason = caller_look_at_file(&supervisor->self, tid, number, &file);
        if (reason != CONTINUE_NOT)
                return reason;
        request->file = file.identity;
        request->settled = file.settled;
        if (supervisor->trace.fd >= 0)
                tracing_file(supervisor, request, tid, number);
        counted = name_file(supervisor, request, tid, number);
        request->module = journal_module(request->tree->journal, counted, request->name[0] != '\0');
        count_request(request);
        return CONTINUE_NOT;
}

/* The image of an init_module call: only its length is known yet. */
static enum continue_reason look_at_image(struct request *request) {
        request->settled = true; /* it is compared by content */
        request->file.size = call_argument(&request->slot->notif.data, 1);
        return request->file.size > 0 && request->file.size <= IMAGE_SIZE_MAX ? CONTINUE_NOT : CONTINUE_IMAGE;
}

/* All that makes a request one for the kernel alone, short of what is in the caller's memory. */
static enum continue_reason look(struct supervisor *supervisor, struct request *request) {
        const struct seccomp_notif *notif = &request->slot->notif;
        enum continue_reason reason;

        request->call = call_of(&notif->data);
        if (request->call == CALL_UNKNOWN)
                return CONTINUE_UNKNOWN_CALL;
        if (modules_disabled(supervisor))
                return CONTINUE_DISABLED;
        if (notif->pid == 0)
                return CONTINUE_NO_PID;
        reason = caller_check(&supervisor->self, (pid_t)notif->pid);
        if (reason == CONTINUE_NOT && request->call == CALL_FINIT_MODULE)
                reason = look_at_file(supervisor, request, (pid_t)notif->pid);
        else if (reason == CONTINUE_NOT)
                reason = look_at_image(request);
        return reason;
}

/* Answers a request whose module is live, which the kernel would see before it looked at the parameters. */
static bool answer_if_live(struct supervisor *supervisor, struct request *request) {
        struct journal_module *counters = request_counters(request);

        if (request->name[0] == '\0' || module_sysfs_state(&supervisor->sysfs, request->name) != MODULE_LIVE)
                return false;
        counters->live++;
        request->answer = TRACE_LIVE;
        counters->bytes_saved += request->file.size;
        request_answer(supervisor, request, EEXIST);
        return true;
}

/* Why memory could not be read. */
static enum continue_reason reason_of(int error) {
        switch (error) {
        case ENOEXEC:
                return CONTINUE_IMAGE;
        case ENOMEM:
        case ENOSPC:
        case EMFILE:
        case ENFILE:
        case EACCES:
        case EPROTO:
                return CONTINUE_INTERNAL;
        default:
                return CONTINUE_MEMORY;
        }
}

static struct request *request_new(struct tree *tree, struct journal_request *slot) {
        struct request *request = request_of(tree, slot);

        memset(request, 0, sizeof(*request));
        request->tree = tree;
        request->slot = slot;
        request->memory_fd = -1;
        if (slot->module > JOURNAL_MODULES)
                slot->module = 0; /* the journal is another program's, and not believed */
        request->module = slot->module != 0 ? slot->module - 1 : NO_MODULE;
        /* of our own journal: a tree that came back after the start, and missed the end of its load */
        request->was_sent = slot->sent != 0 && (slot->load_journal != tree->supervisor->journal->header.started_ns ||
                                                tree->supervisor->started);
        request->dedup.order = slot->order;
        list_init(&request->dedup.link);
        list_init(&request->by_thread);
        list_init(&request->inspecting);
        return request;
}

void request_begin(struct tree *tree, struct journal_request *slot) {
        struct supervisor *supervisor = tree->supervisor;
        struct request *request = request_new(tree, slot);
        enum continue_reason reason;

        missed_thread_calls(supervisor, request);
        slot->looks++;
        STEP(LOOKING);
        reason = look(supervisor, request);
        slot->looks--;
        STEP(LOOKED_AT);
        if (reason != CONTINUE_NOT) {
                request_continue(supervisor, request, reason);
                return;
        }
        request->comes_back = missed_comes_back(supervisor, request);
        if (!request->comes_back && answer_if_live(supervisor, request))
                return;
        request->state = REQUEST_LOOKED_AT;
        request->memory_fd = caller_open_memory(&supervisor->self, (pid_t)slot->notif.pid);
        if (request->memory_fd < 0) /* EACCES: a security module forbids it */
                request_continue(supervisor, request,
                                 request->memory_fd == -EACCES ? CONTINUE_MEMORY : reason_of(-request->memory_fd));
        else
                inspect(supervisor, request, request->call == CALL_INIT_MODULE ? INSPECT_NAME : INSPECT_PARAMS);
}

void request_withdraw(struct supervisor *supervisor, struct request *request) {
        struct dedup_load *dedup = request->dedup.load;
        struct load *load;

        if (!dedup)
                return;
        load = container_of(dedup, struct load, dedup);
        if (load->leader == request)
                load->leader = NULL;
        request->state = REQUEST_LOOKED_AT;
        if (dedup_table_withdraw(&request->dedup))
                load_free(supervisor, load);
}

/* Begins again with a request that is no longer in the table. */
static void request_restart(struct supervisor *supervisor, struct request *request, bool asks_kernel) {
        struct journal_request *slot = request->slot;

        request_end(supervisor, request);
        slot->load = JOURNAL_NO_LOAD;
        slot->sent = 0;
        request_begin(request->tree, slot);
        if (request->slot == slot)
                request->asks_kernel = asks_kernel;
}

void request_adopt(struct tree *tree, struct journal_request *slot, struct load *load) {
        struct request *request = request_new(tree, slot);

        request->call = load->call;
        request->file = load->dedup.key.file;
        request->key = load->dedup.key;
        request->state = REQUEST_WAITING;
        request->may_miss = true;
        missed_thread_calls(tree->supervisor, request);
        dedup_table_attach(&load->dedup, &request->dedup);
        STEP(REQUEST_ADOPTED);
}

/* The load that a request leads, or would lead once its turn comes, gets what is needed to perform it. */
static enum continue_reason load_fill(struct supervisor *supervisor, struct load *load, const struct request *request,
                                      const char *params, uint32_t length) {
        const struct journal_module *counters = request_counters(request);
        const struct seccomp_notif *notif = &request->slot->notif;
        enum continue_reason reason;

        load->params = length > 0 ? malloc(length) : NULL;
        if (length > 0 && !load->params)
                return CONTINUE_INTERNAL;
        if (length > 0)
                memcpy(load->params, params, length);
        load->params_length = length;
        load->module = journal_module(supervisor->journal, counters->name, counters->indexed != 0);
        load->call = request->call;
        if (request->call == CALL_INIT_MODULE)
                return CONTINUE_NOT;
        request->slot->looks++;
        reason = caller_open_file(&supervisor->self, (pid_t)notif->pid, (int)notif->data.args[0], &request->file,
                                  &load->file_fd);
        request->slot->looks--;
        return reason;
}

static bool answer_if_remembered(struct supervisor *supervisor, struct request *request) {
        struct failure *failure;

        if (request->asks_kernel || !dedup_table_is_idle(&supervisor->table, &request->key))
                return false;
        failure = remember_find(supervisor, &request->key);
        if (!failure)
                return false;
        if (request->call == CALL_FINIT_MODULE)
                failure_given(failure);
        request_share_failure(supervisor, request, failure->image_hash, failure->error, true);
        return true;
}

/* Neither descriptors nor memory can be had of a caller that was killed: then it was not left to the kernel. */
static void continue_or_release(struct supervisor *supervisor, struct request *request, enum continue_reason reason) {
        if (notify_is_waiting(&request->tree->notify, request->slot))
                request_continue(supervisor, request, reason);
        else
                request_release(supervisor, request);
}

/* A load for a request that cannot join one. NULL: the request is left to the kernel, or its requester has gone. */
static struct load *load_for(struct supervisor *supervisor, struct request *request, const char *params,
                             uint32_t length) {
        struct load *load = load_new(supervisor);
        enum continue_reason reason = load ? load_fill(supervisor, load, request, params, length) : CONTINUE_INTERNAL;

        if (reason == CONTINUE_NOT)
                return load;
        if (load)
                load_free(supervisor, load);
        continue_or_release(supervisor, request, reason);
        return NULL;
}

/* Waits for a load in flight. If the requester has gone meanwhile, nobody is left to take the answer. */
static void enter(struct supervisor *supervisor, struct request *request, struct load *fresh) {
        struct journal_request *slot = request->slot;
        enum dedup_verdict verdict =
                dedup_table_submit(&supervisor->table, &request->key, &request->dedup, fresh ? &fresh->dedup : NULL);
        struct load *load = container_of(request->dedup.load, struct load, dedup);

        request->state = REQUEST_WAITING;
        request->was_sent = false; /* that load did not succeed, and now this one counts */
        slot->sent = load->loader != NULL;
        STEP(SUBMITTED);
        slot->load_serial = load->serial;
        slot->load_journal = supervisor->journal->header.started_ns;
        STEP(SLOT_SERIAL);
        slot->load = (uint32_t)(load - supervisor->loads);
        STEP(SLOT_LOAD);
        missed_forget(supervisor, slot->notif.pid);
        request->may_miss = true;
        if (verdict == DEDUP_LEAD)
                load_begin(supervisor, load);
}

/* Leads, joins, or waits behind another load of this name. Who joins needs no load of its own. */
static void enter_table(struct supervisor *supervisor, struct request *request, const char *params, uint32_t length) {
        struct load *load;

        /* its inspector was slow: what became of the later call is not for this one to end */
        if (missed_thread_went_on(supervisor, request)) {
                request_release(supervisor, request);
                return;
        }
        if (dedup_table_find(&supervisor->table, &request->key)) {
                enter(supervisor, request, NULL);
                return;
        }
        load = load_for(supervisor, request, params, length);
        if (!load)
                return;
        STEP(LOAD_MADE);
        /* What was seen of /proc/TID is only true of the requester if it still waits now. */
        if (notify_is_waiting(&request->tree->notify, request->slot)) {
                enter(supervisor, request, load);
                return;
        }
        load_free(supervisor, load);
        request_release(supervisor, request);
}

/* One that comes back gets the result that it missed. False: it has to go on. */
static bool answer_if_missed(struct supervisor *supervisor, struct request *request) {
        uint64_t hash[2];
        int error;

        if (request->asks_kernel || !missed_find(supervisor, request, &error, hash))
                return false;
        request->had_succeeded = error == 0;
        if (error == 0)
                return false;
        request_share_failure(supervisor, request, hash, error, false);
        return true;
}

/*
 * Whether it is live was looked at when it came, so a failure that still stands may be given out without another look.
 * Before the kernel is asked, there is one.
 */
static bool answer_if_known(struct supervisor *supervisor, struct request *request) {
        if (request->comes_back)
                return answer_if_live(supervisor, request) || answer_if_remembered(supervisor, request);
        return answer_if_remembered(supervisor, request) || answer_if_live(supervisor, request);
}

/* Everything is known. */
static void decide(struct supervisor *supervisor, struct request *request, const char *params, uint32_t length) {
        bool image = request->call == CALL_INIT_MODULE;
        uint32_t flags = image ? KEY_FLAG_IMAGE : (uint32_t)request->slot->notif.data.args[2];

        /* thousands may wait for a load: no more descriptors for each than it takes to compare images */
        if (!image)
                request->memory_fd = fd_close(request->memory_fd);
        request->key = module_key_make(&request->file, request->name, params, length, flags);
        request->key.alone = request->settled ? 0 : ++supervisor->journal->header.load_serial;
        if (request->comes_back && missed_is_in_flight(supervisor, request))
                enter_table(supervisor, request, params, length);
        else if (request->comes_back && answer_if_missed(supervisor, request))
                return;
        else if (!answer_if_known(supervisor, request))
                enter_table(supervisor, request, params, length);
}

static void take_name(struct supervisor *supervisor, struct request *request, const char *bytes, size_t length) {
        if (!module_name_is_plain(bytes, length)) {
                request_continue(supervisor, request, CONTINUE_IMAGE);
                return;
        }
        memcpy(request->name, bytes, length);
        request->module = journal_module(request->tree->journal, request->name, true);
        count_request(request);
        if (request->comes_back || !answer_if_live(supervisor, request))
                inspect(supervisor, request, INSPECT_PARAMS);
}

static void give_shared_failure(struct supervisor *supervisor, struct request *request) {
        struct journal_module *counters = request_counters(request);

        if (request->shared_remembered)
                counters->remembered++;
        else
                counters->joined++;
        request->answer = request->shared_remembered ? TRACE_REMEMBERED : TRACE_JOINED;
        counters->bytes_saved += request->file.size;
        request_answer(supervisor, request, request->shared_error);
}

/* The comparison took its time: a remembered failure has to stand still. */
static bool still_stands(struct supervisor *supervisor, const struct request *request) {
        struct failure *failure;

        /* what is being attempted again just now is no longer known */
        if (!dedup_table_is_idle(&supervisor->table, &request->key))
                return false;
        failure = remember_find(supervisor, &request->key);
        if (!failure || failure->error != request->shared_error ||
            memcmp(failure->image_hash, request->shared_hash, sizeof(failure->image_hash)) != 0)
                return false;
        failure_given(failure);
        return true;
}

static void compare_image(struct supervisor *supervisor, struct request *request, const struct job_answer *answer) {
        bool same = memcmp(answer->image_hash, request->shared_hash, sizeof(answer->image_hash)) == 0;

        /* another load of this name may have succeeded while the image was read */
        if (answer_if_live(supervisor, request))
                return;
        if (same && (!request->shared_remembered || still_stands(supervisor, request)))
                give_shared_failure(supervisor, request);
        else
                request_restart(supervisor, request, !same);
}

void request_share_failure(struct supervisor *supervisor, struct request *request, const uint64_t hash[static 2],
                           int error, bool remembered) {
        request->state = REQUEST_LOOKED_AT;
        request->slot->sent = 0; /* that load has failed: a module that is live later is not its */
        memcpy(request->shared_hash, hash, sizeof(request->shared_hash));
        request->shared_error = error;
        request->shared_remembered = remembered;
        if (request->call == CALL_FINIT_MODULE)
                give_shared_failure(supervisor, request);
        else if (request->memory_fd < 0)
                request_restart(supervisor, request, true);
        else
                inspect(supervisor, request, INSPECT_HASH);
}

void request_inspected(struct supervisor *supervisor, struct request *request, const struct job_answer *answer,
                       const char *bytes, int *fd) {
        STEP(INSPECTED);
        if (answer->status != JOB_DONE) {
                request_not_inspected(supervisor, request,
                                      answer->status == JOB_TOO_LONG ? CONTINUE_PARAMS_TOO_LONG
                                                                     : reason_of(answer->error));
                return;
        }
        switch (request->inspection) {
        case INSPECT_NAME:
                take_name(supervisor, request, bytes, answer->length);
                break;
        case INSPECT_PARAMS:
                decide(supervisor, request, bytes, answer->length);
                break;
        case INSPECT_IMAGE:
                if (*fd < 0) {
                        request_not_inspected(supervisor, request, CONTINUE_INTERNAL);
                        break;
                }
                load_image_arrived_consume_fd(supervisor, container_of(request->dedup.load, struct load, dedup),
                                              fd_steal(fd), answer->image_hash);
                break;
        case INSPECT_HASH:
                compare_image(supervisor, request, answer);
                break;
        }
}

/* A leader whose image cannot be had leaves its load to those that joined it. */
void request_not_inspected(struct supervisor *supervisor, struct request *request, enum continue_reason reason) {
        struct dedup_load *dedup = request->dedup.load;

        request_withdraw(supervisor, request);
        continue_or_release(supervisor, request, reason);
        if (dedup)
                load_begin(supervisor, container_of(dedup, struct load, dedup));
}
