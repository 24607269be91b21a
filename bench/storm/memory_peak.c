/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "memory_peak.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "interrupt.h"
#include "meminfo.h"
#include "util/fd.h"

#define INTERVAL_NS 1000000L

struct memory_peak_shared {
        _Atomic bool looking;
        struct meminfo first;
        _Atomic uint64_t vmalloc, available; /* bytes above, and below, the first ones */
};

static void look(int meminfo, struct memory_peak_shared *shared) {
        struct meminfo now;

        if (meminfo_read(meminfo, &now) < 0)
                return;
        if (now.vmalloc_used > shared->first.vmalloc_used + shared->vmalloc)
                shared->vmalloc = now.vmalloc_used - shared->first.vmalloc_used;
        if (now.available + shared->available < shared->first.available)
                shared->available = shared->first.available - now.available;
}

static _Noreturn void sampler_main(int meminfo, struct memory_peak_shared *shared, pid_t parent) {
        const struct timespec interval = { .tv_nsec = INTERVAL_NS };

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        interrupt_forget();
        while (getppid() == parent) {
                if (shared->looking)
                        look(meminfo, shared);
                (void)nanosleep(&interval, NULL);
        }
        _exit(EXIT_SUCCESS);
}

int memory_peak_start(struct memory_peak *peak) {
        _cleanup_fd_ int meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
        pid_t parent = getpid();

        *peak = (struct memory_peak){ 0 };
        if (meminfo < 0)
                return -errno;
        peak->shared = mmap(NULL, sizeof(*peak->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (peak->shared == MAP_FAILED) {
                peak->shared = NULL;
                return -errno;
        }
        peak->sampler = fork();
        if (peak->sampler == 0)
                sampler_main(meminfo, peak->shared, parent);
        if (peak->sampler > 0)
                return 0;
        peak->sampler = 0;
        memory_peak_stop(peak);
        return -errno;
}

void memory_peak_begin(struct memory_peak *peak) {
        _cleanup_fd_ int meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);

        peak->shared->vmalloc = 0;
        peak->shared->available = 0;
        peak->shared->looking = meminfo >= 0 && meminfo_read(meminfo, &peak->shared->first) == 0;
}

void memory_peak_end(struct memory_peak *peak) {
        _cleanup_fd_ int meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);

        peak->shared->looking = false;
        look(meminfo, peak->shared);
}

uint64_t memory_peak_vmalloc(const struct memory_peak *peak) {
        return peak->shared->vmalloc;
}

uint64_t memory_peak_available(const struct memory_peak *peak) {
        return peak->shared->available;
}

void memory_peak_stop(struct memory_peak *peak) {
        if (peak->sampler > 0) {
                (void)kill(peak->sampler, SIGKILL);
                (void)waitpid(peak->sampler, NULL, 0);
        }
        if (peak->shared)
                (void)munmap(peak->shared, sizeof(*peak->shared));
        *peak = (struct memory_peak){ 0 };
}
