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

#include "policy/parameters.h"
#include "policy/pattern.h"
#include "policy/profile.h"

#define BLANKS " \t"

struct parser {
        struct policy *policy;
        const char *at; /* what is left of the file */
        size_t left;
        struct policy_place place;      /* of the line that inih has now */
        struct policy_profile *profile; /* NULL: above the first section */
        bool in_bad_section;            /* nobody knows whose lines these are */
        bool expects_pair;              /* inih has a pair now, whose value has so many bytes */
        size_t value_length;
        int error; /* -EINVAL, -ENOMEM */
        policy_report report;
        void *context;
};

__attribute__((format(printf, 2, 3))) static void fail(struct parser *parser, const char *format, ...) {
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

static void *out_of_memory(struct parser *parser) {
        parser->error = -ENOMEM;
        return NULL;
}

/* Of "FILE:LINE", for messages about something that stands elsewhere too. */
struct place_text {
        char text[160];
};

static struct place_text place_text(const struct policy_place *place) {
        struct place_text result;

        (void)snprintf(result.text, sizeof(result.text), "%s:%u", place->file, place->line);
        return result;
}

/* Takes the next word off a value. Returns it (owned), or NULL: there is no other one, or no memory. */
static char *next_word(struct parser *parser, const char **value) {
        size_t length;
        char *word;

        *value += strspn(*value, BLANKS);
        length = strcspn(*value, BLANKS);
        if (length == 0)
                return NULL;
        word = strndup(*value, length);
        *value += length;
        return word ? word : out_of_memory(parser);
}

/* Takes `word` over. */
static void add_entry(struct parser *parser, struct policy_entries *entries, char *word) {
        struct policy_entry *items = reallocarray(entries->items, entries->count + 1, sizeof(*items));

        if (!items) {
                free(word);
                (void)out_of_memory(parser);
                return;
        }
        entries->items = items;
        items[entries->count++] = (struct policy_entry){ .word = word, .place = parser->place };
}

static bool is_entry(struct parser *parser, const char *word) {
        const char *problem = pattern_check_entry(word);

        if (problem)
                fail(parser, "'%.60s': %s", word, problem);
        return !problem;
}

static void parse_entries(struct parser *parser, struct policy_entries *entries, const char *value) {
        char *word;

        while ((word = next_word(parser, &value))) {
                if (is_entry(parser, word))
                        add_entry(parser, entries, word);
                else
                        free(word);
        }
}

static void parse_allow(struct parser *parser, const char *value) {
        parse_entries(parser, &parser->profile->allow, value);
}

static void parse_deny(struct parser *parser, const char *value) {
        parse_entries(parser, &parser->profile->deny, value);
}

static bool is_parameter_name(const struct parameter *parameter) {
        for (size_t i = 0; i < parameter->name_length; i++) {
                unsigned char c = (unsigned char)parameter->name[i];

                if (!isalnum(c) && c != '_' && c != '-' && c != '.')
                        return false;
        }
        return parameter->name_length > 0;
}

static const char *check_parameter(const struct parameter *parameter, const char *pattern) {
        if (parameter->open)
                return "a \" without its other one";
        if (!is_parameter_name(parameter))
                return "NAME=PATTERN is needed, or NAME for one without a value; a NAME is no pattern";
        return pattern ? pattern_check(pattern) : NULL;
}

static void add_parameter(struct parser *parser, const char *module, const struct parameter *parameter) {
        struct policy_profile *profile = parser->profile;
        struct policy_parameter *items =
                reallocarray(profile->parameters, profile->parameter_count + 1, sizeof(*items));
        struct policy_parameter *item;
        const char *problem;

        if (!items) {
                (void)out_of_memory(parser);
                return;
        }
        profile->parameters = items;
        item = &items[profile->parameter_count++];
        *item = (struct policy_parameter){
                .module = { .word = strdup(module), .place = parser->place },
                .name = strndup(parameter->name, parameter->name_length),
                .pattern = parameter->value ? strndup(parameter->value, parameter->value_length) : NULL,
        };
        if (!item->module.word || !item->name || (parameter->value && !item->pattern)) {
                (void)out_of_memory(parser);
                return;
        }
        problem = check_parameter(parameter, item->pattern);
        if (problem)
                fail(parser, "'%.60s': %s", item->name, problem);
}

static void parse_parameters(struct parser *parser, const char *value) {
        char *module = next_word(parser, &value);
        size_t length = strlen(value);
        struct parameter parameter;
        bool any = false;

        if (module && is_entry(parser, module)) {
                for (; parameters_next(&value, &length, &parameter); any = true)
                        add_parameter(parser, module, &parameter);
                if (!any)
                        fail(parser, "parameters=%.60s names none: write MODULE NAME=PATTERN ...", module);
        }
        free(module);
}

/* A setting has one value in all files: else it would depend on their order which one holds. */
static void set(struct parser *parser, enum policy_setting setting, uint64_t value, const char *key) {
        typeof(parser->profile->settings[0]) *old = &parser->profile->settings[setting];

        if (old->place.line > 0 && old->value != value) {
                fail(parser, "%s= has another value at %s", key, place_text(&old->place).text);
                return;
        }
        if (old->place.line == 0)
                old->place = parser->place;
        old->value = value;
}

static void parse_blacklist(struct parser *parser, const char *value) {
        if (strcmp(value, "respect") == 0)
                set(parser, POLICY_BLACKLIST, POLICY_BLACKLIST_RESPECT, "blacklist");
        else if (strcmp(value, "ignore") == 0)
                set(parser, POLICY_BLACKLIST, POLICY_BLACKLIST_IGNORE, "blacklist");
        else
                fail(parser, "blacklist= is respect or ignore, not '%.60s'", value);
}

static void parse_live(struct parser *parser, const char *value) {
        if (strcmp(value, "hide") == 0)
                set(parser, POLICY_LIVE, POLICY_LIVE_HIDE, "live");
        else if (strcmp(value, "tell") == 0)
                set(parser, POLICY_LIVE, POLICY_LIVE_TELL, "live");
        else
                fail(parser, "live= is hide or tell, not '%.60s'", value);
}

static unsigned int caller_bit(const char *word) {
        if (strcmp(word, "root") == 0)
                return POLICY_CALLER_ROOT;
        if (strcmp(word, "capability") == 0)
                return POLICY_CALLER_CAPABILITY;
        return strcmp(word, "any") == 0 ? POLICY_CALLER_ANY : 0;
}

static void parse_caller(struct parser *parser, const char *value) {
        unsigned int bits = 0;
        char *word;

        while ((word = next_word(parser, &value))) {
                unsigned int bit = caller_bit(word);

                if (bit == 0)
                        fail(parser, "caller= is a list of root and capability, or any; not '%.60s'", word);
                bits |= bit;
                free(word);
        }
        if (bits > POLICY_CALLER_ANY)
                fail(parser, "caller=any stands alone");
        else if (bits > 0)
                set(parser, POLICY_CALLER, bits, "caller");
}

/* 1 to `max`, in digits alone. Returns 0 if it is none. */
static uint32_t take_number(const char **text, uint32_t max) {
        uint64_t number = 0;

        for (; isdigit((unsigned char)**text); ++*text) {
                number = 10 * number + (uint64_t)(**text - '0');
                if (number > max)
                        return 0;
        }
        return (uint32_t)number;
}

static void parse_rate(struct parser *parser, const char *value) {
        const char *at = value;
        uint32_t count, seconds = 0;

        if (strcmp(value, "unlimited") == 0) {
                set(parser, POLICY_RATE, 0, "rate");
                return;
        }
        count = take_number(&at, POLICY_RATE_COUNT_MAX);
        if (*at == '/') {
                at++;
                seconds = take_number(&at, POLICY_RATE_SECONDS_MAX);
        }
        if (count == 0 || seconds == 0 || *at != '\0')
                fail(parser, "rate= is COUNT/SECONDS (1 to %u, 1 to %u) or unlimited, not '%.60s'",
                     POLICY_RATE_COUNT_MAX, POLICY_RATE_SECONDS_MAX, value);
        else
                set(parser, POLICY_RATE, policy_rate_make(count, seconds), "rate");
}

static void parse_annotation(struct parser *parser, const char *value) {
        struct policy *policy = parser->policy;

        if (strpbrk(value, BLANKS)) {
                fail(parser, "annotation= is the key of an annotation, without blanks");
        } else if (!policy->annotation) {
                policy->annotation = strdup(value);
                policy->annotation_place = parser->place;
                if (!policy->annotation)
                        (void)out_of_memory(parser);
        } else if (strcmp(policy->annotation, value) != 0) {
                fail(parser, "annotation= has another value at %s", place_text(&policy->annotation_place).text);
        }
}

static const struct key {
        const char *name;
        bool of_all; /* stands above all sections */
        void (*parse)(struct parser *parser, const char *value);
} keys[] = {
        { "allow", false, parse_allow },
        { "annotation", true, parse_annotation },
        { "blacklist", false, parse_blacklist },
        { "caller", false, parse_caller },
        { "deny", false, parse_deny },
        { "live", false, parse_live },
        { "parameters", false, parse_parameters },
        { "rate", false, parse_rate },
};

static void parse_pair(struct parser *parser, const char *name, const char *value) {
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
                if (strcmp(keys[i].name, name) != 0)
                        continue;
                if (*value == '\0')
                        fail(parser, "%s= is empty", name);
                else if (keys[i].of_all && parser->profile)
                        fail(parser, "%s= is not of a profile: it stands above the first [PROFILE]", name);
                else if (!keys[i].of_all && !parser->profile)
                        fail(parser, "%s= is of a profile: it stands below a [PROFILE]", name);
                else
                        keys[i].parse(parser, value);
                return;
        }
        fail(parser,
             "unknown key '%.60s': there are allow, annotation, blacklist, caller, deny, live, parameters, rate", name);
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
        parse_pair(parser, name, value);
        return 1;
}

static bool is_profile_name(const char *name, size_t length) {
        for (size_t i = 0; i < length; i++)
                if (!isalnum((unsigned char)name[i]) && !strchr("_-.", name[i]))
                        return false;
        return length > 0 && length <= POLICY_NAME_MAX;
}

/* Sections without a pair are profiles too, of which inih says nothing. */
static bool check_section(struct parser *parser, const char *text, size_t length) {
        char name[POLICY_NAME_MAX + 1] = "";

        parser->in_bad_section = true;
        if (text[length - 1] != ']') {
                fail(parser, "[PROFILE] is needed, and nothing behind it");
                return false;
        }
        if (!is_profile_name(text + 1, length - 2)) {
                fail(parser, "a profile's name has 1 to %d letters, digits, and any of _ - .", POLICY_NAME_MAX);
                return false;
        }
        memcpy(name, text + 1, length - 2);
        parser->profile = policy_add_profile(parser->policy, name, parser->place);
        if (!parser->profile)
                (void)out_of_memory(parser);
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
                fail(parser, "neither [PROFILE] nor KEY=VALUE; a list goes on in another line with its key");
                return false;
        }
        if (has_comment(text, length)) {
                fail(parser, "a comment needs a line of its own");
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
                fail(parser, "a NUL byte: this is no text");
                return false;
        }
        if (is_comment(text, length))
                return false;
        for (size_t i = 0; i < length; i++)
                if ((text[i] < ' ' || text[i] > '~') && text[i] != '\t') {
                        fail(parser, "byte 0x%02x: only comments may have other than printable ASCII",
                             (unsigned char)text[i]);
                        return false;
                }
        if (length > POLICY_LINE_MAX || length >= room) {
                fail(parser, "a line of %zu bytes, which is more than %d; a list goes on in another line with its key",
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
                fail(parser, "the library that reads this file has not understood the line");
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
                fail(parser, "the last line has no end: is the file complete?");
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
                (void)out_of_memory(parser);
        else if (r != 0 && parser->error == errors_before)
                fail(parser, "the library that reads this file has not understood line %d", r);
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
