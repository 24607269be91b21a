/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A storm of calls, while supervisors, loaders and inspectors are killed at random: every call is answered, and
 * rightly. Several trees at the same time, since no tree may lose more than four supervisors in ten seconds. How long
 * is what MODGATE_SECONDS says (for each tree at least SUPERVISORS, KILLS and CALLS of the below, whatever it says).
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "scripted.h"
#include "scripted_images.h"

#define CALLERS 24U
#define MODULES 24U /* those of an even number load, the others fail */
#define FILES (MODULES + 2)

/* Of each of eight trees. */
#define CALLS 1500U
#define KILLS 150U
#define SUPERVISORS 8U

/* Five in ten seconds would be too many, and the keeper may hear of one of them late. */
#define SUPERVISOR_INTERVAL_NS 3500000000ULL

/* So long after the last one was killed, there should be another one. */
#define SUPERVISOR_LIMIT_NS 30000000000ULL

/* What callers open, and what may come of it. */
struct file {
        char path[SCRIPTED_PATH_MAX];
        bool image;
        int error; /* 0: the module loads */
};

static struct storm {
        struct file files[FILES];
        int left_to_kernel; /* what the kernel says by itself */
        uint64_t seed;
        atomic_uint callers;
        atomic_uint calls, left, busy, loaded, failed;
        _Atomic bool over;
} * storm;

static uint64_t next(uint64_t *state) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        return *state;
}

static void prepare(struct scripted *kit) {
        storm = mmap(NULL, sizeof(*storm), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(storm != MAP_FAILED);
        storm->seed = kit->random;
        scripted_prepare_bare(kit);
        storm->left_to_kernel = kit->bare[0];
}

static void add_file(unsigned int i, const char *path, bool image, int error) {
        (void)snprintf(storm->files[i].path, sizeof(storm->files[i].path), "%s", path);
        storm->files[i].image = image;
        storm->files[i].error = error;
}

/* Every third one is an image. Two are files that are not in the index, and have no names. */
static void make_files(struct scripted *kit) {
        static const int errors[] = { ENODEV, EINVAL, EEXIST };

        for (unsigned int i = 0; i < MODULES; i++) {
                struct scripted_module *module = scripted_numbered(kit, i);
                int error = i % 2 == 0 ? 0 : errors[i / 2 % SCRIPTED_COUNT(errors)];

                module->delay_ms = (unsigned int)scripted_random(kit, 20);
                module->shows_coming = scripted_random(kit, 4) == 0;
                if (error != 0)
                        scripted_set_result(module, error);
                add_file(i, i % 3 == 0 ? scripted_image(kit, module, module->name) : module->path, i % 3 == 0, error);
        }
        scripted_set_result(scripted_module(kit, "alpha"), ENOEXEC);
        add_file(MODULES, scripted_file(kit, scripted_module(kit, "alpha"), "unnamed"), false, ENOEXEC);
        add_file(MODULES + 1, scripted_file(kit, scripted_module(kit, "beta"), "nameless"), false, 0);
}

static int call(const struct file *file, const char *params) {
        int fd = open(file->path, O_RDONLY | O_CLOEXEC);
        struct stat status;
        long result;
        void *image;
        int error;

        CHECK(fd >= 0);
        if (file->image) {
                CHECK_EQUAL(fstat(fd, &status), 0);
                image = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
                CHECK(image != MAP_FAILED);
                result = syscall(SYS_init_module, image, (unsigned long)status.st_size, params);
                error = result < 0 ? errno : 0;
                (void)munmap(image, (size_t)status.st_size);
        } else {
                result = syscall(SYS_finit_module, fd, params, 0);
                error = result < 0 ? errno : 0;
        }
        (void)close(fd);
        return error;
}

/*
 * A loader that dies leaves its callers to the kernel, or says EBUSY where the module hangs half-way; so does an
 * inspector, without that. Nothing else is different from a quiet day.
 */
static bool is_right(const struct file *file, int error) {
        if (error == storm->left_to_kernel) {
                atomic_fetch_add(&storm->left, 1);
                return true;
        }
        if (error == EBUSY) {
                atomic_fetch_add(&storm->busy, 1);
                return true;
        }
        atomic_fetch_add(file->error == 0 ? &storm->loaded : &storm->failed, 1);
        return file->error == 0 ? error == 0 || error == EEXIST : error == file->error;
}

static int make_calls(void *context) {
        static const char *const params[] = { "", "", "x=1", "x=2" };
        uint64_t random = storm->seed + 0x9e3779b97f4a7c15U * (atomic_fetch_add(&storm->callers, 1) + 1);

        (void)context;
        while (!storm->over) {
                const struct file *file = &storm->files[next(&random) % FILES];
                int error = call(file, params[next(&random) % SCRIPTED_COUNT(params)]);

                if (!is_right(file, error)) {
                        printf("# %s (%d): %d\n", file->path, file->error, error);
                        return error == 0 ? -1 : error;
                }
                atomic_fetch_add(&storm->calls, 1);
        }
        return 0;
}

struct kills {
        unsigned int supervisors, loaders, inspectors;
        uint64_t supervisor_ns;
};

static bool kill_one(struct scripted *kit, const char *name) {
        pid_t pid = scripted_process(kit, name, (unsigned int)scripted_random(kit, 3));

        return pid != 0 && kill(pid, SIGKILL) == 0;
}

static void kill_somebody(struct scripted *kit, struct kills *kills) {
        uint64_t now = scripted_now_ns();

        if (now - kills->supervisor_ns >= SUPERVISOR_INTERVAL_NS) {
                pid_t pid = scripted_process(kit, "modgate-superv", 0);

                CHECK(pid != 0 || kills->supervisors == 0 || now - kills->supervisor_ns < SUPERVISOR_LIMIT_NS);
                if (pid != 0 && kill(pid, SIGKILL) == 0) {
                        kills->supervisors++;
                        kills->supervisor_ns = now;
                }
        } else if (scripted_random(kit, 2) == 0) {
                kills->loaders += kill_one(kit, "modgate-loader");
        } else {
                kills->inspectors += kill_one(kit, "modgate-inspect");
        }
}

/* So that there is something to load. Its directory stays, where a loader may be about to write. */
static void remove_one(struct scripted *kit) {
        char path[SCRIPTED_PATH_MAX];

        CHECK((size_t)snprintf(path, sizeof(path), "%s/m%03u/initstate", kit->sysfs,
                               2 * (unsigned int)scripted_random(kit, MODULES / 2)) < sizeof(path));
        (void)truncate(path, 0);
        (void)unlink(path);
}

static bool is_enough(const struct kills *kills, uint64_t until_ns) {
        return kills->supervisors >= SUPERVISORS && kills->supervisors + kills->loaders + kills->inspectors >= KILLS &&
               storm->calls >= CALLS && scripted_now_ns() >= until_ns;
}

static void test_storm(struct scripted *kit) {
        const char *seconds = getenv("MODGATE_SECONDS");
        uint64_t until_ns = scripted_now_ns() + (seconds ? strtoull(seconds, NULL, 10) : 0) * 1000000000U;
        struct kills kills = { 0 };
        struct scripted_call *callers;

        make_files(kit);
        callers = scripted_start_own(kit, CALLERS, make_calls, NULL);
        while (!is_enough(&kills, until_ns) && scripted_count(callers, CALLERS, NOT_RETURNED) == CALLERS) {
                scripted_sleep_ms((unsigned int)scripted_random(kit, 40));
                kill_somebody(kit, &kills);
                remove_one(kit);
        }
        storm->over = true;
        scripted_finish(kit, callers, CALLERS);
        printf("# seed %" PRIu64
               ": %u calls, killed: %u supervisors, %u loaders, %u inspectors; answers: %u of modules "
               "that load, %u of others, %u left to the kernel, %u EBUSY\n",
               kit->seed, storm->calls, kills.supervisors, kills.loaders, kills.inspectors, storm->loaded,
               storm->failed, storm->left, storm->busy);
        CHECK_EQUAL(scripted_count(callers, CALLERS, 0), CALLERS);
        CHECK(is_enough(&kills, 0));
        /* most are not even near to who is killed */
        CHECK(storm->left + storm->busy < storm->calls / 2);
        CHECK_EQUAL(scripted_log_lines(kit, "cannot be kept alive"), 0);
        /* and everything works as before */
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "gamma"))), 0);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "gamma"))), EEXIST);
}

static void after(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK(scripted_number(report, "totals", "requests") >= CALLS);
        CHECK(scripted_number(report, "totals", "supervisor_starts") > SUPERVISORS);
}

#define TREE(number)                                                                                                   \
        {                                                                                                              \
                .name = "tree_" #number, .prepare = prepare, .body = test_storm, .after = after, .limit_s = 3600,      \
                .counts_inexactly = true                                                                               \
        }

int main(int argc, char **argv) {
        static const struct scripted_test trees[] = { TREE(1), TREE(2), TREE(3), TREE(4),
                                                      TREE(5), TREE(6), TREE(7), TREE(8) };

        return scripted_main_at_once(argc, argv, trees, SCRIPTED_COUNT(trees));
}
