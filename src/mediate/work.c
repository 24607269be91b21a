/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fdpass.h"
#include "inspector.h"
#include "journal.h"
#include "mediate/decider.h"
#include "mediate/performer.h"
#include "mediate/private.h"
#include "modgate/job.h"
#include "util/child.h"
#include "util/fd.h"

/* A caller's memory that does not answer, and a host whose disk does not. */
#define INSPECTION_LIMIT_NS (5 * 1000000000ULL)
#define DECISION_LIMIT_NS (30 * 1000000000ULL)

int work_start_performers(struct mediator *mediator) {
        _cleanup_fd_ int ours = -1, theirs = -1;
        int r = fdpass_pair(&ours, &theirs);
        pid_t pid;

        if (r < 0)
                return r;
        pid = child_fork("modgate-modprobe", &theirs, 1);
        if (pid < 0)
                return -errno;
        if (pid == 0)
                performers_run(CHILD_FIRST_KEPT, mediator->kernel);
        mediator->performers.fd = fd_steal(&ours);
        return 0;
}

static struct helper *helper_new(struct asked *asked) {
        struct container *container = asked->container;
        struct helper *helper = calloc(1, sizeof(*helper));

        if (!helper)
                return NULL;
        helper->asked = asked;
        helper->customer = container->customer;
        helper->customer->users++;
        list_insert_before(&container->mediator->helpers, &helper->link);
        return helper;
}

static void helper_free(struct helper *helper) {
        if (!helper)
                return;
        list_remove(&helper->link);
        customer_leave(helper->customer);
        free(helper);
}

/*
 * Forks a child for the request, with a socket to it. Returns the child's process id, or 0 in the child, which has
 * no descriptor and no store of any container, but a copy of this process' memory; or negative errno.
 */
static int fork_worker(struct asked *asked, const char *title, uint64_t limit_ns) {
        struct mediator *mediator = asked->container->mediator;
        struct helper *helper = helper_new(asked);
        _cleanup_fd_ int ours = -1, theirs = -1;
        int r = helper ? fdpass_pair(&ours, &theirs) : -ENOMEM;
        pid_t pid = r == 0 ? child_fork(title, &theirs, 1) : -1;

        if (pid < 0) {
                r = r == 0 ? -errno : r;
                helper_free(helper);
                return r;
        }
        if (pid == 0) {
                /* these numbers are others now */
                (void)fd_steal(&ours);
                (void)fd_steal(&theirs);
                return 0;
        }
        helper->pid = pid;
        asked->helper = helper;
        asked->worker.fd = fd_steal(&ours);
        asked->deadline_ns = journal_now_ns() + limit_ns;
        r = event_add(&mediator->loop, &asked->worker);
        if (r < 0)
                work_end(asked);
        return r < 0 ? r : pid;
}

static int fork_inspector(struct asked *asked) {
        const struct confinement *confinement = &asked->container->mediator->confinement;
        int r = fork_worker(asked, "modgate-inspect", INSPECTION_LIMIT_NS);

        if (r == 0)
                inspector_run(CHILD_FIRST_KEPT, confinement);
        return r < 0 ? r : 0;
}

int work_inspect(struct asked *asked, bool name) {
        const struct seccomp_data *data = &asked->slot->notif.data;
        bool image = asked->call == CALL_INIT_MODULE;
        /* init_module(image, length, params), finit_module(fd, params, flags) */
        struct job job = {
                .type = name ? JOB_READ_NAME : JOB_READ_STRING,
                .serial = 1,
                .address = call_argument(data, name ? 0 : (image ? 2 : 1)),
                .image_length = asked->image_length,
        };
        int r = 0;

        /* the one that has read the name is as good as any other: it is only this request's */
        if (asked->worker.fd < 0)
                r = fork_inspector(asked);
        if (r == 0)
                r = fdpass_send_dup_fd(asked->worker.fd, &job, sizeof(job), NULL, 0, asked->memory_fd, MSG_DONTWAIT);
        return r;
}

int work_decide(struct asked *asked) {
        const struct mediator *mediator = asked->container->mediator;
        const struct question question = {
                .profile = container_profile(asked->container),
                .module = asked->name,
                .params = asked->params,
                .params_length = asked->params_length,
                .caller = asked->asker.caller,
        };
        int r = fork_worker(asked, "modgate-decide", DECISION_LIMIT_NS);

        if (r == 0)
                decider_run(CHILD_FIRST_KEPT, mediator->kernel, &mediator->confinement, &question);
        return r < 0 ? r : 0;
}

/* Its process is forked by another one. It has as much time as the module's init takes. */
int work_load(struct asked *asked) {
        static struct order order;
        struct mediator *mediator = asked->container->mediator;
        const struct decision *decision = asked->decision;
        _cleanup_fd_ int ours = -1, theirs = -1;
        int r = fdpass_pair(&ours, &theirs);

        if (r < 0)
                return r;
        order = (struct order){ .wanted = decision->wanted,
                                .step_count = decision->step_count,
                                .params_length = asked->params_length };
        memcpy(order.steps, decision->steps, sizeof(order.steps));
        /* it waits for who forks them, and does nothing else: as long as a fork takes */
        r = fdpass_send_dup_fd(mediator->performers.fd, &order, order_size(order.step_count), asked->params,
                               asked->params_length, theirs, 0);
        if (r < 0)
                return r;
        asked->worker.fd = fd_steal(&ours);
        asked->deadline_ns = UINT64_MAX;
        r = event_add(&mediator->loop, &asked->worker);
        if (r < 0)
                work_end(asked);
        return r;
}

void work_end(struct asked *asked) {
        event_remove(&asked->container->mediator->loop, &asked->worker);
        asked->worker.fd = fd_close(asked->worker.fd);
        asked->deadline_ns = UINT64_MAX;
        if (!asked->helper)
                return;
        (void)kill(asked->helper->pid, SIGKILL);
        customer_hang(asked->helper->customer, 1);
        asked->helper->asked = NULL;
        asked->helper = NULL;
}

void work_reaped(struct mediator *mediator, pid_t pid) {
        list_for_each_safe(node, after, &mediator->helpers) {
                struct helper *helper = container_of(node, struct helper, link);

                if (helper->pid != pid)
                        continue;
                /* what it has said is still in its socket */
                if (helper->asked)
                        helper->asked->helper = NULL;
                else
                        customer_hang(helper->customer, -1);
                helper_free(helper);
                return;
        }
}
