/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Messages as liblxc's monitor sends them (src/lxc/seccomp.c, 4.0.5 and later), and wrong ones of every kind. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/audit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "oci/lxc_message.h"

static const struct seccomp_notif_sizes our_sizes = {
        .seccomp_notif = sizeof(struct seccomp_notif),
        .seccomp_notif_resp = sizeof(struct seccomp_notif_resp),
        .seccomp_data = sizeof(struct seccomp_data),
};

/* A message byte by byte, not by a struct: the layout is what is tested. */
struct written {
        char bytes[LXC_MESSAGE_MAX + 64];
        size_t length;
};

static void put(struct written *written, const void *bytes, size_t length) {
        assert_true(written->length + length <= sizeof(written->bytes));
        memcpy(written->bytes + written->length, bytes, length);
        written->length += length;
}

static void put_padded(struct written *written, const void *bytes, size_t length, size_t size) {
        static const char zeros[LXC_STRUCT_MAX];

        put(written, bytes, length);
        put(written, zeros, size - length);
}

static struct seccomp_notif some_notif(void) {
        return (struct seccomp_notif){
                .id = 0x1122334455667788,
                .pid = 77,
                .data = { .nr = SYS_finit_module, .arch = AUDIT_ARCH_X86_64, .args = { 3, 0x7fff00001000, 4 } },
        };
}

static void put_message(struct written *written, const struct seccomp_notif_sizes *sizes, const char *cookie) {
        const struct seccomp_notif notif = some_notif();
        const struct seccomp_notif_resp response = { .id = notif.id };
        const uint64_t reserved = 0, cookie_length = strlen(cookie);
        const int32_t monitor_pid = 4000, init_pid = 4001;
        const uint16_t lengths[4] = { sizes->seccomp_notif, sizes->seccomp_notif_resp, sizes->seccomp_data, 0 };

        written->length = 0;
        put(written, &reserved, 8);
        put(written, &monitor_pid, 4);
        put(written, &init_pid, 4);
        put(written, lengths, 8);
        put(written, &cookie_length, 8);
        put_padded(written, &notif, sizeof(notif), sizes->seccomp_notif);
        put_padded(written, &response, sizeof(response), sizes->seccomp_notif_resp);
        put(written, cookie, cookie_length);
}

/* In memory of its own, and not a byte longer, for the sanitizers. */
static int decode(const struct written *written, size_t length, unsigned int fd_count,
                  const struct seccomp_notif_sizes *sizes, struct lxc_message *message, struct oci_problem *problem) {
        char *copy = malloc(length > 0 ? length : 1);
        int r;

        assert_non_null(copy);
        memcpy(copy, written->bytes, length);
        r = lxc_message_decode(copy, length, fd_count, sizes, message, problem);
        free(copy);
        return r;
}

static void refuse(const struct written *written, unsigned int fd_count, const char *says) {
        struct lxc_message message = { .monitor_pid = -7 };
        struct oci_problem problem = { "" };
        int r = decode(written, written->length, fd_count, &our_sizes, &message, &problem);

        if (r != -EBADMSG || !strstr(problem.text, says))
                fail_msg("%d '%s', and not '%s'", r, problem.text, says);
        assert_int_equal(message.monitor_pid, -7);
        assert_int_equal(decode(written, written->length, fd_count, &our_sizes, &message, NULL), -EBADMSG);
}

static void test_message(void **data) {
        struct written written;
        struct lxc_message message;
        struct oci_problem problem;
        struct seccomp_notif notif = some_notif();

        (void)data;
        put_message(&written, &our_sizes, "profile=vpn name=web");
        assert_int_equal(written.length, 32 + 80 + 24 + 20);
        assert_int_equal(decode(&written, written.length, LXC_FDS, &our_sizes, &message, &problem), 0);
        assert_int_equal(message.monitor_pid, 4000);
        assert_int_equal(message.init_pid, 4001);
        assert_memory_equal(&message.notif, &notif, sizeof(notif));
        assert_string_equal(message.cookie, "profile=vpn name=web");

        put_message(&written, &our_sizes, "");
        assert_int_equal(decode(&written, written.length, LXC_FDS, &our_sizes, &message, &problem), 0);
        assert_string_equal(message.cookie, "");
}

static void test_answer(void **data) {
        static const int errors[] = { 0, EPERM, ENOENT, EEXIST, EAGAIN };
        struct written written, expected;
        struct lxc_message message;
        struct seccomp_notif_resp response;
        char answer[LXC_ANSWER_MAX];

        (void)data;
        put_message(&written, &our_sizes, "profile=vpn");
        put_message(&expected, &our_sizes, "");
        assert_int_equal(decode(&written, written.length, LXC_FDS, &our_sizes, &message, NULL), 0);
        for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
                memset(answer, 'x', sizeof(answer));
                /* without the cookie, whatever came: liblxc takes no other length */
                assert_int_equal(lxc_message_answer(&message, errors[i], answer), expected.length);
                assert_memory_equal(answer, expected.bytes, 32 + 80);
                memcpy(&response, answer + 32 + 80, sizeof(response));
                assert_true(response.id == message.notif.id);
                assert_int_equal(response.error, -errors[i]);
                assert_int_equal(response.val, 0);
                assert_int_equal(response.flags, 0);
        }
}

/* A kernel whose structs have grown: what is behind what we know stays zero. */
static void test_larger_structs(void **data) {
        const struct seccomp_notif_sizes larger = { .seccomp_notif = LXC_STRUCT_MAX,
                                                    .seccomp_notif_resp = 40,
                                                    .seccomp_data = sizeof(struct seccomp_data) };
        struct written written, expected;
        struct lxc_message message;
        struct seccomp_notif_resp response;
        char answer[LXC_ANSWER_MAX];

        (void)data;
        put_message(&written, &larger, "c");
        put_message(&expected, &larger, "");
        assert_int_equal(decode(&written, written.length, LXC_FDS, &larger, &message, NULL), 0);
        assert_string_equal(message.cookie, "c");
        assert_int_equal(lxc_message_answer(&message, EPERM, answer), 32 + 128 + 40);
        assert_memory_equal(answer, expected.bytes, 32 + 128);
        memcpy(&response, answer + 32 + 128, sizeof(response));
        assert_int_equal(response.error, -EPERM);
        assert_memory_equal(answer + 32 + 128 + 24, expected.bytes + 32 + 128 + 24, 16);
        refuse(&written, LXC_FDS, "not of this kernel's size");
}

static void test_unknown_structs(void **data) {
        const struct seccomp_notif_sizes unknown[] = {
                { LXC_STRUCT_MAX + 1, 24, 64 },
                { 80, LXC_STRUCT_MAX + 1, 64 },
                { UINT16_MAX, UINT16_MAX, 64 },
                { 79, 24, 64 },
                { 80, 23, 64 },
                { 80, 24, 72 },
                { 80, 24, 0 },
                { 0, 0, 0 },
        };
        struct written written;
        struct lxc_message message;
        struct oci_problem problem;

        (void)data;
        for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
                put_message(&written, &our_sizes, "");
                memcpy(written.bytes + 16, &unknown[i], 6);
                refuse(&written, LXC_FDS, "not of this kernel's size");
                /* nor if the kernel says the same */
                assert_int_equal(decode(&written, written.length, LXC_FDS, &unknown[i], &message, &problem), -EBADMSG);
                assert_non_null(strstr(problem.text, "not of a size known here"));
        }
}

/* Cut at every byte, or with more behind it. */
static void test_lengths(void **data) {
        struct written written;
        size_t length;

        (void)data;
        put_message(&written, &our_sizes, "profile=vpn");
        length = written.length;
        for (written.length = 0; written.length < length + 64; written.length++) {
                if (written.length == length)
                        continue;
                refuse(&written, LXC_FDS,
                       written.length < LXC_HEADER_SIZE ? "shorter than its header" : "another length than it says");
        }
}

static void test_cookies(void **data) {
        static const uint64_t lies[] = { LXC_COOKIE_MAX + 1, UINT64_MAX, UINT64_MAX - 135,
                                         1ULL << 63,         1ULL << 32, UINT32_MAX };
        struct written written;
        struct lxc_message message;
        char cookie[LXC_COOKIE_MAX + 2];

        (void)data;
        memset(cookie, 'c', sizeof(cookie));
        cookie[LXC_COOKIE_MAX] = '\0';
        put_message(&written, &our_sizes, cookie);
        assert_int_equal(decode(&written, written.length, LXC_FDS, &our_sizes, &message, NULL), 0);
        assert_string_equal(message.cookie, cookie);
        cookie[LXC_COOKIE_MAX] = 'c';
        cookie[LXC_COOKIE_MAX + 1] = '\0';
        put_message(&written, &our_sizes, cookie);
        refuse(&written, LXC_FDS, "cookie is longer than 4096 bytes");

        for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
                put_message(&written, &our_sizes, "cookie");
                memcpy(written.bytes + 24, &lies[i], 8);
                refuse(&written, LXC_FDS, "cookie is longer than 4096 bytes");
        }
        for (int c = 0; c < 256; c++) {
                put_message(&written, &our_sizes, "profile=?");
                written.bytes[written.length - 1] = (char)c;
                if (c >= ' ' && c <= '~')
                        assert_int_equal(decode(&written, written.length, LXC_FDS, &our_sizes, &message, NULL), 0);
                else
                        refuse(&written, LXC_FDS, "cookie is not printable");
        }
}

static void test_descriptors(void **data) {
        struct written written;

        (void)data;
        put_message(&written, &our_sizes, "");
        for (unsigned int count = 0; count < 10; count++)
                if (count != 3)
                        refuse(&written, count, "descriptors came with it, and not 3");
        refuse(&written, 2, "liblxc is older than 4.0.5");
}

static void test_headers(void **data) {
        struct written written;

        (void)data;
        for (size_t i = 0; i < 8; i++) {
                put_message(&written, &our_sizes, "");
                written.bytes[i] = 1;
                refuse(&written, LXC_FDS, "a protocol that is not known here");
        }
        for (size_t at = 8; at < 16; at += 4) {
                put_message(&written, &our_sizes, "");
                memset(written.bytes + at, 0, 4);
                refuse(&written, LXC_FDS, "no process id");
                memset(written.bytes + at, 0xff, 4);
                refuse(&written, LXC_FDS, "no process id");
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_message),        cmocka_unit_test(test_answer),
                cmocka_unit_test(test_larger_structs), cmocka_unit_test(test_unknown_structs),
                cmocka_unit_test(test_lengths),        cmocka_unit_test(test_cookies),
                cmocka_unit_test(test_descriptors),    cmocka_unit_test(test_headers),
        };

        return cmocka_run_group_tests_name("lxc_message", tests, NULL, NULL);
}
