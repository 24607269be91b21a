/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * execvp(3) in two halves: COMMAND is looked for before a filter is on, and executed after.
 */

/*
 * Finds `command` as execvp() would: as it is if there is a slash in it, else in the directories of `search`, which is
 * the value of PATH; NULL is the system's default. `*ret` is the caller's to free(). Returns 0 or negative errno:
 * -ENOENT (not found), any other (found, but not executable: -EACCES also for what is not a regular file).
 * A script whose interpreter is missing is found: only exec_file() meets it.
 */
int exec_resolve(const char *command, const char *search, char **ret);

/*
 * Executes the file with exactly these arguments and this process's environment. A file that the kernel knows no
 * format of is given to /bin/sh, as execvp() does. Returns negative errno, or not at all.
 */
int exec_file(const char *path, char *const *argv);
