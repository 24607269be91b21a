/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "boot_script.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "interrupt.h"
#include "util/fd.h"

#define SCRIPT "scripts/quickstart"
#define SCHEMA "modgate.quickstart/1"

/* How long the script may take to end its guest when it is asked to. */
#define PATIENCE_MS 15000

#define ARGUMENTS_MAX 12U
#define NUMBER_SIZE 16U
#define PATH_SIZE 64U

char *boot_script_below(const char *directory) {
        char *path;

        if (asprintf(&path, "%s/" SCRIPT, directory) < 0)
                return NULL;
        if (access(path, X_OK) == 0)
                return path;
        free(path);
        return NULL;
}

char *boot_script_above(const char *directory) {
        char *above = strdup(directory), *path = NULL, *slash;

        while (above && !(path = boot_script_below(above)) && (slash = strrchr(above, '/')))
                *slash = '\0';
        free(above);
        return path;
}

static _Noreturn void execute(const struct boot_script *script, const struct boot_pair *pair, const char *result) {
        char cpus[NUMBER_SIZE];
        const char *arguments[ARGUMENTS_MAX] = { script->path, "--release", pair->release, "--cpus",
                                                 cpus,         "--json",    result };
        size_t count = 7;

        (void)snprintf(cpus, sizeof(cpus), "%u", pair->cpus);
        if (script->build) {
                arguments[count++] = "--build";
                arguments[count++] = script->build;
        }
        if (pair->modgate_first)
                arguments[count++] = "--modgate-first";
        if (pair->no_build)
                arguments[count++] = "--no-build";
        (void)execv(script->path, (char *const *)arguments);
        (void)fprintf(stderr, "modgate-storm: cannot execute %s: %m\n", script->path);
        _exit(EXIT_FAILURE);
}

static _Noreturn void script_main(const struct boot_script *script, const struct boot_pair *pair, const char *result,
                                  pid_t parent) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);
        interrupt_forget();
        /* a group in the background may write to its terminal all the same */
        (void)setpgid(0, 0);
        (void)signal(SIGTTOU, SIG_IGN);
        (void)dup2(null, STDIN_FILENO);
        (void)dup2(null, STDOUT_FILENO); /* its table */
        execute(script, pair, result);
}

/* Until it has ended, which is left for waitpid(2) to see. False: it has not within that time, or ^C came. */
static bool has_ended(int process, int interrupts, int timeout_ms) {
        struct pollfd pollers[] = { { .fd = process, .events = POLLIN }, { .fd = interrupts, .events = POLLIN } };

        while (poll(pollers, 2, timeout_ms) < 0)
                if (errno != EINTR)
                        return false;
        return pollers[0].revents != 0;
}

/* The group is there for as long as nobody has waited for its leader. */
static int await(pid_t pid) {
        _cleanup_fd_ int process = (int)syscall(SYS_pidfd_open, pid, 0);
        int r = process < 0 ? -errno : 0;

        if (r == 0 && !has_ended(process, interrupt_fd(), -1)) {
                r = BOOT_E_INTERRUPTED;
                (void)kill(-pid, SIGTERM);
                (void)has_ended(process, -1, PATIENCE_MS);
        }
        if (r != 0)
                (void)kill(-pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return r;
}

static bool has_schema(struct json_object *result) {
        const char *schema = json_object_get_string(json_object_object_get(result, "schema"));

        return schema && strcmp(schema, SCHEMA) == 0;
}

static int parse(int file, struct json_object **ret) {
        struct json_object *result;

        if (lseek(file, 0, SEEK_SET) < 0)
                return -errno;
        result = json_object_from_fd(file);
        if (json_object_is_type(result, json_type_object) && has_schema(result)) {
                *ret = result;
                return 0;
        }
        (void)json_object_put(result);
        return BOOT_E_FAILED;
}

int boot_script_run(const struct boot_script *script, const struct boot_pair *pair, struct json_object **ret) {
        _cleanup_fd_ int file = memfd_create("boot", MFD_CLOEXEC);
        pid_t parent = getpid(), pid;
        char path[PATH_SIZE];
        int r;

        if (file < 0)
                return -errno;
        (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", parent, file);
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                script_main(script, pair, path, parent);
        (void)setpgid(pid, pid); /* whoever is first: the group must be there before it is killed */
        r = await(pid);
        return r == 0 ? parse(file, ret) : r;
}
