/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "floor_server.h"

#include <assert.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fdpass.h"

/* linux/seccomp.h of Linux 6.6 */
#define NOTIF_SET_FLAGS _IOW('!', 4, uint64_t)
#define SYNC_WAKE_UP (1ULL << 0)

/* The kernel's structs may be larger than ours (seccomp_unotify(2)). */
#define ROOM 256U

static_assert(FLOOR_ANSWER == ENODEV, "");

int floor_prepare(int listener, bool sync_wake_up) {
        if (sync_wake_up && ioctl(listener, NOTIF_SET_FLAGS, SYNC_WAKE_UP) < 0)
                return errno == EINVAL || errno == ENOTTY ? -EOPNOTSUPP : -errno;
        return 0;
}

static uint64_t receive_one(int listener) {
        union {
                struct seccomp_notif notif;
                unsigned char room[ROOM];
        } request = { .room = { 0 } };

        while (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0)
                if (errno != EINTR && errno != ENOENT)
                        _exit(EXIT_FAILURE);
        return request.notif.id;
}

static void answer_one(int listener, uint64_t id) {
        union {
                struct seccomp_notif_resp response;
                unsigned char room[ROOM];
        } answer = { .room = { 0 } };

        answer.response.id = id;
        answer.response.error = -FLOOR_ANSWER;
        while (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) < 0)
                if (errno != EINTR)
                        return;
}

_Noreturn void floor_serve(int socket, unsigned int parked) {
        uint64_t *ids = calloc(parked, sizeof(ids[0]));
        int listener = -1;
        char byte;

        if (!ids || fdpass_receive(socket, &byte, 1, &listener, 0) != 1 || listener < 0)
                _exit(EXIT_FAILURE);
        for (;;) {
                for (unsigned int i = 0; i < parked; i++)
                        ids[i] = receive_one(listener);
                for (unsigned int i = 0; i < parked; i++)
                        answer_one(listener, ids[i]);
        }
}
