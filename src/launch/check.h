/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What must hold before anything is started: privilege, kernel, /proc, and where report and trace go.
 */

#include <stdbool.h>

/* What is wrong, on what, why, and what to do about it: the text of one line. */
struct problem {
        char text[1024];
};

/* Writes the text down and returns `error`, for `return problem_set(…)`. */
int problem_set(struct problem *problem, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Whether `word` stands in a kernel command line. Double quotes hold blanks together, as in the kernel. */
bool check_command_line_has(const char *text, const char *word);

/*
 * That a report can replace the file `path` at the end. `*ret` is its absolute path, the caller's to free(). NULL and
 * "-" are no files: they give NULL and "-". Returns 0, or negative errno with a problem.
 */
int check_report(const char *path, char **ret, struct problem *problem);

/* The same of the trace's file; NULL: there is none. */
int check_trace(const char *path, char **ret, struct problem *problem);

/*
 * That this process may load modules and install a filter without no_new_privs, and that the kernel has what modgate
 * needs: seccomp user notifications with CONTINUE (Linux 5.5) that tell the end of a tree (5.9), and /proc. Returns 0,
 * or negative errno with a problem.
 */
int check_environment(struct problem *problem);

/* The same for the daemon, which installs no filter; and that nobody supervises it. */
int check_environment_to_serve(struct problem *problem);

/* The same for the mediator, whose own loads may well be supervised. */
int check_environment_to_mediate(struct problem *problem);
