/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What an earlier supervisor left behind. Loads that a loader has, or has answered, are taken over with the requests
 * that waited for them. All else was in that supervisor's memory only: these requests start again from the beginning.
 */

#include "supervisor.h"
#include "util/log.h"

/*
 * Asks the loader of a load that was sent, or was about to be. Loaders answer in order: if the answer to the load is
 * not before this one, the job has never arrived.
 */
static bool ping_loader(struct supervisor *supervisor, struct load *load, uint32_t index) {
        struct worker *worker = index < supervisor->loaders.count ? &supervisor->loaders.workers[index] : NULL;
        struct job job = { .type = JOB_PING };

        if (!worker || worker->state != WORKER_IDLE)
                return false;
        load->loader = worker;
        worker->state = WORKER_BUSY;
        worker->serial = load->serial;
        job.serial = ++supervisor->journal->header.load_serial;
        /* one that has ended shows as its socket's end of file, behind the answer that it may have given before */
        (void)pool_send(worker, &job, NULL, -1);
        return true;
}

static void adopt_load(struct supervisor *supervisor, struct load *load, const struct journal_load *entry) {
        load->used = true;
        list_init(&load->pending);
        load->file_fd = -1;
        load->serial = entry->serial;
        load->module = entry->module;
        dedup_table_adopt(&supervisor->table, &entry->key, &load->dedup);
        supervisor->journal->header.recovered++;
}

static void take_over_request(struct journal_request *slot, void *context) {
        struct supervisor *supervisor = context;
        struct load *load = slot->load < JOURNAL_LOADS ? &supervisor->loads[slot->load] : NULL;

        if (load && load->used && load->serial == slot->load_serial)
                request_adopt(supervisor, slot, load);
        else
                request_begin(supervisor, slot);
}

/* With the requests back in the table, what is known about their loads is acted upon. */
static void resume_load(struct supervisor *supervisor, struct load *load) {
        const struct journal_load *entry = load_journal(supervisor, load);

        if (entry->state == JOURNAL_LOAD_DONE)
                load_complete(supervisor, load, entry->status, entry->error, CONTINUE_LOADER_REFUSED);
        else if (!ping_loader(supervisor, load, entry->loader))
                load_lost(supervisor, load);
}

void supervisor_recover(struct supervisor *supervisor) {
        bool adopted[JOURNAL_LOADS] = { false };

        for (uint32_t i = 0; i < JOURNAL_LOADS; i++) {
                const struct journal_load *entry = &supervisor->journal->loads[i];

                adopted[i] = entry->state != JOURNAL_LOAD_FREE;
                if (adopted[i])
                        adopt_load(supervisor, &supervisor->loads[i], entry);
        }
        notify_recover(&supervisor->notify, take_over_request, supervisor);
        for (uint32_t i = 0; i < JOURNAL_LOADS; i++)
                if (adopted[i])
                        resume_load(supervisor, &supervisor->loads[i]);
}
