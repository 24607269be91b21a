/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A module's file as small as they get: an ELF image with the module's name where the kernel has it. No kernel would
 * load it; the scripted one knows it by its label.
 */

#include <link.h>
#include <stdint.h>

#define SCRIPTED_IMAGE_MAGIC 0x6d67737274696d67ULL

/* Which of the scripted kernel's modules it is. */
struct scripted_label {
        uint64_t magic;
        uint64_t index;
};

/* Header, three sections with contents, section table; then the label. */
struct scripted_image {
        ElfW(Ehdr) header;
        char names[64];
        char this_module[128];
        char modinfo[64];
        ElfW(Shdr) sections[4];
        struct scripted_label label;
};

/* Pure. `name` is shorter than MODULE_NAME_SIZE. */
void scripted_image_fill(struct scripted_image *image, const char *name, uint64_t index);
