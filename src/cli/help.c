/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "cli/cli.h"

void cli_print_help(FILE *file) {
        (void)fputs("Usage: modgate [--help|--version] COMMAND [ARG...]\n"
                    "\n"
                    "Starts a program under a filter that turns the loading of kernel modules into\n"
                    "requests, performs each distinct load once, and answers its duplicates.\n"
                    "\n"
                    "Commands:\n",
                    file);
        for (const struct cli_command *const *command = cli_commands; *command; command++)
                (void)fprintf(file, "  %-8s %s\n", (*command)->name, (*command)->summary);

        (void)fputs("\n"
                    "Options:\n"
                    "  -h, --help     this page\n"
                    "  -V, --version  the version\n"
                    "\n"
                    "MODGATE_LOG=error|warning|notice|info|debug says how much is logged on stderr.\n"
                    "modgate=0 on the kernel command line: programs run without modgate.\n"
                    "See 'modgate help COMMAND' for a command's options.\n",
                    file);
}

static void print_command(const struct cli_command *command) {
        (void)printf("Usage: modgate %s\n\n%s.\n%s", command->usage, command->summary, command->details);
}

static int help(const struct kernel_interface *kernel, int argc, char **argv) {
        const struct cli_command *command;

        (void)kernel;
        if (argc > 2)
                return cli_usage_error(&cli_help, "too many arguments");
        if (argc < 2) {
                cli_print_help(stdout);
                return EXIT_SUCCESS;
        }

        command = cli_find(argv[1]);
        if (!command)
                return cli_usage_error(&cli_help, "unknown command '%s'", argv[1]);

        print_command(command);
        return EXIT_SUCCESS;
}

const struct cli_command cli_help = {
        .name = "help",
        .usage = "help [COMMAND]",
        .summary = "Explain a command",
        .details = "",
        .run = help,
};
