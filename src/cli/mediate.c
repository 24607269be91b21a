/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <getopt.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "launch/check.h"
#include "mediate/mediate.h"
#include "policy_load.h"
#include "util/log.h"
#include "util/title.h"

enum {
        OPTION_HELP = CLI_LONG_OPTION,
        OPTION_LXC_SOCKET,
        OPTION_OCI_SOCKET,
        OPTION_POLICY,
};

/* Returns 0, or the exit status of a usage error. */
static int parse(int argc, char **argv, struct mediate_config *config, bool *help) {
        static const struct option options[] = {
                { "help", no_argument, NULL, OPTION_HELP },
                { "lxc-socket", required_argument, NULL, OPTION_LXC_SOCKET },
                { "oci-socket", required_argument, NULL, OPTION_OCI_SOCKET },
                { "policy", required_argument, NULL, OPTION_POLICY },
                { 0 },
        };
        int option, r = 0;

        opterr = 0;
        optind = 0; /* GNU's word for a new scan */
        while (r == 0 && (option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
                switch (option) {
                case 'h':
                case OPTION_HELP:
                        *help = true;
                        return 0;
                case OPTION_LXC_SOCKET:
                        config->lxc_socket = optarg;
                        r = cli_check_socket(&cli_mediate, "--lxc-socket", optarg);
                        break;
                case OPTION_OCI_SOCKET:
                        config->oci_socket = optarg;
                        r = cli_check_socket(&cli_mediate, "--oci-socket", optarg);
                        break;
                case OPTION_POLICY:
                        config->policy_directory = optarg;
                        break;
                default:
                        return cli_option_error(&cli_mediate, argv);
                }
        }
        if (r == 0 && optind < argc)
                return cli_usage_error(&cli_mediate, "too many arguments");
        return r;
}

static int mediate_command(const struct kernel_interface *kernel, int argc, char **argv) {
        struct mediate_config config = { .kernel = kernel,
                                         .policy_directory = POLICY_DIRECTORY,
                                         .oci_socket = MEDIATE_OCI_SOCKET,
                                         .lxc_socket = MEDIATE_LXC_SOCKET };
        struct problem problem = { 0 };
        bool help = false;
        int r = parse(argc, argv, &config, &help);

        if (r != 0)
                return r;
        if (help)
                return cli_help.run(kernel, 2, (char *[]){ (char *)cli_help.name, (char *)cli_mediate.name, NULL });
        if (check_environment_to_mediate(&problem) < 0) {
                log_error("%s", problem.text);
                return EXIT_FAILURE;
        }
        return mediate_run(&config) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

const struct cli_command cli_mediate = {
        .name = "mediate",
        .usage = "mediate [OPTION...]",
        .summary = "Load modules for containers, as a policy allows",
        .details = "Container runtimes hand the filters of their containers over at a socket (listenerPath in\n"
                   "the seccomp profile). What a container then asks for is loaded from the host's own\n"
                   "modules, if its profile in the policy allows it, and refused if not; each request is one\n"
                   "line in the log. SIGHUP reads the policy again. Stays in the foreground;\n"
                   "modgate-containers.service runs it, under modgate run --attach, so that its loads are one\n"
                   "with all others.\n"
                   "\n"
                   "  --oci-socket=PATH  where runtimes connect (default /run/modgate/oci.sock), unless systemd\n"
                   "                     hands a socket over\n"
                   "  --lxc-socket=PATH  where liblxc connects (lxc.seccomp.notify.proxy; default\n"
                   "                     /run/modgate/lxc.sock), unless systemd hands a socket over\n"
                   "  --policy=DIR       the policy's files (default /etc/modgate/policy.d)\n"
                   "  -h, --help         this page\n"
                   "\n"
                   "Exit status: 0 after SIGTERM; 2 usage, 1 any trouble.\n",
        .run = mediate_command,
};
