/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "oci/problem.h"

#include <stdarg.h>
#include <stdio.h>

int oci_problem_set(struct oci_problem *problem, int error, const char *format, ...) {
        va_list arguments;

        if (!problem)
                return error;
        va_start(arguments, format);
        (void)vsnprintf(problem->text, sizeof(problem->text), format, arguments);
        va_end(arguments);
        return error;
}
