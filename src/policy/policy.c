/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "policy/pattern.h"
#include "policy/profile.h"

#define PROFILE_NAME_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-."

#define DEFAULT_PROFILE "default"

static void free_entries(struct policy_entries *entries) {
        for (size_t i = 0; i < entries->count; i++)
                free(entries->items[i].word);
        free(entries->items);
}

static void free_profile(struct policy_profile *profile) {
        free_entries(&profile->allow);
        free_entries(&profile->deny);
        for (size_t i = 0; i < profile->parameter_count; i++) {
                free(profile->parameters[i].module.word);
                free(profile->parameters[i].name);
                free(profile->parameters[i].pattern);
        }
        free(profile->parameters);
        free(profile->name);
        free(profile);
}

struct policy *policy_free(struct policy *policy) {
        if (!policy)
                return NULL;
        for (size_t i = 0; i < policy->profile_count; i++)
                free_profile(policy->profiles[i]);
        for (size_t i = 0; i < policy->file_count; i++)
                free(policy->files[i]);
        free(policy->profiles);
        free(policy->files);
        free(policy->annotation);
        free(policy);
        return NULL;
}

static struct policy_profile *find(const struct policy *policy, const char *name) {
        for (size_t i = 0; i < policy->profile_count; i++)
                if (strcmp(policy->profiles[i]->name, name) == 0)
                        return policy->profiles[i];
        return NULL;
}

static void set_defaults(struct policy_profile *profile) {
        profile->settings[POLICY_BLACKLIST].value = POLICY_BLACKLIST_RESPECT;
        profile->settings[POLICY_CALLER].value = POLICY_CALLER_ROOT | POLICY_CALLER_CAPABILITY;
        profile->settings[POLICY_LIVE].value = POLICY_LIVE_HIDE;
        /* a firewall asks for some forty modules when it starts */
        profile->settings[POLICY_RATE].value = policy_rate_make(100, 60);
}

struct policy_profile *policy_add_profile(struct policy *policy, const char *name, struct policy_place place) {
        struct policy_profile *profile = find(policy, name), **profiles;

        if (profile)
                return profile;
        profiles = reallocarray(policy->profiles, policy->profile_count + 1, sizeof(*profiles));
        if (!profiles)
                return NULL;
        policy->profiles = profiles;
        profile = calloc(1, sizeof(*profile));
        if (!profile)
                return NULL;
        profile->name = strdup(name);
        profile->place = place;
        set_defaults(profile);
        if (!profile->name) {
                free(profile);
                return NULL;
        }
        profiles[policy->profile_count++] = profile;
        return profile;
}

bool policy_is_profile_name(const char *name, size_t length) {
        for (size_t i = 0; i < length; i++)
                if (name[i] == '\0' || !strchr(PROFILE_NAME_LETTERS, name[i]))
                        return false;
        return length > 0 && length <= POLICY_NAME_MAX;
}

size_t policy_count(const struct policy *policy) {
        return policy->profile_count;
}

const struct policy_profile *policy_find(const struct policy *policy, const char *name) {
        return find(policy, name);
}

const char *policy_annotation(const struct policy *policy) {
        return policy ? policy->annotation : NULL;
}

const struct policy_profile *policy_choose(const struct policy *policy, const char *name, const char *annotation) {
        if (!policy)
                return NULL;
        if (!name && policy->annotation)
                name = annotation;
        /* a name that is not there is a mistake: [default] might allow more than was meant */
        return find(policy, name ? name : DEFAULT_PROFILE);
}

const char *policy_profile_name(const struct policy_profile *profile) {
        return profile->name;
}

static bool has_alias(const struct policy_entries *entries) {
        for (size_t i = 0; i < entries->count; i++)
                if (pattern_alias(entries->items[i].word))
                        return true;
        return false;
}

bool policy_profile_uses_aliases(const struct policy_profile *profile) {
        if (!profile)
                return false;
        if (has_alias(&profile->allow) || has_alias(&profile->deny))
                return true;
        for (size_t i = 0; i < profile->parameter_count; i++)
                if (pattern_alias(profile->parameters[i].module.word))
                        return true;
        return false;
}
