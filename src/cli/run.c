/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "launch/launch.h"
#include "modgate/attach.h"

enum {
        OPTION_HELP = CLI_LONG_OPTION,
        OPTION_ATTACH,
        OPTION_FAILURE_TTL,
        OPTION_ON_ERROR,
        OPTION_REPORT,
        OPTION_TRACE,
        OPTION_WAIT,
};

static int parse_on_error(const char *word, enum launch_on_error *ret) {
        if (strcmp(word, "exec") == 0)
                *ret = LAUNCH_EXEC;
        else if (strcmp(word, "fail") == 0)
                *ret = LAUNCH_FAIL;
        else
                return cli_usage_error(&cli_run, "--on-error is exec or fail, not '%s'", word);

        return 0;
}

static int parse_report(const char *file, const char **ret) {
        if (file && file[0] == '\0')
                return cli_usage_error(&cli_run, "--report= needs a file name");

        *ret = file ? file : "-";
        return 0;
}

static int parse_trace(const char *file, const char **ret) {
        /* where others would take "-" for stdout, nobody could write a trace */
        if (file[0] == '\0' || strcmp(file, "-") == 0)
                return cli_usage_error(&cli_run, "--trace=FILE needs the name of a file");

        *ret = file;
        return 0;
}

static int parse_attach(const char *path, const char **ret) {
        *ret = path ? path : ATTACH_SOCKET;
        return cli_check_socket(&cli_run, "--attach", *ret);
}

/* Returns 0, or the exit status of a usage error. */
static int parse(int argc, char **argv, struct launch_config *config, bool *ret_help) {
        static const struct option options[] = {
                { "help", no_argument, NULL, OPTION_HELP },
                { "attach", optional_argument, NULL, OPTION_ATTACH },
                { "failure-ttl", required_argument, NULL, OPTION_FAILURE_TTL },
                { "on-error", required_argument, NULL, OPTION_ON_ERROR },
                { "report", optional_argument, NULL, OPTION_REPORT },
                { "trace", required_argument, NULL, OPTION_TRACE },
                { "wait", no_argument, NULL, OPTION_WAIT },
                { 0 },
        };
        int option, r = 0;

        opterr = 0;
        optind = 0; /* GNU's word for a new scan */
        while (r == 0 && (option = getopt_long(argc, argv, "+h", options, NULL)) >= 0) {
                switch (option) {
                case 'h':
                case OPTION_HELP:
                        *ret_help = true;
                        return 0;
                case OPTION_ATTACH:
                        r = parse_attach(optarg, &config->attach);
                        break;
                case OPTION_FAILURE_TTL:
                        r = cli_parse_failure_ttl(&cli_run, optarg, &config->failure_ttl_s);
                        break;
                case OPTION_ON_ERROR:
                        r = parse_on_error(optarg, &config->on_error);
                        break;
                case OPTION_REPORT:
                        r = parse_report(optarg, &config->report);
                        break;
                case OPTION_TRACE:
                        r = parse_trace(optarg, &config->trace);
                        break;
                case OPTION_WAIT:
                        config->wait = true;
                        break;
                default:
                        r = cli_option_error(&cli_run, argv);
                }
        }

        /* who performs the loads writes the trace */
        if (r == 0 && config->attach && config->trace)
                return cli_usage_error(&cli_run,
                                       "--attach and --trace exclude each other: give --trace to modgate serve");
        return r;
}

static int run(const struct kernel_interface *kernel, int argc, char **argv) {
        struct launch_config config = {
                .kernel = kernel,
                .kernel_command_line = "/proc/cmdline",
                .on_error = LAUNCH_FAIL,
        };
        bool wants_help = false;
        int r;

        r = parse(argc, argv, &config, &wants_help);
        if (r != 0)
                return r;
        if (wants_help)
                return cli_help.run(kernel, 2, (char *[]){ (char *)cli_help.name, (char *)cli_run.name, NULL });
        if (optind >= argc)
                return cli_usage_error(&cli_run, "COMMAND is missing");

        config.argv = argv + optind;
        return launch_run(&config);
}

const struct cli_command cli_run = {
        .name = "run",
        .usage = "run [OPTION...] [--] COMMAND [ARG...]",
        .summary = "Run COMMAND and all it starts under modgate",
        .details = "COMMAND keeps modgate's process id, descriptors and environment. Needs CAP_SYS_MODULE\n"
                   "and CAP_SYS_ADMIN.\n"
                   "\n"
                   "  --attach[=SOCKET]  let the daemon serve COMMAND, if there is one (modgate help serve)\n"
                   "  --on-error=exec  if COMMAND cannot be supervised, say why and run it all the same\n"
                   "  --on-error=fail  if COMMAND cannot be supervised, say why and exit 125 (default)\n"
                   "  --failure-ttl=S  give failures of a module's init (ENODEV, ENXIO, EOPNOTSUPP, EEXIST) to\n"
                   "                   later callers too, for S seconds and while no uevent, removed module or\n"
                   "                   the like could have changed them (default 0: only while in flight).\n"
                   "                   A setting written in sysfs is not noticed\n"
                   "  --report         when COMMAND and all it started have ended, print a table of the\n"
                   "                   modules on stderr\n"
                   "  --report=FILE    the same as JSON in FILE\n"
                   "  --trace=FILE     write each request and load to FILE, for Perfetto and modgate-storm\n"
                   "  --wait           stay, as COMMAND's parent, until all it started has ended; exit as\n"
                   "                   COMMAND did, with 128 + the signal's number if one killed it.\n"
                   "                   SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 are handed on\n"
                   "  -h, --help       this page\n"
                   "\n"
                   "Exit status: COMMAND's; 2 usage, 125 not supervised, 126 not executable, 127 not found.\n",
        .run = run,
};
