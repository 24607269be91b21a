/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "differential.h"

#define PAGE 4096U

/* Far from where the kernel puts mappings by itself: nothing else of this program ever comes to lie behind the last
 * page of one. */
#define APART 0x100000000000U
#define APART_STRIDE 0x1000000U

/* `size` spaces in front of `end`, in pages of their own, up to the last byte of the last one; what follows is not
 * mapped. */
static char *before_the_edge(size_t size, const char *end, size_t end_size) {
        static uintptr_t next = APART;
        size_t all = size + end_size, length = (all + PAGE - 1) / PAGE * PAGE;
        char *memory = mmap((void *)next, length, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        char *start = memory + length - all;

        if (memory == MAP_FAILED) {
                perror("memory for parameters");
                exit(1);
        }
        next += APART_STRIDE;
        memset(start, ' ', size);
        memcpy(start + size, end, end_size);
        return start;
}

static const char *make_null(void) {
        return NULL;
}

static const char *make_unmapped(void) {
        return (const char *)0x10000;
}

static const char *make_kernel(void) {
        return (const char *)0xffffffff81000000;
}

static const char *make_high(void) {
        return (const char *)0x8000000000000000;
}

static const char *make_forbidden(void) {
        static char *memory;

        if (!memory) {
                memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                (void)mprotect(memory, PAGE, PROT_NONE);
        }
        return memory;
}

static const char *make_unterminated(void) {
        static char *text;

        return text ? text : (text = before_the_edge(100, "sleep_ms=0", 10));
}

static const char *make_at_edge(void) {
        static char *text;

        return text ? text : (text = before_the_edge(100, "sleep_ms=0", 11));
}

/* With a value at their end, to see that they arrive whole. */
static const char *make_long(size_t length) {
        static const char end[] = "error=7";

        return before_the_edge(length - (sizeof(end) - 1), end, sizeof(end));
}

#define MAKE_LONG(length)                                                                                              \
        static const char *make_##length(void) {                                                                       \
                static const char *text;                                                                               \
                                                                                                                       \
                return text ? text : (text = make_long(length));                                                       \
        }

MAKE_LONG(4095)
MAKE_LONG(60000)
MAKE_LONG(65534)
MAKE_LONG(65535)
MAKE_LONG(65536)
MAKE_LONG(65537)
MAKE_LONG(100000)
MAKE_LONG(5000000)

static const char *make_long_value(void) {
        static char text[1200] = "request=";

        memset(text + 8, 'x', 1100);
        return text;
}

#define TEXT(text)                                                                                                     \
        { text, text, NULL }

const struct params all_params[] = {
        { "none", "", NULL },
        TEXT("sleep_ms=1"),
        TEXT("unknown=1"),
        TEXT("error=abc"),
        TEXT("error"),
        TEXT("error="),
        TEXT("=7"),
        TEXT("error=5 error=7"),
        TEXT("fail-first=3"),
        TEXT("-- error=7"),
        TEXT("\"request=a b\""),
        TEXT("request=\xff\x01"),
        TEXT("\n\t error=7\n"),
        { "a long value", NULL, make_long_value },
        { "NULL", NULL, make_null },
        { "unmapped", NULL, make_unmapped },
        { "the kernel's", NULL, make_kernel },
        { "no address", NULL, make_high },
        { "without an end", NULL, make_unterminated },
        { "up to the edge", NULL, make_at_edge },
        { "PROT_NONE", NULL, make_forbidden },
        { "4095 bytes", NULL, make_4095 },
        { "60000 bytes", NULL, make_60000 },
        { "65534 bytes", NULL, make_65534 },
        { "65535 bytes", NULL, make_65535 },
        { "65536 bytes", NULL, make_65536 },
        { "65537 bytes", NULL, make_65537 },
        { "100000 bytes", NULL, make_100000 },
        { "5000000 bytes", NULL, make_5000000 },
};
const size_t params_count = sizeof(all_params) / sizeof(all_params[0]);

const struct params *params_find(const char *label) {
        for (size_t i = 0; i < params_count; i++)
                if (strcmp(all_params[i].label, label) == 0)
                        return &all_params[i];
        fprintf(stderr, "no parameters are called %s\n", label);
        exit(2);
}

struct params params_of(const char *text) {
        return (struct params){ .label = text, .text = text };
}
