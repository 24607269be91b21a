/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "module/index.h"

#include <errno.h>
#include <fcntl.h>
#include <libkmod.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "module/identity.h"

struct indexed_file {
        const char *path; /* behind this struct */
        char name[MODULE_NAME_SIZE];
        struct module_file file; /* when it was looked up: device and inode count */
};

static int compare_paths(const void *a, const void *b) {
        const struct indexed_file *left = a, *right = b;

        return strcmp(left->path, right->path);
}

/* libkmod's own messages are of no use to our reader: a file without a name only costs speed. */
static void drop_log(void *data, int priority, const char *file, int line, const char *function, const char *format,
                     va_list arguments) {
        (void)data, (void)priority, (void)file, (void)line, (void)function, (void)format, (void)arguments;
}

static char *system_directory(void) {
        struct utsname system;
        char *path;

        if (uname(&system) < 0 || asprintf(&path, "/lib/modules/%s", system.release) < 0)
                return NULL;
        return path;
}

int module_index_init(struct module_index *index, const char *directory) {
        static const char *const no_configuration[] = { NULL };

        memset(index, 0, sizeof(*index));
        index->prefix = directory ? strdup(directory) : system_directory();
        if (!index->prefix)
                return -ENOMEM;
        index->directory = realpath(index->prefix, NULL);
        index->kmod = index->directory ? kmod_new(index->prefix, (const char *const *)no_configuration) : NULL;
        if (!index->kmod)
                return 0;
        kmod_set_log_fn(index->kmod, drop_log, NULL);
        (void)kmod_load_resources(index->kmod);
        return 0;
}

bool module_index_is_there(const struct module_index *index) {
        char path[PATH_MAX];

        if (!index->kmod || (size_t)snprintf(path, sizeof(path), "%s/modules.alias.bin", index->directory) >= PATH_MAX)
                return false;
        return access(path, R_OK) == 0;
}

/* depmod may have run since. */
static void refresh(struct module_index *index) {
        if (kmod_validate_resources(index->kmod) != KMOD_RESOURCES_MUST_RELOAD)
                return;
        kmod_unload_resources(index->kmod);
        (void)kmod_load_resources(index->kmod);
}

/* libkmod loads these first: all of them, not only the direct ones. */
static void resolve_dependencies(struct kmod_module *module, void (*found)(const char *name, void *context),
                                 void *context) {
        struct kmod_list *list = kmod_module_get_dependencies(module), *item;

        kmod_list_foreach(item, list) {
                struct kmod_module *dependency = kmod_module_get_module(item);

                found(kmod_module_get_name(dependency), context);
                kmod_module_unref(dependency);
        }
        (void)kmod_module_unref_list(list);
}

int module_index_resolve(struct module_index *index, const char *alias, void (*found)(const char *name, void *context),
                         void *context) {
        struct kmod_list *list = NULL, *item;
        int r;

        if (!index->kmod)
                return 0;
        refresh(index);
        r = kmod_module_new_from_lookup(index->kmod, alias, &list);
        if (r < 0)
                return r;
        kmod_list_foreach(item, list) {
                struct kmod_module *module = kmod_module_get_module(item);

                found(kmod_module_get_name(module), context);
                resolve_dependencies(module, found, context);
                kmod_module_unref(module);
        }
        (void)kmod_module_unref_list(list);
        return 0;
}

void module_index_deinit(struct module_index *index) {
        tdestroy(index->files, free);
        if (index->kmod)
                kmod_unref(index->kmod);
        free(index->directory);
        free(index->prefix);
        memset(index, 0, sizeof(*index));
}

/* libkmod's path of a name, with the links of the module directory resolved. False: the index has no such name. */
static bool indexed_path(struct module_index *index, const char *name, char *path, size_t size) {
        struct kmod_module *module;
        size_t prefix = strlen(index->prefix);
        const char *found;
        bool fits = false;

        refresh(index);
        if (kmod_module_new_from_name(index->kmod, name, &module) < 0)
                return false;
        found = kmod_module_get_path(module);
        if (found && strncmp(found, index->prefix, prefix) == 0)
                fits = (size_t)snprintf(path, size, "%s%s", index->directory, found + prefix) < size;
        kmod_module_unref(module);
        return fits;
}

static struct indexed_file *add(struct module_index *index, const char *path, const char *name,
                                const struct statx *status) {
        size_t length = strlen(path) + 1;
        struct indexed_file *entry = calloc(1, sizeof(*entry) + length);

        if (!entry)
                return NULL;
        entry->path = memcpy(entry + 1, path, length);
        memcpy(entry->name, name, sizeof(entry->name));
        entry->file = module_file_from_statx(status);
        if (!tsearch(entry, &index->files, compare_paths)) {
                free(entry);
                return NULL;
        }
        return entry;
}

static struct indexed_file *find(struct module_index *index, const char *path) {
        const struct indexed_file key = { .path = path };
        struct indexed_file **node = tfind(&key, &index->files, compare_paths);

        return node ? *node : NULL;
}

static void forget(struct module_index *index, struct indexed_file *entry) {
        (void)tdelete(entry, &index->files, compare_paths);
        free(entry);
}

static struct indexed_file *look_up(struct module_index *index, const char *path) {
        char name[MODULE_NAME_SIZE], expected[PATH_MAX];
        struct statx status;

        if (!module_name_from_path(path, name) || !indexed_path(index, name, expected, sizeof(expected)) ||
            strcmp(expected, path) != 0)
                return NULL;
        /* our own module directory, not the caller's file: it may be waited for */
        if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &status) < 0)
                return NULL;
        return add(index, path, name, &status);
}

static bool matches(const struct indexed_file *entry, const struct module_file *file) {
        return entry && entry->file.device == file->device && entry->file.inode == file->inode;
}

bool module_index_name(struct module_index *index, const char *path, const struct module_file *file,
                       char name[static MODULE_NAME_SIZE]) {
        struct indexed_file *entry;

        if (!index->kmod)
                return false;
        entry = find(index, path);
        if (!matches(entry, file)) {
                /* not seen yet, or replaced since */
                if (entry)
                        forget(index, entry);
                entry = look_up(index, path);
        }
        if (!matches(entry, file))
                return false;
        memcpy(name, entry->name, MODULE_NAME_SIZE);
        return true;
}
