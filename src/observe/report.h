/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The report on a tree, made from the journal's counters: docs/report.md describes it. */

#include <stdbool.h>
#include <stdio.h>

#include "modgate/journal.h"

/*
 * Writes the JSON report to the file at `path`, by way of a file beside it, so that a reader sees the old one or the
 * new one. `ended`: the tree has. Returns 0 or negative errno.
 */
int report_write_json(const struct journal *journal, bool ended, const char *path);

/* Writes the report as a table for people. */
void report_write_table(const struct journal *journal, FILE *stream);
