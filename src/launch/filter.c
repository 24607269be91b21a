/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launch/filter.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "seccomp_program.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

#define FAMILY_MAX 3

/*
 * Architectures whose programs run on one kernel. Any of them may be the native one: a 32-bit modgate on a 64-bit
 * kernel starts 64-bit programs too. What is in no row has no companion.
 */
static const uint32_t families[][FAMILY_MAX] = {
        { SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_X32 },
        { SCMP_ARCH_AARCH64, SCMP_ARCH_ARM },
        { SCMP_ARCH_S390X, SCMP_ARCH_S390 },
        { SCMP_ARCH_PPC64, SCMP_ARCH_PPC },
        { SCMP_ARCH_MIPS64, SCMP_ARCH_MIPS64N32, SCMP_ARCH_MIPS },
        { SCMP_ARCH_MIPSEL64, SCMP_ARCH_MIPSEL64N32, SCMP_ARCH_MIPSEL },
        { SCMP_ARCH_PARISC64, SCMP_ARCH_PARISC },
};

static int add_family(scmp_filter_ctx context, const uint32_t *family) {
        for (size_t i = 0; i < FAMILY_MAX && family[i] != SCMP_ARCH_NATIVE; i++) {
                int r = seccomp_arch_add(context, family[i]);

                if (r < 0 && r != -EEXIST)
                        return r;
        }

        return 0;
}

static int add_architectures(scmp_filter_ctx context) {
        uint32_t native = seccomp_arch_native();

        for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
                for (size_t j = 0; j < FAMILY_MAX; j++)
                        if (families[i][j] == native)
                                return add_family(context, families[i]);

        return 0;
}

static int add_rules(scmp_filter_ctx context) {
        int r;

        /* The default kills whatever calls with an architecture that libseccomp was not told of. */
        r = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
        if (r < 0)
                return r;

        r = add_architectures(context);
        if (r < 0)
                return r;

        r = seccomp_rule_add(context, SCMP_ACT_NOTIFY, SCMP_SYS(finit_module), 0);
        if (r < 0)
                return r;

        return seccomp_rule_add(context, SCMP_ACT_NOTIFY, SCMP_SYS(init_module), 0);
}

int filter_build(struct sock_filter **ret, unsigned short *ret_count) {
        _cleanup_seccomp_ scmp_filter_ctx context = NULL;
        int r;

        /* libseccomp asks the kernel what it knows before it takes a NOTIFY rule; the launcher does that itself. */
        r = seccomp_api_set(5);
        if (r < 0)
                return r;

        context = seccomp_init(SCMP_ACT_ALLOW);
        if (!context)
                return -ENOMEM;

        r = add_rules(context);
        if (r < 0)
                return r;

        return seccomp_program(context, ret, ret_count);
}

int filter_install(const struct sock_filter *program, unsigned short count, int *ret_listener) {
        struct sock_fprog fprog = { .len = count, .filter = (struct sock_filter *)program };
        unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
        long fd;

        fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &fprog);
        if (fd < 0 && errno == EINVAL)
                fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &fprog);
        if (fd < 0)
                return -errno;

        *ret_listener = (int)fd;
        return 0;
}
