/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The parsers of what /proc says: none of them may read or write outside of its text. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "launch/cgroup.h"
#include "launch/check.h"
#include "module/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_cgroup(const char *text, enum cgroup_hierarchy hierarchy) {
        char *path = NULL, *directory = NULL;

        if (cgroup_parse_path(text, hierarchy, &path) == 0) {
                (void)cgroup_path_is_udev(path);
                if (cgroup_parse_directory(text, hierarchy, path, &directory) == 0)
                        free(directory);
                free(path);
        }
        if (cgroup_parse_directory(text, hierarchy, "/system.slice/systemd-udevd.service/udev", &directory) == 0)
                free(directory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char name[MODULE_NAME_SIZE];
        char *text = malloc(size + 1);

        if (!text)
                return 0;
        if (size > 0)
                memcpy(text, data, size);
        text[size] = '\0';
        for (enum cgroup_hierarchy hierarchy = 0; hierarchy < CGROUP_HIERARCHIES; hierarchy++)
                parse_cgroup(text, hierarchy);
        (void)check_command_line_has(text, "modgate=0");
        if (module_name_from_path(text, name) && strlen(name) >= MODULE_NAME_SIZE)
                abort();
        free(text);
        return 0;
}
