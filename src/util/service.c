/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/fd.h"

#define FIRST_SOCKET 3

/* The address of the service manager, and its length; 0: there is none. */
static socklen_t manager(struct sockaddr_un *address) {
        const char *path = getenv("NOTIFY_SOCKET");
        size_t length = path ? strlen(path) : 0;

        *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
        if (length < 2 || length >= sizeof(address->sun_path))
                return 0;
        memcpy(address->sun_path, path, length);
        if (path[0] == '@')
                address->sun_path[0] = '\0';
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

/* Returns 0 or negative errno. */
static int tell(const char *state, const int *fds, unsigned int count, int flags) {
        /* a word that is lost is missed for ever, if it is that we are ready; the manager may have much to do */
        static const struct timeval patience = { .tv_sec = 2 };
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int) * SERVICE_KEPT_MAX)];
        } control = { .room = { 0 } };
        struct sockaddr_un address;
        struct iovec text = { .iov_base = (char *)state, .iov_len = strlen(state) };
        struct msghdr message = { .msg_name = &address, .msg_iov = &text, .msg_iovlen = 1 };
        _cleanup_fd_ int fd = -1;

        message.msg_namelen = manager(&address);
        if (message.msg_namelen == 0)
                return -ENOTCONN;
        if (count > 0) {
                message.msg_control = &control;
                message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
                control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int) * count),
                                                   .cmsg_level = SOL_SOCKET,
                                                   .cmsg_type = SCM_RIGHTS };
                memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * count);
        }
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        while (sendmsg(fd, &message, MSG_NOSIGNAL | flags) < 0)
                if (errno != EINTR)
                        return -errno;
        return 0;
}

void service_tell(const char *state) {
        (void)tell(state, NULL, 0, 0);
}

int service_keep_fds(const char *name, const int *fds, unsigned int count, bool until_hangup) {
        char state[SERVICE_NAME_SIZE + 32];

        (void)snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s%s", name, until_hangup ? "" : "\nFDPOLL=0");
        return tell(state, fds, count, MSG_DONTWAIT);
}

void service_forget_fds(const char *name) {
        char state[SERVICE_NAME_SIZE + 32];

        (void)snprintf(state, sizeof(state), "FDSTOREREMOVE=1\nFDNAME=%s", name);
        (void)tell(state, NULL, 0, 0);
}

/* A number in the environment, or 0. */
static unsigned long long number(const char *name) {
        const char *text = getenv(name);
        char *end;
        unsigned long long value;

        if (!text || text[0] < '0' || text[0] > '9')
                return 0;
        errno = 0;
        value = strtoull(text, &end, 10);
        return errno == 0 && *end == '\0' ? value : 0;
}

static bool is_for_us(const char *name) {
        return number(name) == (unsigned long long)getpid();
}

static void forget_listen(void) {
        (void)unsetenv("LISTEN_PID");
        (void)unsetenv("LISTEN_FDS");
        (void)unsetenv("LISTEN_FDNAMES");
}

int service_take_socket(void) {
        bool one = is_for_us("LISTEN_PID") && number("LISTEN_FDS") == 1;

        forget_listen();
        /* whose connection is gone by the time of accept(2) must not be waited for */
        return one && fcntl(FIRST_SOCKET, F_SETFD, FD_CLOEXEC) == 0 && fcntl(FIRST_SOCKET, F_SETFL, O_NONBLOCK) == 0
                       ? FIRST_SOCKET
                       : -1;
}

/* Each has a name, with colons between them: sd_listen_fds_with_names(3). */
void service_take_fds(void (*take)(int fd, const char *name, void *context), void *context) {
        unsigned long long count = is_for_us("LISTEN_PID") ? number("LISTEN_FDS") : 0;
        const char *names = getenv("LISTEN_FDNAMES");
        char *copy = strdup(names ? names : ""), *rest = copy;

        forget_listen();
        for (int fd = FIRST_SOCKET; copy && fd < FIRST_SOCKET + (int)count; fd++) {
                const char *name = rest ? strsep(&rest, ":") : "";

                if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
                        take(fd, name, context);
        }
        free(copy);
}

uint64_t service_watchdog_ns(void) {
        return !getenv("WATCHDOG_PID") || is_for_us("WATCHDOG_PID") ? number("WATCHDOG_USEC") * 1000U : 0;
}
