/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One line a fact, on stderr; with a journal priority in front where stderr is the journal (JOURNAL_STREAM).
 *
 * Never blocks: a line that stderr does not take at once (a stuck terminal, a full pipe) is dropped, since the
 * supervisor must not wait for whoever reads its log.
 */

enum log_level {
        LOG_LEVEL_ERROR = 3,
        LOG_LEVEL_WARNING = 4,
        LOG_LEVEL_NOTICE = 5,
        LOG_LEVEL_INFO = 6,
        LOG_LEVEL_DEBUG = 7,
};

/*
 * For processes of our own: a pipe or terminal on stderr is opened once more, so that it does not block here, whatever
 * else is written to it at the same time, and still does where others have it open. Stays as it is if that is refused.
 */
void log_open_again(void);

/* Text that has to be complete follows: what log_open_again() has opened may block again. */
void log_let_block(void);

/* Reads MODGATE_LOG (error, warning, notice, info, debug; default notice) and looks at what stderr is. */
void log_init(void);

/* Writes `modgate: ` and the text as one line. `format` has no newline at its end. Keeps errno. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
