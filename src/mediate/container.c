/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal.h"
#include "mediate/private.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/memfd.h"
#include "util/service.h"

/* By this name systemd keeps both of its descriptors. */
static void store_name(const struct container *container, char name[static SERVICE_NAME_SIZE]) {
        (void)snprintf(name, SERVICE_NAME_SIZE, "container-%" PRIx64, container->serial);
}

static struct container *container_new(struct mediator *mediator) {
        struct container *container;

        if (mediator->container_count >= CONTAINERS_MAX)
                return NULL;
        container = calloc(1, sizeof(*container));
        if (!container)
                return NULL;
        container->mediator = mediator;
        container->store_fd = -1;
        container->notify.listener = -1;
        container->listener.fd = -1;
        list_init(&container->queued);
        list_insert_before(&mediator->containers, &container->link);
        mediator->container_count++;
        return container;
}

static int store_map(struct container *container) {
        void *store = mmap(NULL, sizeof(struct container_store), PROT_READ | PROT_WRITE, MAP_SHARED,
                           container->store_fd, 0);

        if (store == MAP_FAILED)
                return -errno;
        container->store = store;
        return 0;
}

static int store_create(struct container *container) {
        int fd = memfd_new("modgate-container", MFD_ALLOW_SEALING);

        if (fd < 0)
                return fd;
        container->store_fd = fd;
        if (ftruncate(fd, sizeof(struct container_store)) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
                return -errno;
        return store_map(container);
}

/* Of our own kind, and our own version; what stands in it is systemd's care, and root's. */
static int store_take(struct container *container) {
        struct stat status;
        int r;

        if (fstat(container->store_fd, &status) < 0)
                return -errno;
        if (status.st_size != sizeof(struct container_store) || !(fcntl(container->store_fd, F_GET_SEALS) & F_SEAL_SHRINK))
                return -EPROTO;
        r = store_map(container);
        if (r == 0 && container->store->version != MEDIATION_VERSION)
                r = -EPROTO;
        return r;
}

/* Between two requests others have their turn; and what would only be queued may as well wait in the kernel. */
static bool may_receive(const struct container *container) {
        return notify_in_use(&container->notify) < CONTAINER_SLOTS;
}

static void handle_listener(struct event_source *source, uint32_t events) {
        struct container *container = container_of(source, struct container, listener);
        struct journal_request *slot;

        if ((events & EPOLLIN) && may_receive(container) && notify_receive(&container->notify, &slot) == 0)
                asked_begin(container, slot);
        if (events & EPOLLHUP)
                container_end(container, true);
        else
                container_listen(container);
}

/* An end is not seen while nothing is received: then there are requests whose requesters have gone. */
void container_listen(struct container *container) {
        struct event_loop *loop = &container->mediator->loop;

        if (container->mediator->stopping || !may_receive(container))
                event_remove(loop, &container->listener);
        else if (!container->listener.watched)
                (void)event_add(loop, &container->listener);
}

static void found(struct journal_request *slot, void *context) {
        asked_begin(context, slot);
}

static int start_consume_fd(struct container *container, int listener) {
        notify_init_slots_consume_fd(&container->notify, &container->store->header, container->store->requests,
                                     CONTAINER_SLOTS, listener);
        container->listener = (struct event_source){ .handle = handle_listener, .fd = listener };
        return event_add(&container->mediator->loop, &container->listener);
}

void container_end(struct container *container, bool forever) {
        struct mediator *mediator = container->mediator;
        char name[SERVICE_NAME_SIZE];

        event_remove(&mediator->loop, &container->listener);
        for (uint32_t i = 0; i < CONTAINER_SLOTS; i++)
                if (container->asked[i].state != ASKED_NONE)
                        asked_give_up(&container->asked[i]);
        notify_deinit(&container->notify);
        if (forever && container->kept) {
                store_name(container, name);
                service_forget_fds(name);
        }
        if (container->store)
                (void)munmap(container->store, sizeof(*container->store));
        container->store_fd = fd_close(container->store_fd);
        list_remove(&container->link);
        mediator->container_count--;
        free(container);
}

/* Without anybody to keep it, it is served all the same, as long as this process lives. */
static void keep(struct container *container) {
        char name[SERVICE_NAME_SIZE];

        store_name(container, name);
        container->kept = service_keep_fds(name, (const int[]){ container->store_fd, container->notify.listener }, 2) == 0;
}

int container_begin_consume_fd(struct mediator *mediator, int listener, const char *id, const char *profile, pid_t pid,
                               const uint64_t user_namespace[static 2]) {
        struct container *container = container_new(mediator);
        int r = container ? store_create(container) : -ENOMEM;

        if (r < 0) {
                fd_close(listener);
                if (container)
                        container_end(container, false);
                return r;
        }
        container->serial = ++mediator->serial;
        container->store->version = MEDIATION_VERSION;
        container->store->named = profile != NULL;
        container->store->pid = pid;
        memcpy(container->store->user_namespace, user_namespace, sizeof(container->store->user_namespace));
        (void)snprintf(container->store->id, sizeof(container->store->id), "%s", id);
        (void)snprintf(container->store->profile, sizeof(container->store->profile), "%s", profile ? profile : "");
        container->store->header.started_ns = journal_now_ns();
        r = start_consume_fd(container, listener);
        if (r < 0) {
                container_end(container, false);
                return r;
        }
        keep(container);
        return 0;
}

int container_resume_consume_fds(struct mediator *mediator, int listener, int store_fd, uint64_t serial) {
        struct container *container = container_new(mediator);
        int r;

        if (!container) {
                fd_close(listener);
                fd_close(store_fd);
                return -ENOMEM;
        }
        container->serial = serial;
        container->kept = true;
        container->store_fd = store_fd;
        r = store_take(container);
        if (r < 0)
                fd_close(listener);
        else
                r = start_consume_fd(container, listener);
        if (r < 0) {
                container_end(container, true);
                return r;
        }
        container->store->id[sizeof(container->store->id) - 1] = '\0';
        container->store->profile[sizeof(container->store->profile) - 1] = '\0';
        notify_recover(&container->notify, found, container);
        container_listen(container);
        return 0;
}

const struct policy_profile *container_profile(const struct container *container) {
        const struct container_store *store = container->store;

        return policy_choose(container->mediator->policy, store->named ? store->profile : NULL, NULL);
}

void containers_forget(struct mediator *mediator) {
        list_for_each_safe(node, after, &mediator->containers) {
                struct container *container = container_of(node, struct container, link);

                if (container->store)
                        (void)munmap(container->store, sizeof(*container->store));
        }
}
