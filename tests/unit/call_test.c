/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/audit.h>
#include <seccomp.h>
#include <sys/syscall.h>

#include "call.h"

/* asm/unistd_32.h, unistd_x32.h and unistd_64.h: literally, since libseccomp is what is looked at. */
#define X32_BIT 0x40000000
#define X86_64_INIT 175
#define X86_64_FINIT 313
#define I386_INIT 128
#define I386_FINIT 350
#define GENERIC_INIT 105 /* asm-generic/unistd.h: arm64, riscv */
#define GENERIC_FINIT 273

static enum call call(uint32_t architecture, int number) {
        const struct seccomp_data data = { .arch = architecture, .nr = number };

        return call_of(&data);
}

static void test_native(void **state) {
        (void)state;
        assert_int_equal(call(seccomp_arch_native(), SYS_finit_module), CALL_FINIT_MODULE);
        assert_int_equal(call(seccomp_arch_native(), SYS_init_module), CALL_INIT_MODULE);
        assert_int_equal(call(seccomp_arch_native(), SYS_delete_module), CALL_UNKNOWN);
}

static void test_x86_family(void **state) {
        (void)state;
        assert_int_equal(call(AUDIT_ARCH_X86_64, X86_64_FINIT), CALL_FINIT_MODULE);
        assert_int_equal(call(AUDIT_ARCH_X86_64, X86_64_INIT), CALL_INIT_MODULE);
        assert_int_equal(call(AUDIT_ARCH_I386, I386_FINIT), CALL_FINIT_MODULE);
        assert_int_equal(call(AUDIT_ARCH_I386, I386_INIT), CALL_INIT_MODULE);
        /* whether there is x32 at all only the kernel knows */
        assert_int_equal(call(AUDIT_ARCH_X86_64, X32_BIT | X86_64_FINIT), CALL_UNKNOWN);
        assert_int_equal(call(AUDIT_ARCH_X86_64, X32_BIT | X86_64_INIT), CALL_UNKNOWN);
}

/* The same number is another call elsewhere. */
static void test_numbers_of_other_architectures(void **state) {
        (void)state;
        assert_int_equal(call(AUDIT_ARCH_I386, X86_64_FINIT), CALL_UNKNOWN);
        assert_int_equal(call(AUDIT_ARCH_I386, X86_64_INIT), CALL_UNKNOWN);
        assert_int_equal(call(AUDIT_ARCH_X86_64, I386_FINIT), CALL_UNKNOWN);
        assert_int_equal(call(AUDIT_ARCH_X86_64, I386_INIT), CALL_UNKNOWN);
        assert_int_equal(call(AUDIT_ARCH_I386, X32_BIT | I386_FINIT), CALL_UNKNOWN);
        assert_int_equal(call(AUDIT_ARCH_AARCH64, GENERIC_FINIT), CALL_FINIT_MODULE);
        assert_int_equal(call(AUDIT_ARCH_AARCH64, GENERIC_INIT), CALL_INIT_MODULE);
        assert_int_equal(call(AUDIT_ARCH_AARCH64, X86_64_FINIT), CALL_UNKNOWN);
}

static void test_nonsense(void **state) {
        (void)state;
        assert_int_equal(call(AUDIT_ARCH_X86_64, -1), CALL_UNKNOWN);
        assert_int_equal(call(AUDIT_ARCH_X86_64, __NR_SCMP_ERROR), CALL_UNKNOWN);
        assert_int_equal(call(12345, X86_64_FINIT), CALL_UNKNOWN);
        assert_int_equal(call(0xffffffffU, -1), CALL_UNKNOWN);
}

static void test_arguments(void **state) {
        const struct seccomp_data wide = { .arch = AUDIT_ARCH_X86_64, .args = { 1, 0xdead00001000, 3 } };
        const struct seccomp_data narrow = { .arch = AUDIT_ARCH_I386, .args = { 1, 0xdead00001000, 3 } };

        (void)state;
        assert_true(call_argument(&wide, 1) == 0xdead00001000);
        assert_true(call_argument(&narrow, 1) == 0x1000);
        assert_true(call_argument(&narrow, 2) == 3);
}

/* More than are remembered, twice each. */
static void test_many_architectures(void **state) {
        (void)state;
        for (unsigned int round = 0; round < 2; round++)
                for (uint32_t architecture = 1; architecture < 20; architecture++)
                        assert_int_equal(call(architecture, 1), CALL_UNKNOWN);
        assert_int_equal(call(AUDIT_ARCH_RISCV64, GENERIC_FINIT), CALL_FINIT_MODULE);
        assert_int_equal(call(AUDIT_ARCH_RISCV64, GENERIC_INIT), CALL_INIT_MODULE);
        test_x86_family(state);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_native),
                cmocka_unit_test(test_x86_family),
                cmocka_unit_test(test_numbers_of_other_architectures),
                cmocka_unit_test(test_nonsense),
                cmocka_unit_test(test_arguments),
                cmocka_unit_test(test_many_architectures),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
