/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What launcher, keeper and supervisor say to each other: one fixed-size SEQPACKET message, with at most one
 * descriptor.
 *
 *   keeper → launcher      KEEPER_READY, or end of file     before the filter is on
 *   launcher → keeper      LISTENER + fd                    the filter is on
 *   keeper → launcher      LISTENER_TAKEN                   COMMAND may be executed
 *   keeper → launcher      (end of file)                    the tree has ended and the report is written
 *
 *   supervisor → keeper    SUPERVISOR_READY                 initialised, privileges given up
 *   keeper → supervisor    UEVENTS + fd, LISTENER + fd, WORKER + fd …, and START once all was handed over
 *   supervisor → keeper    WORKER_WANTED                    fork one with this kind and index
 *   keeper → supervisor    WORKER + fd | WORKER_FAILED
 *   supervisor → keeper    WORKER_DROPPED                   its socket holds nothing more: forget it, end it
 *
 * The daemon's have several trees, each known by its index. They may come after START too.
 *
 *   keeper → supervisor    TREE_JOURNAL + fd, TREE_CONNECTION + fd, LISTENER + fd
 *   supervisor → keeper    TREE_LEFT                        it has ended, or cannot be served: forget it
 *   keeper → supervisor    STOP                             receive nothing more; end when no load is under way
 */

#include <stdint.h>

enum handoff_type {
        HANDOFF_KEEPER_READY = 1,
        HANDOFF_LISTENER,
        HANDOFF_LISTENER_TAKEN,
        HANDOFF_SUPERVISOR_READY,
        HANDOFF_UEVENTS,
        HANDOFF_START,
        HANDOFF_WORKER_WANTED,
        HANDOFF_WORKER,
        HANDOFF_WORKER_FAILED,
        HANDOFF_WORKER_DROPPED,
        HANDOFF_TREE_JOURNAL,
        HANDOFF_TREE_CONNECTION,
        HANDOFF_TREE_LEFT,
        HANDOFF_STOP,
};

enum worker_kind {
        WORKER_LOADER,
        WORKER_INSPECTOR,
        WORKER_KINDS,
};

/* The most trees of a daemon. */
#define TREES_MAX 64U

/* The most workers of a kind at a time. What does not fit is left to the kernel. */
#define LOADERS_MAX 128U
#define INSPECTORS_MAX 16U

struct handoff_message {
        uint32_t type;
        uint32_t kind;  /* enum worker_kind, for WORKER_* */
        uint32_t index; /* of the worker among its kind, or of the tree */
};
