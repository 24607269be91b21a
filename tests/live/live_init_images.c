/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What an image has to be, what of it is looked at, and images that change while their callers wait. */

#include <limits.h>
#include <link.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "modgate/module.h"
#include "scripted_images.h"

static void test_live(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        scripted_set_state(kit, alpha, "live");
        CHECK_EQUAL(scripted_raw_one(kit, scripted_raw_headers(kit, alpha)), EEXIST);
        CHECK_EQUAL(alpha->loads, 0);
        CHECK_EQUAL(scripted_count_fds(scripted_await_process(kit, "modgate-superv"), "modgate-image"), 0);
}

static void after_live(struct scripted *kit, struct json_object *report) {
        CHECK_EQUAL(scripted_module_number(report, "alpha", "live"), 1);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "bytes_not_read"), scripted_image_size(kit));
        CHECK_EQUAL(scripted_continued(report), 0);
}

static size_t page_size(void) {
        return (size_t)sysconf(_SC_PAGESIZE);
}

/* Where real modules have it: at the end. */
static void move_section_table(char *image, size_t length) {
        ElfW(Ehdr) *header = (ElfW(Ehdr) *)(void *)image;
        size_t size = (size_t)header->e_shnum * header->e_shentsize;

        memmove(image + length - size, image + header->e_shoff, size);
        header->e_shoff = length - size;
}

/* As libkmod's own buffers are: at any address. What is around its pages is not mapped. */
static struct scripted_raw image_alone(struct scripted *kit, size_t behind) {
        struct scripted_raw raw = scripted_raw_small(kit, scripted_module(kit, "alpha"), "one");
        size_t room = (raw.length / page_size() + 3) * page_size();
        char *memory = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        char *end = memory + room - page_size(), *image = end - behind - raw.length;

        CHECK(memory != MAP_FAILED);
        move_section_table(raw.image, raw.length);
        memcpy(image, raw.image, raw.length);
        CHECK_EQUAL(munmap(memory, (size_t)(image - memory) / page_size() * page_size()), 0);
        CHECK_EQUAL(munmap(end, page_size()), 0);
        return (struct scripted_raw){ .image = image, .length = raw.length, .params = "" };
}

static void test_at_any_address(struct scripted *kit) {
        static const size_t behind[] = { 0, 1, 100, 2000 };
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        scripted_set_result(alpha, ENODEV);
        for (unsigned int i = 0; i < SCRIPTED_COUNT(behind); i++) {
                CHECK_EQUAL(scripted_raw_one(kit, image_alone(kit, behind[i])), ENODEV);
                CHECK_EQUAL(alpha->loads, i + 1);
                CHECK(scripted_loaded_from(alpha, i, "one"));
        }
}

/* Which of its CPUs a process may use now. */
static unsigned int count_cpus(pid_t pid) {
        cpu_set_t set;

        CHECK_EQUAL(sched_getaffinity(pid, sizeof(set), &set), 0);
        return (unsigned int)CPU_COUNT(&set);
}

struct odd_image {
        const char *reason; /* in the report */
        struct scripted_raw (*make)(struct scripted *kit);
};

static struct scripted_raw good_image(struct scripted *kit) {
        return scripted_raw_small(kit, scripted_module(kit, "alpha"), "one");
}

static struct scripted_raw with_length(struct scripted *kit, unsigned long length) {
        struct scripted_raw raw = good_image(kit);

        raw.length = length;
        return raw;
}

static struct scripted_raw no_length(struct scripted *kit) {
        return with_length(kit, 0);
}

static struct scripted_raw all_lengths(struct scripted *kit) {
        return with_length(kit, ULONG_MAX);
}

static struct scripted_raw over_a_gigabyte(struct scripted *kit) {
        return with_length(kit, (1UL << 30) + 1);
}

static struct scripted_raw shorter_than_its_sections(struct scripted *kit) {
        return with_length(kit, 100);
}

static struct scripted_raw longer_than_its_memory(struct scripted *kit) {
        return with_length(kit, SCRIPTED_LARGE);
}

static struct scripted_raw first_page_only(struct scripted *kit) {
        return scripted_raw_headers(kit, scripted_module(kit, "alpha"));
}

static struct scripted_raw null_image(struct scripted *kit) {
        return (struct scripted_raw){ .length = scripted_image_size(kit), .params = "" };
}

static struct scripted_raw kernel_image(struct scripted *kit) {
        return (struct scripted_raw){ .image = (char *)UINTPTR_MAX - 8191,
                                      .length = scripted_image_size(kit),
                                      .params = "" };
}

static struct scripted_raw not_elf(struct scripted *kit) {
        struct scripted_raw raw = good_image(kit);

        memset(raw.image, 'x', raw.length);
        return raw;
}

/* Replaces the first or second "alpha" of an image, which has one of them in the module, the other one in .modinfo. */
static struct scripted_raw renamed(struct scripted *kit, const char *in_module, const char *in_modinfo) {
        struct scripted_raw raw = good_image(kit);
        char *first = memmem(raw.image, raw.length, "alpha", 5);
        char *second = memmem(first + 5, raw.length - (size_t)(first + 5 - raw.image), "alpha", 5);

        memcpy(first, in_module, 5);
        memcpy(second, in_modinfo, 5);
        return raw;
}

static struct scripted_raw of_two_names(struct scripted *kit) {
        return renamed(kit, "alpha", "alphb");
}

/* The supervisor looks at initstate: it must not be led anywhere else. Here it would wait for the FIFO's writer. */
static struct scripted_raw of_a_path(struct scripted *kit) {
        char path[SCRIPTED_PATH_MAX + 16];

        (void)snprintf(path, sizeof(path), "%s/../xx", kit->sysfs);
        CHECK(mkdir(path, 0700) == 0 || errno == EEXIST);
        (void)snprintf(path, sizeof(path), "%s/../xx/initstate", kit->sysfs);
        CHECK(mkfifo(path, 0600) == 0 || errno == EEXIST);
        return renamed(kit, "../xx", "../xx");
}

static struct scripted_raw without_params(struct scripted *kit) {
        struct scripted_raw raw = good_image(kit);

        raw.params = NULL;
        return raw;
}

static struct scripted_raw cut_params(struct scripted *kit) {
        struct scripted_raw raw = good_image(kit);
        char *memory = mmap(NULL, 2 * page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        CHECK(memory != MAP_FAILED);
        memset(memory, 'a', page_size());
        CHECK_EQUAL(munmap(memory + page_size(), page_size()), 0);
        raw.params = memory + page_size() - 10;
        return raw;
}

static struct scripted_raw params_too_long(struct scripted *kit) {
        struct scripted_raw raw = good_image(kit);

        raw.params = scripted_text(MODULE_PARAMS_MAX + 1);
        return raw;
}

static const struct odd_image odd_images[] = {
        { "image-not-understood", no_length },
        { "image-not-understood", all_lengths },
        { "image-not-understood", over_a_gigabyte },
        { "image-not-understood", shorter_than_its_sections },
        { "memory-unreadable", longer_than_its_memory },
        { "memory-unreadable", first_page_only },
        { "memory-unreadable", null_image },
        { "memory-unreadable", kernel_image },
        { "image-not-understood", not_elf },
        { "image-not-understood", of_two_names },
        { "image-not-understood", of_a_path },
        { "memory-unreadable", without_params },
        { "memory-unreadable", cut_params },
        { "parameters-too-long", params_too_long },
};

static void make_odd_images_bare(struct scripted *kit) {
        for (unsigned int i = 0; i < SCRIPTED_COUNT(odd_images); i++)
                kit->bare[i] = scripted_raw_one(kit, odd_images[i].make(kit));
}

static void test_odd_images(struct scripted *kit) {
        for (unsigned int i = 0; i < SCRIPTED_COUNT(odd_images); i++) {
                int error = scripted_raw_one(kit, odd_images[i].make(kit));

                if (error != kit->bare[i])
                        printf("# image %u (%s)\n", i, odd_images[i].reason);
                CHECK_EQUAL(error, kit->bare[i]);
        }
        CHECK_EQUAL(scripted_module(kit, "alpha")->loads, 0);
        /* and it still works */
        CHECK_EQUAL(scripted_raw_one(kit, good_image(kit)), 0);
}

static void after_odd_images(struct scripted *kit, struct json_object *report) {
        (void)kit;
        for (unsigned int i = 0; i < SCRIPTED_COUNT(odd_images); i++) {
                unsigned int expected = 0;

                for (unsigned int j = 0; j < SCRIPTED_COUNT(odd_images); j++)
                        expected += strcmp(odd_images[j].reason, odd_images[i].reason) == 0;
                CHECK_EQUAL(scripted_number(report, "continued", odd_images[i].reason), expected);
        }
        CHECK_EQUAL(scripted_continued(report), SCRIPTED_COUNT(odd_images));
        CHECK_EQUAL(scripted_number(report, "totals", "supervisor_starts"), 1);
}

/* A caller that changes its image while it waits */

static void test_image_changes(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_raw changing = scripted_raw_small(kit, alpha, "one"),
                            constant = scripted_raw_small(kit, alpha, "one");
        struct scripted_call *leader, *joiners, *changed;

        alpha->hold = 1;
        scripted_set_results(alpha, (const int[]){ ENODEV, ENOENT }, 2);
        leader = scripted_raw_start(kit, 1, changing);
        scripted_await_begun(alpha, 1);
        joiners = scripted_raw_start(kit, 4, constant);
        changed = scripted_raw_start(kit, 4, changing);
        scripted_settle(kit, joiners, 8);
        memcpy(changing.image, scripted_raw_small(kit, alpha, "two").image, changing.length);
        scripted_release_one(kit, alpha);
        /* what was loaded is what was copied */
        scripted_finish_all(kit, leader, 1, ENODEV);
        scripted_finish_all(kit, joiners, 4, ENODEV);
        scripted_await_begun(alpha, 2);
        scripted_settle(kit, changed, 4);
        scripted_release(alpha);
        scripted_finish_all(kit, changed, 4, ENOENT);
        CHECK_EQUAL(alpha->loads, 2);
        CHECK(scripted_loaded_from(alpha, 0, "one") && scripted_loaded_from(alpha, 1, "two"));
}

/* One whose image has another name when its turn comes is counted with that. */
static void test_name_changes(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        struct scripted_call *leader, *calls;
        struct scripted_raw changing = scripted_raw_small(kit, alpha, "one"),
                            broken = scripted_raw_small(kit, alpha, "one");

        scripted_set_result(alpha, ENODEV);
        leader = scripted_start_held(kit, alpha, 1, scripted_image_call(kit, alpha, "one"));
        calls = scripted_raw_start(kit, 2, changing);
        (void)scripted_raw_start(kit, 2, broken);
        scripted_settle(kit, calls, 4);
        memcpy(changing.image, scripted_raw_small(kit, beta, "two").image, changing.length);
        memset(broken.image, 'x', broken.length);
        scripted_release(alpha);
        scripted_finish_all(kit, leader, 1, ENODEV);
        scripted_finish(kit, calls, 4);
        CHECK_EQUAL(scripted_count(calls, 2, 0) + scripted_count(calls, 2, EEXIST), 2);
        CHECK_EQUAL(scripted_count(calls + 2, 2, kit->bare[0]), 2);
        CHECK_EQUAL(alpha->loads, 1);
        CHECK_EQUAL(beta->loads, 1);
}

static void after_name_changes(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "requests"), 3);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "continued"), 2);
        CHECK_EQUAL(scripted_module_number(report, "beta", "requests"), 2);
        CHECK_EQUAL(scripted_number(report, "continued", "image-not-understood"), 2);
}

/* Nobody waits for somebody else's image. */
static void test_large_image(struct scripted *kit) {
        struct scripted_module *beta = scripted_module(kit, "beta");
        struct scripted_raw large = scripted_raw_large(kit);
        struct scripted_call *call = scripted_raw_start(kit, 1, large);
        pid_t inspector = scripted_stop_copying(kit);

        CHECK_EQUAL(scripted_one(kit, scripted_image_call(kit, beta, "one")), 0);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "gamma"))), 0);
        CHECK_EQUAL(call->error, NOT_RETURNED);
        CHECK_EQUAL(kill(inspector, SIGCONT), 0);
        scripted_finish_all(kit, call, 1, ENOEXEC);
}

/* Large images are compared by several inspectors at a time; soon there is only one again. */
static void test_many_large_images(struct scripted *kit) {
        struct scripted_raw raw = scripted_raw_image(kit, scripted_module(kit, "alpha"), "one", (size_t)16 << 20);
        struct scripted_call *calls = scripted_raw_start(kit, 16, raw);
        bool more_than_one = false;

        for (unsigned int i = 0; i < 16; i++)
                while (calls[i].error == NOT_RETURNED) {
                        more_than_one |= scripted_process(kit, "modgate-inspect", 1) != 0;
                        scripted_sleep_ms(1);
                }
        scripted_finish_all(kit, calls, 16, ENOEXEC);
        CHECK(more_than_one || count_cpus(getpid()) == 1);
        while (scripted_process(kit, "modgate-inspect", 1) != 0)
                scripted_sleep_ms(10);
}

/* Nothing stays open */

static void test_descriptors(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        pid_t supervisor = scripted_await_process(kit, "modgate-superv");
        unsigned int before = 0;

        scripted_set_result(alpha, ENODEV);
        for (unsigned int i = 0; i < 10; i++) {
                struct scripted_call *calls =
                        scripted_start_held(kit, alpha, 10, scripted_image_call(kit, alpha, "one"));
                struct scripted_call *others = scripted_start_parked(kit, 10, scripted_image_call(kit, alpha, "two"));

                scripted_release(alpha);
                scripted_finish_all(kit, calls, 10, ENODEV);
                scripted_finish_all(kit, others, 10, ENODEV);
                (void)scripted_raw_one(kit, scripted_raw_headers(kit, beta));
                scripted_settle(kit, NULL, 0);
                CHECK_EQUAL(scripted_count_fds(supervisor, "modgate-image"), 0);
                CHECK_EQUAL(scripted_count_fds(supervisor, "/mem"), 0);
                /* workers come and go: their sockets are no files */
                before = i == 0 ? scripted_count_fds(supervisor, "/") : before;
        }
        CHECK_EQUAL(scripted_count_fds(supervisor, "/"), before);
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "live", .body = test_live, .after = after_live },
                { .name = "at_any_address", .body = test_at_any_address, .after = scripted_after_no_continue },
                { .name = "odd_images",
                  .prepare = make_odd_images_bare,
                  .body = test_odd_images,
                  .after = after_odd_images },
                { .name = "image_changes", .body = test_image_changes, .after = scripted_after_no_continue },
                { .name = "name_changes",
                  .prepare = scripted_prepare_bare_image,
                  .body = test_name_changes,
                  .after = after_name_changes },
                { .name = "large_image", .body = test_large_image, .after = scripted_after_no_continue },
                { .name = "many_large_images", .body = test_many_large_images, .after = scripted_after_no_continue },
                { .name = "descriptors", .body = test_descriptors },
        };

        return scripted_main(argc, argv, tests, SCRIPTED_COUNT(tests));
}
