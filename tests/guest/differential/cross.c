/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each thing that may be wrong with a call, together with each other one, while the module is live and while it is not.
 */

#include "differential.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* mg_one's is the module of most sources. */
static void provide(bool live) {
        static const struct call plain = { .flags = 0 };
        struct call call = plain;

        state_module_load();
        if (module_is_live("mg_one") == live)
                return;
        if (!live) {
                module_remove("mg_one");
                return;
        }
        call.source = source_find("plain one");
        call.params = params_find("none");
        (void)call_make(&call);
}

static unsigned int one_of;

static void try(const struct call *call, bool live) {
        if (random_below(one_of) != 0)
                return;
        provide(live);
        (void)step_call(call);
        if (!live || !module_is_live("mg_one"))
                modules_remove();
}

static void cross_files(bool live) {
        static const char *const params[] = { "none", "NULL", "error=abc", "error=5 error=7" };
        static const unsigned int flags[] = { 0, 4, 2, 8 };

        for (size_t i = 0; i < sources_count; i++)
                for (size_t j = 0; j < COUNT(params); j++)
                        for (size_t k = 0; k < COUNT(flags); k++) {
                                const struct call call = {
                                        .source = &sources[i],
                                        .params = params_find(params[j]),
                                        .flags = flags[k],
                                };

                                try(&call, live);
                        }
}

static void cross_images(bool live) {
        static const char *const params[] = { "none", "NULL", "error=5 error=7" };
        struct call call = { .init = true };

        for (size_t j = 0; j < COUNT(params); j++) {
                call.params = params_find(params[j]);
                call.source = source_find("plain one");
                for (call.memory = 0; call.memory < MEMORIES; call.memory++)
                        for (size_t k = 0; k < lengths_count; k++) {
                                call.length = &lengths[k];
                                try(&call, live);
                        }
                call.memory = MEMORY_PLAIN;
                call.length = &lengths[0];
                for (size_t i = 0; i < sources_count; i++)
                        if (sources[i].image || sources[i].name) {
                                call.source = &sources[i];
                                try(&call, live);
                        }
        }
}

static void cross_params(bool live) {
        struct call call = { .source = source_find("indexed one"), .length = &lengths[0] };

        for (size_t i = 0; i < params_count; i++) {
                call.params = &all_params[i];
                for (call.flags = 0; call.flags <= 4; call.flags += 4)
                        try(&call, live);
        }
        call.init = true;
        call.source = source_find("plain one");
        for (size_t i = 0; i < params_count; i++) {
                call.params = &all_params[i];
                try(&call, live);
        }
}

static void cross_callers_and_flags(bool live) {
        static const unsigned int flags[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 0x80000000, 0xffffffff };
        struct call call = { .params = params_find("none"), .length = &lengths[0] };

        for (call.who = 0; call.who < WHOS; call.who++) {
                call.init = false;
                call.source = source_find("indexed one");
                for (size_t i = 0; i < COUNT(flags); i++) {
                        call.flags = flags[i];
                        try(&call, live);
                }
                call.init = true;
                call.source = source_find("plain one");
                try(&call, live);
        }
}

void cross_run(unsigned int part) {
        one_of = part;
        for (int live = 0; live < 2; live++) {
                cross_files(live);
                cross_images(live);
                cross_params(live);
                cross_callers_and_flags(live);
                modules_reset();
        }
}
