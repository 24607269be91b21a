/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "util/fd.h"
#include "util/memfd.h"

#define OVERFLOW_NAME "(others)"

static uint64_t now_ns(clockid_t clock) {
        struct timespec now;

        (void)clock_gettime(clock, &now);
        return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t journal_now_ns(void) {
        return now_ns(CLOCK_MONOTONIC);
}

uint64_t journal_boottime_ns(void) {
        return now_ns(CLOCK_BOOTTIME);
}

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int map(int fd, struct journal **ret_journal) {
        struct journal *journal =
                mmap(NULL, sizeof(*journal), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);

        if (journal == MAP_FAILED)
                return -errno;
        *ret_journal = journal;
        return 0;
}

static int map_locked(int fd, struct journal **ret_journal) {
        struct journal *journal = NULL;
        int r;

        if (ftruncate(fd, sizeof(*journal)) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0)
                return -errno;
        r = map(fd, &journal);
        if (r < 0)
                return r;
        /* Every page is written once: a hole would be allocated, and could fail, in the middle of a receive. */
        memset(journal, 0, sizeof(*journal));
        if (mlock(journal, sizeof(*journal)) < 0) {
                int error = -errno;

                (void)munmap(journal, sizeof(*journal));
                return error;
        }
        *ret_journal = journal;
        return 0;
}

int journal_create(struct journal **ret_journal, int *ret_fd) {
        struct seccomp_notif_sizes sizes;
        struct journal *journal = NULL;
        _cleanup_fd_ int fd = -1;
        int r;

        if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
                return -errno;
        if (sizes.seccomp_notif > JOURNAL_NOTIF_ROOM || sizes.seccomp_notif_resp > JOURNAL_NOTIF_ROOM)
                return -EOVERFLOW;
        fd = memfd_new("modgate-journal", MFD_ALLOW_SEALING);
        if (fd < 0)
                return fd;
        r = map_locked(fd, &journal);
        if (r < 0)
                return r;
        journal->header.started_ns = journal_now_ns();
        *ret_journal = journal;
        if (ret_fd)
                *ret_fd = fd_steal(&fd);
        return 0;
}

int journal_map(int fd, struct journal **ret_journal) {
        int seals = fcntl(fd, F_GET_SEALS);
        struct stat status;

        /* a file that is cut while it is mapped ends whoever reads it */
        if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &status) < 0 ||
            status.st_size != (off_t)sizeof(struct journal))
                return -EINVAL;
        return map(fd, ret_journal);
}

/* Names come from callers' paths, and go to terminals and into JSON. */
static void make_printable(const char *name, char printable[static MODULE_NAME_SIZE]) {
        size_t length = strnlen(name, MODULE_NAME_SIZE - 1);

        memset(printable, 0, MODULE_NAME_SIZE);
        for (size_t i = 0; i < length; i++)
                printable[i] = name[i] >= ' ' && name[i] <= '~' ? name[i] : '?';
}

/*
 * Half of all places stay free, so that the search ends soon. It ends with any content: the journal may be that of
 * another program.
 */
static uint16_t *place_of(struct journal *journal, const char printable[static MODULE_NAME_SIZE], bool indexed) {
        uint64_t first = XXH3_64bits_withSeed(printable, MODULE_NAME_SIZE, indexed);

        for (uint64_t i = first; i < first + JOURNAL_PLACES; i++) {
                uint16_t *place = &journal->places[i % JOURNAL_PLACES];
                const struct journal_module *module;

                if (*place == 0 || *place > JOURNAL_MODULES)
                        return place;
                module = &journal->modules[*place - 1];
                if (module->indexed == indexed && memcmp(module->name, printable, MODULE_NAME_SIZE) == 0)
                        return place;
        }
        return &journal->places[first % JOURNAL_PLACES];
}

static uint32_t add_module(struct journal *journal, uint32_t index, const char printable[static MODULE_NAME_SIZE],
                           bool indexed) {
        struct journal_module *module = &journal->modules[index];

        memcpy(module->name, printable, MODULE_NAME_SIZE);
        module->indexed = indexed;
        module->used = 1;
        return index;
}

uint32_t journal_module(struct journal *journal, const char *name, bool indexed) {
        const uint32_t others = JOURNAL_MODULES - 1;
        struct journal_header *header = &journal->header;
        char printable[MODULE_NAME_SIZE];
        uint16_t *place;

        make_printable(name, printable);
        place = place_of(journal, printable, indexed);
        if (*place > JOURNAL_MODULES)
                *place = 0;
        if (*place == 0 && header->modules >= others) {
                make_printable(OVERFLOW_NAME, printable);
                return add_module(journal, others, printable, false);
        }
        /* whoever dies in between leaves an entry that is found by its name, and counted then */
        if (*place == 0)
                *place = (uint16_t)(add_module(journal, header->modules, printable, indexed) + 1);
        if (*place > header->modules)
                header->modules = *place;
        return *place - 1U;
}

static void count_failure(struct journal_module *module, int error) {
        for (unsigned int i = 0; i < JOURNAL_ERRNOS; i++) {
                struct journal_errno *failure = &module->failures[i];

                if (failure->error != 0 && failure->error != error)
                        continue;
                failure->error = error;
                failure->count++;
                return;
        }
        module->other_failures++;
}

void journal_count_load(struct journal_module *module, int error, uint64_t duration_ns, uint64_t bytes) {
        module->loads++;
        module->load_ns += duration_ns;
        module->bytes_loaded += bytes;
        if (error == 0)
                module->loaded++;
        else
                count_failure(module, error);
}
