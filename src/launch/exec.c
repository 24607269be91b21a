/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launch/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <paths.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What glibc searches when there is no PATH. */
#define DEFAULT_SEARCH "/bin:/usr/bin"

static int check_executable(const char *path) {
        struct stat status;

        if (stat(path, &status) < 0)
                return -errno;
        if (!S_ISREG(status.st_mode))
                return -EACCES;
        if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
                return -errno;

        return 0;
}

static int copy_path(const char *path, char **ret) {
        char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;

        *ret = copy;
        return 0;
}

/* One directory of PATH; an empty one is the working directory. */
static int resolve_in(const char *directory, size_t length, const char *command, char **ret) {
        char *path;
        int r;

        if (asprintf(&path, "%.*s%s%s", (int)length, directory, length > 0 ? "/" : "", command) < 0)
                return -ENOMEM;

        r = check_executable(path);
        if (r < 0) {
                free(path);
                return r;
        }

        *ret = path;
        return 0;
}

/* After which errors execvp() looks in the next directory: what is not there, or in a place that is not. */
static bool search_goes_on(int error) {
        return error == -ENOENT || error == -ENOTDIR || error == -ESTALE || error == -ENODEV || error == -ETIMEDOUT ||
               error == -EACCES;
}

static int resolve_along(const char *command, const char *search, char **ret) {
        int result = -ENOENT;

        for (const char *directory = search;;) {
                const char *end = strchrnul(directory, ':');
                int r = resolve_in(directory, (size_t)(end - directory), command, ret);

                if (r == 0 || !search_goes_on(r))
                        return r;
                if (r == -EACCES) /* found, and said so unless a later directory has a better one */
                        result = r;
                if (*end == '\0')
                        return result;
                directory = end + 1;
        }
}

int exec_resolve(const char *command, const char *search, char **ret) {
        int r;

        if (command[0] == '\0')
                return -ENOENT;

        if (!strchr(command, '/'))
                return resolve_along(command, search ? search : DEFAULT_SEARCH, ret);

        r = check_executable(command);
        return r < 0 ? r : copy_path(command, ret);
}

static int exec_by_shell(const char *path, char *const *argv) {
        size_t count = 0;
        char **arguments;
        int r;

        while (argv[count])
                count++;

        arguments = calloc(count + 2, sizeof(*arguments));
        if (!arguments)
                return -ENOMEM;

        /* sh PATH ARG…: what was argv[0] has no place in it */
        arguments[0] = (char *)_PATH_BSHELL;
        arguments[1] = (char *)path;
        for (size_t i = 1; i < count; i++)
                arguments[i + 1] = argv[i];

        (void)execve(_PATH_BSHELL, arguments, environ);
        r = -errno;
        free(arguments);
        return r;
}

int exec_file(const char *path, char *const *argv) {
        (void)execve(path, argv, environ);
        return errno == ENOEXEC ? exec_by_shell(path, argv) : -errno;
}
