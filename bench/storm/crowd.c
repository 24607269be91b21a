/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crowd.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct crowd_shared {
        atomic_uint ready, go;
        uint64_t go_ns;
        uint64_t *latencies_ns; /* behind this struct */
        uint64_t *ended_ns;     /* of each caller */
        int *results;
};

uint64_t crowd_now_ns(void) {
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static void futex_wait(atomic_uint *word, unsigned int value) {
        (void)syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word, int count) {
        (void)syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}

static int map_shared(struct crowd *crowd) {
        size_t total = (size_t)crowd->size * crowd->calls;
        struct crowd_shared *shared;

        crowd->shared_size =
                sizeof(*shared) + (total + crowd->size) * sizeof(uint64_t) + total * sizeof(crowd->shared->results[0]);
        /* touched now, so that no page is made while something is measured */
        shared = mmap(NULL, crowd->shared_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1,
                      0);
        if (shared == MAP_FAILED)
                return -errno;
        shared->latencies_ns = (uint64_t *)(shared + 1);
        shared->ended_ns = shared->latencies_ns + total;
        shared->results = (int *)(shared->ended_ns + crowd->size);
        crowd->shared = shared;
        return 0;
}

static void make_calls(struct crowd *crowd, unsigned int caller, crowd_call call, void *context) {
        struct crowd_shared *shared = crowd->shared;

        for (unsigned int i = 0; i < crowd->calls; i++) {
                size_t index = (size_t)caller * crowd->calls + i;
                uint64_t before_ns = crowd_now_ns(), after_ns;

                shared->results[index] = call(caller, i, context);
                after_ns = crowd_now_ns();
                shared->latencies_ns[index] = after_ns - before_ns;
                shared->ended_ns[caller] = after_ns;
        }
}

static _Noreturn void caller_main(struct crowd *crowd, pid_t parent, unsigned int caller, crowd_call call,
                                  void *context) {
        struct crowd_shared *shared = crowd->shared;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);
        atomic_fetch_add(&shared->ready, 1);
        futex_wake(&shared->ready, 1);
        while (!shared->go)
                futex_wait(&shared->go, 0);
        make_calls(crowd, caller, call, context);
        _exit(EXIT_SUCCESS);
}

static int fork_callers(struct crowd *crowd, crowd_call call, void *context) {
        pid_t parent = getpid();

        for (unsigned int i = 0; i < crowd->size; i++) {
                pid_t pid = fork();

                if (pid < 0)
                        return -errno;
                if (pid == 0)
                        caller_main(crowd, parent, i, call, context);
                crowd->processes[i] = pid;
        }
        return 0;
}

int crowd_start(struct crowd *crowd, unsigned int size, unsigned int calls, crowd_call call, void *context) {
        unsigned int ready;
        int r;

        *crowd = (struct crowd){ .size = size, .calls = calls };
        crowd->processes = calloc(size, sizeof(crowd->processes[0]));
        r = crowd->processes ? map_shared(crowd) : -ENOMEM;
        if (r == 0)
                r = fork_callers(crowd, call, context);
        if (r < 0) {
                crowd_deinit(crowd);
                return r;
        }
        while ((ready = crowd->shared->ready) < size)
                futex_wait(&crowd->shared->ready, ready);
        return 0;
}

void crowd_go(struct crowd *crowd) {
        crowd->shared->go_ns = crowd_now_ns();
        crowd->shared->go = 1;
        futex_wake(&crowd->shared->go, INT_MAX);
}

int crowd_wait(struct crowd *crowd) {
        int r = 0;

        for (unsigned int i = 0; i < crowd->size; i++) {
                int status;

                while (waitpid(crowd->processes[i], &status, 0) < 0)
                        if (errno != EINTR)
                                return -errno;
                crowd->processes[i] = 0;
                if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS)
                        r = -ECANCELED;
        }
        return r;
}

uint64_t crowd_wall_ns(const struct crowd *crowd) {
        uint64_t last_ns = crowd->shared->go_ns;

        for (unsigned int i = 0; i < crowd->size; i++)
                if (crowd->shared->ended_ns[i] > last_ns)
                        last_ns = crowd->shared->ended_ns[i];
        return last_ns - crowd->shared->go_ns;
}

uint64_t *crowd_latencies_ns(const struct crowd *crowd) {
        return crowd->shared->latencies_ns;
}

const int *crowd_results(const struct crowd *crowd) {
        return crowd->shared->results;
}

void crowd_deinit(struct crowd *crowd) {
        for (unsigned int i = 0; crowd->processes && i < crowd->size; i++) {
                if (crowd->processes[i] <= 0)
                        continue;
                (void)kill(crowd->processes[i], SIGKILL);
                (void)waitpid(crowd->processes[i], NULL, 0);
        }
        free(crowd->processes);
        if (crowd->shared)
                (void)munmap(crowd->shared, crowd->shared_size);
        *crowd = (struct crowd){ 0 };
}
