/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Random histories: MODGATE_SEED and MODGATE_STEPS choose one; both are printed. */

#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

struct history_random {
        uint64_t state;
        uint64_t steps;
};

static inline uint64_t history_number(const char *name, uint64_t otherwise) {
        const char *text = getenv(name);

        return text ? strtoull(text, NULL, 0) : otherwise;
}

static inline struct history_random history_begin(uint64_t steps) {
        uint64_t seed = history_number("MODGATE_SEED", (uint64_t)time(NULL));

        steps = history_number("MODGATE_STEPS", steps);
        print_message("MODGATE_SEED=%" PRIu64 " MODGATE_STEPS=%" PRIu64 "\n", seed, steps);
        return (struct history_random){ .state = seed * 2654435769U + 88172645463325252U, .steps = steps };
}

/* xorshift64 */
static inline uint64_t history_draw(struct history_random *random, uint64_t below) {
        random->state ^= random->state << 13;
        random->state ^= random->state >> 7;
        random->state ^= random->state << 17;
        return random->state % below;
}
