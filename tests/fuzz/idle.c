/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "idle.h"

#include <poll.h>
#include <stddef.h>

/* A poll without a time limit. */
#define LONG_MS 60000

int __real_poll(struct pollfd *polled, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *polled, nfds_t count, int timeout_ms);
uint64_t __wrap_journal_now_ns(void);
uint64_t __wrap_journal_boottime_ns(void);

uint64_t idle_now_ns;
bool (*idle_happen)(void);

int __wrap_poll(struct pollfd *polled, nfds_t count, int timeout_ms) {
        for (;;) {
                int r = __real_poll(polled, count, 0);

                if (r != 0 || timeout_ms == 0)
                        return r;
                if (count == 0 || !idle_happen || !idle_happen()) {
                        idle_now_ns += (uint64_t)(timeout_ms < 0 ? LONG_MS : timeout_ms) * 1000000U;
                        return 0;
                }
        }
}

/* It always moves, as time does. */
uint64_t __wrap_journal_now_ns(void) {
        return idle_now_ns++;
}

uint64_t __wrap_journal_boottime_ns(void) {
        return idle_now_ns++;
}
