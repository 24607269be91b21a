/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * With a directory of plain files in the place of /sys/module. Where sysfs answers ENODEV from the open file of a
 * module that was removed, a plain file that was cut to nothing answers with no bytes: both mean that it has gone.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "module/sysfs.h"

struct fixture {
        char directory[64];
        struct module_sysfs sysfs;
};

static int set_up(void **state) {
        static struct fixture fixture;

        (void)snprintf(fixture.directory, sizeof(fixture.directory), "%s", "/tmp/modgate-sysfs-XXXXXX");
        if (!mkdtemp(fixture.directory))
                return -1;
        module_sysfs_init(&fixture.sysfs, fixture.directory);
        *state = &fixture;
        return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place) {
        (void)status, (void)type, (void)place;
        return remove(path);
}

static int tear_down(void **state) {
        struct fixture *fixture = *state;

        module_sysfs_deinit(&fixture->sysfs);
        return nftw(fixture->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void path_of(const struct fixture *fixture, const char *name, const char *file, char path[256]) {
        assert_in_range(snprintf(path, 256, "%s/%s/%s", fixture->directory, name, file), 1, 255);
}

/* The file stays the same one, as sysfs has it while a module is there. */
static void set_state(const struct fixture *fixture, const char *name, const char *text) {
        char path[256];
        FILE *file;

        path_of(fixture, name, "", path);
        (void)mkdir(path, 0755);
        path_of(fixture, name, "initstate", path);
        file = fopen(path, "w");
        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static void remove_module(const struct fixture *fixture, const char *name) {
        char path[256];

        set_state(fixture, name, "");
        path_of(fixture, name, "initstate", path);
        assert_int_equal(unlink(path), 0);
        path_of(fixture, name, "", path);
        assert_int_equal(rmdir(path), 0);
}

static void test_absent(void **state) {
        struct fixture *fixture = *state;

        assert_int_equal(module_sysfs_state(&fixture->sysfs, "alpha"), MODULE_ABSENT);
        assert_int_equal(module_sysfs_state(&fixture->sysfs, "alpha"), MODULE_ABSENT);
}

static void test_states(void **state) {
        struct fixture *fixture = *state;

        set_state(fixture, "alpha", "coming\n");
        assert_int_equal(module_sysfs_state(&fixture->sysfs, "alpha"), MODULE_PASSING);
        set_state(fixture, "alpha", "live\n");
        assert_int_equal(module_sysfs_state(&fixture->sysfs, "alpha"), MODULE_LIVE);
        assert_int_equal(module_sysfs_state(&fixture->sysfs, "alpha"), MODULE_LIVE);
        set_state(fixture, "alpha", "going\n");
        assert_int_equal(module_sysfs_state(&fixture->sysfs, "alpha"), MODULE_PASSING);
}

static void test_modules_are_told_apart(void **state) {
        struct fixture *fixture = *state;

        set_state(fixture, "alpha", "live\n");
        set_state(fixture, "alpha_2", "coming\n");
        assert_int_equal(module_sysfs_state(&fixture->sysfs, "alpha"), MODULE_LIVE);
        assert_int_equal(module_sysfs_state(&fixture->sysfs, "alpha_2"), MODULE_PASSING);
        assert_int_equal(module_sysfs_state(&fixture->sysfs, "alph"), MODULE_ABSENT);
        assert_int_equal(module_sysfs_state(&fixture->sysfs, "alpha"), MODULE_LIVE);
}

/* A module that is built in has a directory with parameters, and no initstate. */
static void test_built_in(void **state) {
        struct fixture *fixture = *state;
        char path[256];

        path_of(fixture, "alpha", "", path);
        assert_int_equal(mkdir(path, 0755), 0);
        assert_int_equal(module_sysfs_state(&fixture->sysfs, "alpha"), MODULE_ABSENT);
}

static void test_removed_and_loaded_again(void **state) {
        struct fixture *fixture = *state;

        set_state(fixture, "alpha", "live\n");
        assert_int_equal(module_sysfs_state(&fixture->sysfs, "alpha"), MODULE_LIVE);
        remove_module(fixture, "alpha");
        assert_int_equal(module_sysfs_state(&fixture->sysfs, "alpha"), MODULE_ABSENT);
        set_state(fixture, "alpha", "coming\n");
        assert_int_equal(module_sysfs_state(&fixture->sysfs, "alpha"), MODULE_PASSING);
        set_state(fixture, "alpha", "live\n");
        assert_int_equal(module_sysfs_state(&fixture->sysfs, "alpha"), MODULE_LIVE);
}

/* Gone and back between two looks: the old file says that it has gone, the new one is opened at once. */
static void test_loaded_again_between_looks(void **state) {
        struct fixture *fixture = *state;

        set_state(fixture, "alpha", "live\n");
        assert_int_equal(module_sysfs_state(&fixture->sysfs, "alpha"), MODULE_LIVE);
        remove_module(fixture, "alpha");
        set_state(fixture, "alpha", "coming\n");
        assert_int_equal(module_sysfs_state(&fixture->sysfs, "alpha"), MODULE_PASSING);
}

static void test_empty_file_is_absent(void **state) {
        struct fixture *fixture = *state;

        set_state(fixture, "alpha", "");
        assert_int_equal(module_sysfs_state(&fixture->sysfs, "alpha"), MODULE_ABSENT);
        set_state(fixture, "alpha", "live\n");
        assert_int_equal(module_sysfs_state(&fixture->sysfs, "alpha"), MODULE_LIVE);
}

static size_t open_descriptors(void) {
        DIR *directory = opendir("/proc/self/fd");
        size_t count = 0;

        assert_non_null(directory);
        while (readdir(directory))
                count++;
        (void)closedir(directory);
        return count;
}

/* One descriptor a module, however often it is asked for, and none for what is not there. */
static void test_descriptors(void **state) {
        struct fixture *fixture = *state;
        size_t before = open_descriptors();

        set_state(fixture, "alpha", "live\n");
        for (unsigned int i = 0; i < 100; i++) {
                (void)module_sysfs_state(&fixture->sysfs, "alpha");
                (void)module_sysfs_state(&fixture->sysfs, "absent");
        }
        assert_int_equal(open_descriptors(), before + 1);
        remove_module(fixture, "alpha");
        (void)module_sysfs_state(&fixture->sysfs, "alpha");
        assert_int_equal(open_descriptors(), before);
        set_state(fixture, "alpha", "live\n");
        (void)module_sysfs_state(&fixture->sysfs, "alpha");
        module_sysfs_deinit(&fixture->sysfs);
        assert_int_equal(open_descriptors(), before);
}

#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                IN_DIRECTORY(test_absent),
                IN_DIRECTORY(test_states),
                IN_DIRECTORY(test_modules_are_told_apart),
                IN_DIRECTORY(test_built_in),
                IN_DIRECTORY(test_removed_and_loaded_again),
                IN_DIRECTORY(test_loaded_again_between_looks),
                IN_DIRECTORY(test_empty_file_is_absent),
                IN_DIRECTORY(test_descriptors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
