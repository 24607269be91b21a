/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "differential.h"

static uint64_t random_state;
static FILE *steps_output;
static unsigned int steps_count;

/* splitmix64 */
uint64_t random_next(void) {
        uint64_t z = random_state += 0x9e3779b97f4a7c15;

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
}

size_t random_below(size_t count) {
        return (size_t)(random_next() % count);
}

void steps_init(uint64_t seed, FILE *output) {
        random_state = seed;
        steps_output = output;
        steps_count = 0;
}

void step_write(const char *context, const char *call, const char *outcome) {
        char state[1024];

        state_describe(state, sizeof(state));
        fprintf(steps_output, "%u\t%s\t%s\t%s\t%s\n", ++steps_count, context, call, outcome, state);
        /* where it stopped is known also if a call does not come back */
        fflush(steps_output);
}

static bool reads_forbidden_memory(const struct call *call) {
        return strcmp(call->params->label, "PROT_NONE") == 0 || (call->init && call->memory == MEMORY_FORBIDDEN);
}

static const char *context_of(const struct call *call) {
        const char *name = call_known_name(call);

        if (name && call->who != WHO_UNPRIVILEGED && module_is_live(name))
                return "live";
        return reads_forbidden_memory(call) ? "forbidden memory" : "-";
}

long step_call(const struct call *call) {
        char text[256];
        const char *context = context_of(call);
        long result = call_make(call);

        call_describe(call, text, sizeof(text));
        step_write(context, text, result_name(result));
        return result;
}
