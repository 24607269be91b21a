/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between the parsers of recordings. */

#include "recording.h"

struct recording_builder {
        struct recording recording;
        size_t call_room, module_room;
        struct recording_problem *problem;
};

/* Writes the text down and returns `error`. */
int recording_fail(struct recording_builder *builder, int error, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* The module of that name (its first bytes, if it is longer); a new one if need be. `path`: NULL: not known. Returns
 * its number or negative errno. */
int recording_module(struct recording_builder *builder, const char *name, bool by_name, const char *path);

/* That of the file at this path: its name is made of the path's. The same. */
int recording_file(struct recording_builder *builder, const char *path);

/* Adds a call; `at_ns` since anything. Returns 0 or negative errno. */
int recording_add(struct recording_builder *builder, const struct recording_call *call);

/* Notes a load that was performed. */
void recording_add_load(struct recording_builder *builder, uint32_t module, int error, uint64_t took_ns);

/* Each reads one kind of text. Returns 0 or negative errno, with a problem. */
int recording_read_json(struct recording_builder *builder, const char *text, size_t length);
int recording_read_ftrace(struct recording_builder *builder, const char *text, size_t length);
