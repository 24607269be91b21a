/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/private.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal.h"
#include "observe/report.h"
#include "privilege.h"
#include "util/child.h"
#include "util/log.h"

/* How long the end of the tree waits for a report, or a trace. */
#define REPORT_LIMIT_NS (10 * 1000000000ULL)

/* A count that moves whenever there is something new to report. */
static uint64_t activity(const struct keeper *keeper) {
        const struct journal_header *header = &keeper->journal->header;

        return header->requests + header->answered + header->gone + header->supervisor_starts;
}

bool report_is_file(const struct keeper *keeper) {
        return keeper->config.report && strcmp(keeper->config.report, "-") != 0;
}

bool report_is_due(const struct keeper *keeper) {
        return report_is_file(keeper) && keeper->reported != activity(keeper);
}

static _Noreturn void report(const struct keeper *keeper) {
        static const cap_value_t keep[] = { CAP_DAC_OVERRIDE };
        const char *path = keeper->config.report;
        int r = 0;

        (void)mprotect(keeper->journal, sizeof(*keeper->journal), PROT_READ);
        if (!report_is_file(keeper)) {
                (void)privilege_keep(NULL, 0, false);
                log_let_block();
                report_write_table(keeper->journal, stderr);
        } else {
                (void)privilege_keep(keep, privilege_has(CAP_DAC_OVERRIDE) ? 1 : 0, true);
                r = report_write_json(keeper->journal, keeper->ended, path);
        }
        if (r < 0) {
                errno = -r;
                log_error("cannot write the report %s: %m", path);
        }
        _exit(EXIT_SUCCESS);
}

/* In a process of its own: writing may take as long as it likes. False: there was none to be had, try again. */
static bool report_fork(struct keeper *keeper) {
        /* what happens from now on may be missing in it */
        uint64_t known = activity(keeper);
        pid_t pid = child_fork("modgate-report", NULL, 0);

        if (pid == 0)
                report(keeper);
        if (pid < 0) {
                if (!keeper->report_failed)
                        log_error("cannot fork a process that writes the report: %m");
                keeper->report_failed = true;
                return false;
        }
        keeper->reporter = pid;
        keeper->report_failed = false;
        keeper->reported = known;
        return true;
}

void report_refresh(struct keeper *keeper) {
        if (keeper->reporter == 0 && report_is_due(keeper))
                (void)report_fork(keeper);
}

/* Whoever waits for the end of the tree does not wait for a dead disk or terminal. */
void keeper_await(pid_t *pid) {
        uint64_t start = journal_now_ns();

        while (*pid > 0 && waitpid(*pid, NULL, WNOHANG) == 0 && journal_now_ns() - start < REPORT_LIMIT_NS)
                (void)poll(NULL, 0, 10);
        *pid = 0;
}

void report_finish(struct keeper *keeper) {
        uint64_t start = journal_now_ns();

        if (!keeper->config.report)
                return;
        keeper_await(&keeper->reporter);
        /* with the end of the tree there may soon be room for a process */
        while (!report_fork(keeper) && journal_now_ns() - start < REPORT_LIMIT_NS)
                (void)poll(NULL, 0, 100);
        keeper_await(&keeper->reporter);
}
