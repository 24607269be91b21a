/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "interrupt.h"
#include "privilege.h"
#include "storm.h"
#include "synthetic_options.h"
#include "synthetic_series.h"

/* What there is beside a descriptor for each module. */
#define DESCRIPTORS_BESIDES 64U

/* The functions below return 0 or, when they have said why, negative errno. */

/* Setting up */

/* As the kernel would have it. */
static int scripted_name(const char *text, char name[static MODULE_NAME_SIZE]) {
        if (text[0] == '\0' || strpbrk(text, "/.\n") ||
            (size_t)snprintf(name, MODULE_NAME_SIZE, "%s", text) >= MODULE_NAME_SIZE)
                return storm_error("%s: no name that the scripted loader could give a module", text), -EINVAL;
        for (char *dash = name; (dash = strchr(dash, '-'));)
                *dash = '_';
        return 0;
}

/* The module that goes live comes behind those that are asked for. */
static int set_names(const struct synthetic_options *options, const struct storm_plan *plan,
                     char (*names)[MODULE_NAME_SIZE]) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < plan->target_count; i++)
                if (options->name_count > 0)
                        r = scripted_name(options->names[i], names[i]);
                else
                        (void)snprintf(names[i], MODULE_NAME_SIZE, "storm_%05zu", i);
        return r == 0 && options->live ? scripted_name(options->live, names[plan->target_count]) : r;
}

static int create_kernel(struct storm_plan *plan, const struct synthetic_options *options,
                         char (*names)[MODULE_NAME_SIZE], const char **pointers, size_t total) {
        int r = set_names(options, plan, names);

        if (r < 0)
                return r;
        for (size_t i = 0; i < total; i++)
                pointers[i] = names[i];
        r = scripted_kernel_create(pointers, total, options->image_kib * 1024ULL, &plan->scripted);
        if (r < 0)
                (void)storm_error("cannot set up the scripted loader: %s%s", strerror(-r),
                                  r == -ENOENT   ? "; it needs depmod, which kmod brings"
                                  : r == -EEXIST ? "; is a module named twice?"
                                                 : "");
        return r;
}

static int set_up_scripted(struct storm_plan *plan, const struct synthetic_options *options, size_t total) {
        char(*names)[MODULE_NAME_SIZE] = calloc(total, sizeof(*names));
        const char **pointers = calloc(total, sizeof(*pointers));
        int r = names && pointers ? create_kernel(plan, options, names, pointers, total) : -ENOMEM;

        free(pointers);
        free(names);
        for (size_t i = 0; r == 0 && i < total; i++) {
                struct scripted_module *module = &plan->scripted->modules[i];

                module->error = i < plan->target_count ? options->result : 0;
                module->duration_ns = i < plan->target_count ? options->load_us * 1000ULL : 0;
                r = target_from_scripted(&plan->targets[i], plan->scripted, i);
        }
        return r;
}

/* What is there already would be no load, and must not be taken away. */
static int check_state(struct target *target, bool may_be_live) {
        target->was_live = target_is_live(target, kernel_interface_native.module_sysfs);
        if (!target->was_live || may_be_live)
                return 0;
        (void)storm_error(
                "%s: loaded already; remove it first (modprobe -r %s), or measure only duplicates with --warm",
                target->name, target->name);
        return -EEXIST;
}

static int set_up_real(struct storm_plan *plan, const struct synthetic_options *options, size_t total) {
        if (!privilege_has(CAP_SYS_MODULE)) {
                (void)storm_error("loading modules needs CAP_SYS_MODULE: run it as root");
                return -EPERM;
        }
        for (size_t i = 0; i < total; i++) {
                const char *text = i < plan->target_count ? options->names[i] : options->live;

                if (target_find(&plan->targets[i], text) < 0)
                        return -ENOENT;
                if (check_state(&plan->targets[i], options->warm && i < plan->target_count) < 0)
                        return -EEXIST;
        }
        return 0;
}

static void raise_descriptors(size_t wanted) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
                return;
        limit.rlim_cur = wanted;
        if (limit.rlim_max < wanted)
                limit.rlim_max = wanted;
        /* where it is refused, opening the files tells */
        (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int set_up(struct storm_plan *plan, const struct synthetic_options *options) {
        size_t count = options->name_count > 0 ? options->name_count : options->modules > 0 ? options->modules : 1;
        size_t total = count + (options->live ? 1 : 0);
        int r;

        plan->targets = calloc(total, sizeof(*plan->targets));
        if (!plan->targets)
                return -ENOMEM;
        for (size_t i = 0; i < total; i++)
                plan->targets[i].fd = -1;
        plan->target_count = count;
        plan->live = options->live ? &plan->targets[count] : NULL;
        r = options->scripted ? set_up_scripted(plan, options, total) : set_up_real(plan, options, total);
        raise_descriptors(total + DESCRIPTORS_BESIDES);
        for (size_t i = 0; r == 0 && i < total; i++)
                r = target_open(&plan->targets[i], options->init) < 0 ? -ENOENT : 0;
        plan->calls = options->calls > 0 ? options->calls : (unsigned int)count;
        return r;
}

static void tear_down(struct storm_plan *plan) {
        size_t total = plan->target_count + (plan->live ? 1 : 0);

        for (size_t i = 0; plan->targets && i < total; i++)
                target_deinit(&plan->targets[i]);
        free(plan->targets);
        scripted_kernel_destroy(plan->scripted);
}

/* Rounds */

static void show_progress(const struct storm_series *series, size_t setting) {
        if (isatty(STDERR_FILENO))
                (void)fprintf(stderr, "\r\033[Kround %u of %u, %s ", series->rounds + 1, series->rounds_wanted,
                              setting_name(series->settings[setting]));
}

static void end_progress(void) {
        if (isatty(STDERR_FILENO))
                (void)fputs("\r\033[K", stderr);
}

/* All settings in each round, every other time the other way round: what changes meanwhile changes for all. */
static int measure_round(struct storm_series *series) {
        struct storm_result *results = &series->results[series->rounds * series->setting_count];

        for (size_t i = 0; i < series->setting_count; i++) {
                size_t setting = series->rounds % 2 == 0 ? i : series->setting_count - 1 - i;
                int r;

                if (interrupt_seen())
                        return -EINTR;
                show_progress(series, setting);
                r = storm_measure(series->plan, series->settings[setting], &results[setting]);
                if (r < 0)
                        return r;
        }
        series->rounds++;
        return 0;
}

static int draw(const struct storm_series *series, const char *path) {
        FILE *file = fopen(path, "we");
        int r = file ? storm_series_draw(series, file) : -errno;

        if (file && fclose(file) != 0 && r == 0)
                r = -errno;
        return r < 0 ? storm_error("cannot write the picture %s: %s", path, strerror(-r)) : EXIT_SUCCESS;
}

/* Also of what there is when it was interrupted. Returns the exit status. */
static int show(const struct storm_series *series, const struct synthetic_options *options) {
        int status = EXIT_SUCCESS;

        end_progress();
        if (series->partial)
                (void)storm_error("interrupted: a partial result, of %u of %u rounds", series->rounds,
                                  series->rounds_wanted);
        if (options->json)
                storm_series_print_json(series);
        else if (series->rounds > 0)
                storm_series_print_table(series);
        if (fflush(stdout) != 0)
                status = EXIT_FAILURE;
        if (options->svg && series->rounds > 0 && draw(series, options->svg) != EXIT_SUCCESS)
                status = EXIT_FAILURE;
        return series->partial ? STORM_EXIT_INTERRUPTED : status;
}

static int measure(const struct storm_plan *plan, const struct synthetic_options *options) {
        struct storm_series series = {
                .plan = plan,
                .setting_count = options->setting_count,
                .rounds_wanted = options->rounds,
        };
        int r = 0;

        memcpy(series.settings, options->settings, sizeof(series.settings));
        series.results = calloc((size_t)options->rounds * series.setting_count, sizeof(*series.results));
        if (!series.results)
                return storm_error("%s", strerror(ENOMEM));
        while (r == 0 && series.rounds < options->rounds)
                r = measure_round(&series);
        series.partial = r == -EINTR;
        r = r == 0 || r == -EINTR ? show(&series, options) : EXIT_FAILURE;
        free(series.results);
        return r;
}

static int run(int argc, char **argv) {
        struct synthetic_options options;
        struct storm_plan plan;
        int r = synthetic_parse(&storm_synthetic, argc, argv, &options);

        if (r != 0)
                return r;
        if (options.help)
                return storm_print_help(&storm_synthetic);
        plan = (struct storm_plan){
                .callers = options.callers,
                .bare_callers = options.bare_callers,
                .wave = options.wave > 0 && options.wave < options.callers ? options.wave : options.callers,
                .init = options.init,
                .params = options.params,
                .remove = options.remove,
                .warm = options.warm,
                .hold = options.hold,
                .failure_ttl_s = options.failure_ttl_s,
                .wake = options.wake,
        };
        (void)interrupt_catch();
        r = set_up(&plan, &options);
        if (r == 0)
                r = measure(&plan, &options);
        else if (interrupt_seen())
                r = STORM_EXIT_INTERRUPTED;
        else
                r = EXIT_FAILURE;
        tear_down(&plan);
        return r;
}

const struct storm_command storm_synthetic = {
        .name = "synthetic",
        .usage = synthetic_usage,
        .summary = "Many processes that ask for the same modules: bare, at the floor, under modgate",
        .details = synthetic_details,
        .run = run,
};
