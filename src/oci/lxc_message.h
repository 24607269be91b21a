/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Pure: the messages of liblxc's lxc.seccomp.notify.proxy. liblxc receives a container's notifications, sends each one
 * here as a message of a SEQPACKET connection, and waits for the answer, which it gives to the kernel. docs/oci.md says
 * which versions say what, and what an answer that comes late does.
 */

#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/types.h>

#include "oci/problem.h"

/* The longest cookie (lxc.seccomp.notify.cookie), without NUL. */
#define LXC_COOKIE_MAX 4096U

/* The kernel's structs may grow up to this; then they are refused. */
#define LXC_STRUCT_MAX 128U

#define LXC_HEADER_SIZE 32U
#define LXC_MESSAGE_MAX (LXC_HEADER_SIZE + 2 * LXC_STRUCT_MAX + LXC_COOKIE_MAX)
#define LXC_ANSWER_MAX (LXC_HEADER_SIZE + 2 * LXC_STRUCT_MAX)

/* The descriptors of a message, in their order. */
enum lxc_fd {
        LXC_FD_PROC,     /* the directory /proc/PID of the caller */
        LXC_FD_MEMORY,   /* its /proc/PID/mem, for reading and writing */
        LXC_FD_LISTENER, /* tells whether the notification is still valid */
        LXC_FDS,
};

struct lxc_message {
        pid_t monitor_pid; /* of liblxc's process, and of the container's init, as that one sees them: for a log */
        pid_t init_pid;
        struct seccomp_notif_sizes sizes;
        struct seccomp_notif notif;      /* its pid too is as the monitor sees it: LXC_FD_PROC says who it is */
        char cookie[LXC_COOKIE_MAX + 1]; /* printable ASCII, with blanks; "": none. See oci_profile_find() */
};

/*
 * Reads a message of `length` bytes that came with `fd_count` descriptors. `sizes`: what the running kernel says
 * (SECCOMP_GET_NOTIF_SIZES), and so has to be said in the message. Returns 0, or -EBADMSG with a problem.
 */
int lxc_message_decode(const void *bytes, size_t length, unsigned int fd_count, const struct seccomp_notif_sizes *sizes,
                       struct lxc_message *ret, struct oci_problem *problem);

/*
 * Writes the answer `error` (0: success, else a positive errno) to a message that was read. Returns its length; any
 * other would be taken for none.
 */
size_t lxc_message_answer(const struct lxc_message *message, int error, char answer[static LXC_ANSWER_MAX]);
