/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The command line of `modgate-storm synthetic`. */

#include <stdbool.h>
#include <stddef.h>

#include "setting.h"
#include "storm.h"
#include "synthetic.h"

#define SYNTHETIC_MODULES_MAX 100000U

struct synthetic_options {
        unsigned int callers;
        unsigned int bare_callers; /* 0: as many */
        unsigned int calls;        /* 0: as many as there are modules */
        unsigned int wave;         /* 0: all callers */
        unsigned int failure_ttl_s;
        unsigned int rounds;
        unsigned int modules; /* that the scripted kernel makes up */
        unsigned int load_us;
        unsigned int image_kib;
        const char *call_text, *between_text, *result_text, *wake_text, *compare_text;
        const char *params;
        const char *live; /* NULL: none */
        const char *svg;  /* NULL: none */
        bool warm, hold, scripted, json, help;

        /* made from the texts */
        bool init, remove;
        int result;
        enum floor_wake wake;
        enum setting_kind settings[SETTINGS];
        size_t setting_count;

        char **names; /* in argv: what is left of it */
        size_t name_count;
};

/* Returns 0 or, when it has said what is wrong, the exit status. */
int synthetic_parse(const struct storm_command *command, int argc, char **argv, struct synthetic_options *ret);

/* What --help says of them. */
extern const char synthetic_usage[], synthetic_details[];
