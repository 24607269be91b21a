/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Pure: what a load is known by. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "modgate/module.h"

/* The identity of a file, from statx() with STATX_BASIC_STATS. */
struct module_file module_file_from_statx(const struct statx *status);

/*
 * libkmod's name of a module file: the file name up to its `.ko`, with `_` for `-`.
 * Known endings: .ko, .ko.gz, .ko.xz, .ko.zst. Returns false when there is no such ending, or the name is empty or too
 * long for a module.
 */
bool module_name_from_path(const char *path, char name[static MODULE_NAME_SIZE]);

/* Of a path that has a module's name: is the file compressed, by its ending? */
bool module_path_is_compressed(const char *path);

/*
 * Whether it can be a module's name, and no more than that: it is looked up as a directory of /sys/module. Names in
 * images are whatever their authors wrote there.
 */
bool module_name_is_plain(const char *name, size_t length);

/* `name` may be NULL (the file has none); `params` has `length` bytes and need not be terminated. */
struct module_key module_key_make(const struct module_file *file, const char *name, const char *params, size_t length,
                                  unsigned int flags);

/* Bytewise: nothing in them differs. */
bool module_key_equal(const struct module_key *a, const struct module_key *b);

/* Both have a name, and it is the same: the kernel would let only one of the two go live. */
bool module_key_same_name(const struct module_key *a, const struct module_key *b);
