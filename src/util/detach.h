/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The descriptor under which `run` of detach() finds its socket. */
#define DETACHED_SOCKET 3

/*
 * Forks a process that is nobody's child but init's (or a subreaper's), in a session of its own. It has /dev/null for 0
 * and 1, our stderr (see log_open_again()), `socket` as DETACHED_SOCKET, and no other descriptor; there it calls
 * run(context), and exits with success when that returns. Waits only until the process exists, not for anything that it
 * does; whether the second fork succeeded shows in the socket's end of file. Returns 0 or negative errno.
 */
int detach(int socket, void (*run)(void *context), void *context);
