/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "inspector.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fdpass.h"
#include "modgate/job.h"
#include "privilege.h"
#include "util/fd.h"
#include "util/log.h"

#define READ_CHUNK 4096U

/*
 * A string ends where its NUL is, and the page behind it may not be mapped: so it is read up to page boundaries.
 * Returns 0 or a positive errno.
 */
static int read_string(int memory, uint64_t address, char *buffer, struct job_answer *answer) {
        size_t length = 0;

        while (length <= MODULE_PARAMS_MAX) {
                uint64_t at = address + length;
                size_t want = READ_CHUNK - (size_t)(at % READ_CHUNK);
                ssize_t got;
                char *end;

                if (want > MODULE_PARAMS_MAX + 1 - length)
                        want = MODULE_PARAMS_MAX + 1 - length;
                got = pread(memory, buffer + length, want, (off_t)at);
                if (got <= 0)
                        return got < 0 ? errno : EFAULT;
                end = memchr(buffer + length, '\0', (size_t)got);
                if (end) {
                        answer->length = (uint32_t)(end - buffer);
                        answer->status = JOB_DONE;
                        return 0;
                }
                length += (size_t)got;
        }
        answer->status = JOB_TOO_LONG;
        return 0;
}

/* Returns whether to go on. */
static bool serve(int socket) {
        static char buffer[MODULE_PARAMS_MAX + 1];
        struct job job;
        struct job_answer answer = { 0 };
        _cleanup_fd_ int memory = -1;
        ssize_t length = fdpass_receive(socket, &job, sizeof(job), &memory, 0);

        if (length == -EINTR)
                return true;
        if (length != (ssize_t)sizeof(job) || job.type != JOB_READ_STRING || memory < 0)
                return false;
        answer.serial = job.serial;
        answer.error = read_string(memory, job.address, buffer, &answer);
        if (answer.error != 0)
                answer.status = JOB_REFUSED;
        return fdpass_send_dup_fd(socket, &answer, sizeof(answer), buffer, answer.length, -1, 0) == 0;
}

_Noreturn void inspector_run(int socket) {
        int r = privilege_keep(NULL, 0, false);

        if (r < 0) {
                errno = -r;
                log_error("an inspector cannot give up its privileges: %m");
                _exit(EXIT_FAILURE);
        }
        while (serve(socket))
                ;
        _exit(EXIT_SUCCESS);
}
