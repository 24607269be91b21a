/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What an earlier supervisor left behind, or an earlier daemon. Loads that a loader has, or has answered, are taken
 * over with the requests that waited for them. All else was in that supervisor's memory only, or in that daemon's
 * journal: these requests start again from the beginning.
 */

#include <string.h>
#include <sys/socket.h>

#include "journal.h"
#include "step.h"
#include "supervisor.h"
#include "util/log.h"

/* One may have been killed in that moment by chance. */
#define LOOKS_MAX 2U

/*
 * The load was sent, or was about to be. Its loader gets no more jobs: it does what it has, answers, and ends. If its
 * socket ends without an answer, the job has never arrived, or the loader has died.
 */
static bool await_loader(struct supervisor *supervisor, struct load *load, uint32_t index) {
        struct worker *worker = index < supervisor->loaders.count ? &supervisor->loaders.workers[index] : NULL;

        if (!worker || worker->state != WORKER_IDLE)
                return false;
        load->loader = worker;
        pool_set_busy(worker, load->serial);
        (void)shutdown(worker->source.fd, SHUT_WR);
        return true;
}

static void adopt_load(struct supervisor *supervisor, struct load *load, const struct journal_load *entry) {
        load->used = true;
        list_init(&load->pending);
        load->file_fd = -1;
        load->serial = entry->serial;
        load->module = entry->module;
        load->call = entry->call;
        load->leader = NULL;
        memcpy(load->image_hash, entry->image_hash, sizeof(load->image_hash));
        dedup_table_adopt(&supervisor->table, &entry->key, &load->dedup);
        supervisor->journal->header.recovered++;
        STEP(LOAD_ADOPTED);
}

/*
 * Whatever it is about this caller, its file may be on an NFS server that does not answer: the next look would end the
 * same way, and all others would wait again until the keeper has noticed.
 */
static void leave_to_kernel(struct tree *tree, struct journal_request *slot) {
        log_error("%u supervisors died or hung while they looked at thread %u; its call is left to the kernel",
                  slot->looks, slot->notif.pid);
        (void)notify_continue(&tree->notify, slot, CONTINUE_NOT_LOOKED_AT);
}

/* The load that a request waited for, if it was taken over; or NULL. */
static struct load *load_of(struct supervisor *supervisor, const struct journal_request *slot) {
        struct load *load = slot->load < JOURNAL_LOADS ? &supervisor->loads[slot->load] : NULL;

        return load && load->used && load->serial == slot->load_serial &&
                               slot->load_journal == supervisor->journal->header.started_ns
                       ? load
                       : NULL;
}

static void take_over_request(struct journal_request *slot, void *context) {
        struct tree *tree = context;
        struct load *load = load_of(tree->supervisor, slot);

        if (load)
                request_adopt(tree, slot, load);
        else if (slot->looks >= LOOKS_MAX)
                leave_to_kernel(tree, slot);
        else if (notify_is_waiting(&tree->notify, slot))
                request_begin(tree, slot);
        else
                notify_release(&tree->notify, slot);
}

void recover_requests(struct tree *tree) {
        if (tree->notify.listener < 0) /* of a daemon's: it is not complete yet */
                return;
        /* that of the only tree has been by now */
        if (tree->journal != tree->supervisor->journal)
                journal_repair(tree->journal);
        notify_recover(&tree->notify, take_over_request, tree);
}

/* With the requests back in the table, what is known about their loads is acted upon. */
static void resume_load(struct supervisor *supervisor, struct load *load) {
        const struct journal_load *entry = load_journal(supervisor, load);

        if (entry->state == JOURNAL_LOAD_DONE)
                load_complete(supervisor, load, entry->status, entry->error, CONTINUE_LOADER_REFUSED);
        else if (!await_loader(supervisor, load, entry->loader))
                load_lost(supervisor, load);
}

void supervisor_recover(struct supervisor *supervisor) {
        bool adopted[JOURNAL_LOADS] = { false };

        STEP(RECOVERING);
        journal_repair(supervisor->journal);
        for (uint32_t i = 0; i < JOURNAL_LOADS; i++) {
                const struct journal_load *entry = &supervisor->journal->loads[i];

                adopted[i] = entry->state != JOURNAL_LOAD_FREE;
                if (adopted[i])
                        adopt_load(supervisor, &supervisor->loads[i], entry);
        }
        list_for_each_safe(node, after, &supervisor->trees) recover_requests(container_of(node, struct tree, link));
        STEP(REQUESTS_FOUND);
        for (uint32_t i = 0; i < JOURNAL_LOADS; i++)
                if (adopted[i])
                        resume_load(supervisor, &supervisor->loads[i]);
        STEP(RECOVERED);
}
