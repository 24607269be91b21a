/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mediate/asker.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "module/identity.h"
#include "util/fd.h"

#define PATH_ROOM 64U

/* A map has up to 340 lines (user_namespaces(7)). */
#define TEXT_ROOM 16384U

static const char *below(char path[static PATH_ROOM], pid_t tid, const char *name) {
        (void)snprintf(path, PATH_ROOM, "%d/%s", (int)tid, name);
        return path;
}

/* Returns its length, or negative errno. */
static ssize_t read_text(int proc, pid_t tid, const char *name, char text[static TEXT_ROOM]) {
        char path[PATH_ROOM];
        _cleanup_fd_ int fd = openat(proc, below(path, tid, name), O_RDONLY | O_CLOEXEC);
        ssize_t length = 0, got = 0;

        if (fd < 0)
                return -errno;
        while (length < (ssize_t)TEXT_ROOM - 1 && (got = read(fd, text + length, TEXT_ROOM - 1 - (size_t)length)) > 0)
                length += got;
        if (got < 0)
                return -errno;
        text[length] = '\0';
        return length;
}

int asker_namespace(int proc, pid_t pid, const char *kind, uint64_t ret[static 2]) {
        char path[PATH_ROOM];
        struct stat status;

        (void)snprintf(path, sizeof(path), "%d/ns/%s", (int)pid, kind);
        if (fstatat(proc, path, &status, 0) < 0)
                return -errno;
        ret[0] = status.st_dev;
        ret[1] = status.st_ino;
        return 0;
}

/*
 * A process can leave its user namespace, but not its pid namespace, whose owner the container's user namespace is
 * (pid_namespaces(7), NS_GET_USERNS of ioctl_ns(2)). If it has none of its own that says nothing. Returns 0 or negative
 * errno: -EPERM, it has left.
 */
static int check_pid_namespace(int proc, pid_t pid, const uint64_t user_namespace[static 2]) {
        char path[PATH_ROOM];
        _cleanup_fd_ int fd = openat(proc, below(path, pid, "ns/pid"), O_RDONLY | O_CLOEXEC), owner = -1;
        struct stat status;
        uint64_t its[2], ours[2];

        if (fd < 0 || asker_namespace(proc, pid, "pid", its) < 0 || asker_namespace(proc, getpid(), "pid", ours) < 0)
                return -ESRCH;
        if (its[0] == ours[0] && its[1] == ours[1])
                return 0;
        owner = ioctl(fd, NS_GET_USERNS);
        if (owner < 0 || fstat(owner, &status) < 0)
                return -errno;
        return status.st_dev == user_namespace[0] && status.st_ino == user_namespace[1] ? 0 : -EPERM;
}

int asker_namespace_of_root(int proc, pid_t pid, uint64_t ret[static 2]) {
        char path[PATH_ROOM];
        _cleanup_fd_ int fd = openat(proc, below(path, pid, "ns/user"), O_RDONLY | O_CLOEXEC);
        struct stat status;
        uid_t owner;

        if (fd < 0 || fstat(fd, &status) < 0 || ioctl(fd, NS_GET_OWNER_UID, &owner) < 0)
                return -errno;
        if (owner != 0)
                return -EPERM;
        ret[0] = status.st_dev;
        ret[1] = status.st_ino;
        return check_pid_namespace(proc, pid, ret);
}

/* What follows the name of a line of /proc/PID/status, or NULL. The program's name in it has its newlines escaped. */
static const char *status_value(const char *text, const char *name) {
        size_t length = strlen(name);

        for (const char *line = text; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (strncmp(line, name, length) == 0)
                        return line + length;
                if (*line == '\0')
                        break;
        }
        return NULL;
}

bool asker_is_filtered(int proc, pid_t pid) {
        static char text[TEXT_ROOM];
        const char *value = read_text(proc, pid, "status", text) > 0 ? status_value(text, "Seccomp:") : NULL;

        return value && strtol(value, NULL, 10) == 2;
}

/* proc(5): the second number of `Uid:` is the effective one, in the reader's user namespace. */
static int read_uid(int proc, pid_t tid, uid_t *ret) {
        static char text[TEXT_ROOM];
        ssize_t length = read_text(proc, tid, "status", text);
        const char *value = length > 0 ? status_value(text, "Uid:") : NULL;
        char *end;

        if (length < 0)
                return (int)length;
        if (!value)
                return -ESRCH;
        (void)strtoul(value, &end, 10);
        *ret = (uid_t)strtoul(end, NULL, 10);
        return 0;
}

/*
 * Is `uid` (ours) user 0 there? user_namespaces(7): lines of first id inside, first id outside (as the reader's
 * namespace has it) and length.
 */
static bool is_root_by(const char *map, uid_t uid) {
        const char *line = map;

        while (line && *line != '\0') {
                unsigned long inside, outside, count;

                if (sscanf(line, "%lu %lu %lu", &inside, &outside, &count) != 3)
                        return false;
                if (inside == 0 && count > 0 && outside == uid)
                        return true;
                line = strchr(line, '\n');
                line += line ? 1 : 0;
        }
        return false;
}

/* Returns 0 or negative errno. */
static int look_for_root(int proc, pid_t tid, struct asker *asker) {
        static char text[TEXT_ROOM];
        ssize_t length = read_text(proc, tid, "uid_map", text);

        asker->caller.root = length > 0 && is_root_by(text, asker->uid);
        return length < 0 ? (int)length : 0;
}

/* capget(2) takes the id of any thread, and its sets are those that it has in its own user namespace. */
static bool is_capable(pid_t tid) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = tid };
        struct __user_cap_data_struct data[2] = { 0 };

        return syscall(SYS_capget, &header, data) == 0 &&
               (data[CAP_TO_INDEX(CAP_SYS_MODULE)].effective & CAP_TO_MASK(CAP_SYS_MODULE));
}

int asker_look(int proc, pid_t tid, const uint64_t user_namespace[static 2], struct asker *ret) {
        uint64_t its[2];
        int r = asker_namespace(proc, tid, "user", its);

        *ret = (struct asker){ .uid = (uid_t)-1 };
        if (r == 0)
                r = read_uid(proc, tid, &ret->uid);
        if (r < 0)
                return r == -ENOENT ? -ESRCH : r;
        if (its[1] == 0 || its[0] != user_namespace[0] || its[1] != user_namespace[1])
                return 0;
        r = look_for_root(proc, tid, ret);
        ret->caller.capable = is_capable(tid);
        return r == -ENOENT ? -ESRCH : r;
}

/* Kernel modules are called nothing else; and it is good for a log, a path and a policy as it is. */
bool asker_is_name(const char *name, size_t length) {
        if (!module_name_is_plain(name, length))
                return false;
        for (size_t i = 0; i < length; i++)
                if (!isalnum((unsigned char)name[i]) && name[i] != '_' && name[i] != '-')
                        return false;
        return true;
}
