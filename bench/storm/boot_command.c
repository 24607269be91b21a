/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "boot_result.h"
#include "boot_script.h"
#include "interrupt.h"
#include "storm.h"

#define CPUS_MAX 1024U
#define LIST_MAX 16U
#define NAME_SIZE 64U

enum {
        OPTION_CPUS = STORM_LONG_OPTION,
        OPTION_RELEASE,
        OPTION_ROUNDS,
        OPTION_SOURCE,
        OPTION_BUILD,
        OPTION_JSON,
        OPTION_SVG,
        OPTION_HELP,
};

static const char *const releases[] = { "12", "13", "12on13" };

struct options {
        unsigned int cpus[LIST_MAX], n_cpus;
        const char *releases[sizeof(releases) / sizeof(releases[0])];
        unsigned int n_releases;
        unsigned int rounds;
        const char *source; /* NULL: to be found */
        const char *build;  /* NULL: the script's default */
        const char *svg;    /* NULL: none */
        bool json, help;
};

_Static_assert(LIST_MAX * sizeof(releases) / sizeof(releases[0]) <= BOOT_CASES_MAX, "there is room for all cases");

/* The options */

static int add_cpus(const char *text, struct options *options) {
        if (options->n_cpus == LIST_MAX || storm_parse_number(text, 1, CPUS_MAX, &options->cpus[options->n_cpus]) < 0)
                return -EINVAL;
        options->n_cpus++;
        return 0;
}

static int add_release(const char *text, struct options *options) {
        for (size_t i = 0; i < sizeof(releases) / sizeof(releases[0]); i++) {
                if (strcmp(releases[i], text) != 0)
                        continue;
                for (unsigned int j = 0; j < options->n_releases; j++)
                        if (options->releases[j] == releases[i])
                                return -EINVAL;
                options->releases[options->n_releases++] = releases[i];
                return 0;
        }
        return -EINVAL;
}

/* A list with commas. */
static int parse_list(const char *list, int (*add)(const char *text, struct options *options),
                      struct options *options) {
        char *texts = strdup(list), *next = texts, *text;
        int r = texts ? 0 : -ENOMEM;

        while (r == 0 && (text = strsep(&next, ",")))
                r = add(text, options);
        free(texts);
        return r;
}

/* The last one counts where an option is given twice. */
static int parse_option(int option, const char *value, struct options *options) {
        switch (option) {
        case OPTION_CPUS:
                options->n_cpus = 0;
                return parse_list(value, add_cpus, options);
        case OPTION_RELEASE:
                options->n_releases = 0;
                return parse_list(value, add_release, options);
        case OPTION_ROUNDS:
                return storm_parse_number(value, 1, BOOT_ROUNDS_MAX, &options->rounds);
        case OPTION_SOURCE:
                options->source = value;
                return 0;
        case OPTION_BUILD:
                options->build = value;
                return 0;
        case OPTION_SVG:
                options->svg = value;
                return 0;
        case OPTION_JSON:
                options->json = true;
                return 0;
        default:
                options->help = true;
                return 0;
        }
}

/* Returns 0, or the exit status after a message. */
static int parse(int argc, char **argv, struct options *options) {
        static const struct option known[] = {
                { "cpus", required_argument, NULL, OPTION_CPUS },
                { "release", required_argument, NULL, OPTION_RELEASE },
                { "rounds", required_argument, NULL, OPTION_ROUNDS },
                { "source", required_argument, NULL, OPTION_SOURCE },
                { "build", required_argument, NULL, OPTION_BUILD },
                { "json", no_argument, NULL, OPTION_JSON },
                { "svg", required_argument, NULL, OPTION_SVG },
                { "help", no_argument, NULL, OPTION_HELP },
                { 0 },
        };
        int option;

        opterr = 0;
        while ((option = getopt_long(argc, argv, "+", known, NULL)) >= 0) {
                if (option == '?')
                        return storm_usage_error(&storm_boot, "unknown or incomplete option '%s'", argv[optind - 1]);
                if (parse_option(option, optarg, options) < 0)
                        return storm_usage_error(&storm_boot, "'%s' makes no sense for --%s", optarg,
                                                 known[option - OPTION_CPUS].name);
        }
        return optind < argc ? storm_usage_error(&storm_boot, "'%s' is one argument too many", argv[optind]) : 0;
}

/* Where things are */

/* The tree that this program lies in, or the current directory. */
static char *find_script(void) {
        char path[PATH_MAX];
        ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
        char *found = NULL;

        if (length > 0) {
                path[length] = '\0';
                found = boot_script_above(path);
        }
        return found || !getcwd(path, sizeof(path)) ? found : boot_script_above(path);
}

/* The caller frees it. NULL: a message was printed. */
static char *locate_script(const char *source) {
        char *script = source ? boot_script_below(source) : find_script();

        if (!script && source)
                (void)storm_usage_error(&storm_boot,
                                        "no source tree of modgate in '%s': there is no scripts/quickstart", source);
        else if (!script)
                (void)storm_usage_error(&storm_boot,
                                        "no source tree of modgate here, whose scripts/quickstart boots the "
                                        "guests: name one with --source=DIR");
        return script;
}

/* Before hours are spent: a file that cannot be written is said now. */
static int open_picture(const char *path, FILE **ret) {
        *ret = path ? fopen(path, "we") : NULL;
        if (path && !*ret) {
                (void)fprintf(stderr, "modgate-storm: cannot write the picture to %s: %m\n", path);
                return -errno;
        }
        return 0;
}

/* The boots */

static void show_progress(const struct boot_result *result, unsigned int round, unsigned int index) {
        char name[NAME_SIZE];

        if (!isatty(STDERR_FILENO))
                return;
        boot_case_name(&result->cases[index], name, sizeof(name));
        (void)fprintf(stderr, "round %u of %u, machine %u of %u: %s\n", round + 1, result->rounds, index + 1,
                      result->n_cases, name);
}

/* Returns 0, also if it did not get through, BOOT_E_INTERRUPTED or negative errno. */
static int boot_case(struct boot_result *result, const struct boot_script *script, unsigned int round,
                     unsigned int index, bool *built) {
        struct boot_case *which = &result->cases[index];
        const struct boot_pair pair = {
                .release = which->release,
                .cpus = which->cpus,
                .modgate_first = round % 2 == 1,
                .no_build = *built,
        };
        struct json_object *boot;
        int r;

        show_progress(result, round, index);
        r = boot_script_run(script, &pair, &boot);
        if (r == 0) {
                boot_case_add_consume(which, boot);
                *built = true; /* all rounds are those of the same program */
        } else if (r == BOOT_E_FAILED)
                which->failed++;
        return r == BOOT_E_FAILED ? 0 : r;
}

/* All machines in each round, so that what changes meanwhile changes for all of them. */
static int boot_all(struct boot_result *result, const struct boot_script *script) {
        bool built = false;

        for (unsigned int round = 0; round < result->rounds; round++)
                for (unsigned int i = 0; i < result->n_cases; i++) {
                        int r = boot_case(result, script, round, i, &built);

                        if (r != 0)
                                return r;
                }
        return 0;
}

static int write_result(const struct boot_result *result, bool json, FILE *picture) {
        int r = picture ? boot_result_draw(result, picture) : 0;

        if (r < 0)
                (void)fprintf(stderr, "modgate-storm: cannot write the picture: %s\n", strerror(-r));
        if (json) {
                struct json_object *report = boot_result_json(result);

                (void)puts(json_object_to_json_string_ext(report, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED));
                (void)json_object_put(report);
        } else
                boot_result_print(result, stdout);
        return fflush(stdout) != 0 ? -EIO : r;
}

static bool has_problems(const struct boot_result *result) {
        struct json_object *problems = boot_result_problems(result);
        bool some = json_object_array_length(problems) > 0;

        (void)json_object_put(problems);
        return some;
}

static int measure(struct boot_result *result, const struct boot_script *script, bool json, FILE *picture) {
        int r = interrupt_catch();

        if (r == 0)
                r = boot_all(result, script);
        if (r < 0)
                (void)fprintf(stderr, "modgate-storm: cannot run %s: %s\n", script->path, strerror(-r));
        result->interrupted = r == BOOT_E_INTERRUPTED;
        if (boot_result_is_partial(result))
                (void)fprintf(stderr, "modgate-storm: %s: a partial result\n",
                              result->interrupted ? "interrupted" : "not all boots got through");
        if (write_result(result, json, picture) < 0)
                r = -EIO;
        if (result->interrupted)
                return STORM_EXIT_INTERRUPTED;
        return r < 0 || has_problems(result) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int boot(const struct options *options) {
        struct boot_script script = { .build = options->build };
        struct boot_result *result = calloc(1, sizeof(*result));
        char *path = locate_script(options->source);
        FILE *picture = NULL;
        int r = path ? EXIT_FAILURE : STORM_EXIT_USAGE;

        if (result && path && open_picture(options->svg, &picture) == 0) {
                script.path = path;
                result->rounds = options->rounds;
                for (unsigned int i = 0; i < options->n_releases; i++)
                        for (unsigned int j = 0; j < options->n_cpus; j++)
                                boot_result_add_case(result, options->releases[i], options->cpus[j]);
                r = measure(result, &script, options->json, picture);
                boot_result_deinit(result);
        }
        if (picture && fclose(picture) != 0)
                r = EXIT_FAILURE;
        free(path);
        free(result);
        return r;
}

static int run(int argc, char **argv) {
        struct options options = {
                .cpus = { 1, 16, 64 },
                .n_cpus = 3,
                .releases = { releases[0], releases[1] },
                .n_releases = 2,
                .rounds = 3,
        };
        int r = parse(argc, argv, &options);

        if (r != 0)
                return r;
        return options.help ? storm_print_help(&storm_boot) : boot(&options);
}

const struct storm_command storm_boot = {
        .name = "boot",
        .usage = "boot [--cpus=N,…] [--release=NAME,…] [--rounds=N] [--json] [--svg=FILE] [--source=DIR] [--build=DIR]",
        .summary = "udevd's cold-plug in guests, bare and under modgate",
        .details =
                "Boots Debian in QEMU's software emulation, through scripts/quickstart of a source tree of modgate: "
                "real\n"
                "udevd, until it has settled, once bare and once under modgate. The two follow each other, in turn "
                "one\n"
                "and the other first. Takes minutes a machine and round.\n"
                "\n"
                "  --cpus=N,…        CPUs of the machines (1,16,64)\n"
                "  --release=NAME,…  12, 13, or 12on13: Debian 12 on the kernel of 13 (12,13)\n"
                "  --rounds=N        how often each is booted; medians are given, with the lowest and the highest (3)\n"
                "  --json            JSON, as bench/README.md says\n"
                "  --svg=FILE        also draw it\n"
                "  --source=DIR      the source tree (that of this program, or the current directory)\n"
                "  --build=DIR       where modgate is built for the guests (build-quickstart in the source tree)\n",
        .run = run,
};
