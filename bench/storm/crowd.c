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
        atomic_uint ready;
        uint64_t wall_ns;
        uint64_t *latencies_ns; /* behind this struct */
        uint64_t *ended_ns;     /* of each caller */
        int *results;
        atomic_uint *go; /* of each wave */
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

unsigned int crowd_waves(const struct crowd *crowd) {
        return (crowd->size + crowd->wave - 1) / crowd->wave;
}

size_t crowd_total(const struct crowd *crowd) {
        return (size_t)crowd->size * crowd->calls;
}

int crowd_init(struct crowd *crowd, unsigned int size, unsigned int calls, unsigned int wave) {
        struct crowd made = { .size = size, .calls = calls, .wave = wave };
        size_t total = crowd_total(&made);
        struct crowd_shared *shared;

        made.shared_size = sizeof(*shared) + (total + size) * sizeof(uint64_t) + total * sizeof(int) +
                           crowd_waves(&made) * sizeof(atomic_uint);
        /* touched now, so that no page is made while something is measured */
        shared = mmap(NULL, made.shared_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (shared == MAP_FAILED)
                return -errno;
        shared->latencies_ns = (uint64_t *)(shared + 1);
        shared->ended_ns = shared->latencies_ns + total;
        shared->results = (int *)(shared->ended_ns + size);
        shared->go = (atomic_uint *)(shared->results + total);
        for (size_t i = 0; i < total; i++)
                shared->results[i] = CROWD_NO_RESULT;
        made.shared = shared;
        *crowd = made;
        return 0;
}

static void make_calls(struct crowd *crowd, unsigned int caller, crowd_call call, void *context) {
        struct crowd_shared *shared = crowd->shared;

        for (unsigned int i = 0; i < crowd->calls; i++) {
                size_t index = (size_t)caller * crowd->calls + i;
                uint64_t before_ns = crowd_now_ns(), after_ns;
                int result = call(caller, i, context);

                after_ns = crowd_now_ns();
                shared->results[index] = result;
                shared->latencies_ns[index] = after_ns - before_ns;
                shared->ended_ns[caller] = after_ns;
        }
}

static _Noreturn void caller_main(struct crowd *crowd, pid_t parent, unsigned int caller, crowd_call call,
                                  void *context) {
        struct crowd_shared *shared = crowd->shared;
        atomic_uint *go = &shared->go[caller / crowd->wave];

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);
        atomic_fetch_add(&shared->ready, 1);
        futex_wake(&shared->ready, 1);
        while (!*go)
                futex_wait(go, 0);
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

int crowd_start(struct crowd *crowd, crowd_call call, void *context) {
        unsigned int ready;
        int r;

        crowd->processes = calloc(crowd->size, sizeof(crowd->processes[0]));
        r = crowd->processes ? fork_callers(crowd, call, context) : -ENOMEM;
        if (r < 0) {
                crowd_stop(crowd);
                return r;
        }
        while ((ready = crowd->shared->ready) < crowd->size)
                futex_wait(&crowd->shared->ready, ready);
        return 0;
}

/* The ones that a wave consists of: from `*ret_first` to before the returned one. */
static unsigned int bounds(const struct crowd *crowd, unsigned int wave, unsigned int *ret_first) {
        *ret_first = wave * crowd->wave;
        return crowd->size - *ret_first < crowd->wave ? crowd->size : *ret_first + crowd->wave;
}

static int wait_for(struct crowd *crowd, unsigned int caller) {
        int status;

        while (waitpid(crowd->processes[caller], &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        crowd->processes[caller] = 0;
        return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS ? 0 : -ECANCELED;
}

int crowd_run_wave(struct crowd *crowd, unsigned int wave) {
        struct crowd_shared *shared = crowd->shared;
        unsigned int first, end = bounds(crowd, wave, &first);
        uint64_t go_ns = crowd_now_ns(), last_ns = go_ns;

        shared->go[wave] = 1;
        futex_wake(&shared->go[wave], INT_MAX);
        for (unsigned int i = first; i < end; i++) {
                int r = wait_for(crowd, i);

                if (r < 0)
                        return r;
                if (shared->ended_ns[i] > last_ns)
                        last_ns = shared->ended_ns[i];
        }
        shared->wall_ns += last_ns - go_ns;
        return 0;
}

void crowd_stop(struct crowd *crowd) {
        for (unsigned int i = 0; crowd->processes && i < crowd->size; i++) {
                if (crowd->processes[i] <= 0)
                        continue;
                (void)kill(crowd->processes[i], SIGKILL);
                (void)waitpid(crowd->processes[i], NULL, 0);
        }
        free(crowd->processes);
        crowd->processes = NULL;
}

uint64_t crowd_wall_ns(const struct crowd *crowd) {
        return crowd->shared->wall_ns;
}

uint64_t *crowd_latencies_ns(const struct crowd *crowd) {
        return crowd->shared->latencies_ns;
}

const int *crowd_results(const struct crowd *crowd) {
        return crowd->shared->results;
}

void crowd_deinit(struct crowd *crowd) {
        if (crowd->shared)
                (void)munmap(crowd->shared, crowd->shared_size);
        *crowd = (struct crowd){ 0 };
}
