/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The launcher: checks, starts the keeper, installs the filter on itself and becomes COMMAND, in its own pid.
 */

#include <stdbool.h>

#include "kernel_interface.h"

enum launch_on_error {
        LAUNCH_FAIL, /* say what is wrong and exit */
        LAUNCH_EXEC, /* say it and execute COMMAND bare: what goes on a boot path wants this */
};

/* Exit statuses of our own, as env(1) and nohup(1) have them. */
enum {
        LAUNCH_EXIT_FAILED = 125,
        LAUNCH_EXIT_NOT_EXECUTABLE = 126,
        LAUNCH_EXIT_NOT_FOUND = 127,
};

struct launch_config {
        const struct kernel_interface *kernel;
        const char *kernel_command_line; /* file; modgate=0 in it means COMMAND bare */
        char *const *argv;               /* COMMAND and its arguments, NULL-terminated */
        enum launch_on_error on_error;
        unsigned int failure_ttl_s; /* how long failures are remembered; 0: not at all */
        bool wait;                  /* stay, until the whole tree has ended; exit as COMMAND did */
        const char *report;         /* as in struct keeper_config, but the path may be relative */
        const char *trace;          /* the same */
        const char *attach;         /* as in struct keeper_config */
};

/* Returns only if COMMAND was not executed in this process, or with `wait`: the exit status. */
int launch_run(const struct launch_config *config);
