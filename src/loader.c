/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fdpass.h"
#include "journal.h"
#include "modgate/job.h"
#include "privilege.h"
#include "step.h"
#include "util/fd.h"
#include "util/log.h"

/*
 * The descriptor that arrives is an O_PATH one: whoever sent it must not wait for a file, and we may. O_NONBLOCK is for
 * a FIFO that took the file's place; finit_module wants a description that was opened for reading.
 */
static int open_file(int path_fd) {
        char path[32];
        struct stat status;
        int fd;

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
                fd_close(fd);
                return -EINVAL;
        }
        return fd;
}

static void perform_finit(const struct kernel_interface *kernel, const struct job *job, const char *params, int path_fd,
                          struct job_answer *answer) {
        _cleanup_fd_ int fd = open_file(path_fd);
        uint64_t start;

        if (fd < 0) {
                answer->status = JOB_REFUSED;
                answer->error = -fd;
                return;
        }
        start = journal_now_ns();
        answer->error = -kernel->finit_module(fd, params, (int)job->flags);
        answer->duration_ns = journal_now_ns() - start;
}

/* What is mapped here is what was inspected, and no file of anybody's: nobody can change it any more. */
static bool is_sealed(int memfd, uint64_t length) {
        const int wanted = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
        int seals = fcntl(memfd, F_GET_SEALS);
        struct stat status;

        return seals >= 0 && (seals & wanted) == wanted && fstat(memfd, &status) == 0 &&
               (uint64_t)status.st_size == length;
}

static void perform_init(const struct kernel_interface *kernel, const struct job *job, const char *params, int memfd,
                         struct job_answer *answer) {
        void *image = MAP_FAILED;
        uint64_t start;

        if (is_sealed(memfd, job->image_length))
                image = mmap(NULL, job->image_length, PROT_READ, MAP_PRIVATE, memfd, 0);
        if (image == MAP_FAILED) {
                answer->status = JOB_REFUSED;
                answer->error = EINVAL;
                return;
        }
        start = journal_now_ns();
        answer->error = -kernel->init_module(image, job->image_length, params);
        answer->duration_ns = journal_now_ns() - start;
        (void)munmap(image, job->image_length);
}

/* Returns whether to go on. */
static bool serve(int socket, const struct kernel_interface *kernel) {
        static union {
                struct job job;
                char bytes[JOB_MESSAGE_MAX + 1]; /* the parameters get their NUL */
        } message;
        struct job_answer answer = { .status = JOB_DONE };
        _cleanup_fd_ int fd = -1;
        ssize_t length = fdpass_receive(socket, &message, JOB_MESSAGE_MAX, &fd, 0);

        if (length == -EINTR)
                return true;
        if (length < (ssize_t)sizeof(message.job) || (size_t)length != sizeof(message.job) + message.job.params_length)
                return false;
        answer.serial = message.job.serial;
        message.bytes[length] = '\0';
        STEP(JOB_TAKEN);
        if (message.job.type == JOB_FINIT && fd >= 0)
                perform_finit(kernel, &message.job, message.bytes + sizeof(message.job), fd, &answer);
        else if (message.job.type == JOB_INIT && fd >= 0)
                perform_init(kernel, &message.job, message.bytes + sizeof(message.job), fd, &answer);
        else
                return false;
        STEP(LOAD_PERFORMED);
        if (fdpass_send_dup_fd(socket, &answer, sizeof(answer), NULL, 0, -1, 0) < 0)
                return false;
        STEP(RESULT_SENT);
        return true;
}

_Noreturn void loader_run(int socket, const struct kernel_interface *kernel, const struct confinement *confinement) {
        static const cap_value_t keep[] = { CAP_SYS_MODULE };
        int r = privilege_keep(keep, 1, true);

        if (r == 0)
                r = confinement_enter(confinement, CONFINED_LOADER);
        if (r < 0) {
                errno = -r;
                log_error("a loader cannot give up its privileges: %m");
                _exit(EXIT_FAILURE);
        }
        while (serve(socket, kernel))
                ;
        _exit(EXIT_SUCCESS);
}
