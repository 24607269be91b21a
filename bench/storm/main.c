/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storm.h"

static const struct storm_command *const commands[] = {
        &storm_boot, &storm_floor, &storm_overhead, &storm_replay, &storm_synthetic,
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

int storm_print_help(const struct storm_command *command) {
        (void)printf("Usage: modgate-storm %s\n\n%s.\n\n%s", command->usage, command->summary, command->details);
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int storm_usage_error(const struct storm_command *command, const char *format, ...) {
        va_list arguments;

        (void)fputs("modgate-storm: ", stderr);
        va_start(arguments, format);
        (void)vfprintf(stderr, format, arguments);
        va_end(arguments);
        (void)fprintf(stderr, "\nUsage: modgate-storm %s\nTry 'modgate-storm %s%s--help'.\n",
                      command ? command->usage : "COMMAND [OPTION…]", command ? command->name : "", command ? " " : "");
        return STORM_EXIT_USAGE;
}

int storm_error(const char *format, ...) {
        va_list arguments;

        (void)fprintf(stderr, "%smodgate-storm: ", isatty(STDERR_FILENO) ? "\r\033[K" : "");
        va_start(arguments, format);
        (void)vfprintf(stderr, format, arguments);
        va_end(arguments);
        (void)fputc('\n', stderr);
        return EXIT_FAILURE;
}

int storm_parse_number(const char *text, unsigned int lowest, unsigned int highest, unsigned int *ret) {
        unsigned long number;
        char *end;

        errno = 0;
        number = strtoul(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number < lowest || number > highest)
                return -EINVAL;
        *ret = (unsigned int)number;
        return 0;
}

static int print_all_help(void) {
        (void)printf("Usage: modgate-storm COMMAND [OPTION…]\n\nWhat storms of module loads cost.\n\n");
        for (size_t i = 0; i < COMMANDS; i++)
                (void)printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
        (void)printf("\nmodgate-storm COMMAND --help says more.\n");
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv) {
        if (argc < 2)
                return storm_usage_error(NULL, "no command");
        if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
                return print_all_help();
        if (strcmp(argv[1], "--version") == 0)
                return printf("modgate-storm %s\n", MODGATE_VERSION) > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        for (size_t i = 0; i < COMMANDS; i++)
                if (strcmp(argv[1], commands[i]->name) == 0)
                        return commands[i]->run(argc - 1, argv + 1);
        return storm_usage_error(NULL, "unknown command '%s'", argv[1]);
}
