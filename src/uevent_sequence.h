/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which events were seen, by their sequence numbers. Pure.
 *
 * Linux 6.11 and later counts an event without a lock before it sends it: events overtake each other. Others never
 * come: those of devices in another network namespace, those that were lost. So a number that is missing may still come
 * or not; what matters is only whether everything that was counted after a certain moment has been seen.
 */

#include <stdbool.h>
#include <stdint.h>

/* So many missing numbers may still come; earlier ones count as lost. */
#define UEVENT_SEQUENCE_MISSING_MAX 64U

struct uevent_sequence {
        uint64_t highest;                              /* number that was seen */
        uint64_t lost;                                 /* the highest one that does not count when it comes; 0: none */
        uint64_t missing[UEVENT_SEQUENCE_MISSING_MAX]; /* ascending, all between the two */
        unsigned int count;
};

/* `number`: what was counted up to it is of no interest. */
void uevent_sequence_init(struct uevent_sequence *sequence, uint64_t number);

/* The event of this number has come, in any order, and maybe not for the first time. */
void uevent_sequence_seen(struct uevent_sequence *sequence, uint64_t number);

/* Were all events seen that were counted after `after`, up to `up_to`? When in doubt, no. */
bool uevent_sequence_complete(const struct uevent_sequence *sequence, uint64_t after, uint64_t up_to);
