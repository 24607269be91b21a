/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Calls that are left to the kernel: the caller sees what it would have seen without modgate, no loader hears of them,
 * and the report says why. Each is made twice, bare and supervised, by the same code.
 */

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file_times.h"
#include "modgate/module.h"
#include "scripted.h"

struct odd_call {
        const char *reason; /* in the report */
        struct scripted_call (*make)(struct scripted *kit);
};

static struct scripted_call good_call(struct scripted *kit) {
        return scripted_call_of(scripted_module(kit, "alpha"));
}

static struct scripted_call with_fd(int fd) {
        return (struct scripted_call){ .fd = fd, .params = "" };
}

static struct scripted_call opened(const char *path, int flags) {
        return (struct scripted_call){ .path = path, .open_flags = flags, .params = "" };
}

/* Descriptors */

static struct scripted_call negative_descriptor(struct scripted *kit) {
        (void)kit;
        return with_fd(-1);
}

static struct scripted_call closed_descriptor(struct scripted *kit) {
        (void)kit;
        return with_fd(999);
}

static struct scripted_call write_only(struct scripted *kit) {
        return opened(scripted_module(kit, "alpha")->path, O_WRONLY);
}

static struct scripted_call path_only(struct scripted *kit) {
        return opened(scripted_module(kit, "alpha")->path, O_PATH);
}

/* Files */

static struct scripted_call directory(struct scripted *kit) {
        return opened(kit->directory, O_DIRECTORY);
}

static struct scripted_call fifo(struct scripted *kit) {
        static char path[SCRIPTED_PATH_MAX];

        (void)snprintf(path, sizeof(path), "%s/fifo.ko", kit->directory);
        CHECK(mkfifo(path, 0600) == 0 || errno == EEXIST);
        return opened(path, O_NONBLOCK);
}

static struct scripted_call device(struct scripted *kit) {
        (void)kit;
        return opened("/dev/zero", 0);
}

static struct scripted_call pipe_end(struct scripted *kit) {
        int ends[2];

        (void)kit;
        CHECK_EQUAL(pipe2(ends, O_CLOEXEC), 0);
        return with_fd(ends[0]);
}

static struct scripted_call empty_file(struct scripted *kit) {
        static char path[SCRIPTED_PATH_MAX];
        int fd;

        (void)snprintf(path, sizeof(path), "%s/empty.ko", kit->directory);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        CHECK(fd >= 0);
        (void)close(fd);
        return opened(path, 0);
}

/* Flags and parameters */

static struct scripted_call unknown_flag(struct scripted *kit) {
        struct scripted_call call = good_call(kit);

        call.flags = 8;
        return call;
}

static struct scripted_call highest_flag(struct scripted *kit) {
        struct scripted_call call = good_call(kit);

        call.flags = (int)0x80000004U;
        return call;
}

static struct scripted_call null_params(struct scripted *kit) {
        struct scripted_call call = good_call(kit);

        call.params = NULL;
        return call;
}

static struct scripted_call kernel_params(struct scripted *kit) {
        struct scripted_call call = good_call(kit);

        call.params = (const char *)(UINTPTR_MAX - 4096);
        return call;
}

/* Readable memory that ends before the string does. */
static struct scripted_call cut_params(struct scripted *kit) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        struct scripted_call call = good_call(kit);

        CHECK(memory != MAP_FAILED);
        memset(memory, 'a', page);
        CHECK_EQUAL(munmap(memory + page, page), 0);
        call.params = memory + page - 10;
        return call;
}

static struct scripted_call long_params_of(struct scripted *kit, size_t length) {
        struct scripted_call call = good_call(kit);
        char *text = malloc(length + 1);

        CHECK(text != NULL);
        memset(text, 'a', length);
        text[length] = '\0';
        call.params = text;
        return call;
}

static struct scripted_call one_byte_too_long(struct scripted *kit) {
        return long_params_of(kit, MODULE_PARAMS_MAX + 1);
}

static struct scripted_call much_too_long(struct scripted *kit) {
        return long_params_of(kit, 3 * MODULE_PARAMS_MAX);
}

/* Callers */

static void drop_capability(void) {
        static const cap_value_t module = CAP_SYS_MODULE;
        cap_t capabilities = cap_get_proc();

        CHECK(capabilities != NULL);
        CHECK_EQUAL(cap_set_flag(capabilities, CAP_EFFECTIVE, 1, &module, CAP_CLEAR), 0);
        CHECK_EQUAL(cap_set_proc(capabilities), 0);
        (void)cap_free(capabilities);
}

static struct scripted_call without_capability(struct scripted *kit) {
        struct scripted_call call = good_call(kit);

        call.prepare = drop_capability;
        return call;
}

static void become_nobody(void) {
        /* not dumpable then: its /proc/PID/fd is for CAP_SYS_PTRACE only */
        CHECK_EQUAL(setgid(65534), 0);
        CHECK_EQUAL(setuid(65534), 0);
}

static struct scripted_call unprivileged(struct scripted *kit) {
        static struct scripted_call call;

        call = good_call(kit);
        call.fd = open(call.path, O_RDONLY | O_CLOEXEC);
        call.path = NULL;
        CHECK(call.fd >= 0);
        call.prepare = become_nobody;
        return call;
}

static void enter_user_namespace(void) {
        CHECK_EQUAL(unshare(CLONE_NEWUSER), 0);
}

static struct scripted_call in_user_namespace(struct scripted *kit) {
        struct scripted_call call = good_call(kit);

        call.fd = open(call.path, O_RDONLY | O_CLOEXEC);
        call.path = NULL;
        CHECK(call.fd >= 0);
        call.prepare = enter_user_namespace;
        return call;
}

/* init_module */

static struct scripted_call image(struct scripted *kit) {
        struct scripted_call call = good_call(kit);

        call.image = true;
        return call;
}

static const struct odd_call odd_calls[] = {
        { "bad-descriptor", negative_descriptor },
        { "bad-descriptor", closed_descriptor },
        { "bad-descriptor", write_only },
        { "bad-descriptor", path_only },
        { "not-a-regular-file", directory },
        { "not-a-regular-file", fifo },
        { "not-a-regular-file", device },
        { "not-a-regular-file", pipe_end },
        { "not-a-regular-file", empty_file },
        { "unknown-flags", unknown_flag },
        { "unknown-flags", highest_flag },
        { "memory-unreadable", null_params },
        { "memory-unreadable", kernel_params },
        { "memory-unreadable", cut_params },
        { "parameters-too-long", one_byte_too_long },
        { "parameters-too-long", much_too_long },
        { "no-capability", without_capability },
        { "no-capability", unprivileged },
        { "other-user-namespace", in_user_namespace },
        { "image-not-understood", image },
};

static void make_odd_calls_bare(struct scripted *kit) {
        for (unsigned int i = 0; i < SCRIPTED_COUNT(odd_calls); i++)
                kit->bare[i] = scripted_one(kit, odd_calls[i].make(kit));
}

static void test_odd_calls(struct scripted *kit) {
        for (unsigned int i = 0; i < SCRIPTED_COUNT(odd_calls); i++) {
                int error = scripted_one(kit, odd_calls[i].make(kit));

                if (error != kit->bare[i])
                        printf("# call %u (%s)\n", i, odd_calls[i].reason);
                CHECK_EQUAL(error, kit->bare[i]);
        }
        CHECK_EQUAL(scripted_module(kit, "alpha")->loads, 0);
        /* and it still works */
        CHECK_EQUAL(scripted_one(kit, good_call(kit)), 0);
}

static void check_reasons(struct scripted *kit, struct json_object *report) {
        (void)kit;
        for (unsigned int i = 0; i < SCRIPTED_COUNT(odd_calls); i++) {
                unsigned int expected = 0;

                for (unsigned int j = 0; j < SCRIPTED_COUNT(odd_calls); j++)
                        expected += strcmp(odd_calls[j].reason, odd_calls[i].reason) == 0;
                if (scripted_number(report, "continued", odd_calls[i].reason) != expected)
                        printf("# reason %s\n", odd_calls[i].reason);
                CHECK_EQUAL(scripted_number(report, "continued", odd_calls[i].reason), expected);
        }
        CHECK_EQUAL(scripted_continued(report), SCRIPTED_COUNT(odd_calls));
}

/* kernel.modules_disabled beats everything, EEXIST included. */
static void set_disabled(struct scripted *kit, const char *text) {
        int fd = open(kit->modules_disabled, O_WRONLY | O_CLOEXEC);

        CHECK(fd >= 0);
        CHECK_EQUAL(pwrite(fd, text, 1, 0), 1);
        (void)close(fd);
}

static void test_modules_disabled(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        set_disabled(kit, "1");
        CHECK_EQUAL(scripted_one(kit, good_call(kit)), kit->bare[0]);
        CHECK_EQUAL(alpha->loads, 0);
        scripted_set_state(kit, alpha, "live");
        CHECK_EQUAL(scripted_one(kit, good_call(kit)), kit->bare[0]);
        set_disabled(kit, "0");
        CHECK_EQUAL(scripted_one(kit, good_call(kit)), EEXIST);
}

static void after_modules_disabled(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "modules-disabled"), 2);
        CHECK_EQUAL(scripted_continued(report), 2);
}

/* A caller that cannot be dumped has a /proc that is root's, and is served like any other. */
static void lose_root_but_not_the_capability(void) {
        static const cap_value_t module = CAP_SYS_MODULE;
        cap_t capabilities = cap_init();

        CHECK(capabilities != NULL);
        CHECK_EQUAL(cap_setuid(65534), 0); /* keeps what is permitted */
        CHECK_EQUAL(cap_set_flag(capabilities, CAP_PERMITTED, 1, &module, CAP_SET), 0);
        CHECK_EQUAL(cap_set_flag(capabilities, CAP_EFFECTIVE, 1, &module, CAP_SET), 0);
        CHECK_EQUAL(cap_set_proc(capabilities), 0);
        (void)cap_free(capabilities);
}

static void test_caller_that_cannot_be_dumped(struct scripted *kit) {
        struct scripted_call call = good_call(kit);

        call.fd = open(call.path, O_RDONLY | O_CLOEXEC);
        call.path = NULL;
        CHECK(call.fd >= 0);
        call.prepare = lose_root_but_not_the_capability;
        CHECK_EQUAL(scripted_one(kit, call), 0);
        CHECK_EQUAL(scripted_module(kit, "alpha")->loads, 1);
}

/* In another mount namespace the path may be anything: the descriptor counts. */
static void leave_mount_namespace(void) {
        CHECK_EQUAL(unshare(CLONE_NEWNS | CLONE_FS), 0);
        CHECK_EQUAL(chroot("/proc"), 0);
}

static void test_caller_elsewhere(struct scripted *kit) {
        struct scripted_call call = good_call(kit);

        call.fd = open(call.path, O_RDONLY | O_CLOEXEC);
        call.path = NULL;
        CHECK(call.fd >= 0);
        call.prepare = leave_mount_namespace;
        CHECK_EQUAL(scripted_one(kit, call), 0);
        CHECK_EQUAL(scripted_module(kit, "alpha")->loads, 1);
        CHECK_EQUAL(strcmp(scripted_module(kit, "alpha")->record[0].file, "indexed"), 0);
}

/* What only happens to modgate itself */

/* The loader has no capability that would open it; the caller has. */
static void test_loader_refused(struct scripted *kit) {
        struct scripted_call call = good_call(kit);
        struct scripted_call *calls;

        CHECK_EQUAL(chmod(call.path, 0), 0);
        CHECK_EQUAL(chown(call.path, 65534, 65534), 0);
        file_times_settle();
        calls = scripted_calls(kit, 4, call);
        scripted_perform(kit, calls, 4);
        CHECK_EQUAL(scripted_count(calls, 4, kit->bare[0]), 4);
        CHECK_EQUAL(scripted_module(kit, "alpha")->loads, 0);
}

static void after_loader_refused(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "loader-refused"), 4);
        CHECK_EQUAL(scripted_continued(report), 4);
}

/* A supervisor that has no descriptor left. */
static void test_no_descriptors(struct scripted *kit) {
        pid_t supervisor = scripted_await_process(kit, "modgate-superv");
        struct rlimit none = { .rlim_cur = 3 }, before;

        /* it has all that the keeper gives it */
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "beta"))), 0);
        CHECK_EQUAL(prlimit(supervisor, RLIMIT_NOFILE, NULL, &before), 0);
        none.rlim_max = before.rlim_max;
        CHECK_EQUAL(prlimit(supervisor, RLIMIT_NOFILE, &none, NULL), 0);
        CHECK_EQUAL(scripted_one(kit, good_call(kit)), kit->bare[0]);
        CHECK_EQUAL(prlimit(supervisor, RLIMIT_NOFILE, &before, NULL), 0);
        CHECK_EQUAL(scripted_one(kit, good_call(kit)), 0);
        CHECK_EQUAL(scripted_module(kit, "alpha")->loads, 1);
}

static void after_no_descriptors(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "internal"), 1);
        CHECK_EQUAL(scripted_continued(report), 1);
        CHECK_EQUAL(scripted_number(report, "totals", "supervisor_starts"), 1);
}

/* Follows the supervisor until it has received a request, and leaves it standing there. */
static void stop_after_receiving(pid_t supervisor) {
        bool receiving = false;

        for (;;) {
                struct __ptrace_syscall_info call;
                int status;

                CHECK_EQUAL(waitpid(supervisor, &status, __WALL), supervisor);
                CHECK(WIFSTOPPED(status));
                if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
                        CHECK(ptrace(PTRACE_GET_SYSCALL_INFO, supervisor, sizeof(call), &call) > 0);
                        if (call.op == PTRACE_SYSCALL_INFO_ENTRY)
                                receiving =
                                        call.entry.nr == SYS_ioctl && call.entry.args[1] == SECCOMP_IOCTL_NOTIF_RECV;
                        else if (receiving && call.exit.rval == 0)
                                return;
                }
                CHECK_EQUAL(ptrace(PTRACE_SYSCALL, supervisor, NULL, NULL), 0);
        }
}

/* A caller that dies between its request and our first look: its /proc is gone. */
static void test_caller_gone(struct scripted *kit) {
        pid_t supervisor = scripted_await_process(kit, "modgate-superv");
        struct scripted_call *call = scripted_calls(kit, 1, good_call(kit));

        CHECK_EQUAL(ptrace(PTRACE_SEIZE, supervisor, NULL, PTRACE_O_TRACESYSGOOD), 0);
        CHECK_EQUAL(ptrace(PTRACE_INTERRUPT, supervisor, NULL, NULL), 0);
        scripted_start(kit, call, 1, 0);
        stop_after_receiving(supervisor);
        scripted_kill(call, 1);
        scripted_finish(kit, call, 1);
        CHECK_EQUAL(ptrace(PTRACE_DETACH, supervisor, NULL, NULL), 0);
        CHECK_EQUAL(scripted_one(kit, good_call(kit)), 0);
        CHECK_EQUAL(scripted_module(kit, "alpha")->loads, 1);
}

static void after_caller_gone(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "caller-gone"), 1);
        CHECK_EQUAL(scripted_continued(report), 1);
        CHECK_EQUAL(scripted_number(report, "totals", "gone"), 1);
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "odd_calls", .prepare = make_odd_calls_bare, .body = test_odd_calls, .after = check_reasons },
                { .name = "modules_disabled",
                  .prepare = scripted_prepare_bare,
                  .body = test_modules_disabled,
                  .after = after_modules_disabled },
                { .name = "caller_that_cannot_be_dumped",
                  .body = test_caller_that_cannot_be_dumped,
                  .after = scripted_after_no_continue },
                { .name = "caller_elsewhere", .body = test_caller_elsewhere, .after = scripted_after_no_continue },
                { .name = "loader_refused",
                  .prepare = scripted_prepare_bare,
                  .body = test_loader_refused,
                  .after = after_loader_refused },
                { .name = "no_descriptors",
                  .prepare = scripted_prepare_bare,
                  .body = test_no_descriptors,
                  .after = after_no_descriptors },
                { .name = "caller_gone", .body = test_caller_gone, .after = after_caller_gone },
        };

        return scripted_main(argc, argv, tests, SCRIPTED_COUNT(tests));
}
