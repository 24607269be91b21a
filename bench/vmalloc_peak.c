/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * vmalloc_peak FILE: samples VmallocUsed of /proc/meminfo and writes its first and its highest value (KiB) to FILE,
 * whenever there is a new highest one, until it is killed. Spikes that are shorter than the sampling interval are
 * missed: the peak is a lower bound.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_NS 2000000L

static long vmalloc_used(int meminfo) {
        char text[8192];
        ssize_t length = pread(meminfo, text, sizeof(text) - 1, 0);
        const char *line;

        if (length <= 0)
                return -1;
        text[length] = '\0';
        line = strstr(text, "VmallocUsed:");
        return line ? strtol(line + strlen("VmallocUsed:"), NULL, 10) : -1;
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
        int meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
        long first = -1, peak = -1;

        if (argc != 2 || meminfo < 0) {
                fprintf(stderr, "usage: vmalloc_peak FILE\n");
                return 2;
        }
        for (;;) {
                long used = vmalloc_used(meminfo);

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
