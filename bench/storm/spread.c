/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "spread.h"

#include <stdlib.h>

static int compare(const void *a, const void *b) {
        double left = *(const double *)a, right = *(const double *)b;

        return (left > right) - (left < right);
}

struct spread spread_of(double *values, size_t count) {
        if (count == 0)
                return (struct spread){ 0 };
        qsort(values, count, sizeof(values[0]), compare);
        return (struct spread){
                .count = count,
                .min = values[0],
                .median = (values[(count - 1) / 2] + values[count / 2]) / 2,
                .max = values[count - 1],
        };
}
