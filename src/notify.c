/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "notify.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "journal.h"
#include "step.h"
#include "util/fd.h"
#include "util/log.h"

/* linux/seccomp.h of Linux 6.6 */
#define SYNC_WAKE_UP (1ULL << 0)

uint32_t notify_in_use(const struct notify *notify) {
        return notify->listener >= 0 ? notify->slots - notify->free_count : 0;
}

/* Whoever looks at the journal sees that something waits, and that we move. */
static void count_slots(struct notify *notify) {
        notify->header->in_use = notify_in_use(notify);
        notify->header->heartbeat++;
}

static void init(struct notify *notify, int listener) {
        notify->listener = listener;
        notify->free_count = 0;
        notify->wakes_anywhere_only = false;
        /* whatever an earlier supervisor has left */
        notify->wakes_here = true;
        notify_wake_here(notify, false);
        /* the lowest slots are taken first, so that few pages are touched */
        for (uint32_t i = notify->slots; i-- > 0;) {
                if (notify->requests[i].notif.id != 0)
                        continue;
                /* whoever had it may have died while clearing it */
                memset(&notify->requests[i], 0, sizeof(notify->requests[i]));
                notify->free_slots[notify->free_count++] = i;
        }
        count_slots(notify);
}

void notify_init_consume_fd(struct notify *notify, struct journal *journal, int listener) {
        notify->header = &journal->header;
        notify->requests = journal->requests;
        notify->slots = JOURNAL_REQUESTS;
        notify->spared = JOURNAL_REQUESTS - NOTIFY_SLOTS;
        notify->never_continues = false;
        init(notify, listener);
}

void notify_init_slots_consume_fd(struct notify *notify, struct journal_header *header,
                                  struct journal_request *requests, uint32_t count, int listener) {
        notify->header = header;
        notify->requests = requests;
        notify->slots = count;
        notify->spared = 0;
        notify->never_continues = true;
        init(notify, listener);
}

void notify_wake_here(struct notify *notify, bool here) {
        uint64_t flags = here ? SYNC_WAKE_UP : 0;

        if (notify->listener < 0 || notify->wakes_here == here || notify->wakes_anywhere_only)
                return;
        notify->wakes_here = here;
        while (ioctl(notify->listener, NOTIFY_IOCTL_SET_FLAGS, flags) < 0) {
                if (errno == EINTR)
                        continue;
                notify->wakes_anywhere_only = true;
                return;
        }
}

void notify_deinit(struct notify *notify) {
        notify->listener = fd_close(notify->listener);
}

short notify_poll(const struct notify *notify) {
        struct pollfd poller = { .fd = notify->listener, .events = POLLIN };

        return poll(&poller, 1, 0) > 0 ? poller.revents : 0;
}

static void slot_free(struct notify *notify, struct journal_request *request) {
        /* the commit word first: a slot that is half cleared does not count */
        __atomic_store_n(&request->committed, 0, __ATOMIC_RELEASE);
        STEP(UNCOMMITTED);
        memset(request, 0, sizeof(*request));
        STEP(SLOT_FREE);
        /* a tree's own keeper can write to its journal: a slot that came into use behind our back is free already */
        if (notify->free_count < notify->slots)
                notify->free_slots[notify->free_count++] = (uint32_t)(request - notify->requests);
        count_slots(notify);
}

/* RECV into a zeroed slot. ENOENT: whoever had asked has gone. */
static int receive(struct notify *notify, struct journal_request *request) {
        while (ioctl(notify->listener, SECCOMP_IOCTL_NOTIF_RECV, &request->notif) < 0) {
                int error = errno;

                memset(request, 0, sizeof(*request));
                if (error == EINTR)
                        continue;
                return error == ENOENT ? NOTIFY_E_EMPTY : -error;
        }
        return 0;
}

static void commit(struct notify *notify, struct journal_request *request) {
        struct journal_header *header = notify->header;

        request->received_ns = journal_boottime_ns();
        header->order = request->received_ns > header->order ? request->received_ns : header->order + 1;
        request->order = header->order;
        request->load = JOURNAL_NO_LOAD;
        STEP(ORDERED);
        __atomic_store_n(&request->committed, 1, __ATOMIC_RELEASE);
        STEP(COMMITTED);
        header->requests++;
}

static int receive_into_slot(struct notify *notify, uint32_t spared, struct journal_request **ret_request) {
        struct journal_request *request;
        int r;

        if (notify->free_count <= spared)
                return NOTIFY_E_FULL;
        request = &notify->requests[notify->free_slots[notify->free_count - 1]];
        r = receive(notify, request);
        if (r != 0)
                return r;
        notify->free_count--;
        STEP(RECEIVED);
        commit(notify, request);
        count_slots(notify);
        *ret_request = request;
        return 0;
}

int notify_receive(struct notify *notify, struct journal_request **ret_request) {
        return receive_into_slot(notify, notify->spared, ret_request);
}

int notify_receive_and_continue(struct notify *notify, enum continue_reason reason) {
        struct journal_request *request;
        int r = receive_into_slot(notify, 0, &request);

        if (r == 0)
                (void)notify_continue(notify, request, reason);
        return r;
}

bool notify_is_listener(int fd) {
        uint64_t nobody = 0;

        /* ENOENT: there is no such request; of any other file: ENOTTY */
        return ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &nobody) == 0 || errno == ENOENT;
}

bool notify_is_waiting(const struct notify *notify, const struct journal_request *request) {
        notify->header->heartbeat++;
        while (ioctl(notify->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &request->notif.id) < 0)
                if (errno != EINTR) /* which says nothing: somebody has stopped us, or the machine was suspended */
                        return false;
        return true;
}

/* False: nobody waits for this answer any more, which is ordinary (ENOENT), or it was given (EINPROGRESS). */
static bool send_answer(struct notify *notify, const struct journal_request *request, int error, uint32_t flags) {
        /* larger than what we know of, in case that the kernel's struct has grown */
        union {
                struct seccomp_notif_resp resp;
                unsigned char room[JOURNAL_NOTIF_ROOM];
        } answer = { .room = { 0 } };

        answer.resp.id = request->notif.id;
        answer.resp.error = -error;
        answer.resp.flags = flags;
        while (ioctl(notify->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) < 0) {
                if (errno == EINTR)
                        continue;
                if (errno != ENOENT && errno != EINPROGRESS)
                        log_error("cannot answer request %llu of thread %u: %m", (unsigned long long)request->notif.id,
                                  request->notif.pid);
                return false;
        }
        return true;
}

static void tell_end(struct notify *notify, const struct journal_request *request,
                     const struct notify_outcome *outcome) {
        if (notify->ended)
                notify->ended(notify, request, outcome);
}

static bool answer_and_free(struct notify *notify, struct journal_request *request, int error,
                            enum continue_reason reason) {
        struct journal_header *header = notify->header;
        bool taken;

        __atomic_store_n(&request->answering, 1, __ATOMIC_RELEASE);
        STEP(ANSWERING);
        taken = send_answer(notify, request, error, reason != CONTINUE_NOT ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0);
        STEP(ANSWERED);
        if (taken)
                header->answered++;
        else
                header->gone++;
        tell_end(notify, request,
                 &(struct notify_outcome){ .answered = true, .taken = taken, .reason = reason, .error = error });
        slot_free(notify, request);
        return taken;
}

static void free_gone(struct notify *notify, struct journal_request *request) {
        notify->header->gone++;
        tell_end(notify, request, &(struct notify_outcome){ .answered = false });
        slot_free(notify, request);
}

bool notify_answer(struct notify *notify, struct journal_request *request, int error) {
        return answer_and_free(notify, request, error, CONTINUE_NOT);
}

bool notify_continue(struct notify *notify, struct journal_request *request, enum continue_reason reason) {
        if (notify->never_continues)
                return notify_answer(notify, request, EAGAIN);
        notify->header->continued[reason]++;
        return answer_and_free(notify, request, 0, reason);
}

void notify_release(struct notify *notify, struct journal_request *request) {
        if (notify_is_waiting(notify, request)) {
                log_error("thread %u was about to be forgotten; its call is %s", request->notif.pid,
                          notify->never_continues ? "answered with EAGAIN" : "left to the kernel");
                (void)notify_continue(notify, request, CONTINUE_INTERNAL);
                return;
        }
        free_gone(notify, request);
}

static int compare_order(const void *a, const void *b) {
        const struct journal_request *const *left = a, *const *right = b;

        return ((*left)->order > (*right)->order) - ((*left)->order < (*right)->order);
}

/* The requester has gone, or was interrupted and comes back for the result of its load. */
static bool may_have_missed(const struct journal_request *request) {
        return request->committed && request->load != JOURNAL_NO_LOAD && !request->answering;
}

void notify_recover(struct notify *notify, void (*found)(struct journal_request *request, void *context),
                    void *context) {
        struct journal_request *waiting[JOURNAL_REQUESTS];
        size_t count = 0;

        for (uint32_t i = 0; i < notify->slots; i++) {
                struct journal_request *request = &notify->requests[i];

                if (request->notif.id == 0)
                        continue;
                if (!notify_is_waiting(notify, request) && !may_have_missed(request)) {
                        /* or its answer was given, and not counted any more */
                        free_gone(notify, request);
                        continue;
                }
                /* what was not committed was the last to be received */
                if (!request->committed)
                        commit(notify, request);
                waiting[count++] = request;
        }
        qsort(waiting, count, sizeof(waiting[0]), compare_order);
        /* whoever died had received the last one only to leave it to the kernel */
        if (count > notify->slots - notify->spared)
                (void)notify_continue(notify, waiting[--count], CONTINUE_NO_SLOT);
        for (size_t i = 0; i < count; i++) {
                notify->header->recovered++;
                found(waiting[i], context);
        }
}
