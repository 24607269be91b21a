/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "call.h"

#include <seccomp.h>
#include <stddef.h>

/* arch/x86/include/uapi/asm/unistd.h: x32 calls carry the architecture of x86-64, and this bit in their number. */
#define X32_SYSCALL_BIT 0x40000000

#define ARCHITECTURES_MAX 8

struct numbers {
        uint32_t architecture; /* libseccomp's token: AUDIT_ARCH_*, but for x32 */
        int init_module;
        int finit_module;
};

static uint32_t architecture_of(const struct seccomp_data *data) {
        if (data->arch == SCMP_ARCH_X86_64 && (data->nr & X32_SYSCALL_BIT))
                return SCMP_ARCH_X32;
        return data->arch;
}

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

enum call call_of(const struct seccomp_data *data) {
        struct numbers numbers = numbers_of(architecture_of(data));

        /* libseccomp answers with a negative number for what it does not know */
        if (data->nr < 0)
                return CALL_UNKNOWN;
        if (data->nr == numbers.init_module)
                return CALL_INIT_MODULE;
        if (data->nr == numbers.finit_module)
                return CALL_FINIT_MODULE;
        return CALL_UNKNOWN;
}
