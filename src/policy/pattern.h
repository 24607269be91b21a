/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Pure: shell patterns with `*`, `?` and `[a-z]`, `[!a-z]`. fnmatch(3) is not used: what it does with a pattern that is
 * no pattern, or without memory, is to match nothing, which for a deny would be the wrong side; and texts are a
 * caller's, so the time it takes has to be bounded.
 */

#include <stdbool.h>
#include <stddef.h>

#define PATTERN_ALIAS "alias:"

/* What is wrong with a pattern of any text (a parameter's value), or NULL. */
const char *pattern_check(const char *pattern);

/* What is wrong with an entry (a module's name, a pattern of names, or `alias:` and a pattern of aliases), or NULL. */
const char *pattern_check_entry(const char *entry);

/* The aliases' pattern of an entry, or NULL if it is one of names. */
const char *pattern_alias(const char *entry);

/*
 * Does all of the text match? In time of at most both lengths multiplied. `dashes`: `-` and `_` are alike, as libkmod
 * has it for names and aliases. Only for what has passed pattern_check().
 */
bool pattern_match(const char *pattern, const char *text, size_t length, bool dashes);
