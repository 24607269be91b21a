/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * The differential test: the same sequence of calls, made bare and under modgate, and a comparison of what came out.
 *
 * `differential run` makes the calls and writes one line for each step: STEP, CONTEXT, CALL, OUTCOME and STATE, with a
 * tab between them. CALL depends on the seed alone. CONTEXT says what may make a difference (compare.c): it is that of
 * the bare kernel, and so the same under modgate.
 *
 * All calls are about the test modules mg_state, which the others need, and mg_one, mg_two, mg_three, mg_four, mg_big.
 */

/* --- a call --- */

/* What is handed over: a descriptor for finit_module, or for init_module the bytes of the file behind it. */
struct source {
        const char *label;
        int (*open)(const struct source *source);
        const char *path;
        int flags;
        const char *name;  /* of the module, where modgate relies on it for finit_module; else NULL */
        const char *image; /* the same for init_module */
};

enum memory {
        MEMORY_PLAIN,
        MEMORY_SHIFTED,   /* at an odd address */
        MEMORY_MAPPED,    /* the file itself */
        MEMORY_TAIL_GONE, /* the last page is not mapped */
        MEMORY_HOLE,      /* nor is one in the middle */
        MEMORY_FORBIDDEN, /* mapped PROT_NONE */
        MEMORY_NULL,
        MEMORY_KERNEL, /* an address of the kernel's */
        MEMORIES,
};

struct length {
        const char *label;
        uint64_t (*of)(uint64_t size);
};

struct params {
        const char *label;
        const char *text; /* NULL: `make` has it */
        const char *(*make)(void);
};

enum who {
        WHO_SELF,
        WHO_THREAD,
        WHO_CHILD,
        WHO_UNPRIVILEGED, /* a child without CAP_SYS_MODULE */
        WHO_NOBODY,       /* a child of another user that has kept CAP_SYS_MODULE */
        WHOS,
};

struct call {
        bool init; /* init_module, else finit_module */
        const struct source *source;
        const struct params *params;
        enum who who;
        unsigned int flags;          /* finit_module */
        enum memory memory;          /* init_module */
        const struct length *length; /* init_module */
};

extern const struct source sources[];
extern const size_t sources_count;
extern const struct length lengths[];
extern const size_t lengths_count;
extern const struct params all_params[];
extern const size_t params_count;

/* By their labels; exits when there is none. */
const struct source *source_find(const char *label);
const struct params *params_find(const char *label);

/* The call in words. */
void call_describe(const struct call *call, char *text, size_t size);

/* Makes the call. Returns 0, a negative errno, or whatever else the kernel said. */
long call_make(const struct call *call);

/* The name under which modgate knows the module of this call, before it looks at anything else; NULL: under none. */
const char *call_known_name(const struct call *call);

/* The flags that load a file of depmod's index: it may be compressed. */
unsigned int indexed_flags(void);

/* The parameters `text`. */
struct params params_of(const char *text);

/* "OK", "ENOENT", … */
const char *result_name(long result);

/* --- the kernel's state --- */

#define TEST_MODULES 6
extern const char *const module_names[TEST_MODULES]; /* mg_state last */

bool module_is_live(const char *name);

/* Also its init has returned, which is a little later; and nobody uses it. */
bool module_is_ready(const char *name);

/* Which of the test modules are live, how often each is used, and their parameters. */
void state_describe(char *text, size_t size);

/* Removes one; all but mg_state; all. Waits for whatever is on its way. */
void module_remove(const char *name);
void modules_remove(void);
void modules_reset(void);

void state_module_load(void);

/* "mg_one 2 mg_two 1": how often each init was entered since attempts_clear(). Empty without mg_state. */
void attempts_describe(char *text, size_t size);
void attempts_clear(void);

/* --- steps --- */

uint64_t random_next(void);
size_t random_below(size_t count);

/* Begins with step 1 on. */
void steps_init(uint64_t seed, FILE *output);

/* Writes a line. */
void step_write(const char *context, const char *call, const char *outcome);

/* Makes one call and writes its line. */
long step_call(const struct call *call);

/* One of `part` combinations. */
void cross_run(unsigned int part);
void scenarios_run(void);
void random_rounds_run(unsigned int rounds);
void groups_run(unsigned int count);

/* --- the comparison --- */

int compare(const char *bare, const char *other, bool remembers, uint64_t seed);
