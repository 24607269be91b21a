/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Decides about one request: asks libkmod what the host has, and the policy what it says. A process of its own, since
 * it may wait for a disk, and takes a container's parameters apart. No capability.
 */

#include "confinement.h"
#include "kernel_interface.h"
#include "policy/policy.h"

/* What is asked for. Checked already: the caller's rate. */
struct question {
        const struct policy_profile *profile; /* NULL: there is none */
        const char *module;                   /* its name */
        const char *params;
        size_t params_length;
        struct policy_caller caller;
};

/* Gives up all privileges, writes a decision to the socket, and ends. Never returns. */
_Noreturn void decider_run(int socket, const struct kernel_interface *kernel, const struct confinement *confinement,
                           const struct question *question);
