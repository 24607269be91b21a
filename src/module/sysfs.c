/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "module/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "modgate/module.h"
#include "util/fd.h"

struct state_file {
        char name[MODULE_NAME_SIZE]; /* first: the tree's key */
        int fd;
};

static int compare_names(const void *a, const void *b) {
        return strncmp(a, b, MODULE_NAME_SIZE);
}

static void state_free(void *pointer) {
        struct state_file *file = pointer;

        fd_close(file->fd);
        free(file);
}

void module_sysfs_init(struct module_sysfs *sysfs, const char *directory) {
        sysfs->directory = directory;
        sysfs->modules = NULL;
}

void module_sysfs_deinit(struct module_sysfs *sysfs) {
        tdestroy(sysfs->modules, state_free);
        sysfs->modules = NULL;
}

static struct state_file *find(struct module_sysfs *sysfs, const char *name) {
        struct state_file **node = tfind(name, &sysfs->modules, compare_names);

        return node ? *node : NULL;
}

static struct state_file *open_state(struct module_sysfs *sysfs, const char *name) {
        struct state_file *file;
        char path[PATH_MAX];
        int fd;

        if ((size_t)snprintf(path, sizeof(path), "%s/%s/initstate", sysfs->directory, name) >= sizeof(path))
                return NULL;
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return NULL;
        file = calloc(1, sizeof(*file));
        if (file) {
                memcpy(file->name, name, strnlen(name, sizeof(file->name) - 1));
                file->fd = fd;
                if (tsearch(file, &sysfs->modules, compare_names))
                        return file;
                free(file);
        }
        fd_close(fd);
        return NULL;
}

static void forget(struct module_sysfs *sysfs, struct state_file *file) {
        (void)tdelete(file->name, &sysfs->modules, compare_names);
        state_free(file);
}

/* MODULE_ABSENT: the module that the file was opened for has gone. */
static enum module_state read_state(const struct state_file *file) {
        char text[16];
        ssize_t length = pread(file->fd, text, sizeof(text), 0);

        if (length <= 0)
                return MODULE_ABSENT;
        return length >= 4 && memcmp(text, "live", 4) == 0 ? MODULE_LIVE : MODULE_PASSING;
}

enum module_state module_sysfs_state(struct module_sysfs *sysfs, const char *name) {
        struct state_file *file = find(sysfs, name);
        enum module_state state = file ? read_state(file) : MODULE_ABSENT;

        if (state != MODULE_ABSENT)
                return state;
        if (file)
                forget(sysfs, file);
        /* it may have been loaded again */
        file = open_state(sysfs, name);
        if (!file)
                return MODULE_ABSENT;
        state = read_state(file);
        if (state == MODULE_ABSENT)
                forget(sysfs, file);
        return state;
}
