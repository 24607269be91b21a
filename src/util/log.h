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

/* Reads MODGATE_LOG (error, warning, notice, info, debug; default notice) and looks at what stderr is. */
void log_init(void);

/* Writes `modgate: ` and the text as one line. `format` has no newline at its end. Keeps errno. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
