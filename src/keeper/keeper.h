/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The keeper: one per tree. It holds what must not be lost (the listener, the journal, the sockets of the workers),
 * forks supervisor and workers, starts the supervisor again when it dies or stands still, and answers CONTINUE itself
 * when it cannot be kept alive. It does little, so that little of it can fail.
 *
 * The daemon is a keeper too, whose supervisor serves many trees. The keeper of each of these has no supervisor then:
 * it lends listener and journal to the daemon, and answers CONTINUE while there is none.
 */

#include <stdint.h>

#include "kernel_interface.h"

struct keeper_config {
        const struct kernel_interface *kernel;
        uint64_t failure_ttl_ns; /* how long failures are remembered; 0: not at all */
        const char *report; /* NULL: none; "-": a table on stderr at the end; else the absolute path of a JSON file */
        const char *trace;  /* NULL: none; else the absolute path of its file */
        const char *attach; /* NULL: not; else the socket of the daemon that is to serve the tree */
};

/*
 * Forks the keeper out of this process (twice: it is nobody's child but init's), and waits until it and its supervisor
 * are ready, 10 s at most. What goes wrong there is logged there. The caller still has nothing installed and can go on
 * without. `*ret_socket`: CLOEXEC, owned by the caller; its end of file tells that the tree has ended and the report is
 * written. Returns 0 or negative errno.
 */
int keeper_start(const struct keeper_config *config, int *ret_socket);

/*
 * Gives the keeper a duplicate of the listener, and waits until it has it, 10 s at most. Returns 0 or negative errno;
 * then nobody serves the listener.
 */
int keeper_give_listener_dup_fd(int socket, int listener_fd);

/*
 * Is the daemon, until SIGTERM. `socket`: where the keepers of trees connect, listening; taken over. Of the config,
 * `report` and `attach` do not count. Returns 0, or negative errno after saying what is wrong.
 */
int keeper_serve_consume_fd(const struct keeper_config *config, int socket);

/* Answers CONTINUE to all that comes, without a journal, until the tree has ended. For when there is no keeper. */
void keeper_bypass_without_journal(int listener_fd);
