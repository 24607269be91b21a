/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"

#include <getopt.h>

/* getopt_long() wants a table of its own. */
#define OPTIONS_MAX 32U

static int set(const struct storm_command *command, const struct storm_option *option, const char *text, char *member) {
        switch (option->kind) {
        case OPTION_FLAG:
                *(bool *)member = true;
                return 0;
        case OPTION_TEXT:
                *(const char **)member = text;
                return 0;
        case OPTION_NUMBER:
                if (storm_parse_number(text, option->lowest, option->highest, (unsigned int *)member) == 0)
                        return 0;
                break;
        }
        (void)storm_usage_error(command, "--%s=%s: not a number from %u to %u", option->name, text, option->lowest,
                                option->highest);
        return -1;
}

int storm_parse_options(const struct storm_command *command, int argc, char **argv, const struct storm_option *options,
                        size_t count, void *values) {
        struct option known[OPTIONS_MAX] = { 0 };
        int value;

        for (size_t i = 0; i < count && i < OPTIONS_MAX - 1; i++)
                known[i] = (struct option){
                        .name = options[i].name,
                        .has_arg = options[i].kind == OPTION_FLAG ? no_argument : required_argument,
                        .val = STORM_LONG_OPTION + (int)i,
                };
        opterr = 0;
        while ((value = getopt_long(argc, argv, "", known, NULL)) >= 0) {
                const struct storm_option *option = &options[value - STORM_LONG_OPTION];

                if (value < STORM_LONG_OPTION) {
                        (void)storm_usage_error(command, "unknown or incomplete option '%s'", argv[optind - 1]);
                        return -1;
                }
                if (set(command, option, optarg, (char *)values + option->offset) < 0)
                        return -1;
        }
        return optind;
}
