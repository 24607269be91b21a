/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The options of a command as data. */

#include <stdbool.h>
#include <stddef.h>

#include "storm.h"

enum storm_option_kind {
        OPTION_FLAG,   /* a bool */
        OPTION_NUMBER, /* an unsigned int, from `lowest` to `highest` */
        OPTION_TEXT,   /* a const char *, into argv */
};

struct storm_option {
        const char *name; /* without `--` */
        enum storm_option_kind kind;
        size_t offset; /* of the member that it sets */
        unsigned int lowest, highest;
};

/*
 * Sets the members of `values`, which have their defaults already, from the command line. Returns the index of the
 * first argument that is no option; or -1 when it has said what is wrong.
 */
int storm_parse_options(const struct storm_command *command, int argc, char **argv, const struct storm_option *options,
                        size_t count, void *values);
