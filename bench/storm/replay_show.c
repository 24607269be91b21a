/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What several rounds of a replay came to: the table for people, and JSON. */

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>

#include "replay.h"

#define SCHEMA "modgate.storm.replay/1"
#define SCRIPTED_WARNING "Scripted loader: no kernel loaded anything; these are not the figures of a real one"

static const struct {
        const char *title, *unit, *name; /* in the table; in JSON */
        double divisor;
} measures[REPLAY_MEASURES] = {
        [REPLAY_LATENCY_MEDIAN] = { "call, median", "us", "latency_median_ns", 1000 },
        [REPLAY_LATENCY_P90] = { "call, 90 of 100 within", "us", "latency_p90_ns", 1000 },
        [REPLAY_LATENCY_P99] = { "call, 99 of 100 within", "us", "latency_p99_ns", 1000 },
        [REPLAY_LATENCY_MAX] = { "call, longest", "us", "latency_max_ns", 1000 },
        [REPLAY_WALL] = { "until all are answered", "ms", "wall_ns", 1e6 },
        [REPLAY_LAG_MEDIAN] = { "call made late, median", "us", "lag_median_ns", 1000 },
        [REPLAY_LAG_P99] = { "99 of 100 within", "us", "lag_p99_ns", 1000 },
        [REPLAY_LAG_MAX] = { "latest", "us", "lag_max_ns", 1000 },
        [REPLAY_KERNEL_CALLS] = { "calls that reached the kernel", "", "kernel_calls", 1 },
        [REPLAY_AS_RECORDED] = { "calls with the recorded result", "", "as_recorded", 1 },
        [REPLAY_OTHERWISE] = { "with another one", "", "otherwise", 1 },
};

static const struct replay_result *result_at(const struct replay_series *series, size_t setting, unsigned int round) {
        return &series->results[round * series->setting_count + setting];
}

static double value_of(const struct replay_result *result, enum replay_measure measure) {
        const uint64_t values[REPLAY_MEASURES] = {
                [REPLAY_LATENCY_MEDIAN] = result->latency_ns.median,
                [REPLAY_LATENCY_P90] = result->latency_ns.p90,
                [REPLAY_LATENCY_P99] = result->latency_ns.p99,
                [REPLAY_LATENCY_MAX] = result->latency_ns.max,
                [REPLAY_WALL] = result->wall_ns,
                [REPLAY_LAG_MEDIAN] = result->lag_ns.median,
                [REPLAY_LAG_P99] = result->lag_ns.p99,
                [REPLAY_LAG_MAX] = result->lag_ns.max,
                [REPLAY_KERNEL_CALLS] = result->kernel_calls,
                [REPLAY_AS_RECORDED] = result->as_recorded,
                [REPLAY_OTHERWISE] = result->otherwise,
        };

        return (double)values[measure];
}

struct spread replay_spread(const struct replay_series *series, size_t setting, enum replay_measure measure) {
        double values[REPLAY_ROUNDS_MAX];

        for (unsigned int i = 0; i < series->rounds; i++)
                values[i] = value_of(result_at(series, setting, i), measure);
        return spread_of(values, series->rounds);
}

struct spread replay_ratio(const struct replay_series *series, size_t setting, enum replay_measure measure) {
        double values[REPLAY_ROUNDS_MAX];
        size_t count = 0;

        for (unsigned int i = 0; i < series->rounds; i++) {
                double first = value_of(result_at(series, 0, i), measure);

                if (first > 0)
                        values[count++] = value_of(result_at(series, setting, i), measure) / first;
        }
        return spread_of(values, count);
}

struct results replay_results(const struct replay_series *series, size_t setting) {
        struct results sum = { 0 };

        for (unsigned int i = 0; i < series->rounds; i++) {
                const struct results *results = &result_at(series, setting, i)->results;

                for (size_t j = 0; j < results->count; j++)
                        results_add(&sum, results->kinds[j].error, results->kinds[j].count);
        }
        return sum;
}

static struct results recorded_results(const struct recording *recording) {
        struct results results = { 0 };

        for (size_t i = 0; i < recording->call_count; i++)
                if (recording->calls[i].error != RECORDING_NO_RESULT)
                        results_add(&results, recording->calls[i].error, 1);
        return results;
}

/* The table */

static void print_results(const char *title, const struct results *results) {
        char name[RESULT_NAME_SIZE];

        (void)printf("%-10s", title);
        for (size_t i = 0; i < results->count; i++)
                (void)printf("%s %" PRIu64 " %s", i > 0 ? "," : "", results->kinds[i].count,
                             result_name(results->kinds[i].error, name));
        (void)printf("\n");
}

static void print_spread(const struct spread *spread, double divisor, const char *unit) {
        char text[80];
        int digits = divisor > 1 ? 1 : 0;

        (void)snprintf(text, sizeof(text), "%.*f%s%s (%.*f - %.*f)", digits, spread->median / divisor,
                       unit[0] != '\0' ? " " : "", unit, digits, spread->min / divisor, digits, spread->max / divisor);
        (void)printf("  %-34s", text);
}

static void print_row(const struct replay_series *series, enum replay_measure measure) {
        (void)printf("%-30s", measures[measure].title);
        for (size_t i = 0; i < series->setting_count; i++) {
                struct spread spread = replay_spread(series, i, measure);

                print_spread(&spread, measures[measure].divisor, measures[measure].unit);
        }
        for (size_t i = 1; i < series->setting_count; i++) {
                struct spread ratio = replay_ratio(series, i, measure);

                if (ratio.count > 0)
                        (void)printf("  %.2f (%.2f - %.2f)", ratio.median, ratio.min, ratio.max);
        }
        (void)printf("\n");
}

static void print_head(const struct replay_series *series) {
        const struct recording *recording = series->plan->recording;

        if (series->plan->scripted)
                (void)printf(SCRIPTED_WARNING "\n");
        (void)printf("%s: %zu calls of %u callers for %zu modules in %.1f ms", series->trace, recording->call_count,
                     recording->caller_count, recording->module_count, (double)recording->duration_ns / 1e6);
        if (series->left_out > 0)
                (void)printf("; %" PRIu64 " left out", series->left_out);
        (void)printf("\n%u round%s, ", series->rounds, series->rounds == 1 ? "" : "s");
        if (series->plan->speed > 0)
                (void)printf("%g times as fast as recorded\n\n", series->plan->speed);
        else
                (void)printf("each caller as fast as it can\n\n");
        (void)printf("%-30s", "median (min - max)");
        for (size_t i = 0; i < series->setting_count; i++)
                (void)printf("  %-34s", setting_name(series->settings[i]));
        for (size_t i = 1; i < series->setting_count; i++)
                (void)printf("  %s / %s", setting_name(series->settings[i]), setting_name(series->settings[0]));
        (void)printf("\n");
}

void replay_print_table(const struct replay_series *series) {
        struct results recorded = recorded_results(series->plan->recording);

        print_head(series);
        for (enum replay_measure i = 0; i < REPLAY_MEASURES; i++)
                print_row(series, i);
        (void)printf("\nresults of the calls, all rounds\n");
        print_results("recorded", &recorded);
        for (size_t i = 0; i < series->setting_count; i++) {
                struct results results = replay_results(series, i);

                print_results(setting_name(series->settings[i]), &results);
        }
}

/* JSON */

static void add_number(struct json_object *object, const char *name, uint64_t count) {
        (void)json_object_object_add(object, name, json_object_new_uint64(count));
}

static void add_spread(struct json_object *object, const char *name, const struct spread *spread) {
        struct json_object *value = json_object_new_object();

        if (spread->count > 0) {
                (void)json_object_object_add(value, "min", json_object_new_double(spread->min));
                (void)json_object_object_add(value, "median", json_object_new_double(spread->median));
                (void)json_object_object_add(value, "max", json_object_new_double(spread->max));
        }
        (void)json_object_object_add(object, name, value);
}

static void add_results(struct json_object *object, const struct results *results) {
        struct json_object *value = json_object_new_object();
        char name[RESULT_NAME_SIZE];

        for (size_t i = 0; i < results->count; i++)
                add_number(value, result_name(results->kinds[i].error, name), results->kinds[i].count);
        (void)json_object_object_add(object, "results", value);
}

static struct json_object *recorded_json(const struct recording *recording) {
        struct json_object *object = json_object_new_object();
        struct results results = recorded_results(recording);

        (void)json_object_object_add(object, "by", json_object_new_string(recording->is_ftrace ? "ftrace" : "modgate"));
        add_number(object, "calls", recording->call_count);
        add_number(object, "callers", recording->caller_count);
        add_number(object, "modules", recording->module_count);
        add_number(object, "duration_ns", recording->duration_ns);
        add_number(object, "dropped", recording->dropped);
        add_number(object, "unnamed", recording->unnamed);
        add_results(object, &results);
        return object;
}

static struct json_object *setting_json(const struct replay_series *series, size_t setting) {
        struct json_object *object = json_object_new_object(), *ratios = json_object_new_object();
        struct results results = replay_results(series, setting);

        (void)json_object_object_add(object, "name", json_object_new_string(setting_name(series->settings[setting])));
        for (enum replay_measure i = 0; i < REPLAY_MEASURES; i++) {
                struct spread spread = replay_spread(series, setting, i), ratio = replay_ratio(series, setting, i);

                add_spread(object, measures[i].name, &spread);
                if (setting > 0 && ratio.count > 0)
                        add_spread(ratios, measures[i].name, &ratio);
        }
        add_results(object, &results);
        (void)json_object_object_add(object, "ratios", ratios);
        return object;
}

void replay_print_json(const struct replay_series *series) {
        struct json_object *report = json_object_new_object(), *settings = json_object_new_array();

        (void)json_object_object_add(report, "schema", json_object_new_string(SCHEMA));
        (void)json_object_object_add(report, "scripted", json_object_new_boolean(series->plan->scripted != NULL));
        (void)json_object_object_add(report, "partial", json_object_new_boolean(series->partial));
        (void)json_object_object_add(report, "speed", json_object_new_double(series->plan->speed));
        add_number(report, "rounds", series->rounds);
        add_number(report, "left_out", series->left_out);
        (void)json_object_object_add(report, "recorded", recorded_json(series->plan->recording));
        for (size_t i = 0; i < series->setting_count; i++)
                (void)json_object_array_add(settings, setting_json(series, i));
        (void)json_object_object_add(report, "settings", settings);
        (void)puts(json_object_to_json_string_ext(report, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED));
        (void)json_object_put(report);
}
