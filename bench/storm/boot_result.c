/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "boot_result.h"

#include <json-c/json_pointer.h>

#define SCHEMA "modgate.storm.boot/1"

#define POINTER_SIZE 64U
#define NAME_SIZE 64U
#define PROBLEM_SIZE 1024U

/* The time is the last one: its ratio has a panel of the picture. */
const struct boot_measure boot_measures[BOOT_MEASURES] = {
        { "calls", "calls", "calls made by udevd's workers", "", 1, 0 },
        { "loads", "loads", "loads that reached the kernel", "", 1, 0 },
        { "distinct", "distinct", "distinct modules asked for", "", 1, 0 },
        { "failing", "failing", "of these never loaded", "", 1, 0 },
        { "again_loads", "again/loads", "loads when triggered again", "", 1, 0 },
        { "vmalloc_peak_kib", "vmalloc_peak_kib", "vmalloc peak", "MiB", 1.0 / 1024, 1 },
        { "unit_cpu_s", "unit_cpu_s", "CPU time of udevd's unit", "s", 1, 2 },
        { "settle_s", "settle_s", "time to settle", "s", 1, 2 },
};

void boot_result_add_case(struct boot_result *result, const char *release, unsigned int cpus) {
        result->cases[result->n_cases++] = (struct boot_case){
                .release = release,
                .cpus = cpus,
                .boots = json_object_new_array(),
        };
}

void boot_case_add_consume(struct boot_case *which, struct json_object *boot) {
        (void)json_object_array_add(which->boots, boot);
}

size_t boot_case_rounds(const struct boot_case *which) {
        return json_object_array_length(which->boots);
}

bool boot_result_is_partial(const struct boot_result *result) {
        for (unsigned int i = 0; i < result->n_cases; i++)
                if (boot_case_rounds(&result->cases[i]) < result->rounds)
                        return true;
        return result->interrupted;
}

void boot_case_name(const struct boot_case *which, char *text, size_t size) {
        (void)snprintf(text, size, "Debian %s, %u CPU%s", which->release, which->cpus, which->cpus == 1 ? "" : "s");
}

static void add_problem(struct json_object *problems, const struct boot_case *which, const char *text) {
        char problem[PROBLEM_SIZE], name[NAME_SIZE];

        boot_case_name(which, name, sizeof(name));
        (void)snprintf(problem, sizeof(problem), "%s: %s", name, text);
        (void)json_object_array_add(problems, json_object_new_string(problem));
}

static void add_problems_of_boot(struct json_object *problems, const struct boot_case *which,
                                 struct json_object *boot) {
        struct json_object *found = json_object_object_get(boot, "problems");

        if (!json_object_is_type(found, json_type_array))
                return;
        for (size_t i = 0; i < json_object_array_length(found); i++)
                add_problem(problems, which, json_object_get_string(json_object_array_get_idx(found, i)));
}

struct json_object *boot_result_problems(const struct boot_result *result) {
        struct json_object *problems = json_object_new_array();

        for (unsigned int i = 0; i < result->n_cases; i++) {
                const struct boot_case *which = &result->cases[i];
                char text[NAME_SIZE];

                (void)snprintf(text, sizeof(text), "%u of the rounds did not get through", which->failed);
                if (which->failed > 0)
                        add_problem(problems, which, text);
                for (size_t round = 0; round < boot_case_rounds(which); round++)
                        add_problems_of_boot(problems, which, json_object_array_get_idx(which->boots, round));
        }
        return problems;
}

static bool figure_of(struct json_object *boot, const char *setting, const struct boot_measure *measure, double *ret) {
        struct json_object *figure;
        char pointer[POINTER_SIZE];

        (void)snprintf(pointer, sizeof(pointer), "/%s/%s", setting, measure->pointer);
        if (json_pointer_get(boot, pointer, &figure) < 0 ||
            !(json_object_is_type(figure, json_type_int) || json_object_is_type(figure, json_type_double)))
                return false;
        *ret = json_object_get_double(figure);
        return true;
}

static bool value_of(struct json_object *boot, const struct boot_measure *measure, enum boot_setting setting,
                     double *ret) {
        double bare, modgate;

        if (setting == BOOT_BARE)
                return figure_of(boot, "bare", measure, ret);
        if (setting == BOOT_MODGATE)
                return figure_of(boot, "modgate", measure, ret);
        if (!figure_of(boot, "bare", measure, &bare) || !figure_of(boot, "modgate", measure, &modgate) || bare <= 0)
                return false;
        *ret = modgate / bare;
        return true;
}

struct spread boot_case_spread(const struct boot_case *which, const struct boot_measure *measure,
                               enum boot_setting setting) {
        double values[BOOT_ROUNDS_MAX];
        size_t count = 0;

        for (size_t i = 0; i < boot_case_rounds(which) && count < BOOT_ROUNDS_MAX; i++)
                count += value_of(json_object_array_get_idx(which->boots, i), measure, setting, &values[count]);
        return spread_of(values, count);
}

static struct json_object *spread_json(struct spread spread) {
        struct json_object *object = json_object_new_object();

        (void)json_object_object_add(object, "min", json_object_new_double(spread.min));
        (void)json_object_object_add(object, "median", json_object_new_double(spread.median));
        (void)json_object_object_add(object, "max", json_object_new_double(spread.max));
        return object;
}

static struct json_object *setting_json(const struct boot_case *which, enum boot_setting setting) {
        struct json_object *object = json_object_new_object();

        for (size_t i = 0; i < BOOT_MEASURES; i++) {
                struct spread spread = boot_case_spread(which, &boot_measures[i], setting);

                if (spread.count > 0)
                        (void)json_object_object_add(object, boot_measures[i].key, spread_json(spread));
        }
        return object;
}

static struct json_object *case_json(const struct boot_case *which) {
        static const char *const keys[BOOT_COLUMNS] = {
                [BOOT_BARE] = "bare",
                [BOOT_MODGATE] = "modgate",
                [BOOT_RATIO] = "ratio",
        };
        struct json_object *object = json_object_new_object();

        (void)json_object_object_add(object, "release", json_object_new_string(which->release));
        (void)json_object_object_add(object, "cpus", json_object_new_uint64(which->cpus));
        (void)json_object_object_add(object, "rounds", json_object_new_uint64(boot_case_rounds(which)));
        (void)json_object_object_add(object, "failed_rounds", json_object_new_uint64(which->failed));
        for (enum boot_setting i = 0; i < BOOT_COLUMNS; i++)
                (void)json_object_object_add(object, keys[i], setting_json(which, i));
        (void)json_object_object_add(object, "boots", json_object_get(which->boots));
        return object;
}

struct json_object *boot_result_json(const struct boot_result *result) {
        struct json_object *report = json_object_new_object(), *cases = json_object_new_array();

        (void)json_object_object_add(report, "schema", json_object_new_string(SCHEMA));
        (void)json_object_object_add(report, "partial", json_object_new_boolean(boot_result_is_partial(result)));
        (void)json_object_object_add(report, "rounds", json_object_new_uint64(result->rounds));
        for (unsigned int i = 0; i < result->n_cases; i++)
                (void)json_object_array_add(cases, case_json(&result->cases[i]));
        (void)json_object_object_add(report, "cases", cases);
        (void)json_object_object_add(report, "problems", boot_result_problems(result));
        return report;
}

void boot_result_deinit(struct boot_result *result) {
        for (unsigned int i = 0; i < result->n_cases; i++)
                (void)json_object_put(result->cases[i].boots);
        *result = (struct boot_result){ 0 };
}
