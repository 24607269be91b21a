/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * launch_config FILE COMMAND [ARG…]: launch_run() with FILE in the place of the kernel command line, for tests of
 * modgate=0. With LOST_KEEPER in the environment the keeper does not take the listener: the stand-in has to.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "keeper/keeper.h"
#include "launch/launch.h"
#include "util/log.h"

/* Linked with --wrap=keeper_give_listener_dup_fd. */
int __real_keeper_give_listener_dup_fd(int socket, int listener_fd);
int __wrap_keeper_give_listener_dup_fd(int socket, int listener_fd);

int __wrap_keeper_give_listener_dup_fd(int socket, int listener_fd) {
        return getenv("LOST_KEEPER") ? -EPIPE : __real_keeper_give_listener_dup_fd(socket, listener_fd);
}

int main(int argc, char **argv) {
        struct launch_config config = {
                .kernel = &kernel_interface_native,
                .on_error = LAUNCH_FAIL,
                .wait = getenv("WAIT") != NULL,
        };

        if (argc < 3) {
                (void)fprintf(stderr, "usage: launch_config FILE COMMAND [ARG...]\n");
                return 2;
        }

        log_init();
        config.kernel_command_line = argv[1];
        config.argv = argv + 2;
        return launch_run(&config);
}
