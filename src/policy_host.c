/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy_host.h"

#include <errno.h>
#include <libkmod.h>
#include <stdlib.h>
#include <string.h>

static void free_module(struct policy_module *module) {
        for (size_t i = 0; i < module->alias_count; i++)
                free((char *)module->aliases[i]);
        free((const char **)module->aliases);
        free((char *)module->name);
}

void policy_host_deinit(struct policy_host_module *module) {
        for (size_t i = 0; i < module->dependency_count; i++)
                free_module(&module->dependencies[i]);
        free(module->dependencies);
        free_module(&module->module);
        memset(module, 0, sizeof(*module));
}

static size_t list_length(const struct kmod_list *list) {
        const struct kmod_list *item;
        size_t length = 0;

        kmod_list_foreach(item, list) length++;
        return length;
}

/* Takes those of a module's modinfo section. */
static int take_aliases(const struct kmod_list *list, struct policy_module *module) {
        const char **aliases = calloc(list_length(list) + 1, sizeof(*aliases));
        const struct kmod_list *item;

        module->aliases = aliases;
        if (!aliases)
                return -ENOMEM;
        kmod_list_foreach(item, list) {
                if (strcmp(kmod_module_info_get_key(item), "alias") != 0)
                        continue;
                aliases[module->alias_count] = strdup(kmod_module_info_get_value(item));
                if (!aliases[module->alias_count])
                        return -ENOMEM;
                module->alias_count++;
        }
        return 0;
}

/* `module` stays to be freed also if this fails. */
static int look_at(struct kmod_module *kmod_module, bool with_aliases, struct policy_module *module) {
        struct kmod_list *list = NULL;
        int r;

        module->name = strdup(kmod_module_get_name(kmod_module));
        if (!module->name)
                return -ENOMEM;
        if (!with_aliases)
                return 0;
        r = kmod_module_get_info(kmod_module, &list);
        if (r >= 0)
                r = take_aliases(list, module);
        kmod_module_info_free_list(list);
        return r;
}

static int look_at_dependencies(struct kmod_module *kmod_module, bool with_aliases, struct policy_host_module *module) {
        struct kmod_list *list = kmod_module_get_dependencies(kmod_module), *item;
        int r = 0;

        module->dependencies = calloc(list_length(list) + 1, sizeof(*module->dependencies));
        if (!module->dependencies)
                r = -ENOMEM;
        kmod_list_foreach(item, list) {
                struct kmod_module *dependency;

                if (r < 0)
                        break;
                dependency = kmod_module_get_module(item);
                r = look_at(dependency, with_aliases, &module->dependencies[module->dependency_count++]);
                kmod_module_unref(dependency);
        }
        (void)kmod_module_unref_list(list);
        return r;
}

static bool is_blacklisted(struct kmod_ctx *kmod, const char *name) {
        struct kmod_config_iter *iterator = kmod_config_get_blacklists(kmod);
        bool found = false;

        while (!found && iterator && kmod_config_iter_next(iterator))
                found = strcmp(kmod_config_iter_get_key(iterator), name) == 0;
        if (iterator)
                kmod_config_iter_free_iter(iterator);
        return found;
}

static int look(struct kmod_ctx *kmod, struct kmod_module *kmod_module, bool with_aliases,
                struct policy_host_module *module) {
        int r, state = kmod_module_get_initstate(kmod_module);

        module->built_in = state == KMOD_MODULE_BUILTIN;
        module->there = module->built_in || kmod_module_get_path(kmod_module);
        module->live = state == KMOD_MODULE_LIVE;
        module->blacklisted = is_blacklisted(kmod, kmod_module_get_name(kmod_module)) ||
                              kmod_module_get_install_commands(kmod_module);
        /* what is built in need not have an index of its aliases, and loads nothing */
        r = look_at(kmod_module, with_aliases && module->there && !module->built_in, &module->module);
        return r < 0 ? r : look_at_dependencies(kmod_module, with_aliases, module);
}

int policy_host_look(struct kmod_ctx *kmod, struct kmod_module *kmod_module, bool with_aliases,
                     struct policy_host_module *ret) {
        struct policy_host_module module = { 0 };
        int r = look(kmod, kmod_module, with_aliases, &module);

        if (r < 0)
                policy_host_deinit(&module);
        else
                *ret = module;
        return r < 0 ? r : 0;
}
