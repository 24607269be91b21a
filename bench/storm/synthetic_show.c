/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table for people, and the picture. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

#include "picture.h"
#include "synthetic_series.h"

#define SCRIPTED_WARNING "Scripted loader: no kernel loaded anything; these are not the figures of a real one"

static const struct {
        const char *title;
        const char *unit;
        double divisor;
        bool of_memory; /* not measured with a scripted loader */
        bool drawn;
} measures[STORM_MEASURES] = {
        [MEASURE_LATENCY_MEDIAN] = { "call, median", "us", 1000, false, true },
        [MEASURE_LATENCY_P90] = { "call, 90 of 100 within", "us", 1000, false, false },
        [MEASURE_LATENCY_P99] = { "call, 99 of 100 within", "us", 1000, false, false },
        [MEASURE_LATENCY_MAX] = { "call, longest", "us", 1000, false, false },
        [MEASURE_WALL] = { "until all are answered", "ms", 1e6, false, true },
        [MEASURE_KERNEL_CALLS] = { "calls that reached the kernel", "", 1, false, true },
        [MEASURE_KERNEL_BYTES] = { "bytes handed to the kernel", "MiB", 1048576, false, true },
        [MEASURE_VMALLOC_PEAK] = { "VmallocUsed, peak above start", "MiB", 1048576, true, true },
        [MEASURE_MEMORY_PEAK] = { "MemAvailable, deepest fall", "MiB", 1048576, true, false },
};

static const char *plural(size_t count) {
        return count == 1 ? "" : "s";
}

static void describe(const struct storm_plan *plan, char *text, size_t size) {
        int length =
                snprintf(text, size, "%u caller%s, %u call%s of %s each, %zu module%s", plan->callers,
                         plural(plan->callers), plan->calls, plural(plan->calls),
                         plan->init ? "init_module" : "finit_module", plan->target_count, plural(plan->target_count));

        if (plan->wave < plan->callers && length > 0 && (size_t)length < size)
                length += snprintf(text + length, size - (size_t)length, ", in waves of %u", plan->wave);
        if (plan->bare_callers > 0 && length > 0 && (size_t)length < size)
                (void)snprintf(text + length, size - (size_t)length, ", %u bare", plan->bare_callers);
}

/* Enough digits to tell values apart, and no more. */
static int digits(double value) {
        double size = value < 0 ? -value : value;

        if (size < 1e9 && size == (double)(int64_t)size)
                return 0;
        return size >= 1000 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 4;
}

static void format_spread(const struct spread *spread, double divisor, const char *unit, char *text, size_t size) {
        double min = spread->min / divisor, median = spread->median / divisor, max = spread->max / divisor;
        const char *space = unit[0] != '\0' ? " " : "";

        if (spread->count == 0)
                (void)snprintf(text, size, "-");
        else if (spread->min >= spread->max)
                (void)snprintf(text, size, "%.*f%s%s", digits(median), median, space, unit);
        else
                (void)snprintf(text, size, "%.*f%s%s (%.*f - %.*f)", digits(median), median, space, unit, digits(min),
                               min, digits(max), max);
}

static void print_row(const struct storm_series *series, enum storm_measure measure) {
        char text[96];

        (void)printf("%-30s", measures[measure].title);
        for (size_t i = 0; i < series->setting_count; i++) {
                struct spread spread = storm_series_spread(series, i, measure);

                format_spread(&spread, measures[measure].divisor, measures[measure].unit, text, sizeof(text));
                (void)printf("  %-30s", text);
        }
        for (size_t i = 1; i < series->setting_count; i++) {
                struct spread spread = storm_series_ratio(series, i, measure);

                format_spread(&spread, 1, "", text, sizeof(text));
                (void)printf("  %-24s", text);
        }
        (void)putchar('\n');
}

static void print_heading(const struct storm_series *series) {
        char text[64];

        (void)printf("%-30s", "");
        for (size_t i = 0; i < series->setting_count; i++)
                (void)printf("  %-30s", setting_name(series->settings[i]));
        for (size_t i = 1; i < series->setting_count; i++) {
                (void)snprintf(text, sizeof(text), "%s / %s", setting_name(series->settings[i]),
                               setting_name(series->settings[0]));
                (void)printf("  %-24s", text);
        }
        (void)putchar('\n');
}

static void print_added(const struct storm_series *series) {
        char text[96];

        if (series->setting_count < 2)
                return;
        (void)printf("%-30s  %-30s", "added to the median call", "");
        for (size_t i = 1; i < series->setting_count; i++) {
                struct spread spread = storm_series_added(series, i);

                format_spread(&spread, 1000, "us", text, sizeof(text));
                (void)printf("  %-30s", text);
        }
        (void)putchar('\n');
}

/* Of all rounds together. */
static void print_results(const struct storm_series *series, size_t setting) {
        struct results sum = { 0 };
        char name[RESULT_NAME_SIZE];

        for (unsigned int round = 0; round < series->rounds; round++) {
                const struct results *results = &storm_series_result(series, round, setting)->results;

                for (size_t i = 0; i < results->count; i++)
                        results_add(&sum, results->kinds[i].error, results->kinds[i].count);
        }
        (void)printf("results, %s:", setting_name(series->settings[setting]));
        for (size_t i = 0; i < sum.count; i++)
                (void)printf(" %" PRIu64 " %s%s", sum.kinds[i].count, result_name(sum.kinds[i].error, name),
                             i + 1 < sum.count ? "," : "");
        (void)putchar('\n');
}

void storm_series_print_table(const struct storm_series *series) {
        char text[256];

        if (series->plan->scripted)
                (void)puts(SCRIPTED_WARNING);
        describe(series->plan, text, sizeof(text));
        (void)printf("%s; %u round%s: median (lowest - highest)\n\n", text, series->rounds, plural(series->rounds));
        print_heading(series);
        for (enum storm_measure i = 0; i < STORM_MEASURES; i++)
                if (!measures[i].of_memory || !series->plan->scripted)
                        print_row(series, i);
        print_added(series);
        (void)putchar('\n');
        for (size_t i = 0; i < series->setting_count; i++)
                print_results(series, i);
}

static struct picture_bar bar_of(const struct storm_series *series, size_t setting, enum storm_measure measure) {
        struct spread spread = storm_series_spread(series, setting, measure);
        double divisor = measures[measure].divisor;

        return (struct picture_bar){
                .measured = true,
                .low = spread.min / divisor,
                .median = spread.median / divisor,
                .high = spread.max / divisor,
        };
}

int storm_series_draw(const struct storm_series *series, FILE *file) {
        static const char *const no_group[] = { "" };
        struct picture_panel panels[STORM_MEASURES];
        struct picture_bar bars[STORM_MEASURES][SETTINGS];
        const char *settings[SETTINGS];
        char title[256], subtitle[160];
        struct utsname system = { 0 };
        struct picture picture = { .title = title, .subtitle = subtitle, .settings = settings, .panels = panels };

        picture.n_settings = series->setting_count;
        for (size_t i = 0; i < series->setting_count; i++)
                settings[i] = setting_name(series->settings[i]);
        for (enum storm_measure i = 0; i < STORM_MEASURES; i++) {
                if (!measures[i].drawn || (measures[i].of_memory && series->plan->scripted))
                        continue;
                for (size_t k = 0; k < series->setting_count; k++)
                        bars[i][k] = bar_of(series, k, i);
                panels[picture.n_panels++] = (struct picture_panel){ .title = measures[i].title,
                                                                     .unit = measures[i].unit,
                                                                     .groups = no_group,
                                                                     .n_groups = 1,
                                                                     .bars = bars[i] };
        }
        describe(series->plan, title, sizeof(title));
        (void)uname(&system);
        (void)snprintf(subtitle, sizeof(subtitle), "Linux %s; %u rounds: median, lowest and highest", system.release,
                       series->rounds);
        if (series->plan->scripted)
                picture.warning = series->partial ? "Partial: it was interrupted. " SCRIPTED_WARNING : SCRIPTED_WARNING;
        else if (series->partial)
                picture.warning = "Partial: it was interrupted";
        return picture_write(&picture, file);
}
