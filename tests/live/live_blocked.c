/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Files and memory that never answer. Whoever calls with them waits, as with the bare kernel, or is left to it; all
 * others are answered meanwhile, and the supervisor can be replaced at any time. Most of these tests wait for a time
 * limit, so they run at the same time.
 */

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "modgate/handoff.h"
#include "scripted.h"
#include "scripted_fuse.h"
#include "scripted_images.h"

#define LIMIT_S 90U

static struct scripted_fuse fuse;
static bool has_fuse;
static int fuse_fd; /* of its file, opened while it served */

static void mount_fuse(struct scripted *kit, const char *backing) {
        has_fuse = scripted_fuse_mount(kit, backing, &fuse);
        if (!has_fuse)
                return;
        fuse_fd = open(fuse.path, O_RDONLY);
        CHECK(fuse_fd >= 0);
}

static void mount_file(struct scripted *kit) {
        mount_fuse(kit, scripted_file(kit, scripted_module(kit, "alpha"), "backing"));
}

static void mount_image(struct scripted *kit) {
        scripted_prepare_bare_image(kit);
        mount_fuse(kit, scripted_image(kit, scripted_module(kit, "alpha"), "backing"));
}

static void mount_params(struct scripted *kit) {
        scripted_prepare_bare(kit);
        mount_fuse(kit, scripted_file(kit, scripted_module(kit, "alpha"), "parameters"));
}

static bool is_missing(void) {
        if (!has_fuse)
                printf("# there is no /dev/fuse: not tried\n");
        return !has_fuse;
}

/* Everybody else is served, by this supervisor and by the next ones, and by calls of both kinds. */
static void check_others(struct scripted *kit, unsigned int first) {
        for (unsigned int i = 0; i < 3; i++) {
                struct scripted_module *file = scripted_numbered(kit, first + 2 * i);
                struct scripted_module *image = scripted_numbered(kit, first + 2 * i + 1);
                struct scripted_call *calls = scripted_calls(kit, 8, scripted_call_of(file));

                scripted_set_result(file, ENODEV);
                scripted_perform(kit, calls, 8);
                CHECK_EQUAL(scripted_count(calls, 8, ENODEV), 8);
                CHECK_EQUAL(scripted_one(kit, scripted_image_call(kit, image, "one")), 0);
                CHECK_EQUAL(image->loads, 1);
                if (i < 2)
                        (void)scripted_replace_supervisor(kit);
        }
}

/* A file whose server is dead, or hangs when it is read. */
static void check_dead_file(struct scripted *kit, enum scripted_fuse_state state) {
        struct scripted_call like = { .fd = fuse_fd, .params = "" }, *calls;

        if (is_missing())
                return;
        *fuse.state = (int)state;
        calls = scripted_calls(kit, 4, like);
        scripted_start(kit, calls, 4, 0);
        check_others(kit, 0);
        CHECK_EQUAL(scripted_count(calls, 4, NOT_RETURNED), 4);
        scripted_fuse_abort(&fuse);
        scripted_finish(kit, calls, 4);
        CHECK_EQUAL(scripted_count(calls, 4, NOT_RETURNED) + scripted_count(calls, 4, 0), 0);
}

static void test_dead_file(struct scripted *kit) {
        check_dead_file(kit, SCRIPTED_FUSE_HANGS);
}

static void test_dead_reads(struct scripted *kit) {
        check_dead_file(kit, SCRIPTED_FUSE_READS_HANG);
}

/* Nobody had to find out by waiting that a supervisor hangs. */
static void after_dead_file(struct scripted *kit, struct json_object *report) {
        if (!has_fuse)
                return;
        CHECK_EQUAL(scripted_number(report, "totals", "supervisor_starts"), 3);
        CHECK_EQUAL(scripted_log_lines(kit, "hangs"), 0);
}

/* A caller that dies while its file hangs: the load stays, and is nobody's. */
static void test_dead_file_and_callers(struct scripted *kit) {
        struct scripted_call like = { .fd = fuse_fd, .params = "" }, *calls;

        if (is_missing())
                return;
        *fuse.state = SCRIPTED_FUSE_READS_HANG;
        calls = scripted_calls(kit, 4, like);
        scripted_start(kit, calls, 4, 0);
        scripted_settle(kit, calls, 4);
        scripted_kill(calls, 4);
        scripted_finish(kit, calls, 4);
        check_others(kit, 0);
        scripted_fuse_abort(&fuse);
}

/* Memory that is mapped from such a file */

static void *map_fuse(void) {
        void *memory = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE, fuse_fd, 0);

        CHECK(memory != MAP_FAILED);
        return memory;
}

/* On a kernel without modules nobody but us reads it. */
static int call_with_dead_image(void *context) {
        struct scripted *kit = context;

        return syscall(SYS_init_module, map_fuse(), scripted_image_size(kit), "") < 0 ? errno : 0;
}

static int call_with_dead_params(void *context) {
        struct scripted *kit = context;
        int fd = open(scripted_module(kit, "alpha")->path, O_RDONLY | O_CLOEXEC);

        return syscall(SYS_finit_module, fd, map_fuse(), 0) < 0 ? errno : 0;
}

static void check_dead_memory(struct scripted *kit, int (*make)(void *context), unsigned int count) {
        struct scripted_call *calls;

        if (is_missing())
                return;
        *fuse.state = SCRIPTED_FUSE_READS_HANG;
        calls = scripted_start_own(kit, count, make, kit);
        check_others(kit, 0);
        /* left to the kernel, each after its time */
        scripted_finish_all(kit, calls, count, kit->bare[0]);
        check_others(kit, 20);
        scripted_fuse_abort(&fuse);
        CHECK_EQUAL(scripted_module(kit, "alpha")->loads, 0);
}

static void test_dead_image(struct scripted *kit) {
        check_dead_memory(kit, call_with_dead_image, 1);
}

static void test_dead_params(struct scripted *kit) {
        check_dead_memory(kit, call_with_dead_params, 1);
}

static void after_dead_memory(struct scripted *kit, struct json_object *report) {
        if (!has_fuse)
                return;
        CHECK_EQUAL(scripted_number(report, "continued", "no-inspector"), 1);
        CHECK_EQUAL(scripted_continued(report), 1);
        CHECK_EQUAL(scripted_number(report, "totals", "supervisor_starts"), 5);
        CHECK_EQUAL(scripted_log_lines(kit, "the supervisor hangs"), 0);
}

/* More of them than there can be inspectors: then others are left to the kernel too, until the file answers. */
static void test_all_inspectors_hang(struct scripted *kit) {
        struct scripted_module *beta = scripted_module(kit, "beta");
        struct scripted_call *calls;
        unsigned int count = 2 * INSPECTORS_MAX;
        int error;

        if (is_missing())
                return;
        *fuse.state = SCRIPTED_FUSE_READS_HANG;
        calls = scripted_start_own(kit, count, call_with_dead_params, kit);
        scripted_sleep_ms(1000);
        error = scripted_one(kit, scripted_call_of(beta));
        CHECK(error == 0 || error == kit->bare[0]);
        scripted_finish_all(kit, calls, count, kit->bare[0]);
        scripted_fuse_abort(&fuse);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "gamma"))), 0);
        CHECK_EQUAL(scripted_module(kit, "gamma")->loads, 1);
}

static void after_all_inspectors_hang(struct scripted *kit, struct json_object *report) {
        (void)kit;
        if (!has_fuse)
                return;
        CHECK(scripted_number(report, "continued", "no-inspector") >= 2 * INSPECTORS_MAX);
        CHECK_EQUAL(scripted_number(report, "totals", "supervisor_starts"), 1);
}

/* A page in the middle of an image that nobody fills: its header, name and all before it can be read. */
static int call_with_missing_page(void *context) {
        struct scripted *kit = context;
        struct scripted_raw raw = scripted_raw_image(kit, scripted_module(kit, "alpha"), "holes", 1 << 20);
        size_t page = (size_t)sysconf(_SC_PAGESIZE), middle = (1 << 19) / page * page;
        struct uffdio_api api = { .api = UFFD_API };
        struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
        char *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

        if (fd < 0)
                return ENOTSUP;
        CHECK(memory != MAP_FAILED);
        memcpy(memory, raw.image, middle);
        range.range.start = (uint64_t)(uintptr_t)memory + middle;
        range.range.len = page;
        CHECK_EQUAL(ioctl(fd, UFFDIO_API, &api), 0);
        CHECK_EQUAL(ioctl(fd, UFFDIO_REGISTER, &range), 0);
        return syscall(SYS_init_module, memory, 1 << 20, "") < 0 ? errno : 0;
}

static void test_missing_page(struct scripted *kit) {
        struct scripted_call *call = scripted_start_own(kit, 1, call_with_missing_page, kit);

        check_others(kit, 0);
        scripted_finish(kit, call, 1);
        if (call->error == ENOTSUP) {
                printf("# there is no userfaultfd: not tried\n");
                return;
        }
        CHECK_EQUAL(call->error, kit->bare[0]);
        check_others(kit, 20);
        CHECK_EQUAL(scripted_module(kit, "alpha")->loads, 0);
        /* the one that hung was killed: it is not there any more when its successor is idle */
        scripted_settle(kit, NULL, 0);
        CHECK_EQUAL(scripted_process(kit, "modgate-inspect", 2), 0);
}

static void after_missing_page(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "totals", "supervisor_starts"), 5);
        CHECK(scripted_number(report, "continued", "no-inspector") <= 1);
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "dead_file",
                  .limit_s = LIMIT_S,
                  .prepare = mount_file,
                  .body = test_dead_file,
                  .after = after_dead_file,
                  .counts_inexactly = true },
                { .name = "dead_reads",
                  .limit_s = LIMIT_S,
                  .prepare = mount_file,
                  .body = test_dead_reads,
                  .after = after_dead_file,
                  .counts_inexactly = true },
                { .name = "dead_file_and_callers",
                  .limit_s = LIMIT_S,
                  .prepare = mount_file,
                  .body = test_dead_file_and_callers,
                  .counts_inexactly = true },
                { .name = "dead_image",
                  .limit_s = LIMIT_S,
                  .prepare = mount_image,
                  .body = test_dead_image,
                  .after = after_dead_memory,
                  .counts_inexactly = true },
                { .name = "dead_params",
                  .limit_s = LIMIT_S,
                  .prepare = mount_params,
                  .body = test_dead_params,
                  .after = after_dead_memory,
                  .counts_inexactly = true },
                { .name = "all_inspectors_hang",
                  .limit_s = LIMIT_S,
                  .prepare = mount_params,
                  .body = test_all_inspectors_hang,
                  .after = after_all_inspectors_hang },
                { .name = "missing_page",
                  .limit_s = LIMIT_S,
                  .prepare = scripted_prepare_bare_image,
                  .body = test_missing_page,
                  .after = after_missing_page,
                  .counts_inexactly = true },
        };

        return scripted_main_at_once(argc, argv, tests, SCRIPTED_COUNT(tests));
}
