/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/event.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

#include "util/fd.h"

/* So many rounds in a row may go by without a look at the direct source. */
#define BUSY_ROUNDS_MAX 16U

int event_loop_init(struct event_loop *loop) {
        int fd = epoll_create1(EPOLL_CLOEXEC);

        if (fd < 0)
                return -errno;
        loop->epoll_fd = fd;
        loop->direct = NULL;
        loop->busy_rounds = 0;
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

void event_add_direct(struct event_loop *loop, struct event_source *source) {
        loop->direct = source;
        source->watched = true;
}

void event_listen(struct event_loop *loop) {
        loop->busy_rounds = 0;
}

void event_remove(struct event_loop *loop, struct event_source *source) {
        if (!source->watched)
                return;
        if (source == loop->direct)
                loop->direct = NULL;
        else
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

int event_dispatch(struct event_loop *loop, int timeout_ms) {
        struct pollfd polled[] = {
                { .fd = loop->epoll_fd, .events = POLLIN },
                { .fd = loop->direct ? loop->direct->fd : -1, .events = POLLIN },
        };
        int r;

        if (loop->busy_rounds > 0 && loop->busy_rounds < BUSY_ROUNDS_MAX) {
                r = handle_ready(loop);
                loop->busy_rounds = r > 0 ? loop->busy_rounds + 1 : 0;
                if (r != 0)
                        return r < 0 ? r : 0;
        }
        if (poll(polled, 2, timeout_ms) < 0)
                return errno == EINTR ? 0 : -errno;
        loop->busy_rounds = polled[0].revents != 0;
        if (polled[0].revents) {
                r = handle_ready(loop);
                if (r < 0)
                        return r;
        }
        if (loop->direct && polled[1].revents)
                loop->direct->handle(loop->direct, (uint32_t)polled[1].revents);
        return 0;
}
