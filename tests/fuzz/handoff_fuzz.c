/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What launcher, keeper and supervisor say to each other, whatever it is and in whatever order. The keeper forks, kills
 * and waits for nobody but its own, and ends when it should; so does the supervisor, and leaves no caller waiting.
 */

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fdpass.h"
#include "idle.h"
#include "journal.h"
#include "keeper/private.h"
#include "processes.h"
#include "supervised.h"
#include "util/fd.h"

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
static int journal_fd;
static struct input *input;

/* --- a keeper, and all around it --- */

static struct keeper keeper;
static int signals;      /* the keeper's */
static int launcher;     /* the launcher's end */
static int listener;     /* what the launcher gives away */
static int listener_end; /* closed when the tree ends */
static unsigned int rounds;

static void say(int socket, enum handoff_type type, int fd) {
        if (socket >= 0)
                (void)keeper_tell(socket, type, fd);
}

static int supervisors_end(void) {
        return keeper.supervisor > 0 ? process_of(keeper.supervisor)->socket : -1;
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
                processes_say_anything(input, supervisors_end(), listener, signals);
                break;
        case 2:
                say(supervisors_end(), HANDOFF_SUPERVISOR_READY, -1);
                break;
        case 3:
                processes_say_anything(input, launcher, listener, signals);
                break;
        case 4:
                say(launcher, HANDOFF_LISTENER, listener);
                break;
        case 5:
                launcher = fd_close(launcher);
                break;
        case 6:
                if (process_count > 0)
                        process_end(&processes[input_byte(input) % process_count]);
                break;
        case 7:
                if (keeper.supervisor > 0)
                        process_end(process_of(keeper.supervisor));
                break;
        case 8:
                if (keeper.supervisor > 0)
                        process_of(keeper.supervisor)->socket = fd_close(process_of(keeper.supervisor)->socket);
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
                processes_signal(SIGUSR1);
                break;
        default:
                idle_now_ns += input_byte(input) * 100000000ULL;
        }
}

/* The tree ends, then the launcher, then whoever is left. */
static void happen_at_the_end(void) {
        listener_end = fd_close(listener_end);
        launcher = fd_close(launcher);
        for (unsigned int i = 0; i < process_count; i++)
                process_end(&processes[i]);
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
        static const struct keeper_config config = { .kernel = NULL };
        int theirs;

        memset(journal, 0, sizeof(*journal));
        rounds = 0;
        check(processes_pair(&launcher, &theirs) == 0);
        supervised_callers(journal, input, &listener, &listener_end);
        processes_keeper(&keeper, &config, theirs);
        keeper.journal = journal;
        keeper.signals = signals;
        keeper.uevents = input_byte(input) & 1 ? eventfd(0, EFD_CLOEXEC) : -1;
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
}

/* --- a launcher: it only goes on when the keeper says the one right thing --- */

static void run_launcher(void) {
        static const struct handoff_message taken = { .type = HANDOFF_LISTENER_TAKEN };
        struct handoff_message message;
        _cleanup_fd_ int ours = -1, theirs = -1;
        uint8_t how = input_byte(input);
        ssize_t length;
        int r;

        listener = eventfd(0, EFD_CLOEXEC);
        check(processes_pair(&ours, &theirs) == 0);
        if (how & 1)
                say(theirs, HANDOFF_LISTENER_TAKEN, -1);
        else
                processes_say_anything(input, theirs, listener, listener);
        length = recv(ours, &message, sizeof(message), MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC);
        if (how & 2)
                theirs = fd_close(theirs);
        r = keeper_give_listener_dup_fd(ours, listener);
        check(r <= 0);
        check((r == 0) == (!(how & 2) && length == (ssize_t)sizeof(message) && message.type == taken.type));
        (void)close(listener);
}

static void run_supervisor(enum supervised_by by) {
        memset(journal, 0, sizeof(*journal));
        supervised_run(journal, journal_fd, input, by);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
        (void)argc;
        (void)argv;
        supervised_init();
        check(journal_create(&journal, &journal_fd) == 0);
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct input whole = { .data = data, .size = size };
        unsigned int before = processes_descriptors();
        uint8_t how;

        input = &whole;
        signals = processes_begin(input);
        how = input_byte(input);
        switch (how % 4) {
        case 0:
        case 1:
                run_keeper();
                break;
        case 2:
                run_supervisor(how & 4 ? SUPERVISED_BY_ODD_DAEMON : SUPERVISED_BY_ODD);
                break;
        default:
                run_launcher();
        }
        processes_finish();
        (void)close(signals);
        check(processes_descriptors() == before); /* none is left behind */
        return 0;
}
