/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * depmod's index, through libkmod: which files are the system's own modules, and under which names. libkmod's callers
 * go by the same names, so a live module of that name is what they take for this file.
 */

#include <stdbool.h>
#include <stddef.h>

#include "modgate/module.h"

struct kmod_ctx;

struct module_index {
        struct kmod_ctx *kmod; /* NULL: there is no such directory, and no file has a name */
        void *files;           /* tsearch(3) tree of the files found so far, by their identity */
        size_t count;          /* of them */
        char *directory;       /* as links in it were resolved when it was opened */
        char *prefix;          /* the directory under the name that libkmod uses for it */
};

/*
 * `directory`: with modules.dep.bin; NULL: /lib/modules/`uname -r`. A directory without an index is no error: then no
 * file has a name. Returns 0 or negative errno.
 */
int module_index_init(struct module_index *index, const char *directory);

/* Frees all it has; safe on one whose init failed. */
void module_index_deinit(struct module_index *index);

/* Is there an index of aliases at all? */
bool module_index_is_there(const struct module_index *index);

/*
 * Calls `found` for the name of each module that `alias` (a uevent's MODALIAS) leads libkmod to, dependencies included.
 * Returns 0 or negative errno.
 */
int module_index_resolve(struct module_index *index, const char *alias, void (*found)(const char *name, void *context),
                         void *context);

/*
 * The name that the index has for the file at `path` (without links in it, as in /proc/TID/fd). Device and inode have
 * to be those of the index's file too: in another mount namespace the same path may be another file.
 */
bool module_index_name(struct module_index *index, const char *path, const struct module_file *file,
                       char name[static MODULE_NAME_SIZE]);

/*
 * Keeps the name that module_index_name() has found; that it cannot be kept only costs time. Not for a file that may
 * still change without another identity: it could become another module, and move to that one's path.
 */
void module_index_keep(struct module_index *index, const char *path, const struct module_file *file,
                       const char name[static MODULE_NAME_SIZE]);

/*
 * The name that was kept for a file, and whether it is compressed; or NULL. A file that is the same in all of its
 * identity has the same content, by whichever path it was opened.
 */
const char *module_index_known(const struct module_index *index, const struct module_file *file, bool *ret_compressed);
