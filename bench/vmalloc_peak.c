/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * vmalloc_peak FILE: samples VmallocUsed of /proc/meminfo and writes its first and its highest value (KiB) to FILE,
 * whenever there is a new highest one, until it is killed. Spikes that are shorter than the sampling interval are
 * missed: the peak is a lower bound.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "meminfo.h"

#define INTERVAL_NS 2000000L

/* In KiB; -1: it cannot be read. */
static long vmalloc_used(int fd) {
        struct meminfo now;

        return meminfo_read(fd, &now) < 0 ? -1 : (long)(now.vmalloc_used / 1024);
}

static int write_result(const char *path, long first, long peak) {
        char text[64];
        int length = snprintf(text, sizeof(text), "%ld %ld\n", first, peak);
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        int r = fd < 0 || pwrite(fd, text, (size_t)length, 0) != length ? -1 : 0;

        if (fd >= 0)
                (void)close(fd);
        return r;
}

int main(int argc, char **argv) {
        const struct timespec interval = { .tv_nsec = INTERVAL_NS };
        int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
        long first = -1, peak = -1;

        if (argc != 2 || fd < 0) {
                fprintf(stderr, "usage: vmalloc_peak FILE\n");
                return 2;
        }
        for (;;) {
                long used = vmalloc_used(fd);

                if (first < 0)
                        first = used;
                if (used > peak) {
                        peak = used;
                        if (write_result(argv[1], first, peak) < 0) {
                                perror(argv[1]);
                                return 1;
                        }
                }
                (void)nanosleep(&interval, NULL);
        }
}
