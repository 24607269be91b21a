/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the supervisor may know of a caller without ever waiting for it: only readlink, O_PATH opens,
 * statx(AT_STATX_DONT_SYNC), fdinfo, stat and attr/current below /proc/TID. A file of a dead FUSE server would hang
 * anything else, beyond SIGKILL. Needs CAP_SYS_PTRACE.
 *
 * All of it is only true if the request is still valid afterwards: thread ids are used again. An answer needs no such
 * check, since the kernel takes none for a caller that has gone.
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
        struct module_file identity;
        bool settled; /* if false, it may still change without another identity */
};

/*
 * Looks at the calling process. Returns 0 or negative errno: -ESRCH when /proc is that of another pid namespace, where
 * the ids of our callers mean other processes.
 */
int caller_self_init(struct caller_self *self);
/* Closes what caller_self_init() has opened. */
void caller_self_deinit(struct caller_self *self);

/*
 * May this caller load modules by itself, and in our place? It does if it has CAP_SYS_MODULE in our user namespace and
 * our LSM label. Returns CONTINUE_NOT if so, else why not.
 */
enum continue_reason caller_check(const struct caller_self *self, pid_t tid);

/*
 * Looks at descriptor `number` of the caller: is it a regular, non-empty file, open for reading? Returns CONTINUE_NOT
 * and fills `file`, else why not. Another thread of the caller may use the number for another file meanwhile: what is
 * seen here may be answered, but is nothing to load.
 */
enum continue_reason caller_look_at_file(const struct caller_self *self, pid_t tid, int number,
                                         struct caller_file *file);

/* The file's path as the kernel prints it: in another mount namespace it may mean another file. False: there is none.
 */
bool caller_file_path(const struct caller_self *self, pid_t tid, int number, char path[static CALLER_PATH_MAX]);

/*
 * Opens (O_PATH) the file that caller_look_at_file() has seen, if that is still what the caller's descriptor is, and is
 * open for reading. Returns CONTINUE_NOT and a descriptor (owned) in `*ret_fd`, else why not.
 */
enum continue_reason caller_open_file(const struct caller_self *self, pid_t tid, int number,
                                      const struct module_file *seen, int *ret_fd);

/*
 * When the thread began whose `stat` (proc_pid_stat(5)) this is, relative to a directory: in clock ticks since boot. 0:
 * it cannot be told.
 */
uint64_t caller_start(int directory, const char *stat_path);

/*
 * Had the thread that has this id now begun by then (CLOCK_BOOTTIME, nanoseconds), as far as clock ticks tell? If
 * another look at that time saw a thread of this id, it was this one.
 */
bool caller_had_begun(const struct caller_self *self, pid_t tid, uint64_t then_ns);

/* Opens the caller's memory for reading. Returns a descriptor (owned) or negative errno. */
int caller_open_memory(const struct caller_self *self, pid_t tid);
