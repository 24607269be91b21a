/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What calls result in, counted by errno. Pure. */

#include <stddef.h>
#include <stdint.h>

enum {
        RESULTS_KINDS = 32, /* different ones; what comes beyond them counts as the last one */
        RESULT_NAME_SIZE = 24,
};

struct results {
        struct {
                int error; /* 0, a positive errno, or what a call returned that is neither */
                uint64_t count;
        } kinds[RESULTS_KINDS];
        size_t count; /* of kinds, in order of `error` */
};

/* Counts `count` of one kind. */
void results_add(struct results *results, int error, uint64_t count);

/* How many were of that kind. */
uint64_t results_of(const struct results *results, int error);

/* `OK`, `ENODEV`, or a number. */
const char *result_name(int error, char name[static RESULT_NAME_SIZE]);

/* The other way round. Returns 0 or -EINVAL. */
int result_from_name(const char *name, int *ret);
