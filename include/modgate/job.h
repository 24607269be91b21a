/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Jobs of the supervisor for its workers (loaders and inspectors), and their answers.
 *
 * One SEQPACKET message each way, one job at a time a worker. A worker that cannot make sense of a job ends; the
 * supervisor sees the end of file. Both sides are forks of one program, so there is no version and no byte order.
 */

#include <stdbool.h>
#include <stdint.h>

#include "modgate/module.h"

enum job_type {
        JOB_FINIT = 1,   /* loader: finit_module of the file, with the flags and the parameters that follow */
        JOB_INIT,        /* loader: init_module of the image in the file, with the parameters that follow */
        JOB_READ_STRING, /* inspector: the NUL-terminated string at `address` of the memory file */
        JOB_READ_NAME,   /* inspector: the module name of the image at `address`, as the answer's bytes */
        JOB_COPY_IMAGE,  /* inspector: the image at `address`, as a sealed memfd with the answer, and its hash */
        JOB_HASH_IMAGE,  /* inspector: the hash of the image at `address` */
};

struct job {
        uint32_t type;
        uint32_t flags;         /* JOB_FINIT */
        uint64_t serial;        /* comes back in the answer */
        uint64_t address;       /* inspector */
        uint64_t image_length;  /* bytes: JOB_INIT, JOB_*_NAME, JOB_*_IMAGE */
        uint32_t params_length; /* JOB_FINIT, JOB_INIT: bytes after this struct, without a NUL */
        uint32_t reserved;
        /*
         * JOB_FINIT carries an O_PATH descriptor of the file, JOB_INIT one of a sealed memfd with the image, and those
         * for inspectors one of /proc/TID/mem.
         */
};

enum job_status {
        JOB_DONE = 1, /* `error` is the kernel's answer, or 0 */
        JOB_REFUSED,  /* not performed: `error` says why (our own trouble, or memory that cannot be read) */
        JOB_TOO_LONG, /* JOB_READ_STRING: no NUL within MODULE_PARAMS_MAX + 1 bytes */
};

struct job_answer {
        uint32_t status;
        int32_t error;          /* 0 or a positive errno */
        uint64_t serial;        /* of the job */
        uint64_t duration_ns;   /* JOB_FINIT, JOB_INIT: in the system call */
        uint64_t image_hash[2]; /* JOB_COPY_IMAGE, JOB_HASH_IMAGE: XXH3-128 */
        uint32_t length;        /* JOB_READ_*: bytes after this struct, without a NUL */
        uint32_t reserved;
};

/*
 * Can a worker have answered that? An init may return what is no errno at all, and the kernel hands it on
 * (load_module() in kernel/module/main.c): so an error may be any number.
 */
static inline bool job_result_makes_sense(uint32_t status, int32_t error) {
        return status >= JOB_DONE && status <= JOB_TOO_LONG && error >= 0;
}

/* The longest message either way. */
#define JOB_MESSAGE_MAX (sizeof(struct job) + MODULE_PARAMS_MAX)
