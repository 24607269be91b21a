/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is wrong with a message: the text of one line, printable, in which nothing of the message itself stands. */
struct oci_problem {
        char text[128];
};

/* Writes the text. Returns `error`. `problem` may be NULL. */
int oci_problem_set(struct oci_problem *problem, int error, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
