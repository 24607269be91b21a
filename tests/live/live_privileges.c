/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What modgate's processes could do if they were taken over: seen from outside, in /proc, and tried from inside.
 * (Linked with --wrap= for confinement_enter, behind which each process tries what it must not be able to do.)
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confinement.h"
#include "launch/standin.h"
#include "privilege.h"
#include "scripted.h"
#include "scripted_images.h"
#include "scripted_private.h"

/* What each process tries */

static int result(long r) {
        return r < 0 ? errno : 0;
}

static int try_exec(void) {
        char *const nothing[] = { NULL };

        return result(execve("/bin/true", nothing, nothing));
}

static int try_fork(void) {
        long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

        if (pid == 0)
                _exit(EXIT_SUCCESS);
        return result(pid);
}

static int try_socket(void) {
        return result(socket(AF_INET, SOCK_STREAM, 0));
}

static int try_connect(void) {
        return result(connect(3, NULL, 0));
}

static int try_trace(void) {
        return result(ptrace(PTRACE_SEIZE, getppid(), NULL, NULL));
}

static int try_signal(void) {
        return result(kill(getppid(), 0));
}

/* On behalf of whoever owns the descriptor the kernel would do it. */
static int try_signal_by_descriptor(void) {
        return result(fcntl(STDERR_FILENO, F_SETOWN, getppid()));
}

static int try_read_memory(void) {
        char byte;
        struct iovec to = { .iov_base = &byte, .iov_len = 1 }, from = to;

        return result(process_vm_readv(getppid(), &to, 1, &from, 1, 0));
}

static int try_mount(void) {
        return result(mount("none", "/", NULL, MS_REMOUNT | MS_BIND, NULL));
}

static int try_namespace(void) {
        return result(unshare(CLONE_NEWUSER));
}

static int try_other_user(void) {
        return result(setuid(1000));
}

static int try_execute_data(void) {
        void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        return page == MAP_FAILED ? errno : 0;
}

static int try_make_executable(void) {
        void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        return page == MAP_FAILED ? 0 : result(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

static int try_terminal(void) {
        return result(ioctl(STDERR_FILENO, TIOCSTI, "x"));
}

static int try_add_descriptor(void) {
        struct seccomp_notif_addfd addfd = { 0 };

        return result(ioctl(4, SECCOMP_IOCTL_NOTIF_ADDFD, &addfd));
}

static int try_bpf(void) {
        return result(syscall(SYS_bpf, 0, NULL, 0));
}

static int try_finit(void) {
        return result(syscall(SYS_finit_module, -1, "", 0));
}

static int try_init(void) {
        return result(syscall(SYS_init_module, NULL, 0, ""));
}

static int try_remove_module(void) {
        return result(syscall(SYS_delete_module, "mg_none", 0));
}

static int try_open(void) {
        return result(open("/dev/null", O_RDONLY));
}

static int try_write(void) {
        return result(open("/dev/null", O_WRONLY));
}

static int try_create(void) {
        return result(open("/tmp/modgate-live-none", O_RDONLY | O_CREAT, 0600));
}

static int try_truncate(void) {
        return result(open("/dev/null", O_RDONLY | O_TRUNC));
}

static int try_unlink(void) {
        return result(unlink("/tmp/modgate-live-none"));
}

#define SUPERVISOR (1U << CONFINED_SUPERVISOR)
#define LOADER (1U << CONFINED_LOADER)
#define INSPECTOR (1U << CONFINED_INSPECTOR)
#define DECIDER (1U << CONFINED_DECIDER) /* of modgate mediate */
#define ALL (SUPERVISOR | LOADER | INSPECTOR | DECIDER)

/* The loader of the kit makes and removes files, as no real one does. */
static const struct attempt {
        const char *name;
        int (*make)(void);
        unsigned int forbidden_to;
} attempts[] = {
        { "execute a program", try_exec, ALL },
        { "fork", try_fork, ALL },
        { "open a socket", try_socket, ALL },
        { "connect", try_connect, ALL },
        { "trace the keeper", try_trace, ALL },
        { "signal the keeper", try_signal, ALL },
        { "have the kernel signal the keeper", try_signal_by_descriptor, ALL },
        { "read the keeper's memory", try_read_memory, ALL },
        { "mount", try_mount, ALL },
        { "make a user namespace", try_namespace, ALL },
        { "become another user", try_other_user, ALL },
        { "map memory to execute it", try_execute_data, ALL },
        { "make memory executable", try_make_executable, ALL },
        { "type on the terminal", try_terminal, ALL },
        { "put a descriptor into a caller", try_add_descriptor, ALL },
        { "load a BPF program", try_bpf, ALL },
        { "load a file", try_finit, ALL },
        { "load an image", try_init, ALL },
        { "remove a module", try_remove_module, ALL },
        { "open a file", try_open, INSPECTOR },
        { "open a file to write", try_write, SUPERVISOR | INSPECTOR | DECIDER },
        { "create a file", try_create, SUPERVISOR | INSPECTOR | DECIDER },
        { "truncate a file", try_truncate, SUPERVISOR | INSPECTOR | DECIDER },
        { "remove a file", try_unlink, SUPERVISOR | INSPECTOR | DECIDER },
};

#define ATTEMPTS SCRIPTED_COUNT(attempts)
#define NOT_TRIED (-1)

static struct {
        bool by_landlock_alone; /* the inspector has no filter */
        _Atomic bool done[CONFINED_ROLES];
        int results[CONFINED_ROLES][ATTEMPTS];
        int landlock; /* what became of an attempt to open a file */
} * tried;

int __real_confinement_enter(const struct confinement *confinement, enum confinement_role role);
int __wrap_confinement_enter(const struct confinement *confinement, enum confinement_role role);

static int enter_landlock_alone(const struct confinement *confinement) {
        static struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        struct confinement open = *confinement;
        int r;

        open.program[CONFINED_INSPECTOR] = &all;
        open.count[CONFINED_INSPECTOR] = 1;
        r = __real_confinement_enter(&open, CONFINED_INSPECTOR);
        tried->landlock = try_open();
        tried->done[CONFINED_INSPECTOR] = true;
        return r;
}

int __wrap_confinement_enter(const struct confinement *confinement, enum confinement_role role) {
        int r;

        if (role == CONFINED_INSPECTOR && tried->by_landlock_alone)
                return enter_landlock_alone(confinement);
        r = __real_confinement_enter(confinement, role);
        for (size_t i = 0; i < ATTEMPTS; i++)
                if (attempts[i].forbidden_to & (1U << role))
                        tried->results[role][i] = attempts[i].make();
        tried->done[role] = true;
        return r;
}

/* Before the keeper is started, which shares it. */
static void prepare(struct scripted *kit) {
        (void)kit;
        tried = mmap(NULL, sizeof(*tried), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(tried != MAP_FAILED);
        for (size_t role = 0; role < CONFINED_ROLES; role++)
                for (size_t i = 0; i < ATTEMPTS; i++)
                        tried->results[role][i] = NOT_TRIED;
}

static void prepare_landlock(struct scripted *kit) {
        prepare(kit);
        tried->by_landlock_alone = true;
}

static void await_attempts(enum confinement_role role) {
        while (!tried->done[role])
                scripted_sleep_ms(1);
}

/* No tree has one. */
static void enter_as_decider(void) {
        struct confinement confinement;
        pid_t pid;
        int status;

        CHECK_EQUAL(confinement_init(&confinement, scripted_interface()), 0);
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
                _exit(privilege_keep(NULL, 0, false) == 0 && confinement_enter(&confinement, CONFINED_DECIDER) == 0
                              ? EXIT_SUCCESS
                              : EXIT_FAILURE);
        CHECK_EQUAL(waitpid(pid, &status, 0), pid);
        CHECK_EQUAL(status, 0);
}

static void test_attempts(struct scripted *kit) {
        bool all_failed = true;

        enter_as_decider();
        for (enum confinement_role role = 0; role < CONFINED_ROLES; role++) {
                await_attempts(role);
                for (size_t i = 0; i < ATTEMPTS; i++)
                        if ((attempts[i].forbidden_to & (1U << role)) && tried->results[role][i] != EPERM) {
                                printf("# role %u could %s: %d\n", role, attempts[i].name, tried->results[role][i]);
                                all_failed = false;
                        }
        }
        CHECK(all_failed);
        /* and they do what they are there for */
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "alpha"))), 0);
}

static void test_landlock(struct scripted *kit) {
        long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
        struct scripted_call like = scripted_call_with(scripted_module(kit, "alpha"), "x=1", 0);

        await_attempts(CONFINED_INSPECTOR);
        if (version < 1)
                printf("# this kernel has no Landlock\n");
        CHECK_EQUAL(tried->landlock, version < 1 ? 0 : EACCES);
        CHECK_EQUAL(scripted_one(kit, like), 0);
        CHECK_EQUAL(strcmp(scripted_module(kit, "alpha")->record[0].params, "x=1"), 0);
        /* and it still reads callers' memory */
        CHECK_EQUAL(scripted_one(kit, scripted_image_call(kit, scripted_module(kit, "gamma"), "one")), 0);
}

/* From outside */

#define CAPABILITY(name) (1ULL << (name))

struct status {
        unsigned long long inheritable, permitted, effective, bounding, ambient;
        unsigned int no_new_privileges, seccomp;
};

static struct status status_of(pid_t pid) {
        struct status status = { .seccomp = 99 };
        char path[64], line[256];
        FILE *file;

        (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
        file = fopen(path, "re");
        CHECK(file != NULL);
        while (fgets(line, sizeof(line), file)) {
                (void)sscanf(line, "CapInh: %llx", &status.inheritable);
                (void)sscanf(line, "CapPrm: %llx", &status.permitted);
                (void)sscanf(line, "CapEff: %llx", &status.effective);
                (void)sscanf(line, "CapBnd: %llx", &status.bounding);
                (void)sscanf(line, "CapAmb: %llx", &status.ambient);
                (void)sscanf(line, "NoNewPrivs: %u", &status.no_new_privileges);
                (void)sscanf(line, "Seccomp: %u", &status.seccomp);
        }
        (void)fclose(file);
        return status;
}

static void check_status(pid_t pid, unsigned long long permitted, unsigned long long effective, bool filtered) {
        struct status status = status_of(pid);

        CHECK_EQUAL(status.permitted, permitted);
        CHECK_EQUAL(status.effective, effective);
        CHECK_EQUAL(status.bounding, permitted);
        CHECK_EQUAL(status.inheritable, 0);
        CHECK_EQUAL(status.ambient, 0);
        CHECK_EQUAL(status.no_new_privileges, 1);
        if (filtered)
                CHECK_EQUAL(status.seccomp, SECCOMP_MODE_FILTER);
}

static void test_capabilities(struct scripted *kit) {
        const unsigned long long keeper = CAPABILITY(CAP_SYS_MODULE) | CAPABILITY(CAP_SYS_PTRACE) |
                                          CAPABILITY(CAP_SETPCAP) | CAPABILITY(CAP_DAC_OVERRIDE);

        for (enum confinement_role role = CONFINED_SUPERVISOR; role <= CONFINED_INSPECTOR; role++)
                await_attempts(role);
        check_status(scripted_await_process(kit, "modgate-keeper"), keeper, 0, false);
        check_status(scripted_await_process(kit, "modgate-superv"), CAPABILITY(CAP_SYS_PTRACE),
                     CAPABILITY(CAP_SYS_PTRACE), true);
        check_status(scripted_await_process(kit, "modgate-loader"), CAPABILITY(CAP_SYS_MODULE),
                     CAPABILITY(CAP_SYS_MODULE), true);
        check_status(scripted_await_process(kit, "modgate-inspect"), 0, 0, true);
        check_status(scripted_await_process(kit, "modgate-tracer"), CAPABILITY(CAP_DAC_OVERRIDE),
                     CAPABILITY(CAP_DAC_OVERRIDE), false);
}

static bool is_stand_in(const struct scripted_status *status, void *context) {
        pid_t *pid = context;

        /* nobody else has been forked here */
        if (status->parent == getppid() && status->pid != getpid() && strncmp(status->name, "modgate-", 8) != 0)
                *pid = status->pid;
        return *pid != 0;
}

static void test_stand_in(struct scripted *kit) {
        pid_t pid = 0;
        int socket;

        (void)kit;
        CHECK_EQUAL(standin_start(&socket), 0);
        CHECK(scripted_each_process(is_stand_in, &pid));
        check_status(pid, 0, 0, false);
        (void)close(socket);
}

/* Where a descriptor leads that a process has for its work; a socket, pipe or the like has a name with a colon. */
static bool is_expected(const struct scripted *kit, const char *target) {
        return strncmp(target, "socket:", 7) == 0 || strncmp(target, "pipe:", 5) == 0 ||
               strncmp(target, "anon_inode:", 11) == 0 || strcmp(target, "/dev/null") == 0 ||
               strcmp(target, "/proc") == 0 || strcmp(target, kit->log) == 0 ||
               strcmp(target, kit->uevent_seqnum) == 0 || strcmp(target, kit->modules_disabled) == 0 ||
               strncmp(target, kit->sysfs, strlen(kit->sysfs)) == 0;
}

/* How many it has. */
static unsigned int check_descriptors(const struct scripted *kit, pid_t pid) {
        unsigned int count = 0;

        for (int fd = 0; fd < 256; fd++) {
                char path[64], target[SCRIPTED_PATH_MAX];
                ssize_t length;

                (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
                length = readlink(path, target, sizeof(target) - 1);
                if (length < 0)
                        continue;
                target[length] = '\0';
                if (!is_expected(kit, target))
                        printf("# descriptor %d of %d: %s\n", fd, (int)pid, target);
                CHECK(is_expected(kit, target));
                count++;
        }
        return count;
}

static void test_descriptors(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), 0);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(alpha)), EEXIST);
        /* the standard ones, and the socket to the supervisor */
        CHECK_EQUAL(check_descriptors(kit, scripted_await_process(kit, "modgate-loader")), 4);
        CHECK_EQUAL(check_descriptors(kit, scripted_await_process(kit, "modgate-inspect")), 4);
        CHECK(check_descriptors(kit, scripted_await_process(kit, "modgate-superv")) > 6);
        CHECK(check_descriptors(kit, scripted_await_process(kit, "modgate-keeper")) > 6);
}

/* Memory: one of root's processes without any capability, as an inspector that was taken over */

static int open_memory(pid_t pid) {
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
        return result(open(path, O_RDONLY | O_CLOEXEC));
}

static pid_t start_sleeper(void) {
        pid_t pid = fork();

        CHECK(pid >= 0);
        if (pid > 0)
                return pid;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
                (void)pause();
}

static void look_into_all(struct scripted *kit, pid_t sleeper) {
        static const char *const names[] = { "modgate-keeper", "modgate-superv", "modgate-loader", "modgate-inspect" };

        /* this process can look into others … */
        CHECK_EQUAL(open_memory(sleeper), 0);
        for (size_t i = 0; i < SCRIPTED_COUNT(names); i++)
                CHECK_EQUAL(open_memory(scripted_await_process(kit, names[i])), EACCES);
}

static void test_memory(struct scripted *kit) {
        int status;
        pid_t pid;

        await_attempts(CONFINED_INSPECTOR);
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
                CHECK_EQUAL(privilege_keep(NULL, 0, false), 0);
                pid = start_sleeper();
                look_into_all(kit, pid);
                CHECK_EQUAL(kill(pid, SIGKILL), 0);
                _exit(EXIT_SUCCESS);
        }
        CHECK_EQUAL(waitpid(pid, &status, 0), pid);
        CHECK_EQUAL(status, 0);
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "attempts", .prepare = prepare, .body = test_attempts },
                { .name = "landlock", .prepare = prepare_landlock, .body = test_landlock },
                { .name = "capabilities", .prepare = prepare, .body = test_capabilities, .traced = true },
                { .name = "stand_in", .prepare = prepare, .body = test_stand_in },
                { .name = "descriptors", .prepare = prepare, .body = test_descriptors },
                { .name = "memory", .prepare = prepare, .body = test_memory },
        };

        return scripted_main(argc, argv, tests, SCRIPTED_COUNT(tests));
}
