/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
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

static void store_name(const struct container *container, char name[static SERVICE_NAME_SIZE]) {
        (void)snprintf(name, SERVICE_NAME_SIZE, CONTAINER_KEPT "%" PRIx64, container->serial);
}

int container_init(struct container *container, struct mediator *mediator) {
        if (mediator->container_count >= CONTAINERS_MAX)
                return -ENOMEM;
        container->mediator = mediator;
        container->store_fd = -1;
        container->notify.listener = -1;
        container->listener.fd = -1;
        list_insert_before(&mediator->containers, &container->link);
        mediator->container_count++;
        return 0;
}

static struct container *container_new(struct mediator *mediator) {
        struct container *container = calloc(1, sizeof(*container));

        if (container && container_init(container, mediator) == 0)
                return container;
        free(container);
        return NULL;
}

static int store_map(struct container *container) {
        void *store =
                mmap(NULL, sizeof(struct container_store), PROT_READ | PROT_WRITE, MAP_SHARED, container->store_fd, 0);

        if (store == MAP_FAILED)
                return -errno;
        container->store = store;
        /* what an inspector that was taken over could write there, callers would be answered by */
        return madvise(store, sizeof(struct container_store), MADV_DONTFORK) < 0 ? -errno : 0;
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
        if (status.st_size != sizeof(struct container_store) ||
            !(fcntl(container->store_fd, F_GET_SEALS) & F_SEAL_SHRINK))
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

        /* it waits for ever if there is none any more */
        if ((events & EPOLLIN) && may_receive(container) && (notify_poll(&container->notify) & POLLIN) &&
            notify_receive(&container->notify, &slot) == 0)
                asked_begin(container, slot);
        if (events & EPOLLHUP)
                container_end(container, true);
        else
                container_listen(container);
}

/* An end is not seen while nothing is received: then there are requests whose requesters have gone. */
void container_listen(struct container *container) {
        struct event_loop *loop = &container->mediator->loop;

        if (container->is_monitor) /* that has one request at a time */
                return;
        if (container->mediator->stopping || !may_receive(container))
                event_remove(loop, &container->listener);
        else if (!container->listener.watched && event_add(loop, &container->listener) < 0)
                /* its callers would wait for ever: another mediator may do better */
                container->mediator->error = -ENOMEM;
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
        if (container->kept == KEPT_NOT_YET)
                mediator->unkept--;
        if (forever && container->kept == KEPT) {
                store_name(container, name);
                service_forget_fds(name);
        }
        if (container->is_monitor)
                free(container->store);
        else if (container->store)
                (void)munmap(container->store, sizeof(*container->store));
        container->store = NULL;
        container->store_fd = fd_close(container->store_fd);
        if (container->customer) {
                container->customer->listeners--;
                customer_leave(container->customer);
        }
        container->customer = NULL;
        mediator->container_count--;
        /* this round may have more to say to it: see struct event_source */
        list_remove(&container->link);
        list_insert_before(&mediator->ended, &container->link);
}

void containers_free(struct mediator *mediator) {
        struct list_node *node;

        while ((node = list_take_first(&mediator->ended)))
                free(container_of(node, struct container, link));
}

/* Without anybody to keep it, it is served all the same, as long as this process lives. */
static void keep(struct container *container) {
        const int fds[] = { container->store_fd, container->notify.listener };
        char name[SERVICE_NAME_SIZE];
        int r;

        store_name(container, name);
        r = service_keep_fds(name, fds, 2, true);
        container->kept = r == 0 ? KEPT : (r == -ENOTCONN ? KEPT_BY_NOBODY : KEPT_NOT_YET);
}

uint64_t containers_keep(struct mediator *mediator, uint64_t now_ns) {
        if (mediator->unkept == 0)
                return UINT64_MAX;
        if (now_ns < mediator->keep_again_ns)
                return mediator->keep_again_ns - now_ns;
        list_for_each_safe(node, after, &mediator->containers) {
                struct container *container = container_of(node, struct container, link);

                if (container->kept != KEPT_NOT_YET)
                        continue;
                keep(container);
                if (container->kept != KEPT_NOT_YET)
                        mediator->unkept--;
        }
        mediator->keep_again_ns = now_ns + KEEP_AGAIN_NS;
        return mediator->unkept > 0 ? KEEP_AGAIN_NS : UINT64_MAX;
}

int container_join(struct container *container) {
        struct customer *customer = customer_use(container->mediator, container->store->id);

        if (!customer)
                return -ENOMEM;
        container->customer = customer;
        return ++customer->listeners > LISTENERS_OF_ONE_MAX ? -EUSERS : 0;
}

static void fill_store(struct container *container, const struct container_claim *claim) {
        struct container_store *store = container->store;

        store->version = MEDIATION_VERSION;
        store->named = claim->profile != NULL;
        store->by_annotation = claim->by_annotation;
        memcpy(store->user_namespace, claim->user_namespace, sizeof(store->user_namespace));
        (void)snprintf(store->id, sizeof(store->id), "%s", claim->id);
        (void)snprintf(store->profile, sizeof(store->profile), "%s", claim->profile ? claim->profile : "");
        store->header.started_ns = journal_now_ns();
}

int container_begin_consume_fd(struct mediator *mediator, int listener, const struct container_claim *claim) {
        struct container *container = container_new(mediator);
        int r = container ? store_create(container) : -ENOMEM;

        if (r == 0) {
                container->serial = ++mediator->serial;
                fill_store(container, claim);
                r = container_join(container);
        }
        if (r < 0)
                fd_close(listener);
        else
                r = start_consume_fd(container, listener);
        if (r < 0) {
                if (container)
                        container_end(container, false);
                return r;
        }
        keep(container);
        if (container->kept == KEPT_NOT_YET)
                mediator->unkept++;
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
        container->kept = KEPT;
        container->store_fd = store_fd;
        r = store_take(container);
        if (r == 0) {
                container->store->id[sizeof(container->store->id) - 1] = '\0';
                container->store->profile[sizeof(container->store->profile) - 1] = '\0';
                r = container_join(container);
        }
        if (r < 0)
                fd_close(listener);
        else
                r = start_consume_fd(container, listener);
        if (r < 0) {
                container_end(container, true);
                return r;
        }
        notify_recover(&container->notify, found, container);
        container_listen(container);
        return 0;
}

const struct policy_profile *container_profile(const struct container *container) {
        const struct container_store *store = container->store;
        const struct policy *policy = container->mediator->policy;
        const char *profile = store->named ? store->profile : NULL;

        /* annotations may have ceased to mean anything */
        if (store->by_annotation)
                return policy_choose(policy, NULL, policy_annotation(policy) ? profile : NULL);
        return policy_choose(policy, profile, NULL);
}
