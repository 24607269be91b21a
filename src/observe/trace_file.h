/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The file of a trace: JSON that is complete at every moment, whatever is killed, and however full the disk is.
 *
 * An event takes the place of the end of the text, and brings it along. The kernel writes page by page, and looks for
 * SIGKILL and for room on the disk in between. So what stays within a page is written in its place, and what would not
 * goes to a twin of the file, FILE.new, which then changes places with it.
 */

#include <stddef.h>
#include <stdint.h>

#include "observe/trace_text.h"

/* Pages of every machine are multiples of this. */
#define TRACE_FILE_PAGE 4096U

struct trace_file {
        char *path; /* owned */
        char *twin_path;
        int fd; /* owned; -1: none */
        int twin_fd;
        uint64_t length;                                          /* of the text without its end */
        uint64_t twin_length;                                     /* the twin has that much of it */
        char missing[TRACE_FILE_PAGE + 2 * (TRACE_TEXT_MAX + 8)]; /* what it does not have, and an event more */
};

/*
 * Makes file and twin, which both have the text `begin` and its end; what had these names is gone. Returns 0, or
 * negative errno: -EINVAL where files cannot change places (vfat, NFS). Then there is nothing to be closed.
 */
int trace_file_create(struct trace_file *file, const char *path, const char *begin, size_t length);

/* Takes the twin away, and closes. */
void trace_file_close(struct trace_file *file);

/* Appends an event of at most TRACE_TEXT_MAX bytes. Returns 0, or negative errno: then the file is as it was. */
int trace_file_append(struct trace_file *file, const char *event, size_t length);
