/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A policy's parts, for the files of this directory only. */

#include "policy/policy.h"

#define POLICY_RATE_COUNT_MAX 100000U
#define POLICY_RATE_SECONDS_MAX 86400U

/* A module's name, a pattern of names, or a pattern of aliases. */
struct policy_entry {
        char *word; /* as it was written */
        struct policy_place place;
};

struct policy_entries {
        struct policy_entry *items;
        size_t count;
};

/* One parameter that a module may be given. */
struct policy_parameter {
        struct policy_entry module;
        char *name;
        char *pattern; /* of its value; NULL: it has none */
};

enum policy_setting {
        POLICY_BLACKLIST, /* enum policy_blacklist */
        POLICY_CALLER,    /* enum policy_caller_bits */
        POLICY_LIVE,      /* enum policy_live */
        POLICY_RATE,      /* policy_rate_make() */
        POLICY_SETTINGS,
};

enum policy_blacklist {
        POLICY_BLACKLIST_RESPECT,
        POLICY_BLACKLIST_IGNORE,
};

enum policy_live {
        POLICY_LIVE_HIDE,
        POLICY_LIVE_TELL,
};

enum policy_caller_bits {
        POLICY_CALLER_ROOT = 1,
        POLICY_CALLER_CAPABILITY = 2,
        POLICY_CALLER_ANY = 4,
};

struct policy_profile {
        char *name;
        struct policy_place place; /* of its first section */
        struct policy_entries allow;
        struct policy_entries deny;
        struct policy_parameter *parameters;
        size_t parameter_count;
        struct {
                uint64_t value;
                struct policy_place place; /* line 0: nowhere, this is the default */
        } settings[POLICY_SETTINGS];
};

struct policy {
        char **files; /* their names, which places point to */
        size_t file_count;
        struct policy_profile **profiles;
        size_t profile_count;
        char *annotation;
        struct policy_place annotation_place;
};

/* A rate as a setting's value; 0 is none: unlimited. */
static inline uint64_t policy_rate_make(uint32_t count, uint32_t seconds) {
        return (uint64_t)count << 32 | seconds;
}

static inline uint32_t policy_rate_count(uint64_t rate) {
        return (uint32_t)(rate >> 32);
}

static inline uint32_t policy_rate_seconds(uint64_t rate) {
        return (uint32_t)rate;
}

/* Adds a profile with all defaults, or returns the one that there is. NULL: no memory. */
struct policy_profile *policy_add_profile(struct policy *policy, const char *name, struct policy_place place);

/* Files may have anything in them, and so may parameters; messages go to terminals and logs. */
static inline void policy_make_printable(char *text) {
        for (; *text; text++)
                if (*text < ' ' || *text > '~')
                        *text = '?';
}
