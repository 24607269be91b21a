/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which file it is: calls that look alike and are not, and calls that look different and are the same. */

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file_times.h"
#include "journal.h"
#include "scripted.h"

#define OF_EACH 4U
#define REWRITES 200U
#define REUSES 500U

/* Files of our own */

static void write_text(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        CHECK(fd >= 0);
        CHECK_EQUAL(write(fd, text, strlen(text)), strlen(text));
        (void)close(fd);
}

/* A path below the test's directory. */
static const char *below(struct scripted *kit, const char *name) {
        static char paths[4][SCRIPTED_PATH_MAX];
        static unsigned int next;
        char *path = paths[next++ % 4];

        CHECK((size_t)snprintf(path, SCRIPTED_PATH_MAX, "%s/%s", kit->directory, name) < SCRIPTED_PATH_MAX);
        return path;
}

static const char *make_directory(struct scripted *kit, const char *name) {
        const char *path = below(kit, name);

        CHECK_EQUAL(mkdir(path, 0755), 0);
        return path;
}

/* What is mounted then ends with the processes of this test. */
static void leave_mount_namespace(void) {
        CHECK_EQUAL(unshare(CLONE_NEWNS), 0);
        CHECK_EQUAL(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
}

static struct stat status_of(const char *path) {
        struct stat status;

        CHECK_EQUAL(stat(path, &status), 0);
        return status;
}

static struct scripted_call call_of_path(const char *path) {
        return (struct scripted_call){ .path = strdup(path), .params = "" };
}

/* Two file systems with the same inode number */

static const char *file_on_tmpfs(struct scripted *kit, const char *name) {
        static char path[2][SCRIPTED_PATH_MAX];
        static unsigned int next;
        const char *directory = make_directory(kit, name);
        char *result = path[next++ % 2];

        CHECK_EQUAL(mount("none", directory, "tmpfs", 0, NULL), 0);
        CHECK((size_t)snprintf(result, SCRIPTED_PATH_MAX, "%s/same.ko", directory) < SCRIPTED_PATH_MAX);
        return result;
}

static bool look_alike(const struct stat *a, const struct stat *b) {
        return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
               a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
               a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Files that only differ in their device: made within one tick of the clock, which may take some attempts. */
static void make_alike(const char *a, const char *a_text, const char *b, const char *b_text) {
        for (unsigned int i = 0; i < 10000; i++) {
                struct stat of_a, of_b;

                write_text(a, a_text);
                write_text(b, b_text);
                of_a = status_of(a);
                of_b = status_of(b);
                CHECK(of_a.st_dev != of_b.st_dev);
                if (look_alike(&of_a, &of_b))
                        return;
                CHECK_EQUAL(unlink(a) + unlink(b), 0);
        }
        scripted_fail(__FILE__, __LINE__, "no two files were made within one tick");
}

static void test_same_inode_number(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *delta = scripted_module(kit, "delta");
        const char *one, *other;
        struct scripted_call *calls, *others;

        leave_mount_namespace();
        one = file_on_tmpfs(kit, "one");
        other = file_on_tmpfs(kit, "other");
        make_alike(one, "alpha one\n", other, "delta two\n");
        file_times_settle();
        alpha->hold = delta->hold = 1;
        scripted_set_result(alpha, ENODEV);
        calls = scripted_start_parked(kit, OF_EACH, call_of_path(one));
        others = scripted_start_parked(kit, OF_EACH, call_of_path(other));
        CHECK_EQUAL(alpha->loads, 1);
        CHECK_EQUAL(delta->loads, 1);
        scripted_release(alpha);
        scripted_release(delta);
        scripted_finish_all(kit, calls, OF_EACH, ENODEV);
        scripted_finish_all(kit, others, OF_EACH, 0);
}

/* Changes of a file in place */

static void rewrite(const char *path) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        CHECK(fd >= 0);
        CHECK_EQUAL(pwrite(fd, "alpha modified", 14, 0), 14);
        (void)close(fd);
}

/* As `cp -p` and build systems do it: content, size and time are no sign. */
static void rewrite_with_its_time(const char *path) {
        struct stat before = status_of(path);
        const struct timespec times[] = { before.st_atim, before.st_mtim };

        rewrite(path);
        CHECK_EQUAL(utimensat(AT_FDCWD, path, times, 0), 0);
        CHECK_EQUAL(status_of(path).st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}

static void touch(const char *path) {
        CHECK_EQUAL(utimensat(AT_FDCWD, path, NULL, 0), 0);
}

static void change_mode(const char *path) {
        CHECK_EQUAL(chmod(path, 0600), 0);
}

static void append(const char *path) {
        int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

        CHECK(fd >= 0);
        CHECK_EQUAL(write(fd, "more\n", 5), 5);
        (void)close(fd);
}

static void copy_over(const char *path) {
        write_text(path, "alpha copied\n");
}

static const struct change {
        void (*make)(const char *path);
        const char *label; /* of the file afterwards */
} changes[] = {
        { rewrite, "modified" }, { rewrite_with_its_time, "modified" },
        { touch, "original" },   { change_mode, "original" },
        { append, "original" },  { copy_over, "copied" },
};

#define CHANGES SCRIPTED_COUNT(changes)

static const char *original(struct scripted *kit, unsigned int i) {
        char name[32];

        (void)snprintf(name, sizeof(name), "change%u.ko", i);
        write_text(below(kit, name), "alpha original\n");
        file_times_settle();
        return below(kit, name);
}

/* While a load is in flight: who comes after the change does not join it. */
static void check_changed_in_flight(struct scripted *kit, const char *path, const struct change *change) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        unsigned int before = alpha->loads;
        struct scripted_call *old, *new;

        alpha->hold = 1;
        old = scripted_start_parked(kit, OF_EACH, call_of_path(path));
        CHECK_EQUAL(alpha->loads, before + 1);
        change->make(path);
        file_times_settle();
        new = scripted_start_parked(kit, OF_EACH, call_of_path(path));
        /* a file without a name is no rival of what is in flight */
        CHECK_EQUAL(alpha->loads, before + 2);
        scripted_release(alpha);
        scripted_finish_all(kit, old, OF_EACH, ENODEV);
        scripted_finish_all(kit, new, OF_EACH, ENODEV);
        CHECK_EQUAL(alpha->loads, before + 2);
        CHECK(scripted_loaded_from(alpha, before, "original"));
        CHECK(scripted_loaded_from(alpha, before + 1, change->label));
}

static void test_changed_in_flight(struct scripted *kit) {
        scripted_set_result(scripted_module(kit, "alpha"), ENODEV);
        for (unsigned int i = 0; i < CHANGES; i++)
                check_changed_in_flight(kit, original(kit, i), &changes[i]);
}

/* While a failure is remembered: the changed file is attempted, and only once. */
static void test_changed_while_remembered(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        scripted_set_result(alpha, ENODEV);
        file_times_settle();
        for (unsigned int i = 0; i < CHANGES; i++) {
                CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), ENODEV);
                CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), ENODEV);
                CHECK_EQUAL(alpha->loads, i + 1);
                changes[i].make(alpha->path);
                file_times_settle();
        }
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), ENODEV);
        CHECK_EQUAL(alpha->loads, CHANGES + 1);
}

/*
 * The clock of file times has ticks: what is changed twice within one has the same times, and the same size, and is
 * another module. ramfs has no finer times than that.
 */
static void mount_ramfs_for_modules(struct scripted *kit) {
        char path[SCRIPTED_PATH_MAX];

        leave_mount_namespace();
        CHECK((size_t)snprintf(path, sizeof(path), "%s/kernel", kit->modules) < sizeof(path));
        CHECK_EQUAL(mount("none", path, "ramfs", 0, NULL), 0);
        write_text(scripted_module(kit, "alpha")->path, "alpha ---\n");
}

static int call_of_every_content(void *context) {
        struct scripted_module *alpha = context;
        int fd = open(alpha->path, O_RDONLY | O_CLOEXEC), writer;

        CHECK(fd >= 0);
        for (unsigned int i = 0; i < REWRITES; i++) {
                char text[32];

                (void)snprintf(text, sizeof(text), "alpha %03u", i);
                writer = open(alpha->path, O_WRONLY | O_CLOEXEC);
                CHECK_EQUAL(pwrite(writer, text, 9, 0), 9);
                (void)close(writer);
                CHECK_EQUAL(syscall(SYS_finit_module, fd, "", 0), -1);
                CHECK_EQUAL(errno, ENODEV);
                CHECK_EQUAL(alpha->loads, i + 1);
                CHECK(scripted_loaded_from(alpha, i, text + 6));
        }
        return 0;
}

static void test_changed_within_a_tick(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        unsigned int loads;

        scripted_set_result(alpha, ENODEV);
        CHECK_EQUAL(scripted_own(kit, call_of_every_content, alpha), 0);
        CHECK_EQUAL(alpha->loads, REWRITES);
        /* what is left alone is remembered, like any other, unless the last change already was */
        file_times_settle();
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), ENODEV);
        CHECK(alpha->loads <= REWRITES + 1);
        loads = alpha->loads;
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), ENODEV);
        CHECK_EQUAL(alpha->loads, loads);
}

/* alpha's file is called, and becomes beta's, all within one tick. False: it took longer. */
static bool becomes_beta(const struct scripted_module *alpha, const struct scripted_module *beta) {
        struct stat before, after;
        int fd;

        write_text(alpha->path, "alpha moved\n");
        fd = open(alpha->path, O_RDONLY | O_CLOEXEC);
        before = status_of(alpha->path);
        CHECK_EQUAL(syscall(SYS_finit_module, fd, "", 0), -1);
        CHECK_EQUAL(errno, ENODEV);
        (void)close(fd);
        fd = open(alpha->path, O_WRONLY | O_CLOEXEC);
        CHECK_EQUAL(pwrite(fd, "beta  moved\n", 12, 0), 12);
        (void)close(fd);
        CHECK_EQUAL(rename(alpha->path, beta->path), 0);
        after = status_of(beta->path);
        return look_alike(&before, &after);
}

/* For so long it is tried. A slow machine never is that fast. */
#define TICK_TRIES_NS (20 * 1000000000ULL)

static int call_until_moved(void *context) {
        struct scripted *kit = context;
        uint64_t end_ns = journal_now_ns() + TICK_TRIES_NS;

        while (journal_now_ns() < end_ns)
                if (becomes_beta(scripted_module(kit, "alpha"), scripted_module(kit, "beta")))
                        return 0;
        return ETIME;
}

/* The same with its name: what it was called then says nothing of what it is called now. */
static void test_moved_within_a_tick(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");

        scripted_set_result(alpha, ENODEV);
        if (scripted_own(kit, call_until_moved, kit) != 0) {
                printf("# a tick is too short for a call on this machine\n");
                return;
        }
        file_times_settle();
        scripted_set_state(kit, alpha, "live");
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(beta)), 0);
        CHECK_EQUAL(beta->loads, 1);
}

/* Links */

/* Two links to one file are the same file. */
static void test_hard_links(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        const char *one = below(kit, "one.ko"), *two = below(kit, "two.ko");
        struct scripted_call *calls, *others;

        write_text(one, "alpha linked\n");
        CHECK_EQUAL(link(one, two), 0);
        file_times_settle();
        scripted_set_result(alpha, ENODEV);
        alpha->hold = 1;
        calls = scripted_start_parked(kit, OF_EACH, call_of_path(one));
        others = scripted_start_parked(kit, OF_EACH, call_of_path(two));
        CHECK_EQUAL(alpha->loads, 1);
        scripted_release(alpha);
        scripted_finish_all(kit, calls, OF_EACH, ENODEV);
        scripted_finish_all(kit, others, OF_EACH, ENODEV);
        CHECK_EQUAL(alpha->loads, 1);
}

/* A link to a file of the index is that file, once that one was asked for. */
static void test_hard_link_to_indexed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        const char *other = below(kit, "other.ko");
        struct scripted_call *calls, *others;

        CHECK_EQUAL(link(alpha->path, other), 0);
        file_times_settle();
        alpha->hold = 1;
        calls = scripted_start_parked(kit, OF_EACH, scripted_call_of(alpha));
        others = scripted_start_parked(kit, OF_EACH, call_of_path(other));
        CHECK_EQUAL(alpha->loads, 1);
        scripted_release(alpha);
        scripted_finish_all(kit, calls, OF_EACH, 0);
        scripted_finish_all(kit, others, OF_EACH, 0);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), EEXIST);
        CHECK_EQUAL(scripted_one(kit, call_of_path(other)), EEXIST);
        CHECK_EQUAL(alpha->loads, 1);
}

/* Before that it has no name: it is left to the kernel which of them was first. */
static void test_hard_link_before_indexed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        const char *other = below(kit, "other.ko");
        struct scripted_call *calls, *others;

        CHECK_EQUAL(link(alpha->path, other), 0);
        file_times_settle();
        alpha->hold = 1;
        others = scripted_start_parked(kit, OF_EACH, call_of_path(other));
        calls = scripted_start_parked(kit, OF_EACH, scripted_call_of(alpha));
        CHECK_EQUAL(alpha->loads, 2);
        scripted_release(alpha);
        scripted_finish_all(kit, calls, OF_EACH, 0);
        scripted_finish_all(kit, others, OF_EACH, 0);
        CHECK_EQUAL(scripted_one(kit, call_of_path(other)), EEXIST);
        CHECK_EQUAL(alpha->loads, 2);
}

/* A symbolic link is its target. */
static void test_symbolic_link(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        const char *other = below(kit, "beta.ko");
        struct scripted_call *calls, *others;

        CHECK_EQUAL(symlink(alpha->path, other), 0);
        file_times_settle();
        alpha->hold = 1;
        calls = scripted_start_parked(kit, OF_EACH, scripted_call_of(alpha));
        others = scripted_start_parked(kit, OF_EACH, call_of_path(other));
        scripted_release(alpha);
        scripted_finish_all(kit, calls, OF_EACH, 0);
        scripted_finish_all(kit, others, OF_EACH, 0);
        CHECK_EQUAL(alpha->loads, 1);
        CHECK_EQUAL(scripted_one(kit, call_of_path(other)), EEXIST);
        CHECK_EQUAL(alpha->loads, 1);
}

/* The path has been taken away, or there never was one. */
static void test_without_path(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call like = { .params = "", .fd = open(alpha->path, O_RDONLY | O_CLOEXEC) };
        struct scripted_call *calls;

        CHECK(like.fd >= 0);
        CHECK_EQUAL(unlink(alpha->path), 0);
        write_text(alpha->path, "beta another\n");
        file_times_settle();
        scripted_set_result(alpha, ENODEV);
        alpha->hold = 1;
        calls = scripted_start_parked(kit, OF_EACH, like);
        scripted_release(alpha);
        scripted_finish_all(kit, calls, OF_EACH, ENODEV);
        CHECK_EQUAL(alpha->loads, 1);
        CHECK(scripted_loaded_from(alpha, 0, "indexed"));

        like.fd = (int)syscall(SYS_memfd_create, "alpha.ko", 0);
        CHECK_EQUAL(write(like.fd, "beta memfd\n", 11), 11);
        CHECK_EQUAL(scripted_one(kit, like), 0);
        CHECK(scripted_loaded_from(scripted_module(kit, "beta"), 0, "memfd"));
}

/* A path that /proc has no room for. */
static int open_deep(struct scripted *kit) {
        int directory = open(kit->directory, O_PATH | O_DIRECTORY | O_CLOEXEC), file, reading;
        char name[201];

        memset(name, 'd', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        for (unsigned int i = 0; i < 25; i++) {
                int below_it;

                CHECK_EQUAL(mkdirat(directory, name, 0755), 0);
                below_it = openat(directory, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
                CHECK(below_it >= 0);
                (void)close(directory);
                directory = below_it;
        }
        file = openat(directory, "alpha.ko", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        CHECK_EQUAL(write(file, "alpha deep\n", 11), 11);
        (void)close(file);
        reading = openat(directory, "alpha.ko", O_RDONLY | O_CLOEXEC);
        (void)close(directory);
        return reading;
}

static void test_path_too_long(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        CHECK_EQUAL(scripted_one(kit, (struct scripted_call){ .fd = open_deep(kit), .params = "" }), 0);
        CHECK(scripted_loaded_from(alpha, 0, "deep"));
}

static void after_path_too_long(struct scripted *kit, struct json_object *report) {
        scripted_after_no_continue(kit, report);
        CHECK_EQUAL(scripted_module_number(report, "(no path)", "loads"), 1);
}

/* Overlays */

struct overlay {
        const char *lower, *merged;
};

/* Lower and upper layer are file systems of their own, as in a container or a live system. */
static struct overlay mount_overlay(struct scripted *kit) {
        static char lower[SCRIPTED_PATH_MAX], merged[SCRIPTED_PATH_MAX];
        char options[4 * SCRIPTED_PATH_MAX];

        leave_mount_namespace();
        CHECK_EQUAL(mount("none", make_directory(kit, "lower"), "tmpfs", 0, NULL), 0);
        CHECK_EQUAL(mount("none", make_directory(kit, "over"), "tmpfs", 0, NULL), 0);
        (void)make_directory(kit, "over/upper");
        (void)make_directory(kit, "over/work");
        (void)snprintf(lower, sizeof(lower), "%s/lower/file.ko", kit->directory);
        write_text(lower, "alpha lower\n");
        (void)snprintf(options, sizeof(options), "lowerdir=%s/lower,upperdir=%s/over/upper,workdir=%s/over/work",
                       kit->directory, kit->directory, kit->directory);
        CHECK_EQUAL(mount("none", make_directory(kit, "merged"), "overlay", 0, options), 0);
        (void)snprintf(merged, sizeof(merged), "%s/merged/file.ko", kit->directory);
        return (struct overlay){ .lower = lower, .merged = merged };
}

static void test_overlay(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct overlay overlay = mount_overlay(kit);
        struct scripted_call *calls, *touched, *changed;
        struct scripted_call early = { .params = "", .fd = open(overlay.merged, O_RDONLY | O_CLOEXEC) };

        file_times_settle();
        scripted_set_result(alpha, ENODEV);
        alpha->hold = 1;
        calls = scripted_start_parked(kit, OF_EACH, call_of_path(overlay.merged));
        file_times_settle();
        CHECK_EQUAL(scripted_count(scripted_start_parked(kit, OF_EACH, call_of_path(overlay.merged)), OF_EACH,
                                   NOT_RETURNED),
                    OF_EACH);
        CHECK_EQUAL(alpha->loads, 1);
        /* copied up */
        change_mode(overlay.merged);
        file_times_settle();
        touched = scripted_start_parked(kit, OF_EACH, call_of_path(overlay.merged));
        CHECK_EQUAL(alpha->loads, 2);
        copy_over(overlay.merged);
        file_times_settle();
        changed = scripted_start_parked(kit, OF_EACH, call_of_path(overlay.merged));
        CHECK_EQUAL(alpha->loads, 3);
        scripted_release(alpha);
        scripted_finish_all(kit, calls, 2 * OF_EACH, ENODEV);
        scripted_finish_all(kit, touched, OF_EACH, ENODEV);
        scripted_finish_all(kit, changed, OF_EACH, ENODEV);
        CHECK_EQUAL(alpha->loads, 3);
        CHECK(scripted_loaded_from(alpha, 0, "lower") && scripted_loaded_from(alpha, 1, "lower") &&
              scripted_loaded_from(alpha, 2, "copied"));

        /* the descriptor from before that reads what the file is now, and so is it loaded */
        CHECK_EQUAL(scripted_one(kit, early), ENODEV);
        CHECK(scripted_loaded_from(alpha, 3, "copied"));
}

/* Names that say something else than the module's */

static void check_renamed(struct scripted *kit, const char *name, int flags, unsigned int loads) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call like;

        write_text(below(kit, name), "alpha renamed\n");
        like = call_of_path(below(kit, name));
        like.flags = flags;
        CHECK_EQUAL(scripted_one(kit, like), ENODEV);
        CHECK_EQUAL(alpha->loads, loads);
        CHECK(scripted_loaded_from(alpha, loads - 1, "renamed"));
}

/* A file called beta.ko that contains alpha, while beta is live: alpha is loaded. */
static void test_renamed(struct scripted *kit) {
        struct scripted_module *beta = scripted_module(kit, "beta");

        CHECK_EQUAL(scripted_one(kit, scripted_call_of(beta)), 0);
        scripted_set_result(scripted_module(kit, "alpha"), ENODEV);
        check_renamed(kit, "beta.ko", 0, 1);
        check_renamed(kit, "beta.ko.xz", 4, 2);
        check_renamed(kit, "beta.ko.gz", 4, 3);
        check_renamed(kit, "beta.ko.zst", 4, 4);
        CHECK_EQUAL(beta->loads, 1);
}

static int open_fifo(struct scripted *kit) {
        const char *path = below(kit, "fifo");
        int fd;

        CHECK(mkfifo(path, 0600) == 0 || errno == EEXIST);
        fd = open(path, O_RDWR | O_CLOEXEC);
        CHECK(fd >= 0);
        return fd;
}

/* A descriptor's number is used again while a call is on its way */

struct reuse {
        struct scripted *kit;
        int number;
        int sources[4];
        _Atomic bool stop;
};

static void *reuse_number(void *context) {
        struct reuse *reuse = context;

        for (unsigned int i = 0; !reuse->stop; i++)
                (void)dup2(reuse->sources[i % 4], reuse->number);
        return NULL;
}

/* The result belongs to the load that was performed, if there was one. */
static void check_reuse(struct reuse *reuse, const unsigned int before[2], int error) {
        struct scripted_module *alpha = scripted_module(reuse->kit, "alpha");
        struct scripted_module *beta = scripted_module(reuse->kit, "beta");
        unsigned int loads[2] = { alpha->loads - before[0], beta->loads - before[1] };

        CHECK(loads[0] + loads[1] <= 1);
        if (scripted_module(reuse->kit, "gamma")->loads > 0)
                scripted_fail(__FILE__, __LINE__, "what could only be written to was loaded");
        if (loads[0] == 1)
                CHECK_EQUAL(error, ENODEV);
        else if (loads[1] == 1)
                CHECK_EQUAL(error, ENOENT);
        else /* left to the kernel: what it says without modules, or of a descriptor that cannot be read */
                CHECK(error == reuse->kit->bare[0] || error == EBADF || error == EINVAL);
}

static bool both_loaded(struct scripted *kit) {
        return scripted_module(kit, "alpha")->loads > 0 && scripted_module(kit, "beta")->loads > 0;
}

static int call_while_reused(void *context) {
        static struct reuse reuse;
        struct scripted *kit = reuse.kit = context;
        unsigned int before[2];
        pthread_t thread;

        reuse.sources[0] = open(scripted_module(kit, "alpha")->path, O_RDONLY);
        reuse.sources[1] = open(scripted_module(kit, "beta")->path, O_RDONLY);
        reuse.sources[2] = open(scripted_module(kit, "gamma")->path, O_WRONLY);
        reuse.sources[3] = open_fifo(kit);
        reuse.number = dup(reuse.sources[0]);
        CHECK_EQUAL(pthread_create(&thread, NULL, reuse_number, &reuse), 0);
        for (unsigned int i = 0; i < REUSES || !both_loaded(kit); i++) {
                int error;

                before[0] = scripted_module(kit, "alpha")->loads;
                before[1] = scripted_module(kit, "beta")->loads;
                error = syscall(SYS_finit_module, reuse.number, "", 0) < 0 ? errno : 0;
                check_reuse(&reuse, before, error);
        }
        reuse.stop = true;
        CHECK_EQUAL(pthread_join(thread, NULL), 0);
        return 0;
}

static void test_number_reused(struct scripted *kit) {
        scripted_set_result(scripted_module(kit, "alpha"), ENODEV);
        scripted_set_result(scripted_module(kit, "beta"), ENOENT);
        CHECK_EQUAL(scripted_own(kit, call_while_reused, kit), 0);
        /* what could only be written to was never loaded */
        CHECK_EQUAL(scripted_module(kit, "gamma")->loads, 0);
        printf("# %u loads of alpha, %u of beta\n", scripted_module(kit, "alpha")->loads,
               scripted_module(kit, "beta")->loads);
}

/* The same with one moment chosen: after the call, and before the supervisor looks. */

/* A caller that shares our descriptors. */
static struct scripted_call *start_sharing(struct scripted *kit, int number) {
        struct scripted_call *call = scripted_calls(kit, 1, (struct scripted_call){ 0 });
        pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);

        CHECK(pid >= 0);
        if (pid == 0) {
                call->thread = gettid();
                call->error = syscall(SYS_finit_module, number, "", 0) < 0 ? errno : 0;
                _exit(EXIT_SUCCESS);
        }
        call->process = pid;
        return call;
}

static int call_and_replace(struct scripted *kit, const char *path, int replacement) {
        int number = open(path, O_RDONLY | O_CLOEXEC);
        pid_t supervisor = scripted_stop(kit, "modgate-superv");
        struct scripted_call *call = start_sharing(kit, number);

        CHECK(number >= 0);
        scripted_settle(kit, call, 1);
        CHECK_EQUAL(dup2(replacement, number), number);
        CHECK_EQUAL(kill(supervisor, SIGCONT), 0);
        scripted_finish(kit, call, 1);
        (void)close(number);
        return call->error;
}

static void prepare_replaced(struct scripted *kit) {
        kit->bare[0] = scripted_one(kit, (struct scripted_call){ .fd = open_fifo(kit), .params = "" });
}

static void test_number_replaced(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        int other = open(beta->path, O_RDONLY | O_CLOEXEC);

        scripted_set_result(beta, ENOENT);
        CHECK_EQUAL(call_and_replace(kit, alpha->path, other), ENOENT);
        CHECK_EQUAL(beta->loads, 1);
        /* what would never answer whoever opened it */
        CHECK_EQUAL(call_and_replace(kit, alpha->path, open_fifo(kit)), kit->bare[0]);
        CHECK_EQUAL(alpha->loads, 0);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), 0);
}

static void after_number_replaced(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "not-a-regular-file"), 1);
        CHECK_EQUAL(scripted_continued(report), 1);
        CHECK_EQUAL(scripted_number(report, "totals", "supervisor_starts"), 1);
}

/* The next moment: the file was looked at, the parameters are being read, and then it is to be loaded. */

static int open_alpha_for_writing(struct scripted *kit) {
        return open(scripted_module(kit, "alpha")->path, O_WRONLY | O_CLOEXEC);
}

static int open_alpha_as_path(struct scripted *kit) {
        return open(scripted_module(kit, "alpha")->path, O_PATH | O_CLOEXEC);
}

static int open_beta(struct scripted *kit) {
        return open(scripted_module(kit, "beta")->path, O_RDONLY | O_CLOEXEC);
}

static int (*const replacements[])(struct scripted *kit) = { open_alpha_for_writing, open_alpha_as_path, open_beta,
                                                             open_fifo };

#define REPLACEMENTS SCRIPTED_COUNT(replacements)

static void prepare_replacements(struct scripted *kit) {
        for (unsigned int i = 0; i < REPLACEMENTS; i++)
                kit->bare[i] = scripted_one(kit, (struct scripted_call){ .fd = replacements[i](kit), .params = "" });
}

struct looked_at {
        pid_t keeper, inspector; /* stand still */
        struct scripted_call *call;
};

static struct looked_at start_looked_at(struct scripted *kit, int number) {
        struct looked_at looked_at = { .keeper = scripted_stop(kit, "modgate-keeper") };

        looked_at.inspector = scripted_stop(kit, "modgate-inspect");
        CHECK_EQUAL(scripted_process(kit, "modgate-inspect", 1), 0);
        looked_at.call = start_sharing(kit, number);
        scripted_settle(kit, looked_at.call, 1);
        return looked_at;
}

static int finish_looked_at(struct scripted *kit, const struct looked_at *looked_at) {
        CHECK_EQUAL(looked_at->call->error, NOT_RETURNED);
        CHECK_EQUAL(kill(looked_at->inspector, SIGCONT), 0);
        CHECK_EQUAL(kill(looked_at->keeper, SIGCONT), 0);
        scripted_finish(kit, looked_at->call, 1);
        return looked_at->call->error;
}

static void test_number_replaced_after_look(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        int number = open(alpha->path, O_RDONLY | O_CLOEXEC);

        file_times_settle();
        for (unsigned int i = 0; i < REPLACEMENTS; i++) {
                int number_of_it = dup(number), other = replacements[i](kit);
                struct looked_at looked_at = start_looked_at(kit, number_of_it);

                CHECK_EQUAL(dup2(other, number_of_it), number_of_it);
                CHECK_EQUAL(finish_looked_at(kit, &looked_at), kit->bare[i]);
                (void)close(other);
                (void)close(number_of_it);
        }
        CHECK_EQUAL(alpha->loads + scripted_module(kit, "beta")->loads, 0);
        /* and if nothing happens in that moment: */
        CHECK_EQUAL(finish_looked_at(kit, &(struct looked_at[]){ start_looked_at(kit, number) }[0]), 0);
        CHECK_EQUAL(alpha->loads, 1);
}

static void after_number_replaced_after_look(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "bad-descriptor"), REPLACEMENTS - 1);
        CHECK_EQUAL(scripted_number(report, "continued", "not-a-regular-file"), 1);
        CHECK_EQUAL(scripted_continued(report), REPLACEMENTS);
}

/* What was looked at is not what would be loaded. */
static void test_changed_after_look(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        for (unsigned int i = 0; i < CHANGES; i++) {
                int number = open(alpha->path, O_RDONLY | O_CLOEXEC);
                struct looked_at looked_at;

                file_times_settle();
                looked_at = start_looked_at(kit, number);
                changes[i].make(alpha->path);
                CHECK_EQUAL(finish_looked_at(kit, &looked_at), kit->bare[0]);
                (void)close(number);
        }
        CHECK_EQUAL(alpha->loads, 0);
}

static void after_changed_after_look(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "bad-descriptor"), CHANGES);
        CHECK_EQUAL(scripted_continued(report), CHANGES);
}

/* Its caller is killed in that moment, or a little later, when all was read: then it was left to nobody. */
static void check_killed_after_look(struct scripted *kit, bool later) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct looked_at looked_at = start_looked_at(kit, open(alpha->path, O_RDONLY | O_CLOEXEC));
        pid_t supervisor = scripted_stop(kit, "modgate-superv");

        if (later)
                CHECK_EQUAL(kill(looked_at.inspector, SIGCONT), 0);
        scripted_settle(kit, looked_at.call, 1);
        CHECK_EQUAL(kill(looked_at.call->process, SIGKILL), 0);
        scripted_settle(kit, looked_at.call, 1);
        CHECK_EQUAL(kill(supervisor, SIGCONT), 0);
        CHECK_EQUAL(finish_looked_at(kit, &looked_at), NOT_RETURNED);
}

static void test_killed_after_look(struct scripted *kit) {
        check_killed_after_look(kit, false);
        check_killed_after_look(kit, true);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "alpha"))), 0);
        CHECK_EQUAL(scripted_module(kit, "alpha")->loads, 1);
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "same_inode_number", .body = test_same_inode_number },
                { .name = "changed_in_flight", .body = test_changed_in_flight },
                { .name = "changed_while_remembered", .failure_ttl_s = 1000, .body = test_changed_while_remembered },
                { .name = "changed_within_a_tick",
                  .failure_ttl_s = 1000,
                  .prepare = mount_ramfs_for_modules,
                  .body = test_changed_within_a_tick },
                { .name = "moved_within_a_tick", .prepare = mount_ramfs_for_modules, .body = test_moved_within_a_tick },
                { .name = "hard_links", .body = test_hard_links },
                { .name = "hard_link_to_indexed", .body = test_hard_link_to_indexed },
                { .name = "hard_link_before_indexed", .body = test_hard_link_before_indexed },
                { .name = "symbolic_link", .body = test_symbolic_link },
                { .name = "without_path", .body = test_without_path },
                { .name = "path_too_long", .body = test_path_too_long, .after = after_path_too_long },
                { .name = "overlay", .body = test_overlay },
                { .name = "renamed", .body = test_renamed },
                { .name = "number_replaced",
                  .prepare = prepare_replaced,
                  .body = test_number_replaced,
                  .after = after_number_replaced },
                { .name = "number_replaced_after_look",
                  .prepare = prepare_replacements,
                  .body = test_number_replaced_after_look,
                  .after = after_number_replaced_after_look },
                { .name = "changed_after_look",
                  .prepare = scripted_prepare_bare,
                  .body = test_changed_after_look,
                  .after = after_changed_after_look },
                { .name = "killed_after_look", .body = test_killed_after_look, .after = scripted_after_no_continue },
                { .name = "number_reused",
                  .prepare = scripted_prepare_bare,
                  .body = test_number_reused,
                  .limit_s = 60 },
        };

        return scripted_main(argc, argv, tests, SCRIPTED_COUNT(tests));
}
