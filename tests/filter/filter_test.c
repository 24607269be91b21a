/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The exported filter as truth tables: an interpreter of our own runs it over struct seccomp_data. Nothing is
 * installed, except for the last test, in a child.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch/filter.h"

#define X32_SYSCALL_BIT 0x40000000U

static struct sock_filter *program;
static unsigned short program_count;

/* Fails the test on whatever the filter has no business doing: any load but `nr` and `arch` leaves the action cache. */
static uint32_t load(const struct seccomp_data *data, uint32_t offset) {
        if (offset == offsetof(struct seccomp_data, nr))
                return (uint32_t)data->nr;
        if (offset == offsetof(struct seccomp_data, arch))
                return data->arch;

        fail_msg("the filter loads offset %u", offset);
        return 0;
}

static bool jump_taken(uint16_t code, uint32_t a, uint32_t k) {
        switch (BPF_OP(code)) {
        case BPF_JEQ:
                return a == k;
        case BPF_JGT:
                return a > k;
        case BPF_JGE:
                return a >= k;
        case BPF_JSET:
                return (a & k) != 0;
        default:
                fail_msg("jump 0x%x", code);
                return false;
        }
}

static uint32_t run(uint32_t arch, uint32_t nr) {
        const struct seccomp_data data = { .nr = (int)nr, .arch = arch };
        uint32_t a = 0;

        for (uint32_t pc = 0; pc < program_count; pc++) {
                const struct sock_filter *insn = &program[pc];

                if (insn->code == (BPF_RET | BPF_K))
                        return insn->k;
                if (insn->code == (BPF_LD | BPF_W | BPF_ABS))
                        a = load(&data, insn->k);
                else if (insn->code == (BPF_JMP | BPF_JA))
                        pc += insn->k;
                else if (BPF_CLASS(insn->code) == BPF_JMP && BPF_SRC(insn->code) == BPF_K)
                        pc += jump_taken(insn->code, a, insn->k) ? insn->jt : insn->jf;
                else
                        fail_msg("instruction 0x%x at %u", insn->code, pc);
        }

        fail_msg("the program runs past its end");
        return 0;
}

struct row {
        uint32_t arch;
        uint32_t finit_module, init_module;
};

/* Numbers from the kernel's tables, not from libseccomp's. */
static const struct row rows[] = {
#if defined(__x86_64__) || defined(__i386__)
        { AUDIT_ARCH_X86_64, 313, 175 },
        { AUDIT_ARCH_X86_64, X32_SYSCALL_BIT | 313, X32_SYSCALL_BIT | 175 },
        { AUDIT_ARCH_I386, 350, 128 },
#elif defined(__aarch64__)
        { AUDIT_ARCH_AARCH64, 273, 105 },
        { AUDIT_ARCH_ARM, 379, 128 },
#elif defined(__s390x__)
        { AUDIT_ARCH_S390X, 344, 128 },
        { AUDIT_ARCH_S390, 344, 128 },
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        { AUDIT_ARCH_PPC64LE, 353, 128 },
#elif defined(__riscv) && __riscv_xlen == 64
        { AUDIT_ARCH_RISCV64, 273, 105 },
#else
        { 0, SYS_finit_module, SYS_init_module }, /* the native one */
#endif
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static uint32_t row_arch(const struct row *row) {
        return row->arch ? row->arch : seccomp_arch_native();
}

static bool is_trapped(uint32_t arch, uint32_t nr) {
        for (size_t i = 0; i < ROWS; i++)
                if (row_arch(&rows[i]) == arch && (nr == rows[i].finit_module || nr == rows[i].init_module))
                        return true;

        return false;
}

static void test_the_two_calls(void **state) {
        (void)state;
        for (size_t i = 0; i < ROWS; i++) {
                assert_int_equal(run(row_arch(&rows[i]), rows[i].finit_module), SECCOMP_RET_USER_NOTIF);
                assert_int_equal(run(row_arch(&rows[i]), rows[i].init_module), SECCOMP_RET_USER_NOTIF);
        }
}

static void test_every_other_call(void **state) {
        (void)state;
        for (size_t i = 0; i < ROWS; i++)
                for (uint32_t nr = 0; nr < 1024; nr++) {
                        uint32_t arch = row_arch(&rows[i]), x32 = nr | X32_SYSCALL_BIT;

                        if (!is_trapped(arch, nr))
                                assert_int_equal(run(arch, nr), SECCOMP_RET_ALLOW);
                        if (!is_trapped(arch, x32))
                                assert_int_equal(run(arch, x32), SECCOMP_RET_ALLOW);
                }
}

static void test_odd_numbers(void **state) {
        static const uint32_t numbers[] = { UINT32_MAX, UINT32_MAX - 1, 0x80000000U, 0x7fffffffU, 0xc0000139U };

        (void)state;
        for (size_t i = 0; i < ROWS; i++)
                for (size_t j = 0; j < sizeof(numbers) / sizeof(numbers[0]); j++)
                        assert_int_equal(run(row_arch(&rows[i]), numbers[j]), SECCOMP_RET_ALLOW);
}

static void test_unknown_architectures(void **state) {
        static const uint32_t archs[] = { 0, UINT32_MAX, AUDIT_ARCH_SPARC64, AUDIT_ARCH_SH, AUDIT_ARCH_ALPHA };

        (void)state;
        for (size_t i = 0; i < sizeof(archs) / sizeof(archs[0]); i++)
                for (uint32_t nr = 0; nr < 1024; nr++) {
                        assert_int_equal(run(archs[i], nr), SECCOMP_RET_ALLOW);
                        assert_int_equal(run(archs[i], nr | X32_SYSCALL_BIT), SECCOMP_RET_ALLOW);
                }
}

static void test_small(void **state) {
        (void)state;
        assert_in_range(program_count, 1, 63);
}

static bool seccomp_is_usable(void) {
        struct seccomp_notif_sizes sizes;

        return geteuid() == 0 && syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) == 0;
}

/* Exit statuses of the child below. */
enum { INSTALLED_WELL = 0, NOT_INSTALLED, NOT_CLOEXEC, NO_NEW_PRIVS, INSTALLED_TWICE };

static int install(void) {
        int listener = -1, again = -1;

        if (filter_install(program, program_count, &listener) < 0)
                return NOT_INSTALLED;
        if (!(fcntl(listener, F_GETFD) & FD_CLOEXEC))
                return NOT_CLOEXEC;
        if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0)
                return NO_NEW_PRIVS;
        if (filter_install(program, program_count, &again) != -EBUSY)
                return INSTALLED_TWICE;

        return INSTALLED_WELL;
}

static void test_install(void **state) {
        int status;
        pid_t pid;

        (void)state;
        if (!seccomp_is_usable())
                skip();

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                _exit(install());

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), INSTALLED_WELL);
}

static int setup(void **state) {
        (void)state;
        return filter_build(&program, &program_count);
}

static int teardown(void **state) {
        (void)state;
        free(program);
        return 0;
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_two_calls), cmocka_unit_test(test_every_other_call),
                cmocka_unit_test(test_odd_numbers),   cmocka_unit_test(test_unknown_architectures),
                cmocka_unit_test(test_small),         cmocka_unit_test(test_install),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
