/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "call.h"
#include "journal.h"
#include "modgate/job.h"

#define PAGE 4096U

static int set_up(void **state) {
        struct journal *journal;
        int r = journal_create(&journal, NULL);

        if (r < 0) {
                print_message("no journal: %s\n", strerror(-r));
                return -1;
        }
        *state = journal;
        return 0;
}

static int tear_down(void **state) {
        return munmap(*state, sizeof(struct journal));
}

static void test_slots_do_not_cross_pages(void **state) {
        const struct journal *journal = *state;

        for (size_t i = 0; i < JOURNAL_REQUESTS; i++) {
                uintptr_t first = (uintptr_t)&journal->requests[i];

                assert_int_equal(first / PAGE, (first + sizeof(journal->requests[i]) - 1) / PAGE);
                assert_int_equal(first % _Alignof(struct journal_request), 0);
        }
        assert_int_equal((uintptr_t)&journal->requests[1] - (uintptr_t)&journal->requests[0], JOURNAL_SLOT_SIZE);
}

static void test_room_for_the_kernel(void **state) {
        const struct journal *journal = *state;

        /* what RECV writes must not reach our own fields */
        assert_true(offsetof(struct journal_request, order) >= JOURNAL_NOTIF_ROOM);
        assert_true(journal->header.started_ns <= journal_now_ns());
}

static void test_is_new(void **state) {
        static const unsigned char zeros[sizeof(struct journal) - sizeof(struct journal_header)];
        const struct journal *journal = *state;

        assert_memory_equal((const unsigned char *)journal + sizeof(journal->header), zeros, sizeof(zeros));
}

static void test_is_resident(void **state) {
        struct journal *journal = *state;
        static unsigned char resident[sizeof(struct journal) / PAGE + 1];

        assert_int_equal(mincore(journal, sizeof(*journal), resident), 0);
        for (size_t i = 0; i < (sizeof(*journal) + PAGE - 1) / PAGE; i++)
                assert_true(resident[i] & 1);
}

static void test_is_shared_with_forks(void **state) {
        struct journal *journal = *state;
        int status = -1;
        pid_t pid = fork();

        if (pid == 0) {
                journal->header.heartbeat = 42;
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_int_equal(journal->header.heartbeat, 42);
}

static void test_modules(void **state) {
        struct journal *journal = *state;
        uint32_t alpha = journal_module(journal, "alpha", true);
        uint32_t beta = journal_module(journal, "beta", true);
        uint32_t file = journal_module(journal, "alpha", false);

        assert_int_not_equal(alpha, beta);
        assert_int_not_equal(alpha, file); /* a file of that name is not the module */
        assert_int_equal(journal_module(journal, "alpha", true), alpha);
        assert_int_equal(journal_module(journal, "alpha", false), file);
        assert_string_equal(journal->modules[alpha].name, "alpha");
        assert_true(journal->modules[alpha].indexed);
        assert_false(journal->modules[file].indexed);
}

static void test_long_file_name_is_cut(void **state) {
        struct journal *journal = *state;
        char name[256];
        uint32_t i;

        memset(name, 'n', sizeof(name));
        name[sizeof(name) - 1] = '\0';
        i = journal_module(journal, name, false);
        assert_int_equal(strnlen(journal->modules[i].name, MODULE_NAME_SIZE), MODULE_NAME_SIZE - 1);
        assert_int_equal(journal_module(journal, name, false), i);
}

static void test_overflow_entry(void **state) {
        struct journal *journal = *state;
        char name[32];

        for (uint32_t i = 0; i < JOURNAL_MODULES - 1; i++) {
                (void)snprintf(name, sizeof(name), "module%u", i);
                assert_int_equal(journal_module(journal, name, true), i);
        }
        assert_int_equal(journal_module(journal, "one_too_many", true), JOURNAL_MODULES - 1);
        assert_int_equal(journal_module(journal, "another", false), JOURNAL_MODULES - 1);
        assert_int_equal(journal_module(journal, "module7", true), 7);
        assert_string_equal(journal->modules[JOURNAL_MODULES - 1].name, "(others)");
        for (uint32_t i = 0; i < JOURNAL_MODULES - 1; i++) {
                (void)snprintf(name, sizeof(name), "module%u", i);
                assert_int_equal(journal_module(journal, name, true), i);
        }
}

/* Every state in which a writer that is killed may leave an entry that was about to be the next one. */
static void check_half_written(struct journal *journal, bool has_name, bool has_place, const char *next) {
        const char *names[] = { "first", "half", "third" };
        uint32_t entries[3];

        assert_int_equal(journal_module(journal, names[0], true), 0);
        if (has_place)
                assert_int_equal(journal_module(journal, names[1], true), 1);
        else if (has_name)
                (void)snprintf(journal->modules[1].name, MODULE_NAME_SIZE, "%s", names[1]);
        if (!has_name)
                memset(&journal->modules[1], 0, sizeof(journal->modules[1]));
        journal->header.modules = 1;

        assert_int_equal(journal_module(journal, next, true), 1);
        assert_int_equal(journal->header.modules, 2);
        for (unsigned int again = 0; again < 2; again++)
                for (unsigned int i = 0; i < 3; i++)
                        entries[i] = journal_module(journal, names[i], true);
        for (unsigned int i = 0; i < 3; i++) {
                assert_true(entries[i] < 3);
                assert_string_equal(journal->modules[entries[i]].name, names[i]);
                assert_true(journal->modules[entries[i]].used && journal->modules[entries[i]].indexed);
        }
        assert_int_equal(journal->header.modules, 3);
        memset(journal->modules, 0, sizeof(journal->modules));
        memset(journal->places, 0, sizeof(journal->places));
        journal->header.modules = 0;
}

static void test_half_written(void **state) {
        static const char *const next[] = { "half", "third" };

        for (unsigned int i = 0; i < 2; i++) {
                check_half_written(*state, true, false, next[i]);
                check_half_written(*state, true, true, next[i]);
                check_half_written(*state, false, true, next[i]);
        }
}

static void test_count_loads(void **state) {
        struct journal *journal = *state;
        struct journal_module *module = &journal->modules[journal_module(journal, "alpha", true)];

        journal_count_load(module, 0, 10, 1000);
        journal_count_load(module, ENODEV, 20, 1000);
        journal_count_load(module, EBUSY, 30, 1000);
        journal_count_load(module, ENODEV, 40, 1000);
        assert_int_equal(module->loads, 4);
        assert_int_equal(module->loaded, 1);
        assert_int_equal(module->load_ns, 100);
        assert_int_equal(module->bytes_loaded, 4000);
        assert_int_equal(module->failures[0].error, ENODEV);
        assert_int_equal(module->failures[0].count, 2);
        assert_int_equal(module->failures[1].error, EBUSY);
        assert_int_equal(module->failures[1].count, 1);
        assert_int_equal(module->failures[2].error, 0);
        assert_int_equal(module->other_failures, 0);
}

static void test_count_many_errnos(void **state) {
        struct journal *journal = *state;
        struct journal_module *module = &journal->modules[journal_module(journal, "alpha", true)];
        uint64_t counted = 0;

        for (int error = 1; error <= (int)JOURNAL_ERRNOS + 3; error++)
                journal_count_load(module, error, 0, 0);
        journal_count_load(module, 1, 0, 0);
        for (size_t i = 0; i < JOURNAL_ERRNOS; i++)
                counted += module->failures[i].count;
        assert_int_equal(counted, JOURNAL_ERRNOS + 1);
        assert_int_equal(module->other_failures, 3);
        assert_int_equal(module->loads, JOURNAL_ERRNOS + 4);
}

static void add_load(struct journal *journal, uint32_t index, const char *name, uint64_t inode) {
        struct journal_load *load = &journal->loads[index];

        load->state = JOURNAL_LOAD_SENT;
        load->serial = index + 1;
        load->call = CALL_FINIT_MODULE;
        load->status = JOB_DONE;
        load->key.file.inode = inode;
        (void)snprintf(load->key.name, sizeof(load->key.name), "%s", name);
}

static void test_repair_leaves_sense_alone(void **state) {
        static struct journal before;
        struct journal *journal = *state;

        (void)journal_module(journal, "alpha", true);
        (void)journal_module(journal, "file", false);
        add_load(journal, 0, "alpha", 1);
        add_load(journal, 7, "beta", 2);
        add_load(journal, 8, "", 3);
        add_load(journal, 9, "", 4);
        journal->loads[7].state = JOURNAL_LOAD_DONE;
        journal->loads[7].error = 5000; /* an init may return anything */
        journal->header.load_serial = journal->header.order = 10;
        journal->requests[3].module = JOURNAL_MODULES;
        before = *journal;
        journal_repair(journal);
        assert_memory_equal(journal, &before, sizeof(before));
}

static void test_repair_loads(void **state) {
        struct journal *journal = *state;
        struct journal_load *load = journal->loads;

        for (uint32_t i = 0; i < 8; i++)
                add_load(journal, i, (char[]){ (char)('a' + i), '\0' }, i);
        load[0].call = CALL_UNKNOWN;
        load[1].module = JOURNAL_MODULES;
        memset(load[2].key.name, 'n', sizeof(load[2].key.name));
        (void)strcpy(load[3].key.name, "../d");
        load[4].key.name[5] = 'x';
        load[6].key.name[0] = 'f'; /* as 5 */
        load[7].state = JOURNAL_LOAD_DONE;
        load[7].error = -1;
        journal_repair(journal);
        for (uint32_t i = 0; i < 5; i++)
                assert_int_equal(load[i].state, JOURNAL_LOAD_FREE);
        assert_int_equal(load[5].state, JOURNAL_LOAD_SENT);
        assert_int_equal(load[6].state, JOURNAL_LOAD_FREE);
        assert_int_equal(load[7].state, JOURNAL_LOAD_SENT);
        assert_int_equal(journal->header.load_serial, 8);
}

static void test_repair_modules(void **state) {
        struct journal *journal = *state;
        char name[MODULE_NAME_SIZE];

        (void)journal_module(journal, "alpha", true);
        memset(journal->places, 0xff, sizeof(journal->places));
        memset(journal->modules[1].name, '\n', MODULE_NAME_SIZE);
        journal->modules[1].used = 7;
        journal->requests[0].notif.id = 1;
        journal->requests[0].order = 5;
        journal->requests[0].module = JOURNAL_MODULES + 1;
        journal_module_name(&journal->modules[1], name);
        assert_int_equal(strnlen(name, sizeof(name)), MODULE_NAME_SIZE - 1);
        assert_int_equal(name[0], '?');
        journal_repair(journal);
        assert_int_equal(journal_module(journal, "alpha", true), 0);
        assert_int_equal(journal_module(journal, "beta", true), 2);
        assert_int_equal(journal->header.modules, 3);
        assert_int_equal(journal->requests[0].module, 0);
        assert_int_equal(journal->header.order, 5);
}

#define WITH_JOURNAL(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* As the daemon gets it: what one side writes, the other one sees, and neither can cut it. */
static void test_maps(void **state) {
        struct journal *journal, *other;
        int fd;

        (void)state;
        assert_int_equal(journal_create(&journal, &fd), 0);
        assert_int_equal(journal_map(fd, &other), 0);
        journal->header.order = 7;
        assert_true(other->header.order == 7);
        assert_int_equal(ftruncate(fd, 0), -1);
        assert_int_equal(ftruncate(fd, 2 * (off_t)sizeof(*journal)), -1);
        assert_int_equal(munmap(other, sizeof(*other)), 0);
        assert_int_equal(munmap(journal, sizeof(*journal)), 0);
        assert_int_equal(close(fd), 0);
}

static void test_maps_nothing_else(void **state) {
        struct journal *journal;
        int fd = memfd_create("no-journal", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        (void)state;
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, (off_t)sizeof(*journal)), 0);
        assert_int_equal(journal_map(fd, &journal), -EINVAL); /* not sealed */
        assert_int_equal(ftruncate(fd, (off_t)sizeof(*journal) - 4096), 0);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
        assert_int_equal(journal_map(fd, &journal), -EINVAL); /* too short */
        assert_int_equal(close(fd), 0);
        assert_int_equal(journal_map(-1, &journal), -EINVAL);
}

/* Whatever stands in it: names are found a place within. */
static void test_any_content(void **state) {
        struct journal *journal = *state;
        char name[16];

        memset(journal->places, 0xff, sizeof(journal->places));
        memset(journal->modules, 0xff, sizeof(journal->modules));
        journal->header.modules = UINT32_MAX;
        for (unsigned int i = 0; i < 2 * JOURNAL_MODULES; i++) {
                (void)snprintf(name, sizeof(name), "module%u", i);
                assert_true(journal_module(journal, name, true) < JOURNAL_MODULES);
        }
        /* full of others */
        for (unsigned int i = 0; i < JOURNAL_PLACES; i++)
                journal->places[i] = (uint16_t)(1 + i % JOURNAL_MODULES);
        journal->header.modules = 0;
        assert_true(journal_module(journal, "another", true) < JOURNAL_MODULES);
}

int main(void) {
        struct journal *journal;
        const struct CMUnitTest tests[] = {
                WITH_JOURNAL(test_slots_do_not_cross_pages),
                WITH_JOURNAL(test_room_for_the_kernel),
                WITH_JOURNAL(test_is_new),
                WITH_JOURNAL(test_is_resident),
                WITH_JOURNAL(test_is_shared_with_forks),
                WITH_JOURNAL(test_modules),
                WITH_JOURNAL(test_long_file_name_is_cut),
                WITH_JOURNAL(test_overflow_entry),
                WITH_JOURNAL(test_half_written),
                WITH_JOURNAL(test_count_loads),
                WITH_JOURNAL(test_count_many_errnos),
                WITH_JOURNAL(test_repair_leaves_sense_alone),
                WITH_JOURNAL(test_repair_loads),
                WITH_JOURNAL(test_repair_modules),
                WITH_JOURNAL(test_any_content),
                cmocka_unit_test(test_maps),
                cmocka_unit_test(test_maps_nothing_else),
        };

        /* valgrind does not know seccomp(2) */
        if (journal_create(&journal, NULL) == -ENOSYS)
                return 77;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
