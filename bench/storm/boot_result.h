/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What boots of several machines (cases) in several rounds came to, and the table, the JSON and the picture of it. Pure
 * but for the files that it is written to.
 */

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

#include "spread.h"

enum {
        BOOT_CASES_MAX = 48,
        BOOT_ROUNDS_MAX = 100,
        BOOT_MEASURES = 8,
};

struct boot_case {
        const char *release;
        unsigned int cpus;
        struct json_object *boots; /* array of what the script said of each round that got through */
        unsigned int failed;       /* rounds that did not */
};

struct boot_result {
        struct boot_case cases[BOOT_CASES_MAX];
        unsigned int n_cases;
        unsigned int rounds; /* that were asked for */
        bool interrupted;
};

/* There must be room for it. The name of the release stays the caller's. */
void boot_result_add_case(struct boot_result *result, const char *release, unsigned int cpus);

/* One round that got through; takes `boot` over. */
void boot_case_add_consume(struct boot_case *which, struct json_object *boot);

size_t boot_case_rounds(const struct boot_case *which);

/* Texts for people: what did not get through, and what did not hold in a boot that did. The caller puts the array. */
struct json_object *boot_result_problems(const struct boot_result *result);

/* Whether rounds that were asked for are missing. */
bool boot_result_is_partial(const struct boot_result *result);

/* modgate.storm.boot/1 (bench/README.md). The caller puts it. */
struct json_object *boot_result_json(const struct boot_result *result);

void boot_result_print(const struct boot_result *result, FILE *file);

/* An SVG. Returns 0 or negative errno. */
int boot_result_draw(const struct boot_result *result, FILE *file);

/* `Debian 12, 16 CPUs`, as long as it fits. */
void boot_case_name(const struct boot_case *which, char *text, size_t size);

/* Puts all results. */
void boot_result_deinit(struct boot_result *result);

/* What is measured: the same in the table and in the picture. */

enum boot_setting {
        BOOT_BARE,
        BOOT_MODGATE,
        BOOT_RATIO, /* modgate to bare, in the same round */
        BOOT_COLUMNS,
};

struct boot_measure {
        const char *key;     /* in our JSON */
        const char *pointer; /* in the script's, below `bare` and `modgate`: a JSON pointer */
        const char *title;
        const char *unit; /* of what people see */
        double scale;     /* from the unit in both JSONs to that */
        int decimals;
};

extern const struct boot_measure boot_measures[BOOT_MEASURES];

/* Of the rounds that have the measure: maybe none. */
struct spread boot_case_spread(const struct boot_case *which, const struct boot_measure *measure,
                               enum boot_setting setting);
