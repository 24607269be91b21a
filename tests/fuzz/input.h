/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a fuzzer's bytes say, taken off one by one. After their end they are zeros. */

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "modgate/journal.h"

struct input {
        const uint8_t *data;
        size_t size;
};

static inline uint8_t input_byte(struct input *input) {
        if (input->size == 0)
                return 0;
        input->size--;
        return *input->data++;
}

/* At most `room` bytes: as many as the next one says, and are left. Returns how many. */
static inline size_t input_bytes(struct input *input, void *buffer, size_t room) {
        size_t length = input_byte(input);

        if (length > room)
                length = room;
        if (length > input->size)
                length = input->size;
        if (length > 0)
                memcpy(buffer, input->data, length);
        input->data += length;
        input->size -= length;
        return length;
}

/* Mostly a small number; one of the limits of all arrays and types; or any number, in the bytes that follow. */
static inline uint64_t input_number(struct input *input) {
        static const uint64_t limits[] = {
                JOURNAL_REQUESTS, JOURNAL_LOADS, JOURNAL_MODULES, JOURNAL_PLACES, INT32_MAX,         1ULL + INT32_MAX,
                UINT32_MAX,       INT64_MAX,     UINT64_MAX,      4095,           MODULE_PARAMS_MAX, UINT64_MAX - 4095,
        };
        uint8_t first = input_byte(input);
        uint64_t number = 0;

        if (first < 0xe0)
                return first;
        if (first < 0xe0 + sizeof(limits) / sizeof(limits[0]))
                return limits[first - 0xe0];
        for (unsigned int i = 0; i < (first & 1 ? 8 : 4); i++)
                number |= (uint64_t)input_byte(input) << 8 * i;
        return number;
}

/* What has to be true. */
#define check(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))

_Noreturn static inline void check_failed(const char *file, int line, const char *condition) {
        fprintf(stderr, "%s:%d: %s\n", file, line, condition);
        abort();
}
