/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "interrupt.h"
#include "options.h"
#include "privilege.h"
#include "replay.h"
#include "storm.h"

#define SPEED_MAX 1e6

/* What there is beside two descriptors for each module. */
#define DESCRIPTORS_BESIDES 64U

struct options {
        unsigned int failure_ttl_s, rounds;
        const char *speed_text, *compare_text;
        bool scripted, json, help;
        double speed;
        enum setting_kind settings[SETTINGS];
        size_t setting_count;
        const char *trace;
};

/* The functions below return 0 or, when they have said why, another number. */

/* The command line */

static bool is_compared(const struct options *options, enum setting_kind kind) {
        for (size_t i = 0; i < options->setting_count; i++)
                if (options->settings[i] == kind)
                        return true;
        return false;
}

static int parse_compare(struct options *options) {
        const char *rest = options->compare_text;

        for (;;) {
                size_t length = strcspn(rest, ",");
                enum setting_kind kind;

                if (!setting_from_name(rest, length, &kind) || is_compared(options, kind))
                        return storm_usage_error(&storm_replay,
                                                 "--compare=%s: not a list of bare, floor and modgate, each once",
                                                 options->compare_text);
                options->settings[options->setting_count++] = kind;
                if (rest[length] == '\0')
                        return 0;
                rest += length + 1;
        }
}

static int parse_speed(struct options *options) {
        char *end;

        errno = 0;
        options->speed = strtod(options->speed_text, &end);
        if (end != options->speed_text && *end == '\0' && errno == 0 && options->speed >= 0 &&
            options->speed <= SPEED_MAX)
                return 0;
        return storm_usage_error(&storm_replay, "--speed=%s: not a number from 0 to %g", options->speed_text,
                                 SPEED_MAX);
}

static int parse(int argc, char **argv, struct options *options) {
        static const struct storm_option known[] = {
                { "compare", OPTION_TEXT, offsetof(struct options, compare_text), 0, 0 },
                { "failure-ttl", OPTION_NUMBER, offsetof(struct options, failure_ttl_s), 0, 86400 },
                { "rounds", OPTION_NUMBER, offsetof(struct options, rounds), 1, REPLAY_ROUNDS_MAX },
                { "speed", OPTION_TEXT, offsetof(struct options, speed_text), 0, 0 },
                { "scripted", OPTION_FLAG, offsetof(struct options, scripted), 0, 0 },
                { "json", OPTION_FLAG, offsetof(struct options, json), 0, 0 },
                { "help", OPTION_FLAG, offsetof(struct options, help), 0, 0 },
        };
        int next = storm_parse_options(&storm_replay, argc, argv, known, sizeof(known) / sizeof(known[0]), options);

        if (next < 0)
                return STORM_EXIT_USAGE;
        if (options->help)
                return 0;
        if (parse_speed(options) != 0 || parse_compare(options) != 0)
                return STORM_EXIT_USAGE;
        if (next == argc)
                return storm_usage_error(&storm_replay, "no trace is named");
        if (next < argc - 1)
                return storm_usage_error(&storm_replay, "'%s' is one argument too many", argv[next + 1]);
        options->trace = argv[next];
        return 0;
}

/* The trace */

/* All of a file. To be freed. NULL: errno says why. */
static char *read_file(const char *path, size_t *ret_length) {
        FILE *file = fopen(path, "re");
        size_t room = 65536, length = 0, got;
        char *text = file ? malloc(room) : NULL, *grown;

        while (text && (got = fread(text + length, 1, room - length, file)) > 0) {
                length += got;
                if (length < room || length > RECORDING_BYTES_MAX)
                        continue;
                room *= 2;
                grown = realloc(text, room);
                if (!grown)
                        free(text);
                text = grown;
        }
        if (text && ferror(file)) {
                free(text);
                text = NULL;
        }
        if (file)
                (void)fclose(file);
        *ret_length = length;
        return text;
}

static int read_trace(const char *path, struct recording *ret) {
        struct recording_problem problem;
        size_t length;
        char *text = read_file(path, &length);
        int r;

        if (!text)
                return storm_error("cannot read the trace %s: %s", path, strerror(errno));
        r = recording_parse(text, length, ret, &problem);
        free(text);
        return r < 0 ? storm_error("cannot replay %s: %s", path, problem.text) : 0;
}

static void complain_of_gaps(const struct recording *recording) {
        if (recording->dropped > 0)
                (void)storm_error("the recorder had no time for %llu events: they are missing",
                                  (unsigned long long)recording->dropped);
        if (recording->unnamed > 0)
                (void)storm_error("%llu calls are left out: the trace does not say for which module they were",
                                  (unsigned long long)recording->unnamed);
}

/* The modules */

/* One that the scripted kernel can have, and that no other one has. */
static void script_name(const struct recording *recording, size_t index, char name[static MODULE_NAME_SIZE]) {
        const char *recorded = recording->modules[index].name;
        size_t length = strcspn(recorded, ".");

        if (length > MODULE_NAME_SIZE - 8)
                length = MODULE_NAME_SIZE - 8;
        for (size_t i = 0; i < length; i++) {
                bool plain = (recorded[i] >= 'a' && recorded[i] <= 'z') || (recorded[i] >= 'A' && recorded[i] <= 'Z') ||
                             (recorded[i] >= '0' && recorded[i] <= '9');

                name[i] = plain ? recorded[i] : '_';
        }
        (void)snprintf(name + length, MODULE_NAME_SIZE - length, "_%zu", index);
}

static int create_kernel(struct replay_plan *plan) {
        const struct recording *recording = plan->recording;
        char(*names)[MODULE_NAME_SIZE] = calloc(recording->module_count, sizeof(*names));
        const char **pointers = calloc(recording->module_count, sizeof(*pointers));
        int r = names && pointers ? 0 : -ENOMEM;

        for (size_t i = 0; r == 0 && i < recording->module_count; i++) {
                script_name(recording, i, names[i]);
                pointers[i] = names[i];
        }
        if (r == 0)
                r = scripted_kernel_create(pointers, recording->module_count, 0, &plan->scripted);
        free(pointers);
        free(names);
        if (r < 0)
                (void)storm_error("cannot set up the scripted loader: %s%s", strerror(-r),
                                  r == -ENOENT ? "; it needs depmod, which kmod brings" : "");
        return r;
}

static int set_up_scripted(struct replay_plan *plan) {
        const struct recording *recording = plan->recording;
        int r = create_kernel(plan);

        for (size_t i = 0; r == 0 && i < recording->module_count; i++) {
                struct scripted_module *module = &plan->scripted->modules[i];

                /* nobody would have served the call then */
                module->error = recording->modules[i].error == ENOSYS ? EINVAL : recording->modules[i].error;
                module->duration_ns = recording->modules[i].load_ns;
                r = target_from_scripted(&plan->targets[2 * i], plan->scripted, i);
                if (r == 0)
                        r = target_from_scripted(&plan->targets[2 * i + 1], plan->scripted, i);
        }
        return r;
}

/* By its name, if depmod's index had it under that one; else the file at its path. */
static void find(struct target *target, const struct recording_module *module) {
        const char *text = module->by_name || !module->path ? module->name : module->path;

        if (target_find(target, text) < 0)
                target_deinit(target);
        else
                target->was_live = target_is_live(target, kernel_interface_native.module_sysfs);
}

static int set_up_real(struct replay_plan *plan) {
        const struct recording *recording = plan->recording;
        bool called[2];

        if (!privilege_has(CAP_SYS_MODULE))
                return storm_error("loading modules needs CAP_SYS_MODULE: run it as root");
        for (size_t i = 0; i < recording->module_count; i++) {
                memset(called, 0, sizeof(called));
                for (size_t j = 0; j < recording->call_count; j++)
                        if (recording->calls[j].module == i)
                                called[recording->calls[j].init ? 1 : 0] = true;
                for (size_t j = 0; j < 2; j++)
                        if (called[j])
                                find(&plan->targets[2 * i + j], &recording->modules[i]);
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

static int set_up(struct replay_plan *plan, bool scripted) {
        size_t count = 2 * plan->recording->module_count;
        int r;

        plan->targets = calloc(count, sizeof(*plan->targets));
        if (!plan->targets)
                return storm_error("%s", strerror(ENOMEM));
        for (size_t i = 0; i < count; i++)
                plan->targets[i].fd = -1;
        raise_descriptors(count + DESCRIPTORS_BESIDES);
        r = scripted ? set_up_scripted(plan) : set_up_real(plan);
        for (size_t i = 0; r == 0 && i < count; i++)
                if (replay_has(&plan->targets[i]) && target_open(&plan->targets[i], i % 2 == 1) < 0)
                        target_deinit(&plan->targets[i]);
        return r;
}

static void tear_down(struct replay_plan *plan) {
        for (size_t i = 0; plan->targets && i < 2 * plan->recording->module_count; i++)
                target_deinit(&plan->targets[i]);
        free(plan->targets);
        scripted_kernel_destroy(plan->scripted);
}

/* Rounds */

static void show_progress(const struct replay_series *series, size_t setting) {
        if (isatty(STDERR_FILENO))
                (void)fprintf(stderr, "\r\033[Kround %u of %u, %s ", series->rounds + 1, series->rounds_wanted,
                              setting_name(series->settings[setting]));
}

static void end_progress(void) {
        if (isatty(STDERR_FILENO))
                (void)fputs("\r\033[K", stderr);
}

/* All settings in each round, every other time the other way round: what changes meanwhile changes for all. */
static int measure_round(struct replay_series *series) {
        struct replay_result *results = &series->results[series->rounds * series->setting_count];

        for (size_t i = 0; i < series->setting_count; i++) {
                size_t setting = series->rounds % 2 == 0 ? i : series->setting_count - 1 - i;
                int r;

                if (interrupt_seen())
                        return -EINTR;
                show_progress(series, setting);
                r = replay_measure(series->plan, series->settings[setting], &results[setting]);
                if (r < 0)
                        return r;
        }
        series->rounds++;
        return 0;
}

/* Also of what there is when it was interrupted. Returns the exit status. */
static int show(const struct replay_series *series, bool json) {
        end_progress();
        if (series->partial)
                (void)storm_error("interrupted: a partial result, of %u of %u rounds", series->rounds,
                                  series->rounds_wanted);
        if (json)
                replay_print_json(series);
        else if (series->rounds > 0)
                replay_print_table(series);
        if (fflush(stdout) != 0)
                return EXIT_FAILURE;
        return series->partial ? STORM_EXIT_INTERRUPTED : EXIT_SUCCESS;
}

static int measure(const struct replay_plan *plan, const struct options *options) {
        const struct recording *recording = plan->recording;
        struct replay_series series = {
                .plan = plan,
                .trace = options->trace,
                .setting_count = options->setting_count,
                .rounds_wanted = options->rounds,
        };
        int r = 0;

        for (size_t i = 0; i < recording->call_count; i++)
                series.left_out += !replay_has(replay_target(plan, &recording->calls[i]));
        if (series.left_out == recording->call_count)
                return storm_error("none of its modules is here; --scripted replays it with a scripted loader");
        memcpy(series.settings, options->settings, sizeof(series.settings));
        series.results = calloc((size_t)options->rounds * series.setting_count, sizeof(*series.results));
        if (!series.results)
                return storm_error("%s", strerror(ENOMEM));
        while (r == 0 && series.rounds < options->rounds)
                r = measure_round(&series);
        series.partial = r == -EINTR;
        r = r == 0 || r == -EINTR ? show(&series, options->json) : EXIT_FAILURE;
        free(series.results);
        return r;
}

static int replay(const struct options *options) {
        struct recording recording;
        struct replay_plan plan = {
                .recording = &recording,
                .speed = options->speed,
                .failure_ttl_s = options->failure_ttl_s,
        };
        bool scripted = options->scripted;
        int r = read_trace(options->trace, &recording);

        if (r != 0)
                return r;
        complain_of_gaps(&recording);
        if (!scripted && access("/proc/modules", F_OK) < 0) {
                scripted = true;
                (void)storm_error("this kernel has no modules: with a scripted loader, which does what was recorded");
        }
        (void)interrupt_catch();
        r = set_up(&plan, scripted) == 0 ? measure(&plan, options) : EXIT_FAILURE;
        tear_down(&plan);
        recording_deinit(&recording);
        return r;
}

static int run(int argc, char **argv) {
        struct options options = { .rounds = 5, .speed_text = "1", .compare_text = "bare,modgate" };
        int r = parse(argc, argv, &options);

        if (r != 0)
                return r;
        return options.help ? storm_print_help(&storm_replay) : replay(&options);
}

const struct storm_command storm_replay = {
        .name = "replay",
        .usage = "replay [--compare=A,B…] [--speed=X] [--failure-ttl=S] [--rounds=N] [--scripted] [--json] TRACE",
        .summary = "The calls of a recorded storm, made once more: bare, at the floor, under modgate",
        .details =
                "TRACE is a file of 'modgate run --trace', or ftrace's text of a boot; bench/README.md says how to\n"
                "record one. Each recorded thread is a process, which makes its calls when they were made. Calls for\n"
                "modules that are not on this machine are left out. Needs root; what was loaded is removed again.\n"
                "\n"
                "  --compare=A,B…   bare, floor, modgate: all in turn in every round (bare,modgate)\n"
                "  --speed=X        so many times as fast; 0: no call waits for its time (1)\n"
                "  --failure-ttl=S  as of modgate run (0)\n"
                "  --rounds=N       how often all is measured (5)\n"
                "  --scripted       no real module: a scripted loader, whose loads take and result in what was\n"
                "                   recorded. By itself where the kernel has no modules\n"
                "  --json           JSON, as bench/README.md says\n",
        .run = run,
};
