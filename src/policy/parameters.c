/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy/parameters.h"

#include <string.h>

/* The kernel's own isspace() has the no-break space of Latin-1 among them (lib/ctype.c). */
static bool is_blank(char c) {
        return c == ' ' || (c >= '\t' && c <= '\r') || (unsigned char)c == 0xa0;
}

static void skip(const char **text, size_t *length, size_t count) {
        *text += count;
        *length -= count;
}

/* Where `text` ends as a parameter, and where its name does: 0 if it is only a name (also with a `=` in front). */
static size_t find_end(const char *text, size_t length, bool in_quote, size_t *ret_equals, bool *ret_open) {
        size_t equals = 0, i;

        for (i = 0; i < length; i++) {
                if (is_blank(text[i]) && !in_quote)
                        break;
                if (text[i] == '=' && equals == 0)
                        equals = i;
                if (text[i] == '"')
                        in_quote = !in_quote;
        }
        *ret_equals = equals;
        *ret_open = in_quote;
        return i;
}

/*
 * The quotes that the kernel takes off: in front of the whole and at its end, or in front of the value and at its end.
 * Those in the middle stay.
 */
static struct parameter take_apart(const char *text, size_t end, size_t equals, bool quoted) {
        struct parameter parameter = { .name = text, .name_length = equals > 0 ? equals : end };
        bool value_quoted = equals > 0 && equals + 1 < end && text[equals + 1] == '"';
        size_t last = end > 0 && text[end - 1] == '"' && (quoted || value_quoted) ? end - 1 : end;

        if (equals == 0) {
                parameter.name_length = last;
                return parameter;
        }
        parameter.value = text + equals + 1 + value_quoted;
        /* of `a="` the only quote is the first and the last */
        parameter.value_length = last > equals + 1 + value_quoted ? last - equals - 1 - value_quoted : 0;
        return parameter;
}

bool parameters_next(const char **text, size_t *length, struct parameter *ret) {
        bool quoted, open;
        size_t equals, end;

        *length = strnlen(*text, *length);
        while (*length > 0 && is_blank(**text))
                skip(text, length, 1);
        if (*length == 0)
                return false;
        quoted = **text == '"';
        if (quoted)
                skip(text, length, 1);
        end = find_end(*text, *length, quoted, &equals, &open);
        *ret = take_apart(*text, end, equals, quoted);
        ret->open = open;
        skip(text, length, end);
        return true;
}

static char fold(char c) {
        return c == '-' ? '_' : c;
}

bool parameters_same_name(const char *a, size_t a_length, const char *b, size_t b_length) {
        if (a_length != b_length)
                return false;
        for (size_t i = 0; i < a_length; i++)
                if (fold(a[i]) != fold(b[i]))
                        return false;
        return true;
}
