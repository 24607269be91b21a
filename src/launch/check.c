/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launch/check.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch/filter.h"

/* Before, the end of a tree could not be told, and further back there was no CONTINUE. */
#define KERNEL_MAJOR 5U
#define KERNEL_MINOR 9U

int problem_set(struct problem *problem, int error, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(problem->text, sizeof(problem->text), format, arguments);
        va_end(arguments);

        return error;
}

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\n';
}

bool check_command_line_has(const char *text, const char *word) {
        while (*text) {
                const char *start = text;
                bool quoted = false;
                size_t length;

                for (; *text && (quoted || !is_blank(*text)); text++)
                        if (*text == '"')
                                quoted = !quoted;

                length = (size_t)(text - start);
                if (length == strlen(word) && memcmp(start, word, length) == 0)
                        return true;
                while (is_blank(*text))
                        text++;
        }

        return false;
}

static int make_absolute(const char *path, char **ret) {
        char *directory, *absolute;
        int r;

        if (path[0] == '/') {
                *ret = strdup(path);
                return *ret ? 0 : -ENOMEM;
        }

        directory = getcwd(NULL, 0);
        if (!directory)
                return -errno;

        r = asprintf(&absolute, "%s/%s", directory, path);
        free(directory);
        if (r < 0)
                return -ENOMEM;

        *ret = absolute;
        return 0;
}

/* Both files are renamed into their place, so it is the directory that must be writable. `path` is absolute. */
static int check_directory_of(const char *path) {
        size_t length = (size_t)(strrchr(path, '/') - path);
        char *directory = strndup(path, length > 0 ? length : 1);
        struct stat status;
        int r = 0;

        if (!directory)
                return -ENOMEM;

        if (stat(directory, &status) < 0)
                r = -errno;
        else if (!S_ISDIR(status.st_mode))
                r = -ENOTDIR;
        else if (faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) < 0)
                r = -errno;

        free(directory);
        return r;
}

/* What is not an ordinary file (/dev/null, a FIFO, a symbolic link) would be gone after the rename. */
static int check_replaceable(const char *path) {
        struct stat status;

        if (path[strlen(path) - 1] == '/')
                return -EISDIR;
        if (lstat(path, &status) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (S_ISDIR(status.st_mode))
                return -EISDIR;

        return S_ISREG(status.st_mode) ? 0 : -EEXIST;
}

static int check_file(const char *what, const char *path, char **ret, struct problem *problem) {
        char *absolute = NULL;
        int r = make_absolute(path, &absolute);

        if (r == 0)
                r = check_directory_of(absolute);
        if (r == 0)
                r = check_replaceable(absolute);
        if (r == 0) {
                *ret = absolute;
                return 0;
        }

        free(absolute);
        if (r == -EEXIST)
                return problem_set(problem, r,
                                   "cannot write the %s %s: it is not an ordinary file, and the %s would take its "
                                   "place; name another file",
                                   what, path, what);
        return problem_set(problem, r,
                           "cannot write the %s %s: %s; name a file in a directory that exists and is writable", what,
                           path, strerror(-r));
}

int check_report(const char *path, char **ret, struct problem *problem) {
        if (path && strcmp(path, "-") != 0)
                return check_file("report", path, ret, problem);

        *ret = path ? strdup(path) : NULL;
        return path && !*ret ? problem_set(problem, -ENOMEM, "no memory for a name") : 0;
}

int check_trace(const char *path, char **ret, struct problem *problem) {
        if (path)
                return check_file("trace", path, ret, problem);

        *ret = NULL;
        return 0;
}

static bool has_capability(cap_t capabilities, cap_value_t value) {
        cap_flag_value_t set = CAP_CLEAR;

        return cap_get_flag(capabilities, value, CAP_EFFECTIVE, &set) == 0 && set == CAP_SET;
}

static int check_capabilities(struct problem *problem, bool installs_filter) {
        const struct {
                cap_value_t capability;
                const char *what;
                bool is_needed;
        } needed[] = {
                { CAP_SYS_MODULE, "CAP_SYS_MODULE (to load modules)", true },
                { CAP_SYS_ADMIN, "CAP_SYS_ADMIN (to install the filter)", installs_filter },
                { CAP_SYS_PTRACE, "CAP_SYS_PTRACE (to look at callers)", true },
        };
        cap_t capabilities = cap_get_proc();
        char missing[256] = "";
        size_t used = 0;

        if (!capabilities)
                return problem_set(problem, -errno, "cannot read the capabilities of this process: %s",
                                   strerror(errno));

        for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
                if (needed[i].is_needed && !has_capability(capabilities, needed[i].capability))
                        used += (size_t)snprintf(missing + used, sizeof(missing) - used, "%s%s",
                                                 used > 0 ? " and " : "", needed[i].what);
        (void)cap_free(capabilities);
        if (used == 0)
                return 0;

        return problem_set(problem, -EPERM,
                           "missing %s: run modgate as root, with a capability bounding set that keeps what is missing",
                           missing);
}

/* Names what stands between modgate and seccomp(2), by the errno that it gave. */
static int seccomp_problem(struct problem *problem, int error) {
        switch (error) {
        case EPERM:
        case EACCES:
                return problem_set(
                        problem, -error,
                        "seccomp(2) is forbidden by a system-call filter (%s): add SystemCallFilter=seccomp to "
                        "the unit, or allow seccomp in the container's profile",
                        strerror(error));
        case ENOSYS:
                return problem_set(problem, -error,
                                   "seccomp(2) is missing (%s): boot a kernel with CONFIG_SECCOMP_FILTER, or allow "
                                   "seccomp in the system-call filter that hides it",
                                   strerror(error));
        default:
                return problem_set(problem, -error,
                                   "this kernel's seccomp has no user notifications (%s): boot Linux %u.%u or later",
                                   strerror(error), KERNEL_MAJOR, KERNEL_MINOR);
        }
}

static int check_kernel_version(struct problem *problem) {
        unsigned int major, minor;
        struct utsname name;

        if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2)
                return 0; /* not a reason to refuse: the calls below tell more */
        if (major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR))
                return 0;

        return problem_set(problem, -EOPNOTSUPP,
                           "Linux %s cannot tell when a supervised tree has ended: boot Linux %u.%u or later",
                           name.release, KERNEL_MAJOR, KERNEL_MINOR);
}

static int check_seccomp(struct problem *problem) {
        uint32_t action = SECCOMP_RET_USER_NOTIF;
        struct seccomp_notif_sizes sizes = { 0 };

        if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0 ||
            syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
                return seccomp_problem(problem, errno);

        return 0;
}

/* proc(5): the link has our process id in the pid namespace that this /proc belongs to. */
static bool is_our_proc(void) {
        char text[16];
        ssize_t length = readlink("/proc/self", text, sizeof(text) - 1);

        if (length < 0)
                return false;
        text[length] = '\0';
        return strtol(text, NULL, 10) == getpid();
}

static int check_proc(struct problem *problem) {
        struct statfs status;

        if (statfs("/proc/self/fd", &status) < 0 || (unsigned long)status.f_type != PROC_SUPER_MAGIC)
                return problem_set(
                        problem, -ENOENT,
                        "/proc is not mounted, and callers cannot be looked at without it: mount -t proc proc /proc");
        if (!is_our_proc())
                return problem_set(problem, -ESRCH,
                                   "/proc is that of another pid namespace, where the ids of callers mean other "
                                   "processes: mount -t proc proc /proc");

        return 0;
}

static int check_all(struct problem *problem, bool installs_filter) {
        int r = check_capabilities(problem, installs_filter);

        if (r == 0)
                r = check_kernel_version(problem);
        if (r == 0)
                r = check_seccomp(problem);
        if (r == 0)
                r = check_proc(problem);
        return r;
}

int check_environment(struct problem *problem) {
        return check_all(problem, true);
}

/*
 * Whether loads of our own would go to a listener: kernel/seccomp.c lets no task have two, and says so. A child tries,
 * since a filter is there for good.
 */
static bool is_supervised(void) {
        const struct sock_filter allow = { .code = BPF_RET | BPF_K, .k = SECCOMP_RET_ALLOW };
        struct sigaction standard = { .sa_handler = SIG_DFL };
        pid_t child;
        int status, listener;

        /* whoever has it ignored hears nothing of its children; the keeper does the same */
        (void)sigaction(SIGCHLD, &standard, NULL);
        child = fork();
        if (child == 0) {
                (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                _exit(filter_install(&allow, 1, &listener) == -EBUSY);
        }
        while (child > 0 && waitpid(child, &status, 0) < 0)
                if (errno != EINTR)
                        return false;
        return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

int check_environment_to_serve(struct problem *problem) {
        int r = check_all(problem, false);

        if (r < 0 || !is_supervised())
                return r;
        return problem_set(problem, -EBUSY,
                           "another seccomp listener serves this process tree (a modgate's or a container runtime's): "
                           "the daemon would wait for itself; start it outside, as by systemctl start modgate.service");
}

int check_environment_to_mediate(struct problem *problem) {
        return check_all(problem, false);
}
