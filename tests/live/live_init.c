/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What callers of init_module see, and what reaches the loaders: the table in docs/design.md, for images. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "modgate/module.h"
#include "scripted_images.h"

/* The same image in flight: one load, everybody gets its result */

static void test_joined(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_start_held(kit, alpha, 64, scripted_image_call(kit, alpha, "one"));

        scripted_release(alpha);
        scripted_finish_all(kit, calls, 64, 0);
        CHECK_EQUAL(alpha->loads, 1);
        CHECK(scripted_loaded_from(alpha, 0, "one"));
        CHECK_EQUAL(scripted_one(kit, scripted_image_call(kit, alpha, "one")), EEXIST);
        CHECK_EQUAL(alpha->loads, 1);
}

static void after_joined(struct scripted *kit, struct json_object *report) {
        CHECK_EQUAL(scripted_module_number(report, "alpha", "requests"), 65);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 1);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "joined"), 63);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "live"), 1);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "bytes_loaded"), scripted_image_size(kit));
        CHECK_EQUAL(scripted_module_number(report, "alpha", "bytes_not_read"), 64 * scripted_image_size(kit));
        CHECK_EQUAL(scripted_continued(report), 0);
}

static void test_joined_failure(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls;

        scripted_set_results(alpha, (const int[]){ ENODEV, 0 }, 2);
        calls = scripted_start_held(kit, alpha, 64, scripted_image_call(kit, alpha, "one"));
        scripted_release(alpha);
        scripted_finish_all(kit, calls, 64, ENODEV);
        CHECK_EQUAL(alpha->loads, 1);
        /* nothing is remembered */
        CHECK_EQUAL(scripted_one(kit, scripted_image_call(kit, alpha, "one")), 0);
        CHECK_EQUAL(alpha->loads, 2);
}

static void after_joined_failure(struct scripted *kit, struct json_object *report) {
        CHECK_EQUAL(scripted_module_number(report, "alpha", "requests"), 65);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 2);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "joined"), 63);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "bytes_not_read"), 63 * scripted_image_size(kit));
        CHECK_EQUAL(scripted_continued(report), 0);
}

static void test_errnos(struct scripted *kit) {
        /* EEXIST: the init's own. ENOEXEC: as the inspector says. 524, ENOTSUPP: the kernel's, and in no header */
        static const int errors[] = { EEXIST, ENOEXEC, EBUSY, EKEYREJECTED, EFAULT, 524 };
        struct scripted_call *calls[SCRIPTED_COUNT(errors)];

        for (unsigned int i = 0; i < SCRIPTED_COUNT(errors); i++) {
                struct scripted_module *module = &kit->module[8 + i];

                scripted_set_result(module, errors[i]);
                calls[i] = scripted_start_held(kit, module, 4, scripted_image_call(kit, module, "one"));
        }
        for (unsigned int i = 0; i < SCRIPTED_COUNT(errors); i++) {
                scripted_release(&kit->module[8 + i]);
                scripted_finish_all(kit, calls[i], 4, errors[i]);
                CHECK_EQUAL(kit->module[8 + i].loads, 1);
        }
}

static void test_threads(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, 64, scripted_image_call(kit, alpha, "one"));

        scripted_set_result(alpha, ENODEV);
        alpha->hold = 1;
        scripted_start(kit, calls, 64, 16);
        scripted_settle(kit, calls, 64);
        scripted_release(alpha);
        scripted_finish_all(kit, calls, 64, ENODEV);
        CHECK_EQUAL(alpha->loads, 1);
}

/* Another image of the same length: told apart only where a failure would be shared */

static void test_other_content_failure(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *one, *two;

        scripted_set_results(alpha, (const int[]){ ENODEV, ENOENT }, 2);
        one = scripted_start_held(kit, alpha, 8, scripted_image_call(kit, alpha, "one"));
        two = scripted_start_parked(kit, 8, scripted_image_call(kit, alpha, "two"));
        scripted_release_one(kit, alpha);
        scripted_finish_all(kit, one, 8, ENODEV);
        scripted_await_begun(alpha, 2);
        scripted_settle(kit, two, 8);
        scripted_release(alpha);
        scripted_finish_all(kit, two, 8, ENOENT);
        CHECK_EQUAL(alpha->loads, 2);
        CHECK(scripted_loaded_from(alpha, 0, "one") && scripted_loaded_from(alpha, 1, "two"));
        CHECK(!alpha->overlapped);
}

static void after_other_content_failure(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "requests"), 16);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "joined"), 14);
        CHECK_EQUAL(scripted_continued(report), 0);
}

static void test_other_content_success(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *one = scripted_start_held(kit, alpha, 8, scripted_image_call(kit, alpha, "one"));
        struct scripted_call *two = scripted_start_parked(kit, 8, scripted_image_call(kit, alpha, "two"));

        scripted_release(alpha);
        scripted_finish_all(kit, one, 8, 0);
        scripted_finish_all(kit, two, 8, 0);
        CHECK_EQUAL(alpha->loads, 1);
}

/* The first image fails, the second one succeeds: whoever begins again finds the module live, or joins. */
static void test_many_contents(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *first, *calls;

        scripted_set_results(alpha, (const int[]){ ENODEV, 0 }, 2);
        first = scripted_start_held(kit, alpha, 2, scripted_image_call(kit, alpha, "first"));
        calls = scripted_calls(kit, 16, scripted_image_call(kit, alpha, "0"));
        for (unsigned int i = 1; i < 16; i++) {
                char label[16];

                (void)snprintf(label, sizeof(label), "%u", i);
                calls[i].path = scripted_image_call(kit, alpha, label).path;
        }
        scripted_start(kit, calls, 16, 0);
        scripted_settle(kit, calls, 16);
        scripted_release(alpha);
        scripted_finish_all(kit, first, 2, ENODEV);
        scripted_finish(kit, calls, 16);
        CHECK(scripted_count(calls, 16, 0) >= 1);
        CHECK_EQUAL(scripted_count(calls, 16, 0) + scripted_count(calls, 16, EEXIST), 16);
        CHECK_EQUAL(alpha->loads, 2);
}

/* Same name, other length or parameters, or a file: behind */

static void check_behind(struct scripted *kit, struct scripted_module *module, struct scripted_call first_call,
                         struct scripted_call second_call, int first_result) {
        struct scripted_call *first, *second;

        scripted_set_results(module, (const int[]){ first_result, ENOENT }, 2);
        first = scripted_start_held(kit, module, 4, first_call);
        second = scripted_start_parked(kit, 4, second_call);
        CHECK_EQUAL(module->loads, 1);
        scripted_release(module);
        scripted_finish_all(kit, first, 4, first_result);
        scripted_finish_all(kit, second, 4, first_result == 0 ? EEXIST : ENOENT);
        CHECK_EQUAL(module->loads, first_result == 0 ? 1 : 2);
        CHECK(!module->overlapped);
}

static void test_other_params(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");

        check_behind(kit, alpha, scripted_image_call_with(kit, alpha, "one", "a=1"),
                     scripted_image_call_with(kit, alpha, "one", "a=2"), 0);
        check_behind(kit, beta, scripted_image_call_with(kit, beta, "one", "a=1"),
                     scripted_image_call_with(kit, beta, "one", "a=2"), ENODEV);
        CHECK_EQUAL(strcmp(beta->record[1].params, "a=2"), 0);
}

static void test_file_and_image(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");

        check_behind(kit, alpha, scripted_call_of(alpha), scripted_image_call(kit, alpha, "one"), 0);
        check_behind(kit, beta, scripted_image_call(kit, beta, "one"), scripted_call_of(beta), ENODEV);
        CHECK(scripted_loaded_from(beta, 0, "one") && scripted_loaded_from(beta, 1, "indexed"));
}

static void after_behind(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "behind"), 4);
        CHECK_EQUAL(scripted_module_number(report, "beta", "behind"), 0);
        CHECK_EQUAL(scripted_module_number(report, "beta", "joined"), 6);
        CHECK_EQUAL(scripted_continued(report), 0);
}

static void test_other_length(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *one, *longer;

        scripted_set_result(alpha, ENODEV);
        one = scripted_start_held(kit, alpha, 4, scripted_image_call(kit, alpha, "one"));
        longer = scripted_raw_start(kit, 4, scripted_raw_image(kit, alpha, "one", scripted_image_size(kit) + 1));
        scripted_settle(kit, longer, 4);
        scripted_release(alpha);
        scripted_finish_all(kit, one, 4, ENODEV);
        scripted_finish_all(kit, longer, 4, ENOEXEC); /* the scripted loader's answer */
}

static void test_other_names(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        struct scripted_call *calls = scripted_start_held(kit, alpha, 4, scripted_image_call(kit, alpha, "one"));

        CHECK_EQUAL(scripted_one(kit, scripted_image_call(kit, beta, "one")), 0);
        CHECK_EQUAL(alpha->running, 1);
        scripted_release(alpha);
        scripted_finish_all(kit, calls, 4, 0);
}

/* Parameters */

static void test_params(struct scripted *kit) {
        static const size_t lengths[] = { 1, 31, 4096, MODULE_PARAMS_MAX };
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        scripted_set_result(alpha, ENODEV);
        for (unsigned int i = 0; i < SCRIPTED_COUNT(lengths); i++) {
                char *text = scripted_text(lengths[i]);

                CHECK_EQUAL(scripted_one(kit, scripted_image_call_with(kit, alpha, "one", text)), ENODEV);
                CHECK_EQUAL(alpha->record[i].params_length, lengths[i]);
                CHECK(alpha->record[i].params_hash == scripted_hash(text, lengths[i]));
                free(text);
        }
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "joined", .body = test_joined, .after = after_joined },
                { .name = "joined_failure", .body = test_joined_failure, .after = after_joined_failure },
                { .name = "errnos", .body = test_errnos, .after = scripted_after_no_continue },
                { .name = "threads", .body = test_threads, .after = scripted_after_no_continue },
                { .name = "other_content_failure",
                  .body = test_other_content_failure,
                  .after = after_other_content_failure },
                { .name = "other_content_success",
                  .body = test_other_content_success,
                  .after = scripted_after_no_continue },
                { .name = "many_contents", .body = test_many_contents, .after = scripted_after_no_continue },
                { .name = "other_params", .body = test_other_params, .after = after_behind },
                { .name = "file_and_image", .body = test_file_and_image, .after = after_behind },
                { .name = "other_length", .body = test_other_length, .after = scripted_after_no_continue },
                { .name = "other_names", .body = test_other_names, .after = scripted_after_no_continue },
                { .name = "params", .body = test_params, .after = scripted_after_no_continue },
        };

        return scripted_main(argc, argv, tests, SCRIPTED_COUNT(tests));
}
