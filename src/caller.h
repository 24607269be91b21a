/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the supervisor may know of a caller without ever waiting for it: only readlink, O_PATH opens,
 * statx(AT_STATX_DONT_SYNC), fdinfo, stat and attr/current below /proc/TID. A file of a dead FUSE server would hang
 * anything else, beyond SIGKILL. Needs CAP_SYS_PTRACE.
 *
 * All of it is only true if the request is still valid afterwards: thread ids are used again.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "modgate/journal.h"
#include "modgate/module.h"

#define CALLER_LABEL_MAX 512
#define CALLER_PATH_MAX 4096

/* What a caller has to have in common with us for its load to be ours to perform. */
struct caller_self {
        int proc; /* /proc of our own pid namespace, O_PATH, owned */
        char user_namespace[64];
        char label[CALLER_LABEL_MAX]; /* of the LSM; empty: there is none */
};

struct caller_file {
        int fd; /* O_PATH, owned */
        struct module_file identity;
        bool settled;               /* if false, it may still change without another identity */
        char path[CALLER_PATH_MAX]; /* as the kernel prints it: in another mount namespace it may mean another file */
};

/*
 * Looks at the calling process. Returns 0 or negative errno: -ESRCH when /proc is that of another pid namespace, where
 * the ids of our callers mean other processes.
 */
int caller_self_init(struct caller_self *self);
void caller_self_deinit(struct caller_self *self);

/* Opens /proc/TID: the directory keeps meaning this thread. Returns a descriptor (owned) or negative errno. */
int caller_open(const struct caller_self *self, pid_t tid);

/*
 * May this caller load modules by itself, and in our place? It does if it has CAP_SYS_MODULE in our user namespace and
 * our LSM label. Returns CONTINUE_NOT if so, else why not.
 */
enum continue_reason caller_check(const struct caller_self *self, int directory, pid_t tid);

/*
 * Descriptor `number` of the caller, if it is a regular, non-empty file that is open for reading. Returns CONTINUE_NOT
 * and fills `file` (to be freed with caller_file_deinit()), else why not.
 */
enum continue_reason caller_file_init(struct caller_file *file, const struct caller_self *self, int directory,
                                      int number);

/* Closes the descriptor. */
void caller_file_deinit(struct caller_file *file);

/*
 * When the thread began, in clock ticks since boot: with its id, that tells it from all others (proc_pid_stat(5),
 * starttime). Never 0. Returns 0 or negative errno.
 */
int caller_thread_start(const struct caller_self *self, pid_t tid, uint64_t *ret);

/* Opens the caller's memory for reading. Returns a descriptor (owned) or negative errno. */
int caller_open_memory(int directory);
