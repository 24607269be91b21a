/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What an earlier supervisor left behind. Loads that a loader has, or has answered, are taken over with the requests
 * that waited for them. All else was in that supervisor's memory only: these requests start again from the beginning.
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
static void leave_to_kernel(struct supervisor *supervisor, struct journal_request *slot) {
        log_error("%u supervisors died or hung while they looked at thread %u; its call is left to the kernel",
                  slot->looks, slot->notif.pid);
        (void)notify_continue(&supervisor->notify, slot, CONTINUE_NOT_LOOKED_AT);
}

static void take_over_request(struct journal_request *slot, void *context) {
        struct supervisor *supervisor = context;
        struct load *load = slot->load < JOURNAL_LOADS ? &supervisor->loads[slot->load] : NULL;

        if (load && load->used && load->serial == slot->load_serial)
                request_adopt(supervisor, slot, load);
        else if (slot->looks >= LOOKS_MAX)
                leave_to_kernel(supervisor, slot);
        else if (notify_is_waiting(&supervisor->notify, slot))
                request_begin(supervisor, slot);
        else
                notify_release(&supervisor->notify, slot);
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
        notify_recover(&supervisor->notify, take_over_request, supervisor);
        STEP(REQUESTS_FOUND);
        for (uint32_t i = 0; i < JOURNAL_LOADS; i++)
                if (adopted[i])
                        resume_load(supervisor, &supervisor->loads[i]);
        STEP(RECOVERED);
}
