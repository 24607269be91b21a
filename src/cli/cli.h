/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The command line as data: a table of commands, one file each.
 */

#include <stdio.h>

#include "kernel_interface.h"

enum {
        CLI_EXIT_USAGE = 2,
        CLI_LONG_OPTION = 256, /* getopt_long() values from here on have no letter */
};

struct cli_command {
        const char *name;
        const char *usage;   /* what follows `modgate ` in the usage line */
        const char *summary; /* one line */
        const char *details; /* its help, in lines */

        /* argv[0] is the command's name. Returns the exit status. */
        int (*run)(const struct kernel_interface *kernel, int argc, char **argv);
};

extern const struct cli_command cli_mediate;
extern const struct cli_command cli_policy;
extern const struct cli_command cli_run;
extern const struct cli_command cli_serve;
extern const struct cli_command cli_help;

/* All commands; the last entry is NULL. */
extern const struct cli_command *const cli_commands[];

/* The command of this name, or NULL. */
const struct cli_command *cli_find(const char *name);

/* The help page of everything. */
void cli_print_help(FILE *file);

/* Says what is wrong and how `command` (NULL: modgate) is used, on stderr. Returns CLI_EXIT_USAGE. */
int cli_usage_error(const struct cli_command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for what getopt_long() has just answered '?' to. */
int cli_option_error(const struct cli_command *command, char **argv);

/* The seconds of --failure-ttl. Returns 0, or the exit status of a usage error. */
int cli_parse_failure_ttl(const struct cli_command *command, const char *word, unsigned int *ret);

/* Can this be the path of a socket? Returns as above. */
int cli_check_socket(const struct cli_command *command, const char *option, const char *path);

/* The program: leads argv to a command. Returns the exit status. */
int cli_main(const struct kernel_interface *kernel, int argc, char **argv);
