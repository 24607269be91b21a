/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who in a container asks, and for what: from /proc alone, without ever waiting for the caller, as caller.h has it.
 * Unlike the callers there, these may be anybody.
 */

#include <stdint.h>
#include <sys/types.h>

#include "caller.h"
#include "policy/policy.h"

struct asker {
        struct policy_caller caller;
        uid_t uid; /* its effective one, in our user namespace: for a log */
};

/*
 * Which namespace (`user`, `pid`) a process is in, as what it is compared by: device and inode. Returns 0 or negative
 * errno.
 */
int asker_namespace(int proc, pid_t pid, const char *kind, uint64_t ret[static 2]);

/*
 * The same of its user namespace, if root of ours has made that, or it is ours: no other one is given to a container by
 * its runtime. -EPERM: it is somebody else's, or one that the process has made by itself, as far as its pid namespace
 * tells.
 */
int asker_namespace_of_root(int proc, pid_t pid, uint64_t ret[static 2]);

/*
 * Is the container's process `pid`, as the runtime says it, a process under a filter? If not it is another one's
 * number.
 */
bool asker_is_filtered(int proc, pid_t pid);

/*
 * Looks at a caller. In another user namespace than the container's own (`user_namespace`; zeros: not known) it is
 * neither root nor capable, whatever it is there: anybody may become root of a user namespace of its own. Returns 0 or
 * negative errno: -ESRCH, it has gone.
 */
int asker_look(int proc, pid_t tid, const uint64_t user_namespace[static 2], struct asker *ret);

/* Can a module be called that? Letters, digits, `_` and `-`; stricter than module_name_is_plain(). Pure. */
bool asker_is_name(const char *name, size_t length);
