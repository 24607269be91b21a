/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The tracer: a process that writes down what supervisor and keeper tell it, and may wait for a disk. It ends when
 * nobody is left who could tell it anything.
 */

#include "modgate/journal.h"
#include "observe/trace_file.h"

/* Makes the trace's file, without any event yet. As trace_file_create(). */
int tracer_create_file(struct trace_file *file, const char *path, const struct journal *journal);

/* The process. `pipe_fd`: where the records come from. The journal is only read. */
_Noreturn void tracer_run(struct trace_file *file, int pipe_fd, const struct journal *journal);
