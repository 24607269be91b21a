/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who calls: threads with things of their own, other architectures, other namespaces. */

#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keeper/keeper.h"
#include "launch/filter.h"
#include "scripted.h"
#include "scripted_images.h"

static int call_fd(int fd) {
        return syscall(SYS_finit_module, fd, "", 0) < 0 ? errno : 0;
}

static int call_path(const char *path) {
        int fd = open(path, O_RDONLY | O_CLOEXEC), error;

        CHECK(fd >= 0);
        error = call_fd(fd);
        (void)close(fd);
        return error;
}

/* Threads */

/* Runs `make` in a thread that is not the leader; the leader has gone before it calls. */
struct orphan {
        struct scripted *kit;
        pthread_t leader;
};

static void *call_without_leader(void *context) {
        struct orphan *orphan = context;

        (void)pthread_join(orphan->leader, NULL);
        _exit(call_path(scripted_module(orphan->kit, "alpha")->path));
}

static int leave_a_thread(void *context) {
        static struct orphan orphan;
        pthread_t thread;

        orphan = (struct orphan){ .kit = context, .leader = pthread_self() };
        CHECK_EQUAL(pthread_create(&thread, NULL, call_without_leader, &orphan), 0);
        pthread_exit(NULL);
}

static int wait_for(pid_t pid) {
        int status;

        CHECK_EQUAL(waitpid(pid, &status, 0), pid);
        CHECK(WIFEXITED(status));
        return WEXITSTATUS(status);
}

/* Its /proc/TID is a thread's, and its leader a zombie. */
static void test_leader_gone(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        pid_t pid = fork();

        CHECK(pid >= 0);
        if (pid == 0)
                (void)leave_a_thread(kit);
        CHECK_EQUAL(wait_for(pid), 0);
        CHECK_EQUAL(alpha->loads, 1);
}

struct own_table {
        const char *path;
        int number;
        int error;
};

/* The same number is another file in this thread than in its leader. */
static void *call_from_own_table(void *context) {
        struct own_table *table = context;
        int fd;

        CHECK_EQUAL(unshare(CLONE_FILES), 0);
        fd = open(table->path, O_RDONLY);
        CHECK(fd >= 0);
        CHECK_EQUAL(dup2(fd, table->number), table->number);
        table->error = call_fd(table->number);
        return NULL;
}

static int call_with_two_tables(void *context) {
        struct scripted *kit = context;
        struct own_table table = { .path = scripted_module(kit, "beta")->path };
        pthread_t thread;

        table.number = open(scripted_module(kit, "alpha")->path, O_RDONLY);
        CHECK_EQUAL(pthread_create(&thread, NULL, call_from_own_table, &table), 0);
        CHECK_EQUAL(pthread_join(thread, NULL), 0);
        CHECK_EQUAL(table.error, ENOENT);
        return call_fd(table.number);
}

static void test_own_file_table(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");

        scripted_set_result(alpha, ENODEV);
        scripted_set_result(beta, ENOENT);
        CHECK_EQUAL(scripted_own(kit, call_with_two_tables, kit), ENODEV);
        CHECK_EQUAL(alpha->loads, 1);
        CHECK_EQUAL(beta->loads, 1);
}

/* Without the C library, which would do it for all threads. */
static void drop_capability_of_this_thread(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2];

        CHECK_EQUAL(syscall(SYS_capget, &header, data), 0);
        data[CAP_TO_INDEX(CAP_SYS_MODULE)].effective &= ~CAP_TO_MASK(CAP_SYS_MODULE);
        CHECK_EQUAL(syscall(SYS_capset, &header, data), 0);
}

static void *call_without_capability(void *context) {
        struct own_table *table = context;

        drop_capability_of_this_thread();
        table->error = call_path(table->path);
        return NULL;
}

static void *call_with_capability(void *context) {
        struct own_table *table = context;

        table->error = call_path(table->path);
        return NULL;
}

static int error_in_thread(void *(*call)(void *context), const char *path) {
        struct own_table table = { .path = path };
        pthread_t thread;

        CHECK_EQUAL(pthread_create(&thread, NULL, call, &table), 0);
        CHECK_EQUAL(pthread_join(thread, NULL), 0);
        return table.error;
}

static int drop_in_thread(void *context) {
        struct scripted *kit = context;

        CHECK_EQUAL(error_in_thread(call_without_capability, scripted_module(kit, "alpha")->path), kit->bare[0]);
        return call_path(scripted_module(kit, "beta")->path);
}

static pthread_barrier_t dropped;

static void *call_when_leader_dropped(void *context) {
        (void)pthread_barrier_wait(&dropped);
        return call_with_capability(context);
}

static int drop_in_leader(void *context) {
        struct scripted *kit = context;
        struct own_table table = { .path = scripted_module(kit, "gamma")->path };
        pthread_t thread;

        CHECK_EQUAL(pthread_barrier_init(&dropped, NULL, 2), 0);
        CHECK_EQUAL(pthread_create(&thread, NULL, call_when_leader_dropped, &table), 0);
        drop_capability_of_this_thread();
        (void)pthread_barrier_wait(&dropped);
        CHECK_EQUAL(pthread_join(thread, NULL), 0);
        CHECK_EQUAL(call_path(scripted_module(kit, "alpha")->path), kit->bare[0]);
        return table.error;
}

/* Capabilities are a thread's own. */
static void test_own_capabilities(struct scripted *kit) {
        CHECK_EQUAL(scripted_own(kit, drop_in_thread, kit), 0);
        CHECK_EQUAL(scripted_own(kit, drop_in_leader, kit), 0);
        CHECK_EQUAL(scripted_module(kit, "alpha")->loads, 0);
        CHECK_EQUAL(scripted_module(kit, "beta")->loads, 1);
        CHECK_EQUAL(scripted_module(kit, "gamma")->loads, 1);
}

static void prepare_own_capabilities(struct scripted *kit) {
        kit->bare[0] = error_in_thread(call_without_capability, scripted_module(kit, "alpha")->path);
}

static void after_own_capabilities(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "no-capability"), 2);
        CHECK_EQUAL(scripted_continued(report), 2);
}

/* A process that has its parent's memory, while that stands still. */
static int call_from_vfork(void *context) {
        struct scripted *kit = context;
        const char *path = scripted_module(kit, "alpha")->path;
        volatile int error = 0;
        pid_t pid = vfork();

        if (pid == 0) {
                error = call_path(path);
                _exit(EXIT_SUCCESS);
        }
        CHECK_EQUAL(wait_for(pid), 0);
        return error;
}

static void test_vfork(struct scripted *kit) {
        scripted_set_result(scripted_module(kit, "alpha"), ENODEV);
        CHECK_EQUAL(scripted_own(kit, call_from_vfork, kit), ENODEV);
        CHECK_EQUAL(scripted_module(kit, "alpha")->loads, 1);
}

#ifdef __x86_64__

/* Programs of other architectures. A 64-bit one can make their calls too, with pointers that fit. */

#define I386_INIT_MODULE 128
#define I386_FINIT_MODULE 350
#define X32_BIT 0x40000000L

static int i386_call(long number, unsigned long a, unsigned long b, unsigned long c) {
        long result;

        __asm__ volatile("int $0x80"
                         : "=a"(result)
                         : "a"(number), "b"(a), "c"(b), "d"(c)
                         : "memory", "r8", "r9", "r10", "r11");
        return result < 0 ? (int)-result : 0;
}

/* Whatever the file has, and what follows it in its last page; below 4 GiB. */
static unsigned long map_low(const char *path, size_t *ret_length) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct stat status;
        void *memory;

        CHECK(fd >= 0);
        CHECK_EQUAL(fstat(fd, &status), 0);
        memory = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE | MAP_32BIT, fd, 0);
        CHECK(memory != MAP_FAILED);
        (void)close(fd);
        *ret_length = (size_t)status.st_size;
        return (unsigned long)memory;
}

static unsigned long low_text(const char *text) {
        char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

        CHECK(memory != MAP_FAILED);
        (void)snprintf(memory, 4096, "%s", text);
        return (unsigned long)memory;
}

/* The high halves of the registers are not the call's. */
#define RUBBISH 0xdead000000000000UL

static int i386_finit(void *context) {
        struct scripted *kit = context;
        int fd = open(scripted_module(kit, "alpha")->path, O_RDONLY | O_CLOEXEC);

        return i386_call(I386_FINIT_MODULE, RUBBISH | (unsigned long)fd, RUBBISH | low_text("x=32"), RUBBISH | 4);
}

static int i386_init(void *context) {
        struct scripted *kit = context;
        size_t length;
        unsigned long image = map_low(scripted_image(kit, scripted_module(kit, "beta"), "image"), &length);

        return i386_call(I386_INIT_MODULE, RUBBISH | image, RUBBISH | length, RUBBISH | low_text("y=32"));
}

static int i386_finit_of_nothing(void *context) {
        (void)context;
        return i386_call(I386_FINIT_MODULE, RUBBISH | 0xffffffff, low_text(""), 0);
}

/* A kernel that does not know i386 calls kills who makes them: then there is no result. */
static void prepare_i386(struct scripted *kit) {
        kit->bare[0] = scripted_own(kit, i386_finit, kit);
        kit->bare[1] = scripted_own(kit, i386_finit_of_nothing, kit);
}

static bool has_params(const struct scripted_module *module, const char *params, int flags) {
        return module->loads == 1 && strcmp(module->record[0].params, params) == 0 && module->record[0].flags == flags;
}

static void test_i386(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");

        if (kit->bare[0] == NOT_RETURNED) {
                printf("# this kernel has no i386 calls\n");
                return;
        }
        scripted_set_result(alpha, ENODEV);
        scripted_set_result(beta, ENOENT);
        CHECK_EQUAL(scripted_own(kit, i386_finit, kit), ENODEV);
        CHECK(has_params(alpha, "x=32", 4));
        CHECK_EQUAL(scripted_own(kit, i386_init, kit), ENOENT);
        CHECK(has_params(beta, "y=32", 0));
        CHECK_EQUAL(scripted_own(kit, i386_finit_of_nothing, kit), kit->bare[1]);
}

/* Callers of both architectures join one load. */
static void test_i386_joins(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *native, *i386;

        if (kit->bare[0] == NOT_RETURNED)
                return;
        alpha->hold = 1;
        native = scripted_start_parked(kit, 4, scripted_call_with(alpha, "x=32", 4));
        i386 = scripted_start_own(kit, 4, i386_finit, kit);
        scripted_settle(kit, i386, 4);
        scripted_release(alpha);
        scripted_finish_all(kit, native, 4, 0);
        scripted_finish_all(kit, i386, 4, 0);
        CHECK_EQUAL(alpha->loads, 1);
}

static int x32_finit(void *context) {
        struct scripted *kit = context;
        int fd = open(scripted_module(kit, "alpha")->path, O_RDONLY | O_CLOEXEC);

        return syscall(X32_BIT | SYS_finit_module, fd, "", 0) < 0 ? errno : 0;
}

static int x32_init(void *context) {
        struct scripted *kit = context;
        size_t length;
        unsigned long image = map_low(scripted_image(kit, scripted_module(kit, "alpha"), "image"), &length);

        return syscall(X32_BIT | SYS_init_module, image, length, "") < 0 ? errno : 0;
}

static void prepare_x32(struct scripted *kit) {
        kit->bare[0] = scripted_own(kit, x32_finit, kit);
        kit->bare[1] = scripted_own(kit, x32_init, kit);
}

/* Whether there is x32 is the kernel's to say. */
static void test_x32(struct scripted *kit) {
        CHECK_EQUAL(scripted_own(kit, x32_finit, kit), kit->bare[0]);
        CHECK_EQUAL(scripted_own(kit, x32_init, kit), kit->bare[1]);
        CHECK_EQUAL(scripted_module(kit, "alpha")->loads, 0);
}

static void after_x32(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "unknown-call"), 2);
        CHECK_EQUAL(scripted_continued(report), 2);
}

#endif

/* Pid namespaces */

/* Two levels down, where it is process 1. */
static int call_from_pid_namespaces_below(void *context) {
        struct scripted *kit = context;

        for (unsigned int level = 0; level < 2; level++) {
                pid_t pid;

                CHECK_EQUAL(unshare(CLONE_NEWPID), 0);
                pid = fork();
                CHECK(pid >= 0);
                if (pid > 0 && level == 0)
                        return wait_for(pid);
                if (pid > 0)
                        _exit(wait_for(pid));
                CHECK_EQUAL(getpid(), 1);
        }
        _exit(call_path(scripted_module(kit, "alpha")->path));
}

static void test_child_pid_namespace(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        scripted_set_result(alpha, ENODEV);
        CHECK_EQUAL(scripted_own(kit, call_from_pid_namespaces_below, kit), ENODEV);
        CHECK_EQUAL(alpha->loads, 1);
}

/*
 * The other way round: modgate lives in a pid namespace below that of its tree. The first process there gives it a
 * /proc, and is there until all of modgate has ended.
 */
static void be_first_process(int parent) {
        char byte = 0;

        CHECK_EQUAL(mount("proc", "/proc", "proc", 0, NULL), 0);
        CHECK_EQUAL(write(parent, &byte, 1), 1);
        while (read(parent, &byte, 1) > 0)
                ;
        while (waitpid(-1, NULL, 0) > 0)
                ;
        _exit(EXIT_SUCCESS);
}

static void make_pid_namespace(void) {
        int ends[2];
        char byte;
        pid_t pid;

        CHECK_EQUAL(unshare(CLONE_NEWNS | CLONE_NEWPID), 0);
        CHECK_EQUAL(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
                (void)close(ends[0]);
                be_first_process(ends[1]);
        }
        (void)close(ends[1]);
        CHECK_EQUAL(read(ends[0], &byte, 1), 1); /* the other end stays open until we end */
}

/* What the kit's case does otherwise. */
static void start_modgate(struct scripted *kit, const struct sock_filter *program, unsigned short count) {
        const struct keeper_config config = { .kernel = scripted_interface(), .report = kit->report };
        int socket, listener;

        CHECK_EQUAL(keeper_start(&config, &socket), 0);
        CHECK_EQUAL(filter_install(program, count, &listener), 0);
        CHECK_EQUAL(keeper_give_listener_dup_fd(socket, listener), 0);
        (void)close(listener);
        (void)close(socket);
}

static void test_not_visible(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        struct sock_filter *program;
        unsigned short count;
        pid_t pid;

        make_pid_namespace();
        CHECK_EQUAL(filter_build(&program, &count), 0);
        start_modgate(kit, program, count);
        CHECK_EQUAL(call_path(alpha->path), kit->bare[0]);
        CHECK_EQUAL(alpha->loads, 0);
        /* our children are in that namespace, and visible */
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
                _exit(call_path(beta->path));
        CHECK_EQUAL(wait_for(pid), 0);
        CHECK_EQUAL(beta->loads, 1);
}

static void after_not_visible(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "caller-not-visible"), 1);
        CHECK_EQUAL(scripted_continued(report), 1);
}

/* There it has the /proc of another pid namespace, in which the ids of callers mean others: it does not start. */
static void test_foreign_proc(struct scripted *kit) {
        const struct keeper_config config = { .kernel = scripted_interface(), .report = kit->report };
        int socket;

        make_pid_namespace();
        CHECK_EQUAL(umount2("/proc", MNT_DETACH), 0);
        CHECK(keeper_start(&config, &socket) < 0);
        CHECK_EQUAL(scripted_log_lines(kit, "No such process"), 1);
        _exit(EXIT_SUCCESS);
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "leader_gone", .body = test_leader_gone, .after = scripted_after_no_continue },
                { .name = "own_file_table", .body = test_own_file_table, .after = scripted_after_no_continue },
                { .name = "own_capabilities",
                  .prepare = prepare_own_capabilities,
                  .body = test_own_capabilities,
                  .after = after_own_capabilities },
                { .name = "vfork", .body = test_vfork, .after = scripted_after_no_continue },
#ifdef __x86_64__
                { .name = "i386", .prepare = prepare_i386, .body = test_i386 },
                { .name = "i386_joins",
                  .prepare = prepare_i386,
                  .body = test_i386_joins,
                  .after = scripted_after_no_continue },
                { .name = "x32", .prepare = prepare_x32, .body = test_x32, .after = after_x32 },
#endif
                { .name = "child_pid_namespace",
                  .body = test_child_pid_namespace,
                  .after = scripted_after_no_continue },
                { .name = "not_visible",
                  .starts_itself = true,
                  .prepare = scripted_prepare_bare,
                  .body = test_not_visible,
                  .after = after_not_visible },
                { .name = "foreign_proc", .starts_itself = true, .loses_keeper = true, .body = test_foreign_proc },
        };

        return scripted_main(argc, argv, tests, SCRIPTED_COUNT(tests));
}
