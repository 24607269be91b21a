/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is said of the same measure in several rounds. Pure. */

#include <stddef.h>

struct spread {
        size_t count;
        double min, median, max;
};

/* Sorts `values`. The median of an even number of values is in the middle of two; all are 0 if there is none. */
struct spread spread_of(double *values, size_t count);
