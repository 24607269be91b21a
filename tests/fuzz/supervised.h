/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A supervisor with a made-up world around it, by --wrap: the kernel's requests, what can be seen of callers, the
 * keeper, loaders and inspectors. All of them do and say what the input tells.
 *
 * Whatever that is: the supervisor comes to its end, and every caller whose request it knows of has one answer that a
 * kernel could have given. Anything else aborts.
 */

#include <stdbool.h>

#include "input.h"

/* Things that last from one input to the next. */
void supervised_init(void);

enum supervised_by {
        SUPERVISED_BY_KEEPER, /* it hands over what it should */
        SUPERVISED_BY_ODD,    /* what the keeper says is the input's */
        SUPERVISED_BY_DAEMON, /* the journal is that of a tree of a daemon's, which has one of its own */
        /* the same, and what the daemon's keeper says is the input's: there may be any part of the tree */
        SUPERVISED_BY_ODD_DAEMON,
};

/*
 * Runs a supervisor with this journal (and `journal_fd`, its memfd) until its tree has ended. A slot of the journal
 * with an odd id is that of a caller who waits; the callers of all others have gone.
 */
void supervised_run(struct journal *journal, int journal_fd, struct input *input, enum supervised_by by);

/*
 * For the bypass: callers as above; what stands for the listener, and the end of it that is written to for each new
 * request, and closed when the tree ends. Both are the caller's.
 */
void supervised_callers(struct journal *journal, struct input *input, int *ret_listener, int *ret_listener_end);

/* If set: is called when a request is received or answered. */
extern void (*supervised_touched)(void);

/* Has a request that was received no answer yet? */
bool supervised_somebody_waits(void);

/* All of them have had their answer. */
void supervised_check_answers(void);
