/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "module/identity.h"

#define LONGEST "a23456789b23456789c23456789d23456789e23456789f23456789g" /* 55 bytes, as many as the kernel takes */

static void assert_name(const char *path, const char *expected) {
        char name[MODULE_NAME_SIZE];

        memset(name, 'x', sizeof(name));
        assert_true(module_name_from_path(path, name));
        assert_string_equal(name, expected);
        /* keys are compared bytewise */
        for (size_t i = strlen(expected); i < sizeof(name); i++)
                assert_int_equal(name[i], '\0');
}

static void test_compressed(void **state) {
        (void)state;
        assert_false(module_path_is_compressed("/x/ext4.ko"));
        assert_true(module_path_is_compressed("/x/ext4.ko.xz"));
        assert_true(module_path_is_compressed("ext4.ko.zst"));
        assert_true(module_path_is_compressed("/x.ko/ext4.ko.gz"));
}

static void assert_no_name(const char *path) {
        char name[MODULE_NAME_SIZE] = "untouched";

        assert_false(module_name_from_path(path, name));
        assert_string_equal(name, "untouched");
}

static void test_names(void **state) {
        (void)state;
        assert_name("/lib/modules/6.1.0/kernel/fs/ext4/ext4.ko", "ext4");
        assert_name("ext4.ko", "ext4");
        assert_name("/x/snd-hda-intel.ko", "snd_hda_intel");
        assert_name("/x/crc32c_generic.ko.xz", "crc32c_generic");
        assert_name("/x/crc32c-generic.ko.gz", "crc32c_generic");
        assert_name("/x/crc32c-generic.ko.zst", "crc32c_generic");
        assert_name("/with.dots/in-front.of/it.ko", "it");
        assert_name("/x/" LONGEST ".ko", LONGEST);
}

static void test_no_names(void **state) {
        (void)state;
        assert_no_name("");
        assert_no_name("/");
        assert_no_name("/x/ext4");
        assert_no_name("/x/.ko");
        assert_no_name("/x/ext4.o");
        assert_no_name("/x/ext4.ko.bz2");
        assert_no_name("/x/ext4.ko.xz.old");
        assert_no_name("/x/ext4.ko (deleted)");
        assert_no_name("/x/ext4.ko/");
        assert_no_name("/x/a.b.ko");
        assert_no_name("/x.ko/ext4");
        assert_no_name("/x/" LONGEST "h.ko");
}

static struct module_file example_file(void) {
        return (struct module_file){ .device = 8ULL << 32 | 1, .inode = 7, .size = 4096, .ctime_ns = 1, .mtime_ns = 2 };
}

static void test_equal_keys(void **state) {
        const struct module_file file = example_file();
        const char unterminated[] = { 'x', '=', '1', 'z' };
        struct module_key a = module_key_make(&file, "alpha", "x=1", 3, 4);
        struct module_key b = module_key_make(&file, "alpha", unterminated, 3, 4);

        (void)state;
        assert_true(module_key_equal(&a, &b));
        assert_true(module_key_same_name(&a, &b));
        assert_int_equal(a.params_length, 3);
        assert_int_equal(a.flags, 4);
        assert_string_equal(a.name, "alpha");
}

static void assert_differs(struct module_file file, const char *name, const char *params, size_t length,
                           unsigned int flags) {
        const struct module_file reference_file = example_file();
        struct module_key reference = module_key_make(&reference_file, "alpha", "x=1", 3, 4);
        struct module_key other = module_key_make(&file, name, params, length, flags);

        assert_false(module_key_equal(&reference, &other));
}

/* A field of the file that differs. */
#define ASSERT_FILE_COUNTS(field)                                                                                      \
        do {                                                                                                           \
                struct module_file file_ = example_file();                                                             \
                file_.field++;                                                                                         \
                assert_differs(file_, "alpha", "x=1", 3, 4);                                                           \
        } while (0)

static void test_different_keys(void **state) {
        (void)state;
        ASSERT_FILE_COUNTS(device);
        ASSERT_FILE_COUNTS(inode);
        ASSERT_FILE_COUNTS(size);
        ASSERT_FILE_COUNTS(ctime_ns);
        ASSERT_FILE_COUNTS(mtime_ns);
        assert_differs(example_file(), "alpha", "x=2", 3, 4);
        assert_differs(example_file(), "alpha", "x=1", 2, 4);
        assert_differs(example_file(), "alpha", "", 0, 4);
        assert_differs(example_file(), "alpha", "x=1\0", 4, 4);
        assert_differs(example_file(), "alpha", "x=1", 3, 0);
        assert_differs(example_file(), "beta", "x=1", 3, 4);
        assert_differs(example_file(), NULL, "x=1", 3, 4);
}

static void test_same_name(void **state) {
        const struct module_file file = example_file();
        struct module_file other_file = file;
        struct module_key a, b, c, nameless;

        (void)state;
        other_file.inode++;
        a = module_key_make(&file, "alpha", "", 0, 0);
        b = module_key_make(&other_file, "alpha", "x=1", 3, 4);
        c = module_key_make(&file, "alpha2", "", 0, 0);
        nameless = module_key_make(&file, NULL, "", 0, 0);
        assert_true(module_key_same_name(&a, &b));
        assert_false(module_key_same_name(&a, &c));
        assert_false(module_key_same_name(&a, &nameless));
        assert_false(module_key_same_name(&nameless, &nameless));
        assert_true(module_key_equal(&nameless, &nameless));
}

static void test_long_name_is_kept_whole(void **state) {
        const struct module_file file = example_file();
        struct module_key key = module_key_make(&file, LONGEST, "", 0, 0);

        (void)state;
        assert_string_equal(key.name, LONGEST);
}

static void test_file_from_statx(void **state) {
        const struct statx status = {
                .stx_dev_major = 8,
                .stx_dev_minor = 1,
                .stx_ino = 7,
                .stx_size = 5ULL << 32,
                .stx_ctime = { .tv_sec = 10, .tv_nsec = 1 },
                .stx_mtime = { .tv_sec = -1, .tv_nsec = 2 },
        };
        struct module_file file = module_file_from_statx(&status);

        (void)state;
        assert_int_equal(file.device, 8ULL << 32 | 1);
        assert_int_equal(file.inode, 7);
        assert_int_equal(file.size, 5ULL << 32);
        assert_int_equal(file.ctime_ns, 10000000001);
        assert_int_equal(file.mtime_ns, -999999998);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_compressed),
                cmocka_unit_test(test_no_names),
                cmocka_unit_test(test_equal_keys),
                cmocka_unit_test(test_different_keys),
                cmocka_unit_test(test_same_name),
                cmocka_unit_test(test_long_name_is_kept_whole),
                cmocka_unit_test(test_file_from_statx),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
