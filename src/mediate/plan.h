/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which modules of the host are loaded for one of them, and in which order. Asks libkmod. */

#include "modgate/mediation.h"
#include "policy/policy.h"

struct kmod_ctx;
struct kmod_module;

/*
 * Fills the decision's steps: the module's soft dependencies that come before it, what it needs, itself, and its soft
 * dependencies that come after it; the same of each of these. Soft dependencies that the profile denies, or that need
 * what it denies, are left out, and so is what is built in. Returns 0 or negative errno: -E2BIG (more than STEPS_MAX),
 * -EPERM (something that it needs has an install command in modprobe.d, and the profile respects that).
 */
int plan_make(struct kmod_ctx *kmod, struct kmod_module *module, const struct policy_profile *profile,
              struct decision *decision);
