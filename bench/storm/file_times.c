/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "file_times.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define SECOND_NS INT64_C(1000000000)
#define MS_NS INT64_C(1000000)

/* So long ago a file may have been changed whose maker waits now. */
#define CHANGED_NS (100 * MS_NS)

static int64_t now_ns(clockid_t clock) {
        struct timespec now;

        (void)clock_gettime(clock, &now);
        return now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* A whole second as a time of a file looks like that of a file system without parts of seconds. */
static bool may_be_whole_second(int64_t ns) {
        return now_ns(CLOCK_REALTIME_COARSE) % MS_NS == 0 && ns % SECOND_NS < CHANGED_NS;
}

/* A length of time would not do: where CPUs wait for their turn, as in a guest, the ticks of this clock come late. */
void file_times_settle(void) {
        const struct timespec pause = { .tv_nsec = MS_NS };
        int64_t start_ns = now_ns(CLOCK_REALTIME);
        int64_t end_ns = start_ns + (may_be_whole_second(start_ns) ? 2 * SECOND_NS : 0);

        do
                (void)nanosleep(&pause, NULL);
        while (now_ns(CLOCK_REALTIME_COARSE) <= end_ns);
}
