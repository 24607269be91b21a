/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "synthetic_options.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

#define MEMBER(name) offsetof(struct synthetic_options, name)

static const struct storm_option known[] = {
        { "callers", OPTION_NUMBER, MEMBER(callers), 1, 100000 },
        { "bare-callers", OPTION_NUMBER, MEMBER(bare_callers), 0, 100000 },
        { "calls", OPTION_NUMBER, MEMBER(calls), 1, 10000000 },
        { "wave", OPTION_NUMBER, MEMBER(wave), 1, 100000 },
        { "failure-ttl", OPTION_NUMBER, MEMBER(failure_ttl_s), 0, 86400 },
        { "rounds", OPTION_NUMBER, MEMBER(rounds), 1, 10000 },
        { "modules", OPTION_NUMBER, MEMBER(modules), 1, SYNTHETIC_MODULES_MAX },
        { "load-us", OPTION_NUMBER, MEMBER(load_us), 0, 600000000 },
        { "image-kib", OPTION_NUMBER, MEMBER(image_kib), 0, 1048576 },
        { "call", OPTION_TEXT, MEMBER(call_text), 0, 0 },
        { "between", OPTION_TEXT, MEMBER(between_text), 0, 0 },
        { "result", OPTION_TEXT, MEMBER(result_text), 0, 0 },
        { "wake", OPTION_TEXT, MEMBER(wake_text), 0, 0 },
        { "compare", OPTION_TEXT, MEMBER(compare_text), 0, 0 },
        { "params", OPTION_TEXT, MEMBER(params), 0, 0 },
        { "live", OPTION_TEXT, MEMBER(live), 0, 0 },
        { "svg", OPTION_TEXT, MEMBER(svg), 0, 0 },
        { "warm", OPTION_FLAG, MEMBER(warm), 0, 0 },
        { "hold", OPTION_FLAG, MEMBER(hold), 0, 0 },
        { "scripted", OPTION_FLAG, MEMBER(scripted), 0, 0 },
        { "json", OPTION_FLAG, MEMBER(json), 0, 0 },
        { "help", OPTION_FLAG, MEMBER(help), 0, 0 },
};

/* Which of the words it is; -1: none. */
static int word(const char *text, const char *const *words) {
        for (int i = 0; words[i]; i++)
                if (strcmp(text, words[i]) == 0)
                        return i;
        return -1;
}

static int parse_words(const struct storm_command *command, struct synthetic_options *options) {
        static const char *const calls[] = { "finit", "init", NULL };
        static const char *const betweens[] = { "nothing", "remove", NULL };
        static const char *const wakes[] = { [WAKE_AUTO] = "auto", [WAKE_PLAIN] = "plain", [WAKE_SYNC] = "sync", NULL };
        int call = word(options->call_text, calls), between = word(options->between_text, betweens);
        int wake = word(options->wake_text, wakes);

        if (call < 0)
                return storm_usage_error(command, "--call=%s: neither finit nor init", options->call_text);
        if (between < 0)
                return storm_usage_error(command, "--between=%s: neither nothing nor remove", options->between_text);
        if (wake < 0)
                return storm_usage_error(command, "--wake=%s: not auto, plain or sync", options->wake_text);
        /* what is answered so is a call that nobody serves */
        if (result_from_name(options->result_text, &options->result) < 0 || options->result == ENOSYS)
                return storm_usage_error(command, "--result=%s: not OK, and not the name or number of an errno",
                                         options->result_text);
        options->init = call == 1;
        options->remove = between == 1;
        options->wake = (enum floor_wake)wake;
        return 0;
}

static bool is_compared(const struct synthetic_options *options, enum setting_kind kind) {
        for (size_t i = 0; i < options->setting_count; i++)
                if (options->settings[i] == kind)
                        return true;
        return false;
}

static int parse_compare(const struct storm_command *command, struct synthetic_options *options) {
        const char *rest = options->compare_text;

        for (;;) {
                size_t length = strcspn(rest, ",");
                enum setting_kind kind;

                if (!setting_from_name(rest, length, &kind) || is_compared(options, kind))
                        return storm_usage_error(command,
                                                 "--compare=%s: not a list of bare, floor and modgate, each once",
                                                 options->compare_text);
                options->settings[options->setting_count++] = kind;
                if (rest[length] == '\0')
                        return 0;
                rest += length + 1;
        }
}

static int check_together(const struct storm_command *command, const struct synthetic_options *options) {
        if (options->name_count == 0 && options->modules == 0)
                return storm_usage_error(command,
                                         "no module is named (with --scripted --modules=N can make N of them)");
        if (options->name_count > 0 && options->modules > 0)
                return storm_usage_error(command, "either modules are named, or --modules says how many");
        if (!options->scripted &&
            (options->modules > 0 || options->load_us > 0 || options->image_kib > 0 || options->hold))
                return storm_usage_error(command, "--modules, --load-us, --image-kib and --hold need --scripted");
        if (!options->scripted && options->result != 0)
                return storm_usage_error(command, "--result needs --scripted");
        if (options->hold &&
            (options->name_count + options->modules != 1 || options->calls > 1 || options->wave > 0 || options->warm))
                return storm_usage_error(command, "--hold needs one module, one call of each, no --wave and no --warm");
        if (options->live && options->wave == 0)
                return storm_usage_error(command, "--live needs --wave: it comes after the first one");
        return 0;
}

int synthetic_parse(const struct storm_command *command, int argc, char **argv, struct synthetic_options *ret) {
        int first, r;

        *ret = (struct synthetic_options){
                .callers = 64,
                .rounds = 5,
                .call_text = "finit",
                .between_text = "nothing",
                .result_text = "OK",
                .wake_text = "auto",
                .compare_text = "bare,modgate",
                .params = "",
        };
        first = storm_parse_options(command, argc, argv, known, sizeof(known) / sizeof(known[0]), ret);
        if (first < 0)
                return STORM_EXIT_USAGE;
        if (ret->help)
                return 0;
        ret->names = argv + first;
        ret->name_count = (size_t)(argc - first);
        if (access("/proc/modules", F_OK) != 0)
                ret->scripted = true;
        r = parse_words(command, ret);
        if (r == 0)
                r = parse_compare(command, ret);
        return r == 0 ? check_together(command, ret) : r;
}

const char synthetic_usage[] = "synthetic [OPTION…] MODULE…";

const char synthetic_details[] =
        "MODULE is the name of a module of this kernel, or the path of a module's file, with a '/'. What is loaded is\n"
        "removed again; what was there before is not touched. Needs root.\n"
        "\n"
        "  --callers=N        processes that ask (64)\n"
        "  --bare-callers=N   in the setting bare, to compare a storm with fewer callers, or with one (as many)\n"
        "  --calls=N          how often each asks, going through the modules and again from the first (each module "
        "once)\n"
        "  --wave=N           at most N callers at once: one wave follows the other (all)\n"
        "  --call=finit|init  which system call (finit)\n"
        "  --params=TEXT      module parameters\n"
        "  --between=remove   the modules are removed after each wave\n"
        "  --live=MODULE      another module, which goes live after the first wave\n"
        "  --warm             each module is asked for once before anything is measured\n"
        "  --compare=LIST     bare, floor (a server that receives and answers, and does nothing else), modgate: all "
        "in\n"
        "                     each round, and ratios to the first one (bare,modgate)\n"
        "  --failure-ttl=S    as that of `modgate run` (0)\n"
        "  --wake=sync|plain  how the floor's server wakes a caller; synchronous needs Linux 6.6 (sync where there is\n"
        "                     one caller at a time)\n"
        "  --rounds=N         how often all is measured (5)\n"
        "  --json             JSON, as bench/README.md says\n"
        "  --svg=FILE         also a picture\n"
        "\n"
        "  --scripted         a scripted loader in the kernel's place, which all output says; without being asked for\n"
        "                     where the kernel has no modules\n"
        "  --modules=N        it makes N modules up, in place of MODULE…\n"
        "  --result=ERRNO     what its loads result in: OK, or the name or number of an errno (OK)\n"
        "  --load-us=N        how many microseconds each takes (0)\n"
        "  --image-kib=N      how large each module's file is\n"
        "  --hold             the load does not end before all callers wait for it (one module, one call of each)\n";
