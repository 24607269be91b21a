/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Random calls, one after the other, in rounds that begin with nothing loaded.
 *
 * A failure that modgate may remember (--failure-ttl) may make a difference as soon as another module goes live: see
 * "made up for" in docs/design.md. That difference is shown by a scenario. Here, in a round of such failures, nothing
 * goes live any more, and in the other rounds there is none of them.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "differential.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CALLS_IN_ROUND 24U

static const char *const failing[] = { "error=19", "error=6", "error=95", "error=17", "error=19 sleep_ms=2" };

static const char *const others[] = {
        "",
        "",
        "",
        "error=-7", /* a positive result, which is a success */
        "sleep_ms=3",
        "error=16",
        "error=12",
        "error=11",
        "error=4",
        "error=5",
        "error=2",
        "error=1",
        "error=38",
        "error=512", /* ERESTARTSYS */
        "error=514", /* ERESTARTNOHAND */
        "error=517", /* EPROBE_DEFER */
        "error=4095",
        "error=5000", /* no errno at all */
        "error=16 fail_first=1",
        "error=12 fail_first=2",
        "error=4 fail_first=1 sleep_ms=2",
        "error=16 needs=mg_one",
        "error=16 needs=mg_two",
};

static const struct source *any_source(void) {
        static const char *const good[] = {
                "indexed one", "indexed two", "indexed three", "indexed four", "indexed big",   "plain one",
                "plain two",   "plain three", "plain four",    "copy",         "one named two", "unlinked",
        };

        return random_below(4) > 0 ? source_find(good[random_below(COUNT(good))])
                                   : &sources[random_below(sources_count)];
}

static const struct source *any_image(void) {
        static const char *const good[] = { "plain one", "plain two", "plain three", "plain four" };

        return random_below(5) > 0 ? source_find(good[random_below(COUNT(good))]) : any_source();
}

static unsigned int any_flags(void) {
        static const unsigned int flags[] = { 0, 0, 0, 4, 4, 4, 1, 2, 3, 6, 8 };

        return flags[random_below(COUNT(flags))];
}

static const struct params *any_params(void) {
        const struct params *params;

        do
                params = &all_params[random_below(params_count)];
        while (strcmp(params->label, "PROT_NONE") == 0);
        return params;
}

static enum memory any_memory(void) {
        enum memory memory = random_below(3) > 0 ? MEMORY_PLAIN : (enum memory)random_below(MEMORIES);

        return memory == MEMORY_FORBIDDEN ? MEMORY_MAPPED : memory;
}

static void call_something(const char *text) {
        struct params params = params_of(text);
        struct call call = {
                .init = random_below(3) == 0,
                .params = text && random_below(6) > 0 ? &params : any_params(),
                .who = random_below(3) > 0 ? WHO_SELF : (enum who)random_below(WHOS),
                .flags = any_flags(),
                .memory = any_memory(),
                .length = random_below(4) > 0 ? &lengths[0] : &lengths[random_below(lengths_count)],
        };

        call.source = call.init ? any_image() : any_source();
        (void)step_call(&call);
}

static void remove_something(void) {
        const char *name = module_names[random_below(TEST_MODULES)];
        char text[64];
        long r = syscall(SYS_delete_module, name, O_NONBLOCK);

        snprintf(text, sizeof(text), "delete_module(%s)", name);
        step_write("-", text, r < 0 ? result_name(-errno) : "OK");
}

static void load_state_module(void) {
        state_module_load();
        step_write("-", "mg_state", "OK");
}

static void load_plain(const char *label) {
        const struct call call = { .source = source_find(label), .params = params_find("none") };

        (void)step_call(&call);
}

static void write_attempts(void) {
        char text[512];

        attempts_describe(text, sizeof(text));
        step_write("attempts", "attempts", text);
}

/* Some are live at first. */
static void round_of_failures(void) {
        load_state_module();
        if (random_below(2) == 0)
                load_plain("plain one");
        if (random_below(2) == 0)
                load_plain("plain three");
        for (unsigned int i = 0; i < CALLS_IN_ROUND; i++) {
                struct params params = params_of(failing[random_below(COUNT(failing))]);
                struct call call = { .params = &params, .length = &lengths[0] };

                call.init = random_below(3) == 0;
                call.source = call.init ? any_image() : any_source();
                call.flags = any_flags();
                (void)step_call(&call);
        }
}

static void round_of_others(void) {
        if (random_below(8) > 0)
                load_state_module();
        for (unsigned int i = 0; i < CALLS_IN_ROUND; i++)
                switch (random_below(8)) {
                case 0:
                        remove_something();
                        break;
                case 1:
                        call_something(NULL);
                        break;
                default:
                        call_something(others[random_below(COUNT(others))]);
                }
}

void random_rounds_run(unsigned int rounds) {
        for (unsigned int i = 0; i < rounds; i++) {
                if (i % 3 == 0)
                        round_of_failures();
                else
                        round_of_others();
                write_attempts();
                modules_reset();
        }
}
