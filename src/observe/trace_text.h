/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The text of a trace: JSON, in the trace-event format of Chrome's tracing and of Perfetto. docs/trace.md describes it.
 * Pure: it fills buffers.
 *
 * A trace is the beginning, its events, each with ",\n" before it, and the end.
 */

#include <stddef.h>
#include <stdint.h>

#include "modgate/trace.h"

/* No text here is longer, with its NUL: names and paths of nothing but escaped bytes included. */
#define TRACE_TEXT_MAX 4096U

#define TRACE_TEXT_END "\n]}\n"

/* The beginning. `release`: of the kernel; `began_ns`: the trace's beginning, CLOCK_MONOTONIC. Returns its length. */
size_t trace_text_begin(char text[static TRACE_TEXT_MAX], const char *release, uint64_t began_ns);

/* An event. Returns its length. */
size_t trace_text_event(char text[static TRACE_TEXT_MAX], const struct trace_record *record, uint64_t began_ns);

/* The event that says that `count` others were dropped. Returns its length. */
size_t trace_text_dropped(char text[static TRACE_TEXT_MAX], uint64_t count, uint64_t now_ns, uint64_t began_ns);
