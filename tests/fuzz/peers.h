/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The daemon's keeper, from its start to its end, with a made-up world around it: peers that connect and say anything,
 * with any descriptors; and a supervisor that does. Both as the input tells.
 *
 * Whatever that is, the keeper ends in time after SIGTERM. A tree that was attached stays, until its supervisor has
 * left it, and each supervisor gets all of them, complete and in order; who is refused hears the end of its connection,
 * as do all when the daemon ends, also if the supervisor cannot be killed. Anything else aborts.
 */

#include "input.h"

/* Things that last from one input to the next. */
void peers_init(void);

/* Of the keeper itself, and its signalfd, see processes.h. */
void peers_run(struct journal *journal, int signals, struct input *input);

/* For --wrap: the keeper says something. Returns negative errno: there is no room for it. */
int peers_may_say(int socket, const void *message, size_t size, int fd);

/* The same, afterwards: it was sent. */
void peers_was_said(int socket, const void *message, size_t size);
