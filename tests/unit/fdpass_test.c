/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fdpass.h"
#include "util/fd.h"

/* The lowest free number: it tells whether a descriptor was left open. */
static int next_fd(void) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        (void)close(fd);
        return fd;
}

static void send_fds(int socket, const char *text, size_t count) {
        union {
                struct cmsghdr align;
                unsigned char bytes[CMSG_SPACE(8 * sizeof(int))];
        } control = { 0 };
        struct iovec part = { .iov_base = (void *)text, .iov_len = strlen(text) };
        struct msghdr message = { .msg_iov = &part,
                                  .msg_iovlen = 1,
                                  .msg_control = control.bytes,
                                  .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        int *fds = (int *)(void *)CMSG_DATA(header);

        assert_true(count <= 8);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        for (size_t i = 0; i < count; i++)
                fds[i] = STDIN_FILENO;

        assert_int_equal(sendmsg(socket, &message, 0), (ssize_t)strlen(text));
}

static void test_two_parts_and_a_descriptor(void **state) {
        _cleanup_fd_ int a = -1, b = -1, got = -1, null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        char buffer[16];

        (void)state;
        assert_int_equal(fdpass_pair(&a, &b), 0);
        assert_true(fcntl(a, F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(b, F_GETFD) & FD_CLOEXEC);

        assert_int_equal(fdpass_send_dup_fd(a, "head", 4, "tail", 4, null, 0), 0);
        assert_int_equal(fdpass_receive(b, buffer, sizeof(buffer), &got, 0), 8);
        assert_memory_equal(buffer, "headtail", 8);
        assert_true(got >= 0 && got != null);
        assert_true(fcntl(got, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(write(got, "x", 1), 1);
        assert_int_equal(write(null, "x", 1), 1); /* the sender kept its own */
}

static void test_no_descriptor(void **state) {
        _cleanup_fd_ int a = -1, b = -1;
        char buffer[4];
        int got = 7;

        (void)state;
        assert_int_equal(fdpass_pair(&a, &b), 0);
        assert_int_equal(fdpass_send_dup_fd(a, "text", 4, NULL, 0, -1, 0), 0);
        assert_int_equal(fdpass_receive(b, buffer, sizeof(buffer), &got, 0), 4);
        assert_int_equal(got, -1);
}

static void test_unwanted_descriptor_is_closed(void **state) {
        _cleanup_fd_ int a = -1, b = -1;
        char buffer[4];
        int before;

        (void)state;
        assert_int_equal(fdpass_pair(&a, &b), 0);
        before = next_fd();
        assert_int_equal(fdpass_send_dup_fd(a, "x", 1, NULL, 0, STDIN_FILENO, 0), 0);
        assert_int_equal(fdpass_receive(b, buffer, sizeof(buffer), NULL, 0), 1);
        assert_int_equal(next_fd(), before);
}

static void test_too_long(void **state) {
        _cleanup_fd_ int a = -1, b = -1;
        char buffer[4];
        int got = 7, before;

        (void)state;
        assert_int_equal(fdpass_pair(&a, &b), 0);
        before = next_fd();
        assert_int_equal(fdpass_send_dup_fd(a, "12345", 5, NULL, 0, STDIN_FILENO, 0), 0);
        assert_int_equal(fdpass_receive(b, buffer, sizeof(buffer), &got, 0), -EMSGSIZE);
        assert_int_equal(got, 7); /* outputs are written only on success */
        assert_int_equal(next_fd(), before);
}

static void test_too_many_descriptors(void **state) {
        static const size_t counts[] = { 2, 3, 8 };
        _cleanup_fd_ int a = -1, b = -1;
        char buffer[4];
        int got = 7, before;

        (void)state;
        assert_int_equal(fdpass_pair(&a, &b), 0);
        before = next_fd();

        for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
                send_fds(a, "x", counts[i]);
                assert_int_equal(fdpass_receive(b, buffer, sizeof(buffer), &got, 0), -EPROTO);
                assert_int_equal(got, 7);
                assert_int_equal(next_fd(), before);
        }
}

/* The message comes without its descriptor, and is not lost. */
static void test_no_room_for_descriptor(void **state) {
        _cleanup_fd_ int a = -1, b = -1;
        struct rlimit before, none;
        char buffer[16] = "";
        int got = -1, r;

        (void)state;
        assert_int_equal(fdpass_pair(&a, &b), 0);
        assert_int_equal(fdpass_send_dup_fd(a, "text", 4, NULL, 0, STDIN_FILENO, 0), 0);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        none = before;
        none.rlim_cur = 0;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        r = (int)fdpass_receive(b, buffer, sizeof(buffer), &got, 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(r, -EMFILE);
        assert_string_equal(buffer, "text");
        assert_int_equal(got, -1);
}

static void test_peek(void **state) {
        _cleanup_fd_ int a = -1, b = -1, got = -1;
        char buffer[4];
        int before;

        (void)state;
        assert_int_equal(fdpass_pair(&a, &b), 0);
        before = next_fd();
        assert_int_equal(fdpass_send_dup_fd(a, "ab", 2, NULL, 0, STDIN_FILENO, 0), 0);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(fdpass_receive(b, buffer, sizeof(buffer), NULL, MSG_PEEK | MSG_DONTWAIT), 2);
                assert_int_equal(next_fd(), before);
        }

        assert_int_equal(fdpass_receive(b, buffer, sizeof(buffer), &got, MSG_DONTWAIT), 2);
        assert_int_equal(got, before);
}

static void test_end_of_file_and_errors(void **state) {
        _cleanup_fd_ int a = -1, b = -1;
        char buffer[4];
        int got = 7;

        (void)state;
        assert_int_equal(fdpass_pair(&a, &b), 0);
        assert_int_equal(fdpass_send_dup_fd(a, NULL, 0, NULL, 0, -1, 0), -EINVAL);
        assert_int_equal(fdpass_receive(b, buffer, sizeof(buffer), &got, MSG_DONTWAIT), -EAGAIN);
        assert_int_equal(got, 7);

        a = fd_close(a);
        assert_int_equal(fdpass_receive(b, buffer, sizeof(buffer), &got, 0), 0);
        assert_int_equal(got, -1);
        assert_int_equal(fdpass_send_dup_fd(b, "x", 1, NULL, 0, -1, 0), -EPIPE); /* and no SIGPIPE */
}

static void test_full_socket(void **state) {
        _cleanup_fd_ int a = -1, b = -1;
        static const char text[4096];
        int r = 0;

        (void)state;
        assert_int_equal(fdpass_pair(&a, &b), 0);
        for (int i = 0; i < 10000 && r == 0; i++)
                r = fdpass_send_dup_fd(a, text, sizeof(text), NULL, 0, -1, MSG_DONTWAIT);
        assert_int_equal(r, -EAGAIN);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_two_parts_and_a_descriptor),
                cmocka_unit_test(test_no_descriptor),
                cmocka_unit_test(test_unwanted_descriptor_is_closed),
                cmocka_unit_test(test_too_long),
                cmocka_unit_test(test_too_many_descriptors),
                cmocka_unit_test(test_peek),
                cmocka_unit_test(test_no_room_for_descriptor),
                cmocka_unit_test(test_end_of_file_and_errors),
                cmocka_unit_test(test_full_socket),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
