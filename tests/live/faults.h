/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Faults: system calls and allocations of modgate's processes that fail when a test wants it. A program that is linked
 * with faults.c has every function in the table below wrapped (the linker's --wrap=, see tests/meson.build): a call is
 * counted by the role of its process, and fails without being made if the plan says so.
 *
 * Which function gives which errno is from the kernel's source and its manual pages; where our code tells several
 * apart, there are several. All names are those of a program with 64-bit file offsets, as meson builds it.
 *
 * Not in the table: what cannot fail in the way it is used here (clock_gettime, sigprocmask, getpid, setsid, close,
 * shutdown of a socket of ours); what is called inside of libraries, which --wrap= does not reach (libkmod, json-c and
 * libcap allocate for themselves: what is called of them is in the table, but for what builds filters and JSON);
 * SECCOMP_IOCTL_NOTIF_RECV and _SEND, but for EINTR: nothing else can come (kernel/seccomp.c), since slots are mapped
 * and zeroed; and whatever writes the log.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#define FAULT_ERRNOS 4

/* name, whether it may fail for long, errnos */
#define FAULT_FUNCTIONS(F)                                                                                             \
        F(fork, true, EAGAIN, ENOMEM)                                                                                  \
        F(kill, false, EPERM)                                                                                          \
        F(waitpid, false, EINTR)                                                                                       \
        F(socketpair, true, EMFILE, ENFILE, ENOMEM)                                                                    \
        F(setsockopt, true, ENOMEM)                                                                                    \
        F(sendmsg, true, ENOBUFS, ENOMEM, ETOOMANYREFS, EINTR)                                                         \
        F(recvmsg, true, ENOMEM, EINTR)                                                                                \
        F(descriptor, true, EMFILE) /* not a function: the one that a message brings has no room, and is lost */       \
        F(recv, true, ENOMEM)                                                                                          \
        F(pipe2, true, EMFILE, ENFILE)                                                                                 \
        F(open64, true, EMFILE, ENFILE, ENOMEM)                                                                        \
        F(openat64, true, EMFILE, ENFILE, ENOMEM)                                                                      \
        F(read, false, EINTR, ENOMEM)                                                                                  \
        F(pread64, true, EIO, ENOMEM)                                                                                  \
        F(write, true, EIO, EAGAIN, EINTR)                                                                             \
        F(pwrite64, true, ENOSPC, EIO)                                                                                 \
        F(ftruncate64, true, ENOSPC, ENOMEM)                                                                           \
        F(readlink, true, ENOMEM)                                                                                      \
        F(readlinkat, true, ENOMEM)                                                                                    \
        F(statx, true, ENOMEM, EIO)                                                                                    \
        F(stat64, true, ENOMEM)                                                                                        \
        F(lstat64, true, ENOMEM)                                                                                       \
        F(fstat64, true, ENOMEM)                                                                                       \
        F(statfs64, true, ENOMEM)                                                                                      \
        F(access, true, ENOMEM)                                                                                        \
        F(faccessat, true, ENOMEM)                                                                                     \
        F(rename, true, ENOSPC, EIO)                                                                                   \
        F(renameat2, true, ENOSPC, EIO)                                                                                \
        F(unlink, true, EIO)                                                                                           \
        F(fdopen, true, ENOMEM)                                                                                        \
        F(fputs, true, ENOSPC)                                                                                         \
        F(fclose, true, ENOSPC)                                                                                        \
        F(memfd_create, true, EMFILE, ENFILE, ENOMEM)                                                                  \
        F(mmap64, true, ENOMEM)                                                                                        \
        F(munmap, true, ENOMEM)                                                                                        \
        F(mlock, true, ENOMEM, EAGAIN)                                                                                 \
        F(mprotect, true, ENOMEM)                                                                                      \
        F(malloc, true, ENOMEM)                                                                                        \
        F(calloc, true, ENOMEM)                                                                                        \
        F(realloc, true, ENOMEM)                                                                                       \
        F(strdup, true, ENOMEM)                                                                                        \
        F(strndup, true, ENOMEM)                                                                                       \
        F(asprintf, true, ENOMEM)                                                                                      \
        F(tsearch, true, ENOMEM)                                                                                       \
        F(realpath, true, ENOMEM)                                                                                      \
        F(fcntl64, true, EMFILE, ENOMEM)                                                                               \
        F(dup2, true, EBUSY, EINTR)                                                                                    \
        F(dup3, true, EBUSY, EINTR)                                                                                    \
        F(close_range, true, ENOMEM, ENOSYS)                                                                           \
        F(epoll_create1, true, EMFILE, ENFILE, ENOMEM)                                                                 \
        F(epoll_ctl, true, ENOMEM, ENOSPC)                                                                             \
        F(epoll_wait, false, EINTR)                                                                                    \
        F(poll, false, EINTR, ENOMEM)                                                                                  \
        F(signalfd, true, EMFILE, ENFILE, ENOMEM)                                                                      \
        F(sched_getaffinity, true, EINVAL)                                                                             \
        F(ioctl, false, EINTR)                                                                                         \
        F(syscall, true, ENOMEM) /* seccomp, capget */                                                                 \
        F(prctl, true, ENOMEM)                                                                                         \
        F(cap_get_proc, true, ENOMEM)                                                                                  \
        F(cap_init, true, ENOMEM)                                                                                      \
        F(cap_set_flag, true, EINVAL)                                                                                  \
        F(cap_set_proc, true, ENOMEM, EPERM)                                                                           \
        F(cap_drop_bound, true, EPERM)                                                                                 \
        F(kmod_new, true, ENOMEM)                                                                                      \
        F(kmod_load_resources, true, ENOMEM)                                                                           \
        F(kmod_module_new_from_name, true, ENOMEM)                                                                     \
        F(seccomp_init, true, ENOMEM)                                                                                  \
        F(seccomp_export_bpf, true, ENOMEM)

enum fault_function {
#define FAULT_ENUMERATOR(name, lasts, ...) FAULT_##name,
        FAULT_FUNCTIONS(FAULT_ENUMERATOR)
#undef FAULT_ENUMERATOR
                FAULT_FUNCTION_COUNT,
};

enum fault_role {
        FAULT_NOBODY, /* a caller, or the test itself: nothing fails */
        FAULT_LAUNCHER,
        FAULT_STANDIN,
        FAULT_KEEPER,
        FAULT_SUPERVISOR,
        FAULT_LOADER,
        FAULT_INSPECTOR,
        FAULT_REPORTER,
        FAULT_TRACER,
        FAULT_ROLES,
};

struct fault_plan {
        enum fault_role role;
        enum fault_function function;
        unsigned int nth;   /* the how-manieth call of all processes of that role; from 1 */
        bool lasts;         /* and all later ones, once faults_begin_lasting() has been called */
        unsigned int error; /* which of its errnos */
};

struct fault_row {
        const char *name;
        bool lasts;
        int errors[FAULT_ERRNOS]; /* up to the first 0 */
};
extern const struct fault_row fault_rows[FAULT_FUNCTION_COUNT];
extern const char *const fault_role_names[FAULT_ROLES];

/* One for each tree; in memory that its processes share. */
struct faults {
        struct fault_plan plan;
        _Atomic bool lasting;
        atomic_uint hits;
        atomic_uint calls[FAULT_ROLES][FAULT_FUNCTION_COUNT];
        atomic_uint lasting_calls[FAULT_ROLES][FAULT_FUNCTION_COUNT]; /* of those, how many since it could last */
        _Atomic pid_t pids[FAULT_ROLES];                              /* the last process of the role */
};

/* Makes the shared memory; before a tree is started, in a process that will be its ancestor. */
struct faults *faults_new(void);

/* Forgets all counts, and takes a plan; NULL: nothing fails. */
void faults_plan(struct faults *faults, const struct fault_plan *plan);

/* From here on a fault that lasts does. */
void faults_begin_lasting(struct faults *faults);

/* This process has that role from now on. Processes that modgate forks find theirs by themselves. */
void faults_play(enum fault_role role);

/* The role of this process. */
enum fault_role faults_role(void);

/* Between them nothing fails: for what stands in for the kernel. May be nested. */
void faults_pause(void);
void faults_resume(void);
