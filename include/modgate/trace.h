/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What supervisor and keeper tell the tracer: records of one size, over a pipe that never blocks its writers. A record
 * is no longer than PIPE_BUF, so it is there whole or not at all, also with two writers. Both sides are forks of one
 * program, so there is no version and no byte order.
 */

#include <stdbool.h>
#include <stdint.h>

#include "modgate/module.h"

/* A longer path is left out: the name is still there. */
#define TRACE_PATH_SIZE 256

enum trace_type {
        TRACE_REQUEST = 1,
        TRACE_LOAD,
};

/* How a request ended. The names stand in src/observe/trace_text.c and docs/trace.md. */
enum trace_answer {
        TRACE_LED = 0,    /* the result of its own load */
        TRACE_JOINED,     /* the result of a load that was in flight, or one that it had missed */
        TRACE_LIVE,       /* the module was live */
        TRACE_BEHIND,     /* another load of this name went live meanwhile */
        TRACE_REMEMBERED, /* a failure that still stood */
        TRACE_CONTINUED,  /* left to the kernel */
        TRACE_GONE,       /* its caller had gone before */
        TRACE_ANSWERS,
};

struct trace_record {
        uint32_t type;     /* enum trace_type */
        uint32_t answer;   /* enum trace_answer; of a request */
        uint32_t reason;   /* enum continue_reason; with TRACE_CONTINUED */
        uint32_t call;     /* enum call */
        uint32_t thread;   /* the caller, or which loader */
        int32_t error;     /* the result: 0 or a positive errno */
        uint64_t began_ns; /* CLOCK_MONOTONIC */
        uint64_t ended_ns;
        uint64_t size;           /* bytes of the file or image; 0: not known */
        uint64_t params_hash[2]; /* XXH3-128 */
        uint32_t params_length;  /* bytes */
        uint32_t flags;          /* of finit_module */
        bool is_module;          /* `name` is a module's, and not a file's */
        bool knows_params;       /* they were read */
        bool undelivered;        /* the caller had gone when it was answered */
        bool made_up;            /* a load that no request asked for */
        char name[MODULE_NAME_SIZE];
        char path[TRACE_PATH_SIZE]; /* as the kernel prints it; empty: not known */
};
_Static_assert(sizeof(struct trace_record) <= 512, "several fit into a page of the pipe");
