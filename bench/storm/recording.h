/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The calls of a recorded storm: a trace of `modgate run --trace`, or ftrace's text of a boot, as bench/README.md says
 * how to record it. Parses what others wrote: bounded, and pure but for memory.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "modgate/module.h"

/* A larger text, or more of anything, is refused. */
#define RECORDING_BYTES_MAX (64U << 20)
#define RECORDING_CALLS_MAX 500000U
#define RECORDING_MODULES_MAX 2048U
#define RECORDING_CALLERS_MAX 32768U

/* The result of a call is not known. */
#define RECORDING_NO_RESULT (-1)

struct recording_module {
        char name[MODULE_NAME_SIZE]; /* of the module; of a file without one, its own, without directory and ending */
        char *path;                  /* of its file where it was recorded; NULL: not known */
        bool by_name;                /* depmod's index had it under that name */
        bool was_live;               /* before the first call */
        uint64_t calls;
        uint64_t loads;   /* performed, as far as it is known */
        int error;        /* 0: one of its loads succeeded, or nothing is known; else what its first one resulted in */
        uint64_t load_ns; /* how long the first load took; 0: not known */
};

struct recording_call {
        uint64_t at_ns;  /* since the first call */
        uint32_t thread; /* that made it */
        uint32_t caller; /* the same, counted from 0 */
        uint32_t module;
        uint32_t params; /* 0: none, or not known; equal numbers are equal parameters */
        bool init;       /* init_module */
        int error;       /* 0, an errno, or RECORDING_NO_RESULT */
        uint64_t took_ns;
};

struct recording {
        struct recording_call *calls; /* in the order in which they were made */
        size_t call_count;
        struct recording_module *modules;
        size_t module_count;
        unsigned int caller_count;
        uint64_t duration_ns; /* from the first call to the last one */
        uint64_t dropped;     /* calls that the recorder had no time for */
        uint64_t unnamed;     /* calls that were left out, since it is not known for which module they were */
        bool is_ftrace;
};

/* What is wrong, and where: the text of one line. */
struct recording_problem {
        char text[256];
};

/*
 * Parses a text of `length` bytes, of either kind. Returns 0, or -EINVAL, -E2BIG, -ENOMEM with a problem; then there is
 * nothing to be freed.
 */
int recording_parse(const char *text, size_t length, struct recording *ret, struct recording_problem *problem);

/* Frees what it has. */
void recording_deinit(struct recording *recording);
