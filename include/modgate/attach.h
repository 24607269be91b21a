/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the keeper of a tree and the daemon say to each other: SEQPACKET messages of one size, with at most one
 * descriptor. The two may be of different versions: this message and its first two types never change.
 *
 *   keeper → daemon    HELLO              at once; the daemon looks at who it is
 *   daemon → keeper    WELCOME | REFUSED  a keeper that waits no longer has closed the connection, and gets no answer
 *   keeper → daemon    JOURNAL + memfd, LISTENER + fd
 *   daemon → keeper    TAKEN | REFUSED
 *
 * Who receives. With LISTENER the tree is the daemon's, and its keeper receives nothing until the connection has ended:
 * that is the daemon's word that it does not receive any more. All processes of the daemon that hold the listener hold
 * the connection too, so it ends when the last one of them has let go, or only such are left as were killed.
 */

#include <stdint.h>

#define ATTACH_SOCKET "/run/modgate/attach.sock"

enum attach_type {
        ATTACH_HELLO = 1,
        ATTACH_REFUSED,
        ATTACH_WELCOME,
        ATTACH_JOURNAL,
        ATTACH_LISTENER,
        ATTACH_TAKEN,
};

/* Why it is refused. */
enum attach_refusal {
        ATTACH_VERSION = 1, /* the journals differ: `version` and `journal_size` are the daemon's */
        ATTACH_NOT_ROOT,
        ATTACH_FULL,     /* too many trees */
        ATTACH_NONSENSE, /* not what is said here, or not the descriptors that it should be */
};

struct attach_message {
        uint32_t type;
        uint32_t version;      /* HELLO, REFUSED: JOURNAL_VERSION */
        uint64_t journal_size; /* HELLO, REFUSED: bytes */
        uint32_t refusal;      /* REFUSED: enum attach_refusal */
        uint32_t reserved[3];
};
_Static_assert(sizeof(struct attach_message) == 32, "it never changes");
