/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "setting.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fdpass.h"
#include "floor_server.h"
#include "interrupt.h"
#include "keeper/keeper.h"
#include "launch/filter.h"
#include "privilege.h"
#include "util/fd.h"
#include "util/log.h"

/* How long modgate may take to end when the tree has: a load of its own in the kernel may be slow. */
#define END_MS 120000

/* In memory that all processes of a run share. */
struct outcome {
        int error; /* negative errno */
        const char *what;
};

struct run {
        const struct setting_config *config;
        int (*body)(void *context);
        void *context;
        struct outcome *outcome;
        sigset_t signals; /* as they were blocked in storm */
        int socket;       /* to who answers: keeper or server */
        pid_t server;
};

static const char *const names[SETTINGS] = {
        [SETTING_BARE] = "bare",
        [SETTING_FLOOR] = "floor",
        [SETTING_MODGATE] = "modgate",
};

const char *setting_name(enum setting_kind kind) {
        return names[kind];
}

bool setting_from_name(const char *name, size_t length, enum setting_kind *ret) {
        for (enum setting_kind kind = 0; kind < SETTINGS; kind++) {
                if (strlen(names[kind]) != length || memcmp(names[kind], name, length) != 0)
                        continue;
                *ret = kind;
                return true;
        }
        return false;
}

const char *setting_advice(int error) {
        if (error == -EACCES)
                return "; a filter with a listener needs CAP_SYS_ADMIN: run it as root";
        if (error == -EBUSY)
                return "; this process has a seccomp listener already: run it outside of it";
        if (error == -EAGAIN)
                return "; there are too many processes: try fewer callers, or raise the limits (ulimit -u, pids.max)";
        return "";
}

/* The first failure is the one to tell of. */
static int fail(struct run *run, int error, const char *what) {
        if (error < 0 && run->outcome->error == 0)
                *run->outcome = (struct outcome){ .error = error, .what = what };
        return error;
}

/* The tree */

static int put_filter_on(struct run *run) {
        struct sock_filter *program;
        unsigned short count;
        _cleanup_fd_ int listener = -1;
        int r = filter_build(&program, &count);

        if (r < 0)
                return fail(run, r, "build the filter");
        r = filter_install(program, count, &listener);
        free(program);
        if (r < 0)
                return fail(run, r, "put the filter on");
        if (run->config->kind == SETTING_MODGATE)
                return fail(run, keeper_give_listener_dup_fd(run->socket, listener), "hand over to modgate");
        r = floor_prepare(listener, run->config->sync_wake_up);
        if (r == 0)
                r = fdpass_send_dup_fd(run->socket, "", 1, NULL, 0, listener, 0);
        return fail(run, r, "hand over to the floor's server");
}

/* A process group of its own, so that all of it can be killed at once. Who forks it does the same: one is first. */
static _Noreturn void tree_main(struct run *run) {
        int r;

        (void)setpgid(0, 0);
        r = run->config->kind == SETTING_BARE ? 0 : put_filter_on(run);

        run->socket = fd_close(run->socket);
        if (r == 0)
                (void)fail(run, run->body(run->context), NULL);
        _exit(EXIT_SUCCESS);
}

static _Noreturn void server_main(struct run *run, int socket) {
        floor_serve(socket, run->config->parked > 0 ? run->config->parked : 1);
}

/* A process that ends with the run. */
static pid_t fork_below(const struct run *run) {
        pid_t parent = getpid(), pid = fork();

        if (pid != 0)
                return pid < 0 ? -errno : pid;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);
        interrupt_forget();
        (void)sigprocmask(SIG_SETMASK, &run->signals, NULL);
        return 0;
}

/* The run */

static int start_keeper(struct run *run) {
        const struct keeper_config config = {
                .kernel = run->config->kernel,
                .failure_ttl_ns = run->config->failure_ttl_ns,
                .report = run->config->report,
        };

        log_init();
        return fail(run, keeper_start(&config, &run->socket), "start modgate (see the line before)");
}

static int start_server(struct run *run) {
        _cleanup_fd_ int theirs = -1;
        int r = fdpass_pair(&run->socket, &theirs);

        if (r < 0)
                return fail(run, r, "make a socket");
        run->server = fork_below(run);
        if (run->server == 0) {
                run->socket = fd_close(run->socket);
                server_main(run, theirs);
        }
        return fail(run, run->server < 0 ? run->server : 0, "fork the floor's server");
}

static int start_setting(struct run *run) {
        /* no_new_privs would do too, but changes what is measured */
        if (run->config->kind != SETTING_BARE && !privilege_has(CAP_SYS_ADMIN))
                return fail(run, -EACCES, "put the filter on");
        if (run->config->kind == SETTING_MODGATE)
                return start_keeper(run);
        return run->config->kind == SETTING_FLOOR ? start_server(run) : 0;
}

/* Until it has ended, with all that it left behind. It is killed when storm closes the lifeline, or ends. */
static void await_tree(struct run *run, pid_t tree, int lifeline) {
        _cleanup_fd_ int tree_fd = (int)syscall(SYS_pidfd_open, tree, 0);
        struct pollfd pollers[] = { { .fd = tree_fd, .events = POLLIN }, { .fd = lifeline } };
        int status;

        if (tree_fd < 0 || poll(pollers, 2, -1) < 0)
                (void)fail(run, -errno, "wait for the tree");
        else if (!pollers[0].revents)
                (void)fail(run, -EINTR, "go on");
        (void)kill(-tree, SIGKILL);
        if (waitpid(tree, &status, 0) == tree && !WIFEXITED(status))
                (void)fail(run, -ECANCELED, "keep the tree running to its end: it was killed");
}

/*
 * The socket's end of file says that the report is written. A tree that was killed may have left the keeper waiting for
 * its listener: our end of file says that none will come.
 */
static bool keeper_ends(struct run *run) {
        struct pollfd poller = { .fd = run->socket, .events = POLLIN };

        (void)shutdown(run->socket, SHUT_WR);
        return run->socket < 0 || poll(&poller, 1, END_MS) > 0;
}

static void end_setting(struct run *run) {
        if (run->server > 0)
                (void)kill(run->server, SIGKILL);
        if (run->config->kind == SETTING_MODGATE && !keeper_ends(run)) {
                (void)fail(run, -ETIMEDOUT, "wait any longer for modgate to end");
                return;
        }
        run->socket = fd_close(run->socket);
        while (waitpid(-1, NULL, 0) > 0)
                ;
}

static _Noreturn void run_main(struct run *run, int lifeline) {
        sigset_t all;
        pid_t tree;

        (void)sigfillset(&all);
        (void)sigprocmask(SIG_SETMASK, &all, &run->signals);
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
        if (start_setting(run) == 0) {
                tree = fork_below(run);
                if (tree == 0)
                        tree_main(run);
                if (tree > 0)
                        (void)setpgid(tree, tree);
                if (fail(run, tree < 0 ? (int)tree : 0, "fork the tree") == 0)
                        await_tree(run, tree, lifeline);
        }
        end_setting(run);
        _exit(EXIT_SUCCESS);
}

/* In storm */

static int await_run(struct run *run, pid_t pid, int *lifeline) {
        _cleanup_fd_ int run_fd = (int)syscall(SYS_pidfd_open, pid, 0);
        struct pollfd pollers[] = { { .fd = run_fd, .events = POLLIN }, { .fd = interrupt_fd(), .events = POLLIN } };
        int status = 0;

        while (run_fd >= 0 && poll(pollers, 2, -1) < 0)
                ;
        *lifeline = fd_close(*lifeline);
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return fail(run, -errno, "wait for what it started");
        if (!WIFEXITED(status))
                (void)fail(run, -ECANCELED, "keep what it started running to its end: it was killed");
        /* whatever went wrong then */
        if (run->outcome->error < 0 && interrupt_seen())
                run->outcome->error = -EINTR;
        return run->outcome->error;
}

static int fork_run(struct run *run) {
        _cleanup_fd_ int lifeline = -1, theirs = -1;
        int ends[2];
        pid_t pid;

        if (pipe2(ends, O_CLOEXEC) < 0)
                return fail(run, -errno, "make a pipe");
        theirs = ends[0];
        lifeline = ends[1];
        pid = fork();
        if (pid < 0)
                return fail(run, -errno, "fork");
        if (pid == 0) {
                (void)close(lifeline);
                run_main(run, theirs);
        }
        return await_run(run, pid, &lifeline);
}

int setting_run(const struct setting_config *config, int (*body)(void *context), void *context, const char **ret_what) {
        struct run run = { .config = config, .body = body, .context = context, .socket = -1 };
        int r;

        *ret_what = "map memory";
        run.outcome = mmap(NULL, sizeof(*run.outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (run.outcome == MAP_FAILED)
                return -errno;
        r = fork_run(&run);
        *ret_what = run.outcome->what;
        (void)munmap(run.outcome, sizeof(*run.outcome));
        return r;
}
