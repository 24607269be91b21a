/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mediate/decider.h"

#include <errno.h>
#include <libkmod.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fdpass.h"
#include "mediate/plan.h"
#include "policy_host.h"
#include "privilege.h"
#include "util/log.h"

/* Returns 0 or negative errno: what the host has cannot be seen. */
static int ask_policy(struct kmod_ctx *kmod, const struct question *question, struct policy_host_module *host,
                      struct policy_verdict *ret) {
        struct policy_request request = {
                .module = host->module,
                .dependencies = host->dependencies,
                .dependency_count = host->dependency_count,
                .parameters = question->params,
                .parameter_length = question->params_length,
                .caller = question->caller,
                .blacklisted = host->blacklisted,
                .live = host->live || host->built_in,
        };
        int r = 0;

        *ret = policy_decide(question->profile, &request);
        if (policy_wants_dependents(ret)) {
                r = policy_host_look_at_dependents(kmod, host, policy_profile_uses_aliases(question->profile),
                                                   !policy_profile_respects_blacklist(question->profile));
                request.dependents = host->dependents;
                request.dependent_count = host->dependent_count;
                *ret = policy_decide(question->profile, &request);
        }
        return r;
}

static void take_verdict(const struct policy_verdict *verdict, struct decision *decision) {
        decision->error = verdict->error;
        decision->rule = verdict->rule;
        decision->line = verdict->place.line;
        (void)snprintf(decision->file, sizeof(decision->file), "%s", verdict->place.file ? verdict->place.file : "");
        (void)snprintf(decision->reason, sizeof(decision->reason), "%s", verdict->reason);
}

/* What no other attempt would change is no trouble of ours. */
static int refuse_plan(int r, struct decision *decision) {
        if (r != -E2BIG && r != -EPERM)
                return r;
        decision->error = EPERM;
        decision->rule = POLICY_RULE_DEPENDENCY;
        decision->line = 0;
        (void)snprintf(decision->reason, sizeof(decision->reason), "%s",
                       r == -E2BIG
                               ? "it needs too many other modules"
                               : "modprobe.d has an install command for a module that it needs (blacklist=respect)");
        return 0;
}

static int decide(struct kmod_ctx *kmod, struct kmod_module *module, const struct question *question,
                  struct decision *decision) {
        struct policy_host_module host = { 0 };
        struct policy_verdict verdict;
        int r = policy_host_look(kmod, module, policy_profile_uses_aliases(question->profile), &host);

        if (r == 0)
                r = ask_policy(kmod, question, &host, &verdict);
        if (r == 0) {
                take_verdict(&verdict, decision);
                if (verdict.error == 0 && !host.there) {
                        decision->error = ENOENT;
                        (void)snprintf(decision->reason, sizeof(decision->reason), "the host has no such module");
                } else if (verdict.error == 0) {
                        r = plan_make(kmod, module, question->profile, decision);
                        r = refuse_plan(r, decision);
                }
        }
        policy_host_deinit(&host);
        return r;
}

/* Whatever cannot be seen may be what would be denied. */
static int answer(const struct kernel_interface *kernel, const struct question *question, struct decision *decision) {
        struct kmod_ctx *kmod = kmod_new(kernel->modules_directory, NULL);
        struct kmod_module *module = NULL;
        int r = kmod ? kmod_module_new_from_name(kmod, question->module, &module) : -ENOMEM;

        if (r == 0)
                r = decide(kmod, module, question, decision);
        if (module)
                kmod_module_unref(module);
        if (kmod)
                (void)kmod_unref(kmod);
        return r;
}

_Noreturn void decider_run(int socket, const struct kernel_interface *kernel, const struct confinement *confinement,
                           const struct question *question) {
        static struct decision decision;
        int r = privilege_keep(NULL, 0, false);

        if (r == 0)
                r = confinement_enter(confinement, CONFINED_DECIDER);
        if (r == 0)
                r = answer(kernel, question, &decision);
        if (r < 0) {
                decision = (struct decision){ .error = EAGAIN };
                (void)snprintf(decision.reason, sizeof(decision.reason), "cannot look at the host's module: %s",
                               strerror(-r));
        }
        r = fdpass_send_dup_fd(socket, &decision, sizeof(decision), NULL, 0, -1, 0);
        _exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}
