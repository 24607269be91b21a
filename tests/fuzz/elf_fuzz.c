/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A module image is a caller's: whatever is in it, nothing outside of it is read. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "module/elf.h"
#include "module/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct memory {
        const uint8_t *data;
        size_t size;
};

static int read_memory(void *context, uint64_t offset, void *buffer, size_t size) {
        const struct memory *memory = context;

        /* that is the reader's promise to its image */
        if (offset > memory->size || size > memory->size - offset)
                abort();
        memcpy(buffer, memory->data + offset, size);
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct memory memory = { .data = data, .size = size };
        struct module_image image = { .length = size, .read = read_memory, .context = &memory };
        char name[MODULE_NAME_SIZE];

        if (module_elf_name(&image, name) == 0 && !module_name_is_plain(name, strnlen(name, sizeof(name))))
                abort();
        return 0;
}
