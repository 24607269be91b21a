/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uevent_sequence.h"

#include <string.h>

void uevent_sequence_init(struct uevent_sequence *sequence, uint64_t number) {
        memset(sequence, 0, sizeof(*sequence));
        sequence->highest = number;
}

static void take_out(struct uevent_sequence *sequence, unsigned int index) {
        sequence->count--;
        memmove(&sequence->missing[index], &sequence->missing[index + 1],
                (sequence->count - index) * sizeof(sequence->missing[0]));
}

static void add_missing(struct uevent_sequence *sequence, uint64_t number) {
        if (sequence->count == UEVENT_SEQUENCE_MISSING_MAX) {
                sequence->lost = sequence->missing[0];
                take_out(sequence, 0);
        }
        sequence->missing[sequence->count++] = number;
}

void uevent_sequence_seen(struct uevent_sequence *sequence, uint64_t number) {
        for (unsigned int i = 0; i < sequence->count; i++) {
                if (sequence->missing[i] == number) {
                        take_out(sequence, i);
                        return;
                }
        }
        if (number <= sequence->highest)
                return;
        /* the others would be pushed out again */
        if (number - sequence->highest > UEVENT_SEQUENCE_MISSING_MAX + 1) {
                sequence->lost = number - UEVENT_SEQUENCE_MISSING_MAX - 1;
                sequence->highest = sequence->lost;
                sequence->count = 0;
        }
        while (++sequence->highest < number)
                add_missing(sequence, sequence->highest);
}

bool uevent_sequence_complete(const struct uevent_sequence *sequence, uint64_t after, uint64_t up_to) {
        if (up_to <= after)
                return true;
        if (up_to > sequence->highest || sequence->lost > after)
                return false;
        for (unsigned int i = 0; i < sequence->count; i++)
                if (sequence->missing[i] > after && sequence->missing[i] <= up_to)
                        return false;
        return true;
}
