/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* modgate-storm's command line as data: a table of commands, one file each. */

enum {
        STORM_EXIT_USAGE = 2,
        STORM_EXIT_INTERRUPTED = 130,
        STORM_LONG_OPTION = 256, /* getopt_long() values from here on have no letter */
};

struct storm_command {
        const char *name;
        const char *usage;   /* what follows `modgate-storm ` in the usage line */
        const char *summary; /* one line */
        const char *details; /* its help, in lines */

        /* argv[0] is the command's name. Returns the exit status. */
        int (*run)(int argc, char **argv);
};

extern const struct storm_command storm_boot;
extern const struct storm_command storm_floor;
extern const struct storm_command storm_overhead;
extern const struct storm_command storm_replay;
extern const struct storm_command storm_synthetic;

/* Prints the help of one command. Returns the exit status. */
int storm_print_help(const struct storm_command *command);

/* Says what is wrong and how the command is used, on stderr. Returns STORM_EXIT_USAGE. */
int storm_usage_error(const struct storm_command *command, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

/* Says on stderr what went wrong. Returns EXIT_FAILURE. */
int storm_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A number from `lowest` to `highest`. Returns 0 or -EINVAL. */
int storm_parse_number(const char *text, unsigned int lowest, unsigned int highest, unsigned int *ret);
