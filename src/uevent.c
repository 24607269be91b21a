/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uevent.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "util/fd.h"

/* The kernel's own multicast group; udevd repeats its events in another one. */
#define KERNEL_GROUP 1U

#define RECEIVE_BUFFER (16 << 20)

static const char *value_of(const char *text, const char *key) {
        size_t length = strlen(key);

        return strncmp(text, key, length) == 0 && text[length] == '=' ? text + length + 1 : NULL;
}

/* 0, which the kernel never gives, if it is no number. */
static uint64_t number_of(const char *value) {
        char *end;
        unsigned long long number;

        errno = 0;
        number = strtoull(value, &end, 10);
        return value[0] >= '0' && value[0] <= '9' && *end == '\0' && errno == 0 ? number : 0;
}

static void take_property(const char *text, struct uevent *event) {
        const char *value;

        if ((value = value_of(text, "ACTION")))
                event->action = value;
        else if ((value = value_of(text, "SUBSYSTEM")))
                event->subsystem = value;
        else if ((value = value_of(text, "MODALIAS")))
                event->modalias = value;
        else if ((value = value_of(text, "SEQNUM")))
                event->sequence = number_of(value);
        else if (value_of(text, "SYNTH_UUID"))
                event->synthetic = true;
}

bool uevent_parse(const char *message, size_t size, struct uevent *ret) {
        struct uevent event = { 0 };
        const char *text = message, *end = message + size;

        if (size == 0 || end[-1] != '\0' || !strchr(message, '@'))
                return false;
        for (text += strlen(text) + 1; text < end; text += strlen(text) + 1)
                take_property(text, &event);
        if (!event.action || event.sequence == 0)
                return false;
        *ret = event;
        return true;
}

int uevent_open(void) {
        struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP };
        _cleanup_fd_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
        int size = RECEIVE_BUFFER;

        if (fd < 0)
                return -errno;
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return fd_steal(&fd);
}

void uevent_leave(int socket) {
        int group = KERNEL_GROUP;

        (void)setsockopt(socket, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, &group, sizeof(group));
}

int uevent_receive(int socket, char *buffer, size_t size, struct uevent *ret) {
        for (;;) {
                struct sockaddr_nl sender;
                struct iovec part = { .iov_base = buffer, .iov_len = size };
                struct msghdr message = {
                        .msg_name = &sender,
                        .msg_namelen = sizeof(sender),
                        .msg_iov = &part,
                        .msg_iovlen = 1,
                };
                ssize_t length = recvmsg(socket, &message, MSG_DONTWAIT);

                if (length < 0 && errno == EINTR)
                        continue;
                if (length < 0)
                        return errno == EAGAIN ? 0 : -errno;
                /* one that does not fit says too little to be judged: as good as lost */
                if (message.msg_flags & MSG_TRUNC)
                        return -ENOBUFS;
                if (message.msg_namelen == sizeof(sender) && sender.nl_pid == 0 && sender.nl_groups == KERNEL_GROUP &&
                    uevent_parse(buffer, (size_t)length, ret))
                        return 1;
        }
}
