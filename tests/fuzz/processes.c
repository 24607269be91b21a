/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "processes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fdpass.h"
#include "modgate/handoff.h"
#include "util/fd.h"

#define FIRST_PID 100000

int __wrap_fdpass_pair(int *ret_a, int *ret_b);
int __real_fdpass_pair(int *ret_a, int *ret_b);
pid_t __wrap_fork(void);
int __wrap_kill(pid_t pid, int number);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);

struct process processes[PROCESSES_MAX];
unsigned int process_count;

static struct input *input;
static int last_end = -1; /* of the latest pair: the next child's */
static int signals_end;   /* ours */

int __wrap_fdpass_pair(int *ret_a, int *ret_b) {
        int r = __real_fdpass_pair(ret_a, ret_b);

        last_end = fd_close(last_end);
        if (r == 0)
                last_end = fcntl(*ret_b, F_DUPFD_CLOEXEC, 3);
        return r;
}

int processes_pair(int *ret_a, int *ret_b) {
        return __real_fdpass_pair(ret_a, ret_b);
}

/* Only ever the parent's side. */
pid_t __wrap_fork(void) {
        if (process_count == PROCESSES_MAX || input_byte(input) % 16 == 15) {
                errno = EAGAIN;
                return -1;
        }
        processes[process_count] = (struct process){ .state = PROCESS_RUNS, .socket = fd_steal(&last_end) };
        return FIRST_PID + (pid_t)process_count++;
}

void processes_signal(uint32_t number) {
        const struct signalfd_siginfo info = { .ssi_signo = number };

        (void)write(signals_end, &info, sizeof(info));
}

void process_end(struct process *process) {
        if (process->state != PROCESS_RUNS)
                return;
        process->state = PROCESS_ENDED;
        process->socket = fd_close(process->socket);
        processes_signal(SIGCHLD);
}

struct process *process_of(pid_t pid) {
        check(pid >= FIRST_PID && pid < FIRST_PID + (pid_t)process_count);
        return &processes[pid - FIRST_PID];
}

/* Whoever was waited for has given up its number: it may be anybody's. */
int __wrap_kill(pid_t pid, int number) {
        struct process *process = process_of(pid);

        check(number == SIGKILL && process->state != PROCESS_REAPED);
        process->is_killed = true;
        if (!process->is_stuck)
                process_end(process);
        return 0;
}

pid_t __wrap_waitpid(pid_t pid, int *status, int options) {
        check(options == WNOHANG && !status);
        if (pid > 0) {
                struct process *process = process_of(pid);

                check(process->state != PROCESS_REAPED);
                if (process->state == PROCESS_RUNS)
                        return 0;
                process->state = PROCESS_REAPED;
                return pid;
        }
        check(pid == -1);
        for (unsigned int i = 0; i < process_count; i++)
                if (processes[i].state == PROCESS_ENDED) {
                        processes[i].state = PROCESS_REAPED;
                        return FIRST_PID + (pid_t)i;
                }
        return 0;
}

int processes_begin(struct input *from) {
        int ends[2];

        check(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
        input = from;
        process_count = 0;
        signals_end = ends[1];
        return ends[0];
}

void processes_finish(void) {
        for (unsigned int i = 0; i < process_count; i++)
                process_end(&processes[i]);
        signals_end = fd_close(signals_end);
        last_end = fd_close(last_end);
}

void processes_keeper(struct keeper *keeper, const struct keeper_config *config, int launcher) {
        struct keeper *made = keeper_new(config, launcher);

        check(made != NULL);
        *keeper = *made;
        free(made);
}

static int fd_of(uint8_t what, int listener, int other) {
        return what % 4 == 1 ? listener : (what % 4 == 2 ? other : -1);
}

void processes_say_anything(struct input *from, int socket, int listener, int other) {
        struct {
                struct handoff_message message;
                char more[20];
        } any = { .message = { .type = 0 } };
        uint8_t how = input_byte(from);
        size_t size = sizeof(any.message);
        int fd = fd_of(how >> 1, listener, other);

        if (how & 1) {
                size = input_bytes(from, &any, sizeof(any));
        } else {
                any.message.type = (uint32_t)input_number(from);
                any.message.kind = (uint32_t)input_number(from);
                any.message.index = (uint32_t)input_number(from);
        }
        /* only the kernel gives listeners away */
        if (any.message.type == HANDOFF_LISTENER && fd >= 0)
                fd = listener;
        if (size > 0 && socket >= 0)
                (void)fdpass_send_dup_fd(socket, &any, size, NULL, 0, fd, MSG_DONTWAIT);
}

unsigned int processes_descriptors(void) {
        DIR *directory = opendir("/proc/self/fd");
        unsigned int count = 0;

        check(directory != NULL);
        while (readdir(directory))
                count++;
        (void)closedir(directory);
        return count;
}
