/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What reached the kernel, as modgate counts it: loads that it performed, and calls that it left to the kernel. Pure.
 */

#include <stdint.h>

#include "modgate/journal.h"
#include "targets.h"

struct traffic {
        uint64_t calls;
        uint64_t left;  /* of these: left to the kernel */
        uint64_t bytes; /* sizes of the files and images */
};

/* All of it but what is due to `except` (NULL: nothing is). */
struct traffic traffic_of(const struct journal *journal, const struct target *targets, size_t count,
                          const struct target *except);
