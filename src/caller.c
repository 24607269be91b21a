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

/* Kernels and security modules differ in whether a newline or a NUL ends it. Empty: no security module has one. */
static void read_label(int directory, char label[static CALLER_LABEL_MAX]) {
        _cleanup_fd_ int fd = openat(directory, "attr/current", O_RDONLY | O_CLOEXEC);
        ssize_t length = fd < 0 ? 0 : read(fd, label, CALLER_LABEL_MAX - 1);

        if (length < 0)
                length = 0;
        label[length] = '\0';
        label[strcspn(label, "\n")] = '\0';
}

static int read_user_namespace(int directory, char *target, size_t size) {
        ssize_t length = readlinkat(directory, "ns/user", target, size - 1);

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
        _cleanup_fd_ int directory = -1;
        int r;

        memset(self, 0, sizeof(*self));
        self->proc = -1;
        if (proc < 0)
                return -errno;
        if (!is_our_proc(proc))
                return -ESRCH;
        directory = openat(proc, "self", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (directory < 0)
                return -errno;
        read_label(directory, self->label);
        r = read_user_namespace(directory, self->user_namespace, sizeof(self->user_namespace));
        if (r < 0)
                return r;
        self->proc = fd_steal(&proc);
        return 0;
}

void caller_self_deinit(struct caller_self *self) {
        self->proc = fd_close(self->proc);
}

int caller_open(const struct caller_self *self, pid_t tid) {
        char name[16];
        int fd;

        (void)snprintf(name, sizeof(name), "%d", (int)tid);
        fd = openat(self->proc, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* capget(2) takes the id of any thread. */
static bool has_capability(pid_t tid) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = tid };
        struct __user_cap_data_struct data[2] = { 0 };

        if (syscall(SYS_capget, &header, data) < 0)
                return false;
        return data[CAP_TO_INDEX(CAP_SYS_MODULE)].effective & CAP_TO_MASK(CAP_SYS_MODULE);
}

enum continue_reason caller_check(const struct caller_self *self, int directory, pid_t tid) {
        char user_namespace[sizeof(self->user_namespace)];
        char label[CALLER_LABEL_MAX];

        if (!has_capability(tid))
                return CONTINUE_NO_CAPABILITY;
        if (read_user_namespace(directory, user_namespace, sizeof(user_namespace)) < 0)
                return CONTINUE_CALLER_GONE;
        if (strcmp(user_namespace, self->user_namespace) != 0)
                return CONTINUE_USER_NAMESPACE;
        if (self->label[0] == '\0')
                return CONTINUE_NOT;
        read_label(directory, label);
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

static enum continue_reason look_at_file(int directory, const char *link, struct caller_file *file) {
        struct timespec before;
        struct statx status;
        ssize_t length = readlinkat(directory, link, file->path, sizeof(file->path) - 1);

        if (length < 0)
                return CONTINUE_FD;
        file->path[length] = '\0';
        (void)clock_gettime(CLOCK_REALTIME_COARSE, &before);
        if (statx(file->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &status) < 0)
                return CONTINUE_FD;
        if (!S_ISREG(status.stx_mode) || status.stx_size == 0)
                return CONTINUE_NOT_REGULAR;
        file->identity = module_file_from_statx(&status);
        file->settled = is_settled(&file->identity, &before);
        return CONTINUE_NOT;
}

/* What proc(5) says of a descriptor in fdinfo: all of it of the same open file. */
struct description {
        unsigned int flags;
        int mount;
        unsigned long inode;
};

/* Since Linux 5.14 with the inode's number; before that the mount has to do. */
static bool read_description(int directory, int number, struct description *ret) {
        struct description description = { 0 };
        char name[32], text[256];
        _cleanup_fd_ int fd = -1;
        const char *flags, *mount, *inode;
        ssize_t length;

        (void)snprintf(name, sizeof(name), "fdinfo/%d", number);
        fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
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
static bool is_readable(const struct caller_self *self, int directory, int number, const struct caller_file *file) {
        struct description theirs, ours;
        _cleanup_fd_ int own = openat(self->proc, "self", O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (own < 0 || !read_description(directory, number, &theirs) || !read_description(own, file->fd, &ours))
                return false;
        return !(theirs.flags & O_PATH) && (theirs.flags & O_ACCMODE) != O_WRONLY && theirs.mount == ours.mount &&
               theirs.inode == ours.inode;
}

enum continue_reason caller_file_init(struct caller_file *file, const struct caller_self *self, int directory,
                                      int number) {
        enum continue_reason reason;
        char link[32];

        (void)snprintf(link, sizeof(link), "fd/%d", number);
        file->fd = number < 0 ? -1 : openat(directory, link, O_PATH | O_CLOEXEC);
        if (file->fd < 0)
                return CONTINUE_FD;
        reason = look_at_file(directory, link, file);
        if (reason == CONTINUE_NOT && !is_readable(self, directory, number, file))
                reason = CONTINUE_FD;
        if (reason != CONTINUE_NOT)
                caller_file_deinit(file);
        return reason;
}

void caller_file_deinit(struct caller_file *file) {
        file->fd = fd_close(file->fd);
}

#define STAT_STATE 3
#define STAT_STARTTIME 22

int caller_thread_start(const struct caller_self *self, pid_t tid, uint64_t *ret) {
        char path[24], text[1024];
        _cleanup_fd_ int fd = -1;
        const char *field;
        ssize_t length;

        (void)snprintf(path, sizeof(path), "%d/stat", (int)tid);
        fd = openat(self->proc, path, O_RDONLY | O_CLOEXEC);
        length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        if (length < 0)
                return -errno;
        text[length] = '\0';
        /* the second field is the program's name, which may have parentheses and blanks */
        field = strrchr(text, ')');
        for (int i = STAT_STATE - 1; field && i < STAT_STARTTIME; i++)
                field = strchr(field + 1, ' ');
        *ret = field ? strtoull(field, NULL, 10) : 0;
        return *ret != 0 ? 0 : -EPROTO;
}

int caller_open_memory(int directory) {
        int fd = openat(directory, "mem", O_RDONLY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}
