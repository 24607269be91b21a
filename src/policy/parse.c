/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Policy files, by inih. What inih would do without a word is an error before it sees the line: it cuts long lines and
 * names of sections, takes an indented line for more of the value above, ignores what follows a `]`, ends a value at a
 * ` ;`, and lets `:` be a `=`. So it is only given lines that mean one thing, and whether it has understood them as we
 * do is checked: a distribution may have built it in another way.
 *
 * inih numbers no lines for its handler. It asks for one line at a time, and calls the handler before it asks for the
 * next one: the reader counts.
 */

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/parser.h"

void parser_fail(struct parser *parser, const char *format, ...) {
        char reason[POLICY_REASON_SIZE];
        va_list arguments;

        if (!parser->error)
                parser->error = -EINVAL;
        if (!parser->report)
                return;
        va_start(arguments, format);
        (void)vsnprintf(reason, sizeof(reason), format, arguments);
        va_end(arguments);
        policy_make_printable(reason);
        parser->report(&parser->place, reason, parser->context);
}

void *parser_out_of_memory(struct parser *parser) {
        parser->error = -ENOMEM;
        return NULL;
}

/* inih's. Returns non-zero: errors are reported here, in their order. */
static int handle_pair(void *context, const char *section, const char *name, const char *value) {
        struct parser *parser = context;

        if (parser->in_bad_section)
                parser->expects_pair = false;
        if (!parser->expects_pair)
                return 1;
        /* else it stays expected, which is told when the next line is asked for */
        if (strcmp(section, parser->profile ? parser->profile->name : "") != 0 || strlen(value) != parser->value_length)
                return 1;
        parser->expects_pair = false;
        parser_set(parser, name, value);
        return 1;
}

/* Sections without a pair are profiles too, of which inih says nothing. */
static bool check_section(struct parser *parser, const char *text, size_t length) {
        char name[POLICY_NAME_MAX + 1] = "";

        parser->in_bad_section = true;
        if (text[length - 1] != ']') {
                parser_fail(parser, "[PROFILE] is needed, and nothing behind it");
                return false;
        }
        if (!policy_is_profile_name(text + 1, length - 2)) {
                parser_fail(parser, "a profile's name has 1 to %d letters, digits, and any of _ - .", POLICY_NAME_MAX);
                return false;
        }
        memcpy(name, text + 1, length - 2);
        parser->profile = policy_add_profile(parser->policy, name, parser->place);
        if (!parser->profile)
                (void)parser_out_of_memory(parser);
        else
                parser->in_bad_section = false;
        return parser->profile;
}

/* A word behind a blank that begins like a comment. For inih some are, and people take the others for one. */
static bool has_comment(const char *text, size_t length) {
        for (size_t i = 1; i < length; i++)
                if ((text[i] == '#' || text[i] == ';') && strchr(BLANKS, text[i - 1]))
                        return true;
        return false;
}

static bool check_pair(struct parser *parser, const char *text, size_t length) {
        size_t at = 0;

        while (at < length && isalpha((unsigned char)text[at]))
                at++;
        while (at < length && strchr(BLANKS, text[at]))
                at++;
        if (at == 0 || at == length || text[at] != '=') {
                parser_fail(parser, "neither [PROFILE] nor KEY=VALUE; a list goes on in another line with its key");
                return false;
        }
        if (has_comment(text, length)) {
                parser_fail(parser, "a comment needs a line of its own");
                return false;
        }
        for (at++; at < length && strchr(BLANKS, text[at]);)
                at++;
        parser->expects_pair = true;
        parser->value_length = length - at;
        return true;
}

static bool is_comment(const char *text, size_t length) {
        return length == 0 || *text == '#' || *text == ';';
}

/* Is this, without the blanks around it, a line for inih? */
static bool check_line(struct parser *parser, const char *text, size_t length, size_t room) {
        if (memchr(text, '\0', length)) {
                parser_fail(parser, "a NUL byte: this is no text");
                return false;
        }
        if (is_comment(text, length))
                return false;
        for (size_t i = 0; i < length; i++)
                if ((text[i] < ' ' || text[i] > '~') && text[i] != '\t') {
                        parser_fail(parser, "byte 0x%02x: only comments may have other than printable ASCII",
                                    (unsigned char)text[i]);
                        return false;
                }
        if (length > POLICY_LINE_MAX || length >= room) {
                parser_fail(parser,
                            "a line of %zu bytes, which is more than %d; a list goes on in another line with its key",
                            length, POLICY_LINE_MAX);
                return false;
        }
        return *text == '[' ? check_section(parser, text, length) : check_pair(parser, text, length);
}

static bool is_outer_blank(char c) {
        return c == ' ' || c == '\t' || c == '\r';
}

static void expect_nothing(struct parser *parser) {
        if (parser->expects_pair)
                parser_fail(parser, "the library that reads this file has not understood the line");
        parser->expects_pair = false;
}

/* inih's, as fgets(). A line that is not for it is an empty one. */
static char *read_line(char *buffer, int size, void *context) {
        struct parser *parser = context;
        const char *text = parser->at, *newline;
        size_t length;

        expect_nothing(parser);
        if (size <= 0 || parser->left == 0)
                return NULL;
        newline = memchr(text, '\n', parser->left);
        length = newline ? (size_t)(newline - text) : parser->left;
        parser->at += length + (newline != NULL);
        parser->left -= length + (newline != NULL);
        parser->place.line++;
        if (!newline)
                parser_fail(parser, "the last line has no end: is the file complete?");
        for (; length > 0 && is_outer_blank(*text); length--)
                text++;
        while (length > 0 && is_outer_blank(text[length - 1]))
                length--;
        if (!check_line(parser, text, length, (size_t)size))
                length = 0;
        memcpy(buffer, text, length);
        buffer[length] = '\0';
        return buffer;
}

static void parse_file(struct parser *parser, const struct policy_file *file) {
        int r, errors_before = parser->error;

        parser->at = file->text;
        parser->left = file->length;
        parser->profile = NULL;
        parser->in_bad_section = false;
        parser->expects_pair = false;
        r = ini_parse_stream(read_line, parser, handle_pair, parser);
        expect_nothing(parser);
        if (r == -2)
                (void)parser_out_of_memory(parser);
        else if (r != 0 && parser->error == errors_before)
                parser_fail(parser, "the library that reads this file has not understood line %d", r);
}

/* Names first: places point to them. */
static int copy_names(struct policy *policy, const struct policy_file *files, size_t count) {
        policy->files = calloc(count, sizeof(*policy->files));
        if (!policy->files && count > 0)
                return -ENOMEM;
        for (; policy->file_count < count; policy->file_count++) {
                policy->files[policy->file_count] = strdup(files[policy->file_count].name);
                if (!policy->files[policy->file_count])
                        return -ENOMEM;
        }
        return 0;
}

int policy_parse(const struct policy_file *files, size_t count, policy_report report, void *context,
                 struct policy **ret) {
        _cleanup_policy_ struct policy *policy = calloc(1, sizeof(*policy));
        struct parser parser = { .policy = policy, .report = report, .context = context };
        int r;

        if (!policy)
                return -ENOMEM;
        r = copy_names(policy, files, count);
        if (r < 0)
                return r;
        for (size_t i = 0; i < count && parser.error != -ENOMEM; i++) {
                parser.place = (struct policy_place){ .file = policy->files[i] };
                parse_file(&parser, &files[i]);
        }
        if (parser.error < 0)
                return parser.error;
        *ret = policy;
        policy = NULL;
        return 0;
}
