/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static volatile sig_atomic_t seen;
static int event = -1; /* so that a signal right before a poll(2) ends it too */

static void take(int number) {
        const uint64_t one = 1;
        int saved_errno = errno;

        (void)number;
        seen = 1;
        (void)!write(event, &one, sizeof(one));
        errno = saved_errno;
}

int interrupt_catch(void) {
        struct sigaction action = { .sa_handler = take };

        if (event < 0)
                event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (event < 0)
                return -errno;
        (void)sigaction(SIGINT, &action, NULL);
        (void)sigaction(SIGTERM, &action, NULL);
        return 0;
}

bool interrupt_seen(void) {
        return seen != 0;
}

int interrupt_fd(void) {
        return event;
}

void interrupt_forget(void) {
        (void)signal(SIGINT, SIG_DFL);
        (void)signal(SIGTERM, SIG_DFL);
}
