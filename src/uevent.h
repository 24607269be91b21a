/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Kernel uevents: what tells that a remembered failure may no longer stand.
 *
 * lib/kobject_uevent.c: a message is "ACTION@DEVPATH" and then KEY=VALUE strings, each with its NUL. Every event counts
 * /sys/kernel/uevent_seqnum up before it is sent. One that was written by hand into a `uevent` file carries SYNTH_UUID.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uevent {
        const char *action; /* these point into the message; NULL: not in it */
        const char *subsystem;
        const char *modalias;
        uint64_t sequence; /* SEQNUM */
        bool synthetic;
};

/* Pure. `message` has `size` bytes. False: not a kernel uevent. */
bool uevent_parse(const char *message, size_t size, struct uevent *ret);

/*
 * Opens a socket that receives the kernel's uevents, with a large buffer (that takes CAP_NET_ADMIN), non-blocking.
 * Returns a descriptor (owned) or negative errno.
 */
int uevent_open(void);

/* No event is received any more, whoever else has the socket open. */
void uevent_leave(int socket);

/*
 * Receives one event into `buffer` of `size` bytes; events of other senders than the kernel are passed over. Returns 1
 * and fills `ret`, 0 when there is none, -ENOBUFS when events were lost, or another negative errno.
 */
int uevent_receive(int socket, char *buffer, size_t size, struct uevent *ret);
