/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scripted_image.h"

#include <elf.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* struct module begins with its state and a list; then comes the name. */
#define NAME_OFFSET (3 * sizeof(void *))

static ElfW(Shdr) section(unsigned int name, unsigned int type, size_t offset, size_t size) {
        return (ElfW(Shdr)){ .sh_name = name, .sh_type = type, .sh_offset = offset, .sh_size = size };
}

static void fill_header(ElfW(Ehdr) * header) {
        memcpy(header->e_ident, ELFMAG, SELFMAG);
        header->e_ident[EI_CLASS] = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
        header->e_ident[EI_DATA] = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
        header->e_ident[EI_VERSION] = EV_CURRENT;
        header->e_version = EV_CURRENT;
        header->e_type = ET_REL;
        header->e_ehsize = sizeof(*header);
        header->e_shoff = offsetof(struct scripted_image, sections);
        header->e_shentsize = sizeof(ElfW(Shdr));
        header->e_shnum = 4;
        header->e_shstrndx = 1;
}

void scripted_image_fill(struct scripted_image *image, const char *name, uint64_t index) {
        static const char names[] = "\0.shstrtab\0.gnu.linkonce.this_module\0.modinfo";
        size_t room = sizeof(image->modinfo);

        memset(image, 0, sizeof(*image));
        fill_header(&image->header);
        memcpy(image->names, names, sizeof(names));
        (void)snprintf(image->this_module + NAME_OFFSET, sizeof(image->this_module) - NAME_OFFSET, "%s", name);
        (void)snprintf(image->modinfo, room, "name=%s", name);
        image->sections[1] = section(1, SHT_STRTAB, offsetof(struct scripted_image, names), sizeof(names));
        image->sections[2] =
                section(11, SHT_PROGBITS, offsetof(struct scripted_image, this_module), sizeof(image->this_module));
        image->sections[3] =
                section(37, SHT_PROGBITS, offsetof(struct scripted_image, modinfo), strnlen(image->modinfo, room) + 1);
        image->label = (struct scripted_label){ .magic = SCRIPTED_IMAGE_MAGIC, .index = index };
}
