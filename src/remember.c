/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * When a failure still stands: src/failures.h has the rules, this is where the events come from.
 *
 * The kernel counts an event when it has happened, and before it sends it. So what was counted when a load began, as
 * /sys/kernel/uevent_seqnum shows, cannot change its result; and whoever has seen all that was counted since knows of
 * everything that could: only then is a failure given out. An event that never comes costs one more load of each
 * module, as its failure from before is not given out any more.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "journal.h"
#include "module/identity.h"
#include "supervisor.h"
#include "util/fd.h"
#include "util/log.h"

/* The kernel's own buffer for the properties of an event has 2 KiB. */
#define MESSAGE_SIZE 8192

static void disturb(struct supervisor *supervisor, const char *name) {
        list_for_each_safe(node, after, &supervisor->table.loads) {
                struct dedup_load *dedup = container_of(node, struct dedup_load, link);

                if (strncmp(dedup->key.name, name, MODULE_NAME_SIZE) == 0)
                        container_of(dedup, struct load, dedup)->disturbed = true;
        }
}

static void went_live(struct supervisor *supervisor) {
        failures_module_went_live(&supervisor->failures, journal_now_ns());
        list_for_each_safe(node, after, &supervisor->table.loads) {
                struct dedup_load *dedup = container_of(node, struct dedup_load, link);

                container_of(dedup, struct load, dedup)->live_since = true;
        }
}

static void end_name(const char *name, void *context) {
        struct supervisor *supervisor = context;

        failures_end_name(&supervisor->failures, name);
        disturb(supervisor, name);
}

static bool is(const char *value, const char *expected) {
        return value && strcmp(value, expected) == 0;
}

static void handle_event(struct supervisor *supervisor, const struct uevent *event) {
        uevent_sequence_seen(&supervisor->uevents_seen, event->sequence);
        if (event->synthetic)
                return;
        if (is(event->subsystem, "module") && is(event->action, "remove"))
                failures_end_all(&supervisor->failures);
        else if (is(event->subsystem, "module") && is(event->action, "add"))
                went_live(supervisor);
        else if (event->modalias && !is(event->action, "remove") && !is(event->action, "offline") &&
                 module_index_resolve(&supervisor->index, event->modalias, end_name, supervisor) < 0)
                failures_end_all(&supervisor->failures);
}

static bool read_seqnum(const struct supervisor *supervisor, uint64_t *ret) {
        char text[32];
        ssize_t length = pread(supervisor->uevent_seqnum_fd, text, sizeof(text) - 1, 0);

        if (length <= 0)
                return false;
        text[length] = '\0';
        *ret = strtoull(text, NULL, 10);
        return true;
}

/* For good: the keeper has the socket too, and nobody would read it. */
static void give_up(struct supervisor *supervisor) {
        uevent_leave(supervisor->uevents.fd);
        remember_deinit(supervisor);
}

static void drain(struct supervisor *supervisor) {
        char message[MESSAGE_SIZE];
        struct uevent event;
        int r;

        while ((r = supervisor->kernel->receive_uevent(supervisor->uevents.fd, message, sizeof(message), &event)) !=
               0) {
                if (r > 0) {
                        handle_event(supervisor, &event);
                        continue;
                }
                failures_end_all(&supervisor->failures);
                if (r != -ENOBUFS) {
                        errno = -r;
                        log_warning("uevents cannot be received (%m): failures are no longer remembered");
                        give_up(supervisor);
                        return;
                }
        }
}

static void handle_uevents(struct event_source *source, uint32_t events) {
        (void)events;
        drain(container_of(source, struct supervisor, uevents));
}

static bool is_on(const struct supervisor *supervisor) {
        return supervisor->failures.ttl_ns > 0 && supervisor->uevents.fd >= 0;
}

void remember_init_consume_fd(struct supervisor *supervisor, int uevents_fd) {
        uint64_t sequence;

        supervisor->uevents.fd = uevents_fd;
        supervisor->uevent_seqnum_fd = open(supervisor->kernel->uevent_seqnum, O_RDONLY | O_CLOEXEC);
        if (!read_seqnum(supervisor, &sequence) || !module_index_is_there(&supervisor->index) ||
            event_add(&supervisor->loop, &supervisor->uevents) < 0) {
                log_warning("without %s and depmod's index no failure is remembered",
                            supervisor->kernel->uevent_seqnum);
                give_up(supervisor);
                return;
        }
        uevent_sequence_init(&supervisor->uevents_seen, sequence);
        supervisor->uevents.handle = handle_uevents;
        supervisor->uevents.priority = EVENT_PRIORITY_ANSWERS;
}

void remember_deinit(struct supervisor *supervisor) {
        event_remove(&supervisor->loop, &supervisor->uevents);
        supervisor->uevents.fd = fd_close(supervisor->uevents.fd);
        supervisor->uevent_seqnum_fd = fd_close(supervisor->uevent_seqnum_fd);
        failures_deinit(&supervisor->failures);
}

void remember_before_load(struct supervisor *supervisor, struct load *load) {
        if (!is_on(supervisor))
                return;
        drain(supervisor);
        load->epoch = supervisor->failures.epoch;
        load->disturbed = !read_seqnum(supervisor, &load->uevents_before);
        load->live_since = false;
}

void remember_result(struct supervisor *supervisor, struct load *load, int error) {
        const struct module_key *key = &load->dedup.key;
        struct failure failure = { .call = load->call, .module = load->module, .error = error };
        bool live;

        /* what has no name no event would lead to; what was taken over from a dead supervisor has no file here */
        if (!is_on(supervisor) || key->name[0] == '\0' || load->file_fd < 0)
                return;
        failures_attempted(&supervisor->failures, key, load->image_hash);
        live = module_sysfs_state(&supervisor->sysfs, key->name) == MODULE_LIVE;
        drain(supervisor);
        if (!is_on(supervisor) || !failures_may_remember(&supervisor->failures, error, live) || load->disturbed ||
            load->epoch != supervisor->failures.epoch)
                return;
        failure.key = *key;
        failure.uevents_before = load->uevents_before;
        failure.bytes = load->call == CALL_INIT_MODULE ? key->file.size : 0;
        failure.live_since = load->live_since;
        memcpy(failure.image_hash, load->image_hash, sizeof(failure.image_hash));
        failure.file_fd = fd_steal(&load->file_fd);
        failure.params = load->params;
        failure.params_length = load->params_length;
        load->params = NULL;
        failures_remember(&supervisor->failures, &failure, journal_now_ns());
}

struct failure *remember_find(struct supervisor *supervisor, const struct module_key *key) {
        struct failure *failure;
        uint64_t sequence;

        if (!is_on(supervisor) || !failures_find(&supervisor->failures, key, journal_now_ns()) ||
            !read_seqnum(supervisor, &sequence))
                return NULL;
        drain(supervisor);
        failure = failures_find(&supervisor->failures, key, journal_now_ns());
        if (!failure || !uevent_sequence_complete(&supervisor->uevents_seen, failure->uevents_before, sequence))
                return NULL;
        return failure;
}

/* A file that was written to since is one that nobody has asked for. It may have lost its path: that changes its ctime.
 */
static bool was_written(const struct failure *failure) {
        struct module_file file;
        struct statx status;

        if (failure->call != CALL_FINIT_MODULE)
                return false;
        if (statx(failure->file_fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &status) < 0)
                return true;
        file = module_file_from_statx(&status);
        return file.size != failure->key.file.size || file.mtime_ns != failure->key.file.mtime_ns;
}

/*
 * One load that nobody asked for; those who ask meanwhile join it. False: not now. If it is this very attempt that is
 * being made now, its result will settle the matter.
 */
static bool make_up(struct supervisor *supervisor, struct failure *failure) {
        struct load *load;
        bool taken;

        if (module_sysfs_state(&supervisor->sysfs, failure->key.name) == MODULE_LIVE || was_written(failure))
                return true;
        if (!dedup_table_is_idle(&supervisor->table, &failure->key) || !(load = load_new(supervisor)))
                return false;
        load->made_up = true;
        load->call = failure->call;
        load->module = failure->module;
        load->file_fd = fd_steal(&failure->file_fd);
        memcpy(load->image_hash, failure->image_hash, sizeof(load->image_hash));
        load->params = failure->params;
        load->params_length = failure->params_length;
        failure->params = NULL;
        (void)dedup_table_offer(&supervisor->table, &failure->key, &load->dedup, &taken);
        load_begin(supervisor, load);
        return true;
}

uint64_t remember_make_up(struct supervisor *supervisor) {
        uint64_t now = journal_now_ns(), next;
        struct failure *failure;

        if (!is_on(supervisor))
                return UINT64_MAX;
        while ((failure = failures_take_due(&supervisor->failures, now))) {
                if (make_up(supervisor, failure))
                        failure_free(failure);
                else
                        failures_postpone(&supervisor->failures, failure, now);
        }
        next = failures_next_ns(&supervisor->failures);
        return next == UINT64_MAX ? next : (next > now ? next - now : 0);
}
