/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "confinement.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "notify.h"
#include "seccomp_program.h"
#include "util/fd.h"

/* Memory, messages over the sockets there are, a line of log, the end. On 32 bits some have other names. */
static const int calls_of_all[] = {
        SCMP_SYS(brk),
        SCMP_SYS(munmap),
        SCMP_SYS(mremap),
        SCMP_SYS(madvise),
        SCMP_SYS(recvmsg),
        SCMP_SYS(recvfrom),
        SCMP_SYS(recv),
        SCMP_SYS(sendmsg),
        SCMP_SYS(sendto),
        SCMP_SYS(send),
        SCMP_SYS(read),
        SCMP_SYS(pread64),
        SCMP_SYS(write),
        SCMP_SYS(writev),
        SCMP_SYS(close),
        SCMP_SYS(fstat),
        SCMP_SYS(fstat64),
        SCMP_SYS(poll),
        SCMP_SYS(ppoll),
        SCMP_SYS(ppoll_time64),
        SCMP_SYS(futex),
        SCMP_SYS(futex_time64),
        SCMP_SYS(getrandom),
        SCMP_SYS(getpid),
        SCMP_SYS(gettid),
        SCMP_SYS(clock_gettime),
        SCMP_SYS(clock_gettime64),
        SCMP_SYS(gettimeofday),
        SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(rt_sigpending),
        SCMP_SYS(rt_sigtimedwait),
        SCMP_SYS(rt_sigtimedwait_time64),
        SCMP_SYS(rt_sigreturn),
        SCMP_SYS(restart_syscall),
        SCMP_SYS(exit),
        SCMP_SYS(exit_group),
};

/* It looks at callers through /proc, asks for their capabilities, and waits for all that may happen. */
static const int calls_of_supervisor[] = {
        SCMP_SYS(readlink),   SCMP_SYS(readlinkat),  SCMP_SYS(statx),        SCMP_SYS(newfstatat),
        SCMP_SYS(fstatat64),  SCMP_SYS(access),      SCMP_SYS(faccessat),    SCMP_SYS(faccessat2),
        SCMP_SYS(lseek),      SCMP_SYS(_llseek),     SCMP_SYS(capget),       SCMP_SYS(shutdown),
        SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(epoll_ctl),
};

/* The C library's fstat() may be one of these. */
static const int calls_of_loader[] = {
        SCMP_SYS(statx),
        SCMP_SYS(newfstatat),
        SCMP_SYS(fstatat64),
};

/* Nothing of their own: where they read is handed to them. A copy of an image goes into a new memfd. */
static const int calls_of_inspector[] = {
        SCMP_SYS(memfd_create),
        SCMP_SYS(ftruncate),
        SCMP_SYS(ftruncate64),
};

/* It looks at the host's modules and the configuration of modprobe, and says what it has found. */
static const int calls_of_decider[] = {
        SCMP_SYS(readlink),   SCMP_SYS(readlinkat), SCMP_SYS(stat),       SCMP_SYS(stat64),    SCMP_SYS(lstat),
        SCMP_SYS(lstat64),    SCMP_SYS(statx),      SCMP_SYS(newfstatat), SCMP_SYS(fstatat64), SCMP_SYS(access),
        SCMP_SYS(faccessat),  SCMP_SYS(faccessat2), SCMP_SYS(lseek),      SCMP_SYS(_llseek),   SCMP_SYS(getdents),
        SCMP_SYS(getdents64), SCMP_SYS(uname),      SCMP_SYS(getcwd),     SCMP_SYS(fadvise64),
};

static int allow(scmp_filter_ctx context, const int *calls, size_t count) {
        int r = 0;

        for (size_t i = 0; i < count && r == 0; i++)
                r = seccomp_rule_add(context, SCMP_ACT_ALLOW, calls[i], 0);
        return r;
}

#define ALLOW(context, calls) allow(context, calls, sizeof(calls) / sizeof((calls)[0]))

/* Seals, and no more: with F_SETOWN and F_SETSIG the kernel would send any signal to anybody of the same user. */
static int allow_seals(scmp_filter_ctx context) {
        static const int calls[] = { SCMP_SYS(fcntl), SCMP_SYS(fcntl64) };
        static const unsigned int commands[] = { F_GET_SEALS, F_ADD_SEALS };
        int r = 0;

        for (size_t i = 0; i < 4 && r == 0; i++)
                r = seccomp_rule_add(context, SCMP_ACT_ALLOW, calls[i / 2], 1,
                                     SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, commands[i % 2]));
        return r;
}

/* What fdopen(3) and opendir(3) ask of descriptors. */
static int allow_flags(scmp_filter_ctx context) {
        static const int calls[] = { SCMP_SYS(fcntl), SCMP_SYS(fcntl64) };
        static const unsigned int commands[] = { F_GETFL, F_GETFD, F_SETFD };
        int r = 0;

        for (size_t i = 0; i < 6 && r == 0; i++)
                r = seccomp_rule_add(context, SCMP_ACT_ALLOW, calls[i / 3], 1,
                                     SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, commands[i % 3]));
        return r;
}

/* No page is ever executable that was not before. */
static int allow_data_only(scmp_filter_ctx context) {
        const struct scmp_arg_cmp data = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
        int r = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, data);

        if (r == 0)
                r = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(mmap2), 1, data);
        return r == 0 ? seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, data) : r;
}

/* Whatever it can open, it can only read. */
static int allow_opening_to_read(scmp_filter_ctx context) {
        const unsigned int changes = O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);
        int r = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(open), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, changes, 0));

        return r == 0 ? seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                                         SCMP_A2(SCMP_CMP_MASKED_EQ, changes, 0))
                      : r;
}

/* The listener's, but not the one that puts a descriptor into a caller; and none of a terminal's. */
static int allow_notifications(scmp_filter_ctx context) {
        static const unsigned int requests[] = {
                SECCOMP_IOCTL_NOTIF_RECV,
                SECCOMP_IOCTL_NOTIF_SEND,
                SECCOMP_IOCTL_NOTIF_ID_VALID,
                NOTIFY_IOCTL_SET_FLAGS,
        };
        int r = 0;

        for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]) && r == 0; i++)
                r = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                                     SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, requests[i]));
        return r;
}

/* When it has no use for uevents any more. */
static int allow_leaving_uevents(scmp_filter_ctx context) {
        return seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 2,
                                SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, SOL_NETLINK),
                                SCMP_A2(SCMP_CMP_MASKED_EQ, UINT32_MAX, NETLINK_DROP_MEMBERSHIP));
}

static int allow_loading(scmp_filter_ctx context, const struct kernel_interface *kernel) {
        size_t count = 0;

        while (kernel->load_calls[count] != -1)
                count++;
        return allow(context, kernel->load_calls, count);
}

static int allow_role(scmp_filter_ctx context, enum confinement_role role, const struct kernel_interface *kernel) {
        int r = ALLOW(context, calls_of_all);

        if (r == 0)
                r = allow_seals(context);
        if (r == 0)
                r = allow_data_only(context);
        if (r < 0)
                return r;
        switch (role) {
        case CONFINED_SUPERVISOR:
                r = ALLOW(context, calls_of_supervisor);
                if (r == 0)
                        r = allow_notifications(context);
                if (r == 0)
                        r = allow_leaving_uevents(context);
                return r == 0 ? allow_opening_to_read(context) : r;
        case CONFINED_LOADER:
                r = ALLOW(context, calls_of_loader);
                if (r == 0)
                        r = allow_opening_to_read(context);
                return r == 0 ? allow_loading(context, kernel) : r;
        case CONFINED_INSPECTOR:
                return ALLOW(context, calls_of_inspector);
        case CONFINED_DECIDER:
                r = ALLOW(context, calls_of_decider);
                if (r == 0)
                        r = allow_flags(context);
                return r == 0 ? allow_opening_to_read(context) : r;
        default:
                return -EINVAL;
        }
}

int confinement_init(struct confinement *confinement, const struct kernel_interface *kernel) {
        int r = 0;

        for (enum confinement_role role = 0; role < CONFINED_ROLES && r == 0; role++) {
                _cleanup_seccomp_ scmp_filter_ctx context = seccomp_init(SCMP_ACT_ERRNO(EPERM));

                if (!context)
                        return -ENOMEM;
                /* a tree of comparisons: the supervisor goes through it many times for each request */
                (void)seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
                r = allow_role(context, role, kernel);
                if (r == 0)
                        r = seccomp_program(context, &confinement->program[role], &confinement->count[role]);
        }
        return r;
}

/* Rights that later versions of Landlock (linux/landlock.h) have added to the first one's. */
#define RIGHTS_OF_1 ((1ULL << 13) - 1)
#define RIGHT_REFER (1ULL << 13)     /* 2: Linux 5.19 */
#define RIGHT_TRUNCATE (1ULL << 14)  /* 3: Linux 6.2 */
#define RIGHT_IOCTL_DEV (1ULL << 15) /* 5: Linux 6.10 */

/* Nothing is allowed beneath any directory. Descriptors that are open already stay as they are. */
static void leave_file_system(void) {
        long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
        struct landlock_ruleset_attr ruleset = { .handled_access_fs = RIGHTS_OF_1 };
        _cleanup_fd_ int fd = -1;

        if (version >= 2)
                ruleset.handled_access_fs |= RIGHT_REFER;
        if (version >= 3)
                ruleset.handled_access_fs |= RIGHT_TRUNCATE;
        if (version >= 5)
                ruleset.handled_access_fs |= RIGHT_IOCTL_DEV;
        if (version >= 1)
                fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0);
        if (fd >= 0)
                (void)syscall(SYS_landlock_restrict_self, fd, 0);
}

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifdef SANITIZED
#define CONFINED 0
#else
#define CONFINED 1
#endif

int confinement_enter(const struct confinement *confinement, enum confinement_role role) {
        struct sock_fprog program = { .len = confinement->count[role], .filter = confinement->program[role] };

        if (role == CONFINED_INSPECTOR)
                leave_file_system();
        if (CONFINED && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
                return -errno;
        return 0;
}
