/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Pure: which module loads of a container are performed for it. Text of policy files in, verdicts out; the language is
 * that of modgate-policy(5). Nothing is allowed that is not named, deny goes before allow, and of files with an error
 * there is no policy at all.
 *
 * A policy does not change once it is made. What a verdict or a profile points to lives as long as its policy: across a
 * reload, keep the profile's name, not the profile.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest name of a profile, without its NUL: inih would cut longer ones. */
#define POLICY_NAME_MAX 48

/* Longest line that is not a comment, without its end: that of inih's buffer, unless it was built for other ones. */
#define POLICY_LINE_MAX 196

#define POLICY_REASON_SIZE 256

struct policy;
struct policy_profile;

struct policy_file {
        const char *name; /* for messages; copied */
        const char *text; /* need not be terminated, and may be freed afterwards */
        size_t length;
};

/* Where something stands. Of what is said nowhere: file NULL, line 0. */
struct policy_place {
        const char *file;
        unsigned int line; /* from 1 */
};

/* Hears of an error: `reason` is one line of printable text, without file and line. */
typedef void (*policy_report)(const struct policy_place *place, const char *reason, void *context);

/*
 * Makes a policy of files, all at once: sections of the same name are one profile. The order of the files means nothing
 * but which one an error is found in. Every error is reported (`report` may be NULL). Returns 0 and a policy, to be
 * freed with policy_free(); or -EINVAL (errors were reported), -ENOMEM.
 */
int policy_parse(const struct policy_file *files, size_t count, policy_report report, void *context,
                 struct policy **ret);

/* NULL is none. Returns NULL. */
struct policy *policy_free(struct policy *policy);

static inline void policy_freep(struct policy **policy) {
        (void)policy_free(*policy);
}

#define _cleanup_policy_ __attribute__((cleanup(policy_freep)))

/* May a profile be called that? Letters, digits, `_`, `-` and `.`, of ASCII; it is good for a log as it is. */
bool policy_is_profile_name(const char *name, size_t length);

/* How many profiles there are. */
size_t policy_count(const struct policy *policy);

/* The profile of this name, or NULL. */
const struct policy_profile *policy_find(const struct policy *policy, const char *name);

/* The key of the annotation that may name a container's profile, or NULL: none may. `policy` may be NULL. */
const char *policy_annotation(const struct policy *policy);

/*
 * The profile of a container, by what names it: `name` is of the seccomp profile's listenerMetadata, and goes first;
 * `annotation` is the value of policy_annotation()'s key; NULL: there is none. Without both it is [default]. Returns
 * NULL if there is no such profile, also if `policy` is NULL: policy_decide() then refuses everything.
 */
const struct policy_profile *policy_choose(const struct policy *policy, const char *name, const char *annotation);

const char *policy_profile_name(const struct policy_profile *profile);

/* Does it say anything in terms of aliases? If not, nobody needs to look for those of a module. NULL: no. */
bool policy_profile_uses_aliases(const struct policy_profile *profile);

/* A module of the host. If its aliases cannot be had, that is no reason to leave them out: a deny may be among them. */
struct policy_module {
        const char *name;           /* without a path and `.ko`; `-` and `_` are alike */
        const char *const *aliases; /* of the module itself, not those that it is found by in modprobe.d */
        size_t alias_count;
};

/* Who asks, as seen in the user namespace of the caller. */
struct policy_caller {
        bool root;    /* its user id is that namespace's 0 */
        bool capable; /* CAP_SYS_MODULE is in its effective set */
};

struct policy_request {
        struct policy_module module;
        const struct policy_module *dependencies; /* all that would be loaded with it; soft ones: policy_denies() */
        size_t dependency_count;
        const struct policy_module *dependents; /* that would load it: see policy_wants_dependents() */
        size_t dependent_count;
        const char *parameters;  /* need not be terminated */
        size_t parameter_length; /* bytes */
        struct policy_caller caller;
        bool over_rate;   /* policy_limiter_take() has refused it */
        bool blacklisted; /* in modprobe.d, or on the kernel command line; an install command counts as that */
        bool live;        /* or built in */
};

/* What decided. */
enum policy_rule {
        POLICY_RULE_PROFILE, /* there is no such profile */
        POLICY_RULE_CALLER,
        POLICY_RULE_RATE,
        POLICY_RULE_DENY,
        POLICY_RULE_ALLOW, /* an allow matches; or none does */
        POLICY_RULE_DEPENDENCY,
        POLICY_RULE_BLACKLIST,
        POLICY_RULE_LIVE,
        POLICY_RULE_PARAMETERS,
};

struct policy_verdict {
        int error; /* 0: load it. Else the errno of the answer: EPERM, EEXIST (live), EAGAIN (too many requests) */
        enum policy_rule rule;
        struct policy_place place;       /* of what decided; of a profile, if something is missing in it */
        char reason[POLICY_REASON_SIZE]; /* one line of printable ASCII, without the place */
};

/*
 * What a request of a container with this profile gets. `profile` NULL: it has none, and gets nothing. In this order:
 * caller, rate, deny, allow, dependencies, blacklist, live, parameters; with live=tell, live comes before deny.
 *
 * It says nothing of whether there is such a module: whoever asks for one that does not exist hears ENOENT from the
 * caller of this function if the verdict is to load it, and EPERM, as for any other, if not.
 */
struct policy_verdict policy_decide(const struct policy_profile *profile, const struct policy_request *request);

/*
 * The part of it that needs no look at the module: profile, caller, rate. `error` 0: it may be asked for. Who is
 * refused here is not worked for.
 */
struct policy_verdict policy_decide_caller(const struct policy_profile *profile, const struct policy_caller *caller,
                                           bool over_rate);

/*
 * Could this verdict be another one with the request's dependents known? They cost more to find than all else, and only
 * matter if nothing else decides: who may have a module may have all that it needs, and a container's own modprobe asks
 * for these first, one by one. Dependents are the host's modules that have it among their dependencies; those that are
 * blacklisted are left out, if that is respected.
 */
bool policy_wants_dependents(const struct policy_verdict *verdict);

/* Does the profile respect the blacklist? NULL: yes. */
bool policy_profile_respects_blacklist(const struct policy_profile *profile);

/*
 * Is this module denied explicitly? For soft dependencies: those that are denied are left out, and the module is loaded
 * without them. NULL denies all.
 */
bool policy_denies(const struct policy_profile *profile, const struct policy_module *module);

/* The rule's word, for structured logs. */
const char *policy_rule_name(enum policy_rule rule);

/* The requests of one container; zeros are a new one. Belongs to the container, not to the policy: it survives a
 * reload.
 */
struct policy_limiter {
        uint64_t spent; /* what the requests of late have cost, see limiter.c */
        uint64_t at_ns; /* when that was true */
};

/*
 * Counts a request at `now_ns` (any clock that does not go back). Returns false if that is one too many; it is then not
 * counted. `profile` NULL: always true, since nothing is done for it.
 */
bool policy_limiter_take(struct policy_limiter *limiter, const struct policy_profile *profile, uint64_t now_ns);
