/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "synthetic_series.h"

#include <stdlib.h>

const struct storm_result *storm_series_result(const struct storm_series *series, unsigned int round, size_t setting) {
        return &series->results[round * series->setting_count + setting];
}

double storm_measure_of(const struct storm_result *result, enum storm_measure measure) {
        const uint64_t values[STORM_MEASURES] = {
                [MEASURE_LATENCY_MEDIAN] = result->latency_ns.median,
                [MEASURE_LATENCY_P90] = result->latency_ns.p90,
                [MEASURE_LATENCY_P99] = result->latency_ns.p99,
                [MEASURE_LATENCY_MAX] = result->latency_ns.max,
                [MEASURE_WALL] = result->wall_ns,
                [MEASURE_KERNEL_CALLS] = result->kernel_calls,
                [MEASURE_KERNEL_BYTES] = result->kernel_bytes,
                [MEASURE_VMALLOC_PEAK] = result->vmalloc_peak,
                [MEASURE_MEMORY_PEAK] = result->memory_peak,
        };

        return (double)values[measure];
}

/* The spread of what `of` makes of each round; it returns false for a round that has nothing to say. */
static struct spread spread_over(const struct storm_series *series, size_t setting, enum storm_measure measure,
                                 bool (*of)(double value, double first, double *ret)) {
        double *values = calloc(series->rounds > 0 ? series->rounds : 1, sizeof(*values));
        struct spread spread;
        size_t count = 0;

        if (!values)
                return (struct spread){ 0 };
        for (unsigned int round = 0; round < series->rounds; round++) {
                double value = storm_measure_of(storm_series_result(series, round, setting), measure);
                double first = storm_measure_of(storm_series_result(series, round, 0), measure);

                if (of(value, first, &values[count]))
                        count++;
        }
        spread = spread_of(values, count);
        free(values);
        return spread;
}

static bool itself(double value, double first, double *ret) {
        (void)first;
        *ret = value;
        return true;
}

static bool ratio(double value, double first, double *ret) {
        *ret = first > 0 ? value / first : 0;
        return first > 0;
}

static bool difference(double value, double first, double *ret) {
        *ret = value - first;
        return true;
}

struct spread storm_series_spread(const struct storm_series *series, size_t setting, enum storm_measure measure) {
        return spread_over(series, setting, measure, itself);
}

struct spread storm_series_ratio(const struct storm_series *series, size_t setting, enum storm_measure measure) {
        return spread_over(series, setting, measure, ratio);
}

struct spread storm_series_added(const struct storm_series *series, size_t setting) {
        return spread_over(series, setting, MEASURE_LATENCY_MEDIAN, difference);
}
