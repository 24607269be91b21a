/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/fd.h"

#define FIRST_SOCKET 3

void service_tell(const char *state) {
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        /* a word that is lost is missed for ever, if it is that we are ready; the manager may have much to do */
        static const struct timeval patience = { .tv_sec = 2 };
        size_t length = path ? strlen(path) : 0;
        _cleanup_fd_ int fd = -1;

        if (length < 2 || length >= sizeof(address.sun_path))
                return;
        memcpy(address.sun_path, path, length);
        if (path[0] == '@')
                address.sun_path[0] = '\0';
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return;
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        while (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0 &&
               errno == EINTR)
                ;
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

int service_take_socket(void) {
        bool one = is_for_us("LISTEN_PID") && number("LISTEN_FDS") == 1;

        (void)unsetenv("LISTEN_PID");
        (void)unsetenv("LISTEN_FDS");
        (void)unsetenv("LISTEN_FDNAMES");
        /* whose connection is gone by the time of accept(2) must not be waited for */
        return one && fcntl(FIRST_SOCKET, F_SETFD, FD_CLOEXEC) == 0 && fcntl(FIRST_SOCKET, F_SETFL, O_NONBLOCK) == 0
                       ? FIRST_SOCKET
                       : -1;
}

uint64_t service_watchdog_ns(void) {
        return !getenv("WATCHDOG_PID") || is_for_us("WATCHDOG_PID") ? number("WATCHDOG_USEC") * 1000U : 0;
}
