/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a policy goes by, of a module of the host: asked of libkmod, whose context has the host's modprobe.d. Reads
 * files of the host, also compressed ones (for aliases); nothing of a caller.
 */

#include "policy/policy.h"

struct kmod_ctx;
struct kmod_module;

struct policy_host_module {
        struct policy_module module;
        struct policy_module *dependencies; /* hard ones, those of theirs included, in the order of their loads */
        size_t dependency_count;
        struct policy_module *dependents; /* once policy_host_look_at_dependents() has looked */
        size_t dependent_count;
        bool there;       /* it has a file, or is built in; if not, all else is empty but its name */
        bool built_in;    /* there is nothing to load */
        bool live;        /* now */
        bool blacklisted; /* or it has an install command, which is how others say that it is not to be loaded */
};

/*
 * Looks at a module. `with_aliases`: if not, all lists of aliases are empty (policy_profile_uses_aliases()). Returns 0,
 * and what is to be freed with policy_host_deinit(); or negative errno, if a file of the host cannot be read: then
 * nobody knows what would be denied.
 */
int policy_host_look(struct kmod_ctx *kmod, struct kmod_module *module, bool with_aliases,
                     struct policy_host_module *ret);

/*
 * Looks for the modules that need this one, which takes longer than all else (policy_wants_dependents()): it reads all
 * of modules.dep, and the files of those that it finds, if `with_aliases`. `with_blacklisted`: also those that are
 * blacklisted. Returns 0 or negative errno.
 */
int policy_host_look_at_dependents(struct kmod_ctx *kmod, struct policy_host_module *module, bool with_aliases,
                                   bool with_blacklisted);

/* Frees all it has; also of zeros. */
void policy_host_deinit(struct policy_host_module *module);
