/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Loads modules of the host, as modprobe(8) would. Has CAP_SYS_MODULE, and hears only what the mediator lets through:
 * names of modules, and parameters that a policy allows. Each order is a process of its own: an init may take minutes,
 * or crash.
 *
 * Where modgate mediate runs under modgate run, as its unit has it, the loads join the table of all others there.
 */

#include "kernel_interface.h"

/* The longest message to the performers. */
#define PERFORMER_MESSAGE_MAX (sizeof(struct order) + MODULE_PARAMS_MAX)

/* Serves orders until the other end of the socket is closed. Never returns. */
_Noreturn void performers_run(int socket, const struct kernel_interface *kernel);
