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

#include "call.h"
#include "modgate/job.h"
#include "module/identity.h"
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

void journal_module_name(const struct journal_module *module, char name[static MODULE_NAME_SIZE]) {
        make_printable(module->name, name);
}

/* Two entries of one name leave one that is not found, but reported. */
static void repair_modules(struct journal *journal) {
        struct journal_header *header = &journal->header;

        memset(journal->places, 0, sizeof(journal->places));
        header->modules = 0;
        for (uint32_t i = 0; i < JOURNAL_MODULES - 1 && journal->modules[i].used; i++) {
                struct journal_module *module = &journal->modules[i];

                module->name[MODULE_NAME_SIZE - 1] = '\0';
                module->indexed = module->indexed != 0;
                *place_of(journal, module->name, module->indexed) = (uint16_t)(i + 1);
                header->modules = i + 1;
        }
        journal->modules[JOURNAL_MODULES - 1].name[MODULE_NAME_SIZE - 1] = '\0';
}

static void repair_requests(struct journal *journal) {
        for (uint32_t i = 0; i < JOURNAL_REQUESTS; i++) {
                struct journal_request *request = &journal->requests[i];

                if (request->module > JOURNAL_MODULES)
                        request->module = 0;
                if (request->notif.id != 0 && request->order > journal->header.order)
                        journal->header.order = request->order;
        }
}

static bool load_makes_sense(const struct journal_load *load) {
        static const char zeros[MODULE_NAME_SIZE];
        const char *name = load->key.name;
        size_t length = strnlen(name, MODULE_NAME_SIZE);

        return load->module < JOURNAL_MODULES && (load->call == CALL_INIT_MODULE || load->call == CALL_FINIT_MODULE) &&
               (length == 0 || module_name_is_plain(name, length)) &&
               memcmp(name + length, zeros, MODULE_NAME_SIZE - length) == 0;
}

/* What is in flight once is in flight: who would be the second of its name has to find that out for itself. */
static bool is_second(const struct journal *journal, uint32_t index) {
        const struct journal_load *load = &journal->loads[index];

        for (uint32_t i = 0; i < index; i++) {
                const struct journal_load *other = &journal->loads[i];

                if (other->state != JOURNAL_LOAD_FREE &&
                    (module_key_same_name(&other->key, &load->key) || module_key_equal(&other->key, &load->key)))
                        return true;
        }
        return false;
}

static void repair_loads(struct journal *journal) {
        for (uint32_t i = 0; i < JOURNAL_LOADS; i++) {
                struct journal_load *load = &journal->loads[i];

                if (load->state == JOURNAL_LOAD_FREE)
                        continue;
                if (load->serial > journal->header.load_serial)
                        journal->header.load_serial = load->serial;
                if (!load_makes_sense(load) || is_second(journal, i)) {
                        load->state = JOURNAL_LOAD_FREE;
                } else if (load->state != JOURNAL_LOAD_DONE || !job_result_makes_sense(load->status, load->error)) {
                        /* no result: what its loader says counts, or else the state of the module */
                        load->state = JOURNAL_LOAD_SENT;
                }
        }
}

void journal_repair(struct journal *journal) {
        repair_modules(journal);
        repair_requests(journal);
        repair_loads(journal);
}
