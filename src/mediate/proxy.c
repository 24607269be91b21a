/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * liblxc's lxc.seccomp.notify.proxy (docs/oci.md). The monitor of a container receives its notifications, sends each
 * one here, and waits for the answer, for 30 s at most. A connection is a container with room for one request: what the
 * kernel is to a listener, the monitor is to it.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "journal.h"
#include "mediate/private.h"
#include "oci/lxc_message.h"
#include "oci/profile.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/socket.h"

/*
 * An answer that comes after the monitor's time is taken for that to its next notification. So this has to be well
 * before.
 */
#define ANSWER_LIMIT_NS (20 * 1000000000ULL)

struct monitor {
        struct container container;
        struct event_source connection; /* its descriptor is owned */
        bool sees_our_pids;
        struct lxc_message message;
        uint64_t since_ns; /* it is being answered; 0: nothing is */
};

static struct monitor *monitor_of(struct container *container) {
        return container_of(container, struct monitor, container);
}

static void close_all(int fds[static LXC_FDS]) {
        for (unsigned int i = 0; i < LXC_FDS; i++)
                fds[i] = fd_close(fds[i]);
}

static void end(struct monitor *monitor) {
        event_remove(&monitor->container.mediator->loop, &monitor->connection);
        monitor->connection.fd = fd_close(monitor->connection.fd);
        container_end(&monitor->container, false);
}

static void refuse(struct monitor *monitor, const char *why) {
        log_error("a message of liblxc is refused: %s; the call of %s fails with ENOSYS", why,
                  monitor->container.store->id);
        end(monitor);
}

/* Exactly as long as it is to be, or it would be taken for none. Whoever does not take it has gone. */
static bool answer(struct monitor *monitor, int error) {
        char bytes[LXC_ANSWER_MAX];
        size_t length = lxc_message_answer(&monitor->message, error, bytes);

        return send(monitor->connection.fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length;
}

bool proxy_answer(struct asked *asked, int error) {
        struct container *container = asked->container;
        struct monitor *monitor = monitor_of(container);
        bool taken = answer(monitor, error);

        monitor->since_ns = 0;
        notify_deinit(&container->notify);
        memset(asked->slot, 0, sizeof(*asked->slot));
        return taken;
}

/*
 * Is the monitor's /proc/PID that of our process of that number? Then all that is found in ours is about the caller. It
 * may be another instance of proc than ours (ours is the service's own), so the inode says nothing.
 */
static bool is_our_process(const struct monitor *monitor, int directory) {
        const struct mediator *mediator = monitor->container.mediator;
        char name[32];
        uint64_t start;

        (void)snprintf(name, sizeof(name), "%d/stat", (int)monitor->message.notif.pid);
        start = caller_start(directory, "stat");
        return start != 0 && start == caller_start(mediator->self.proc, name);
}

/* What is the same for all messages of a container is taken from the first one. */
static int take_container(struct monitor *monitor) {
        struct container *container = &monitor->container;
        const struct lxc_message *message = &monitor->message;
        struct container_store *store = container->store;
        char profile[OCI_PROFILE_SIZE] = "";
        int r = oci_profile_find(message->cookie, profile), proc = container->mediator->self.proc;

        store->named = r != -ENOENT;
        (void)snprintf(store->profile, sizeof(store->profile), "%s", r == 0 ? profile : "");
        if (container->customer)
                return 0;
        (void)snprintf(store->id, sizeof(store->id), "lxc-%d", (int)message->init_pid);
        if (asker_namespace_of_root(proc, message->init_pid, store->user_namespace) < 0)
                memset(store->user_namespace, 0, sizeof(store->user_namespace));
        return container_join(container);
}

static void begin(struct monitor *monitor, int fds[static LXC_FDS]) {
        struct container *container = &monitor->container;
        struct journal_request *slot = &container->store->requests[0];

        if (monitor->since_ns != 0)
                refuse(monitor, "the one before it has not been answered");
        else if (!notify_is_listener(fds[LXC_FD_LISTENER]))
                refuse(monitor, "what it calls its listener is none");
        else if (!monitor->sees_our_pids)
                refuse(monitor, "its monitor is in another pid namespace");
        else if (!is_our_process(monitor, fds[LXC_FD_PROC]))
                (void)answer(monitor, EAGAIN); /* the caller has gone; the container's rate goes on */
        else if (take_container(monitor) < 0)
                refuse(monitor, "there are too many, or there is no memory");
        else {
                memset(slot, 0, sizeof(*slot));
                slot->notif = monitor->message.notif;
                slot->committed = 1;
                monitor->since_ns = journal_now_ns();
                notify_init_slots_consume_fd(&container->notify, &container->store->header, container->store->requests,
                                             1, fd_steal(&fds[LXC_FD_LISTENER]));
                asked_begin(container, slot);
        }
}

static void handle_connection(struct event_source *source, uint32_t events) {
        struct monitor *monitor = container_of(source, struct monitor, connection);
        static char bytes[LXC_MESSAGE_MAX];
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int) * (LXC_FDS + 1))];
        } control;
        struct iovec part = { .iov_base = bytes, .iov_len = sizeof(bytes) };
        struct msghdr message = {
                .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        ssize_t length = recvmsg(source->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        int fds[LXC_FDS] = { -1, -1, -1 };
        unsigned int count;
        struct oci_problem problem;

        (void)events;
        if (length < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (length <= 0) {
                end(monitor);
                return;
        }
        count = socket_take_fds(&message, fds, LXC_FDS);
        if (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC))
                refuse(monitor, "it is too long, or its descriptors cannot be taken");
        else if (lxc_message_decode(bytes, (size_t)length, count, &monitor->container.mediator->sizes,
                                    &monitor->message, &problem) < 0)
                refuse(monitor, problem.text);
        else
                begin(monitor, fds);
        close_all(fds);
}

static struct monitor *monitor_new(struct mediator *mediator, int connection) {
        struct monitor *monitor = calloc(1, sizeof(*monitor));
        struct container_store *store = aligned_alloc(_Alignof(struct container_store), sizeof(*store));

        if (!monitor || !store || container_init(&monitor->container, mediator) < 0) {
                free(monitor);
                free(store);
                return NULL;
        }
        memset(store, 0, sizeof(*store));
        monitor->container.store = store;
        monitor->container.is_monitor = true;
        (void)strcpy(store->id, "lxc");
        monitor->connection = (struct event_source){ .handle = handle_connection, .fd = connection };
        return monitor;
}

void proxy_accept(struct event_source *source, uint32_t events) {
        struct mediator *mediator = container_of(source, struct mediator, lxc);
        _cleanup_fd_ int fd = -1;
        struct monitor *monitor;
        pid_t pid;

        (void)events;
        fd = agent_accept_root(mediator, source, &pid);
        if (fd < 0)
                return;
        monitor = monitor_new(mediator, fd);
        if (!monitor) {
                log_error("a monitor of liblxc is refused: there are too many, or there is no memory");
                return;
        }
        (void)fd_steal(&fd);
        monitor->sees_our_pids = agent_sees_our_pids(mediator, pid);
        if (event_add(&mediator->loop, &monitor->connection) < 0)
                end(monitor);
}

uint64_t proxy_expire(struct mediator *mediator, uint64_t now_ns) {
        uint64_t wait_ns = UINT64_MAX;

        list_for_each_safe(node, after, &mediator->containers) {
                struct container *container = container_of(node, struct container, link);
                uint64_t since_ns = container->is_monitor ? monitor_of(container)->since_ns : 0;

                if (since_ns == 0)
                        continue;
                if (now_ns - since_ns >= ANSWER_LIMIT_NS)
                        asked_answer(&container->asked[0], EAGAIN, "it takes longer than liblxc waits");
                else if (since_ns + ANSWER_LIMIT_NS - now_ns < wait_ns)
                        wait_ns = since_ns + ANSWER_LIMIT_NS - now_ns;
        }
        return wait_ns;
}
