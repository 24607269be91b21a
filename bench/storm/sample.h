/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is said of many measurements: order statistics, since times of system calls have long tails. Pure. */

#include <stddef.h>
#include <stdint.h>

struct sample {
        size_t count;
        uint64_t min, median, p90, p99, max;
};

/* Sorts `values`. Percentiles are values that occurred (nearest rank); all are 0 if there is none. */
struct sample sample_of(uint64_t *values, size_t count);
