/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "module/elf.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "module/identity.h"

/* struct module starts with a state and a list_head; its name comes next. */
#define NAME_OFFSET (3 * sizeof(void *))

/* Far beyond any module: the largest ones of a distribution have some hundred sections. */
#define SECTIONS_MAX 4096U
#define NAMES_SIZE_MAX (256U << 10)
#define MODINFO_SIZE_MAX (1U << 20)

#define OUR_CLASS (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)
#define OUR_ORDER (BYTE_ORDER == LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB)

typedef ElfW(Ehdr) elf_header;
typedef ElfW(Shdr) elf_section;

/* The section table and the names in it, both read at once: each read is a system call for whoever provides it. */
struct sections {
        elf_section *table;
        uint32_t count;
        char *names; /* `names_size` bytes, the last one is NUL */
        uint64_t names_size;
};

static void freep(void *pointer) {
        free(*(void **)pointer);
}

static void sections_deinit(struct sections *sections) {
        free(sections->table);
        free(sections->names);
}

/* The one place where the image is read. `*ret`: the caller's to free(). */
static int read_range(const struct module_image *image, uint64_t offset, uint64_t size, void **ret) {
        void *buffer;
        int r;

        if (size == 0 || offset > image->length || size > image->length - offset)
                return -ENOEXEC;
        buffer = malloc(size);
        if (!buffer)
                return -ENOMEM;
        r = image->read(image->context, offset, buffer, size);
        if (r < 0) {
                free(buffer);
                return r;
        }
        *ret = buffer;
        return 0;
}

static bool is_module_header(const elf_header *header) {
        return memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 && header->e_ident[EI_CLASS] == OUR_CLASS &&
               header->e_ident[EI_DATA] == OUR_ORDER && header->e_type == ET_REL &&
               header->e_shentsize == sizeof(elf_section) && header->e_shnum > 0 && header->e_shnum <= SECTIONS_MAX &&
               header->e_shstrndx < header->e_shnum;
}

static int read_names(const struct module_image *image, struct sections *sections, uint32_t index) {
        const elf_section *section = &sections->table[index];
        int r;

        if (section->sh_type != SHT_STRTAB || section->sh_size > NAMES_SIZE_MAX)
                return -ENOEXEC;
        r = read_range(image, section->sh_offset, section->sh_size, (void **)&sections->names);
        if (r < 0)
                return r;
        sections->names_size = section->sh_size;
        return sections->names[sections->names_size - 1] == '\0' ? 0 : -ENOEXEC;
}

/* To be freed with sections_deinit(), whatever it returns. */
static int sections_init(struct sections *sections, const struct module_image *image) {
        __attribute__((cleanup(freep))) elf_header *header = NULL;
        int r = read_range(image, 0, sizeof(*header), (void **)&header);

        *sections = (struct sections){ 0 };
        if (r < 0)
                return r;
        if (!is_module_header(header))
                return -ENOEXEC;
        r = read_range(image, header->e_shoff, (uint64_t)header->e_shnum * sizeof(elf_section),
                       (void **)&sections->table);
        if (r < 0)
                return r;
        sections->count = header->e_shnum;
        return read_names(image, sections, header->e_shstrndx);
}

/* NULL also for one that is there twice: that is nothing that we would want to judge. */
static const elf_section *find_section(const struct sections *sections, const char *name) {
        const elf_section *found = NULL;

        for (uint32_t i = 0; i < sections->count; i++) {
                const elf_section *section = &sections->table[i];

                if (section->sh_name >= sections->names_size || strcmp(sections->names + section->sh_name, name) != 0)
                        continue;
                if (found || section->sh_type == SHT_NOBITS)
                        return NULL;
                found = section;
        }
        return found;
}

static int read_struct_name(const struct module_image *image, const struct sections *sections,
                            char name[static MODULE_NAME_SIZE]) {
        const elf_section *section = find_section(sections, ".gnu.linkonce.this_module");
        __attribute__((cleanup(freep))) char *text = NULL;
        int r;

        if (!section || section->sh_size < NAME_OFFSET + MODULE_NAME_SIZE ||
            section->sh_offset > UINT64_MAX - NAME_OFFSET)
                return -ENOEXEC;
        r = read_range(image, section->sh_offset + NAME_OFFSET, MODULE_NAME_SIZE, (void **)&text);
        if (r < 0)
                return r;
        if (!module_name_is_plain(text, strnlen(text, MODULE_NAME_SIZE)))
                return -ENOEXEC;
        memset(name, 0, MODULE_NAME_SIZE);
        memcpy(name, text, strlen(text));
        return 0;
}

/* `.modinfo` is a row of strings, TAG=VALUE each. */
static bool modinfo_agrees(const char *modinfo, size_t size, const char *name) {
        const char *end = modinfo + size;
        unsigned int same = 0, other = 0;

        for (const char *tag = modinfo; tag < end; tag += strnlen(tag, (size_t)(end - tag)) + 1) {
                size_t length = strnlen(tag, (size_t)(end - tag));

                if (length < 5 || memcmp(tag, "name=", 5) != 0)
                        continue;
                if (length - 5 == strlen(name) && memcmp(tag + 5, name, length - 5) == 0)
                        same++;
                else
                        other++;
        }
        return same == 1 && other == 0;
}

static int check_modinfo(const struct module_image *image, const struct sections *sections, const char *name) {
        const elf_section *section = find_section(sections, ".modinfo");
        __attribute__((cleanup(freep))) char *modinfo = NULL;
        int r;

        if (!section || section->sh_size > MODINFO_SIZE_MAX)
                return -ENOEXEC;
        r = read_range(image, section->sh_offset, section->sh_size, (void **)&modinfo);
        if (r < 0)
                return r;
        return modinfo_agrees(modinfo, section->sh_size, name) ? 0 : -ENOEXEC;
}

int module_elf_name(const struct module_image *image, char name[static MODULE_NAME_SIZE]) {
        char found[MODULE_NAME_SIZE];
        struct sections sections;
        int r = sections_init(&sections, image);

        if (r == 0)
                r = read_struct_name(image, &sections, found);
        if (r == 0)
                r = check_modinfo(image, &sections, found);
        sections_deinit(&sections);
        if (r == 0)
                memcpy(name, found, sizeof(found));
        return r;
}
