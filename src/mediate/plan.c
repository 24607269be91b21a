/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mediate/plan.h"

#include <errno.h>
#include <libkmod.h>
#include <stdbool.h>
#include <string.h>

#include "policy_host.h"

#define DEPTH_MAX 32U

struct planner {
        struct kmod_ctx *kmod;
        const struct policy_profile *profile;
        struct decision *decision;
        const char *path[DEPTH_MAX]; /* the modules that led here */
        unsigned int depth;
};

static int visit(struct planner *planner, struct kmod_module *module, bool is_soft);

static struct step_module *find(const struct planner *planner, const char *name) {
        struct decision *decision = planner->decision;

        for (uint32_t i = 0; i < decision->step_count; i++)
                if (strcmp(decision->steps[i].name, name) == 0)
                        return &decision->steps[i];
        return NULL;
}

/* Soft dependencies may go round in circles. */
static bool is_on_path(const struct planner *planner, const char *name) {
        for (unsigned int i = 0; i < planner->depth; i++)
                if (strcmp(planner->path[i], name) == 0)
                        return true;
        return false;
}

static int add(struct planner *planner, const char *name, bool is_soft) {
        struct decision *decision = planner->decision;
        struct step_module *step = &decision->steps[decision->step_count];
        size_t length = strlen(name);

        if (decision->step_count == STEPS_MAX || length >= sizeof(step->name))
                return -E2BIG;
        memset(step, 0, sizeof(*step));
        memcpy(step->name, name, length);
        step->is_soft = is_soft;
        decision->step_count++;
        return 0;
}

/* A soft dependency that cannot be looked at might be a denied one. */
static bool is_acceptable(const struct planner *planner, struct kmod_module *module) {
        struct policy_host_module host = { 0 };
        bool good = policy_host_look(planner->kmod, module, policy_profile_uses_aliases(planner->profile), &host) == 0;

        good = good && host.there && !policy_denies(planner->profile, &host.module);
        for (size_t i = 0; good && i < host.dependency_count; i++)
                good = !policy_denies(planner->profile, &host.dependencies[i]);
        policy_host_deinit(&host);
        return good;
}

/* With what it needs it may be more than there is room for, or something that is not to be had. */
static int visit_or_leave_out(struct planner *planner, struct kmod_module *module) {
        uint32_t count = planner->decision->step_count;
        int r = visit(planner, module, true);

        if (r != -E2BIG && r != -EPERM)
                return r;
        planner->decision->step_count = count;
        return 0;
}

static int visit_soft(struct planner *planner, const struct kmod_list *list) {
        const struct kmod_list *item;
        int r = 0;

        kmod_list_foreach(item, list) {
                struct kmod_module *module = kmod_module_get_module(item);

                if (r == 0 && is_acceptable(planner, module))
                        r = visit_or_leave_out(planner, module);
                kmod_module_unref(module);
        }
        return r;
}

static int visit_dependencies(struct planner *planner, struct kmod_module *module, bool is_soft) {
        struct kmod_list *list = kmod_module_get_dependencies(module), *item;
        int r = 0;

        kmod_list_foreach(item, list) {
                struct kmod_module *dependency = kmod_module_get_module(item);

                if (r == 0)
                        r = visit(planner, dependency, is_soft);
                kmod_module_unref(dependency);
        }
        (void)kmod_module_unref_list(list);
        return r;
}

static int visit_all_of(struct planner *planner, struct kmod_module *module, bool is_soft) {
        struct kmod_list *before = NULL, *after = NULL;
        const char *name = kmod_module_get_name(module);
        int r;

        (void)kmod_module_get_softdeps(module, &before, &after);
        r = visit_soft(planner, before);
        if (r == 0)
                r = visit_dependencies(planner, module, is_soft);
        if (r == 0)
                r = add(planner, name, is_soft);
        if (r == 0)
                r = visit_soft(planner, after);
        (void)kmod_module_unref_list(before);
        (void)kmod_module_unref_list(after);
        return r;
}

static int visit(struct planner *planner, struct kmod_module *module, bool is_soft) {
        const char *name = kmod_module_get_name(module);
        struct step_module *known = find(planner, name);
        int r;

        if (known) {
                known->is_soft = known->is_soft && is_soft;
                return 0;
        }
        if (is_on_path(planner, name) || kmod_module_get_initstate(module) == KMOD_MODULE_BUILTIN)
                return 0;
        if (planner->depth == DEPTH_MAX)
                return -E2BIG;
        /* modprobe would run the command, and that is mostly one that fails */
        if (planner->depth > 0 && kmod_module_get_install_commands(module) &&
            policy_profile_respects_blacklist(planner->profile))
                return -EPERM;
        planner->path[planner->depth++] = name;
        r = visit_all_of(planner, module, is_soft);
        planner->depth--;
        return r;
}

int plan_make(struct kmod_ctx *kmod, struct kmod_module *module, const struct policy_profile *profile,
              struct decision *decision) {
        struct planner planner = { .kmod = kmod, .profile = profile, .decision = decision };
        const char *name = kmod_module_get_name(module);
        int r;

        decision->step_count = 0;
        r = visit(&planner, module, false);
        if (r < 0)
                return r;
        for (uint32_t i = 0; i < decision->step_count; i++)
                if (strcmp(decision->steps[i].name, name) == 0)
                        decision->wanted = i;
        return decision->step_count > 0 ? 0 : -ENOENT;
}
