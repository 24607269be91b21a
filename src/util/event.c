/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/event.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

#include "util/fd.h"

/* So many rounds in a row may go by without a look at the direct sources. */
#define BUSY_ROUNDS_MAX 16U

int event_loop_init(struct event_loop *loop) {
        int fd = epoll_create1(EPOLL_CLOEXEC);

        if (fd < 0)
                return -errno;
        *loop = (struct event_loop){ .epoll_fd = fd };
        return 0;
}

void event_loop_deinit(struct event_loop *loop) {
        loop->epoll_fd = fd_close(loop->epoll_fd);
}

int event_add(struct event_loop *loop, struct event_source *source) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = source };

        if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) < 0)
                return -errno;
        source->watched = true;
        return 0;
}

int event_add_direct(struct event_loop *loop, struct event_source *source) {
        for (unsigned int i = 0; i < EVENT_DIRECT_MAX; i++) {
                if (loop->direct[i])
                        continue;
                loop->direct[i] = source;
                if (i >= loop->direct_count)
                        loop->direct_count = i + 1;
                source->watched = true;
                return 0;
        }
        return event_add(loop, source);
}

void event_listen(struct event_loop *loop) {
        loop->busy_rounds = 0;
}

static bool remove_direct(struct event_loop *loop, const struct event_source *source) {
        for (unsigned int i = 0; i < loop->direct_count; i++)
                if (loop->direct[i] == source) {
                        loop->direct[i] = NULL;
                        while (loop->direct_count > 0 && !loop->direct[loop->direct_count - 1])
                                loop->direct_count--;
                        return true;
                }
        return false;
}

void event_remove(struct event_loop *loop, struct event_source *source) {
        if (!source->watched)
                return;
        if (!remove_direct(loop, source))
                (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
        source->watched = false;
}

/* Returns how many events there were, or negative errno. */
static int handle_ready(struct event_loop *loop) {
        struct epoll_event events[EVENT_ROUND_MAX];
        int count = epoll_wait(loop->epoll_fd, events, EVENT_ROUND_MAX, 0);

        if (count < 0)
                return errno == EINTR ? 0 : -errno;
        for (enum event_priority priority = 0; priority < EVENT_PRIORITIES; priority++)
                for (int i = 0; i < count; i++) {
                        struct event_source *source = events[i].data.ptr;

                        /* a handler may have removed it: its owner's memory stays, see struct pool */
                        if (source->watched && source->priority == priority)
                                source->handle(source, events[i].events);
                }
        return count;
}

/* Waits for epoll's and the direct sources. Returns as poll(2). */
static int wait_for_any(const struct event_loop *loop, struct pollfd polled[static 1 + EVENT_DIRECT_MAX],
                        int timeout_ms) {
        polled[0] = (struct pollfd){ .fd = loop->epoll_fd, .events = POLLIN };
        for (unsigned int i = 0; i < loop->direct_count; i++)
                polled[1 + i] = (struct pollfd){ .fd = loop->direct[i] ? loop->direct[i]->fd : -1, .events = POLLIN };
        return poll(polled, 1 + loop->direct_count, timeout_ms);
}

int event_dispatch(struct event_loop *loop, int timeout_ms) {
        struct pollfd polled[1 + EVENT_DIRECT_MAX];
        unsigned int direct_count;
        int r;

        if (loop->busy_rounds > 0 && loop->busy_rounds < BUSY_ROUNDS_MAX) {
                r = handle_ready(loop);
                loop->busy_rounds = r > 0 ? loop->busy_rounds + 1 : 0;
                if (r != 0)
                        return r < 0 ? r : 0;
        }
        direct_count = loop->direct_count;
        if (wait_for_any(loop, polled, timeout_ms) < 0)
                return errno == EINTR ? 0 : -errno;
        loop->busy_rounds = polled[0].revents != 0;
        if (polled[0].revents) {
                r = handle_ready(loop);
                if (r < 0)
                        return r;
        }
        /* a handler may have removed it, and added another one in its place */
        for (unsigned int i = 0; i < direct_count; i++)
                if (polled[1 + i].revents && loop->direct[i] && loop->direct[i]->fd == polled[1 + i].fd)
                        loop->direct[i]->handle(loop->direct[i], (uint32_t)polled[1 + i].revents);
        return 0;
}
