/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "uevent.h"

#define PCI_DEVICE                                                                                                     \
        "add@/devices/pci0000:00/0000:00:01.0\0ACTION=add\0DEVPATH=/devices/pci0000:00/0000:00:01.0\0"                 \
        "SUBSYSTEM=pci\0PCI_CLASS=10000\0PCI_ID=1AF4:1001\0MODALIAS=pci:v00001AF4d00001001bc01sc00i00\0SEQNUM=1234"

/* On memory that ends with the message: what is read beyond it is seen by the sanitizer. */
static bool parse(const char *message, size_t size, struct uevent *event, char **ret_copy) {
        char *copy = malloc(size > 0 ? size : 1);
        bool parsed;

        assert_non_null(copy);
        memcpy(copy, message, size);
        memset(event, 0x55, sizeof(*event));
        parsed = uevent_parse(copy, size, event);
        *ret_copy = copy;
        return parsed;
}

static void assert_text(const char *actual, const char *expected) {
        if (!expected)
                assert_null(actual);
        else
                assert_string_equal(actual, expected);
}

static void assert_event(const char *message, size_t size, struct uevent expected) {
        struct uevent event;
        char *copy;

        assert_true(parse(message, size, &event, &copy));
        assert_text(event.action, expected.action);
        assert_text(event.subsystem, expected.subsystem);
        assert_text(event.modalias, expected.modalias);
        assert_int_equal(event.sequence, expected.sequence);
        assert_int_equal(event.synthetic, expected.synthetic);
        free(copy);
}

static void assert_none(const char *message, size_t size) {
        struct uevent event, untouched;
        char *copy;

        memset(&untouched, 0x55, sizeof(untouched));
        assert_false(parse(message, size, &event, &copy));
        assert_memory_equal(&event, &untouched, sizeof(event));
        free(copy);
}

/* With the NUL at its end. */
#define assert_event_is(message, ...) assert_event(message, sizeof(message), (struct uevent){ __VA_ARGS__ })
#define assert_no_event(message) assert_none(message, sizeof(message))

static void test_device(void **state) {
        (void)state;
        assert_event_is(PCI_DEVICE, .action = "add", .subsystem = "pci",
                        .modalias = "pci:v00001AF4d00001001bc01sc00i00", .sequence = 1234);
        assert_event_is("offline@/devices/system/cpu/cpu1\0ACTION=offline\0DEVPATH=/devices/system/cpu/cpu1\0"
                        "SUBSYSTEM=cpu\0MODALIAS=cpu:type:x86,ven0000fam0006mod0055:feature:,0000,0001=,\0SEQNUM=99",
                        .action = "offline", .subsystem = "cpu",
                        .modalias = "cpu:type:x86,ven0000fam0006mod0055:feature:,0000,0001=,", .sequence = 99);
        /* no bus, and nothing to load */
        assert_event_is("change@/devices/virtual/block/loop0\0ACTION=change\0SEQNUM=18446744073709551615",
                        .action = "change", .sequence = UINT64_MAX);
}

static void test_module(void **state) {
        (void)state;
        assert_event_is("add@/module/ext4\0ACTION=add\0DEVPATH=/module/ext4\0SUBSYSTEM=module\0SEQNUM=7",
                        .action = "add", .subsystem = "module", .sequence = 7);
        assert_event_is("remove@/module/ext4\0ACTION=remove\0DEVPATH=/module/ext4\0SUBSYSTEM=module\0SEQNUM=8",
                        .action = "remove", .subsystem = "module", .sequence = 8);
}

static void test_synthetic(void **state) {
        (void)state;
        assert_event_is("add@/devices/virtual/mem/null\0ACTION=add\0DEVPATH=/devices/virtual/mem/null\0SUBSYSTEM=mem\0"
                        "SYNTH_UUID=0\0MAJOR=1\0MINOR=3\0DEVNAME=null\0SEQNUM=818",
                        .action = "add", .subsystem = "mem", .sequence = 818, .synthetic = true);
        assert_event_is("change@/x\0ACTION=change\0SYNTH_UUID=fe4d7c9d-b8c6-4a70-9ef1-3d8a58d18eed\0"
                        "SYNTH_ARG_A=1\0SEQNUM=1",
                        .action = "change", .sequence = 1, .synthetic = true);
        /* it need not be the key's, only the beginning of one */
        assert_event_is("add@/x\0ACTION=add\0SYNTH_UUIDS=0\0NOT_SYNTH_UUID=0\0SYNTH_UUID\0SEQNUM=1", .action = "add",
                        .sequence = 1);
}

static void test_properties(void **state) {
        (void)state;
        assert_event_is("add@/x\0ACTION=add\0MODALIASES=no\0XMODALIAS=no\0MODALIAS\0SUBSYSTEM=\0SEQNUM=1",
                        .action = "add", .subsystem = "", .sequence = 1);
        assert_event_is("add@/x\0ACTION=add\0MODALIAS=a=b=c\0SEQNUM=1", .action = "add", .modalias = "a=b=c",
                        .sequence = 1);
        /* empty strings between them do no harm */
        assert_event_is("add@/x\0\0\0ACTION=add\0\0SEQNUM=1\0\0", .action = "add", .sequence = 1);
}

static void test_refused(void **state) {
        (void)state;
        assert_none("", 0);
        assert_no_event("");
        assert_no_event("\0\0");
        assert_no_event("add@/x");
        assert_no_event("add@/x\0ACTION=add");
        assert_no_event("add@/x\0SEQNUM=1");
        assert_no_event("add@/x\0ACTION=add\0SEQNUM=");
        assert_no_event("add@/x\0ACTION=add\0SEQNUM=0");
        assert_no_event("add@/x\0ACTION=add\0SEQNUM=-1");
        assert_no_event("add@/x\0ACTION=add\0SEQNUM= 1");
        assert_no_event("add@/x\0ACTION=add\0SEQNUM=+1");
        assert_no_event("add@/x\0ACTION=add\0SEQNUM=1x");
        assert_no_event("add@/x\0ACTION=add\0SEQNUM=18446744073709551616");
        /* no header */
        assert_no_event("ACTION=add\0SEQNUM=1");
        assert_no_event("add\0ACTION=add\0SEQNUM=1\0X=@");
        /* udevd's own */
        assert_no_event("libudev\0\xfe\xed\xca\xfe\x28\0\0\0\x28\0\0\0\x40\0\0\0@\0ACTION=add\0SEQNUM=5");
}

/* Cut off anywhere it is none, unless the last NUL is still there: then it has lost its number, which comes last. */
static void test_truncated(void **state) {
        static const char message[] = PCI_DEVICE;

        (void)state;
        for (size_t size = 0; size < sizeof(message); size++)
                assert_none(message, size);
}

static uint64_t sequence_now(void) {
        char text[32] = "";
        int fd = open("/sys/kernel/uevent_seqnum", O_RDONLY | O_CLOEXEC);
        ssize_t length = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

        if (fd >= 0)
                (void)close(fd);
        return length > 0 ? strtoull(text, NULL, 10) : 0;
}

/* A real one: that of /dev/null. Returns its number, 0 if there can be none here. */
static uint64_t trigger(void) {
        int fd = open("/sys/devices/virtual/mem/null/uevent", O_WRONLY | O_CLOEXEC);
        bool written = fd >= 0 && write(fd, "add", 3) == 3;

        if (fd >= 0)
                (void)close(fd);
        return written ? sequence_now() : 0;
}

/* Opens a socket and causes an event. Skips the test if that is not possible here. */
static int open_and_trigger(uint64_t *ret_sequence) {
        int fd = uevent_open();

        if (fd < 0)
                skip();
        *ret_sequence = trigger();
        if (*ret_sequence == 0) {
                (void)close(fd);
                skip();
        }
        return fd;
}

static void test_kernel(void **state) {
        char buffer[8192];
        struct uevent event;
        uint64_t sequence;
        int fd = open_and_trigger(&sequence);
        struct pollfd poller = { .fd = fd, .events = POLLIN };

        (void)state;
        /* others may happen at the same time */
        do {
                assert_int_equal(poll(&poller, 1, 5000), 1);
                assert_int_equal(uevent_receive(fd, buffer, sizeof(buffer), &event), 1);
                assert_true(event.sequence <= sequence);
        } while (!event.synthetic || event.sequence < sequence);
        assert_int_equal(event.sequence, sequence);
        assert_string_equal(event.action, "add");
        assert_string_equal(event.subsystem, "mem");
        assert_null(event.modalias);
        (void)close(fd);
}

/* One that does not fit is as good as lost; there is no more of it then. */
static void test_does_not_fit(void **state) {
        char buffer[32];
        struct uevent event;
        uint64_t sequence;
        int fd = open_and_trigger(&sequence), r;

        (void)state;
        assert_int_equal(uevent_receive(fd, buffer, sizeof(buffer), &event), -ENOBUFS);
        while ((r = uevent_receive(fd, buffer, sizeof(buffer), &event)) != 0)
                assert_int_equal(r, -ENOBUFS);
        (void)close(fd);
}

/* More than its buffer holds, and nobody who receives them. */
static void test_lost(void **state) {
        char buffer[8192];
        struct uevent event;
        uint64_t sequence;
        int fd = open_and_trigger(&sequence), size = 1, r;

        (void)state;
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
        for (unsigned int i = 0; i < 64; i++)
                (void)trigger();
        while ((r = uevent_receive(fd, buffer, sizeof(buffer), &event)) == 1)
                ;
        assert_int_equal(r, -ENOBUFS);
        while ((r = uevent_receive(fd, buffer, sizeof(buffer), &event)) == 1)
                ;
        assert_int_equal(r, 0);
        (void)close(fd);
}

/* Also through another descriptor of the same socket. */
static void test_left(void **state) {
        char buffer[8192];
        struct uevent event;
        uint64_t sequence;
        int fd = open_and_trigger(&sequence), other = fcntl(fd, F_DUPFD_CLOEXEC, 0), r;

        (void)state;
        uevent_leave(other);
        (void)close(other);
        while ((r = uevent_receive(fd, buffer, sizeof(buffer), &event)) == 1)
                ;
        assert_int_equal(r, 0);
        assert_true(trigger() > sequence);
        assert_int_equal(uevent_receive(fd, buffer, sizeof(buffer), &event), 0);
        (void)close(fd);
}

/* What a process sends to the kernel's group, or to the socket itself, is not the kernel's. */
static void test_foreign(void **state) {
        static const char message[] = "add@/x\0ACTION=add\0SEQNUM=18446744073709551615";
        struct sockaddr_nl address = { .nl_family = AF_NETLINK };
        socklen_t length = sizeof(address);
        char buffer[8192];
        struct uevent event;
        int fd = uevent_open(), sender, r;

        (void)state;
        sender = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
        if (fd < 0 || sender < 0)
                skip();
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
        address.nl_groups = 0;
        r = (int)sendto(sender, message, sizeof(message), 0, (struct sockaddr *)&address, sizeof(address));
        if (r < 0)
                print_message("cannot send: %s\n", strerror(errno));
        while ((r = uevent_receive(fd, buffer, sizeof(buffer), &event)) == 1)
                assert_true(event.sequence < UINT64_MAX);
        assert_int_equal(r, 0);
        (void)close(sender);
        (void)close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_device),    cmocka_unit_test(test_module),
                cmocka_unit_test(test_synthetic), cmocka_unit_test(test_properties),
                cmocka_unit_test(test_refused),   cmocka_unit_test(test_truncated),
                cmocka_unit_test(test_kernel),    cmocka_unit_test(test_does_not_fit),
                cmocka_unit_test(test_lost),      cmocka_unit_test(test_foreign),
                cmocka_unit_test(test_left),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
