/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* All rounds of a synthetic storm, in all settings, and how they are shown. */

#include <stdio.h>

#include "spread.h"
#include "synthetic.h"

struct storm_series {
        const struct storm_plan *plan;
        enum setting_kind settings[SETTINGS]; /* the first one is what the others are compared with */
        size_t setting_count;
        unsigned int rounds_wanted;
        unsigned int rounds;          /* that are complete */
        bool partial;                 /* interrupted */
        struct storm_result *results; /* of the first round in all settings, then of the second */
};

/* What is measured, in the order in which it is shown. */
enum storm_measure {
        MEASURE_LATENCY_MEDIAN,
        MEASURE_LATENCY_P90,
        MEASURE_LATENCY_P99,
        MEASURE_LATENCY_MAX,
        MEASURE_WALL,
        MEASURE_KERNEL_CALLS,
        MEASURE_KERNEL_BYTES,
        MEASURE_VMALLOC_PEAK,
        MEASURE_MEMORY_PEAK,
        STORM_MEASURES,
};

/* The result of one round in the setting of that number. */
const struct storm_result *storm_series_result(const struct storm_series *series, unsigned int round, size_t setting);

/* A measure of one result, in the unit in which it is stored. */
double storm_measure_of(const struct storm_result *result, enum storm_measure measure);

/* Of all rounds in a setting. */
struct spread storm_series_spread(const struct storm_series *series, size_t setting, enum storm_measure measure);

/* Of each round's ratio to the first setting; of the rounds where that one is not 0. */
struct spread storm_series_ratio(const struct storm_series *series, size_t setting, enum storm_measure measure);

/* Of what each round's median latency is longer than that of the first setting, in nanoseconds. */
struct spread storm_series_added(const struct storm_series *series, size_t setting);

/* They need at least one round, but for the JSON. */
void storm_series_print_table(const struct storm_series *series);
void storm_series_print_json(const struct storm_series *series);

/* Returns 0 or negative errno. */
int storm_series_draw(const struct storm_series *series, FILE *file);
