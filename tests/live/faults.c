/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <libkmod.h>
#include <poll.h>
#include <sched.h>
#include <search.h>
#include <seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel_interface.h"
#include "scripted.h"
#include "util/detach.h"
#include "util/title.h"

const struct fault_row fault_rows[FAULT_FUNCTION_COUNT] = {
#define FAULT_ROW(name, lasts, ...) [FAULT_##name] = { #name, lasts, { __VA_ARGS__ } },
        FAULT_FUNCTIONS(FAULT_ROW)
#undef FAULT_ROW
};

const char *const fault_role_names[FAULT_ROLES] = {
        [FAULT_NOBODY] = "nobody",     [FAULT_LAUNCHER] = "launcher", [FAULT_STANDIN] = "stand-in",
        [FAULT_KEEPER] = "keeper",     [FAULT_SUPERVISOR] = "superv", [FAULT_LOADER] = "loader",
        [FAULT_INSPECTOR] = "inspect", [FAULT_REPORTER] = "report",   [FAULT_TRACER] = "tracer",
};

static struct faults *all;
static enum fault_role role;
static unsigned int paused;

struct faults *faults_new(void) {
        all = mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(all != MAP_FAILED);
        return all;
}

void faults_plan(struct faults *faults, const struct fault_plan *plan) {
        memset(faults, 0, sizeof(*faults));
        if (plan)
                faults->plan = *plan;
}

void faults_begin_lasting(struct faults *faults) {
        faults->lasting = true;
}

void faults_play(enum fault_role new_role) {
        role = new_role;
        if (all)
                all->pids[role] = getpid();
}

enum fault_role faults_role(void) {
        return role;
}

void faults_pause(void) {
        paused++;
}

void faults_resume(void) {
        paused--;
}

/* Counts a call. Whether it is to fail: then errno is set. */
static bool is_due(enum fault_function function) {
        const struct fault_plan *plan;
        unsigned int nth;

        if (!all || role == FAULT_NOBODY || paused > 0)
                return false;
        plan = &all->plan;
        nth = atomic_fetch_add(&all->calls[role][function], 1) + 1;
        if (all->lasting)
                atomic_fetch_add(&all->lasting_calls[role][function], 1);
        if (plan->role != role || plan->function != function || (plan->lasts ? !all->lasting : nth != plan->nth))
                return false;
        atomic_fetch_add(&all->hits, 1);
        errno = fault_rows[function].errors[plan->error];
        return true;
}

/* Who is who */

static enum fault_role role_of(const char *title) {
        for (enum fault_role i = FAULT_KEEPER; i < FAULT_ROLES; i++)
                if (strcmp(title + strlen("modgate-"), fault_role_names[i]) == 0)
                        return i;
        return FAULT_NOBODY;
}

void __real_title_set(const char *title);
void __wrap_title_set(const char *title);

void __wrap_title_set(const char *title) {
        faults_play(role_of(title));
        __real_title_set(title);
}

/* The launcher detaches the keeper, and then its stand-in. */
static struct detached {
        enum fault_role role;
        void (*run)(void *context);
        void *context;
} detached = { .role = FAULT_LAUNCHER };

static void run_detached(void *context) {
        (void)context;
        faults_play(detached.role);
        detached.run(detached.context);
}

int __real_detach(int socket, void (*run)(void *context), void *context);
int __wrap_detach(int socket, void (*run)(void *context), void *context);

int __wrap_detach(int socket, void (*run)(void *context), void *context) {
        detached.role = detached.role == FAULT_LAUNCHER ? FAULT_KEEPER : FAULT_STANDIN;
        detached.run = run;
        detached.context = context;
        return __real_detach(socket, run_detached, NULL);
}

/* The scripted kernel's side: its own calls do not fail. */

static struct kernel_interface interface;

static int open_uevents(void) {
        int fd;

        faults_pause();
        fd = interface.open_uevents();
        faults_resume();
        return fd;
}

static int receive_uevent(int socket, char *buffer, size_t size, struct uevent *ret) {
        int r;

        faults_pause();
        r = interface.receive_uevent(socket, buffer, size, ret);
        faults_resume();
        return r;
}

static int finit_module(int fd, const char *params, int flags) {
        int r;

        faults_pause();
        r = interface.finit_module(fd, params, flags);
        faults_resume();
        return r;
}

static int init_module(const void *image, unsigned long length, const char *params) {
        int r;

        faults_pause();
        r = interface.init_module(image, length, params);
        faults_resume();
        return r;
}

const struct kernel_interface *__real_scripted_interface(void);
const struct kernel_interface *__wrap_scripted_interface(void);

const struct kernel_interface *__wrap_scripted_interface(void) {
        static struct kernel_interface wrapped;

        interface = *__real_scripted_interface();
        wrapped = interface;
        wrapped.open_uevents = open_uevents;
        wrapped.receive_uevent = receive_uevent;
        wrapped.finit_module = finit_module;
        wrapped.init_module = init_module;
        return &wrapped;
}

/* The functions */

#define WRAP(type, name, failure, parameters, arguments)                                                               \
        type __real_##name parameters;                                                                                 \
        type __wrap_##name parameters;                                                                                 \
        type __wrap_##name parameters {                                                                                \
                return is_due(FAULT_##name) ? (failure) : __real_##name arguments;                                     \
        }

WRAP(pid_t, fork, -1, (void), ())
WRAP(int, kill, -1, (pid_t pid, int number), (pid, number))
WRAP(pid_t, waitpid, -1, (pid_t pid, int *status, int options), (pid, status, options))
WRAP(int, socketpair, -1, (int domain, int type, int protocol, int fds[2]), (domain, type, protocol, fds))
WRAP(int, setsockopt, -1, (int socket, int level, int name, const void *value, socklen_t length),
     (socket, level, name, value, length))
WRAP(ssize_t, sendmsg, -1, (int socket, const struct msghdr *message, int flags), (socket, message, flags))
WRAP(ssize_t, recv, -1, (int socket, void *buffer, size_t size, int flags), (socket, buffer, size, flags))
WRAP(int, pipe2, -1, (int fds[2], int flags), (fds, flags))
WRAP(ssize_t, read, -1, (int fd, void *buffer, size_t size), (fd, buffer, size))
WRAP(ssize_t, pread64, -1, (int fd, void *buffer, size_t size, off64_t offset), (fd, buffer, size, offset))
WRAP(ssize_t, pwrite64, -1, (int fd, const void *buffer, size_t size, off64_t offset), (fd, buffer, size, offset))
WRAP(int, ftruncate64, -1, (int fd, off64_t length), (fd, length))
WRAP(ssize_t, readlink, -1, (const char *path, char *buffer, size_t size), (path, buffer, size))
WRAP(ssize_t, readlinkat, -1, (int directory, const char *path, char *buffer, size_t size),
     (directory, path, buffer, size))
WRAP(int, statx, -1, (int directory, const char *path, int flags, unsigned int mask, struct statx *status),
     (directory, path, flags, mask, status))
WRAP(int, stat64, -1, (const char *path, struct stat64 *status), (path, status))
WRAP(int, lstat64, -1, (const char *path, struct stat64 *status), (path, status))
WRAP(int, fstat64, -1, (int fd, struct stat64 *status), (fd, status))
WRAP(int, statfs64, -1, (const char *path, struct statfs64 *status), (path, status))
WRAP(int, access, -1, (const char *path, int mode), (path, mode))
WRAP(int, faccessat, -1, (int directory, const char *path, int mode, int flags), (directory, path, mode, flags))
WRAP(int, rename, -1, (const char *from, const char *to), (from, to))
WRAP(int, renameat2, -1, (int from_directory, const char *from, int to_directory, const char *to, unsigned int flags),
     (from_directory, from, to_directory, to, flags))
WRAP(int, unlink, -1, (const char *path), (path))
WRAP(FILE *, fdopen, NULL, (int fd, const char *mode), (fd, mode))
WRAP(int, fputs, EOF, (const char *text, FILE *file), (text, file))
WRAP(int, memfd_create, -1, (const char *name, unsigned int flags), (name, flags))
WRAP(void *, mmap64, MAP_FAILED, (void *address, size_t size, int protection, int flags, int fd, off64_t offset),
     (address, size, protection, flags, fd, offset))
WRAP(int, munmap, -1, (void *address, size_t size), (address, size))
WRAP(int, mlock, -1, (const void *address, size_t size), (address, size))
WRAP(int, mprotect, -1, (void *address, size_t size, int protection), (address, size, protection))
WRAP(void *, malloc, NULL, (size_t size), (size))
WRAP(void *, calloc, NULL, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, NULL, (void *memory, size_t size), (memory, size))
WRAP(char *, strdup, NULL, (const char *text), (text))
WRAP(char *, strndup, NULL, (const char *text, size_t length), (text, length))
WRAP(void *, tsearch, NULL, (const void *key, void **root, int (*compare)(const void *a, const void *b)),
     (key, root, compare))
WRAP(char *, realpath, NULL, (const char *path, char *resolved), (path, resolved))
WRAP(int, dup2, -1, (int fd, int number), (fd, number))
WRAP(int, dup3, -1, (int fd, int number, int flags), (fd, number, flags))
WRAP(int, close_range, -1, (unsigned int first, unsigned int last, int flags), (first, last, flags))
WRAP(int, epoll_create1, -1, (int flags), (flags))
WRAP(int, epoll_ctl, -1, (int fd, int operation, int number, struct epoll_event *event), (fd, operation, number, event))
WRAP(int, epoll_wait, -1, (int fd, struct epoll_event *events, int count, int timeout), (fd, events, count, timeout))
WRAP(int, signalfd, -1, (int fd, const sigset_t *mask, int flags), (fd, mask, flags))
WRAP(int, sched_getaffinity, -1, (pid_t pid, size_t size, cpu_set_t *cpus), (pid, size, cpus))
WRAP(cap_t, cap_get_proc, NULL, (void), ())
WRAP(cap_t, cap_init, NULL, (void), ())
WRAP(int, cap_set_flag, -1,
     (cap_t capabilities, cap_flag_t flag, int count, const cap_value_t *values, cap_flag_value_t value),
     (capabilities, flag, count, values, value))
WRAP(int, cap_set_proc, -1, (cap_t capabilities), (capabilities))
WRAP(int, cap_drop_bound, -1, (cap_value_t capability), (capability))
WRAP(struct kmod_ctx *, kmod_new, NULL, (const char *directory, const char *const *configuration),
     (directory, configuration))
WRAP(int, kmod_load_resources, -errno, (struct kmod_ctx * kmod), (kmod))
WRAP(int, kmod_module_new_from_name, -errno, (struct kmod_ctx * kmod, const char *name, struct kmod_module **ret),
     (kmod, name, ret))
WRAP(scmp_filter_ctx, seccomp_init, NULL, (uint32_t action), (action))
WRAP(int, seccomp_export_bpf, -errno, (const scmp_filter_ctx context, int fd), (context, fd))

/* Those that need a closer look */

/* The log is what tells of faults: it has none. */
ssize_t __real_write(int fd, const void *buffer, size_t size);
ssize_t __wrap_write(int fd, const void *buffer, size_t size);

ssize_t __wrap_write(int fd, const void *buffer, size_t size) {
        return fd != STDERR_FILENO && is_due(FAULT_write) ? -1 : __real_write(fd, buffer, size);
}

int __real_poll(struct pollfd *pollers, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *pollers, nfds_t count, int timeout);

int __wrap_poll(struct pollfd *pollers, nfds_t count, int timeout) {
        bool log = count == 1 && pollers->fd == STDERR_FILENO;

        return !log && count > 0 && is_due(FAULT_poll) ? -1 : __real_poll(pollers, count, timeout);
}

/* The file is closed, as by fclose() on a full disk. */
int __real_fclose(FILE *file);
int __wrap_fclose(FILE *file);

int __wrap_fclose(FILE *file) {
        int r = __real_fclose(file);

        return is_due(FAULT_fclose) ? EOF : r;
}

static void close_all(const struct cmsghdr *header) {
        for (size_t i = 0; i < (header->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
                int fd;

                memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
                (void)close(fd);
        }
}

/* What the kernel does when the table of descriptors is full (net/core/scm.c): the message comes without it. */
static void lose_descriptor(struct msghdr *message) {
        close_all(CMSG_FIRSTHDR(message));
        message->msg_controllen = 0;
        message->msg_flags |= MSG_CTRUNC;
}

ssize_t __real_recvmsg(int socket, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int socket, struct msghdr *message, int flags);

ssize_t __wrap_recvmsg(int socket, struct msghdr *message, int flags) {
        ssize_t length;

        if (is_due(FAULT_recvmsg))
                return -1;
        length = __real_recvmsg(socket, message, flags);
        if (length > 0 && message->msg_controllen > 0 && CMSG_FIRSTHDR(message) && is_due(FAULT_descriptor))
                lose_descriptor(message);
        return length;
}

/*
 * What takes different numbers of arguments in C takes them all in registers: each is passed on, whether it was given
 * or not.
 */

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, mode_t mode);

int __wrap_open64(const char *path, int flags, mode_t mode) {
        return is_due(FAULT_open64) ? -1 : __real_open64(path, flags, mode);
}

int __real_openat64(int directory, const char *path, int flags, ...);
int __wrap_openat64(int directory, const char *path, int flags, mode_t mode);

int __wrap_openat64(int directory, const char *path, int flags, mode_t mode) {
        return is_due(FAULT_openat64) ? -1 : __real_openat64(directory, path, flags, mode);
}

int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, long argument);

int __wrap_fcntl64(int fd, int command, long argument) {
        return fd != STDERR_FILENO && is_due(FAULT_fcntl64) ? -1 : __real_fcntl64(fd, command, argument);
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, long argument);

int __wrap_ioctl(int fd, unsigned long request, long argument) {
        return is_due(FAULT_ioctl) ? -1 : __real_ioctl(fd, request, argument);
}

int __real_prctl(int option, ...);
int __wrap_prctl(int option, long a, long b, long c, long d);

int __wrap_prctl(int option, long a, long b, long c, long d) {
        return is_due(FAULT_prctl) ? -1 : __real_prctl(option, a, b, c, d);
}

/* Six of them only for futexes, which are the kit's: the last one is on the stack. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f) {
        bool ours = number == SYS_seccomp || number == SYS_capget;

        return ours && is_due(FAULT_syscall) ? -1 : __real_syscall(number, a, b, c, d, e, f);
}

int __wrap_asprintf(char **ret, const char *format, ...) __attribute__((format(printf, 2, 3)));

int __wrap_asprintf(char **ret, const char *format, ...) {
        va_list arguments;
        int r = -1;

        va_start(arguments, format);
        if (!is_due(FAULT_asprintf))
                r = vasprintf(ret, format, arguments);
        va_end(arguments);
        return r;
}
