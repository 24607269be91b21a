/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What parse.c, which takes lines apart, and keys.c, which knows what they mean, have in common. */

#include "policy/profile.h"

#define BLANKS " \t"

struct parser {
        struct policy *policy;
        const char *at; /* what is left of the file */
        size_t left;
        struct policy_place place;      /* of the line that inih has now */
        struct policy_profile *profile; /* NULL: above the first section */
        bool in_bad_section;            /* nobody knows whose lines these are */
        bool expects_pair;              /* inih has a pair now, whose value has so many bytes */
        size_t value_length;
        int error; /* -EINVAL, -ENOMEM */
        policy_report report;
        void *context;
};

/* Reports an error in the line that inih has now: there will be no policy. */
void parser_fail(struct parser *parser, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Notes that there will be no policy for lack of memory. Returns NULL. */
void *parser_out_of_memory(struct parser *parser);

/* What a `KEY=VALUE` line says, of the profile that it stands in. */
void parser_set(struct parser *parser, const char *name, const char *value);
