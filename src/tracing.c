/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the tracer is told of requests and loads, once they have ended. */

#include <string.h>

#include "journal.h"
#include "supervisor.h"
#include "util/fd.h"

/* A path that does not fit is left out: half of one would be another file's. */
static void add_path(struct trace_record *record, const char *path) {
        if (path && strlen(path) < sizeof(record->path))
                (void)strcpy(record->path, path);
}

static void add_key(struct trace_record *record, const struct module_key *key) {
        record->size = key->file.size;
        record->knows_params = true;
        record->params_length = key->params_length;
        memcpy(record->params_hash, key->params_hash, sizeof(record->params_hash));
}

static void add_request(struct trace_record *record, const struct request *request) {
        add_path(record, request->path);
        record->size = request->file.size;
        /* a key is made once the parameters were read, and only for what is not empty */
        if (request->key.file.size > 0)
                add_key(record, &request->key);
        if (record->answer == TRACE_LED)
                record->answer = request->answer;
}

static void request_ended(struct notify *notify, const struct journal_request *slot,
                          const struct notify_outcome *outcome) {
        struct tree *tree = container_of(notify, struct tree, notify);
        struct supervisor *supervisor = tree->supervisor;
        struct journal *journal = tree->journal;
        const struct request *request = &tree->requests[slot - journal->requests];
        struct trace_record record;

        if (supervisor->trace.fd < 0)
                return;
        record = trace_record_of(journal, slot, outcome);
        /* there is none for what nobody has looked at */
        if (request->slot == slot)
                add_request(&record, request);
        trace_send(&supervisor->trace, supervisor->journal, &record);
}

void tracing_init_consume_fd(struct supervisor *supervisor, int fd) {
        supervisor->trace.fd = fd;
}

void tracing_deinit(struct supervisor *supervisor) {
        supervisor->trace.fd = fd_close(supervisor->trace.fd);
}

void tracing_tree(struct tree *tree) {
        if (tree->supervisor->trace.fd >= 0)
                tree->notify.ended = request_ended;
}

void tracing_file(struct supervisor *supervisor, struct request *request, pid_t tid, int number) {
        static char path[CALLER_PATH_MAX];

        if (caller_file_path(&supervisor->self, tid, number, path))
                request->path = strdup(path);
}

void tracing_load(struct supervisor *supervisor, const struct load *load, int error, uint64_t duration_ns) {
        const struct journal_module *module = &supervisor->journal->modules[load->module];
        struct trace_record record = {
                .type = TRACE_LOAD,
                .call = load->call,
                .error = error,
                .flags = load->dedup.key.flags,
                .is_module = module->indexed != 0,
                .made_up = load->made_up,
        };

        if (supervisor->trace.fd < 0)
                return;
        record.thread = load_journal(supervisor, load)->loader;
        record.ended_ns = journal_now_ns();
        record.began_ns = record.ended_ns - duration_ns;
        memcpy(record.name, module->name, sizeof(record.name));
        add_key(&record, &load->dedup.key);
        trace_send(&supervisor->trace, supervisor->journal, &record);
}
