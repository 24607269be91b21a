/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy/pattern.h"

#include <string.h>

static bool is_alphanumeric(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* What is between the brackets; `set` points behind `[`. Sets `*end` to its `]`. */
static const char *check_set(const char *set, const char **end) {
        const char *c = set + (*set == '!');

        if (*set == '^')
                return "write [!...] for all characters but these";
        for (*end = c; **end != ']'; (*end)++) {
                if (**end == '\0')
                        return "a [ without its ]";
                if (**end == '[')
                        return "a [ within [...]; there are no classes like [:digit:]";
        }
        if (*end == c)
                return "nothing between [ and ]";
        for (; c < *end; c++)
                if (c[1] == '-' && c + 2 < *end) {
                        if ((unsigned char)c[0] > (unsigned char)c[2])
                                return "a range within [...] that goes backwards";
                        c += 2;
                }
        return NULL;
}

const char *pattern_check(const char *pattern) {
        for (const char *c = pattern; *c; c++) {
                const char *problem;

                if (*c == '\\')
                        return "there is no \\ in patterns; write ? for any character";
                if (*c != '[')
                        continue;
                problem = check_set(c + 1, &c);
                if (problem)
                        return problem;
        }
        return NULL;
}

const char *pattern_alias(const char *entry) {
        size_t length = strlen(PATTERN_ALIAS);

        return strncmp(entry, PATTERN_ALIAS, length) == 0 ? entry + length : NULL;
}

const char *pattern_check_entry(const char *entry) {
        const char *alias = pattern_alias(entry);

        if (alias)
                return *alias ? pattern_check(alias) : "alias: needs a pattern behind it";
        for (const char *c = entry; *c; c++)
                if (!is_alphanumeric(*c) && !strchr("_-*?[]!", *c))
                        return "neither a module's name (nf_tables) nor a pattern of names (nf_*) nor alias:PATTERN; a "
                               "list is separated by blanks";
        return pattern_check(entry);
}

static bool in_set(const char *set, const char *end, char character) {
        unsigned char wanted = (unsigned char)character;

        for (const char *c = set; c < end; c++) {
                if (c[1] == '-' && c + 2 < end) {
                        if ((unsigned char)c[0] <= wanted && wanted <= (unsigned char)c[2])
                                return true;
                        c += 2;
                } else if ((unsigned char)*c == wanted) {
                        return true;
                }
        }
        return false;
}

static bool is_dash(char c) {
        return c == '-' || c == '_';
}

/* The set behind `[` at `*pattern`, which is left at its `]`. */
static bool match_set(const char **pattern, char character, bool dashes) {
        const char *set = *pattern + 1, *end = strchr(set, ']');
        bool without = *set == '!', found;

        set += without;
        if (!end) /* not checked, then: matches nothing */
                return false;
        found = in_set(set, end, character);
        if (dashes && is_dash(character))
                found = in_set(set, end, '-') || in_set(set, end, '_');
        *pattern = end;
        return found != without;
}

/* One character of the text against the part of the pattern that begins at `*pattern`, and is moved to its end. */
static bool match_one(const char **pattern, char character, bool dashes) {
        if (**pattern == '?')
                return true;
        if (**pattern == '[')
                return match_set(pattern, character, dashes);
        return **pattern == character || (dashes && is_dash(**pattern) && is_dash(character));
}

bool pattern_match(const char *pattern, const char *text, size_t length, bool dashes) {
        const char *star = NULL; /* behind the last `*`: all before it has matched for good */
        size_t at = 0, star_at = 0;

        while (at < length || *pattern) {
                if (*pattern == '*') {
                        star = ++pattern;
                        star_at = at;
                        continue;
                }
                if (*pattern && at < length && match_one(&pattern, text[at], dashes)) {
                        pattern++;
                        at++;
                        continue;
                }
                /* the last `*` has to stand for one character more */
                if (!star || star_at >= length)
                        return false;
                pattern = star;
                at = ++star_at;
        }
        return true;
}
