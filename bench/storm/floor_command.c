/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "floor.h"
#include "interrupt.h"
#include "setting.h"
#include "storm.h"

#define SCHEMA "modgate.storm.floor/1"

#define ROUNDS_MAX 1000U
#define CASES 4U

enum {
        OPTION_JSON = STORM_LONG_OPTION,
        OPTION_CALLS,
        OPTION_PARKED,
        OPTION_ROUNDS,
        OPTION_HELP,
};

struct options {
        unsigned int calls, parked, rounds;
        bool json;
        bool help;
};

/* All rounds of one case. */
struct floor_series {
        struct floor_case which;
        bool unsupported;
        uint64_t median_ns[ROUNDS_MAX]; /* latency */
        uint64_t p99_ns[ROUNDS_MAX];
        uint64_t wall_ns[ROUNDS_MAX];
};

static void show_progress(unsigned int round, unsigned int rounds, unsigned int index) {
        if (isatty(STDERR_FILENO))
                (void)fprintf(stderr, "\rround %u of %u, case %u of %u ", round + 1, rounds, index + 1, CASES);
}

static void end_progress(void) {
        if (isatty(STDERR_FILENO))
                (void)fputs("\r\033[K", stderr);
}

static int explain(int error, const char *what) {
        errno = -error;
        end_progress();
        (void)fprintf(stderr, "modgate-storm: cannot %s: %m%s\n", what ? what : "measure the floor",
                      setting_advice(error));
        return EXIT_FAILURE;
}

static int measure_round(struct floor_series *series, const struct options *options, unsigned int round,
                         const char **ret_what) {
        for (unsigned int i = 0; i < CASES; i++) {
                struct floor_result result;
                int r;

                show_progress(round, options->rounds, i);
                r = series[i].unsupported ? -EOPNOTSUPP : floor_run(&series[i].which, &result, ret_what);
                if (r == -EOPNOTSUPP && series[i].which.sync_wake_up) {
                        series[i].unsupported = true;
                        continue;
                }
                if (r < 0)
                        return r;
                series[i].median_ns[round] = result.latency_ns.median;
                series[i].p99_ns[round] = result.latency_ns.p99;
                series[i].wall_ns[round] = result.wall_ns;
        }
        return 0;
}

static double us(uint64_t ns) {
        return (double)ns / 1000;
}

static struct json_object *spread_json(uint64_t *values_ns, unsigned int count) {
        struct sample sample = sample_of(values_ns, count);
        struct json_object *object = json_object_new_object();

        (void)json_object_object_add(object, "min", json_object_new_uint64(sample.min));
        (void)json_object_object_add(object, "median", json_object_new_uint64(sample.median));
        (void)json_object_object_add(object, "max", json_object_new_uint64(sample.max));
        return object;
}

static struct json_object *series_json(struct floor_series *series, unsigned int rounds) {
        struct json_object *object = json_object_new_object();

        (void)json_object_object_add(object, "sync_wake_up", json_object_new_boolean(series->which.sync_wake_up));
        (void)json_object_object_add(object, "callers", json_object_new_uint64(series->which.callers));
        (void)json_object_object_add(object, "calls", json_object_new_uint64(series->which.calls));
        (void)json_object_object_add(object, "supported", json_object_new_boolean(!series->unsupported));
        if (series->unsupported || rounds == 0)
                return object;
        (void)json_object_object_add(object, "latency_median_ns", spread_json(series->median_ns, rounds));
        (void)json_object_object_add(object, "latency_p99_ns", spread_json(series->p99_ns, rounds));
        (void)json_object_object_add(object, "wall_ns", spread_json(series->wall_ns, rounds));
        return object;
}

static void print_json(struct floor_series *series, unsigned int rounds) {
        struct json_object *report = json_object_new_object(), *cases = json_object_new_array();

        (void)json_object_object_add(report, "schema", json_object_new_string(SCHEMA));
        (void)json_object_object_add(report, "partial", json_object_new_boolean(interrupt_seen()));
        (void)json_object_object_add(report, "rounds", json_object_new_uint64(rounds));
        for (unsigned int i = 0; i < CASES; i++)
                (void)json_object_array_add(cases, series_json(&series[i], rounds));
        (void)json_object_object_add(report, "cases", cases);
        (void)puts(json_object_to_json_string_ext(report, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED));
        (void)json_object_put(report);
}

static void print_table(struct floor_series *series, unsigned int rounds) {
        (void)printf("%-8s %-12s %-30s %s\n", "callers", "wake-up", "latency, median (min - max)",
                     "until all are answered");
        for (unsigned int i = 0; i < CASES; i++) {
                struct sample latency = sample_of(series[i].median_ns, rounds);
                struct sample wall = sample_of(series[i].wall_ns, rounds);

                (void)printf("%-8u %-12s ", series[i].which.callers,
                             series[i].which.sync_wake_up ? "synchronous" : "plain");
                if (series[i].unsupported)
                        (void)printf("this kernel has none (Linux 6.6)\n");
                else
                        (void)printf("%.1f us (%.1f - %.1f)    %.1f ms (%.1f - %.1f)\n", us(latency.median),
                                     us(latency.min), us(latency.max), us(wall.median) / 1000, us(wall.min) / 1000,
                                     us(wall.max) / 1000);
        }
}

/* Also of what there is when it was interrupted. Returns the exit status. */
static int print_result(struct floor_series *series, const struct options *options, unsigned int rounds) {
        end_progress();
        if (interrupt_seen())
                (void)fprintf(stderr, "modgate-storm: interrupted: a partial result, of %u of %u rounds\n", rounds,
                              options->rounds);
        if (options->json)
                print_json(series, rounds);
        else if (rounds > 0)
                print_table(series, rounds);
        if (fflush(stdout) != 0)
                return EXIT_FAILURE;
        return interrupt_seen() ? STORM_EXIT_INTERRUPTED : EXIT_SUCCESS;
}

static int measure(const struct options *options) {
        struct floor_series *series = calloc(CASES, sizeof(*series));
        const char *what = NULL;
        unsigned int done = 0;
        int r = series ? interrupt_catch() : -ENOMEM;

        for (unsigned int i = 0; series && i < CASES; i++) {
                bool parked = i >= CASES / 2;

                series[i].which = (struct floor_case){
                        .sync_wake_up = i % 2 == 1,
                        .callers = parked ? options->parked : 1,
                        .calls = parked ? 1 : options->calls,
                };
        }
        /* all cases in each round, so that what changes meanwhile changes for all */
        while (r == 0 && !interrupt_seen() && done < options->rounds) {
                r = measure_round(series, options, done, &what);
                if (r == 0)
                        done++;
        }
        if (r < 0 && !interrupt_seen()) {
                free(series);
                return explain(r, what);
        }
        r = print_result(series, options, done);
        free(series);
        return r;
}

static int parse(int argc, char **argv, struct options *options) {
        static const struct option known[] = {
                { "json", no_argument, NULL, OPTION_JSON },
                { "calls", required_argument, NULL, OPTION_CALLS },
                { "parked", required_argument, NULL, OPTION_PARKED },
                { "rounds", required_argument, NULL, OPTION_ROUNDS },
                { "help", no_argument, NULL, OPTION_HELP },
                { 0 },
        };
        int option, r = 0;

        opterr = 0;
        while (r == 0 && (option = getopt_long(argc, argv, "+", known, NULL)) >= 0) {
                if (option == OPTION_JSON)
                        options->json = true;
                else if (option == OPTION_HELP)
                        options->help = true;
                else if (option == OPTION_CALLS)
                        r = storm_parse_number(optarg, 1, 10000000, &options->calls);
                else if (option == OPTION_PARKED)
                        r = storm_parse_number(optarg, 2, 100000, &options->parked);
                else if (option == OPTION_ROUNDS)
                        r = storm_parse_number(optarg, 1, ROUNDS_MAX, &options->rounds);
                else
                        return storm_usage_error(&storm_floor, "unknown or incomplete option '%s'", argv[optind - 1]);
        }
        if (r < 0)
                return storm_usage_error(&storm_floor, "'%s' is no number that makes sense here", optarg);
        return optind < argc ? storm_usage_error(&storm_floor, "'%s' is one argument too many", argv[optind]) : 0;
}

static int run(int argc, char **argv) {
        struct options options = { .calls = 20000, .parked = 512, .rounds = 5 };
        int r = parse(argc, argv, &options);

        if (r != 0)
                return r;
        return options.help ? storm_print_help(&storm_floor) : measure(&options);
}

const struct storm_command storm_floor = {
        .name = "floor",
        .usage = "floor [--calls=N] [--parked=N] [--rounds=N] [--json]",
        .summary = "The least that a supervised call can cost on this machine",
        .details =
                "A listener that receives and answers, and does nothing else: for one caller, whose calls follow each\n"
                "other, and for many that wait at the same time and are answered when all have been received; with\n"
                "and without SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP. Needs root.\n"
                "\n"
                "  --calls=N    calls of the one caller (20000)\n"
                "  --parked=N   how many wait at the same time (512)\n"
                "  --rounds=N   how often all is measured; the medians of the rounds are given, with their lowest and\n"
                "               highest (5)\n"
                "  --json       JSON, as bench/README.md says\n",
        .run = run,
};
