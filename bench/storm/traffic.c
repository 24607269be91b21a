/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "traffic.h"

#include <string.h>

/* The counters have a file's name, shortened, where depmod's index does not know the file. */
static bool is_of(const struct target *target, const struct journal_module *module) {
        const char *slash = strrchr(target->path, '/');

        return strncmp(target->name, module->name, MODULE_NAME_SIZE) == 0 ||
               strncmp(slash ? slash + 1 : target->path, module->name, MODULE_NAME_SIZE - 1) == 0;
}

static uint64_t size_of(const struct target *targets, size_t count, const struct journal_module *module) {
        for (size_t i = 0; i < count; i++)
                if (is_of(&targets[i], module))
                        return targets[i].size;
        return 0;
}

struct traffic traffic_of(const struct journal *journal, const struct target *targets, size_t count,
                          const struct target *except) {
        struct traffic traffic = { 0 };

        for (unsigned int i = 0; i < CONTINUE_REASONS; i++)
                traffic.left += journal->header.continued[i];
        for (unsigned int i = 0; i < JOURNAL_MODULES && journal->modules[i].used; i++) {
                const struct journal_module *module = &journal->modules[i];

                if (except && is_of(except, module)) {
                        traffic.left -= module->continued;
                        continue;
                }
                traffic.calls += module->loads;
                traffic.bytes += module->bytes_loaded;
                if (module->continued > 0)
                        traffic.bytes += module->continued * size_of(targets, count, module);
        }
        traffic.calls += traffic.left;
        return traffic;
}
