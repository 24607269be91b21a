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

/* More than any system has modules: files that are replaced all the time do not fill the memory. */
#define FILES_MAX 65536U

struct indexed_file {
        struct module_file file; /* first: the tree's key */
        char name[MODULE_NAME_SIZE];
        const char *path; /* behind this struct */
};

static int compare_files(const void *a, const void *b) {
        return memcmp(a, b, sizeof(struct module_file));
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

static void forget_all(struct module_index *index) {
        tdestroy(index->files, free);
        index->files = NULL;
        index->count = 0;
}

static struct indexed_file *find(const struct module_index *index, const struct module_file *file) {
        struct indexed_file **node = tfind(file, &index->files, compare_files);

        return node ? *node : NULL;
}

/* Has the index this very file under this path? */
static bool is_indexed(struct module_index *index, const char *path, const char *name, const struct module_file *file) {
        char expected[PATH_MAX];
        struct module_file there;
        struct statx status;

        if (!indexed_path(index, name, expected, sizeof(expected)) || strcmp(expected, path) != 0)
                return false;
        /* our own module directory, not the caller's file: it may be waited for */
        if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &status) < 0)
                return false;
        there = module_file_from_statx(&status);
        return there.device == file->device && there.inode == file->inode;
}

const char *module_index_known(const struct module_index *index, const struct module_file *file, bool *ret_compressed) {
        const struct indexed_file *entry = find(index, file);

        if (!entry)
                return NULL;
        *ret_compressed = module_path_is_compressed(entry->path);
        return entry->name;
}

bool module_index_name(struct module_index *index, const char *path, const struct module_file *file,
                       char name[static MODULE_NAME_SIZE]) {
        char result[MODULE_NAME_SIZE];

        if (!index->kmod || !module_name_from_path(path, result) || !is_indexed(index, path, result, file))
                return false;
        memcpy(name, result, MODULE_NAME_SIZE);
        return true;
}

void module_index_keep(struct module_index *index, const char *path, const struct module_file *file,
                       const char name[static MODULE_NAME_SIZE]) {
        size_t length = strlen(path) + 1;
        struct indexed_file *entry;

        if (find(index, file))
                return;
        if (index->count >= FILES_MAX)
                forget_all(index);
        entry = calloc(1, sizeof(*entry) + length);
        if (!entry)
                return;
        entry->file = *file;
        entry->path = memcpy(entry + 1, path, length);
        memcpy(entry->name, name, sizeof(entry->name));
        if (tsearch(entry, &index->files, compare_files))
                index->count++;
        else
                free(entry);
}

void module_index_deinit(struct module_index *index) {
        forget_all(index);
        if (index->kmod)
                kmod_unref(index->kmod);
        free(index->directory);
        free(index->prefix);
        memset(index, 0, sizeof(*index));
}
