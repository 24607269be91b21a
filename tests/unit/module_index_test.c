/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * With a module directory of our own, indexed by the real depmod. The modules are no ELF files, which depmod complains
 * about and indexes all the same.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "module/identity.h"
#include "module/index.h"

#define RELEASE "6.1.0-fake"

/* usr/lib/modules/RELEASE is the directory; lib is a link to usr/lib, as where /usr is merged. */
struct fixture {
        char base[PATH_MAX];
        char real[PATH_MAX + 64]; /* the directory without links in its path */
        struct module_index index;
};

static void make_directory(const char *base, const char *below) {
        char path[PATH_MAX + 64];

        (void)snprintf(path, sizeof(path), "%s/%s", base, below);
        assert_int_equal(mkdir(path, 0755), 0);
}

static void write_file(const char *directory, const char *below, const char *text) {
        char path[2 * PATH_MAX];
        FILE *file;

        (void)snprintf(path, sizeof(path), "%s/%s", directory, below);
        file = fopen(path, "w");
        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static void run_depmod(const struct fixture *fixture) {
        char command[PATH_MAX + 128];

        (void)snprintf(command, sizeof(command), "PATH=$PATH:/usr/sbin:/sbin depmod -b '%s' %s 2>/dev/null",
                       fixture->base, RELEASE);
        assert_int_equal(system(command), 0);
}

static int set_up(void **state) {
        static struct fixture fixture;
        static const char *const directories[] = {
                "usr",
                "usr/lib",
                "usr/lib/modules",
                "usr/lib/modules/" RELEASE,
                "usr/lib/modules/" RELEASE "/kernel",
                "usr/lib/modules/" RELEASE "/kernel/drivers",
                "usr/lib/modules/" RELEASE "/updates",
                "elsewhere",
        };
        char template[] = "/tmp/modgate-index-XXXXXX", link[PATH_MAX + 64];

        if (!mkdtemp(template) || !realpath(template, fixture.base))
                return -1;
        for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++)
                make_directory(fixture.base, directories[i]);
        (void)snprintf(link, sizeof(link), "%s/lib", fixture.base);
        if (symlink("usr/lib", link) < 0)
                return -1;
        (void)snprintf(fixture.real, sizeof(fixture.real), "%s/usr/lib/modules/%s", fixture.base, RELEASE);
        write_file(fixture.real, "modules.order", "");
        write_file(fixture.real, "modules.builtin", "kernel/built-in.ko\n");
        write_file(fixture.real, "kernel/alpha.ko", "alpha");
        write_file(fixture.real, "kernel/drivers/with-dash.ko", "with-dash");
        write_file(fixture.real, "kernel/packed.ko.xz", "packed");
        write_file(fixture.real, "kernel/twice.ko", "the kernel's");
        write_file(fixture.real, "updates/twice.ko", "the administrator's");
        run_depmod(&fixture);
        *state = &fixture;
        return module_index_init(&fixture.index, fixture.real);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place) {
        (void)status, (void)type, (void)place;
        return remove(path);
}

static int tear_down(void **state) {
        struct fixture *fixture = *state;

        module_index_deinit(&fixture->index);
        return nftw(fixture->base, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static struct module_file identity_of(const char *path) {
        struct statx status;

        assert_int_equal(statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &status), 0);
        return module_file_from_statx(&status);
}

/* The name that the index has for `path` below `directory`, when the file is the one that is there; or NULL. */
static const char *name_below(struct module_index *index, const char *directory, const char *below) {
        static char name[MODULE_NAME_SIZE];
        char path[2 * PATH_MAX];
        struct module_file file;

        (void)snprintf(path, sizeof(path), "%s/%s", directory, below);
        file = identity_of(path);
        return module_index_name(index, path, &file, name) ? name : NULL;
}

static const char *name_of(struct fixture *fixture, const char *below) {
        return name_below(&fixture->index, fixture->real, below);
}

static void test_names(void **state) {
        struct fixture *fixture = *state;

        for (unsigned int again = 0; again < 2; again++) {
                assert_string_equal(name_of(fixture, "kernel/alpha.ko"), "alpha");
                assert_string_equal(name_of(fixture, "kernel/drivers/with-dash.ko"), "with_dash");
                assert_string_equal(name_of(fixture, "kernel/packed.ko.xz"), "packed");
        }
}

static void test_not_in_the_index(void **state) {
        struct fixture *fixture = *state;

        write_file(fixture->real, "kernel/newcomer.ko", "newcomer");
        write_file(fixture->real, "kernel/no-module", "no-module");
        assert_null(name_of(fixture, "kernel/newcomer.ko"));
        assert_null(name_of(fixture, "kernel/no-module"));
}

/* libkmod takes it for built in, and has no path of it. */
static void test_built_in(void **state) {
        struct fixture *fixture = *state;

        write_file(fixture->real, "kernel/built-in.ko", "built-in");
        assert_null(name_of(fixture, "kernel/built-in.ko"));
}

static void test_index_is_read_again(void **state) {
        struct fixture *fixture = *state;

        write_file(fixture->real, "kernel/newcomer.ko", "newcomer");
        assert_null(name_of(fixture, "kernel/newcomer.ko"));
        run_depmod(fixture);
        assert_string_equal(name_of(fixture, "kernel/newcomer.ko"), "newcomer");
}

static void test_renamed_file(void **state) {
        struct fixture *fixture = *state;
        char from[PATH_MAX + 128], to[PATH_MAX + 128];

        assert_string_equal(name_of(fixture, "kernel/alpha.ko"), "alpha");
        (void)snprintf(from, sizeof(from), "%s/kernel/alpha.ko", fixture->real);
        (void)snprintf(to, sizeof(to), "%s/kernel/omega.ko", fixture->real);
        assert_int_equal(rename(from, to), 0);
        assert_null(name_of(fixture, "kernel/omega.ko"));
}

static void test_other_directory(void **state) {
        struct fixture *fixture = *state;

        write_file(fixture->base, "elsewhere/alpha.ko", "alpha");
        write_file(fixture->real, "kernel/drivers/alpha.ko", "alpha");
        assert_null(name_below(&fixture->index, fixture->base, "elsewhere/alpha.ko"));
        assert_null(name_of(fixture, "kernel/drivers/alpha.ko"));
}

/* Of two files of one name only one is the module that libkmod loads. */
static void test_one_file_of_a_name(void **state) {
        struct fixture *fixture = *state;

        assert_string_equal(name_of(fixture, "updates/twice.ko"), "twice");
        assert_null(name_of(fixture, "kernel/twice.ko"));
}

/* In another mount namespace the same path may be another file. */
static void test_other_file_under_the_path(void **state) {
        struct fixture *fixture = *state;
        struct module_file other;
        char path[PATH_MAX + 128], name[MODULE_NAME_SIZE] = "untouched";

        write_file(fixture->base, "elsewhere/alpha.ko", "alpha");
        (void)snprintf(path, sizeof(path), "%s/elsewhere/alpha.ko", fixture->base);
        other = identity_of(path);
        (void)snprintf(path, sizeof(path), "%s/kernel/alpha.ko", fixture->real);
        assert_false(module_index_name(&fixture->index, path, &other, name));
        assert_string_equal(name_of(fixture, "kernel/alpha.ko"), "alpha");
        assert_false(module_index_name(&fixture->index, path, &other, name));
        assert_string_equal(name, "untouched");
}

static void test_replaced_file(void **state) {
        struct fixture *fixture = *state;
        struct module_file old;
        char from[PATH_MAX + 128], to[PATH_MAX + 128], name[MODULE_NAME_SIZE];

        (void)snprintf(to, sizeof(to), "%s/kernel/alpha.ko", fixture->real);
        assert_string_equal(name_of(fixture, "kernel/alpha.ko"), "alpha");
        old = identity_of(to);
        write_file(fixture->base, "elsewhere/new", "an update");
        (void)snprintf(from, sizeof(from), "%s/elsewhere/new", fixture->base);
        assert_int_equal(rename(from, to), 0);
        assert_string_equal(name_of(fixture, "kernel/alpha.ko"), "alpha");
        /* who still holds the old one open has another file */
        assert_false(module_index_name(&fixture->index, to, &old, name));
        assert_string_equal(name_of(fixture, "kernel/alpha.ko"), "alpha");
}

static void test_removed_file(void **state) {
        struct fixture *fixture = *state;
        struct module_file old;
        char path[PATH_MAX + 128], deleted[PATH_MAX + 160], name[MODULE_NAME_SIZE];

        (void)snprintf(path, sizeof(path), "%s/kernel/alpha.ko", fixture->real);
        (void)snprintf(deleted, sizeof(deleted), "%s (deleted)", path);
        old = identity_of(path);
        assert_int_equal(unlink(path), 0);
        assert_false(module_index_name(&fixture->index, path, &old, name));
        assert_false(module_index_name(&fixture->index, deleted, &old, name));
}

static void keep(struct fixture *fixture, const char *below) {
        char path[PATH_MAX + 128], name[MODULE_NAME_SIZE];
        struct module_file file;

        (void)snprintf(path, sizeof(path), "%s/%s", fixture->real, below);
        file = identity_of(path);
        assert_true(module_index_name(&fixture->index, path, &file, name));
        module_index_keep(&fixture->index, path, &file, name);
}

/* Once found, a file is known by all of its identity, and by nothing less. */
static void test_kept(void **state) {
        struct fixture *fixture = *state;
        char path[PATH_MAX + 128];
        struct module_file file, changed[5];
        bool compressed = true;

        (void)snprintf(path, sizeof(path), "%s/kernel/alpha.ko", fixture->real);
        file = identity_of(path);
        assert_string_equal(name_of(fixture, "kernel/alpha.ko"), "alpha");
        assert_null(module_index_known(&fixture->index, &file, &compressed));
        for (unsigned int again = 0; again < 2; again++) {
                keep(fixture, "kernel/alpha.ko");
                keep(fixture, "kernel/packed.ko.xz");
                assert_int_equal(fixture->index.count, 2);
        }
        assert_string_equal(module_index_known(&fixture->index, &file, &compressed), "alpha");
        assert_false(compressed);
        for (unsigned int i = 0; i < 5; i++)
                changed[i] = file;
        changed[0].device++;
        changed[1].inode++;
        changed[2].size++;
        changed[3].ctime_ns++;
        changed[4].mtime_ns++;
        for (unsigned int i = 0; i < 5; i++)
                assert_null(module_index_known(&fixture->index, &changed[i], &compressed));
        (void)snprintf(path, sizeof(path), "%s/kernel/packed.ko.xz", fixture->real);
        file = identity_of(path);
        assert_string_equal(module_index_known(&fixture->index, &file, &compressed), "packed");
        assert_true(compressed);
}

/* /lib is a link: the index is opened through it, and the kernel shows paths without it. */
static void test_linked_directory(void **state) {
        struct fixture *fixture = *state;
        struct module_index index;
        char linked[PATH_MAX + 128];

        (void)snprintf(linked, sizeof(linked), "%s/lib/modules/%s", fixture->base, RELEASE);
        assert_int_equal(module_index_init(&index, linked), 0);
        assert_string_equal(name_below(&index, fixture->real, "kernel/alpha.ko"), "alpha");
        assert_string_equal(name_below(&index, fixture->real, "kernel/drivers/with-dash.ko"), "with_dash");
        assert_null(name_below(&index, linked, "kernel/alpha.ko"));
        module_index_deinit(&index);
}

static void test_without_index(void **state) {
        struct fixture *fixture = *state;
        struct module_index index;
        char directory[PATH_MAX + 64];

        write_file(fixture->base, "elsewhere/alpha.ko", "alpha");
        (void)snprintf(directory, sizeof(directory), "%s/elsewhere", fixture->base);
        assert_int_equal(module_index_init(&index, directory), 0);
        assert_null(name_below(&index, directory, "alpha.ko"));
        module_index_deinit(&index);
        assert_int_equal(module_index_init(&index, "/nonexistent"), 0);
        assert_null(name_below(&index, directory, "alpha.ko"));
        module_index_deinit(&index);
        /* the running kernel's: there may be one or not */
        assert_int_equal(module_index_init(&index, NULL), 0);
        assert_null(name_below(&index, directory, "alpha.ko"));
        module_index_deinit(&index);
}

#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                IN_DIRECTORY(test_names),
                IN_DIRECTORY(test_not_in_the_index),
                IN_DIRECTORY(test_built_in),
                IN_DIRECTORY(test_index_is_read_again),
                IN_DIRECTORY(test_renamed_file),
                IN_DIRECTORY(test_other_directory),
                IN_DIRECTORY(test_one_file_of_a_name),
                IN_DIRECTORY(test_other_file_under_the_path),
                IN_DIRECTORY(test_replaced_file),
                IN_DIRECTORY(test_removed_file),
                IN_DIRECTORY(test_kept),
                IN_DIRECTORY(test_linked_directory),
                IN_DIRECTORY(test_without_index),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
