/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A look into the journal of a modgate that is at work: what the report only says when all has ended. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "modgate/journal.h"

struct journal_view {
        int memory; /* of the keeper */
        off_t address;
};

/* `run`: the process that started the keeper, see setting.h; for a tree that is its parent. Returns 0 or negative
 * errno. */
int journal_view_open(struct journal_view *view, pid_t run);

void journal_view_close(struct journal_view *view);

/* Have so many calls been received, and do all of them that are not answered yet wait for a load? */
bool journal_view_all_wait(const struct journal_view *view, uint64_t calls);

/* Copies all of it. Returns 0 or negative errno. */
int journal_view_read(const struct journal_view *view, struct journal *ret);
