/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "call.h"

#include <linux/audit.h>
#include <seccomp.h>
#include <stddef.h>

#define ARCHITECTURES_MAX 8

struct numbers {
        uint32_t architecture; /* libseccomp's token: AUDIT_ARCH_* */
        int init_module;
        int finit_module;
};

static struct numbers ask(uint32_t architecture) {
        return (struct numbers){
                .architecture = architecture,
                .init_module = seccomp_syscall_resolve_name_arch(architecture, "init_module"),
                .finit_module = seccomp_syscall_resolve_name_arch(architecture, "finit_module"),
        };
}

static struct numbers numbers_of(uint32_t architecture) {
        static struct numbers known[ARCHITECTURES_MAX];
        static size_t count;

        for (size_t i = 0; i < count; i++)
                if (known[i].architecture == architecture)
                        return known[i];
        if (count == ARCHITECTURES_MAX)
                return ask(architecture);
        return known[count++] = ask(architecture);
}

/*
 * An x32 call has the architecture of x86-64, and a bit of its own in its number: it is none that is known here, so the
 * kernel gets it. Most kernels have no x32 and say ENOSYS; to try that ourselves could be our end, under a filter like
 * that of systemd's SystemCallArchitectures.
 */
enum call call_of(const struct seccomp_data *data) {
        struct numbers numbers = numbers_of(data->arch);

        /* libseccomp answers with a negative number for what it does not know */
        if (data->nr < 0)
                return CALL_UNKNOWN;
        if (data->nr == numbers.init_module)
                return CALL_INIT_MODULE;
        if (data->nr == numbers.finit_module)
                return CALL_FINIT_MODULE;
        return CALL_UNKNOWN;
}

uint64_t call_argument(const struct seccomp_data *data, unsigned int index) {
        return data->arch & __AUDIT_ARCH_64BIT ? data->args[index] : (uint32_t)data->args[index];
}
