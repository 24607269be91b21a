/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failures.h"
#include "module/identity.h"

#define TTL 10000000000ULL
#define NOW 5000000000ULL

static const uint64_t no_hash[2];

static struct module_key key_of(const char *name, unsigned int variant) {
        const struct module_file file = { .device = 1, .inode = 2 + variant, .size = 3, .ctime_ns = 4, .mtime_ns = 5 };

        return module_key_make(&file, name, "p", 1, 0);
}

static struct failure failure_of(const char *name, unsigned int variant) {
        struct failure failure = { .key = key_of(name, variant), .error = ENODEV, .file_fd = -1 };

        return failure;
}

static void remember(struct failures *failures, const char *name, unsigned int variant, uint64_t now) {
        struct failure failure = failure_of(name, variant);

        failure.params = strdup("p");
        failure.params_length = 1;
        failures_remember(failures, &failure, now);
}

static struct failure *find(struct failures *failures, const char *name, unsigned int variant, uint64_t now) {
        struct module_key key = key_of(name, variant);

        return failures_find(failures, &key, now);
}

static void give(struct failures *failures, const char *name, uint64_t now) {
        struct failure *failure = find(failures, name, 0, now);

        assert_non_null(failure);
        failure_given(failure);
}

/* It is due, and no other. */
static void assert_due(struct failures *failures, const char *name, uint64_t now) {
        struct failure *failure = failures_take_due(failures, now);

        assert_non_null(failure);
        assert_string_equal(failure->key.name, name);
        failure_free(failure);
        assert_null(failures_take_due(failures, now));
}

static int setup(void **state) {
        struct failures *failures = malloc(sizeof(*failures));

        failures_init(failures, TTL);
        *state = failures;
        return 0;
}

static int teardown(void **state) {
        struct failures *failures = *state;

        failures_deinit(failures);
        assert_int_equal(failures->count, 0);
        assert_true(list_is_empty(&failures->entries));
        free(failures);
        return 0;
}

static void test_which(void **state) {
        struct failures *failures = *state, off;

        failures_init(&off, 0);
        for (int error = 0; error < 4096; error++)
                for (int live = 0; live < 2; live++) {
                        bool expected =
                                error == ENODEV || error == ENXIO || error == EOPNOTSUPP || (error == EEXIST && !live);

                        assert_int_equal(failures_may_remember(failures, error, live), expected);
                        assert_false(failures_may_remember(&off, error, live));
                }
        failures_deinit(&off);
}

static void test_stands_until(void **state) {
        struct failures *failures = *state;

        assert_int_equal(failures_next_ns(failures), UINT64_MAX);
        assert_null(find(failures, "a", 0, NOW));
        remember(failures, "a", 0, NOW);
        assert_non_null(find(failures, "a", 0, NOW));
        assert_int_equal(find(failures, "a", 0, NOW)->error, ENODEV);
        assert_null(find(failures, "b", 0, NOW));
        assert_null(find(failures, "a", 1, NOW));
        assert_non_null(find(failures, "a", 0, NOW + TTL - 1));
        assert_null(find(failures, "a", 0, NOW + TTL));
        assert_int_equal(failures_next_ns(failures), NOW + TTL);
        assert_null(failures_take_due(failures, NOW + TTL - 1));
        assert_int_equal(failures->count, 1);
        assert_null(failures_take_due(failures, NOW + TTL));
        assert_int_equal(failures->count, 0);
        assert_int_equal(failures_next_ns(failures), UINT64_MAX);
}

/* All that is part of the key. */
static void test_key(void **state) {
        struct failures *failures = *state;
        const struct module_file file = { .device = 1, .inode = 2, .size = 3, .ctime_ns = 4, .mtime_ns = 5 };
        struct module_key params = module_key_make(&file, "a", "q", 1, 0),
                          flags = module_key_make(&file, "a", "p", 1, 1);

        remember(failures, "a", 0, NOW);
        assert_null(failures_find(failures, &params, NOW));
        assert_null(failures_find(failures, &flags, NOW));
}

static void test_ended_by_name(void **state) {
        struct failures *failures = *state;
        uint64_t epoch = failures->epoch;

        remember(failures, "a", 0, NOW);
        remember(failures, "b", 0, NOW);
        remember(failures, "a", 1, NOW);
        remember(failures, "ab", 0, NOW);
        failures_end_name(failures, "a");
        assert_null(find(failures, "a", 0, NOW));
        assert_null(find(failures, "a", 1, NOW));
        assert_non_null(find(failures, "b", 0, NOW));
        assert_non_null(find(failures, "ab", 0, NOW));
        failures_end_name(failures, "nobody");
        assert_int_equal(failures->count, 2);
        assert_int_equal(failures->epoch, epoch);
}

static void test_all_ended(void **state) {
        struct failures *failures = *state;
        uint64_t epoch = failures->epoch;

        failures_end_all(failures);
        assert_int_equal(failures->epoch, epoch + 1);
        remember(failures, "a", 0, NOW);
        remember(failures, "b", 0, NOW);
        failures_end_all(failures);
        assert_null(find(failures, "a", 0, NOW));
        assert_null(find(failures, "b", 0, NOW));
        assert_int_equal(failures->count, 0);
        assert_int_equal(failures->epoch, epoch + 2);
        remember(failures, "a", 0, NOW);
        assert_non_null(find(failures, "a", 0, NOW));
}

static void test_owed(void **state) {
        struct failures *failures = *state;

        remember(failures, "a", 0, NOW);
        remember(failures, "b", 0, NOW);
        give(failures, "a", NOW);
        failures_module_went_live(failures, NOW + 1000);
        /* a was given out, but before */
        assert_int_equal(failures_next_ns(failures), NOW + TTL);
        assert_null(failures_take_due(failures, NOW + TTL - 1));
        give(failures, "b", NOW + 2000);
        assert_int_equal(failures_next_ns(failures), NOW + 1000 + FAILURES_QUIET_NS);
        assert_null(failures_take_due(failures, NOW + 1000 + FAILURES_QUIET_NS - 1));
        /* it stands meanwhile */
        give(failures, "b", NOW + FAILURES_QUIET_NS);
        assert_due(failures, "b", NOW + 1000 + FAILURES_QUIET_NS);
        assert_null(find(failures, "b", 0, NOW + FAILURES_QUIET_NS));
        assert_non_null(find(failures, "a", 0, NOW + FAILURES_QUIET_NS));
}

/* As long as modules go live it is not due, but for its time being up. */
static void test_due_when_quiet(void **state) {
        struct failures *failures = *state;
        uint64_t now = NOW;

        remember(failures, "a", 0, NOW);
        failures_module_went_live(failures, now);
        give(failures, "a", now);
        for (; now + FAILURES_QUIET_NS / 2 < NOW + TTL; now += FAILURES_QUIET_NS / 2) {
                assert_null(failures_take_due(failures, now));
                failures_module_went_live(failures, now);
        }
        assert_int_equal(failures_next_ns(failures), NOW + TTL);
        assert_null(failures_take_due(failures, NOW + TTL - 1));
        assert_null(find(failures, "a", 0, NOW + TTL));
        assert_due(failures, "a", NOW + TTL);
}

/* During its own load: given out once is enough. */
static void test_live_during_load(void **state) {
        struct failures *failures = *state;
        struct failure failure = failure_of("a", 0);

        failures_module_went_live(failures, NOW);
        failure.live_since = true;
        failures_remember(failures, &failure, NOW + 1);
        assert_int_equal(failures_next_ns(failures), NOW + 1 + TTL);
        give(failures, "a", NOW + 2);
        assert_due(failures, "a", NOW + FAILURES_QUIET_NS);
}

/* What ends it does not pay: an attempt does, whatever its result. */
static void test_owed_when_ended(void **state) {
        struct failures *failures = *state;
        static const char *const names[] = { "a", "b", "c", "d" };
        struct module_key key = key_of("b", 0);

        for (unsigned int i = 0; i < 4; i++)
                remember(failures, names[i], 0, NOW);
        failures_module_went_live(failures, NOW);
        for (unsigned int i = 0; i < 3; i++)
                give(failures, names[i], NOW);
        failures_end_name(failures, "a");
        assert_null(find(failures, "a", 0, NOW));
        failures_end_all(failures);
        for (unsigned int i = 0; i < 4; i++)
                assert_null(find(failures, names[i], 0, NOW));
        assert_int_equal(failures->count, 3);
        failures_attempted(failures, &key, no_hash);
        remember(failures, "c", 0, NOW + 1);
        assert_non_null(find(failures, "c", 0, NOW + 1));
        assert_int_equal(failures->count, 2);
        assert_due(failures, "a", NOW + FAILURES_QUIET_NS);
        assert_int_equal(failures->count, 1);
}

static void test_attempted(void **state) {
        struct failures *failures = *state;
        struct module_key key = key_of("a", 0);

        remember(failures, "a", 0, NOW);
        remember(failures, "a", 1, NOW);
        failures_attempted(failures, &key, no_hash);
        assert_null(find(failures, "a", 0, NOW));
        assert_non_null(find(failures, "a", 1, NOW));
        failures_attempted(failures, &key, no_hash);
        assert_int_equal(failures->count, 1);
}

static void test_replaced(void **state) {
        struct failures *failures = *state;
        struct failure failure = failure_of("a", 0);

        remember(failures, "a", 0, NOW);
        failures_module_went_live(failures, NOW);
        give(failures, "a", NOW);
        failure.error = ENXIO;
        failures_remember(failures, &failure, NOW + 1000);
        assert_int_equal(failures->count, 1);
        assert_int_equal(find(failures, "a", 0, NOW + 1000)->error, ENXIO);
        assert_int_equal(find(failures, "a", 0, NOW + 1000 + TTL - 1)->error, ENXIO);
        /* nothing is owed */
        assert_int_equal(failures_next_ns(failures), NOW + 1000 + TTL);
        give(failures, "a", NOW + 1000);
        assert_int_equal(failures_next_ns(failures), NOW + 1000 + TTL);
}

/* Another image of the same name and length takes its place, but does not pay for it. */
static void test_other_image(void **state) {
        struct failures *failures = *state;
        struct failure one = failure_of("a", 0), two = failure_of("a", 0), *due;

        one.image_hash[0] = 1;
        two.image_hash[1] = 1;
        failures_remember(failures, &one, NOW);
        failures_remember(failures, &two, NOW);
        assert_int_equal(failures->count, 1);
        assert_memory_equal(find(failures, "a", 0, NOW)->image_hash, two.image_hash, sizeof(two.image_hash));
        failures_module_went_live(failures, NOW);
        give(failures, "a", NOW);
        failures_remember(failures, &one, NOW);
        assert_int_equal(failures->count, 2);
        assert_memory_equal(find(failures, "a", 0, NOW)->image_hash, one.image_hash, sizeof(one.image_hash));
        due = failures_take_due(failures, NOW + FAILURES_QUIET_NS);
        assert_non_null(due);
        assert_memory_equal(due->image_hash, two.image_hash, sizeof(two.image_hash));
        failure_free(due);
        assert_non_null(find(failures, "a", 0, NOW + FAILURES_QUIET_NS));
}

static void test_postponed(void **state) {
        struct failures *failures = *state;
        uint64_t due = NOW + FAILURES_QUIET_NS;
        struct failure *failure;

        remember(failures, "a", 0, NOW);
        failures_module_went_live(failures, NOW);
        give(failures, "a", NOW);
        for (unsigned int i = 0; i < 50; i++) {
                failure = failures_take_due(failures, due);
                assert_non_null(failure);
                failures_postpone(failures, failure, due);
                assert_int_equal(failures->count, 1);
                assert_null(find(failures, "a", 0, due));
                /* else its owner would never come to an end */
                assert_null(failures_take_due(failures, due));
                due += FAILURES_QUIET_NS;
                assert_int_equal(failures_next_ns(failures), due);
        }
        remember(failures, "a", 0, due);
        assert_null(failures_take_due(failures, due));
        assert_int_equal(failures->count, 1);
}

static void name_of(char name[8], unsigned int number) {
        (void)snprintf(name, 8, "m%u", number);
}

static void test_full(void **state) {
        struct failures *failures = *state;
        char name[8];

        for (unsigned int i = 0; i < FAILURES_MAX + 10; i++) {
                name_of(name, i);
                remember(failures, name, 0, NOW);
        }
        assert_int_equal(failures->count, FAILURES_MAX);
        for (unsigned int i = 0; i < FAILURES_MAX + 10; i++) {
                name_of(name, i);
                assert_int_equal(find(failures, name, 0, NOW) != NULL, i >= 10);
        }
        /* there already: room enough */
        remember(failures, "m20", 0, NOW);
        assert_non_null(find(failures, "m10", 0, NOW));
        assert_int_equal(failures->count, FAILURES_MAX);
}

/* What is owed is not forgotten for want of room. */
static void test_full_of_owed(void **state) {
        struct failures *failures = *state;
        char name[8];

        for (unsigned int i = 0; i < FAILURES_MAX; i++) {
                name_of(name, i);
                remember(failures, name, 0, NOW);
        }
        failures_module_went_live(failures, NOW);
        for (unsigned int i = 0; i < FAILURES_MAX; i++) {
                name_of(name, i);
                if (i != 100)
                        give(failures, name, NOW);
        }
        remember(failures, "a", 0, NOW);
        assert_null(find(failures, "m100", 0, NOW));
        assert_non_null(find(failures, "a", 0, NOW));
        give(failures, "m0", NOW);
        failures_module_went_live(failures, NOW);
        give(failures, "a", NOW);
        remember(failures, "b", 0, NOW);
        assert_null(find(failures, "b", 0, NOW));
        assert_int_equal(failures->count, FAILURES_MAX);
        for (unsigned int i = 0; i < FAILURES_MAX; i++) {
                struct failure *failure = failures_take_due(failures, NOW + FAILURES_QUIET_NS);

                assert_non_null(failure);
                failure_free(failure);
        }
        assert_int_equal(failures->count, 0);
}

static void remember_image(struct failures *failures, const char *name, uint64_t bytes) {
        struct failure failure = failure_of(name, 0);

        failure.bytes = bytes;
        failures_remember(failures, &failure, NOW);
}

/* Images are limited by their sizes in total: the oldest ones go, and nothing else. */
static void test_images(void **state) {
        struct failures *failures = *state;
        struct failure *due;

        remember(failures, "file", 0, NOW);
        remember_image(failures, "large", FAILURE_BYTES_MAX + 1);
        assert_null(find(failures, "large", 0, NOW));
        assert_int_equal(failures->bytes, 0);
        remember_image(failures, "a", FAILURE_BYTES_MAX);
        remember_image(failures, "b", FAILURES_BYTES_MAX - FAILURE_BYTES_MAX);
        assert_int_equal(failures->bytes, FAILURES_BYTES_MAX);
        remember(failures, "other", 0, NOW);
        assert_int_equal(failures->count, 4);
        remember_image(failures, "c", 1);
        assert_null(find(failures, "a", 0, NOW));
        assert_non_null(find(failures, "b", 0, NOW));
        assert_non_null(find(failures, "c", 0, NOW));
        assert_non_null(find(failures, "file", 0, NOW));
        /* its own place counts */
        remember_image(failures, "b", FAILURE_BYTES_MAX);
        assert_int_equal(failures->bytes, FAILURE_BYTES_MAX + 1);
        assert_non_null(find(failures, "c", 0, NOW));
        /* what is owed stays, until it is taken out */
        failures_module_went_live(failures, NOW);
        give(failures, "b", NOW);
        remember_image(failures, "d", FAILURE_BYTES_MAX - 1);
        give(failures, "c", NOW);
        remember_image(failures, "e", FAILURE_BYTES_MAX);
        assert_null(find(failures, "d", 0, NOW));
        assert_null(find(failures, "e", 0, NOW));
        assert_non_null(find(failures, "b", 0, NOW));
        while ((due = failures_take_due(failures, NOW + FAILURES_QUIET_NS)))
                failure_free(due);
        assert_int_equal(failures->bytes, 0);
        failures_end_all(failures);
        assert_int_equal(failures->bytes, 0);
}

static int open_one(void) {
        int fd = open("/dev/null", O_PATH | O_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

static void assert_open(int fd, bool expected) {
        assert_int_equal(fcntl(fd, F_GETFD) >= 0, expected);
}

static int remember_with_fd(struct failures *failures, const char *name) {
        struct failure failure = failure_of(name, 0);

        failure.file_fd = open_one();
        failure.params = strdup("parameters");
        failures_remember(failures, &failure, NOW);
        assert_open(failure.file_fd, true);
        return failure.file_fd;
}

/* Whatever becomes of an entry, what it owned is released once. That memory is, the sanitizer sees. */
static void test_owned(void **state) {
        struct failures *failures = *state;
        struct failure *due;
        int fd, other;

        fd = remember_with_fd(failures, "a");
        failures_end_name(failures, "a");
        assert_open(fd, false);

        fd = remember_with_fd(failures, "a");
        failures_end_all(failures);
        assert_open(fd, false);

        fd = remember_with_fd(failures, "a");
        other = remember_with_fd(failures, "a");
        assert_open(fd, false);
        assert_open(other, true);
        assert_null(failures_take_due(failures, NOW + TTL));
        assert_open(other, false);

        fd = remember_with_fd(failures, "a");
        failures_module_went_live(failures, NOW);
        give(failures, "a", NOW);
        failures_end_all(failures);
        assert_open(fd, true);
        due = failures_take_due(failures, NOW + FAILURES_QUIET_NS);
        assert_int_equal(due->file_fd, fd);
        assert_string_equal(due->params, "parameters");
        /* its contents may be moved out */
        free(due->params);
        due->params = NULL;
        due->file_fd = -1;
        failure_free(due);
        assert_open(fd, true);
        (void)close(fd);

        fd = remember_with_fd(failures, "a");
        failures_module_went_live(failures, NOW);
        give(failures, "a", NOW);
        failures_deinit(failures);
        assert_open(fd, false);
}

#define each(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                each(test_which),
                each(test_stands_until),
                each(test_key),
                each(test_ended_by_name),
                each(test_all_ended),
                each(test_owed),
                each(test_due_when_quiet),
                each(test_live_during_load),
                each(test_owed_when_ended),
                each(test_attempted),
                each(test_replaced),
                each(test_other_image),
                each(test_postponed),
                each(test_full),
                each(test_full_of_owed),
                each(test_images),
                each(test_owned),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
