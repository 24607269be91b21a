/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The journal's memory and its counters; include/modgate/journal.h says what it is. */

#include <stdbool.h>
#include <stdint.h>

#include "modgate/journal.h"

/*
 * Maps a new, zeroed journal: shared with the processes that are forked later, locked and prefaulted (a fault in
 * SECCOMP_IOCTL_NOTIF_RECV must find its page). Lives until the last process that maps it ends. `*ret_fd` (may be
 * NULL): its memfd, sealed so that it keeps its size; CLOEXEC, owned by the caller. Returns 0 or negative errno:
 * -EOVERFLOW when this kernel's notifications do not fit into a slot.
 */
int journal_create(struct journal **ret_journal, int *ret_fd);

/*
 * Maps the journal of another program, which is not believed: the memfd `fd` has to be of the right size, and sealed so
 * that it keeps it. To be unmapped. Returns 0 or negative errno: -EINVAL (it is no such memfd).
 */
int journal_map(int fd, struct journal **ret_journal);

/*
 * The counters of a module or of a file without a module name (then `indexed` is false, and a long file name is cut,
 * and what is not printable ASCII is a question mark in it). Returns an index; the last entry takes all that finds no
 * entry of its own.
 */
uint32_t journal_module(struct journal *journal, const char *name, bool indexed);

/* Counts a load that was performed: `error` 0 or a positive errno, `bytes` the size of its file. */
void journal_count_load(struct journal_module *module, int error, uint64_t duration_ns, uint64_t bytes);

/*
 * For whoever takes over from a writer that has died: whatever that one left behind, in the middle of a step or because
 * it had gone mad, all numbers are in their ranges afterwards, and there is one load of a name at most. A load that
 * makes no sense is forgotten, and the requests that waited for it begin again. Harmless where all is well.
 */
void journal_repair(struct journal *journal);

/* The name under which counters are reported: terminated and printable, whatever stands there. */
void journal_module_name(const struct journal_module *module, char name[static MODULE_NAME_SIZE]);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t journal_now_ns(void);

/* CLOCK_BOOTTIME in nanoseconds. */
uint64_t journal_boottime_ns(void);
