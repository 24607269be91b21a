/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sample.h"

#include <stdlib.h>

static int compare(const void *a, const void *b) {
        uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

        return (left > right) - (left < right);
}

/* The smallest value that `percent` of all are not above. */
static uint64_t rank(const uint64_t *sorted, size_t count, size_t percent) {
        size_t position = (count * percent + 99) / 100;

        return sorted[position > 0 ? position - 1 : 0];
}

struct sample sample_of(uint64_t *values, size_t count) {
        if (count == 0)
                return (struct sample){ 0 };
        qsort(values, count, sizeof(values[0]), compare);
        return (struct sample){
                .count = count,
                .min = values[0],
                .median = rank(values, count, 50),
                .p90 = rank(values, count, 90),
                .p99 = rank(values, count, 99),
                .max = values[count - 1],
        };
}
