/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <string.h>

#include "util/cpu.h"

/* The CPUs of this process, as cpu.h keeps them. */
static struct cpu_stay now(void) {
        struct cpu_stay stay = { 0 };

        cpu_stay_init(&stay);
        assert_true(stay.size > 0);
        return stay;
}

static void assert_same(const struct cpu_stay *a, const struct cpu_stay *b) {
        assert_int_equal(a->size, b->size);
        assert_memory_equal(a->allowed, b->allowed, a->size);
}

static void test_init_changes_nothing(void **state) {
        struct cpu_stay before = now(), after = now();

        (void)state;
        assert_same(&before, &after);
        assert_int_equal(before.cpu, CPU_ANY);
}

static void test_here_and_back(void **state) {
        struct cpu_stay stay = now(), before = stay, here;
        int cpu = cpu_stay_here(&stay);

        (void)state;
        assert_true(cpu >= 0);
        assert_int_equal(sched_getcpu(), cpu);
        here = now();
        assert_int_equal(cpu_count(&here), 1);
        assert_int_equal(cpu_stay_here(&stay), cpu);
        cpu_stay_on(&stay, CPU_ANY);
        assert_int_equal(stay.cpu, CPU_ANY);
        here = now();
        assert_same(&here, &before);
}

static void test_every_cpu(void **state) {
        struct cpu_stay stay = now(), before = stay, here;

        (void)state;
        for (unsigned int cpu = 0; cpu < before.size * 8; cpu++) {
                if (!(before.allowed[cpu / (8 * sizeof(long))] >> (cpu % (8 * sizeof(long))) & 1))
                        continue;
                cpu_stay_on(&stay, (int)cpu);
                assert_int_equal(stay.cpu, cpu);
                assert_int_equal(sched_getcpu(), cpu);
        }
        cpu_stay_on(&stay, CPU_ANY);
        here = now();
        assert_same(&here, &before);
}

/* As when one goes off line: better anywhere than on the one that is not meant any more. */
static void test_no_such_cpu(void **state) {
        static const int none[] = { CPU_MAX - 1, CPU_MAX, INT32_MAX, -2, INT32_MIN };
        struct cpu_stay stay = now(), before = stay;

        (void)state;
        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
                struct cpu_stay here;

                (void)cpu_stay_here(&stay);
                cpu_stay_on(&stay, none[i]);
                assert_int_equal(stay.cpu, CPU_ANY);
                here = now();
                assert_same(&here, &before);
        }
}

static void test_cannot_be_told(void **state) {
        struct cpu_stay stay = { .size = 0, .cpu = CPU_ANY };

        (void)state;
        assert_int_equal(cpu_stay_here(&stay), CPU_ANY);
        cpu_stay_on(&stay, 0);
        assert_int_equal(stay.cpu, CPU_ANY);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_init_changes_nothing),
                cmocka_unit_test(test_here_and_back),
                cmocka_unit_test(test_every_cpu),
                cmocka_unit_test(test_no_such_cpu),
                cmocka_unit_test(test_cannot_be_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
