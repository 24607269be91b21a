/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <libkmod.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "observe/names.h"
#include "policy_host.h"
#include "policy_load.h"
#include "util/log.h"

enum {
        OPTION_HELP = CLI_LONG_OPTION,
        OPTION_FILE,
};

struct arguments {
        const char **files; /* of --file, none: POLICY_DIRECTORY */
        size_t file_count;
        bool help;
};

static void print_error(const struct policy_place *place, const char *reason, void *context) {
        (void)context;
        if (place->line > 0)
                (void)fprintf(stderr, "%s:%u: %s\n", place->file, place->line, reason);
        else
                (void)fprintf(stderr, "%s: %s\n", place->file, reason);
}

/* Returns negative errno after saying what is wrong. */
static int load(const char *const *files, size_t count, struct policy **ret) {
        int r;

        r = count > 0 ? policy_load(files, count, print_error, NULL, ret)
                      : policy_load_directory(POLICY_DIRECTORY, print_error, NULL, ret);
        if (r == -ENOMEM)
                log_error("cannot read the policy: %s", strerror(-r));
        return r;
}

static int check(char **files, int count) {
        _cleanup_policy_ struct policy *policy = NULL;

        if (load((const char *const *)files, (size_t)count, &policy) < 0)
                return EXIT_FAILURE;
        (void)printf("no errors, profiles: %zu\n", policy_count(policy));
        if (policy_count(policy) == 0)
                (void)printf("without a profile, containers get nothing%s\n",
                             count > 0 ? "" : "; there is none in " POLICY_DIRECTORY "/*.ini");
        return EXIT_SUCCESS;
}

/* The module, and what it is asked for with. */
struct question {
        const struct policy_profile *profile;
        struct kmod_ctx *kmod;
        const char *parameters;
};

static void print_names(const char *title, const struct policy_module *modules, size_t count) {
        if (count == 0)
                return;
        (void)printf("  %s:", title);
        for (size_t i = 0; i < count; i++)
                (void)printf(" %s", modules[i].name);
        (void)putchar('\n');
}

static void print_soft_dependency(const struct question *question, struct kmod_module *kmod_module, const char *when) {
        struct policy_host_module module = { 0 };
        int r = policy_host_look(question->kmod, kmod_module, policy_profile_uses_aliases(question->profile), &module);

        if (r < 0)
                log_error("cannot look at the module %s: %s; does modinfo show it?", kmod_module_get_name(kmod_module),
                          strerror(-r));
        else if (module.there)
                (void)printf("  soft dependency%s: %s%s\n", when, module.module.name,
                             policy_denies(question->profile, &module.module) ? " (denied: left out)" : "");
        policy_host_deinit(&module);
}

/* Those that would be loaded too, where they can be. */
static void print_soft_dependencies(const struct question *question, struct kmod_module *module) {
        struct kmod_list *lists[2] = { NULL }, *item;

        if (kmod_module_get_softdeps(module, &lists[0], &lists[1]) < 0)
                return;
        for (size_t i = 0; i < 2; i++) {
                kmod_list_foreach(item, lists[i]) {
                        struct kmod_module *soft = kmod_module_get_module(item);

                        print_soft_dependency(question, soft, i == 0 ? "" : ", afterwards");
                        kmod_module_unref(soft);
                }
                (void)kmod_module_unref_list(lists[i]);
        }
}

static void print_verdict(const struct policy_verdict *verdict, const struct policy_host_module *module) {
        if (verdict->error == 0 && !module->there)
                (void)printf("%s: ENOENT: allowed, but this host has no such module\n", module->module.name);
        else if (verdict->error == 0)
                (void)printf("%s: would be loaded\n", module->module.name);
        else if (verdict->error == EEXIST)
                (void)printf("%s: EEXIST: %s\n", module->module.name,
                             module->built_in ? "built into the kernel" : "live now");
        else
                (void)printf("%s: %s: refused\n", module->module.name, name_of_error(verdict->error));
        if (verdict->place.line > 0)
                (void)printf("  because: %s (%s:%u)\n", verdict->reason, verdict->place.file, verdict->place.line);
        else
                (void)printf("  because: %s (by default)\n", verdict->reason);
}

/* Returns 0 or negative errno: what the host has cannot be seen. */
static int decide(const struct question *question, struct policy_host_module *module, struct policy_verdict *ret) {
        struct policy_request request = {
                .module = module->module,
                .dependencies = module->dependencies,
                .dependency_count = module->dependency_count,
                .parameters = question->parameters,
                .parameter_length = strlen(question->parameters),
                .caller = { .root = true, .capable = true },
                .blacklisted = module->blacklisted,
                .live = module->live || module->built_in,
        };
        int r = 0;

        *ret = policy_decide(question->profile, &request);
        if (policy_wants_dependents(ret)) {
                r = policy_host_look_at_dependents(question->kmod, module,
                                                   policy_profile_uses_aliases(question->profile),
                                                   !policy_profile_respects_blacklist(question->profile));
                request.dependents = module->dependents;
                request.dependent_count = module->dependent_count;
                *ret = policy_decide(question->profile, &request);
        }
        return r;
}

/* Returns the exit status. */
static int explain_module(const struct question *question, struct kmod_module *kmod_module) {
        struct policy_host_module module = { 0 };
        struct policy_verdict verdict;
        bool good = false;
        int r;

        r = policy_host_look(question->kmod, kmod_module, policy_profile_uses_aliases(question->profile), &module);
        if (r == 0)
                r = decide(question, &module, &verdict);
        if (r < 0) {
                log_error("cannot look at the module %s: %s; does modinfo show it, and those that need it?",
                          kmod_module_get_name(kmod_module), strerror(-r));
        } else {
                print_verdict(&verdict, &module);
                good = verdict.error == EEXIST || (verdict.error == 0 && module.there);
        }
        if (r == 0 && verdict.error == 0 && module.there) {
                print_names("with", module.dependencies, module.dependency_count);
                print_soft_dependencies(question, kmod_module);
        }
        policy_host_deinit(&module);
        return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Modules of that name or alias; of none, the name alone. */
static int look_up(struct kmod_ctx *kmod, const char *word, struct kmod_list **ret_list, struct kmod_module **ret) {
        int r = kmod_module_new_from_lookup(kmod, word, ret_list);

        *ret = NULL;
        if (r >= 0 && !*ret_list)
                r = kmod_module_new_from_name(kmod, word, ret);
        if (r < 0)
                log_error("cannot look for the module %s: %s", word, strerror(-r));
        return r;
}

static int explain_all(const struct question *question, const char *word) {
        struct kmod_list *list = NULL, *item;
        struct kmod_module *module;
        int status = EXIT_SUCCESS;

        if (look_up(question->kmod, word, &list, &module) < 0)
                return EXIT_FAILURE;
        if (module)
                status = explain_module(question, module);
        kmod_list_foreach(item, list) {
                struct kmod_module *found = kmod_module_get_module(item);

                if (explain_module(question, found) != EXIT_SUCCESS)
                        status = EXIT_FAILURE;
                kmod_module_unref(found);
        }
        if (module)
                kmod_module_unref(module);
        (void)kmod_module_unref_list(list);
        return status;
}

/* As modprobe does it: a value with blanks gets quotes. */
static void write_parameter(FILE *file, const char *word) {
        const char *equals = strchr(word, '=');

        if (equals && strpbrk(equals, " \t") && !strchr(equals, '"'))
                (void)fprintf(file, "%.*s\"%s\"", (int)(equals + 1 - word), word, equals + 1);
        else
                (void)fputs(word, file);
}

/* The parameters as one string, to be freed; NULL: no memory. */
static char *join(char **words, int count) {
        char *text = NULL;
        size_t size;
        FILE *file = open_memstream(&text, &size);

        for (int i = 0; file && i < count; i++) {
                write_parameter(file, words[i]);
                (void)fputc(' ', file);
        }
        if (file && fclose(file) == 0)
                return text;
        free(text);
        return NULL;
}

static int explain(const struct arguments *arguments, char **words, int count) {
        _cleanup_policy_ struct policy *policy = NULL;
        struct question question;
        char *parameters;
        int status = EXIT_FAILURE;

        if (load(arguments->files, arguments->file_count, &policy) < 0)
                return EXIT_FAILURE;
        question.profile = policy_find(policy, words[0]);
        if (!question.profile) {
                log_error("there is no profile '%s' in %s: its containers get nothing", words[0],
                          arguments->file_count > 0 ? "these files" : POLICY_DIRECTORY "/*.ini");
                return EXIT_FAILURE;
        }
        parameters = join(words + 2, count - 2);
        question.parameters = parameters;
        question.kmod = kmod_new(NULL, NULL);
        if (parameters && question.kmod)
                status = explain_all(&question, words[1]);
        else
                log_error("cannot look for the module %s: %s", words[1], strerror(ENOMEM));
        if (question.kmod)
                (void)kmod_unref(question.kmod);
        free(parameters);
        return status;
}

/* Returns 0, or the exit status of a usage error. */
static int parse(int argc, char **argv, struct arguments *arguments) {
        static const struct option options[] = {
                { "help", no_argument, NULL, OPTION_HELP },
                { "file", required_argument, NULL, OPTION_FILE },
                { 0 },
        };
        int option;

        opterr = 0;
        optind = 0; /* GNU's word for a new scan */
        while ((option = getopt_long(argc, argv, "hf:", options, NULL)) >= 0) {
                switch (option) {
                case 'h':
                case OPTION_HELP:
                        arguments->help = true;
                        return 0;
                case 'f':
                case OPTION_FILE:
                        arguments->files[arguments->file_count++] = optarg;
                        break;
                default:
                        return cli_option_error(&cli_policy, argv);
                }
        }
        return 0;
}

static int lead(const struct arguments *arguments, int count, char **words) {
        if (count == 0)
                return cli_usage_error(&cli_policy, "check or explain is missing");
        if (strcmp(words[0], "check") == 0) {
                if (arguments->file_count > 0)
                        return cli_usage_error(&cli_policy, "check takes its files without --file");
                return check(words + 1, count - 1);
        }
        if (strcmp(words[0], "explain") != 0)
                return cli_usage_error(&cli_policy, "check or explain is needed, not '%s'", words[0]);
        if (count < 3)
                return cli_usage_error(&cli_policy, "%s is missing", count < 2 ? "PROFILE" : "MODULE");
        return explain(arguments, words + 1, count - 1);
}

static int policy_command(const struct kernel_interface *kernel, int argc, char **argv) {
        struct arguments arguments = { .files = calloc((size_t)argc, sizeof(char *)) };
        int r;

        if (!arguments.files) {
                log_error("cannot read the policy: %s", strerror(ENOMEM));
                return EXIT_FAILURE;
        }
        r = parse(argc, argv, &arguments);
        if (r == 0 && arguments.help)
                r = cli_help.run(kernel, 2, (char *[]){ (char *)cli_help.name, (char *)cli_policy.name, NULL });
        else if (r == 0)
                r = lead(&arguments, argc - optind, argv + optind);
        free(arguments.files);
        return r;
}

const struct cli_command cli_policy = {
        .name = "policy",
        .usage = "policy check [FILE...] | explain [-f FILE]... PROFILE MODULE [PARAMETER...]",
        .summary = "Check what containers may load, and explain it",
        .details = "The language of the files is in modgate-policy(5). Where none is named, it is all of\n"
                   "/etc/modgate/policy.d/*.ini. Files are one policy together: one with an error, and there\n"
                   "is none.\n"
                   "\n"
                   "check: says each error, as FILE:LINE: reason.\n"
                   "explain: says what a container of PROFILE would get for MODULE (a name or an alias) on\n"
                   "this host as it is now, and by which line. It supposes that root of the container asks,\n"
                   "with CAP_SYS_MODULE in its user namespace, and not too often.\n"
                   "\n"
                   "  -f, --file=FILE  a file of the policy to explain\n"
                   "  -h, --help       this page\n"
                   "\n"
                   "Exit status: 0 no errors, or loaded or live; 1 errors, or refused or unknown; 2 usage.\n",
        .run = policy_command,
};
