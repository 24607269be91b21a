/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "observe/tracer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "journal.h"
#include "util/log.h"

#define RECORDS_AT_A_TIME 64U

struct tracer {
        struct trace_file *file;
        const struct journal *journal;
        uint64_t lost;         /* events that could not be written */
        uint64_t dropped_told; /* of the dropped ones, how many the trace speaks of */
        bool complained;
};

int tracer_create_file(struct trace_file *file, const char *path, const struct journal *journal) {
        char text[TRACE_TEXT_MAX];
        struct utsname name;

        if (uname(&name) < 0)
                return -errno;
        return trace_file_create(file, path, text, trace_text_begin(text, name.release, journal->header.started_ns));
}

/* Nothing is lost for good by a full disk but the events of that time. */
static int append(struct tracer *tracer, const char *text, size_t length) {
        int r = trace_file_append(tracer->file, text, length);

        if (r == 0 || tracer->complained)
                return r;
        tracer->complained = true;
        errno = -r;
        log_error("cannot write the trace %s: %m; events are dropped until that is possible again", tracer->file->path);
        return r;
}

static void tell_dropped(struct tracer *tracer) {
        uint64_t dropped = __atomic_load_n(&tracer->journal->header.trace_dropped, __ATOMIC_RELAXED) + tracer->lost;
        char text[TRACE_TEXT_MAX];
        size_t length;

        if (dropped == tracer->dropped_told)
                return;
        length = trace_text_dropped(text, dropped - tracer->dropped_told, journal_now_ns(),
                                    tracer->journal->header.started_ns);
        if (append(tracer, text, length) == 0)
                tracer->dropped_told = dropped;
}

static void write_down(struct tracer *tracer, const struct trace_record *record) {
        char text[TRACE_TEXT_MAX];
        size_t length = trace_text_event(text, record, tracer->journal->header.started_ns);

        tell_dropped(tracer);
        if (append(tracer, text, length) < 0)
                tracer->lost++;
}

void tracer_run(struct trace_file *file, int pipe_fd, const struct journal *journal) {
        struct tracer tracer = { .file = file, .journal = journal };
        struct trace_record records[RECORDS_AT_A_TIME];
        ssize_t length;

        /* records are written whole, so they are read whole */
        while ((length = read(pipe_fd, records, sizeof(records))) != 0) {
                if (length < 0 && errno != EINTR)
                        break;
                for (ssize_t i = 0; i < length / (ssize_t)sizeof(records[0]); i++)
                        write_down(&tracer, &records[i]);
        }
        tell_dropped(&tracer);
        trace_file_close(file);
        _exit(EXIT_SUCCESS);
}
