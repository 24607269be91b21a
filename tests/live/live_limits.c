/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Limits that are met: descriptors, processes, memory, room on a disk. Real ones, but for processes that cannot be
 * forked where that is to last (see faults.h). Whatever is missing, callers are answered rightly.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faults.h"
#include "fdpass.h"
#include "modgate/job.h"
#include "scripted_images.h"
#include "scripted_private.h"

/* Both results: [0] of finit_module, [1] of init_module. */
static void prepare_bare(struct scripted *kit) {
        scripted_prepare_bare_image(kit);
        kit->bare[1] = kit->bare[0];
        scripted_prepare_bare(kit);
}

/* How many ended with `error`, or as without us; all have to. */
static unsigned int count_right(struct scripted *kit, const struct scripted_call *calls, unsigned int count,
                                int error) {
        unsigned int bare = scripted_count(calls, count, kit->bare[calls->image]);
        unsigned int right = scripted_count(calls, count, error);

        CHECK_EQUAL(right + bare, count);
        return right;
}

static struct scripted_call *start_together(struct scripted *kit, unsigned int count, struct scripted_call like,
                                            unsigned int threads) {
        struct scripted_call *calls = scripted_calls(kit, count, like);

        scripted_start(kit, calls, count, threads);
        return calls;
}

/* Descriptors */

static void limit_descriptors(pid_t pid, rlim_t soft) {
        struct rlimit limit;

        CHECK_EQUAL(prlimit(pid, RLIMIT_NOFILE, NULL, &limit), 0);
        limit.rlim_cur = soft;
        CHECK_EQUAL(prlimit(pid, RLIMIT_NOFILE, &limit, NULL), 0);
}

/* As many callers as udevd has at most, each with its memory open, where the soft limit is the usual one. */
static void prepare_soft_limit(struct scripted *kit) {
        (void)kit;
        limit_descriptors(0, 1024);
}

static void test_many_parked(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls;

        alpha->hold = 1;
        calls = start_together(kit, 2048, scripted_image_call(kit, alpha, "one"), 32);
        scripted_await_begun(alpha, 1);
        scripted_settle(kit, calls, 2048);
        scripted_release(alpha);
        scripted_finish_all(kit, calls, 2048, 0);
        CHECK_EQUAL(alpha->loads, 1);
}

/* Nobody may raise the limit, and it is low: without CAP_SYS_RESOURCE. */
static void prepare_hard_limit(struct scripted *kit) {
        static const cap_value_t resource = CAP_SYS_RESOURCE;
        static const struct rlimit low = { .rlim_cur = 40, .rlim_max = 40 };
        cap_t capabilities = cap_get_proc();

        prepare_bare(kit);
        CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &low), 0);
        CHECK(capabilities != NULL);
        CHECK_EQUAL(cap_set_flag(capabilities, CAP_EFFECTIVE, 1, &resource, CAP_CLEAR), 0);
        CHECK_EQUAL(cap_set_flag(capabilities, CAP_PERMITTED, 1, &resource, CAP_CLEAR), 0);
        CHECK_EQUAL(cap_set_proc(capabilities), 0);
        (void)cap_free(capabilities);
}

/*
 * Callers of a file cost no descriptor while they wait for a load, only until their parameters are read: so they do not
 * come all at the same time. Those with an image do, and some are left to the kernel.
 */
static void test_hard_limit(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        struct scripted_call *files = scripted_start_waiting(kit, alpha, 20), *images;
        unsigned int shared;

        for (unsigned int i = 0; i < 4; i++)
                (void)scripted_start_parked(kit, 20, scripted_call_of(alpha));
        beta->hold = 1;
        images = start_together(kit, 100, scripted_image_call(kit, beta, "one"), 0);
        scripted_settle(kit, images, 100);
        scripted_release(alpha);
        scripted_release(beta);
        scripted_finish_all(kit, files, 100, 0);
        scripted_finish(kit, images, 100);
        shared = scripted_count(images, 100, 0) + scripted_count(images, 100, EEXIST);
        CHECK_EQUAL(shared + scripted_count(images, 100, kit->bare[1]), 100);
        CHECK(shared < 100);
        CHECK(!alpha->overlapped && !beta->overlapped);
        /* with room again, as before */
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "gamma"))), 0);
        CHECK_EQUAL(scripted_one(kit, scripted_image_call(kit, scripted_module(kit, "delta"), "one")), 0);
        CHECK_EQUAL(scripted_log_lines(kit, "died"), 0);
}

/* All of them are in use. Fewer than it polls would be refused by poll() itself. */
#define FEW 6

/* A keeper without descriptors forks nobody. */
static void test_keeper_without_descriptors(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        struct scripted_call *calls = scripted_start_waiting(kit, alpha, 8);
        pid_t keeper = scripted_await_process(kit, "modgate-keeper");

        limit_descriptors(keeper, FEW);
        /* the one loader is at work */
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(beta)), kit->bare[0]);
        CHECK_EQUAL(scripted_log_lines(kit, "cannot provide a loader"), 1);
        limit_descriptors(keeper, 1024);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(beta)), 0);
        limit_descriptors(keeper, FEW);
        CHECK_EQUAL(kill(scripted_await_process(kit, "modgate-superv"), SIGKILL), 0);
        scripted_finish_all(kit, calls, 8, kit->bare[0]);
        CHECK_EQUAL(scripted_log_lines(kit, "cannot fork a supervisor"), 1);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(beta)), kit->bare[0]);
        limit_descriptors(keeper, 1024);
        scripted_release(alpha);
}

/*
 * A supervisor that is started with so few descriptors that something is missing: what the keeper hands over, or some
 * of its own. It is replaced, or the keeper answers; it never is there without doing anything.
 */
static void check_replaced(struct scripted *kit, rlim_t descriptors) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_start_waiting(kit, alpha, 8), *others;
        pid_t keeper = scripted_await_process(kit, "modgate-keeper");

        limit_descriptors(keeper, descriptors);
        CHECK_EQUAL(kill(scripted_await_process(kit, "modgate-superv"), SIGKILL), 0);
        others = start_together(kit, 8, scripted_call_of(scripted_module(kit, "beta")), 0);
        scripted_sleep_ms(200);
        scripted_release(alpha);
        scripted_finish(kit, calls, 8);
        scripted_finish(kit, others, 8);
        (void)count_right(kit, calls, 8, 0);
        CHECK_EQUAL(scripted_count(others, 8, 0) + scripted_count(others, 8, EEXIST) +
                            scripted_count(others, 8, kit->bare[0]),
                    8);
        CHECK(alpha->loads == 1);
        limit_descriptors(keeper, 1024);
}

static void test_replaced_with_6(struct scripted *kit) {
        check_replaced(kit, 6);
}

static void test_replaced_with_8(struct scripted *kit) {
        check_replaced(kit, 8);
}

static void test_replaced_with_9(struct scripted *kit) {
        check_replaced(kit, 9);
}

static void test_replaced_with_10(struct scripted *kit) {
        check_replaced(kit, 10);
}

static void test_replaced_with_11(struct scripted *kit) {
        check_replaced(kit, 11);
}

static void test_replaced_with_12(struct scripted *kit) {
        check_replaced(kit, 12);
}

static void test_replaced_with_14(struct scripted *kit) {
        check_replaced(kit, 14);
}

/* Control groups */

static bool write_text(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

        if (fd >= 0)
                (void)close(fd);
        return written;
}

static bool write_to_group(const char *group, const char *file, long long number) {
        char path[SCRIPTED_PATH_MAX], text[32];

        CHECK((size_t)snprintf(path, sizeof(path), "%s/%s", group, file) < sizeof(path));
        (void)snprintf(text, sizeof(text), "%lld", number);
        return write_text(path, text);
}

static void group_path(const struct scripted *kit, const char *where, char group[static SCRIPTED_PATH_MAX]) {
        CHECK(snprintf(group, SCRIPTED_PATH_MAX, "%s%s", where, strrchr(kit->directory, '/')) < SCRIPTED_PATH_MAX);
}

/* A new group of that controller, of version 1 or 2, with a limit in that file. False: there can be none here. */
static bool make_group(struct scripted *kit, const char *controller, const char *v1_file, const char *v2_file,
                       long long limit, char group[static SCRIPTED_PATH_MAX]) {
        char where[64], enabled[32];

        (void)snprintf(where, sizeof(where), "/sys/fs/cgroup/%s", controller);
        group_path(kit, where, group);
        if (mkdir(group, 0755) == 0 && write_to_group(group, v1_file, limit))
                return true;
        (void)rmdir(group);
        (void)snprintf(enabled, sizeof(enabled), "+%s", controller);
        group_path(kit, "/sys/fs/cgroup", group);
        (void)write_text("/sys/fs/cgroup/cgroup.subtree_control", enabled);
        if (mkdir(group, 0755) == 0 && write_to_group(group, v2_file, limit))
                return true;
        (void)rmdir(group);
        printf("# not tried: there is no control group for %s to be had here (%m)\n", controller);
        return false;
}

/* In the case, once all of the tree's processes have ended. */
static void remove_groups(struct scripted *kit, struct json_object *report) {
        static const char *const places[] = { "/sys/fs/cgroup/pids", "/sys/fs/cgroup/memory", "/sys/fs/cgroup" };
        char group[SCRIPTED_PATH_MAX];

        (void)report;
        for (unsigned int i = 0; i < SCRIPTED_COUNT(places); i++) {
                group_path(kit, places[i], group);
                (void)rmdir(group);
        }
}

/* TasksMax= of a unit, and the like. */
static void test_no_processes(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        pid_t keeper = scripted_await_process(kit, "modgate-keeper");
        char group[SCRIPTED_PATH_MAX];
        struct scripted_call *calls;

        if (!make_group(kit, "pids", "pids.max", "pids.max", 1, group))
                return;
        CHECK(write_to_group(group, "cgroup.procs", keeper));
        calls = scripted_start_waiting(kit, alpha, 8);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(beta)), kit->bare[0]);
        CHECK_EQUAL(scripted_log_lines(kit, "cannot provide a loader: Resource temporarily unavailable"), 1);
        CHECK(write_to_group(group, "pids.max", 100));
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(beta)), 0);
        CHECK(write_to_group(group, "pids.max", 1));
        CHECK_EQUAL(kill(scripted_await_process(kit, "modgate-superv"), SIGKILL), 0);
        scripted_finish_all(kit, calls, 8, kit->bare[0]);
        CHECK_EQUAL(scripted_log_lines(kit, "cannot fork a supervisor: Resource temporarily unavailable"), 1);
        scripted_release(alpha);
        scripted_sleep_ms(1500);
        CHECK(scripted_log_lines(kit, "cannot fork a process that writes the report") >= 1);
        CHECK(write_to_group(group, "pids.max", 100));
}

/* An inspector that copies more than its group may have is killed; its caller is left to the kernel. */
static void test_no_memory(struct scripted *kit) {
        struct scripted_module *beta = scripted_module(kit, "beta");
        pid_t inspector = scripted_await_process(kit, "modgate-inspect");
        struct scripted_raw large = scripted_raw_large(kit);
        char group[SCRIPTED_PATH_MAX];

        if (!make_group(kit, "memory", "memory.limit_in_bytes", "memory.max", 16 << 20, group))
                return;
        (void)write_to_group(group, "memory.swap.max", 0);
        CHECK(write_to_group(group, "cgroup.procs", inspector));
        CHECK_EQUAL(scripted_raw_one(kit, large), kit->bare[1]);
        while (kill(inspector, 0) == 0)
                scripted_sleep_ms(1);
        /* its successor is in no such group */
        CHECK_EQUAL(scripted_raw_one(kit, large), ENOEXEC);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(beta)), 0);
}

/* A disk without room for a report: nobody else cares, and it comes when there is room. */

static void mount_tiny(struct scripted *kit) {
        (void)snprintf(kit->report, sizeof(kit->report), "%s/report.json", scripted_mount_tiny(kit, "size=64k"));
}

static void test_report_disk_full(struct scripted *kit) {
        static const char page[4096];
        char ballast[SCRIPTED_PATH_MAX + 8];
        int fd;

        (void)snprintf(ballast, sizeof(ballast), "%s.ballast", kit->report);
        fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        CHECK(fd >= 0);
        while (write(fd, page, sizeof(page)) > 0)
                ;
        (void)close(fd);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "alpha"))), 0);
        while (scripted_log_lines(kit, "cannot write the report") == 0)
                scripted_sleep_ms(2);
        CHECK(access(kit->report, F_OK) < 0);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "beta"))), 0);
        CHECK_EQUAL(unlink(ballast), 0);
}

static void after_report_disk_full(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "totals", "requests"), 2);
        CHECK_EQUAL(scripted_continued(report), 0);
}

/* Inspectors */

static struct faults *faults;

/* When all but the first of a crowd are to be compared, no inspector can be forked beside the one that there is. */
static void prepare_no_inspector(struct scripted *kit) {
        static const struct fault_plan plan = { .role = FAULT_KEEPER, .function = FAULT_fork, .lasts = true };

        (void)kit;
        faults = faults_new();
        faults_plan(faults, &plan);
}

/* It is asked for again and again, but not at once: each time the keeper would do in vain what takes it long. */
static void test_no_inspector(struct scripted *kit) {
        struct scripted_raw image = scripted_raw_image(kit, scripted_module(kit, "alpha"), "large", 2U << 20);
        struct scripted_crowd crowd;
        uint64_t began_ns, elapsed_ms;

        faults_begin_lasting(faults);
        began_ns = scripted_now_ns();
        crowd = scripted_start_crowd(kit, image, 1, image, 63);
        scripted_finish_all(kit, crowd.first, 1, ENOEXEC);
        scripted_finish_all(kit, crowd.others, 63, ENOEXEC);
        elapsed_ms = (scripted_now_ns() - began_ns) / 1000000;
        printf("# %u attempts in %u ms\n", faults->hits, (unsigned int)elapsed_ms);
        CHECK(faults->hits >= 1);
        /* one each 50 ms, and one each second for the report */
        CHECK(faults->hits <= 2 + elapsed_ms / 50 + elapsed_ms / 1000);
        CHECK_EQUAL(scripted_log_lines(kit, "cannot provide an inspector"), 1);
        /* the others are answered as before, and the next inspector can be forked */
        faults->lasting = false;
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "beta"))), 0);
}

/* Comparisons that do not come to an end. */
static struct { atomic_uint running, most, stalled; } * comparisons;

ssize_t __real_fdpass_receive(int socket, void *buffer, size_t size, int *ret_fd, int flags);
ssize_t __wrap_fdpass_receive(int socket, void *buffer, size_t size, int *ret_fd, int flags);

/* The inspector's side. */
static void stall(void) {
        unsigned int running = atomic_fetch_add(&comparisons->running, 1) + 1, most = comparisons->most;

        while (running > most && !atomic_compare_exchange_weak(&comparisons->most, &most, running))
                ;
        while (comparisons->stalled)
                scripted_futex(&comparisons->stalled, FUTEX_WAIT, 1);
        atomic_fetch_sub(&comparisons->running, 1);
}

ssize_t __wrap_fdpass_receive(int socket, void *buffer, size_t size, int *ret_fd, int flags) {
        ssize_t length = __real_fdpass_receive(socket, buffer, size, ret_fd, flags);

        if (comparisons && faults_role() == FAULT_INSPECTOR && length == (ssize_t)sizeof(struct job) &&
            ((const struct job *)buffer)->type == JOB_HASH_IMAGE)
                stall();
        return length;
}

static void prepare_comparisons(struct scripted *kit) {
        (void)kit;
        faults = faults_new();
        comparisons = mmap(NULL, sizeof(*comparisons), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(comparisons != MAP_FAILED);
        comparisons->stalled = 1;
}

/* They take half of the inspectors; the others are for those who wait for nobody's image. */
static void test_comparing(struct scripted *kit) {
        struct scripted_module *beta = scripted_module(kit, "beta");
        struct scripted_call *calls;

        scripted_set_result(beta, ENODEV);
        calls = scripted_start_held(kit, beta, 32, scripted_image_call(kit, beta, "one"));
        scripted_release(beta);
        while (comparisons->running < 8)
                scripted_sleep_ms(1);
        scripted_sleep_ms(200);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "alpha"))), 0);
        CHECK_EQUAL(scripted_one(kit, scripted_image_call(kit, scripted_module(kit, "gamma"), "one")), 0);
        CHECK_EQUAL(comparisons->running, 8);
        CHECK_EQUAL(comparisons->most, 8);
        comparisons->stalled = 0;
        scripted_futex(&comparisons->stalled, FUTEX_WAKE, INT32_MAX);
        scripted_finish_all(kit, calls, 32, ENODEV);
        CHECK_EQUAL(comparisons->most, 8);
        CHECK_EQUAL(beta->loads, 1);
}

/* Loaders that all end as soon as they begin, each before it could be given a load: not for ever is another one forked.
 */

static bool late;

int __real_fdpass_send_dup_fd(int socket, const void *head, size_t head_size, const void *tail, size_t tail_size,
                              int fd, int flags);
int __wrap_fdpass_send_dup_fd(int socket, const void *head, size_t head_size, const void *tail, size_t tail_size,
                              int fd, int flags);

int __wrap_fdpass_send_dup_fd(int socket, const void *head, size_t head_size, const void *tail, size_t tail_size,
                              int fd, int flags) {
        if (late && faults_role() == FAULT_SUPERVISOR && head_size == sizeof(struct job) &&
            ((const struct job *)head)->type == JOB_FINIT)
                (void)poll(NULL, 0, 50);
        return __real_fdpass_send_dup_fd(socket, head, head_size, tail, tail_size, fd, flags);
}

static void prepare_loaders_die(struct scripted *kit) {
        static const struct fault_plan plan = { .role = FAULT_LOADER, .function = FAULT_dup3, .lasts = true };

        prepare_bare(kit);
        late = true;
        faults = faults_new();
        faults_plan(faults, &plan);
}

static void test_loaders_die(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        pid_t loader = scripted_await_process(kit, "modgate-loader");

        faults_begin_lasting(faults);
        CHECK_EQUAL(kill(loader, SIGKILL), 0);
        while (kill(loader, 0) == 0)
                scripted_sleep_ms(1);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), kit->bare[0]);
        CHECK_EQUAL(alpha->loads, 0);
        printf("# %u loaders were forked for it\n", faults->hits);
        CHECK(faults->hits >= 1 && faults->hits <= 8);
        faults->lasting = false;
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), 0);
}

#define REPLACED(number)                                                                                               \
        {                                                                                                              \
                .name = "replaced_with_" #number, .prepare = prepare_bare, .body = test_replaced_with_##number,        \
                .counts_inexactly = true                                                                               \
        }

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "many_parked",
                  .prepare = prepare_soft_limit,
                  .body = test_many_parked,
                  .after = scripted_after_no_continue },
                { .name = "hard_limit", .prepare = prepare_hard_limit, .body = test_hard_limit },
                { .name = "keeper_without_descriptors",
                  .prepare = prepare_bare,
                  .body = test_keeper_without_descriptors,
                  .counts_inexactly = true },
                REPLACED(6),
                REPLACED(8),
                REPLACED(9),
                REPLACED(10),
                REPLACED(11),
                REPLACED(12),
                REPLACED(14),
                { .name = "no_processes",
                  .prepare = prepare_bare,
                  .body = test_no_processes,
                  .after = remove_groups,
                  .counts_inexactly = true },
                { .name = "no_memory", .prepare = prepare_bare, .body = test_no_memory, .after = remove_groups },
                { .name = "report_disk_full",
                  .prepare = mount_tiny,
                  .body = test_report_disk_full,
                  .after = after_report_disk_full },
                { .name = "no_inspector",
                  .prepare = prepare_no_inspector,
                  .body = test_no_inspector,
                  .after = scripted_after_no_continue },
                { .name = "loaders_die", .prepare = prepare_loaders_die, .body = test_loaders_die },
                { .name = "comparing",
                  .prepare = prepare_comparisons,
                  .body = test_comparing,
                  .after = scripted_after_no_continue },
        };

        return scripted_main(argc, argv, tests, SCRIPTED_COUNT(tests));
}
