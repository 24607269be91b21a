/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "launch/cgroup.h"

#define UDEVD "/system.slice/systemd-udevd.service/udev"

static void test_path(void **state) {
        static const char hybrid[] = "9:name=systemd:/a\n4:memory:/m\n1:cpu,cpuacct:/c\n0::" UDEVD "\n";
        static const struct {
                const char *text;
                enum cgroup_hierarchy hierarchy;
                const char *path; /* NULL: -ENOENT */
        } rows[] = {
                { "0::" UDEVD "\n", CGROUP_UNIFIED, UDEVD },
                { "0::/\n", CGROUP_UNIFIED, "/" },
                { "0::/", CGROUP_UNIFIED, "/" },
                { "0::/a:b/udev\n", CGROUP_UNIFIED, "/a:b/udev" },
                { "0::/a\n", CGROUP_NAMED_SYSTEMD, NULL },
                { hybrid, CGROUP_UNIFIED, UDEVD },
                { hybrid, CGROUP_NAMED_SYSTEMD, "/a" },
                { "1:name=systemd-not:/a\n2:xname=systemd:/b\n", CGROUP_NAMED_SYSTEMD, NULL },
                { "10::/not/it\n", CGROUP_UNIFIED, NULL },
                { "", CGROUP_UNIFIED, NULL },
                { "\n:\n0:\n0::\n0::relative\n", CGROUP_UNIFIED, NULL },
        };

        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                char *path = NULL;
                int r = cgroup_parse_path(rows[i].text, rows[i].hierarchy, &path);

                assert_int_equal(r, rows[i].path ? 0 : -ENOENT);
                if (rows[i].path)
                        assert_string_equal(path, rows[i].path);
                else
                        assert_null(path);
                free(path);
        }
}

#define MOUNT_V2 "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNT_PART "35 24 0:30 /x/y /sys/fs/cgroup rw,nosuid shared:9 master:3 - cgroup2 cgroup2 rw\n"
#define MOUNT_HYBRID                                                                                                   \
        "22 1 0:3 / /proc rw - proc proc rw\n"                                                                         \
        "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"                                                   \
        "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"                                                  \
        "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"                               \
        "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"

static void test_directory(void **state) {
        static const struct {
                const char *text;
                enum cgroup_hierarchy hierarchy;
                const char *path, *directory; /* NULL: -ENOENT */
        } rows[] = {
                { MOUNT_V2, CGROUP_UNIFIED, UDEVD, "/sys/fs/cgroup" UDEVD },
                { MOUNT_V2, CGROUP_UNIFIED, "/udev", "/sys/fs/cgroup/udev" },
                { MOUNT_V2, CGROUP_NAMED_SYSTEMD, UDEVD, NULL },
                { MOUNT_HYBRID, CGROUP_UNIFIED, "/a/udev", "/sys/fs/cgroup/unified/a/udev" },
                { MOUNT_HYBRID, CGROUP_NAMED_SYSTEMD, "/a/udev", "/sys/fs/cgroup/systemd/a/udev" },
                { MOUNT_PART, CGROUP_UNIFIED, "/x/y/udev", "/sys/fs/cgroup/udev" },
                { MOUNT_PART, CGROUP_UNIFIED, "/x/yy/udev", NULL },
                { MOUNT_PART MOUNT_V2, CGROUP_UNIFIED, "/z/udev", "/sys/fs/cgroup/z/udev" },
                { "1 2 0:3 / /a\\040b\\134c rw - cgroup2 none rw\n", CGROUP_UNIFIED, "/udev", "/a b\\c/udev" },
                { "1 2 0:3 / /a\\04 rw - cgroup2 none rw\n", CGROUP_UNIFIED, "/udev", "/a\\04/udev" },
                { "1 2 0:3 - cgroup2 none rw\n - cgroup2\n -  \n\n", CGROUP_UNIFIED, "/udev", NULL },
                { "", CGROUP_UNIFIED, "/udev", NULL },
        };

        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                char *directory = NULL;
                int r = cgroup_parse_directory(rows[i].text, rows[i].hierarchy, rows[i].path, &directory);

                assert_int_equal(r, rows[i].directory ? 0 : -ENOENT);
                if (rows[i].directory)
                        assert_string_equal(directory, rows[i].directory);
                else
                        assert_null(directory);
                free(directory);
        }
}

static void test_is_udev(void **state) {
        (void)state;
        assert_true(cgroup_path_is_udev(UDEVD));
        assert_true(cgroup_path_is_udev("/udev"));
        assert_false(cgroup_path_is_udev("/system.slice/systemd-udevd.service"));
        assert_false(cgroup_path_is_udev("/system.slice/eudev"));
        assert_false(cgroup_path_is_udev("/udev/modgate"));
        assert_false(cgroup_path_is_udev("/"));
        assert_false(cgroup_path_is_udev(""));
}

/* The test does not run as udevd's child: there is nothing to leave. */
static void test_elsewhere_nothing_happens(void **state) {
        (void)state;
        assert_int_equal(cgroup_leave_udev(), 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_path),
                cmocka_unit_test(test_directory),
                cmocka_unit_test(test_is_udev),
                cmocka_unit_test(test_elsewhere_nothing_happens),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
