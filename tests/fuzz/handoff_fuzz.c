/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What launcher, keeper and supervisor say to each other, whatever it is and in whatever order. The keeper forks, kills
 * and waits for nobody but its own, and ends when it should; so does the supervisor, and leaves no caller waiting.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fdpass.h"
#include "idle.h"
#include "journal.h"
#include "keeper/private.h"
#include "supervised.h"
#include "util/fd.h"

#define CHILDREN_MAX 512
#define FIRST_PID 100000

/* At the end, when all has ended: so many rounds are too many. */
#define ROUND_TOO_MANY 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
const char *__asan_default_options(void);

/* A supervisor that is told to stop leaves its requests where they are: their memory goes with the process. */
const char *__asan_default_options(void) {
        return "detect_leaks=0";
}

static struct journal *journal;
static struct input *input;

/* --- processes, of which there are none --- */

int __wrap_fdpass_pair(int *ret_a, int *ret_b);
int __real_fdpass_pair(int *ret_a, int *ret_b);
pid_t __wrap_fork(void);
int __wrap_kill(pid_t pid, int number);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);

enum child_state {
        CHILD_RUNS,
        CHILD_ENDED,
        CHILD_REAPED,
};

static struct fake_child {
        enum child_state state;
        int socket; /* its end */
} children[CHILDREN_MAX];

static unsigned int child_count;
static int last_end = -1; /* of the latest pair: the next child's */
static int signals;       /* the keeper's */
static int signals_end;   /* and ours */

int __wrap_fdpass_pair(int *ret_a, int *ret_b) {
        int r = __real_fdpass_pair(ret_a, ret_b);

        last_end = fd_close(last_end);
        if (r == 0)
                last_end = fcntl(*ret_b, F_DUPFD_CLOEXEC, 3);
        return r;
}

/* Only ever the parent's side. */
pid_t __wrap_fork(void) {
        if (child_count == CHILDREN_MAX || input_byte(input) % 16 == 15) {
                errno = EAGAIN;
                return -1;
        }
        children[child_count] = (struct fake_child){ .state = CHILD_RUNS, .socket = fd_steal(&last_end) };
        return FIRST_PID + (pid_t)child_count++;
}

static void send_signal(uint32_t number) {
        const struct signalfd_siginfo info = { .ssi_signo = number };

        (void)write(signals_end, &info, sizeof(info));
}

static void end_child(struct fake_child *child) {
        if (child->state != CHILD_RUNS)
                return;
        child->state = CHILD_ENDED;
        child->socket = fd_close(child->socket);
        send_signal(SIGCHLD);
}

static struct fake_child *child_of(pid_t pid) {
        check(pid >= FIRST_PID && pid < FIRST_PID + (pid_t)child_count);
        return &children[pid - FIRST_PID];
}

/* Whoever was waited for has given up its number: it may be anybody's. */
int __wrap_kill(pid_t pid, int number) {
        struct fake_child *child = child_of(pid);

        check(number == SIGKILL && child->state != CHILD_REAPED);
        end_child(child);
        return 0;
}

pid_t __wrap_waitpid(pid_t pid, int *status, int options) {
        check(options == WNOHANG && !status);
        if (pid > 0) {
                struct fake_child *child = child_of(pid);

                check(child->state != CHILD_REAPED);
                if (child->state == CHILD_RUNS)
                        return 0;
                child->state = CHILD_REAPED;
                return pid;
        }
        check(pid == -1);
        for (unsigned int i = 0; i < child_count; i++)
                if (children[i].state == CHILD_ENDED) {
                        children[i].state = CHILD_REAPED;
                        return FIRST_PID + (pid_t)i;
                }
        return 0;
}

/* --- a keeper, and all around it --- */

static struct keeper keeper;
static int launcher;     /* the launcher's end */
static int listener;     /* what the launcher gives away */
static int listener_end; /* closed when the tree ends */
static unsigned int rounds;

static int fd_of(uint8_t what) {
        return what % 4 == 1 ? listener : (what % 4 == 2 ? signals : -1);
}

/* One message of the input's: any bytes, or any numbers in the right places. */
static void say_anything(int socket) {
        struct {
                struct handoff_message message;
                char more[20];
        } any = { .message = { .type = 0 } };
        uint8_t how = input_byte(input);
        size_t size = sizeof(any.message);
        int fd = fd_of(how >> 1);

        if (how & 1) {
                size = input_bytes(input, &any, sizeof(any));
        } else {
                any.message.type = (uint32_t)input_number(input);
                any.message.kind = (uint32_t)input_number(input);
                any.message.index = (uint32_t)input_number(input);
        }
        /* only the kernel gives listeners away */
        if (any.message.type == HANDOFF_LISTENER && fd >= 0)
                fd = listener;
        if (size > 0 && socket >= 0)
                (void)fdpass_send_dup_fd(socket, &any, size, NULL, 0, fd, MSG_DONTWAIT);
}

static void say(int socket, enum handoff_type type, int fd) {
        if (socket >= 0)
                (void)keeper_tell(socket, type, fd);
}

static int supervisors_end(void) {
        return keeper.supervisor > 0 ? child_of(keeper.supervisor)->socket : -1;
}

/* What the keeper has said there makes sense. */
static void listen_to_keeper(int socket) {
        struct handoff_message message;
        _cleanup_fd_ int fd = -1;

        while (socket >= 0 && fdpass_receive(socket, &message, sizeof(message), &fd, MSG_DONTWAIT) > 0) {
                check(message.type >= HANDOFF_KEEPER_READY && message.type <= HANDOFF_STOP);
                check((fd >= 0) == (message.type == HANDOFF_LISTENER || message.type == HANDOFF_WORKER ||
                                    message.type == HANDOFF_UEVENTS));
                check(message.type != HANDOFF_WORKER || message.kind < WORKER_KINDS);
                fd = fd_close(fd);
        }
}

static void happen_next(void) {
        switch (input_byte(input) % 16) {
        case 0:
        case 1:
                say_anything(supervisors_end());
                break;
        case 2:
                say(supervisors_end(), HANDOFF_SUPERVISOR_READY, -1);
                break;
        case 3:
                say_anything(launcher);
                break;
        case 4:
                say(launcher, HANDOFF_LISTENER, listener);
                break;
        case 5:
                launcher = fd_close(launcher);
                break;
        case 6:
                if (child_count > 0)
                        end_child(&children[input_byte(input) % child_count]);
                break;
        case 7:
                if (keeper.supervisor > 0)
                        end_child(child_of(keeper.supervisor));
                break;
        case 8:
                if (keeper.supervisor > 0)
                        child_of(keeper.supervisor)->socket = fd_close(child_of(keeper.supervisor)->socket);
                break;
        case 9:
                (void)write(listener_end, "", 1);
                break;
        case 10:
                listener_end = fd_close(listener_end);
                break;
        case 11:
                journal->header.in_use = input_byte(input) & 1;
                break;
        case 12:
                journal->header.heartbeat++;
                break;
        case 13:
                listen_to_keeper(supervisors_end());
                listen_to_keeper(launcher);
                break;
        case 14:
                send_signal(SIGUSR1);
                break;
        default:
                idle_now_ns += input_byte(input) * 100000000ULL;
        }
}

/* The tree ends, then the launcher, then whoever is left. */
static void happen_at_the_end(void) {
        listener_end = fd_close(listener_end);
        launcher = fd_close(launcher);
        for (unsigned int i = 0; i < child_count; i++)
                end_child(&children[i]);
}

static bool happen(void) {
        check(!keeper.bypass || (keeper.uevents < 0 && keeper.supervisor == 0));
        /* nothing is ready: so a keeper that answers has answered */
        if (keeper.bypass && listener_end >= 0)
                supervised_check_answers();
        if (input->size > 0) {
                happen_next();
                return true;
        }
        check(++rounds < ROUND_TOO_MANY);
        happen_at_the_end();
        return rounds == 1;
}

static void run_keeper(void) {
        int theirs, ends[2];

        memset(&keeper, 0, sizeof(keeper));
        memset(journal, 0, sizeof(*journal));
        child_count = 0;
        rounds = 0;
        check(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
        signals = ends[0];
        signals_end = ends[1];
        check(__real_fdpass_pair(&launcher, &theirs) == 0);
        supervised_callers(journal, input, &listener, &listener_end);
        keeper.journal = journal;
        keeper.launcher = theirs;
        keeper.signals = signals;
        keeper.listener = keeper.supervisor_socket = keeper.trace.fd = keeper.notify.listener = -1;
        keeper.journal_fd = keeper.attach.connection = -1;
        keeper.uevents = input_byte(input) & 1 ? eventfd(0, EFD_CLOEXEC) : -1;
        for (enum worker_kind kind = 0; kind < WORKER_KINDS; kind++)
                for (uint32_t i = 0; i < LOADERS_MAX; i++)
                        keeper.workers[kind][i].socket = -1;
        idle_now_ns = 1000 * 1000000000ULL;
        idle_happen = happen;
        if (worker_fork(&keeper, WORKER_LOADER, 0) == 0 && supervisor_start(&keeper) == 0)
                keeper_loop(&keeper);
        idle_happen = NULL;
        happen_at_the_end();
        /* what its process would take along */
        for (enum worker_kind kind = 0; kind < WORKER_KINDS; kind++)
                for (uint32_t i = 0; i < LOADERS_MAX; i++)
                        (void)fd_close(keeper.workers[kind][i].socket);
        (void)fd_close(keeper.supervisor_socket);
        (void)fd_close(keeper.uevents);
        (void)fd_close(keeper.listener);
        (void)fd_close(theirs);
        (void)fd_close(listener);
        (void)fd_close(signals);
        (void)fd_close(signals_end);
        last_end = fd_close(last_end);
}

/* --- a launcher: it only goes on when the keeper says the one right thing --- */

static void run_launcher(void) {
        static const struct handoff_message taken = { .type = HANDOFF_LISTENER_TAKEN };
        struct handoff_message message;
        _cleanup_fd_ int ours = -1, theirs = -1;
        uint8_t how = input_byte(input);
        ssize_t length;
        int r;

        signals = listener = eventfd(0, EFD_CLOEXEC);
        check(__real_fdpass_pair(&ours, &theirs) == 0);
        if (how & 1)
                say(theirs, HANDOFF_LISTENER_TAKEN, -1);
        else
                say_anything(theirs);
        length = recv(ours, &message, sizeof(message), MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC);
        if (how & 2)
                theirs = fd_close(theirs);
        r = keeper_give_listener_dup_fd(ours, listener);
        check(r <= 0);
        check((r == 0) == (!(how & 2) && length == (ssize_t)sizeof(message) && message.type == taken.type));
        (void)close(listener);
}

static void run_supervisor(void) {
        memset(journal, 0, sizeof(*journal));
        supervised_run(journal, -1, input, SUPERVISED_BY_ODD);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
        int journal_fd;

        (void)argc;
        (void)argv;
        supervised_init();
        check(journal_create(&journal, &journal_fd) == 0);
        (void)close(journal_fd);
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct input whole = { .data = data, .size = size };
        int before = dup(STDERR_FILENO), after;

        input = &whole;
        switch (input_byte(input) % 4) {
        case 0:
        case 1:
                run_keeper();
                break;
        case 2:
                run_supervisor();
                break;
        default:
                run_launcher();
        }
        last_end = fd_close(last_end);
        (void)close(before);
        after = dup(STDERR_FILENO);
        check(after == before); /* no descriptor is left behind */
        (void)close(after);
        return 0;
}
