/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "setting.h"

#include <errno.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "floor_server.h"
#include "interrupt.h"

#include <cmocka.h>

#define CALLS 3

static void names(void **state) {
        enum setting_kind kind;

        (void)state;
        for (enum setting_kind i = 0; i < SETTINGS; i++) {
                assert_true(setting_from_name(setting_name(i), strlen(setting_name(i)), &kind));
                assert_int_equal(kind, i);
        }
        assert_false(setting_from_name("bar", 3, &kind));
        assert_true(setting_from_name("bare,floor", 4, &kind));
        assert_int_equal(kind, SETTING_BARE);
}

static int call(void) {
        return syscall(SYS_finit_module, -1, "", 0) < 0 ? errno : 0;
}

static int make_calls(void *context) {
        int *results = context;

        for (unsigned int i = 0; i < CALLS; i++)
                results[i] = call();
        return 0;
}

/* What the calls of a tree result in. */
static void run_calls(const struct setting_config *config, int results[CALLS]) {
        int *shared = mmap(NULL, CALLS * sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        const char *what;

        assert_ptr_not_equal(shared, MAP_FAILED);
        assert_int_equal(setting_run(config, make_calls, shared, &what), 0);
        memcpy(results, shared, CALLS * sizeof(int));
        (void)munmap(shared, CALLS * sizeof(int));
}

static void bare(void **state) {
        const struct setting_config config = { .kind = SETTING_BARE };
        int results[CALLS];

        (void)state;
        run_calls(&config, results);
        for (unsigned int i = 0; i < CALLS; i++)
                assert_int_equal(results[i], call());
}

static void floor_answers(void **state) {
        const struct setting_config config = { .kind = SETTING_FLOOR };
        int results[CALLS];

        (void)state;
        if (geteuid() != 0)
                skip();
        run_calls(&config, results);
        for (unsigned int i = 0; i < CALLS; i++)
                assert_int_equal(results[i], FLOOR_ANSWER);
}

/* The first of two callers: has it an answer while the second one has not called? */
static int call_after_another(void *context) {
        int *results = context;
        pid_t first = fork();

        if (first == 0)
                _exit(call());
        (void)usleep(100000);
        results[0] = waitpid(first, NULL, WNOHANG) == first;
        results[1] = call();
        return results[0] || waitpid(first, NULL, 0) == first ? 0 : -ECHILD;
}

static void floor_parks(void **state) {
        int *results = mmap(NULL, 2 * sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        const char *what;

        (void)state;
        if (geteuid() != 0)
                skip();
        assert_ptr_not_equal(results, MAP_FAILED);
        for (unsigned int parked = 0; parked <= 2; parked++) {
                const struct setting_config config = { .kind = SETTING_FLOOR, .parked = parked };

                assert_int_equal(setting_run(&config, call_after_another, results, &what), 0);
                assert_int_equal(results[0], parked < 2);
                assert_int_equal(results[1], FLOOR_ANSWER);
        }
        (void)munmap(results, 2 * sizeof(int));
}

static uint64_t total(struct json_object *report, const char *name) {
        struct json_object *totals, *value;

        assert_true(json_object_object_get_ex(report, "totals", &totals));
        assert_true(json_object_object_get_ex(totals, name, &value));
        return json_object_get_uint64(value);
}

static void modgate_reports(void **state) {
        char path[] = "/tmp/modgate-setting-XXXXXX";
        const struct setting_config config = {
                .kind = SETTING_MODGATE,
                .kernel = &kernel_interface_native,
                .report = path,
        };
        struct json_object *report;
        int results[CALLS];

        (void)state;
        if (geteuid() != 0)
                skip();
        (void)close(mkstemp(path));
        run_calls(&config, results);
        report = json_object_from_file(path);
        (void)unlink(path);
        assert_non_null(report);
        assert_int_equal(total(report, "requests"), CALLS);
        assert_int_equal(total(report, "answered"), CALLS);
        (void)json_object_put(report);
        /* a descriptor that is none is the kernel's affair */
        for (unsigned int i = 0; i < CALLS; i++)
                assert_int_equal(results[i], call());
}

static int return_error(void *context) {
        (void)context;
        return -EXDEV;
}

static int end_badly(void *context) {
        (void)context;
        (void)raise(SIGKILL);
        return 0;
}

static void failures(void **state) {
        const struct setting_config config = { .kind = SETTING_BARE };
        const char *what = "";

        (void)state;
        assert_int_equal(setting_run(&config, return_error, NULL, &what), -EXDEV);
        assert_null(what);
        assert_int_equal(setting_run(&config, end_badly, NULL, &what), -ECANCELED);
        assert_non_null(what);
}

static int wait_for_ever(void *context) {
        pid_t *pids = context, child = fork();

        if (child == 0) {
                while (pause() < 0)
                        ;
        }
        pids[1] = child;
        pids[0] = getpid();
        if (pids[2] != 0)
                (void)kill(pids[2], SIGINT);
        while (pause() < 0)
                ;
        return 0;
}

static pid_t *shared_pids(void) {
        pid_t *pids = mmap(NULL, 3 * sizeof(pid_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        assert_ptr_not_equal(pids, MAP_FAILED);
        return pids;
}

static bool exists(pid_t pid) {
        return kill(pid, 0) == 0 || errno != ESRCH;
}

static _Noreturn void interrupted_main(enum setting_kind kind, pid_t *pids) {
        const struct setting_config config = { .kind = kind, .kernel = &kernel_interface_native };
        const char *what;

        (void)interrupt_catch();
        pids[2] = getpid();
        _exit(setting_run(&config, wait_for_ever, pids, &what) == -EINTR && interrupt_seen() ? 0 : 1);
}

/* When it has returned, nothing is left. */
static void interrupted(void **state) {
        (void)state;
        for (enum setting_kind kind = 0; kind < (geteuid() == 0 ? SETTINGS : 1); kind++) {
                pid_t *pids = shared_pids(), pid = fork();
                int status;

                if (pid == 0)
                        interrupted_main(kind, pids);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_int_equal(status, 0);
                assert_false(exists(pids[0]));
                assert_false(exists(pids[1]));
                (void)munmap(pids, 3 * sizeof(pid_t));
        }
}

/* Who is killed cannot wait for it, but everything ends. */
static void killed(void **state) {
        (void)state;
        for (enum setting_kind kind = 0; kind < (geteuid() == 0 ? SETTINGS : 1); kind++) {
                const struct setting_config config = { .kind = kind, .kernel = &kernel_interface_native };
                volatile pid_t *pids = shared_pids();
                pid_t pid = fork();
                const char *what;

                if (pid == 0) {
                        (void)setting_run(&config, wait_for_ever, (void *)pids, &what);
                        _exit(EXIT_FAILURE);
                }
                while (pids[0] == 0)
                        (void)usleep(1000);
                (void)kill(pid, SIGKILL);
                assert_int_equal(waitpid(pid, NULL, 0), pid);
                /* the test runner's time limit ends it if it never is so; the run has become our child */
                while (waitpid(-1, NULL, 0) > 0)
                        ;
                assert_false(exists(pids[0]));
                assert_false(exists(pids[1]));
                (void)munmap((void *)pids, 3 * sizeof(pid_t));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(names),           cmocka_unit_test(bare),
                cmocka_unit_test(floor_answers),   cmocka_unit_test(floor_parks),
                cmocka_unit_test(modgate_reports), cmocka_unit_test(failures),
                cmocka_unit_test(interrupted),     cmocka_unit_test(killed),
        };

        (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
