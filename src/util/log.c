/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A write of this many bytes to a pipe that is ready is taken whole: it does not block. */
#define LINE_SIZE ((size_t)PIPE_BUF)

static enum log_level log_max_level = LOG_LEVEL_NOTICE;
static bool stderr_is_socket;
static bool stderr_is_journal;

static enum log_level level_from_environment(void) {
        static const struct {
                const char *name;
                enum log_level level;
        } levels[] = {
                { "error", LOG_LEVEL_ERROR }, { "warning", LOG_LEVEL_WARNING }, { "notice", LOG_LEVEL_NOTICE },
                { "info", LOG_LEVEL_INFO },   { "debug", LOG_LEVEL_DEBUG },
        };
        const char *name = getenv("MODGATE_LOG");

        for (size_t i = 0; name && i < sizeof(levels) / sizeof(levels[0]); i++)
                if (strcmp(name, levels[i].name) == 0)
                        return levels[i].level;

        return LOG_LEVEL_NOTICE;
}

/* JOURNAL_STREAM is inherited also by processes whose stderr was since led elsewhere: it names device and inode. */
static bool is_journal_stream(const struct stat *status) {
        const char *stream = getenv("JOURNAL_STREAM");
        uintmax_t device, inode;
        char end;

        return stream && sscanf(stream, "%" SCNuMAX ":%" SCNuMAX "%c", &device, &inode, &end) == 2 &&
               device == status->st_dev && inode == status->st_ino;
}

void log_init(void) {
        struct stat status;
        int saved_errno = errno;

        log_max_level = level_from_environment();
        stderr_is_socket = false;
        stderr_is_journal = false;

        if (fstat(STDERR_FILENO, &status) == 0) {
                stderr_is_socket = S_ISSOCK(status.st_mode);
                stderr_is_journal = is_journal_stream(&status);
        }

        errno = saved_errno;
}

static bool opened_again;

void log_open_again(void) {
        struct stat status;
        int fd;

        if (fstat(STDERR_FILENO, &status) < 0 || (!S_ISFIFO(status.st_mode) && !isatty(STDERR_FILENO)))
                return;
        fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
                return;
        opened_again = dup2(fd, STDERR_FILENO) >= 0;
        (void)close(fd);
}

void log_let_block(void) {
        if (opened_again)
                (void)fcntl(STDERR_FILENO, F_SETFL, fcntl(STDERR_FILENO, F_GETFL) & ~O_NONBLOCK);
}

/*
 * Writes with SIGPIPE held back, since its disposition is COMMAND's to inherit and cannot be changed here. One that
 * this write raised is taken away again: a pending signal would outlive exec.
 */
static void write_without_sigpipe(const char *line, size_t length) {
        static const struct timespec at_once = { 0 };
        sigset_t sigpipe, old, pending;

        (void)sigemptyset(&sigpipe);
        (void)sigaddset(&sigpipe, SIGPIPE);
        (void)sigprocmask(SIG_BLOCK, &sigpipe, &old);
        (void)sigpending(&pending);

        if (write(STDERR_FILENO, line, length) < 0 && errno == EPIPE && !sigismember(&pending, SIGPIPE))
                (void)sigtimedwait(&sigpipe, NULL, &at_once);

        (void)sigprocmask(SIG_SETMASK, &old, NULL);
}

static void emit(const char *line, size_t length) {
        struct pollfd ready = { .fd = STDERR_FILENO, .events = POLLOUT };

        if (stderr_is_socket)
                (void)send(STDERR_FILENO, line, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        else if (poll(&ready, 1, 0) == 1 && (ready.revents & (POLLOUT | POLLERR | POLLNVAL)) == POLLOUT)
                write_without_sigpipe(line, length);
}

/* Names in messages come from outside: no line break in one makes a second line, no escape reaches a terminal. */
static void defuse(char *text) {
        for (; *text; text++)
                if ((unsigned char)*text < 0x20 || *text == 0x7f)
                        *text = '?';
}

void log_write(enum log_level level, const char *format, ...) {
        char line[LINE_SIZE];
        int saved_errno = errno;
        size_t start = 0, length;
        va_list arguments;

        if (level > log_max_level)
                return;

        if (stderr_is_journal)
                start = (size_t)snprintf(line, sizeof(line), "<%d>", (int)level);
        start += (size_t)snprintf(line + start, sizeof(line) - start, "modgate: ");

        va_start(arguments, format);
        (void)vsnprintf(line + start, sizeof(line) - start, format, arguments);
        va_end(arguments);

        defuse(line + start);
        length = strlen(line);
        line[length++] = '\n'; /* takes the place of the NUL, also where the text was cut */

        emit(line, length);
        errno = saved_errno;
}
