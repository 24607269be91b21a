/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What /proc/meminfo says of the memory that module loads take. */

#include <stdint.h>

struct meminfo {
        uint64_t vmalloc_used; /* bytes; both are 0 if the kernel does not say */
        uint64_t available;
};

/* Pure: looks in a text like that of the file. */
struct meminfo meminfo_parse(const char *text);

/* Reads the open file anew. Returns 0 or negative errno. */
int meminfo_read(int fd, struct meminfo *ret);
