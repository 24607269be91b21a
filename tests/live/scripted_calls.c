/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Callers: processes and threads that make a call of finit_module each, all at the same time. */

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scripted_private.h"

/* A caller makes no use of its stack, and there may be thousands. */
#define THREAD_STACK (256U * 1024)

/* So many looks in a row, and nothing had anything to do. */
#define QUIET_LOOKS 6U
#define LOOK_MS 4U

static struct scripted *callers_kit;

static void await_go(struct scripted *kit, unsigned int generation) {
        atomic_fetch_add(&kit->ready, 1);
        scripted_futex(&kit->ready, FUTEX_WAKE, 1);
        while (kit->go == generation)
                scripted_futex(&kit->go, FUTEX_WAIT, generation);
}

static long call_kernel(const struct scripted_call *call, int fd) {
        struct stat status;
        void *image;

        if (!call->image)
                return syscall(SYS_finit_module, fd, call->params, call->flags);
        CHECK_EQUAL(fstat(fd, &status), 0);
        image = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        CHECK(image != MAP_FAILED);
        return syscall(SYS_init_module, image, (unsigned long)status.st_size, call->params);
}

static int result_of(struct scripted_call *call, int fd) {
        int error;

        while ((error = call_kernel(call, fd) < 0 ? errno : 0) == EINTR && call->retries)
                call->interruptions++;
        return error;
}

static void make_call(struct scripted *kit, struct scripted_call *call, unsigned int generation) {
        int fd = call->path ? open(call->path, call->open_flags | O_CLOEXEC) : call->fd;
        int error;

        CHECK(!call->path || fd >= 0);
        await_go(kit, generation);
        call->thread = gettid();
        error = result_of(call, fd);
        if (call->twice)
                call->second_error = result_of(call, fd);
        call->ended_ns = scripted_now_ns();
        call->rank = atomic_fetch_add(&kit->rank, 1) + 1;
        call->error = error;
        if (call->path)
                (void)close(fd);
}

struct thread {
        pthread_t thread;
        struct scripted_call *call;
        unsigned int generation;
};

static void *thread_main(void *context) {
        struct thread *thread = context;

        make_call(callers_kit, thread->call, thread->generation);
        return NULL;
}

static void make_calls_in_threads(struct scripted_call *calls, unsigned int count, unsigned int generation) {
        struct thread *threads = calloc(count, sizeof(*threads));
        pthread_attr_t attributes;

        CHECK(threads != NULL);
        CHECK_EQUAL(pthread_attr_init(&attributes), 0);
        CHECK_EQUAL(pthread_attr_setstacksize(&attributes, THREAD_STACK), 0);
        for (unsigned int i = 0; i < count; i++) {
                threads[i] = (struct thread){ .call = &calls[i], .generation = generation };
                CHECK_EQUAL(pthread_create(&threads[i].thread, &attributes, thread_main, &threads[i]), 0);
        }
        for (unsigned int i = 0; i < count; i++)
                CHECK_EQUAL(pthread_join(threads[i].thread, NULL), 0);
}

static pid_t fork_caller(struct scripted *kit, struct scripted_call *calls, unsigned int threads) {
        unsigned int generation = kit->go;
        pid_t parent = getpid(), pid = fork();

        CHECK(pid >= 0);
        if (pid > 0)
                return pid;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);
        if (calls->prepare)
                calls->prepare();
        callers_kit = kit;
        if (threads == 0)
                make_call(kit, calls, generation);
        else
                make_calls_in_threads(calls, threads, generation);
        _exit(EXIT_SUCCESS);
}

struct scripted_call scripted_call_with(const struct scripted_module *module, const char *params, int flags) {
        return (struct scripted_call){ .path = module->path, .params = params, .flags = flags };
}

struct scripted_call scripted_call_of(const struct scripted_module *module) {
        return scripted_call_with(module, "", 0);
}

struct scripted_call *scripted_calls(struct scripted *kit, unsigned int count, struct scripted_call like) {
        struct scripted_call *calls = &kit->call[kit->call_count];

        CHECK(kit->call_count + count <= SCRIPTED_CALLS);
        kit->call_count += count;
        like.error = NOT_RETURNED;
        like.thread = 0;
        for (unsigned int i = 0; i < count; i++)
                calls[i] = like;
        return calls;
}

void scripted_start(struct scripted *kit, struct scripted_call *calls, unsigned int count, unsigned int threads) {
        unsigned int step = threads > 0 ? threads : 1, ready;

        kit->ready = 0;
        for (unsigned int i = 0; i < count; i += step) {
                unsigned int here = count - i < step ? count - i : step;
                pid_t pid = fork_caller(kit, &calls[i], threads > 0 ? here : 0);

                for (unsigned int j = 0; j < here; j++)
                        calls[i + j].process = pid;
        }
        while ((ready = kit->ready) < count)
                scripted_futex(&kit->ready, FUTEX_WAIT, ready);
        atomic_fetch_add(&kit->go, 1);
        scripted_futex(&kit->go, FUTEX_WAKE, INT_MAX);
}

void scripted_finish(struct scripted *kit, struct scripted_call *calls, unsigned int count) {
        pid_t last = 0;

        (void)kit;
        for (unsigned int i = 0; i < count; i++) {
                int status;

                if (calls[i].process == last)
                        continue;
                last = calls[i].process;
                CHECK_EQUAL(waitpid(last, &status, 0), last);
                /* a killed one is the test's doing */
                CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
        }
}

void scripted_perform(struct scripted *kit, struct scripted_call *calls, unsigned int count) {
        scripted_start(kit, calls, count, 0);
        scripted_finish(kit, calls, count);
}

int scripted_one(struct scripted *kit, struct scripted_call like) {
        struct scripted_call *call = scripted_calls(kit, 1, like);

        scripted_perform(kit, call, 1);
        return call->error;
}

struct scripted_call *scripted_start_parked(struct scripted *kit, unsigned int count, struct scripted_call like) {
        struct scripted_call *calls = scripted_calls(kit, count, like);

        scripted_start(kit, calls, count, 0);
        scripted_settle(kit, calls, count);
        return calls;
}

struct scripted_call *scripted_start_held(struct scripted *kit, struct scripted_module *module, unsigned int count,
                                          struct scripted_call like) {
        struct scripted_call *calls = scripted_calls(kit, count, like);
        unsigned int before = module->loads;

        module->hold = 1;
        scripted_start(kit, calls, count, 0);
        scripted_await_begun(module, before + 1);
        scripted_settle(kit, calls, count);
        return calls;
}

struct scripted_call *scripted_start_waiting(struct scripted *kit, struct scripted_module *module, unsigned int count) {
        return scripted_start_held(kit, module, count, scripted_call_of(module));
}

void scripted_finish_all(struct scripted *kit, struct scripted_call *calls, unsigned int count, int error) {
        scripted_finish(kit, calls, count);
        CHECK_EQUAL(scripted_count(calls, count, error), count);
}

void scripted_kill(const struct scripted_call *calls, unsigned int count) {
        for (unsigned int i = 0; i < count; i++)
                CHECK_EQUAL(kill(calls[i].process, SIGKILL), 0);
}

void scripted_prepare_bare(struct scripted *kit) {
        kit->bare[0] = scripted_one(kit, scripted_call_of(scripted_module(kit, "alpha")));
}

unsigned int scripted_count(const struct scripted_call *calls, unsigned int count, int error) {
        unsigned int found = 0;

        for (unsigned int i = 0; i < count; i++)
                found += calls[i].error == error;
        return found;
}

void scripted_await_begun(const struct scripted_module *module, unsigned int loads) {
        while (module->loads < loads)
                scripted_sleep_ms(1);
}

void scripted_await_ended(const struct scripted_module *module, unsigned int loads) {
        while (module->loads < loads || module->running > 0)
                scripted_sleep_ms(1);
}

void scripted_release_one(struct scripted *kit, struct scripted_module *module) {
        pid_t supervisor = scripted_stop(kit, "modgate-superv");

        scripted_release(module);
        scripted_await_ended(module, module->loads);
        module->hold = 1;
        CHECK_EQUAL(kill(supervisor, SIGCONT), 0);
}

bool scripted_loaded_from(const struct scripted_module *module, unsigned int load, const char *label) {
        return strcmp(module->record[load % SCRIPTED_LOADS].file, label) == 0;
}

static bool is_quiet(pid_t pid) {
        struct scripted_status status;

        return !scripted_status(pid, &status) || status.state != 'R';
}

static bool is_parked(const struct scripted_call *call) {
        return call->thread != 0 && (call->error != NOT_RETURNED || is_quiet(call->thread));
}

static bool is_busy(const struct scripted_status *status, void *context) {
        return status->state == 'R' && scripted_is_ours(context, status);
}

/*
 * A message wakes its receiver before its sender goes to sleep: while there is work, one of the processes is running or
 * waits for a CPU. A single look could miss it, since it does not see all of them at the same time.
 */
void scripted_settle(struct scripted *kit, const struct scripted_call *calls, unsigned int count) {
        for (unsigned int quiet = 0; quiet < QUIET_LOOKS; quiet++) {
                scripted_sleep_ms(LOOK_MS);
                for (unsigned int i = 0; i < count; i++)
                        if (!is_parked(&calls[i]))
                                quiet = 0;
                if (scripted_each_process(is_busy, kit))
                        quiet = 0;
        }
}

static _Noreturn void run_own(struct scripted *kit, struct scripted_call *call, int (*make)(void *context),
                              void *context, pid_t parent) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);
        call->thread = gettid();
        call->error = make(context);
        call->rank = atomic_fetch_add(&kit->rank, 1) + 1;
        _exit(EXIT_SUCCESS);
}

struct scripted_call *scripted_start_own(struct scripted *kit, unsigned int count, int (*make)(void *context),
                                         void *context) {
        struct scripted_call *calls = scripted_calls(kit, count, (struct scripted_call){ 0 });
        pid_t parent = getpid();

        for (unsigned int i = 0; i < count; i++) {
                pid_t pid = fork();

                CHECK(pid >= 0);
                if (pid == 0)
                        run_own(kit, &calls[i], make, context, parent);
                calls[i].process = pid;
        }
        return calls;
}

int scripted_own(struct scripted *kit, int (*make)(void *context), void *context) {
        struct scripted_call *call = scripted_start_own(kit, 1, make, context);

        scripted_finish(kit, call, 1);
        return call->error;
}
