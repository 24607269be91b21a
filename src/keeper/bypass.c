/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/private.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "journal.h"
#include "util/fd.h"
#include "util/log.h"

static void continue_found(struct journal_request *request, void *context) {
        struct keeper *keeper = context;

        if (request->module > 0)
                keeper->journal->modules[request->module - 1].continued++;
        (void)notify_continue(&keeper->notify, request, CONTINUE_BYPASS);
}

void bypass_take_over(struct keeper *keeper) {
        notify_init_consume_fd(&keeper->notify, keeper->journal, keeper->listener);
        tracing_bypass(keeper);
        journal_repair(keeper->journal);
        notify_recover(&keeper->notify, continue_found, keeper);
}

void bypass_begin(struct keeper *keeper) {
        log_error("the supervisor cannot be kept alive: module loads are left to the kernel from now on, without "
                  "deduplication; restart the supervised service, or 'kill -USR1 %d', to change that",
                  (int)getpid());
        keeper->bypass = true;
        /* nobody receives events any more: they would only fill its buffer */
        keeper->uevents = fd_close(keeper->uevents);
        keeper->journal->header.bypassed = 1;
        if (keeper->listener >= 0)
                bypass_take_over(keeper);
}

void bypass_end(struct keeper *keeper) {
        int r;

        /* that of an attached tree ends with another daemon, which is looked for all the time */
        if (!keeper->bypass || keeper->ended || keeper->attach.state != ATTACH_NOT)
                return;
        log_notice("asked to supervise again: starting a supervisor");
        keeper->bypass = false;
        keeper->journal->header.bypassed = 0;
        memset(keeper->deaths_ns, 0, sizeof(keeper->deaths_ns));
        keeper_open_uevents(keeper);
        r = supervisor_start(keeper);
        if (r < 0) {
                errno = -r;
                log_error("cannot fork a supervisor: %m");
                bypass_begin(keeper);
        }
}

void bypass_receive(struct notify *notify) {
        while (notify_poll(notify) & POLLIN)
                if (notify_receive_and_continue(notify, CONTINUE_BYPASS) < 0)
                        return;
}

void keeper_bypass_without_journal(int listener_fd) {
        /* for its counters; there is nothing here that could fail */
        static struct journal journal;
        static struct notify notify;

        notify_init_consume_fd(&notify, &journal, listener_fd);
        for (;;) {
                struct pollfd poller = { .fd = listener_fd, .events = POLLIN };

                if (poll(&poller, 1, -1) < 0)
                        continue;
                if (poller.revents & POLLIN)
                        bypass_receive(&notify);
                if (poller.revents & (POLLHUP | POLLERR))
                        return;
        }
}
