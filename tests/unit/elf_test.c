/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "module/elf.h"

/* A module as small as they get: header, three sections with contents, section table. */
struct image {
        ElfW(Ehdr) header;
        char names[64];
        char this_module[256];
        char modinfo[128];
        ElfW(Shdr) sections[4];
};

enum { SECTION_NULL, SECTION_NAMES, SECTION_MODULE, SECTION_MODINFO };

static const char names[] = "\0.shstrtab\0.gnu.linkonce.this_module\0.modinfo";

static uint32_t name_of(const char *section) {
        for (size_t i = 0; i + strlen(section) < sizeof(names); i++)
                if (strcmp(names + i, section) == 0)
                        return (uint32_t)i;
        fail_msg("no such section");
        return 0;
}

static ElfW(Shdr) section(const char *name, unsigned int type, size_t offset, size_t size) {
        return (ElfW(Shdr)){ .sh_name = name_of(name), .sh_type = type, .sh_offset = offset, .sh_size = size };
}

static void add_modinfo(struct image *image, const char *tag) {
        size_t used = image->sections[SECTION_MODINFO].sh_size;

        memcpy(image->modinfo + used, tag, strlen(tag) + 1);
        image->sections[SECTION_MODINFO].sh_size = used + strlen(tag) + 1;
}

static struct image make_image(const char *name) {
        struct image image = { 0 };
        char tag[80];

        memcpy(image.header.e_ident, ELFMAG, SELFMAG);
        image.header.e_ident[EI_CLASS] = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
        image.header.e_ident[EI_DATA] = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
        image.header.e_type = ET_REL;
        image.header.e_shoff = offsetof(struct image, sections);
        image.header.e_shentsize = sizeof(ElfW(Shdr));
        image.header.e_shnum = 4;
        image.header.e_shstrndx = SECTION_NAMES;
        memcpy(image.names, names, sizeof(names));
        strcpy(image.this_module + 3 * sizeof(void *), name);
        image.sections[SECTION_NAMES] = section(".shstrtab", SHT_STRTAB, offsetof(struct image, names), sizeof(names));
        image.sections[SECTION_MODULE] = section(".gnu.linkonce.this_module", SHT_PROGBITS,
                                                 offsetof(struct image, this_module), sizeof(image.this_module));
        image.sections[SECTION_MODINFO] = section(".modinfo", SHT_PROGBITS, offsetof(struct image, modinfo), 0);
        add_modinfo(&image, "license=GPL");
        snprintf(tag, sizeof(tag), "name=%s", name);
        add_modinfo(&image, tag);
        return image;
}

static int read_memory(void *context, uint64_t offset, void *buffer, size_t size) {
        assert_true(offset + size <= sizeof(struct image));
        memcpy(buffer, (const char *)context + offset, size);
        return 0;
}

static int read_nothing(void *context, uint64_t offset, void *buffer, size_t size) {
        (void)context, (void)offset, (void)buffer, (void)size;
        return -EFAULT;
}

static int name_of_image(struct image *image, size_t length, char name[static MODULE_NAME_SIZE]) {
        const struct module_image foreign = { .length = length, .read = read_memory, .context = image };

        return module_elf_name(&foreign, name);
}

static void refuses(struct image *image) {
        char name[MODULE_NAME_SIZE] = "untouched";

        assert_int_equal(name_of_image(image, sizeof(*image), name), -ENOEXEC);
        assert_string_equal(name, "untouched");
}

static void test_a_module_has_its_name(void **state) {
        struct image image = make_image("dm_mod");
        char name[MODULE_NAME_SIZE];

        (void)state;
        assert_int_equal(name_of_image(&image, sizeof(image), name), 0);
        assert_string_equal(name, "dm_mod");
}

static void test_every_shorter_image_is_refused(void **state) {
        struct image image = make_image("dm_mod");
        char name[MODULE_NAME_SIZE];

        (void)state;
        for (size_t length = 0; length < sizeof(image); length++)
                assert_int_equal(name_of_image(&image, length, name), -ENOEXEC);
}

static void test_modinfo_has_to_agree(void **state) {
        struct image other = make_image("foo"), missing = make_image("foo"), two = make_image("foo");

        (void)state;
        strcpy(other.this_module + 3 * sizeof(void *), "bar");
        refuses(&other);
        missing.sections[SECTION_MODINFO].sh_size = sizeof("license=GPL");
        refuses(&missing);
        add_modinfo(&two, "name=bar");
        refuses(&two);
}

static void test_names_that_the_kernel_would_not_take(void **state) {
        struct image empty = make_image(""), endless = make_image("foo");
        struct image path = make_image("../foo"), below = make_image("foo/bar");

        (void)state;
        refuses(&empty);
        refuses(&path);
        refuses(&below);
        memset(endless.this_module + 3 * sizeof(void *), 'a', MODULE_NAME_SIZE);
        refuses(&endless);
}

static void test_other_files_are_refused(void **state) {
        struct image image;

        (void)state;
        image = make_image("foo");
        image.header.e_ident[0] = 0;
        refuses(&image);
        image = make_image("foo");
        image.header.e_ident[EI_CLASS] = image.header.e_ident[EI_CLASS] == ELFCLASS64 ? ELFCLASS32 : ELFCLASS64;
        refuses(&image);
        image = make_image("foo");
        image.header.e_type = ET_EXEC;
        refuses(&image);
        image = make_image("foo");
        image.header.e_shstrndx = 4;
        refuses(&image);
        image = make_image("foo");
        image.sections[SECTION_NAMES].sh_type = SHT_PROGBITS;
        refuses(&image);
        image = make_image("foo");
        image.sections[SECTION_MODULE].sh_type = SHT_NOBITS;
        refuses(&image);
        image = make_image("foo");
        image.sections[SECTION_NULL] = image.sections[SECTION_MODULE];
        refuses(&image);
}

static void test_sizes_that_overflow_are_refused(void **state) {
        struct image image;

        (void)state;
        for (unsigned int index = SECTION_NAMES; index <= SECTION_MODINFO; index++) {
                image = make_image("foo");
                image.sections[index].sh_offset = UINT64_MAX - 8;
                refuses(&image);
                image = make_image("foo");
                image.sections[index].sh_size = UINT64_MAX - 8;
                if (index != SECTION_MODULE) /* of which only the name is read */
                        refuses(&image);
        }
        image = make_image("foo");
        image.header.e_shoff = UINT64_MAX - 8;
        refuses(&image);
}

static void test_a_failing_read_comes_through(void **state) {
        const struct module_image image = { .length = 4096, .read = read_nothing };
        char name[MODULE_NAME_SIZE];

        (void)state;
        assert_int_equal(module_elf_name(&image, name), -EFAULT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_module_has_its_name),
                cmocka_unit_test(test_every_shorter_image_is_refused),
                cmocka_unit_test(test_modinfo_has_to_agree),
                cmocka_unit_test(test_names_that_the_kernel_would_not_take),
                cmocka_unit_test(test_other_files_are_refused),
                cmocka_unit_test(test_sizes_that_overflow_are_refused),
                cmocka_unit_test(test_a_failing_read_comes_through),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
