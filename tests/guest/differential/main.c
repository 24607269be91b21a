/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * differential run SEED PART SCENARIOS ROUNDS GROUPS OUTPUT: makes the calls, in the directory of the files, and writes
 * the steps. differential compare SEED BARE OTHER [remembers]: prints what differs; fails if that is more than may.
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "differential.h"

static int run(char **arguments) {
        FILE *output = fopen(arguments[5], "we");

        if (!output || getuid() != 0) {
                perror(arguments[5]);
                return 1;
        }
        steps_init(strtoull(arguments[0], NULL, 0), output);
        modules_reset();
        cross_run((unsigned int)atoi(arguments[1]));
        if (atoi(arguments[2]) != 0)
                scenarios_run();
        random_rounds_run((unsigned int)atoi(arguments[3]));
        groups_run((unsigned int)atoi(arguments[4]));
        return fclose(output) == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
        if (argc == 8 && strcmp(argv[1], "run") == 0)
                return run(argv + 2);
        if ((argc == 5 || argc == 6) && strcmp(argv[1], "compare") == 0)
                return compare(argv[3], argv[4], argc == 6, strtoull(argv[2], NULL, 0));
        fprintf(stderr, "usage: differential run SEED PART SCENARIOS ROUNDS GROUPS OUTPUT | compare SEED BARE OTHER "
                        "[remembers]\n");
        return 2;
}
