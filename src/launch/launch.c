/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Everything that may fail is done before the filter is on: it cannot be taken off again. COMMAND then gets this
 * process as it was found: pid, descriptors, environment, signals, limits and all. What is opened here is
 * close-on-exec.
 */

#include "launch/launch.h"

#include <errno.h>
#include <linux/filter.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "keeper/keeper.h"
#include "launch/check.h"
#include "launch/exec.h"
#include "launch/filter.h"
#include "launch/standin.h"
#include "launch/text.h"
#include "launch/wait.h"
#include "util/fd.h"
#include "util/log.h"

struct launch {
        const struct launch_config *config;
        char *path;   /* of COMMAND */
        char *report; /* absolute */
        char *trace;  /* absolute */
        struct sock_filter *program;
        unsigned short program_count;
        int keeper;  /* socket, or -1 */
        int standin; /* socket, or -1 */
};

static void launch_end(struct launch *launch) {
        launch->standin = fd_close(launch->standin);
        launch->keeper = fd_close(launch->keeper);
        free(launch->program);
        free(launch->trace);
        free(launch->report);
        free(launch->path);
}

static int resolve_command(struct launch *launch) {
        const char *command = launch->config->argv[0];
        int r = exec_resolve(command, getenv("PATH"), &launch->path);

        if (r == 0)
                return 0;

        if (r == -ENOENT) {
                log_error("%s: command not found%s", command,
                          strchr(command, '/') ? "" : " along PATH; give its full path");
                return LAUNCH_EXIT_NOT_FOUND;
        }

        log_error("%s: cannot be executed (%s): name a program that is executable", command, strerror(-r));
        return LAUNCH_EXIT_NOT_EXECUTABLE;
}

/* The switch for an administrator whose machine does not boot. */
static bool is_switched_off(const struct launch *launch) {
        char *text = NULL;
        bool off;

        if (!launch->config->kernel_command_line || text_read(launch->config->kernel_command_line, &text) < 0)
                return false;

        off = check_command_line_has(text, "modgate=0");
        free(text);
        return off;
}

static int prepare(struct launch *launch, struct problem *problem) {
        const struct launch_config *config = launch->config;
        int r;

        r = check_report(config->report, &launch->report, problem);
        if (r < 0)
                return r;

        r = check_trace(config->trace, &launch->trace, problem);
        if (r < 0)
                return r;

        if (launch->trace && launch->report && strcmp(launch->trace, launch->report) == 0)
                return problem_set(problem, -EINVAL, "report and trace cannot both be %s: name two files",
                                   launch->trace);

        r = check_environment(problem);
        if (r < 0)
                return r;

        r = filter_build(&launch->program, &launch->program_count);
        if (r < 0)
                return problem_set(problem, r, "cannot build the system-call filter: %s", strerror(-r));

        r = keeper_start(&(struct keeper_config){ .kernel = config->kernel,
                                                  .failure_ttl_ns = config->failure_ttl_s * 1000000000ULL,
                                                  .report = launch->report,
                                                  .trace = launch->trace,
                                                  .attach = config->attach },
                         &launch->keeper);
        if (r < 0)
                return problem_set(problem, r,
                                   "cannot start the keeper: %s; see the line before this one, and MODGATE_LOG=debug",
                                   strerror(-r));

        r = standin_start(&launch->standin);
        if (r < 0)
                return problem_set(problem, r, "cannot start the keeper's stand-in: %s", strerror(-r));

        return 0;
}

static int install(struct launch *launch, int *ret_listener, struct problem *problem) {
        int r = filter_install(launch->program, launch->program_count, ret_listener);

        if (r == -EBUSY)
                return problem_set(problem, r,
                                   "another seccomp listener serves this process tree (%s), a container runtime's or "
                                   "another modgate's: start modgate outside of it",
                                   strerror(-r));
        if (r < 0)
                return problem_set(problem, r, "cannot install the system-call filter: %s", strerror(-r));

        return 0;
}

/* The filter is on: whatever happens now, somebody has to answer. */
static int hand_over(struct launch *launch, int listener) {
        int r = keeper_give_listener_dup_fd(launch->keeper, listener);

        if (r == 0)
                return 0;

        launch->keeper = fd_close(launch->keeper);
        log_error("the keeper did not take over (%s): the module loads of %s are passed to the kernel as they come; "
                  "restart %s to have them supervised",
                  strerror(-r), launch->path, launch->path);

        r = standin_give_listener_dup_fd(launch->standin, listener);
        if (r < 0)
                log_error("nobody is left to answer the module loads of %s (%s): every one will fail with ENOSYS; "
                          "restart it",
                          launch->path, strerror(-r));

        return r;
}

static int supervise(struct launch *launch, int waiter, struct problem *problem) {
        _cleanup_fd_ int listener = -1;
        int r, tree;

        r = prepare(launch, problem);
        if (r < 0)
                return r;

        r = install(launch, &listener, problem);
        if (r < 0)
                return r;

        r = hand_over(launch, listener);
        tree = launch->keeper >= 0 ? launch->keeper : launch->standin;
        if (r == 0 && waiter >= 0 && wait_give_tree_dup_fd(waiter, tree) < 0)
                log_warning("the end of %s's process tree cannot be waited for", launch->path);

        return 0;
}

/* A SIGCHLD of our own forks would be there for COMMAND if it had the signal blocked: pending signals survive exec. */
static void drop_own_sigchld(const sigset_t *pending_before) {
        static const struct timespec at_once = { 0 };
        sigset_t child;

        if (sigismember(pending_before, SIGCHLD))
                return;

        (void)sigemptyset(&child);
        (void)sigaddset(&child, SIGCHLD);
        (void)sigtimedwait(&child, NULL, &at_once);
}

static int execute(const struct launch *launch) {
        int r = exec_file(launch->path, launch->config->argv);

        log_error("%s: cannot be executed (%s)%s", launch->path, strerror(-r),
                  r == -ENOENT ? ": is the interpreter in its first line there?" : "");
        return r == -ENOENT ? LAUNCH_EXIT_NOT_FOUND : LAUNCH_EXIT_NOT_EXECUTABLE;
}

/* Returns only if COMMAND was not executed: the exit status. `waiter`: socket of a waiting parent, or -1. */
static int run_here(void *userdata, int waiter) {
        struct launch *launch = userdata;
        struct problem problem = { 0 };
        sigset_t pending;

        (void)sigpending(&pending);
        if (is_switched_off(launch)) {
                log_info("modgate=0 on the kernel command line: %s runs without modgate", launch->path);
        } else if (supervise(launch, waiter, &problem) < 0) {
                if (launch->config->on_error == LAUNCH_FAIL) {
                        log_error("%s", problem.text);
                        return LAUNCH_EXIT_FAILED;
                }
                log_warning("%s (%s runs without modgate)", problem.text, launch->path);
        }

        launch->standin = fd_close(launch->standin);
        launch->keeper = fd_close(launch->keeper);
        drop_own_sigchld(&pending);
        return execute(launch);
}

static int run_and_wait(struct launch *launch) {
        int r = wait_run(run_here, launch);

        if (r >= 0)
                return r;

        if (launch->config->on_error == LAUNCH_FAIL) {
                log_error("cannot start a process to wait for: %s", strerror(-r));
                return LAUNCH_EXIT_FAILED;
        }

        log_warning("cannot start a process to wait for: %s (%s runs without modgate)", strerror(-r), launch->path);
        return execute(launch);
}

int launch_run(const struct launch_config *config) {
        struct launch launch = { .config = config, .keeper = -1, .standin = -1 };
        int r;

        r = resolve_command(&launch);
        if (r == 0)
                r = config->wait ? run_and_wait(&launch) : run_here(&launch, -1);

        launch_end(&launch);
        return r;
}
