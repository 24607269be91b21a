/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Whatever a message of liblxc's says: nothing outside of it is read, what is taken keeps to its limits, and what is
 * written of a message that was taken is that message, and its answer one that liblxc takes.
 *
 * An input is the number of descriptors, how much larger than ours the kernel's structs are, and the message.
 */

#include <linux/seccomp.h>
#include <stdint.h>

#include "input.h"
#include "oci/lxc_message.h"
#include "oci/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What liblxc looks at, after its header: see docs/oci.md. */
static void check_answer(const struct lxc_message *message, int error, const uint8_t *bytes) {
        char answer[LXC_ANSWER_MAX];
        size_t length = lxc_message_answer(message, error, answer), at = LXC_HEADER_SIZE + message->sizes.seccomp_notif;
        struct seccomp_notif_resp response;

        check(length == at + message->sizes.seccomp_notif_resp && length <= sizeof(answer));
        /* the header but padding and the cookie's length, and of the notification what is known */
        check(memcmp(answer, bytes, 22) == 0);
        check(memcmp(answer + LXC_HEADER_SIZE, bytes + LXC_HEADER_SIZE, sizeof(struct seccomp_notif)) == 0);
        memcpy(&response, answer + at, sizeof(response));
        check(response.id == message->notif.id && response.error == -error);
        check(response.val == 0 && response.flags == 0);
}

static void check_message(const struct lxc_message *message, const uint8_t *bytes, size_t size) {
        size_t cookie_at = LXC_HEADER_SIZE + message->sizes.seccomp_notif + message->sizes.seccomp_notif_resp;
        size_t length = strlen(message->cookie);
        char name[OCI_PROFILE_SIZE];

        check(message->monitor_pid > 0 && message->init_pid > 0);
        check(length <= LXC_COOKIE_MAX && cookie_at + length == size);
        check(memcmp(message->cookie, bytes + cookie_at, length) == 0);
        for (size_t i = 0; i < length; i++)
                check(message->cookie[i] >= ' ' && message->cookie[i] <= '~');
        check(memcmp(&message->notif, bytes + LXC_HEADER_SIZE, sizeof(message->notif)) == 0);
        if (oci_profile_find(message->cookie, name) == 0)
                check(policy_is_profile_name(name, strlen(name)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct input input = { .data = data, .size = size };
        /* as it mostly is, for zeros */
        unsigned int fd_count = (unsigned int)input_byte(&input) ^ 3U;
        struct seccomp_notif_sizes sizes = {
                .seccomp_notif = (uint16_t)(sizeof(struct seccomp_notif) + input_byte(&input)),
                .seccomp_notif_resp = (uint16_t)(sizeof(struct seccomp_notif_resp) + input_byte(&input)),
                .seccomp_data = sizeof(struct seccomp_data),
        };
        struct lxc_message message;
        struct oci_problem problem = { "" };
        uint8_t *bytes = malloc(input.size > 0 ? input.size : 1);

        check(bytes != NULL);
        if (input.size > 0)
                memcpy(bytes, input.data, input.size);
        if (lxc_message_decode(bytes, input.size, fd_count, &sizes, &message, &problem) < 0) {
                check(problem.text[0] != '\0');
        } else {
                check(fd_count == LXC_FDS);
                check_message(&message, bytes, input.size);
                check_answer(&message, 0, bytes);
                check_answer(&message, 4095, bytes);
        }
        free(bytes);
        return 0;
}
