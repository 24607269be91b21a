/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Pure: a module's parameter string, taken apart as the kernel does (lib/cmdline.c, next_arg()). */

#include <stdbool.h>
#include <stddef.h>

/* All of it points into the string. */
struct parameter {
        const char *name;
        size_t name_length;
        const char *value; /* without the quotes around it; NULL: there is no `=` */
        size_t value_length;
        bool open; /* a quote has no end: the kernel takes all that follows */
};

/*
 * Takes the next one off `*text` of `*length` bytes; a NUL ends the text. False: there is no other one. Blanks within
 * double quotes separate nothing.
 */
bool parameters_next(const char **text, size_t *length, struct parameter *ret);

/* `-` and `_` are alike in names. */
bool parameters_same_name(const char *a, size_t a_length, const char *b, size_t b_length);
