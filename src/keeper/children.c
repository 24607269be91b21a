/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/private.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fdpass.h"
#include "inspector.h"
#include "loader.h"
#include "util/child.h"
#include "util/fd.h"
#include "util/log.h"

static const char *const worker_titles[WORKER_KINDS] = {
        [WORKER_LOADER] = "modgate-loader",
        [WORKER_INSPECTOR] = "modgate-inspect",
};

static const char *const worker_nouns[WORKER_KINDS] = {
        [WORKER_LOADER] = "a loader",
        [WORKER_INSPECTOR] = "an inspector",
};

/* Workers */

static void child_forget(struct child *child) {
        child->socket = fd_close(child->socket);
        child->pid = 0;
}

int worker_fork(struct keeper *keeper, enum worker_kind kind, uint32_t index) {
        struct child *child = &keeper->workers[kind][index];
        _cleanup_fd_ int ours = -1, theirs = -1;
        pid_t pid;
        int r = fdpass_pair(&ours, &theirs);

        if (r < 0)
                return r;
        pid = child_fork(worker_titles[kind], &theirs, 1);
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                /* what they could write there, the supervisor would believe */
                (void)munmap(keeper->journal, sizeof(*keeper->journal));
                serve_forget_journals(keeper);
                if (kind == WORKER_LOADER)
                        loader_run(3, keeper->config.kernel, &keeper->confinement);
                inspector_run(3, &keeper->confinement);
        }
        child_forget(child);
        child->pid = pid;
        child->socket = fd_steal(&ours);
        return 0;
}

int worker_hand_over(struct keeper *keeper, enum worker_kind kind, uint32_t index) {
        struct handoff_message message = { .type = HANDOFF_WORKER, .kind = kind, .index = index };

        return fdpass_send_dup_fd(keeper->supervisor_socket, &message, sizeof(message), NULL, 0,
                                  keeper->workers[kind][index].socket, MSG_DONTWAIT);
}

/* A loader that works finishes its load and ends by itself; an inspector may hang in the memory it reads. */
void worker_drop(struct keeper *keeper, enum worker_kind kind, uint32_t index) {
        struct child *child = &keeper->workers[kind][index];

        if (kind == WORKER_INSPECTOR && child->pid > 0)
                (void)kill(child->pid, SIGKILL);
        child_forget(child);
}

void inspectors_drop(struct keeper *keeper) {
        for (uint32_t i = 0; i < INSPECTORS_MAX; i++)
                worker_drop(keeper, WORKER_INSPECTOR, i);
}

void loaders_kill(struct keeper *keeper) {
        for (uint32_t i = 0; i < LOADERS_MAX; i++)
                if (keeper->workers[WORKER_LOADER][i].pid > 0)
                        (void)kill(keeper->workers[WORKER_LOADER][i].pid, SIGKILL);
}

/* Once, until there is one again: as long as there is none, each call asks for it. */
static void tell_failure(struct keeper *keeper, enum worker_kind kind, int error) {
        if (!keeper->worker_failed[kind]) {
                errno = error;
                log_error("cannot provide %s: %m; its work is left to the kernel", worker_nouns[kind]);
        }
        keeper->worker_failed[kind] = true;
}

void worker_provide(struct keeper *keeper, enum worker_kind kind, uint32_t index) {
        struct handoff_message failed = { .type = HANDOFF_WORKER_FAILED, .kind = kind, .index = index };
        int r = worker_fork(keeper, kind, index);

        if (r == 0) {
                r = worker_hand_over(keeper, kind, index);
                if (r == 0) {
                        keeper->worker_failed[kind] = false;
                        return;
                }
                worker_drop(keeper, kind, index);
        }
        tell_failure(keeper, kind, -r);
        (void)fdpass_send_dup_fd(keeper->supervisor_socket, &failed, sizeof(failed), NULL, 0, -1, MSG_DONTWAIT);
}

static struct child *child_of(struct keeper *keeper, pid_t pid) {
        for (enum worker_kind kind = 0; kind < WORKER_KINDS; kind++)
                for (uint32_t i = 0; i < LOADERS_MAX; i++)
                        if (keeper->workers[kind][i].pid == pid)
                                return &keeper->workers[kind][i];
        return NULL;
}

/* Its socket may hold an answer: it stays until the supervisor drops it. */
void worker_reaped(struct keeper *keeper, pid_t pid) {
        struct child *child = child_of(keeper, pid);

        if (child)
                child->pid = 0;
}
