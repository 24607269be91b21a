/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cli/cli.h"
#include "keeper/keeper.h"
#include "launch/check.h"
#include "modgate/attach.h"
#include "util/log.h"
#include "util/service.h"
#include "util/socket.h"

enum {
        OPTION_HELP = CLI_LONG_OPTION,
        OPTION_FAILURE_TTL,
        OPTION_SOCKET,
        OPTION_TRACE,
};

struct serve {
        const char *socket;
        const char *trace;
        unsigned int failure_ttl_s;
        bool help;
};

/* Returns 0, or the exit status of a usage error. */
static int parse(int argc, char **argv, struct serve *serve) {
        static const struct option options[] = {
                { "help", no_argument, NULL, OPTION_HELP },
                { "failure-ttl", required_argument, NULL, OPTION_FAILURE_TTL },
                { "socket", required_argument, NULL, OPTION_SOCKET },
                { "trace", required_argument, NULL, OPTION_TRACE },
                { 0 },
        };
        int option, r = 0;

        opterr = 0;
        optind = 0; /* GNU's word for a new scan */
        while (r == 0 && (option = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
                switch (option) {
                case 'h':
                case OPTION_HELP:
                        serve->help = true;
                        return 0;
                case OPTION_FAILURE_TTL:
                        r = cli_parse_failure_ttl(&cli_serve, optarg, &serve->failure_ttl_s);
                        break;
                case OPTION_SOCKET:
                        serve->socket = optarg;
                        r = cli_check_socket(&cli_serve, "--socket", optarg);
                        break;
                case OPTION_TRACE:
                        serve->trace = optarg;
                        break;
                default:
                        return cli_option_error(&cli_serve, argv);
                }
        }
        if (r == 0 && optind < argc)
                return cli_usage_error(&cli_serve, "too many arguments");
        return r;
}

/* The socket that systemd listens at, or one of our own. Negative errno after saying what is wrong. */
static int take_socket(const struct serve *serve) {
        int fd = service_take_socket();

        if (fd >= 0)
                return fd;
        fd = socket_listen(serve->socket, SOCK_SEQPACKET);
        if (fd == -EADDRINUSE)
                log_error("another daemon listens at %s: stop that one, or name another --socket", serve->socket);
        else if (fd < 0)
                log_error("cannot listen at %s: %s; name a --socket that is no other file, in a directory that is "
                          "writable",
                          serve->socket, strerror(-fd));
        return fd;
}

static int start(const struct kernel_interface *kernel, const struct serve *serve) {
        struct problem problem = { 0 };
        char *trace = NULL;
        int fd, r;

        r = check_environment_to_serve(&problem);
        if (r == 0)
                r = check_trace(serve->trace, &trace, &problem);
        if (r < 0) {
                log_error("%s", problem.text);
                return EXIT_FAILURE;
        }
        fd = take_socket(serve);
        if (fd < 0)
                return EXIT_FAILURE;
        r = keeper_serve_consume_fd(&(struct keeper_config){ .kernel = kernel,
                                                             .failure_ttl_ns = serve->failure_ttl_s * 1000000000ULL,
                                                             .trace = trace },
                                    fd);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int serve_command(const struct kernel_interface *kernel, int argc, char **argv) {
        struct serve serve = { .socket = ATTACH_SOCKET };
        int r = parse(argc, argv, &serve);

        if (r != 0)
                return r;
        if (serve.help)
                return cli_help.run(kernel, 2, (char *[]){ (char *)cli_help.name, (char *)cli_serve.name, NULL });
        return start(kernel, &serve);
}

const struct cli_command cli_serve = {
        .name = "serve",
        .usage = "serve [OPTION...]",
        .summary = "Be the daemon that serves what is run with --attach",
        .details = "All programs that were started by modgate run --attach are served together: what one of\n"
                   "them loads is not loaded for another one. Stays in the foreground; modgate.service and\n"
                   "modgate.socket run it. It may be stopped, killed and restarted at any time: calls wait\n"
                   "for it for some seconds, and are then left to the kernel until it is back.\n"
                   "\n"
                   "  --socket=PATH    where to listen (default /run/modgate/attach.sock), unless systemd hands\n"
                   "                   a socket over\n"
                   "  --failure-ttl=S  as of modgate run, for all that it serves\n"
                   "  --trace=FILE     as of modgate run\n"
                   "  -h, --help       this page\n"
                   "\n"
                   "Exit status: 0 after SIGTERM; 2 usage, 1 any trouble.\n",
        .run = serve_command,
};
