/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/parameters.h"
#include "policy/pattern.h"
#include "policy/profile.h"

static bool matches(const struct policy_entry *entry, const struct policy_module *module) {
        const char *alias = pattern_alias(entry->word);

        if (!alias)
                return pattern_match(entry->word, module->name, strlen(module->name), true);
        for (size_t i = 0; i < module->alias_count; i++)
                if (pattern_match(alias, module->aliases[i], strlen(module->aliases[i]), true))
                        return true;
        return false;
}

static const struct policy_entry *find(const struct policy_entries *entries, const struct policy_module *module) {
        for (size_t i = 0; i < entries->count; i++)
                if (matches(&entries->items[i], module))
                        return &entries->items[i];
        return NULL;
}

__attribute__((format(printf, 4, 5))) static struct policy_verdict verdict_make(int error, enum policy_rule rule,
                                                                                struct policy_place place,
                                                                                const char *format, ...) {
        struct policy_verdict verdict = { .error = error, .rule = rule, .place = place };
        va_list arguments;

        va_start(arguments, format);
        (void)vsnprintf(verdict.reason, sizeof(verdict.reason), format, arguments);
        va_end(arguments);
        policy_make_printable(verdict.reason);
        return verdict;
}

static bool may_ask(uint64_t who, const struct policy_caller *caller) {
        return (who & POLICY_CALLER_ANY) || ((who & POLICY_CALLER_ROOT) && caller->root) ||
               ((who & POLICY_CALLER_CAPABILITY) && caller->capable);
}

static const char *missing_in_caller(uint64_t who) {
        if (who == POLICY_CALLER_ROOT)
                return "the caller is not root of its container (caller=root)";
        if (who == POLICY_CALLER_CAPABILITY)
                return "the caller has no CAP_SYS_MODULE in its user namespace (caller=capability)";
        return "the caller is not root of its container and has no CAP_SYS_MODULE in its user namespace (caller=root "
               "capability)";
}

/* Does the value, or its absence, fit? */
static bool fits(const struct policy_parameter *allowed, const struct parameter *wanted) {
        if (!wanted->value)
                return !allowed->pattern;
        return allowed->pattern && pattern_match(allowed->pattern, wanted->value, wanted->value_length, false);
}

/* `ret_near`: an entry for this parameter that another value would have fitted, or NULL. */
static bool is_parameter_allowed(const struct policy_profile *profile, const struct policy_module *module,
                                 const struct parameter *wanted, const struct policy_parameter **ret_near) {
        *ret_near = NULL;
        for (size_t i = 0; i < profile->parameter_count; i++) {
                const struct policy_parameter *allowed = &profile->parameters[i];

                if (!parameters_same_name(allowed->name, strlen(allowed->name), wanted->name, wanted->name_length) ||
                    !matches(&allowed->module, module))
                        continue;
                if (fits(allowed, wanted))
                        return true;
                *ret_near = allowed;
        }
        return false;
}

static int printed_length(size_t length) {
        return length > 60 ? 60 : (int)length;
}

static struct policy_verdict refuse_parameter(const struct policy_profile *profile, const struct policy_parameter *near,
                                              const struct parameter *wanted) {
        int name = printed_length(wanted->name_length);

        if (!near)
                return verdict_make(EPERM, POLICY_RULE_PARAMETERS, profile->place,
                                    "no parameters= of this module has the parameter %.*s", name, wanted->name);
        if (!wanted->value)
                return verdict_make(EPERM, POLICY_RULE_PARAMETERS, near->module.place,
                                    "the parameter %.*s is not allowed without a value", name, wanted->name);
        return verdict_make(EPERM, POLICY_RULE_PARAMETERS, near->module.place,
                            "the parameter %.*s is not allowed to be '%.*s'", name, wanted->name,
                            printed_length(wanted->value_length), wanted->value);
}

/* Why a module may be had. */
struct permission {
        const struct policy_entry *entry; /* NULL: it may not */
        const char *dependent;            /* NULL, or the module of the entry, which needs it */
};

static struct permission find_permission(const struct policy_profile *profile, const struct policy_request *request) {
        struct permission permission = { .entry = find(&profile->allow, &request->module) };

        for (size_t i = 0; !permission.entry && i < request->dependent_count; i++) {
                const struct policy_module *dependent = &request->dependents[i];

                if (find(&profile->deny, dependent))
                        continue;
                permission.entry = find(&profile->allow, dependent);
                permission.dependent = dependent->name;
        }
        return permission;
}

static struct policy_verdict permit(int error, enum policy_rule rule, const struct permission *permission,
                                    const char *what) {
        const struct policy_entry *entry = permission->entry;

        if (permission->dependent)
                return verdict_make(error, rule, entry->place, "%s%.55s needs it, and allow=%.120s", what,
                                    permission->dependent, entry->word);
        return verdict_make(error, rule, entry->place, "%sallow=%.150s", what, entry->word);
}

static struct policy_verdict decide_parameters(const struct policy_profile *profile,
                                               const struct policy_request *request,
                                               const struct permission *permission) {
        const char *text = request->parameters;
        size_t length = request->parameter_length;
        const struct policy_parameter *near;
        struct parameter parameter;

        /* what follows a `--` means nothing to the kernel; here it is a parameter of that name, and not allowed */
        while (length > 0 && parameters_next(&text, &length, &parameter))
                if (!is_parameter_allowed(profile, &request->module, &parameter, &near))
                        return refuse_parameter(profile, near, &parameter);
        return permit(0, POLICY_RULE_ALLOW, permission, "");
}

/* What is decided by name. Returns 0 and why it is allowed, else the verdict is complete. */
static int decide_module(const struct policy_profile *profile, const struct policy_request *request,
                         struct permission *ret_permission, struct policy_verdict *ret) {
        const struct policy_entry *entry = find(&profile->deny, &request->module);

        if (entry) {
                *ret = verdict_make(EPERM, POLICY_RULE_DENY, entry->place, "deny=%.150s", entry->word);
                return -EPERM;
        }
        *ret_permission = find_permission(profile, request);
        if (!ret_permission->entry) {
                *ret = verdict_make(EPERM, POLICY_RULE_ALLOW, profile->place, "no allow= names it");
                return -EPERM;
        }
        for (size_t i = 0; i < request->dependency_count; i++) {
                entry = find(&profile->deny, &request->dependencies[i]);
                if (!entry)
                        continue;
                *ret = verdict_make(EPERM, POLICY_RULE_DEPENDENCY, entry->place,
                                    "it needs the module %.55s, and deny=%.150s", request->dependencies[i].name,
                                    entry->word);
                return -EPERM;
        }
        return 0;
}

/* Whoever may not ask at all hears nothing else. */
struct policy_verdict policy_decide_caller(const struct policy_profile *profile, const struct policy_caller *caller,
                                           bool over_rate) {
        uint64_t who, rate;

        if (!profile)
                return verdict_make(EPERM, POLICY_RULE_PROFILE, (struct policy_place){ 0 }, "there is no such profile");
        who = profile->settings[POLICY_CALLER].value;
        rate = profile->settings[POLICY_RATE].value;
        if (!may_ask(who, caller))
                return verdict_make(EPERM, POLICY_RULE_CALLER, profile->settings[POLICY_CALLER].place, "%s",
                                    missing_in_caller(who));
        if (over_rate)
                return verdict_make(EAGAIN, POLICY_RULE_RATE, profile->settings[POLICY_RATE].place,
                                    "too many requests of this container (rate=%u/%u)", policy_rate_count(rate),
                                    policy_rate_seconds(rate));
        return verdict_make(0, POLICY_RULE_CALLER, profile->settings[POLICY_CALLER].place, "the caller may ask");
}

struct policy_verdict policy_decide(const struct policy_profile *profile, const struct policy_request *request) {
        struct policy_verdict verdict = policy_decide_caller(profile, &request->caller, request->over_rate);
        struct permission permission;

        if (verdict.error != 0)
                return verdict;
        if (request->live && profile->settings[POLICY_LIVE].value == POLICY_LIVE_TELL)
                return verdict_make(EEXIST, POLICY_RULE_LIVE, profile->settings[POLICY_LIVE].place,
                                    "it is live (live=tell)");
        if (decide_module(profile, request, &permission, &verdict) < 0)
                return verdict;
        if (request->blacklisted && policy_profile_respects_blacklist(profile))
                return verdict_make(EPERM, POLICY_RULE_BLACKLIST, profile->settings[POLICY_BLACKLIST].place,
                                    "the host's modprobe.d has it on its blacklist (blacklist=respect)");
        /* as the kernel does, which looks at no parameter of a module that is live */
        if (request->live)
                return permit(EEXIST, POLICY_RULE_LIVE, &permission, "it is live, and ");
        return decide_parameters(profile, request, &permission);
}

bool policy_wants_dependents(const struct policy_verdict *verdict) {
        return verdict->rule == POLICY_RULE_ALLOW && verdict->error == EPERM;
}

bool policy_profile_respects_blacklist(const struct policy_profile *profile) {
        return !profile || profile->settings[POLICY_BLACKLIST].value == POLICY_BLACKLIST_RESPECT;
}

bool policy_denies(const struct policy_profile *profile, const struct policy_module *module) {
        return !profile || find(&profile->deny, module);
}

const char *policy_rule_name(enum policy_rule rule) {
        static const char *const names[] = {
                [POLICY_RULE_PROFILE] = "profile",
                [POLICY_RULE_CALLER] = "caller",
                [POLICY_RULE_RATE] = "rate",
                [POLICY_RULE_DENY] = "deny",
                [POLICY_RULE_ALLOW] = "allow",
                [POLICY_RULE_DEPENDENCY] = "dependency",
                [POLICY_RULE_BLACKLIST] = "blacklist",
                [POLICY_RULE_LIVE] = "live",
                [POLICY_RULE_PARAMETERS] = "parameters",
        };

        return names[rule];
}
