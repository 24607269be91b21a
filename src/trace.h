/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The writing side of a trace, in supervisor and keeper: it never waits, and drops what the tracer has no room for. */

#include "modgate/journal.h"
#include "modgate/trace.h"
#include "notify.h"

struct trace {
        int fd; /* the pipe to the tracer, non-blocking, owned; -1: there is no trace, or no longer */
};

/*
 * Makes the pipe, with room for more than 2000 records if the machine's limits allow it. SIGPIPE has to be blocked in
 * those who write. Both are owned by the caller. Returns 0 or negative errno.
 */
int trace_pipe(int *ret_read_fd, int *ret_write_fd);

/* What the journal knows of a request that has ended just now. */
struct trace_record trace_record_of(const struct journal *journal, const struct journal_request *request,
                                    const struct notify_outcome *outcome);

/* Sends a record, or counts it as dropped. Without a tracer that reads, this closes the pipe. */
void trace_send(struct trace *trace, struct journal *journal, const struct trace_record *record);
