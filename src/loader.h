/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The loader: performs one load at a time of what it is handed. CAP_SYS_MODULE and nothing else. It reads no foreign
 * byte but the parameters, which it passes on as they are, and parses nothing.
 */

#include "confinement.h"
#include "kernel_interface.h"

/* Gives up all privileges but that one, and serves jobs until the other end is closed. Never returns. */
_Noreturn void loader_run(int socket, const struct kernel_interface *kernel, const struct confinement *confinement);
