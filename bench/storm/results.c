/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "results.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* include/linux/err.h: MAX_ERRNO */
#define ERRNO_MAX 4095

void results_add(struct results *results, int error, uint64_t count) {
        size_t i = 0;

        while (i < results->count && results->kinds[i].error < error)
                i++;
        if (i < results->count && results->kinds[i].error == error) {
                results->kinds[i].count += count;
                return;
        }
        if (results->count == RESULTS_KINDS) {
                results->kinds[RESULTS_KINDS - 1].count += count;
                return;
        }
        memmove(&results->kinds[i + 1], &results->kinds[i], (results->count - i) * sizeof(results->kinds[0]));
        results->kinds[i].error = error;
        results->kinds[i].count = count;
        results->count++;
}

uint64_t results_of(const struct results *results, int error) {
        for (size_t i = 0; i < results->count; i++)
                if (results->kinds[i].error == error)
                        return results->kinds[i].count;
        return 0;
}

const char *result_name(int error, char name[static RESULT_NAME_SIZE]) {
        const char *known = error > 0 ? strerrorname_np(error) : NULL;

        if (error == 0)
                (void)snprintf(name, RESULT_NAME_SIZE, "OK");
        else if (known)
                (void)snprintf(name, RESULT_NAME_SIZE, "%s", known);
        else
                (void)snprintf(name, RESULT_NAME_SIZE, "%d", error);
        return name;
}

int result_from_name(const char *name, int *ret) {
        char known[RESULT_NAME_SIZE], *end;
        long number;

        for (int error = 0; error <= ERRNO_MAX; error++) {
                if (strcmp(result_name(error, known), name) != 0)
                        continue;
                *ret = error;
                return 0;
        }
        errno = 0;
        number = strtol(name, &end, 10);
        if (name[0] < '0' || name[0] > '9' || *end != '\0' || errno != 0 || number > ERRNO_MAX)
                return -EINVAL;
        *ret = (int)number;
        return 0;
}
