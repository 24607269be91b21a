/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fdpass.h"
#include "inspector.h"
#include "journal.h"
#include "launch/cgroup.h"
#include "loader.h"
#include "modgate/handoff.h"
#include "notify.h"
#include "observe/report.h"
#include "privilege.h"
#include "supervisor.h"
#include "util/detach.h"
#include "util/fd.h"
#include "util/log.h"

/* 2048 parked callers with a descriptor or two each, and room for the workers. */
#define DESCRIPTORS_WANTED 16384U

/* How long the end of the tree waits for the last report. */
#define REPORT_LIMIT_NS (10 * 1000000000ULL)

/* How long the launcher waits for the keeper's word. */
#define PATIENCE_MS 10000

/* A supervisor that dies so often in so short a time is not started again. */
#define DEATHS_MAX 5U
#define DEATHS_WINDOW_NS (10 * 1000000000ULL)

/* While something happens the supervisor is looked at every second, else rarely: the machine may want to sleep. */
#define TICK_BUSY_MS 1000
#define TICK_IDLE_MS 5000

/* So many ticks in a row with something to do and no heartbeat, and the supervisor hangs. */
#define STILL_TICKS_MAX 5U

struct child {
        pid_t pid;  /* 0: none */
        int socket; /* our duplicate of the supervisor's end; -1: none */
};

struct keeper {
        const struct keeper_config *config;
        struct journal *journal;
        int launcher; /* socket; stays open until we end: its end of file is the word that the tree has ended */
        bool launcher_gone;
        int signals; /* signalfd for SIGCHLD */
        int uevents; /* socket, for the supervisor; -1: failures are not remembered */
        int listener;
        bool ended; /* the tree has */

        pid_t supervisor;
        int supervisor_socket;
        bool supervisor_ready;
        bool announced;                     /* the launcher was told, and may have the filter on */
        uint64_t deaths_ns[DEATHS_MAX - 1]; /* a ring */
        unsigned int deaths;
        uint64_t heartbeat; /* at the last tick */
        unsigned int still_ticks;
        bool bypass;
        struct notify notify; /* for the bypass */

        struct child workers[WORKER_KINDS][LOADERS_MAX];

        pid_t reporter;
        uint64_t reported; /* heartbeat that the last report knew of */
};

static const char *const worker_titles[WORKER_KINDS] = {
        [WORKER_LOADER] = "modgate-loader",
        [WORKER_INSPECTOR] = "modgate-inspect",
};

/* Forks. The child has neither our sockets nor the listener, but what it is handed. */
static pid_t fork_child(const char *title, int keep_socket) {
        pid_t pid = fork();

        if (pid != 0)
                return pid;
        (void)prctl(PR_SET_NAME, title);
        /* 0 and 1 are /dev/null; the one socket becomes 3 */
        if (keep_socket >= 0 && (dup3(keep_socket, 3, O_CLOEXEC) >= 0 || keep_socket == 3))
                (void)close_range(4, ~0U, 0);
        else
                (void)close_range(3, ~0U, 0);
        return 0;
}

static int tell(int socket, enum handoff_type type, int fd) {
        struct handoff_message message = { .type = type };

        return fdpass_send_dup_fd(socket, &message, sizeof(message), NULL, 0, fd, MSG_DONTWAIT);
}

/* Workers */

static void child_forget(struct child *child) {
        child->socket = fd_close(child->socket);
        child->pid = 0;
}

static int worker_fork(struct keeper *keeper, enum worker_kind kind, uint32_t index) {
        struct child *child = &keeper->workers[kind][index];
        _cleanup_fd_ int ours = -1, theirs = -1;
        pid_t pid;
        int r = fdpass_pair(&ours, &theirs);

        if (r < 0)
                return r;
        pid = fork_child(worker_titles[kind], theirs);
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                /* what they could write there, the supervisor would believe */
                (void)munmap(keeper->journal, sizeof(*keeper->journal));
                if (kind == WORKER_LOADER)
                        loader_run(3, keeper->config->kernel);
                inspector_run(3);
        }
        child_forget(child);
        child->pid = pid;
        child->socket = fd_steal(&ours);
        return 0;
}

/* The supervisor gets a duplicate of its end; ours keeps unread answers alive if it dies. */
static int worker_hand_over(struct keeper *keeper, enum worker_kind kind, uint32_t index) {
        struct handoff_message message = { .type = HANDOFF_WORKER, .kind = kind, .index = index };

        return fdpass_send_dup_fd(keeper->supervisor_socket, &message, sizeof(message), NULL, 0,
                                  keeper->workers[kind][index].socket, MSG_DONTWAIT);
}

/* A loader that works finishes its load and ends by itself; an inspector may hang in the memory it reads. */
static void worker_drop(struct keeper *keeper, enum worker_kind kind, uint32_t index) {
        struct child *child = &keeper->workers[kind][index];

        if (kind == WORKER_INSPECTOR && child->pid > 0)
                (void)kill(child->pid, SIGKILL);
        child_forget(child);
}

static void worker_provide(struct keeper *keeper, enum worker_kind kind, uint32_t index) {
        struct handoff_message failed = { .type = HANDOFF_WORKER_FAILED, .kind = kind, .index = index };
        int r = worker_fork(keeper, kind, index);

        if (r == 0) {
                r = worker_hand_over(keeper, kind, index);
                if (r == 0)
                        return;
                worker_drop(keeper, kind, index);
        }
        errno = -r;
        log_error("cannot provide a %s: %m; its work is left to the kernel", worker_titles[kind] + strlen("modgate-"));
        (void)fdpass_send_dup_fd(keeper->supervisor_socket, &failed, sizeof(failed), NULL, 0, -1, MSG_DONTWAIT);
}

static void inspectors_drop(struct keeper *keeper) {
        for (uint32_t i = 0; i < INSPECTORS_MAX; i++)
                worker_drop(keeper, WORKER_INSPECTOR, i);
}

/* The supervisor's life */

static int supervisor_start(struct keeper *keeper) {
        _cleanup_fd_ int ours = -1, theirs = -1;
        int room = 1 << 20; /* 128 loaders may have to be handed over at once */
        pid_t pid;
        int r = fdpass_pair(&ours, &theirs);

        if (r < 0)
                return r;
        (void)setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
        pid = fork_child("modgate-superv", theirs);
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                struct supervisor_config config = {
                        .kernel = keeper->config->kernel,
                        .failure_ttl_ns = keeper->uevents >= 0 ? keeper->config->failure_ttl_ns : 0,
                };

                r = supervisor_run_consume_fd(&config, keeper->journal, 3);
                if (r < 0) {
                        errno = -r;
                        log_error("the supervisor cannot go on: %m");
                }
                _exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
        }
        keeper->supervisor = pid;
        keeper->supervisor_socket = fd_steal(&ours);
        keeper->supervisor_ready = false;
        keeper->still_ticks = 0;
        keeper->journal->header.supervisor_starts++;
        return 0;
}

/* Once the supervisor is ready and there is a listener. Whatever is not taken here, a hanging supervisor, shows later.
 */
static void supervisor_equip(struct keeper *keeper) {
        if (!keeper->supervisor_ready || keeper->listener < 0)
                return;
        if (keeper->uevents >= 0)
                (void)tell(keeper->supervisor_socket, HANDOFF_UEVENTS, keeper->uevents);
        (void)tell(keeper->supervisor_socket, HANDOFF_LISTENER, keeper->listener);
        for (enum worker_kind kind = 0; kind < WORKER_KINDS; kind++)
                for (uint32_t i = 0; i < LOADERS_MAX; i++)
                        if (keeper->workers[kind][i].socket >= 0)
                                (void)worker_hand_over(keeper, kind, i);
        (void)tell(keeper->supervisor_socket, HANDOFF_START, -1);
}

static void continue_found(struct journal_request *request, void *context) {
        struct keeper *keeper = context;

        if (request->module > 0 && request->module <= JOURNAL_MODULES)
                keeper->journal->modules[request->module - 1].continued++;
        (void)notify_continue(&keeper->notify, request, CONTINUE_BYPASS);
}

static void bypass_take_over(struct keeper *keeper) {
        notify_init_consume_fd(&keeper->notify, keeper->journal, keeper->listener);
        notify_recover(&keeper->notify, continue_found, keeper);
}

static void bypass_begin(struct keeper *keeper) {
        log_error("the supervisor cannot be kept alive: module loads are left to the kernel from now on, without "
                  "deduplication; restart the supervised service to change that");
        keeper->bypass = true;
        keeper->journal->header.bypassed = 1;
        if (keeper->listener >= 0)
                bypass_take_over(keeper);
}

static void bypass_receive(struct keeper *keeper) {
        while (notify_poll(&keeper->notify) & POLLIN)
                if (notify_receive_and_continue(&keeper->notify, CONTINUE_BYPASS) < 0)
                        return;
}

static bool dies_too_often(struct keeper *keeper) {
        uint64_t now = journal_now_ns();
        uint64_t *oldest = &keeper->deaths_ns[keeper->deaths++ % (DEATHS_MAX - 1)];
        bool too_often = *oldest != 0 && now - *oldest < DEATHS_WINDOW_NS;

        *oldest = now;
        return too_often;
}

static bool tree_has_ended(const struct keeper *keeper) {
        struct pollfd look = { .fd = keeper->listener };

        return keeper->listener >= 0 && poll(&look, 1, 0) > 0 && (look.revents & (POLLHUP | POLLERR));
}

/* The supervisor is dead, or as good as dead: nothing else receives or answers now. */
static void supervisor_replace(struct keeper *keeper) {
        keeper->supervisor = 0;
        keeper->supervisor_ready = false;
        keeper->supervisor_socket = fd_close(keeper->supervisor_socket);
        /* they may hold answers to questions that nobody knows any more */
        inspectors_drop(keeper);
        if (!keeper->announced || tree_has_ended(keeper))
                keeper->ended = true;
        if (keeper->ended)
                return;
        if (dies_too_often(keeper)) {
                bypass_begin(keeper);
                return;
        }
        log_warning("the supervisor died; starting another one");
        if (supervisor_start(keeper) < 0) {
                log_error("cannot fork a supervisor: %m");
                bypass_begin(keeper);
        }
}

/* A process that cannot even be killed (it waits for a dead file server) is left behind: it will not come back. */
static void supervisor_end_hanging(struct keeper *keeper) {
        log_error("the supervisor hangs; killing it");
        (void)kill(keeper->supervisor, SIGKILL);
        for (unsigned int i = 0; i < 100; i++) {
                if (waitpid(keeper->supervisor, NULL, WNOHANG) != 0)
                        break;
                (void)poll(NULL, 0, 10);
        }
        supervisor_replace(keeper);
}

/* While any of this holds, the heartbeat of a supervisor that is well moves every second. */
static bool work_waits(const struct keeper *keeper) {
        struct pollfd look = { .fd = keeper->listener, .events = POLLIN };

        if (keeper->listener < 0)
                return false;
        if (keeper->ended || !keeper->supervisor_ready || keeper->journal->header.in_use > 0)
                return true;
        return poll(&look, 1, 0) > 0 && (look.revents & POLLIN);
}

static void supervisor_check(struct keeper *keeper) {
        uint64_t heartbeat = keeper->journal->header.heartbeat;

        if (heartbeat == keeper->heartbeat && keeper->supervisor > 0 && work_waits(keeper))
                keeper->still_ticks++;
        else
                keeper->still_ticks = 0;
        keeper->heartbeat = heartbeat;
        if (keeper->still_ticks >= STILL_TICKS_MAX)
                supervisor_end_hanging(keeper);
}

/* Reports */

static uint64_t activity(const struct keeper *keeper) {
        const struct journal_header *header = &keeper->journal->header;

        return header->requests + header->answered + header->gone + header->supervisor_starts;
}

static bool has_report_file(const struct keeper *keeper) {
        return keeper->config->report && strcmp(keeper->config->report, "-") != 0;
}

static _Noreturn void report(const struct keeper *keeper) {
        static const cap_value_t keep[] = { CAP_DAC_OVERRIDE };
        const char *path = keeper->config->report;
        int r = 0;

        (void)mprotect(keeper->journal, sizeof(*keeper->journal), PROT_READ);
        if (!has_report_file(keeper)) {
                (void)privilege_keep(NULL, 0, false);
                report_write_table(keeper->journal, stderr);
        } else {
                (void)privilege_keep(keep, privilege_has(CAP_DAC_OVERRIDE) ? 1 : 0, true);
                r = report_write_json(keeper->journal, keeper->ended, path);
        }
        if (r < 0) {
                errno = -r;
                log_error("cannot write the report %s: %m", path);
        }
        _exit(EXIT_SUCCESS);
}

/* In a process of its own: writing may take as long as it likes. */
static void report_start(struct keeper *keeper) {
        pid_t pid = fork_child("modgate-report", -1);

        if (pid == 0)
                report(keeper);
        keeper->reporter = pid > 0 ? pid : 0;
        keeper->reported = activity(keeper);
}

/* While the tree lives the file is kept up to date: udevd's unit kills the keeper as soon as udevd has ended. */
static void report_refresh(struct keeper *keeper) {
        if (has_report_file(keeper) && keeper->reporter == 0 && keeper->reported != activity(keeper))
                report_start(keeper);
}

/* Whoever waits for the end of the tree does not wait for a dead disk or terminal. */
static void report_await(struct keeper *keeper) {
        uint64_t start = journal_now_ns();

        while (keeper->reporter > 0 && waitpid(keeper->reporter, NULL, WNOHANG) == 0 &&
               journal_now_ns() - start < REPORT_LIMIT_NS)
                (void)poll(NULL, 0, 10);
        keeper->reporter = 0;
}

static void report_finish(struct keeper *keeper) {
        if (!keeper->config->report)
                return;
        report_await(keeper);
        report_start(keeper);
        report_await(keeper);
}

/* The loop */

static struct child *child_of(struct keeper *keeper, pid_t pid) {
        for (enum worker_kind kind = 0; kind < WORKER_KINDS; kind++)
                for (uint32_t i = 0; i < LOADERS_MAX; i++)
                        if (keeper->workers[kind][i].pid == pid)
                                return &keeper->workers[kind][i];
        return NULL;
}

static void reap(struct keeper *keeper) {
        struct signalfd_siginfo info;
        struct child *child;
        pid_t pid;

        while (read(keeper->signals, &info, sizeof(info)) > 0)
                ;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
                if (pid == keeper->supervisor)
                        supervisor_replace(keeper);
                else if (pid == keeper->reporter)
                        keeper->reporter = 0;
                else if ((child = child_of(keeper, pid)))
                        child->pid = 0; /* its socket may hold an answer: it stays until the supervisor drops it */
        }
}

/* The launcher waits for this before it goes on; from then on a supervisor that dies is replaced. */
static void supervisor_is_ready(struct keeper *keeper) {
        keeper->supervisor_ready = true;
        if (!keeper->announced)
                (void)tell(keeper->launcher, HANDOFF_KEEPER_READY, -1);
        keeper->announced = true;
        supervisor_equip(keeper);
}

static void handle_message(struct keeper *keeper, const struct handoff_message *message) {
        if (message->type == HANDOFF_SUPERVISOR_READY) {
                supervisor_is_ready(keeper);
                return;
        }
        if (message->kind >= WORKER_KINDS ||
            message->index >= (message->kind == WORKER_LOADER ? LOADERS_MAX : INSPECTORS_MAX))
                return;
        if (message->type == HANDOFF_WORKER_WANTED)
                worker_provide(keeper, message->kind, message->index);
        else if (message->type == HANDOFF_WORKER_DROPPED)
                worker_drop(keeper, message->kind, message->index);
}

/* Whoever closes this socket has died, or should: it would get no more workers. */
static void lose_supervisor(struct keeper *keeper) {
        keeper->supervisor_socket = fd_close(keeper->supervisor_socket);
        if (!keeper->ended && !tree_has_ended(keeper) && keeper->supervisor > 0)
                (void)kill(keeper->supervisor, SIGKILL);
}

static void handle_supervisor(struct keeper *keeper) {
        while (keeper->supervisor_socket >= 0) {
                struct handoff_message message;
                ssize_t length =
                        fdpass_receive(keeper->supervisor_socket, &message, sizeof(message), NULL, MSG_DONTWAIT);

                if (length == -EAGAIN || length == -EINTR)
                        return;
                if (length == (ssize_t)sizeof(message))
                        handle_message(keeper, &message);
                else
                        lose_supervisor(keeper);
        }
}

static void handle_launcher(struct keeper *keeper) {
        struct handoff_message message;
        _cleanup_fd_ int fd = -1;
        ssize_t length = fdpass_receive(keeper->launcher, &message, sizeof(message), &fd, MSG_DONTWAIT);

        if (length == -EAGAIN || length == -EINTR)
                return;
        if (length <= 0) {
                /* it became COMMAND, or gave up before the filter was on */
                keeper->launcher_gone = true;
                if (keeper->listener < 0)
                        keeper->ended = true;
        } else if (length == (ssize_t)sizeof(message) && message.type == HANDOFF_LISTENER && fd >= 0 &&
                   keeper->listener < 0) {
                /* one that waits no longer has given it to somebody else: two receivers would wait for each other */
                if (tell(keeper->launcher, HANDOFF_LISTENER_TAKEN, -1) < 0) {
                        keeper->ended = true;
                        return;
                }
                keeper->listener = fd_steal(&fd);
                if (keeper->bypass)
                        bypass_take_over(keeper);
                else
                        supervisor_equip(keeper);
        }
}

static void tick(struct keeper *keeper) {
        supervisor_check(keeper);
        report_refresh(keeper);
}

static bool is_busy(const struct keeper *keeper) {
        return keeper->ended || keeper->still_ticks > 0 || keeper->heartbeat != keeper->journal->header.heartbeat ||
               (has_report_file(keeper) && keeper->reported != activity(keeper));
}

/* Without the lead of a supervisor that has not ended: it may still have loads in flight when the tree has. */
static bool is_over(const struct keeper *keeper) {
        return keeper->ended && (keeper->supervisor == 0 || keeper->listener < 0);
}

static void keep(struct keeper *keeper) {
        uint64_t tick_ns = journal_now_ns();

        while (!is_over(keeper)) {
                uint64_t period_ns = (is_busy(keeper) ? TICK_BUSY_MS : TICK_IDLE_MS) * 1000000ULL;
                uint64_t now = journal_now_ns();
                struct pollfd pollers[] = {
                        { .fd = keeper->signals, .events = POLLIN },
                        { .fd = keeper->launcher_gone ? -1 : keeper->launcher, .events = POLLIN },
                        { .fd = keeper->supervisor_socket, .events = POLLIN },
                        { .fd = keeper->ended ? -1 : keeper->listener, .events = keeper->bypass ? POLLIN : 0 },
                };
                int timeout_ms = now - tick_ns >= period_ns ? 0 : (int)((period_ns - (now - tick_ns)) / 1000000U + 1);

                if (poll(pollers, 4, timeout_ms) < 0)
                        continue;
                if (keeper->bypass && (pollers[3].revents & POLLIN))
                        bypass_receive(keeper);
                if (pollers[3].revents & (POLLHUP | POLLERR))
                        keeper->ended = true;
                if (pollers[2].revents)
                        handle_supervisor(keeper);
                if (pollers[1].revents)
                        handle_launcher(keeper);
                if (pollers[0].revents)
                        reap(keeper);
                if (journal_now_ns() - tick_ns >= period_ns) {
                        tick_ns = journal_now_ns();
                        tick(keeper);
                }
        }
}

/* Start */

/*
 * Until the tree has ended nothing but SIGKILL ends us or our children: not what a service manager sends to all of a
 * unit, nor a limit on CPU time. A fault of our own still does.
 */
static int take_signals(struct keeper *keeper) {
        struct sigaction standard = { .sa_handler = SIG_DFL };
        sigset_t all, children;

        (void)sigaction(SIGCHLD, &standard, NULL);
        (void)sigfillset(&all);
        if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
                return -errno;
        (void)sigemptyset(&children);
        (void)sigaddset(&children, SIGCHLD);
        keeper->signals = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
        return keeper->signals < 0 ? -errno : 0;
}

static void raise_descriptors(void) {
        struct rlimit limit, wanted;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        wanted = limit;
        if (wanted.rlim_max < DESCRIPTORS_WANTED)
                wanted.rlim_max = DESCRIPTORS_WANTED;
        wanted.rlim_cur = DESCRIPTORS_WANTED;
        if (setrlimit(RLIMIT_NOFILE, &wanted) == 0)
                return;
        /* only CAP_SYS_RESOURCE raises the hard limit */
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                log_warning("cannot raise the number of descriptors: %m");
}

/* Without it failures are not remembered, which is no reason to fail. */
static void open_uevents(struct keeper *keeper) {
        if (keeper->config->failure_ttl_ns == 0)
                return;
        keeper->uevents = keeper->config->kernel->open_uevents();
        if (keeper->uevents < 0) {
                errno = -keeper->uevents;
                log_warning("cannot receive uevents (%m): failures are not remembered");
        }
}

static int give_up_privileges(const struct keeper *keeper) {
        cap_value_t keep[4] = { CAP_SYS_MODULE, CAP_SYS_PTRACE };
        size_t count = 2;

        /* so that our children can empty their bounding sets */
        if (privilege_has(CAP_SETPCAP))
                keep[count++] = CAP_SETPCAP;
        /* the report may be in a directory of somebody else's; only the process that writes it raises this */
        if (has_report_file(keeper) && privilege_has(CAP_DAC_OVERRIDE))
                keep[count++] = CAP_DAC_OVERRIDE;
        return privilege_keep(keep, count, false);
}

/* Says what failed: whoever started us only learns that it did. */
static int check(int r, const char *what) {
        if (r < 0) {
                errno = -r;
                log_error("the keeper cannot %s: %m", what);
        }
        return r;
}

static int keeper_init(struct keeper *keeper) {
        int r = check(cgroup_leave_udev(), "leave udevd's control group");

        if (r == 0)
                r = check(take_signals(keeper), "set up its signals");
        if (r < 0)
                return r;
        (void)prctl(PR_SET_NAME, "modgate-keeper");
        (void)umask(022);
        (void)chdir("/");
        raise_descriptors();
        r = check(journal_create(&keeper->journal), "create its journal");
        if (r < 0)
                return r;
        open_uevents(keeper);
        r = check(give_up_privileges(keeper), "give up its privileges");
        if (r < 0)
                return r;
        r = check(worker_fork(keeper, WORKER_LOADER, 0), "fork a loader");
        if (r == 0)
                r = check(worker_fork(keeper, WORKER_INSPECTOR, 0), "fork an inspector");
        if (r == 0)
                r = check(supervisor_start(keeper), "fork the supervisor");
        return r;
}

static struct keeper *keeper_new(const struct keeper_config *config, int launcher) {
        struct keeper *keeper = calloc(1, sizeof(*keeper));

        if (!keeper)
                return NULL;
        keeper->config = config;
        keeper->launcher = launcher;
        keeper->signals = keeper->listener = keeper->supervisor_socket = keeper->uevents = -1;
        keeper->notify.listener = -1;
        for (enum worker_kind kind = 0; kind < WORKER_KINDS; kind++)
                for (uint32_t i = 0; i < LOADERS_MAX; i++)
                        keeper->workers[kind][i].socket = -1;
        return keeper;
}

/* What is open and who is forked ends with the process: the workers see the end of file of their sockets. */
static void keeper_run(void *context) {
        struct keeper *keeper = keeper_new(context, DETACHED_SOCKET);
        int r = keeper ? keeper_init(keeper) : -ENOMEM;

        if (r == 0) {
                keep(keeper);
                if (keeper->listener >= 0)
                        report_finish(keeper);
        }
}

/* The keeper's next word. Its end of file means that it failed, and has said why. */
static int hear(int socket, enum handoff_type expected) {
        struct handoff_message message;
        struct pollfd poller = { .fd = socket, .events = POLLIN };
        ssize_t length;
        int r;

        do
                r = poll(&poller, 1, PATIENCE_MS);
        while (r < 0 && errno == EINTR);
        if (r <= 0)
                return r < 0 ? -errno : -ETIMEDOUT;
        length = fdpass_receive(socket, &message, sizeof(message), NULL, 0);
        if (length < 0)
                return (int)length;
        if (length == 0)
                return -ECHILD;
        return length == (ssize_t)sizeof(message) && message.type == expected ? 0 : -EPROTO;
}

int keeper_start(const struct keeper_config *config, int *ret_socket) {
        _cleanup_fd_ int ours = -1, theirs = -1;
        struct keeper_config copy = *config;
        int r = fdpass_pair(&ours, &theirs);

        if (r < 0)
                return r;
        r = detach(theirs, keeper_run, &copy);
        if (r < 0)
                return r;
        theirs = fd_close(theirs);
        r = hear(ours, HANDOFF_KEEPER_READY);
        if (r < 0)
                return r;
        *ret_socket = fd_steal(&ours);
        return 0;
}

int keeper_give_listener_dup_fd(int socket, int listener_fd) {
        int r = tell(socket, HANDOFF_LISTENER, listener_fd);

        return r < 0 ? r : hear(socket, HANDOFF_LISTENER_TAKEN);
}

void keeper_bypass_without_journal(int listener_fd) {
        /* for its counters; there is nothing here that could fail */
        static struct journal journal;
        static struct keeper keeper;

        keeper.journal = &journal;
        notify_init_consume_fd(&keeper.notify, &journal, listener_fd);
        for (;;) {
                struct pollfd poller = { .fd = listener_fd, .events = POLLIN };

                if (poll(&poller, 1, -1) < 0)
                        continue;
                if (poller.revents & POLLIN)
                        bypass_receive(&keeper);
                if (poller.revents & (POLLHUP | POLLERR))
                        return;
        }
}
