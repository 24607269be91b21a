/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Mediated module loading: calls of containers, which are not trusted, are answered by what a policy allows, and the
 * host's own modules are loaded for them.
 *
 * A process of its own, and no part of the daemon that serves udevd: whatever containers send, nobody else waits for
 * it. Its loads are those of any other program on the host: under modgate run --attach they are the daemon's.
 *
 *   mediator    receives, decides who may ask at all, answers. CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, never
 * CAP_SYS_MODULE ├─ performers    one process for each order, forked by one that only does that. CAP_SYS_MODULE ├─
 * inspector     one for each request: reads the caller's memory. No capability └─ decider       one for each request:
 * policy and libkmod. No capability
 */

#include "kernel_interface.h"

#define MEDIATE_OCI_SOCKET "/run/modgate/oci.sock"
#define MEDIATE_LXC_SOCKET "/run/modgate/lxc.sock"

struct mediate_config {
        const struct kernel_interface *kernel;
        const char *policy_directory;
        const char *oci_socket; /* where to listen, if systemd hands no such socket over; NULL: not at all */
        const char *lxc_socket; /* the same, for liblxc */
};

/*
 * Serves until SIGTERM. Takes the sockets and stores that systemd hands over (FDSTORE). Returns 0 or negative errno
 * after saying what is wrong.
 */
int mediate_run(const struct mediate_config *config);
