/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Results that their callers missed. A signal ends the wait of a caller, if the filter had to do without
 * WAIT_KILLABLE_RECV (before Linux 5.19), or if it came before the request was received. The call comes back with
 * another id: restarted by the kernel (SA_RESTART), or made again by a program that got EINTR. Its load went on
 * meanwhile: bare, the caller would have had that load's result.
 *
 * While the load is in flight, the call that comes back joins it. Once the load has ended, the call gets its result: a
 * failure as it was, and a success by turning the EEXIST that it would get now into 0. That is for the same thread (ids
 * are used again: one that had begun when the earlier call was received), with the same call, file or image, and
 * parameters; once; and not for long, since a program that made something of its EINTR may have changed things.
 *
 * What nobody can mend: a call that is interrupted in the same moment in which its answer is sent. The kernel takes the
 * answer, and drops it (kernel/seccomp.c, the label `interrupted`); what comes back then is a new call to us.
 *
 * A thread waits for one call at a time. So whatever is known of an earlier one is void as soon as a call of it is
 * answered, or waits.
 */

#include <stdlib.h>
#include <string.h>

#include "journal.h"
#include "module/identity.h"
#include "supervisor.h"

#define MISSED_NS (5 * 1000000000ULL)

/* As many as may wait. */
#define MISSED_MAX JOURNAL_REQUESTS

struct missed {
        struct list_node link; /* in supervisor.missed, oldest first */
        struct seccomp_notif notif;
        uint64_t received_ns;
        struct module_key key;
        uint64_t image_hash[2]; /* of an init_module that failed */
        int error;              /* 0: it succeeded */
        uint64_t until_ns;
};

static struct missed *missed_of(struct list_node *node) {
        return container_of(node, struct missed, link);
}

/* What stands in the other registers is no part of the call. */
static bool same_call(const struct seccomp_notif *a, const struct seccomp_notif *b) {
        return a->pid == b->pid && a->data.arch == b->data.arch && a->data.nr == b->data.nr &&
               memcmp(a->data.args, b->data.args, 3 * sizeof(a->data.args[0])) == 0;
}

static struct list_node *bucket_of(struct supervisor *supervisor, uint32_t thread) {
        return &supervisor->threads[thread % THREAD_BUCKETS];
}

/* The request of this thread that waits, or NULL. */
static struct request *waiting_request(struct supervisor *supervisor, uint32_t thread) {
        list_for_each_safe(node, after, bucket_of(supervisor, thread)) {
                struct request *request = container_of(node, struct request, by_thread);

                if (request->slot->notif.pid == thread && request->may_miss)
                        return request;
        }
        return NULL;
}

static void drop(struct supervisor *supervisor, struct missed *missed) {
        list_remove(&missed->link);
        supervisor->missed_count--;
        free(missed);
}

static struct missed *missed_result(struct supervisor *supervisor, uint32_t thread) {
        uint64_t now = supervisor->missed_count > 0 ? journal_now_ns() : 0;

        list_for_each_safe(node, after, &supervisor->missed) {
                struct missed *missed = missed_of(node);

                if (missed->until_ns <= now)
                        drop(supervisor, missed);
                else if (missed->notif.pid == thread)
                        return missed;
        }
        return NULL;
}

void missed_init(struct supervisor *supervisor) {
        list_init(&supervisor->missed);
        for (uint32_t i = 0; i < THREAD_BUCKETS; i++)
                list_init(&supervisor->threads[i]);
}

void missed_deinit(struct supervisor *supervisor) {
        struct list_node *node;

        while ((node = supervisor->missed.next) != &supervisor->missed)
                drop(supervisor, missed_of(node));
}

/*
 * Else a caller that is interrupted all the time would fill the journal. One that begins again may be the earlier one
 * itself: then the later one waits.
 */
void missed_thread_calls(struct supervisor *supervisor, struct request *request) {
        struct list_node *bucket = bucket_of(supervisor, request->slot->notif.pid);

        list_for_each_safe(node, after, bucket) {
                struct request *earlier = container_of(node, struct request, by_thread);

                if (earlier->slot->notif.pid == request->slot->notif.pid &&
                    earlier->slot->order < request->slot->order && earlier->state == REQUEST_LOOKED_AT &&
                    inspect_is_queued(earlier))
                        request_give_up(supervisor, earlier);
        }
        list_insert_before(bucket, &request->by_thread);
}

bool missed_thread_went_on(struct supervisor *supervisor, const struct request *request) {
        list_for_each_safe(node, after, bucket_of(supervisor, request->slot->notif.pid)) {
                struct request *other = container_of(node, struct request, by_thread);

                if (other->slot->notif.pid == request->slot->notif.pid && other->slot->order > request->slot->order)
                        return true;
        }
        return false;
}

void missed_add(struct supervisor *supervisor, const struct request *request, const struct journal_request *slot,
                int error) {
        struct missed *missed;

        if (!request->may_miss)
                return;
        if (supervisor->missed_count >= MISSED_MAX)
                drop(supervisor, missed_of(supervisor->missed.next));
        missed = malloc(sizeof(*missed));
        if (!missed)
                return;
        *missed = (struct missed){
                .notif = slot->notif,
                .received_ns = slot->received_ns,
                .key = request->key,
                .error = error,
                .until_ns = journal_now_ns() + MISSED_NS,
        };
        memcpy(missed->image_hash, request->shared_hash, sizeof(missed->image_hash));
        list_init(&missed->link);
        list_insert_before(&supervisor->missed, &missed->link);
        supervisor->missed_count++;
}

bool missed_comes_back(struct supervisor *supervisor, const struct request *request) {
        const struct seccomp_notif *notif = &request->slot->notif;
        const struct request *waiting = waiting_request(supervisor, notif->pid);
        const struct missed *missed = waiting ? NULL : missed_result(supervisor, notif->pid);
        const struct seccomp_notif *earlier;
        uint64_t earlier_ns;

        if (!waiting && !missed)
                return false;
        earlier = waiting ? &waiting->slot->notif : &missed->notif;
        earlier_ns = waiting ? waiting->slot->received_ns : missed->received_ns;
        return same_call(notif, earlier) && caller_had_begun(&supervisor->self, (pid_t)notif->pid, earlier_ns);
}

bool missed_is_in_flight(struct supervisor *supervisor, const struct request *request) {
        const struct request *waiting = waiting_request(supervisor, request->slot->notif.pid);

        return waiting && waiting->dedup.load && module_key_equal(&waiting->key, &request->key);
}

bool missed_find(struct supervisor *supervisor, const struct request *request, int *ret_error,
                 uint64_t ret_hash[static 2]) {
        const struct missed *missed = missed_result(supervisor, request->slot->notif.pid);

        if (!missed || !module_key_equal(&missed->key, &request->key))
                return false;
        *ret_error = missed->error;
        memcpy(ret_hash, missed->image_hash, sizeof(missed->image_hash));
        return true;
}

void missed_forget(struct supervisor *supervisor, uint32_t thread) {
        struct request *waiting = waiting_request(supervisor, thread);
        struct missed *missed;

        if (waiting)
                request_supersede(supervisor, waiting);
        missed = missed_result(supervisor, thread);
        if (missed)
                drop(supervisor, missed);
}
