/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 *   storm      asks for a case, and gets a result
 *    ├─ server   receives and answers, until it is killed
 *    └─ tree     puts the filter on itself, hands the listener to the server, starts the callers and measures
 *        └─ caller…
 */

#include "floor.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crowd.h"
#include "fdpass.h"
#include "launch/filter.h"
#include "util/fd.h"

/* linux/seccomp.h of Linux 6.6 */
#define NOTIF_SET_FLAGS _IOW('!', 4, uint64_t)
#define SYNC_WAKE_UP (1ULL << 0)

/* The kernel's structs may be larger than ours (seccomp_unotify(2)). */
#define ROOM 256U

/* What an answer says makes no difference. */
#define ANSWER ENODEV

struct run {
        struct floor_case which;
        int error; /* of the tree: negative errno */
        struct floor_result result;
        uint64_t ids[];
};

static uint64_t receive_one(int listener) {
        union {
                struct seccomp_notif notif;
                unsigned char room[ROOM];
        } request = { .room = { 0 } };

        while (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0)
                if (errno != EINTR && errno != ENOENT)
                        _exit(EXIT_FAILURE);
        return request.notif.id;
}

static void answer_one(int listener, uint64_t id) {
        union {
                struct seccomp_notif_resp response;
                unsigned char room[ROOM];
        } answer = { .room = { 0 } };

        answer.response.id = id;
        answer.response.error = -ANSWER;
        while (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) < 0)
                if (errno != EINTR)
                        return;
}

/* Once a tree has ended, RECV blocks for ever before Linux 6.11. So whoever started this ends it. */
static _Noreturn void server_main(struct run *run, int socket) {
        unsigned int callers = run->which.callers;
        int listener = -1;
        char byte;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (fdpass_receive(socket, &byte, 1, &listener, 0) != 1 || listener < 0)
                _exit(EXIT_FAILURE);
        for (;;) {
                for (unsigned int i = 0; i < callers; i++)
                        run->ids[i] = receive_one(listener);
                for (unsigned int i = 0; i < callers; i++)
                        answer_one(listener, run->ids[i]);
        }
}

static int finit_nothing(unsigned int caller, unsigned int call, void *context) {
        (void)caller, (void)call, (void)context;
        return syscall(SYS_finit_module, -1, "", 0) < 0 ? errno : 0;
}

/* The filter's listener goes to the server. Returns 0 or negative errno. */
static int give_listener(const struct floor_case *which, int socket) {
        struct sock_filter *program;
        unsigned short count;
        _cleanup_fd_ int listener = -1;
        int r = filter_build(&program, &count);

        if (r < 0)
                return r;
        r = filter_install(program, count, &listener);
        free(program);
        if (r < 0)
                return r;
        if (which->sync_wake_up && ioctl(listener, NOTIF_SET_FLAGS, SYNC_WAKE_UP) < 0)
                return errno == EINVAL || errno == ENOTTY ? -EOPNOTSUPP : -errno;
        return fdpass_send_dup_fd(socket, "", 1, NULL, 0, listener, 0);
}

static int check_answers(const struct crowd *crowd) {
        for (size_t i = 0; i < (size_t)crowd->size * crowd->calls; i++)
                if (crowd_results(crowd)[i] != ANSWER)
                        return -EPROTO;
        return 0;
}

static int measure(struct run *run, int socket) {
        struct crowd crowd;
        int r = give_listener(&run->which, socket);

        if (r < 0)
                return r;
        r = crowd_start(&crowd, run->which.callers, run->which.calls, finit_nothing, NULL);
        if (r < 0)
                return r;
        crowd_go(&crowd);
        r = crowd_wait(&crowd);
        if (r == 0)
                r = check_answers(&crowd);
        if (r == 0) {
                run->result.wall_ns = crowd_wall_ns(&crowd);
                run->result.latency_ns =
                        sample_of(crowd_latencies_ns(&crowd), (size_t)run->which.callers * run->which.calls);
        }
        crowd_deinit(&crowd);
        return r;
}

static _Noreturn void tree_main(struct run *run, int socket) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        run->error = measure(run, socket);
        _exit(EXIT_SUCCESS);
}

static pid_t fork_into(struct run *run, int socket, void (*main)(struct run *run, int socket)) {
        pid_t parent = getpid(), pid = fork();

        if (pid != 0)
                return pid;
        (void)signal(SIGINT, SIG_DFL);
        (void)signal(SIGTERM, SIG_DFL);
        if (getppid() == parent)
                main(run, socket);
        _exit(EXIT_FAILURE);
}

static int await_tree(pid_t tree) {
        int status;

        while (waitpid(tree, &status, 0) < 0) {
                if (errno != EINTR)
                        return -errno;
                (void)kill(tree, SIGKILL); /* interrupted; its callers end with it */
        }
        return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS ? 0 : -ECANCELED;
}

static int run_processes(struct run *run) {
        _cleanup_fd_ int tree_socket = -1, server_socket = -1;
        pid_t server, tree;
        int r = fdpass_pair(&tree_socket, &server_socket);

        if (r < 0)
                return r;
        server = fork_into(run, server_socket, server_main);
        if (server < 0)
                return -errno;
        tree = fork_into(run, tree_socket, tree_main);
        r = tree < 0 ? -errno : await_tree(tree);
        (void)kill(server, SIGKILL);
        (void)waitpid(server, NULL, 0);
        return r < 0 ? r : run->error;
}

int floor_run(const struct floor_case *which, struct floor_result *ret) {
        size_t size = sizeof(struct run) + which->callers * sizeof(uint64_t);
        struct run *run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        int r;

        if (run == MAP_FAILED)
                return -errno;
        run->which = *which;
        r = run_processes(run);
        if (r == 0)
                *ret = run->result;
        (void)munmap(run, size);
        return r;
}
