/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "interrupt.h"
#include "overhead.h"
#include "setting.h"
#include "spread.h"
#include "storm.h"

#define SCHEMA "modgate.storm.overhead/1"

#define ROUNDS_MAX 1000U
#define CALLS_MIN 100U

enum {
        OPTION_JSON = STORM_LONG_OPTION,
        OPTION_CALLS,
        OPTION_ROUNDS,
        OPTION_HELP,
};

struct options {
        unsigned int calls, rounds;
        bool json, help;
};

struct series {
        unsigned int rounds; /* that were measured */
        double call_ns[OVERHEAD_KINDS][ROUNDS_MAX];
        double ratio[ROUNDS_MAX], ratio_to_allow[ROUNDS_MAX]; /* of modgate */
        double memory_kib[ROUNDS_MAX];
        struct memory last;
};

static void show_progress(unsigned int round, unsigned int rounds) {
        if (isatty(STDERR_FILENO))
                (void)fprintf(stderr, "\rround %u of %u ", round + 1, rounds);
}

static void end_progress(void) {
        if (isatty(STDERR_FILENO))
                (void)fputs("\r\033[K", stderr);
}

static const char *advice(int error) {
        if (error == -EOPNOTSUPP)
                return "; this kernel gives no PSS (CONFIG_PROC_PAGE_MONITOR)";
        return error == -ESRCH ? "; modgate has gone" : setting_advice(error);
}

static int explain(int error, const char *what) {
        errno = -error;
        (void)fprintf(stderr, "modgate-storm: cannot %s: %m%s\n", what, advice(error));
        return EXIT_FAILURE;
}

/* Another one comes first in each round. */
static int measure_round(struct series *series, unsigned int calls, const char **ret_what) {
        unsigned int round = series->rounds;
        struct overhead results[OVERHEAD_KINDS];

        for (unsigned int i = 0; i < OVERHEAD_KINDS; i++) {
                enum overhead_kind kind = (round + i) % OVERHEAD_KINDS;
                int r = overhead_measure(kind, calls, &results[kind], ret_what);

                if (r < 0)
                        return r;
                series->call_ns[kind][round] = results[kind].call_ns;
        }
        series->ratio[round] = results[OVERHEAD_MODGATE].call_ns / results[OVERHEAD_BARE].call_ns;
        series->ratio_to_allow[round] = results[OVERHEAD_MODGATE].call_ns / results[OVERHEAD_ALLOW].call_ns;
        series->last = results[OVERHEAD_MODGATE].memory;
        series->memory_kib[round] = series->last.total_kib;
        series->rounds++;
        return 0;
}

static struct json_object *spread_json(double *values, size_t count) {
        struct spread spread = spread_of(values, count);
        struct json_object *object = json_object_new_object();

        (void)json_object_object_add(object, "min", json_object_new_double(spread.min));
        (void)json_object_object_add(object, "median", json_object_new_double(spread.median));
        (void)json_object_object_add(object, "max", json_object_new_double(spread.max));
        return object;
}

static struct json_object *call_json(struct series *series) {
        struct json_object *object = json_object_new_object();

        (void)json_object_object_add(object, "bare_ns", spread_json(series->call_ns[OVERHEAD_BARE], series->rounds));
        (void)json_object_object_add(object, "allow_ns", spread_json(series->call_ns[OVERHEAD_ALLOW], series->rounds));
        (void)json_object_object_add(object, "modgate_ns",
                                     spread_json(series->call_ns[OVERHEAD_MODGATE], series->rounds));
        (void)json_object_object_add(object, "ratio", spread_json(series->ratio, series->rounds));
        (void)json_object_object_add(object, "ratio_to_allow", spread_json(series->ratio_to_allow, series->rounds));
        return object;
}

static struct json_object *memory_json(struct series *series) {
        struct json_object *object = json_object_new_object(), *processes = json_object_new_array();

        (void)json_object_object_add(object, "total_kib", spread_json(series->memory_kib, series->rounds));
        (void)json_object_object_add(object, "shared_with_storm_kib", json_object_new_uint64(series->last.shared_kib));
        for (unsigned int i = 0; i < series->last.n_processes; i++) {
                const struct memory_process *process = &series->last.processes[i];
                struct json_object *one = json_object_new_object();

                (void)json_object_object_add(one, "name", json_object_new_string(process->name));
                (void)json_object_object_add(one, "pss_kib", json_object_new_uint64(process->pss_kib));
                (void)json_object_array_add(processes, one);
        }
        (void)json_object_object_add(object, "processes", processes);
        return object;
}

static void print_json(struct series *series, const struct options *options) {
        struct json_object *report = json_object_new_object();

        (void)json_object_object_add(report, "schema", json_object_new_string(SCHEMA));
        (void)json_object_object_add(report, "partial", json_object_new_boolean(series->rounds < options->rounds));
        (void)json_object_object_add(report, "rounds", json_object_new_uint64(series->rounds));
        (void)json_object_object_add(report, "calls", json_object_new_uint64(options->calls));
        if (series->rounds > 0) {
                (void)json_object_object_add(report, "getppid", call_json(series));
                (void)json_object_object_add(report, "memory", memory_json(series));
        }
        (void)puts(json_object_to_json_string_ext(report, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED));
        (void)json_object_put(report);
}

static void print_row(const char *title, double *values, size_t count, int decimals, const char *unit) {
        struct spread spread = spread_of(values, count);

        (void)printf("%-34s %.*f%s (%.*f - %.*f)\n", title, decimals, spread.median, unit, decimals, spread.min,
                     decimals, spread.max);
}

static void print_table(struct series *series) {
        (void)printf("median (lowest - highest) of %u round%s\n", series->rounds, series->rounds == 1 ? "" : "s");
        print_row("getppid, bare", series->call_ns[OVERHEAD_BARE], series->rounds, 1, " ns");
        print_row("  under a filter that allows all", series->call_ns[OVERHEAD_ALLOW], series->rounds, 1, " ns");
        print_row("  under modgate", series->call_ns[OVERHEAD_MODGATE], series->rounds, 1, " ns");
        print_row("modgate to bare", series->ratio, series->rounds, 3, "");
        print_row("modgate to that filter", series->ratio_to_allow, series->rounds, 3, "");
        print_row("memory of modgate, idle", series->memory_kib, series->rounds, 0, " KiB");
        for (unsigned int i = 0; i < series->last.n_processes; i++)
                (void)printf("  %-32s %u KiB\n", series->last.processes[i].name, series->last.processes[i].pss_kib);
        (void)printf("  %-32s %u KiB\n", "shared with modgate-storm", series->last.shared_kib);
}

/* Also of what there is when it was interrupted. Returns the exit status. */
static int print_result(struct series *series, const struct options *options) {
        if (interrupt_seen())
                (void)fprintf(stderr, "modgate-storm: interrupted: a partial result, of %u of %u rounds\n",
                              series->rounds, options->rounds);
        if (options->json)
                print_json(series, options);
        else if (series->rounds > 0)
                print_table(series);
        if (fflush(stdout) != 0)
                return EXIT_FAILURE;
        return interrupt_seen() ? STORM_EXIT_INTERRUPTED : EXIT_SUCCESS;
}

static int measure(const struct options *options) {
        struct series *series = calloc(1, sizeof(*series));
        const char *what = "catch signals";
        int r = series ? interrupt_catch() : -ENOMEM;

        while (r == 0 && !interrupt_seen() && series->rounds < options->rounds) {
                show_progress(series->rounds, options->rounds);
                r = measure_round(series, options->calls, &what);
        }
        end_progress();
        r = r < 0 && !interrupt_seen() ? explain(r, what) : print_result(series, options);
        free(series);
        return r;
}

static int parse(int argc, char **argv, struct options *options) {
        static const struct option known[] = {
                { "json", no_argument, NULL, OPTION_JSON },
                { "calls", required_argument, NULL, OPTION_CALLS },
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
                        r = storm_parse_number(optarg, CALLS_MIN, 1000000000, &options->calls);
                else if (option == OPTION_ROUNDS)
                        r = storm_parse_number(optarg, 1, ROUNDS_MAX, &options->rounds);
                else
                        return storm_usage_error(&storm_overhead, "unknown or incomplete option '%s'",
                                                 argv[optind - 1]);
        }
        if (r < 0)
                return storm_usage_error(&storm_overhead, "'%s' is no number that makes sense here", optarg);
        return optind < argc ? storm_usage_error(&storm_overhead, "'%s' is one argument too many", argv[optind]) : 0;
}

static int run(int argc, char **argv) {
        struct options options = { .calls = 200000, .rounds = 15 };
        int r = parse(argc, argv, &options);

        if (r != 0)
                return r;
        return options.help ? storm_print_help(&storm_overhead) : measure(&options);
}

const struct storm_command storm_overhead = {
        .name = "overhead",
        .usage = "overhead [--calls=N] [--rounds=N] [--json]",
        .summary = "What a tree pays under modgate that loads nothing",
        .details = "Another system call, getppid, under modgate's filter against none; and the memory (PSS) of all of "
                   "modgate's\n"
                   "processes when nothing is asked of them. Needs root.\n"
                   "\n"
                   "  --calls=N    calls of each of these in a round (200000)\n"
                   "  --rounds=N   how often all is measured; medians are given, with the lowest and the highest (15)\n"
                   "  --json       JSON, as bench/README.md says\n",
        .run = run,
};
