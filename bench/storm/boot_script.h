/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * scripts/quickstart of a source tree boots the guests. It runs in a process group of its own, and ends when
 * modgate-storm does, however that ends.
 */

#include <json-c/json.h>
#include <stdbool.h>

struct boot_script {
        const char *path;  /* of the script */
        const char *build; /* its build directory; NULL: the script's default */
};

/* Two boots, bare and under modgate. */
struct boot_pair {
        const char *release; /* as the script knows it */
        unsigned int cpus;
        bool modgate_first;
        bool no_build; /* boot what was built last */
};

/* Ordinary conditions: what the script, which explains itself on stderr, left no result for. */
enum {
        BOOT_E_FAILED = 1,
        BOOT_E_INTERRUPTED, /* interrupt.h; the script and its guests have ended */
};

/* The path of the script of the tree at `directory`; the caller frees it. NULL: there is none. */
char *boot_script_below(const char *directory);

/* The same of the directory or of one that it lies in. */
char *boot_script_above(const char *directory);

/*
 * Runs the script. Its messages go to stderr. Returns 0 and in `*ret` its result (modgate.quickstart/1, which the
 * caller puts), one of the conditions above, or negative errno.
 */
int boot_script_run(const struct boot_script *script, const struct boot_pair *pair, struct json_object **ret);
