/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy_host.h"

#include <errno.h>
#include <libkmod.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module/identity.h"

static void free_module(struct policy_module *module) {
        for (size_t i = 0; i < module->alias_count; i++)
                free((char *)module->aliases[i]);
        free((const char **)module->aliases);
        free((char *)module->name);
}

void policy_host_deinit(struct policy_host_module *module) {
        for (size_t i = 0; i < module->dependency_count; i++)
                free_module(&module->dependencies[i]);
        for (size_t i = 0; i < module->dependent_count; i++)
                free_module(&module->dependents[i]);
        free(module->dependencies);
        free(module->dependents);
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

static bool is_blacklisted(struct kmod_ctx *kmod, struct kmod_module *kmod_module) {
        const char *name = kmod_module_get_name(kmod_module);
        struct kmod_config_iter *iterator = kmod_config_get_blacklists(kmod);
        bool found = false;

        while (!found && iterator && kmod_config_iter_next(iterator))
                found = strcmp(kmod_config_iter_get_key(iterator), name) == 0;
        if (iterator)
                kmod_config_iter_free_iter(iterator);
        return found || kmod_module_get_install_commands(kmod_module);
}

static int look(struct kmod_ctx *kmod, struct kmod_module *kmod_module, bool with_aliases,
                struct policy_host_module *module) {
        int r, state = kmod_module_get_initstate(kmod_module);

        module->built_in = state == KMOD_MODULE_BUILTIN;
        module->there = module->built_in || kmod_module_get_path(kmod_module);
        module->live = state == KMOD_MODULE_LIVE;
        module->blacklisted = is_blacklisted(kmod, kmod_module);
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

/* A line of modules.dep: a file, `:`, and the files that it needs, all of them. Is `name` one of these? */
static bool line_needs(char *line, const char *name, char dependent[static MODULE_NAME_SIZE]) {
        char *colon = strchr(line, ':'), *state, needed[MODULE_NAME_SIZE];

        if (!colon)
                return false;
        *colon = '\0';
        if (!module_name_from_path(line, dependent))
                return false;
        for (char *word = strtok_r(colon + 1, " \n", &state); word; word = strtok_r(NULL, " \n", &state))
                if (module_name_from_path(word, needed) && strcmp(needed, name) == 0)
                        return true;
        return false;
}

static int add_dependent(struct kmod_module *kmod_module, bool with_aliases, struct policy_host_module *module) {
        struct policy_module *dependents =
                reallocarray(module->dependents, module->dependent_count + 1, sizeof(*dependents));

        if (!dependents)
                return -ENOMEM;
        module->dependents = dependents;
        dependents[module->dependent_count] = (struct policy_module){ 0 };
        return look_at(kmod_module, with_aliases, &dependents[module->dependent_count++]);
}

static int look_at_dependent(struct kmod_ctx *kmod, const char *name, bool with_aliases, bool with_blacklisted,
                             struct policy_host_module *module) {
        struct kmod_module *kmod_module;
        int r = kmod_module_new_from_name(kmod, name, &kmod_module);

        if (r < 0)
                return r;
        if (with_blacklisted || !is_blacklisted(kmod, kmod_module))
                r = add_dependent(kmod_module, with_aliases, module);
        kmod_module_unref(kmod_module);
        return r;
}

int policy_host_look_at_dependents(struct kmod_ctx *kmod, struct policy_host_module *module, bool with_aliases,
                                   bool with_blacklisted) {
        char *path, *line = NULL, dependent[MODULE_NAME_SIZE];
        size_t size = 0;
        FILE *file;
        int r = 0;

        if (asprintf(&path, "%s/modules.dep", kmod_get_dirname(kmod)) < 0)
                return -ENOMEM;
        file = fopen(path, "re");
        free(path);
        if (!file)
                return errno == ENOENT ? 0 : -errno;
        while (r >= 0 && getline(&line, &size, file) >= 0)
                if (line_needs(line, module->module.name, dependent))
                        r = look_at_dependent(kmod, dependent, with_aliases, with_blacklisted, module);
        if (r >= 0 && ferror(file))
                r = -EIO;
        free(line);
        (void)fclose(file);
        return r < 0 ? r : 0;
}
