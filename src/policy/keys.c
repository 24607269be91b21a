/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The keys of policy files, and what may stand behind them. */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/parameters.h"
#include "policy/parser.h"
#include "policy/pattern.h"

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
        return word ? word : parser_out_of_memory(parser);
}

/* Takes `word` over. */
static void add_entry(struct parser *parser, struct policy_entries *entries, char *word) {
        struct policy_entry *items = reallocarray(entries->items, entries->count + 1, sizeof(*items));

        if (!items) {
                free(word);
                (void)parser_out_of_memory(parser);
                return;
        }
        entries->items = items;
        items[entries->count++] = (struct policy_entry){ .word = word, .place = parser->place };
}

static bool is_entry(struct parser *parser, const char *word) {
        const char *problem = pattern_check_entry(word);

        if (problem)
                parser_fail(parser, "'%.60s': %s", word, problem);
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
                (void)parser_out_of_memory(parser);
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
                (void)parser_out_of_memory(parser);
                return;
        }
        problem = check_parameter(parameter, item->pattern);
        if (problem)
                parser_fail(parser, "'%.60s': %s", item->name, problem);
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
                        parser_fail(parser, "parameters=%.60s names none: write MODULE NAME=PATTERN ...", module);
        }
        free(module);
}

/* A setting has one value in all files: else it would depend on their order which one holds. */
static void set(struct parser *parser, enum policy_setting setting, uint64_t value, const char *key) {
        typeof(parser->profile->settings[0]) *old = &parser->profile->settings[setting];

        if (old->place.line > 0 && old->value != value) {
                parser_fail(parser, "%s= has another value at %s", key, place_text(&old->place).text);
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
                parser_fail(parser, "blacklist= is respect or ignore, not '%.60s'", value);
}

static void parse_live(struct parser *parser, const char *value) {
        if (strcmp(value, "hide") == 0)
                set(parser, POLICY_LIVE, POLICY_LIVE_HIDE, "live");
        else if (strcmp(value, "tell") == 0)
                set(parser, POLICY_LIVE, POLICY_LIVE_TELL, "live");
        else
                parser_fail(parser, "live= is hide or tell, not '%.60s'", value);
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
                        parser_fail(parser, "caller= is a list of root and capability, or any; not '%.60s'", word);
                bits |= bit;
                free(word);
        }
        if (bits > POLICY_CALLER_ANY)
                parser_fail(parser, "caller=any stands alone");
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
                parser_fail(parser, "rate= is COUNT/SECONDS (1 to %u, 1 to %u) or unlimited, not '%.60s'",
                            POLICY_RATE_COUNT_MAX, POLICY_RATE_SECONDS_MAX, value);
        else
                set(parser, POLICY_RATE, policy_rate_make(count, seconds), "rate");
}

static void parse_annotation(struct parser *parser, const char *value) {
        struct policy *policy = parser->policy;

        if (strpbrk(value, BLANKS)) {
                parser_fail(parser, "annotation= is the key of an annotation, without blanks");
        } else if (!policy->annotation) {
                policy->annotation = strdup(value);
                policy->annotation_place = parser->place;
                if (!policy->annotation)
                        (void)parser_out_of_memory(parser);
        } else if (strcmp(policy->annotation, value) != 0) {
                parser_fail(parser, "annotation= has another value at %s", place_text(&policy->annotation_place).text);
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

void parser_set(struct parser *parser, const char *name, const char *value) {
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
                if (strcmp(keys[i].name, name) != 0)
                        continue;
                if (*value == '\0')
                        parser_fail(parser, "%s= is empty", name);
                else if (keys[i].of_all && parser->profile)
                        parser_fail(parser, "%s= is not of a profile: it stands above the first [PROFILE]", name);
                else if (!keys[i].of_all && !parser->profile)
                        parser_fail(parser, "%s= is of a profile: it stands below a [PROFILE]", name);
                else
                        keys[i].parse(parser, value);
                return;
        }
        parser_fail(parser,
                    "unknown key '%.60s': there are allow, annotation, blacklist, caller, deny, live, parameters, rate",
                    name);
}
