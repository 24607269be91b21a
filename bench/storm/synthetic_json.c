/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Schema modgate.storm.synthetic/1: bench/README.md describes it. */

#include <json-c/json.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "synthetic_series.h"

#define SCHEMA "modgate.storm.synthetic/1"

static const char *const measure_names[STORM_MEASURES] = {
        [MEASURE_LATENCY_MEDIAN] = "latency_median",
        [MEASURE_LATENCY_P90] = "latency_p90",
        [MEASURE_LATENCY_P99] = "latency_p99",
        [MEASURE_LATENCY_MAX] = "latency_max",
        [MEASURE_WALL] = "wall",
        [MEASURE_KERNEL_CALLS] = "kernel_calls",
        [MEASURE_KERNEL_BYTES] = "kernel_bytes",
        [MEASURE_VMALLOC_PEAK] = "vmalloc_peak",
        [MEASURE_MEMORY_PEAK] = "memory_peak",
};

static void add_number(struct json_object *object, const char *name, uint64_t number) {
        (void)json_object_object_add(object, name, json_object_new_uint64(number));
}

static void add_flag(struct json_object *object, const char *name, bool flag) {
        (void)json_object_object_add(object, name, json_object_new_boolean(flag));
}

static void add_text(struct json_object *object, const char *name, const char *text) {
        (void)json_object_object_add(object, name, text ? json_object_new_string(text) : NULL);
}

static struct json_object *results_json(const struct results *results) {
        struct json_object *object = json_object_new_object();
        char name[RESULT_NAME_SIZE];

        for (size_t i = 0; i < results->count; i++)
                add_number(object, result_name(results->kinds[i].error, name), results->kinds[i].count);
        return object;
}

static struct json_object *sample_json(const struct sample *sample) {
        struct json_object *object = json_object_new_object();

        add_number(object, "min", sample->min);
        add_number(object, "median", sample->median);
        add_number(object, "p90", sample->p90);
        add_number(object, "p99", sample->p99);
        add_number(object, "max", sample->max);
        return object;
}

static struct json_object *round_json(const struct storm_result *result, bool scripted) {
        struct json_object *object = json_object_new_object();

        (void)json_object_object_add(object, "latency_ns", sample_json(&result->latency_ns));
        add_number(object, "wall_ns", result->wall_ns);
        (void)json_object_object_add(object, "results", results_json(&result->results));
        add_number(object, "kernel_calls", result->kernel_calls);
        add_number(object, "kernel_bytes", result->kernel_bytes);
        if (scripted) {
                add_number(object, "scripted_inits", result->inits);
                return object;
        }
        add_number(object, "vmalloc_peak_bytes", result->vmalloc_peak);
        add_number(object, "memory_peak_bytes", result->memory_peak);
        return object;
}

static struct json_object *spread_json(const struct spread *spread) {
        struct json_object *object;

        if (spread->count == 0)
                return NULL;
        object = json_object_new_object();
        (void)json_object_object_add(object, "min", json_object_new_double(spread->min));
        (void)json_object_object_add(object, "median", json_object_new_double(spread->median));
        (void)json_object_object_add(object, "max", json_object_new_double(spread->max));
        return object;
}

static struct json_object *ratios_json(const struct storm_series *series, size_t setting) {
        struct json_object *object = json_object_new_object();

        for (enum storm_measure i = 0; i < STORM_MEASURES; i++) {
                struct spread spread = storm_series_ratio(series, setting, i);

                (void)json_object_object_add(object, measure_names[i], spread_json(&spread));
        }
        return object;
}

static struct json_object *setting_json(const struct storm_series *series, size_t setting) {
        struct json_object *object = json_object_new_object(), *rounds = json_object_new_array();

        add_text(object, "setting", setting_name(series->settings[setting]));
        for (unsigned int i = 0; i < series->rounds; i++)
                (void)json_object_array_add(
                        rounds, round_json(storm_series_result(series, i, setting), series->plan->scripted != NULL));
        (void)json_object_object_add(object, "rounds", rounds);
        if (setting > 0) {
                struct spread added = storm_series_added(series, setting);

                (void)json_object_object_add(object, "ratios", ratios_json(series, setting));
                (void)json_object_object_add(object, "added_latency_median_ns", spread_json(&added));
        }
        return object;
}

static struct json_object *modules_json(const struct storm_plan *plan) {
        struct json_object *modules = json_object_new_array();

        for (size_t i = 0; i < plan->target_count; i++) {
                struct json_object *module = json_object_new_object();

                add_text(module, "name", plan->targets[i].name);
                add_number(module, "bytes", plan->targets[i].size);
                (void)json_object_array_add(modules, module);
        }
        return modules;
}

static void add_plan(struct json_object *report, const struct storm_plan *plan) {
        static const char *const wakes[] = { [WAKE_AUTO] = "auto", [WAKE_PLAIN] = "plain", [WAKE_SYNC] = "sync" };

        add_flag(report, "scripted", plan->scripted != NULL);
        add_number(report, "callers", plan->callers);
        add_number(report, "calls", plan->calls);
        add_number(report, "wave", plan->wave);
        add_number(report, "bare_callers", plan->bare_callers > 0 ? plan->bare_callers : plan->callers);
        add_text(report, "call", plan->init ? "init_module" : "finit_module");
        add_text(report, "params", plan->params);
        add_flag(report, "removed_between", plan->remove);
        add_text(report, "live_after_first_wave", plan->live ? plan->live->name : NULL);
        add_flag(report, "warm", plan->warm);
        add_flag(report, "hold", plan->hold);
        add_number(report, "failure_ttl_s", plan->failure_ttl_s);
        add_text(report, "floor_wake", wakes[plan->wake]);
        (void)json_object_object_add(report, "modules", modules_json(plan));
}

void storm_series_print_json(const struct storm_series *series) {
        struct json_object *report = json_object_new_object(), *settings = json_object_new_array();
        struct utsname system = { 0 };

        (void)uname(&system);
        add_text(report, "schema", SCHEMA);
        add_flag(report, "partial", series->partial);
        add_text(report, "kernel", system.release);
        add_number(report, "cpus", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
        add_plan(report, series->plan);
        add_number(report, "rounds", series->rounds);
        for (size_t i = 0; i < series->setting_count; i++)
                (void)json_object_array_add(settings, setting_json(series, i));
        (void)json_object_object_add(report, "settings", settings);
        (void)puts(json_object_to_json_string_ext(report, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED));
        (void)json_object_put(report);
}
