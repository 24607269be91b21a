/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "meminfo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t bytes_of(const char *text, const char *name) {
        const char *found = strstr(text, name);

        return found ? strtoull(found + strlen(name), NULL, 10) * 1024 : 0;
}

struct meminfo meminfo_parse(const char *text) {
        return (struct meminfo){
                .vmalloc_used = bytes_of(text, "VmallocUsed:"),
                .available = bytes_of(text, "MemAvailable:"),
        };
}

int meminfo_read(int fd, struct meminfo *ret) {
        char text[8192];
        ssize_t length = pread(fd, text, sizeof(text) - 1, 0);

        if (length < 0)
                return -errno;
        text[length] = '\0';
        *ret = meminfo_parse(text);
        return 0;
}
