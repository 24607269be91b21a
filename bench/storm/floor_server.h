/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The least that can serve a listener: a loop that receives and answers, and does nothing else. */

#include <stdbool.h>

/* The errno that it answers all calls with. What an answer says makes no difference. */
#define FLOOR_ANSWER 19 /* ENODEV */

/* In the tree: sets the listener up for the server. Returns 0 or negative errno: -EOPNOTSUPP (no SYNC_WAKE_UP). */
int floor_prepare(int listener, bool sync_wake_up);

/*
 * In the server: takes a listener from the socket, receives `parked` calls (at least 1), answers them, oldest first,
 * and so on. Once a tree has ended, RECV blocks for ever before Linux 6.11: so whoever started this kills it.
 */
_Noreturn void floor_serve(int socket, unsigned int parked);
