/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "oci/lxc_message.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Before the notification, room for the answer, and the cookie without NUL, which follow each other without a gap. */
struct header {
        uint64_t reserved;
        int32_t monitor_pid;
        int32_t init_pid;
        struct seccomp_notif_sizes sizes;
        uint16_t padding;
        uint64_t cookie_length;
};

static_assert(sizeof(struct header) == LXC_HEADER_SIZE, "liblxc's header has another size");
static_assert(sizeof(struct seccomp_notif) <= LXC_STRUCT_MAX, "no room for a notification");
static_assert(sizeof(struct seccomp_notif_resp) <= LXC_STRUCT_MAX, "no room for an answer");

static bool sizes_are(const struct seccomp_notif_sizes *a, const struct seccomp_notif_sizes *b) {
        return a->seccomp_notif == b->seccomp_notif && a->seccomp_notif_resp == b->seccomp_notif_resp &&
               a->seccomp_data == b->seccomp_data;
}

/* What we know of the structs has to be there, and the rest must fit. */
static bool sizes_fit(const struct seccomp_notif_sizes *sizes) {
        return sizes->seccomp_notif >= sizeof(struct seccomp_notif) && sizes->seccomp_notif <= LXC_STRUCT_MAX &&
               sizes->seccomp_notif_resp >= sizeof(struct seccomp_notif_resp) &&
               sizes->seccomp_notif_resp <= LXC_STRUCT_MAX && sizes->seccomp_data == sizeof(struct seccomp_data);
}

static size_t size_without_cookie(const struct seccomp_notif_sizes *sizes) {
        return LXC_HEADER_SIZE + sizes->seccomp_notif + sizes->seccomp_notif_resp;
}

static int check_header(const struct header *header, size_t length, const struct seccomp_notif_sizes *sizes,
                        struct oci_problem *problem) {
        if (header->reserved != 0)
                return oci_problem_set(problem, -EBADMSG, "it is of a protocol that is not known here");
        if (header->monitor_pid <= 0 || header->init_pid <= 0)
                return oci_problem_set(problem, -EBADMSG, "it has no process id where there should be one");
        if (!sizes_are(&header->sizes, sizes))
                return oci_problem_set(problem, -EBADMSG, "its notification is not of this kernel's size");
        if (!sizes_fit(&header->sizes))
                return oci_problem_set(problem, -EBADMSG, "this kernel's notifications are not of a size known here");
        if (header->cookie_length > LXC_COOKIE_MAX)
                return oci_problem_set(problem, -EBADMSG, "its cookie is longer than %u bytes", LXC_COOKIE_MAX);
        if (length != size_without_cookie(sizes) + header->cookie_length)
                return oci_problem_set(problem, -EBADMSG, "it is of another length than it says");
        return 0;
}

static bool is_printable(const char *text, size_t length) {
        for (size_t i = 0; i < length; i++)
                if (text[i] < ' ' || text[i] > '~')
                        return false;
        return true;
}

int lxc_message_decode(const void *bytes, size_t length, unsigned int fd_count, const struct seccomp_notif_sizes *sizes,
                       struct lxc_message *ret, struct oci_problem *problem) {
        const char *text = bytes, *cookie;
        struct header header;
        int r;

        if (fd_count != LXC_FDS)
                return oci_problem_set(problem, -EBADMSG, "%u descriptors came with it, and not %u%s", fd_count,
                                       (unsigned int)LXC_FDS, fd_count == 2 ? ": liblxc is older than 4.0.5" : "");
        if (length < sizeof(header))
                return oci_problem_set(problem, -EBADMSG, "it is shorter than its header");
        memcpy(&header, text, sizeof(header));
        r = check_header(&header, length, sizes, problem);
        if (r < 0)
                return r;
        cookie = text + size_without_cookie(sizes);
        if (!is_printable(cookie, header.cookie_length))
                return oci_problem_set(problem, -EBADMSG, "its cookie is not printable");

        ret->monitor_pid = header.monitor_pid;
        ret->init_pid = header.init_pid;
        ret->sizes = header.sizes;
        memcpy(&ret->notif, text + sizeof(header), sizeof(ret->notif));
        memcpy(ret->cookie, cookie, header.cookie_length);
        ret->cookie[header.cookie_length] = '\0';
        return 0;
}

size_t lxc_message_answer(const struct lxc_message *message, int error, char answer[static LXC_ANSWER_MAX]) {
        struct seccomp_notif_resp response = { .id = message->notif.id, .error = -error };
        struct header header = {
                .monitor_pid = message->monitor_pid,
                .init_pid = message->init_pid,
                .sizes = message->sizes,
        };
        size_t length = size_without_cookie(&message->sizes);

        memset(answer, 0, length);
        memcpy(answer, &header, sizeof(header));
        memcpy(answer + sizeof(header), &message->notif, sizeof(message->notif));
        memcpy(answer + sizeof(header) + message->sizes.seccomp_notif, &response, sizeof(response));
        return length;
}
