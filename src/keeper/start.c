/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keeper/private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fdpass.h"
#include "journal.h"
#include "launch/cgroup.h"
#include "privilege.h"
#include "util/detach.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/title.h"

/* 2048 parked callers with a descriptor or two each, and room for the workers. */
#define DESCRIPTORS_WANTED 16384U

/* How long the launcher waits for the keeper's word. */
#define PATIENCE_MS 10000

/*
 * Until the tree has ended nothing but SIGKILL ends us or our children: not what a service manager sends to all of a
 * unit, nor a limit on CPU time. A fault of our own still does. The daemon may be asked to end.
 */
static int take_signals(struct keeper *keeper) {
        struct sigaction standard = { .sa_handler = SIG_DFL };
        sigset_t all, heard;

        (void)sigaction(SIGCHLD, &standard, NULL);
        (void)sigfillset(&all);
        if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
                return -errno;
        (void)sigemptyset(&heard);
        (void)sigaddset(&heard, SIGCHLD);
        (void)sigaddset(&heard, SIGUSR1);
        if (keeper->serving) {
                (void)sigaddset(&heard, SIGTERM);
                (void)sigaddset(&heard, SIGINT);
        }
        keeper->signals = signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK);
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

void keeper_open_uevents(struct keeper *keeper) {
        if (keeper->config.failure_ttl_ns == 0)
                return;
        keeper->uevents = keeper->config.kernel->open_uevents();
        if (keeper->uevents < 0) {
                errno = -keeper->uevents;
                log_warning("cannot receive uevents (%m): failures are not remembered");
        }
}

static int give_up_privileges(const struct keeper *keeper) {
        cap_value_t keep[4] = { CAP_SYS_MODULE, CAP_SYS_PTRACE };
        size_t count = keeper->attach.state == ATTACH_NOT ? 2 : 0;

        /* so that our children can empty their bounding sets */
        if (privilege_has(CAP_SETPCAP))
                keep[count++] = CAP_SETPCAP;
        /* report and trace may be in a directory of somebody else's; only the processes that write them raise this */
        if ((report_is_file(keeper) || keeper->config.trace) && privilege_has(CAP_DAC_OVERRIDE))
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

/* What the tree's requests are served by, here or by the daemon. */
static int start_children(struct keeper *keeper) {
        int r = check(worker_fork(keeper, WORKER_LOADER, 0), "fork a loader");

        if (r == 0)
                r = check(worker_fork(keeper, WORKER_INSPECTOR, 0), "fork an inspector");
        if (r == 0)
                r = check(supervisor_start(keeper), "fork the supervisor");
        return r;
}

int keeper_init(struct keeper *keeper) {
        bool is_attached;
        int r = check(cgroup_leave_udev(), "leave udevd's control group");

        if (r == 0)
                r = check(take_signals(keeper), "set up its signals");
        if (r < 0)
                return r;
        title_set(keeper->serving ? "modgate-serve" : "modgate-keeper");
        privilege_hide_memory();
        (void)umask(022);
        (void)chdir("/");
        raise_descriptors();
        r = check(journal_create(&keeper->journal, &keeper->journal_fd), "create its journal");
        if (r < 0)
                return r;
        is_attached = attach_start(keeper);
        if (!is_attached) {
                keeper->journal_fd = fd_close(keeper->journal_fd);
                r = check(confinement_init(&keeper->confinement, keeper->config.kernel),
                          "build its children's filters");
                if (r < 0)
                        return r;
                keeper_open_uevents(keeper);
        }
        r = tracing_start(keeper);
        if (r < 0)
                return r;
        r = check(give_up_privileges(keeper), "give up its privileges");
        if (r < 0)
                return r;
        if (!is_attached)
                return start_children(keeper);
        return check(keeper_announce(keeper), "tell the launcher that it is ready");
}

struct keeper *keeper_new(const struct keeper_config *config, int launcher) {
        struct keeper *keeper = calloc(1, sizeof(*keeper));

        if (!keeper)
                return NULL;
        keeper->config = *config;
        /* they may be among the program's arguments, which are overwritten by our title */
        keeper->config.report = config->report ? strdup(config->report) : NULL;
        keeper->config.trace = config->trace ? strdup(config->trace) : NULL;
        keeper->config.attach = config->attach ? strdup(config->attach) : NULL;
        if ((config->report && !keeper->config.report) || (config->trace && !keeper->config.trace) ||
            (config->attach && !keeper->config.attach)) {
                free(keeper);
                return NULL;
        }
        keeper->launcher = launcher;
        keeper->attach.connection = keeper->journal_fd = -1;
        keeper->signals = keeper->listener = keeper->supervisor_socket = keeper->uevents = -1;
        keeper->trace.fd = -1;
        keeper->notify.listener = -1;
        for (enum worker_kind kind = 0; kind < WORKER_KINDS; kind++)
                for (uint32_t i = 0; i < LOADERS_MAX; i++)
                        keeper->workers[kind][i].socket = -1;
        return keeper;
}

/* What is open and who is forked ends with the process: the workers see the end of file of their sockets. */
static void keeper_run(void *context) {
        struct keeper *keeper = keeper_new(context, DETACHED_SOCKET);
        int r = keeper ? keeper_init(keeper) : check(-ENOMEM, "start");

        if (r == 0) {
                keeper_loop(keeper);
                attach_finish(keeper);
                /* a supervisor that is still there has begun nothing, and ends now; the tracer waits for that */
                keeper->supervisor_socket = fd_close(keeper->supervisor_socket);
                tracing_finish(keeper);
                if (keeper->listener >= 0)
                        report_finish(keeper);
        }
}

/* The launcher's side */

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
        int r = keeper_tell(socket, HANDOFF_LISTENER, listener_fd);

        if (r < 0)
                return r;
        r = hear(socket, HANDOFF_LISTENER_TAKEN);
        if (r == 0)
                return 0;
        /* It may say so just now. From here on it cannot, and knows that somebody else has the listener. */
        (void)shutdown(socket, SHUT_RD);
        return hear(socket, HANDOFF_LISTENER_TAKEN) == 0 ? 0 : r;
}
