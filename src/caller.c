/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "caller.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "module/identity.h"
#include "util/fd.h"

/* Room for "TID/fdinfo/NUMBER". */
#define PATH_ROOM 64U

/* Below a task's directory in /proc. Looked up anew each time: to open the directory first costs more than its name. */
static const char *below(char path[static PATH_ROOM], pid_t tid, const char *name) {
        (void)snprintf(path, PATH_ROOM, "%d/%s", (int)tid, name);
        return path;
}

static const char *descriptor(char path[static PATH_ROOM], pid_t tid, const char *directory, int number) {
        (void)snprintf(path, PATH_ROOM, "%d/%s/%d", (int)tid, directory, number);
        return path;
}

/* Trouble of ours, which says nothing about the caller. */
static bool is_ours(int error) {
        return error == EMFILE || error == ENFILE || error == ENOMEM;
}

/*
 * Kernels and security modules differ in whether a newline or a NUL ends it. Empty: no security module has one. Returns
 * 0 or negative errno.
 */
static int read_label(int proc, pid_t tid, char label[static CALLER_LABEL_MAX]) {
        char path[PATH_ROOM];
        _cleanup_fd_ int fd = openat(proc, below(path, tid, "attr/current"), O_RDONLY | O_CLOEXEC);
        ssize_t length = fd < 0 ? -1 : read(fd, label, CALLER_LABEL_MAX - 1);

        if (length < 0 && is_ours(errno))
                return -errno;
        if (length < 0)
                length = 0;
        label[length] = '\0';
        label[strcspn(label, "\n")] = '\0';
        return 0;
}

static int read_user_namespace(int proc, pid_t tid, char *target, size_t size) {
        char path[PATH_ROOM];
        ssize_t length = readlinkat(proc, below(path, tid, "ns/user"), target, size - 1);

        if (length < 0 && errno == ENOENT) /* a kernel without user namespaces has no such link */
                length = 0;
        if (length < 0)
                return -errno;
        target[length] = '\0';
        return 0;
}

/* proc(5): the link has our process id in the pid namespace that this /proc belongs to. */
static bool is_our_proc(int proc) {
        char text[16];
        ssize_t length = readlinkat(proc, "self", text, sizeof(text) - 1);

        if (length < 0)
                return false;
        text[length] = '\0';
        return strtol(text, NULL, 10) == getpid();
}

int caller_self_init(struct caller_self *self) {
        _cleanup_fd_ int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int r;

        memset(self, 0, sizeof(*self));
        self->proc = -1;
        if (proc < 0)
                return -errno;
        if (!is_our_proc(proc))
                return -ESRCH;
        r = read_label(proc, getpid(), self->label);
        if (r == 0)
                r = read_user_namespace(proc, getpid(), self->user_namespace, sizeof(self->user_namespace));
        if (r < 0)
                return r;
        self->proc = fd_steal(&proc);
        return 0;
}

void caller_self_deinit(struct caller_self *self) {
        self->proc = fd_close(self->proc);
}

/* capget(2) takes the id of any thread. */
static enum continue_reason check_capability(pid_t tid) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = tid };
        struct __user_cap_data_struct data[2] = { 0 };

        if (syscall(SYS_capget, &header, data) < 0)
                return errno == ESRCH ? CONTINUE_CALLER_GONE : CONTINUE_NO_CAPABILITY;
        return data[CAP_TO_INDEX(CAP_SYS_MODULE)].effective & CAP_TO_MASK(CAP_SYS_MODULE) ? CONTINUE_NOT
                                                                                          : CONTINUE_NO_CAPABILITY;
}

enum continue_reason caller_check(const struct caller_self *self, pid_t tid) {
        char user_namespace[sizeof(self->user_namespace)];
        char label[CALLER_LABEL_MAX];
        enum continue_reason reason = check_capability(tid);

        if (reason != CONTINUE_NOT)
                return reason;
        if (read_user_namespace(self->proc, tid, user_namespace, sizeof(user_namespace)) < 0)
                return CONTINUE_CALLER_GONE;
        if (strcmp(user_namespace, self->user_namespace) != 0)
                return CONTINUE_USER_NAMESPACE;
        if (self->label[0] == '\0')
                return CONTINUE_NOT;
        if (read_label(self->proc, tid, label) < 0)
                return CONTINUE_INTERNAL;
        return strcmp(label, self->label) == 0 ? CONTINUE_NOT : CONTINUE_LABEL;
}

/*
 * File times come from a clock that ticks a few hundred times a second, on some file systems once in one or two. What
 * is changed again within the same tick has the same times. Times of the future are those of a machine without a clock.
 */
static bool is_settled(const struct module_file *file, const struct timespec *before) {
        const int64_t second_ns = 1000000000;
        int64_t now_ns = before->tv_sec * second_ns + before->tv_nsec;
        int64_t tick_ns = file->ctime_ns % second_ns == 0 ? 2 * second_ns : 1;

        return file->ctime_ns + tick_ns <= now_ns || file->ctime_ns > now_ns + second_ns;
}

static enum continue_reason look(int directory, const char *path, int flags, struct caller_file *ret) {
        struct timespec before;
        struct statx status;

        (void)clock_gettime(CLOCK_REALTIME_COARSE, &before);
        if (statx(directory, path, flags | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &status) < 0)
                return is_ours(errno) ? CONTINUE_INTERNAL : CONTINUE_FD;
        if (!S_ISREG(status.stx_mode) || status.stx_size == 0)
                return CONTINUE_NOT_REGULAR;
        ret->identity = module_file_from_statx(&status);
        ret->settled = is_settled(&ret->identity, &before);
        return CONTINUE_NOT;
}

/* fs/proc/fd.c: the link itself may be read if the descriptor is open for reading, which an O_PATH one is not. */
static bool link_is_readable(int proc, const char *link) {
        struct statx status;

        return statx(proc, link, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, STATX_MODE, &status) == 0 &&
               (status.stx_mode & S_IRUSR);
}

enum continue_reason caller_look_at_file(const struct caller_self *self, pid_t tid, int number,
                                         struct caller_file *file) {
        char link[PATH_ROOM];

        if (number < 0 || !link_is_readable(self->proc, descriptor(link, tid, "fd", number)))
                return CONTINUE_FD;
        return look(self->proc, link, 0, file);
}

bool caller_file_path(const struct caller_self *self, pid_t tid, int number, char path[static CALLER_PATH_MAX]) {
        char link[PATH_ROOM];
        ssize_t length = readlinkat(self->proc, descriptor(link, tid, "fd", number), path, CALLER_PATH_MAX - 1);

        path[length < 0 ? 0 : length] = '\0';
        return length > 0;
}

/* What proc(5) says of a descriptor in fdinfo: all of it of the same open file. */
struct description {
        unsigned int flags;
        int mount;
        unsigned long inode;
};

/* Since Linux 5.14 with the inode's number; before that the mount has to do. */
static bool read_description(int proc, pid_t tid, int number, struct description *ret) {
        struct description description = { 0 };
        char path[PATH_ROOM], text[256];
        _cleanup_fd_ int fd = -1;
        const char *flags, *mount, *inode;
        ssize_t length;

        fd = openat(proc, descriptor(path, tid, "fdinfo", number), O_RDONLY | O_CLOEXEC);
        length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        if (length < 0)
                return false;
        text[length] = '\0';
        flags = strstr(text, "flags:");
        mount = strstr(text, "mnt_id:");
        inode = strstr(text, "ino:");
        if (!flags || !mount)
                return false;
        description.flags = (unsigned int)strtoul(flags + strlen("flags:"), NULL, 8);
        description.mount = (int)strtol(mount + strlen("mnt_id:"), NULL, 10);
        description.inode = inode ? strtoul(inode + strlen("ino:"), NULL, 10) : 0;
        *ret = description;
        return true;
}

/*
 * The number may stand for another file with every look, if another thread uses it again. What counts is that, during
 * the call, it was a descriptor open for reading of the file that we have.
 */
static bool is_readable(const struct caller_self *self, pid_t tid, int number, int fd) {
        struct description theirs, ours;

        if (!read_description(self->proc, tid, number, &theirs) || !read_description(self->proc, getpid(), fd, &ours))
                return false;
        return !(theirs.flags & O_PATH) && (theirs.flags & O_ACCMODE) != O_WRONLY && theirs.mount == ours.mount &&
               theirs.inode == ours.inode;
}

enum continue_reason caller_open_file(const struct caller_self *self, pid_t tid, int number,
                                      const struct module_file *seen, int *ret_fd) {
        enum continue_reason reason;
        struct caller_file file;
        char link[PATH_ROOM];
        _cleanup_fd_ int fd = openat(self->proc, descriptor(link, tid, "fd", number), O_PATH | O_CLOEXEC);

        if (fd < 0)
                return is_ours(errno) ? CONTINUE_INTERNAL : CONTINUE_FD;
        reason = look(fd, "", AT_EMPTY_PATH, &file);
        if (reason != CONTINUE_NOT)
                return reason;
        if (memcmp(&file.identity, seen, sizeof(*seen)) != 0 || !is_readable(self, tid, number, fd))
                return CONTINUE_FD;
        *ret_fd = fd_steal(&fd);
        return CONTINUE_NOT;
}

/* proc_pid_stat(5) */
#define STAT_STATE 3
#define STAT_STARTTIME 22

uint64_t caller_start(int directory, const char *stat_path) {
        char text[1024];
        _cleanup_fd_ int fd = openat(directory, stat_path, O_RDONLY | O_CLOEXEC);
        ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        const char *field;

        if (length < 0)
                return 0;
        text[length] = '\0';
        /* the second field is the program's name, which may have parentheses and blanks */
        field = strrchr(text, ')');
        for (int i = STAT_STATE - 1; field && i < STAT_STARTTIME; i++)
                field = strchr(field + 1, ' ');
        return field ? strtoull(field, NULL, 10) : 0;
}

bool caller_had_begun(const struct caller_self *self, pid_t tid, uint64_t then_ns) {
        char path[PATH_ROOM];
        uint64_t start = caller_start(self->proc, below(path, tid, "stat")),
                 tick_ns = 1000000000U / (uint64_t)sysconf(_SC_CLK_TCK);

        return start != 0 && start <= then_ns / tick_ns;
}

int caller_open_memory(const struct caller_self *self, pid_t tid) {
        char path[PATH_ROOM];
        int fd = openat(self->proc, below(path, tid, "mem"), O_RDONLY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}
