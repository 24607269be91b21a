/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/log.h"

#define FAILURE_TTL_MAX_S 3600U

enum {
        OPTION_HELP = CLI_LONG_OPTION,
        OPTION_VERSION,
};

const struct cli_command *const cli_commands[] = {
        &cli_run, &cli_serve, &cli_mediate, &cli_policy, &cli_help, NULL,
};

const struct cli_command *cli_find(const char *name) {
        for (const struct cli_command *const *command = cli_commands; *command; command++)
                if (strcmp((*command)->name, name) == 0)
                        return *command;

        return NULL;
}

int cli_usage_error(const struct cli_command *command, const char *format, ...) {
        va_list arguments;

        (void)fputs("modgate: ", stderr);
        va_start(arguments, format);
        (void)vfprintf(stderr, format, arguments);
        va_end(arguments);
        (void)fprintf(stderr, "\nUsage: modgate %s\nTry 'modgate help%s%s'.\n",
                      command ? command->usage : "COMMAND [ARG...]", command ? " " : "", command ? command->name : "");
        return CLI_EXIT_USAGE;
}

int cli_option_error(const struct cli_command *command, char **argv) {
        if (optopt > 0 && optopt < CLI_LONG_OPTION)
                return cli_usage_error(command, "unknown option '-%c'", optopt);

        /* also an option that lacks its value, or has one too many */
        return cli_usage_error(command, "unknown or incomplete option '%s'", argv[optind - 1]);
}

int cli_parse_failure_ttl(const struct cli_command *command, const char *word, unsigned int *ret) {
        char *end;
        unsigned long seconds;

        errno = 0;
        seconds = strtoul(word, &end, 10);
        if (errno != 0 || end == word || *end != '\0' || word[0] == '-' || seconds > FAILURE_TTL_MAX_S)
                return cli_usage_error(command, "--failure-ttl is a number of seconds, 0 to %u, not '%s'",
                                       FAILURE_TTL_MAX_S, word);

        *ret = (unsigned int)seconds;
        return 0;
}

int cli_check_socket(const struct cli_command *command, const char *option, const char *path) {
        static const struct sockaddr_un address;

        if (path[0] == '/' && strlen(path) < sizeof(address.sun_path))
                return 0;
        return cli_usage_error(command, "%s needs the absolute path of a socket, of less than %zu bytes, not '%s'",
                               option, sizeof(address.sun_path), path);
}

/*
 * A descriptor of ours that got number 0, 1 or 2, because modgate was started without, would pass for COMMAND's or for
 * stderr. Close-on-exec: COMMAND finds them as closed as they were.
 */
static void occupy_standard_descriptors(void) {
        int fd;

        do
                fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        while (fd >= 0 && fd <= STDERR_FILENO);

        if (fd >= 0)
                (void)close(fd);
}

/* Writes a text that was asked for. Returns the exit status: a full disk is an error. */
static int finish_stdout(void) {
        if (fflush(stdout) == 0 && !ferror(stdout))
                return EXIT_SUCCESS;

        log_error("cannot write to stdout: %s", strerror(errno));
        return EXIT_FAILURE;
}

static int lead(const struct kernel_interface *kernel, int argc, char **argv) {
        const struct cli_command *command;

        if (argc == 0)
                return cli_usage_error(NULL, "no command");

        command = cli_find(argv[0]);
        if (!command)
                return cli_usage_error(NULL, "unknown command '%s'", argv[0]);

        return command->run(kernel, argc, argv);
}

int cli_main(const struct kernel_interface *kernel, int argc, char **argv) {
        static const struct option options[] = {
                { "help", no_argument, NULL, OPTION_HELP },
                { "version", no_argument, NULL, OPTION_VERSION },
                { 0 },
        };
        int option, r;

        occupy_standard_descriptors();
        log_init();

        opterr = 0;
        while ((option = getopt_long(argc, argv, "+hV", options, NULL)) >= 0) {
                switch (option) {
                case 'h':
                case OPTION_HELP:
                        cli_print_help(stdout);
                        return finish_stdout();
                case 'V':
                case OPTION_VERSION:
                        (void)printf("modgate %s\n", MODGATE_VERSION);
                        return finish_stdout();
                default:
                        return cli_option_error(NULL, argv);
                }
        }

        r = lead(kernel, argc - optind, argv + optind);
        return r == EXIT_SUCCESS ? finish_stdout() : r;
}
