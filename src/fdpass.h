/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Messages with at most one descriptor over a SEQPACKET socket (SCM_RIGHTS).
 *
 * A message arrives whole or not at all: one that is longer than the buffer, or that brings more than one descriptor,
 * is an error, and its descriptors are closed.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A connected pair, CLOEXEC, blocking. Returns 0 or negative errno. */
int fdpass_pair(int *ret_a, int *ret_b);

/*
 * Sends `size` bytes, in up to two parts, and a duplicate of `fd` unless that is -1; the caller keeps its own.
 * `flags`: MSG_DONTWAIT or 0; SIGPIPE is never raised. Returns 0 or negative errno (-EAGAIN, -EPIPE, …).
 */
int fdpass_send_dup_fd(int socket, const void *head, size_t head_size, const void *tail, size_t tail_size, int fd,
                       int flags);

/*
 * Receives one message into `buffer`. Returns its length, 0 at the end of file, or negative errno: -EAGAIN (with
 * MSG_DONTWAIT), -EMSGSIZE (longer than the buffer), -EPROTO (more than one descriptor), -EMFILE (the kernel could not
 * give us its descriptor; the message is in `buffer`).
 * `*ret_fd` gets the descriptor, owned by the caller and CLOEXEC, or -1; with `ret_fd` NULL a descriptor is closed.
 * `flags`: MSG_DONTWAIT, MSG_PEEK (a peeked descriptor would be duplicated: pass NULL) or 0.
 */
ssize_t fdpass_receive(int socket, void *buffer, size_t size, int *ret_fd, int flags);

/* Does what fdpass_receive() has returned mean that the other side has gone? All else is about one message, or us. */
static inline bool fdpass_is_end(ssize_t length) {
        return length == 0 || length == -EPIPE || length == -ECONNRESET;
}
