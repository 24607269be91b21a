/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/socket.h>

/*
 * Listens at a path, for root's processes alone. The directory is made if there is none, and a socket that nobody
 * listens at any more is replaced. `path`: not longer than a socket's; `type`: SOCK_STREAM or SOCK_SEQPACKET. Returns a
 * descriptor (owned, CLOEXEC, does not block) or negative errno: -EADDRINUSE (somebody listens there), -EEXIST (there
 * is a file that is no socket).
 */
int socket_listen(const char *path, int type);

/*
 * Takes the descriptors that came with a message (SCM_RIGHTS): the first `room` of them into `fds`, owned by the
 * caller, and all others are closed. Returns how many came. Were there more than the control buffer had room for, the
 * message says so (MSG_CTRUNC).
 */
unsigned int socket_take_fds(struct msghdr *message, int *fds, unsigned int room);
