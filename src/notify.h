/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The only user of SECCOMP_IOCTL_NOTIF_*. Requests are received straight into journal slots, and each is answered
 * exactly once: a slot is given free only by an answer, or once the kernel says that its requester has gone.
 *
 * seccomp_unotify(2); kernel/seccomp.c: RECV and SEND match on an id that is never given twice.
 */

#include <stdbool.h>
#include <stdint.h>

#include "modgate/journal.h"

/* SECCOMP_IOCTL_NOTIF_SET_FLAGS of Linux 6.6 */
#define NOTIFY_IOCTL_SET_FLAGS _IOW('!', 4, uint64_t)

/*
 * So many requests at a time. The last slot of the journal is for those that do not fit, and are left to the kernel at
 * once: whoever dies meanwhile must not be the only one who knows of them.
 */
#define NOTIFY_SLOTS (JOURNAL_REQUESTS - 1U)

enum {
        NOTIFY_E_EMPTY = 1, /* nothing to receive: the requester went away between poll and receive */
        NOTIFY_E_FULL,      /* no slot is free, but the last one */
};

/* How a request ended. */
struct notify_outcome {
        bool answered;               /* if not, its requester had gone before anything was sent */
        bool taken;                  /* the kernel took the answer */
        enum continue_reason reason; /* other than CONTINUE_NOT: it was left to the kernel */
        int error;                   /* 0 or a positive errno */
};

struct notify {
        struct journal_header *header;    /* where it is counted */
        struct journal_request *requests; /* the slots */
        uint32_t slots;                   /* how many */
        uint32_t spared;                  /* of them only for notify_receive_and_continue() */
        bool never_continues;             /* see notify_init_slots_consume_fd() */
        int listener;                     /* owned; -1: none yet */
        bool wakes_here;                  /* see notify_wake_here() */
        bool wakes_anywhere_only;         /* this kernel cannot do otherwise */
        /* for a trace, or NULL: called once for each request, before its slot is free */
        void (*ended)(struct notify *notify, const struct journal_request *request,
                      const struct notify_outcome *outcome);
        uint32_t free_count;
        uint32_t free_slots[JOURNAL_REQUESTS];
};

/* Takes the listener over. Slots that hold a request are not free: see notify_recover(). */
void notify_init_consume_fd(struct notify *notify, struct journal *journal, int listener);

/*
 * The same for callers that are not trusted: `count` slots (JOURNAL_REQUESTS at most), all of them for
 * notify_receive(), and no call is ever left to the kernel: where it would be, it is answered with EAGAIN.
 */
void notify_init_slots_consume_fd(struct notify *notify, struct journal_header *header,
                                  struct journal_request *requests, uint32_t count, int listener);

/* Closes the listener. Its slots, and who waits in them, stay as they are. */
void notify_deinit(struct notify *notify);

/*
 * SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (Linux 6.6): whoever is woken, we or a caller, is woken on the CPU of the one that
 * does it, which goes to sleep just then. That is many times faster than to wake an idle CPU, as long as there is one
 * caller at a time; many would queue behind each other there. Off at first.
 */
void notify_wake_here(struct notify *notify, bool here);

/* Is there a request to receive (EPOLLIN), has the tree ended (EPOLLHUP)? Does not block. */
short notify_poll(const struct notify *notify);

/*
 * Receives one request into a slot and commits it. Only to be called after EPOLLIN: RECV blocks otherwise, for ever
 * once the tree has ended. Returns 0, NOTIFY_E_*, or negative errno (-ENOTCONN …: the tree has ended).
 */
int notify_receive(struct notify *notify, struct journal_request **ret_request);

/* Receives one request and leaves it to the kernel; also with NOTIFY_SLOTS in use. Returns as above. */
int notify_receive_and_continue(struct notify *notify, enum continue_reason reason);

/* How many slots hold a request, as this process knows it: others may write to the journal. 0 without a listener. */
uint32_t notify_in_use(const struct notify *notify);

/* Is this descriptor a listener? */
bool notify_is_listener(int fd);

/* Does the requester still wait? */
bool notify_is_waiting(const struct notify *notify, const struct journal_request *request);

/* Answers with `error` (0: success, else a positive errno) and frees the slot. False: the requester had gone. */
bool notify_answer(struct notify *notify, struct journal_request *request, int error);

/* Leaves the call to the kernel, counts why, and frees the slot. False: the requester had gone. */
bool notify_continue(struct notify *notify, struct journal_request *request, enum continue_reason reason);

/* Frees the slot of a requester that has gone. One that still waits is left to the kernel first, loudly. */
void notify_release(struct notify *notify, struct journal_request *request);

/*
 * After another receiver of this journal died, and before anything is received: commits the slot that it had no time
 * to, frees those whose requesters no longer wait, and calls `found` for all others, in their order. A requester that
 * waited for a load and no longer does is among these: it may have been interrupted, and come back.
 */
void notify_recover(struct notify *notify, void (*found)(struct journal_request *request, void *context),
                    void *context);
