/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "inspector.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "fdpass.h"
#include "modgate/job.h"
#include "module/elf.h"
#include "privilege.h"
#include "step.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/memfd.h"

#define READ_CHUNK 4096U
#define HASH_CHUNK (64U << 10)

/* Section tables of large modules have some 4 KiB. */
#define WINDOW_SIZE (4 * READ_CHUNK)

/* One read of a caller's memory goes on to its end, whatever signal comes: so it is not for a whole image. */
#define COPY_CHUNK (1U << 20)

/* What an answer brings besides itself. */
struct findings {
        struct job_answer answer;
        char bytes[MODULE_PARAMS_MAX + 1];
        int fd; /* owned; -1: none */
};

/*
 * A string ends where its NUL is, and the page behind it may not be mapped: so it is read up to page boundaries.
 * Returns 0 or a positive errno.
 */
static int read_string(int memory, const struct job *job, struct findings *findings) {
        size_t length = 0;

        while (length <= MODULE_PARAMS_MAX) {
                uint64_t at = job->address + length;
                size_t want = READ_CHUNK - (size_t)(at % READ_CHUNK);
                ssize_t got;
                char *end;

                if (want > MODULE_PARAMS_MAX + 1 - length)
                        want = MODULE_PARAMS_MAX + 1 - length;
                got = pread(memory, findings->bytes + length, want, (off_t)at);
                if (got <= 0)
                        return got < 0 ? errno : EFAULT;
                end = memchr(findings->bytes + length, '\0', (size_t)got);
                if (end) {
                        findings->answer.length = (uint32_t)(end - findings->bytes);
                        return 0;
                }
                length += (size_t)got;
        }
        findings->answer.status = JOB_TOO_LONG;
        return 0;
}

struct foreign {
        int memory;
        uint64_t address;
};

static int read_foreign(void *context, uint64_t offset, void *buffer, size_t size) {
        const struct foreign *foreign = context;

        while (size > 0) {
                size_t want = size < COPY_CHUNK ? size : COPY_CHUNK;
                ssize_t got = pread(foreign->memory, buffer, want, (off_t)(foreign->address + offset));

                if (got <= 0)
                        return got < 0 ? -errno : -EFAULT;
                buffer = (char *)buffer + got;
                offset += (uint64_t)got;
                size -= (size_t)got;
        }
        return 0;
}

/* The pages of an image that were read last: its headers are small, and some of them lie side by side. */
struct window {
        struct foreign foreign;
        uint64_t image_length;
        uint64_t offset, length; /* of what is in it, in the image */
        unsigned char bytes[WINDOW_SIZE];
};

/* Reads the pages that were asked for, as far as they belong to the image, and no others: they may not be mapped. */
static int fill(struct window *window, uint64_t offset, size_t size) {
        uint64_t before = (window->foreign.address + offset) % READ_CHUNK;
        uint64_t start = offset - (before < offset ? before : offset);
        uint64_t end = offset + size, rest = (window->foreign.address + end) % READ_CHUNK;
        int r;

        if (rest != 0)
                end += READ_CHUNK - rest;
        if (end > window->image_length)
                end = window->image_length;
        window->length = 0;
        r = read_foreign(&window->foreign, start, window->bytes, end - start);
        if (r < 0)
                return r;
        window->offset = start;
        window->length = end - start;
        return 0;
}

static int read_through_window(void *context, uint64_t offset, void *buffer, size_t size) {
        struct window *window = context;
        int r = 0;

        /* with the rests of its first and last page it may have no room */
        if (size > WINDOW_SIZE - 2 * READ_CHUNK)
                return read_foreign(&window->foreign, offset, buffer, size);
        if (offset < window->offset || offset + size > window->offset + window->length)
                r = fill(window, offset, size);
        if (r < 0)
                return r;
        memcpy(buffer, window->bytes + (offset - window->offset), size);
        return 0;
}

static int read_name(int memory, const struct job *job, struct findings *findings) {
        static struct window window;
        const struct module_image image = { .length = job->image_length,
                                            .read = read_through_window,
                                            .context = &window };
        char name[MODULE_NAME_SIZE];
        int r;

        window.foreign = (struct foreign){ .memory = memory, .address = job->address };
        window.image_length = job->image_length;
        window.length = 0;
        r = module_elf_name(&image, name);
        if (r < 0)
                return -r;
        findings->answer.length = (uint32_t)strlen(name);
        memcpy(findings->bytes, name, sizeof(name));
        return 0;
}

static void set_hash(XXH128_hash_t hash, struct findings *findings) {
        findings->answer.image_hash[0] = hash.low64;
        findings->answer.image_hash[1] = hash.high64;
}

/* Hashed as it was copied: the caller may change its own memory meanwhile. */
static int copy_into(int memfd, int memory, const struct job *job, struct findings *findings) {
        struct foreign foreign = { .memory = memory, .address = job->address };
        void *image;
        int r;

        if (ftruncate(memfd, (off_t)job->image_length) < 0)
                return errno;
        image = mmap(NULL, job->image_length, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
        if (image == MAP_FAILED)
                return errno;
        r = -read_foreign(&foreign, 0, image, job->image_length);
        if (r == 0)
                set_hash(XXH3_128bits(image, job->image_length), findings);
        (void)munmap(image, job->image_length);
        return r;
}

static int copy_image(int memory, const struct job *job, struct findings *findings) {
        _cleanup_fd_ int memfd = memfd_new("modgate-image", MFD_ALLOW_SEALING);
        int r = memfd < 0 ? -memfd : copy_into(memfd, memory, job, findings);

        if (r != 0)
                return r;
        if (fcntl(memfd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                return errno;
        findings->fd = fd_steal(&memfd);
        return 0;
}

/* Piece by piece: there may be many to compare, and copies of them all would be what we are here to avoid. */
static int hash_image(int memory, const struct job *job, struct findings *findings) {
        struct foreign foreign = { .memory = memory, .address = job->address };
        static unsigned char chunk[HASH_CHUNK];
        static XXH3_state_t state;
        uint64_t size;

        (void)XXH3_128bits_reset(&state);
        for (uint64_t offset = 0; offset < job->image_length; offset += size) {
                int r;

                size = job->image_length - offset < sizeof(chunk) ? job->image_length - offset : sizeof(chunk);
                r = read_foreign(&foreign, offset, chunk, size);
                if (r < 0)
                        return -r;
                (void)XXH3_128bits_update(&state, chunk, size);
        }
        set_hash(XXH3_128bits_digest(&state), findings);
        return 0;
}

static int inspect(int memory, const struct job *job, struct findings *findings) {
        switch (job->type) {
        case JOB_READ_STRING:
                return read_string(memory, job, findings);
        case JOB_READ_NAME:
                return read_name(memory, job, findings);
        case JOB_COPY_IMAGE:
                return copy_image(memory, job, findings);
        case JOB_HASH_IMAGE:
                return hash_image(memory, job, findings);
        default:
                return EPROTO;
        }
}

/* Returns whether to go on. */
static bool serve(int socket) {
        static struct findings findings;
        struct job job;
        _cleanup_fd_ int memory = -1;
        ssize_t length = fdpass_receive(socket, &job, sizeof(job), &memory, 0);
        int r;

        if (length == -EINTR)
                return true;
        if (length != (ssize_t)sizeof(job) || memory < 0)
                return false;
        findings.answer = (struct job_answer){ .status = JOB_DONE, .serial = job.serial };
        findings.fd = -1;
        STEP(INSPECTING);
        findings.answer.error = inspect(memory, &job, &findings);
        STEP(FOUND);
        if (findings.answer.error != 0)
                findings.answer.status = JOB_REFUSED;
        r = fdpass_send_dup_fd(socket, &findings.answer, sizeof(findings.answer), findings.bytes,
                               findings.answer.length, findings.fd, 0);
        findings.fd = fd_close(findings.fd);
        return r == 0;
}

_Noreturn void inspector_run(int socket, const struct confinement *confinement) {
        int r = privilege_keep(NULL, 0, false);

        if (r == 0)
                r = confinement_enter(confinement, CONFINED_INSPECTOR);
        if (r < 0) {
                errno = -r;
                log_error("an inspector cannot give up its privileges: %m");
                _exit(EXIT_FAILURE);
        }
        while (serve(socket))
                ;
        _exit(EXIT_SUCCESS);
}
