/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/title.h"

#include <string.h>
#include <sys/prctl.h>

static char *arguments;
static size_t arguments_size;

void title_init(int argc, char **argv) {
        arguments = argc > 0 ? argv[0] : NULL;
        arguments_size = 0;
        /* the kernel puts them one behind the other; whoever has moved one is left alone from there */
        for (int i = 0; i < argc && argv[i] == arguments + arguments_size; i++)
                arguments_size += strlen(argv[i]) + 1;
}

void title_set(const char *title) {
        size_t length = strlen(title);

        (void)prctl(PR_SET_NAME, title);
        if (arguments_size == 0)
                return;
        /* the last byte stays NUL: else the kernel would go on reading in the environment */
        memset(arguments, '\0', arguments_size);
        memcpy(arguments, title, length < arguments_size ? length : arguments_size - 1);
}
