/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "call.h"
#include "journal.h"
#include "util/fd.h"

/* As much as anybody may ask for by default (/proc/sys/fs/pipe-max-size): a storm has thousands of answers at once. */
#define PIPE_BYTES (1 << 20)

_Static_assert(sizeof(struct trace_record) <= PIPE_BUF, "a record is written whole or not at all");

int trace_pipe(int *ret_read_fd, int *ret_write_fd) {
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        if (fcntl(fds[1], F_SETFL, O_NONBLOCK) < 0) {
                int error = -errno;

                (void)fd_close(fds[0]);
                (void)fd_close(fds[1]);
                return error;
        }
        (void)fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES);
        *ret_read_fd = fds[0];
        *ret_write_fd = fds[1];
        return 0;
}

static enum trace_answer answer_of(const struct notify_outcome *outcome) {
        if (!outcome->answered)
                return TRACE_GONE;
        return outcome->reason != CONTINUE_NOT ? TRACE_CONTINUED : TRACE_LED;
}

struct trace_record trace_record_of(const struct journal *journal, const struct journal_request *request,
                                    const struct notify_outcome *outcome) {
        uint64_t now = journal_now_ns();
        /* it is not known of what was received outside the journal */
        uint64_t duration_ns = request->received_ns != 0 ? journal_boottime_ns() - request->received_ns : 0;
        struct trace_record record = {
                .type = TRACE_REQUEST,
                .answer = answer_of(outcome),
                .reason = outcome->reason,
                .call = call_of(&request->notif.data),
                .thread = request->notif.pid,
                .error = outcome->error,
                .began_ns = now - duration_ns,
                .ended_ns = now,
                .undelivered = outcome->answered && !outcome->taken,
        };

        if (record.call == CALL_FINIT_MODULE)
                record.flags = (uint32_t)call_argument(&request->notif.data, 2);
        if (request->module > 0 && request->module <= JOURNAL_MODULES) {
                const struct journal_module *module = &journal->modules[request->module - 1];

                journal_module_name(module, record.name);
                record.is_module = module->indexed != 0;
        }
        return record;
}

void trace_send(struct trace *trace, struct journal *journal, const struct trace_record *record) {
        ssize_t written;

        do
                written = write(trace->fd, record, sizeof(*record));
        while (written < 0 && errno == EINTR);
        if (written == (ssize_t)sizeof(*record))
                return;
        journal->header.trace_dropped++;
        if (written < 0 && errno == EPIPE)
                trace->fd = fd_close(trace->fd);
}
