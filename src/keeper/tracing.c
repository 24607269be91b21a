/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/private.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "observe/tracer.h"
#include "privilege.h"
#include "util/child.h"
#include "util/fd.h"
#include "util/list.h"
#include "util/log.h"

/* In the tracer, which has the pipe as 3, the file as 4, and its twin as 5. */
static _Noreturn void trace(struct keeper *keeper, struct trace_file *file) {
        static const cap_value_t keep[] = { CAP_DAC_OVERRIDE };

        file->fd = 4;
        file->twin_fd = 5;
        (void)mprotect(keeper->journal, sizeof(*keeper->journal), PROT_READ);
        (void)privilege_keep(keep, privilege_has(CAP_DAC_OVERRIDE) ? 1 : 0, true);
        tracer_run(file, 3, keeper->journal);
}

static int tracer_fork(struct keeper *keeper, struct trace_file *file) {
        _cleanup_fd_ int read_fd = -1, write_fd = -1;
        int r = trace_pipe(&read_fd, &write_fd);
        pid_t pid;

        if (r < 0)
                return r;
        pid = child_fork("modgate-tracer", (const int[]){ read_fd, file->fd, file->twin_fd }, 3);
        if (pid < 0)
                return -errno;
        if (pid == 0)
                trace(keeper, file);
        keeper->tracer = pid;
        keeper->trace.fd = fd_steal(&write_fd);
        return 0;
}

int tracing_start(struct keeper *keeper) {
        struct trace_file file;
        int r;

        if (!keeper->config.trace)
                return 0;
        r = tracer_create_file(&file, keeper->config.trace, keeper->journal);
        if (r < 0) {
                log_error("cannot write the trace %s: %s; name a file %s", keeper->config.trace, strerror(-r),
                          r == -EINVAL ? "on a local file system where files can change places (not vfat, not NFS)"
                                       : "in a directory that is writable, with room on its disk");
                return r;
        }
        r = tracer_fork(keeper, &file);
        if (r < 0) {
                log_error("cannot start a process that writes the trace %s: %s", keeper->config.trace, strerror(-r));
                trace_file_close(&file);
                return r;
        }
        file.fd = fd_close(file.fd);
        file.twin_fd = fd_close(file.twin_fd);
        /* the twin is the tracer's now */
        trace_file_close(&file);
        return 0;
}

void tracing_lose(struct keeper *keeper) {
        keeper->tracer = 0;
        if (keeper->trace.fd >= 0)
                log_error("the tracer died: the trace %s ends here", keeper->config.trace);
        keeper->trace.fd = fd_close(keeper->trace.fd);
}

static void bypass_ended(struct notify *notify, const struct journal_request *request,
                         const struct notify_outcome *outcome) {
        struct keeper *keeper = container_of(notify, struct keeper, notify);
        struct trace_record record = trace_record_of(keeper->journal, request, outcome);

        if (keeper->trace.fd >= 0)
                trace_send(&keeper->trace, keeper->journal, &record);
}

void tracing_bypass(struct keeper *keeper) {
        if (keeper->trace.fd >= 0)
                keeper->notify.ended = bypass_ended;
}

void tracing_finish(struct keeper *keeper) {
        keeper->trace.fd = fd_close(keeper->trace.fd);
        keeper_await(&keeper->tracer);
}
