/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal.h"
#include "mediate/private.h"
#include "policy_load.h"
#include "privilege.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/service.h"
#include "util/socket.h"
#include "util/title.h"

/* A listener and a store each, and what is at work. */
#define DESCRIPTORS_WANTED 8192

/* How long the end waits for loads that are under way. */
#define STOP_LIMIT_NS (5 * 1000000000ULL)

/* What systemd has handed over, until all of it is there: a listener and its store may come in any order. Or a
 * connection. */
struct handed {
        uint64_t serial;
        int listener;
        int store;
        int connection;
        bool sees_our_pids; /* that one's runtime */
};

struct handed_over {
        int oci;
        int lxc;
        struct handed *kept;
        size_t count;
};

static struct handed *find_kept(struct handed_over *handed_over, uint64_t serial) {
        struct handed *kept;

        for (size_t i = 0; i < handed_over->count; i++)
                if (handed_over->kept[i].serial == serial)
                        return &handed_over->kept[i];
        kept = reallocarray(handed_over->kept, handed_over->count + 1, sizeof(*kept));
        if (!kept)
                return NULL;
        handed_over->kept = kept;
        kept[handed_over->count] = (struct handed){ .serial = serial, .listener = -1, .store = -1, .connection = -1 };
        return &kept[handed_over->count++];
}

static bool is_listening(int fd, int wanted_type) {
        int type = 0, listening = 0;
        socklen_t size = sizeof(int);

        return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == wanted_type &&
               getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening;
}

/* The place of what is called `name`, or NULL: it is not known here. */
static int *find_place(struct handed_over *handed_over, int fd, const char *name) {
        struct handed *kept;
        uint64_t serial;
        int sees_our_pids;

        if (sscanf(name, AGENT_CONNECTION "%" SCNx64 "-%d", &serial, &sees_our_pids) == 2) {
                kept = find_kept(handed_over, serial);
                if (!kept)
                        return NULL;
                kept->sees_our_pids = sees_our_pids;
                return &kept->connection;
        }
        if (sscanf(name, CONTAINER_KEPT "%" SCNx64, &serial) == 1) {
                kept = find_kept(handed_over, serial);
                if (!kept)
                        return NULL;
                return notify_is_listener(fd) ? &kept->listener : &kept->store;
        }
        if (is_listening(fd, SOCK_STREAM))
                return &handed_over->oci;
        return is_listening(fd, SOCK_SEQPACKET) ? &handed_over->lxc : NULL;
}

static void take(int fd, const char *name, void *context) {
        int *place = find_place(context, fd, name);

        if (place && *place < 0) {
                *place = fd;
                return;
        }
        log_warning("a descriptor that was handed over as '%s' is none that is known here", name);
        fd_close(fd);
}

/* A listener without its store has requests that nobody knows of; a store without its listener has nobody who waits. */
static void resume(struct mediator *mediator, struct handed_over *handed_over) {
        char name[SERVICE_NAME_SIZE];

        for (size_t i = 0; i < handed_over->count; i++) {
                struct handed *kept = &handed_over->kept[i];
                int r = -ENOENT;

                if (kept->connection >= 0) {
                        agent_resume_consume_fd(mediator, kept->connection, kept->serial, kept->sees_our_pids);
                        continue;
                }
                if (kept->listener >= 0 && kept->store >= 0) {
                        r = container_resume_consume_fds(mediator, kept->listener, kept->store, kept->serial);
                } else {
                        fd_close(kept->listener);
                        fd_close(kept->store);
                }
                if (r == 0)
                        continue;
                if (r != -ENOENT)
                        log_error("a container that was served before cannot be served any more: %s", strerror(-r));
                (void)snprintf(name, sizeof(name), CONTAINER_KEPT "%" PRIx64, kept->serial);
                service_forget_fds(name);
        }
        free(handed_over->kept);
}

/* The policy */

static void report(const struct policy_place *place, const char *reason, void *context) {
        (void)context;
        if (place->line > 0)
                log_error("%s:%u: %s", place->file, place->line, reason);
        else
                log_error("%s: %s", place->file ? place->file : "the policy", reason);
}

static void load_policy(struct mediator *mediator) {
        struct policy *policy;

        if (policy_load_directory(mediator->policy_directory, report, NULL, &policy) < 0) {
                log_error("the policy in %s has errors: %s", mediator->policy_directory,
                          mediator->policy ? "the last good one stays in force" : "all requests are refused");
                return;
        }
        (void)policy_free(mediator->policy);
        mediator->policy = policy;
        log_notice("the policy in %s is in force: %zu profiles", mediator->policy_directory, policy_count(policy));
}

/* Events */

static void reap(struct mediator *mediator) {
        pid_t pid;

        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
                work_reaped(mediator, pid);
}

static void stop(struct mediator *mediator) {
        if (mediator->stopping)
                return;
        mediator->stopping = true;
        service_tell("STOPPING=1");
        event_remove(&mediator->loop, &mediator->oci);
        event_remove(&mediator->loop, &mediator->lxc);
        list_for_each_safe(node, after, &mediator->containers)
                container_listen(container_of(node, struct container, link));
}

static void handle_signals(struct event_source *source, uint32_t events) {
        struct mediator *mediator = container_of(source, struct mediator, signals);
        struct signalfd_siginfo info;

        (void)events;
        while (read(source->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
                if (info.ssi_signo == SIGCHLD)
                        reap(mediator);
                else if (info.ssi_signo == SIGHUP)
                        load_policy(mediator);
                else
                        stop(mediator);
        }
}

/* It never says anything. */
static void handle_performers(struct event_source *source, uint32_t events) {
        struct mediator *mediator = container_of(source, struct mediator, performers);

        (void)events;
        log_error("the process that loads modules has ended");
        mediator->error = -ECHILD;
}

/* Start */

static int take_signals(struct mediator *mediator) {
        sigset_t signals;

        sigemptyset(&signals);
        sigaddset(&signals, SIGCHLD);
        sigaddset(&signals, SIGHUP);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
                return -errno;
        mediator->signals = (struct event_source){ .handle = handle_signals, .priority = EVENT_PRIORITY_KEEPER };
        mediator->signals.fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
        return mediator->signals.fd < 0 ? -errno : 0;
}

static void raise_descriptors(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= DESCRIPTORS_WANTED)
                return;
        limit.rlim_cur = limit.rlim_max < DESCRIPTORS_WANTED ? limit.rlim_max : DESCRIPTORS_WANTED;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int check(int r, const char *what) {
        if (r < 0)
                log_error("cannot %s: %s", what, strerror(-r));
        return r;
}

static int start(struct mediator *mediator) {
        /* the containers' processes are not root's: /proc shows what is theirs only to who may read it anyway */
        static const cap_value_t keep[] = { CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH };
        int r = check(caller_self_init(&mediator->self), "look at callers");

        raise_descriptors();
        privilege_hide_memory();
        if (r == 0)
                r = check(take_signals(mediator), "set up signals");
        if (r == 0)
                r = check(confinement_init(&mediator->confinement, mediator->kernel), "build the inspectors' filter");
        if (r == 0)
                r = check(work_start_performers(mediator), "fork the process that loads modules");
        if (r == 0)
                r = check(privilege_keep(keep, sizeof(keep) / sizeof(keep[0]), true), "give up privileges");
        if (r == 0)
                r = check(event_loop_init(&mediator->loop), "wait for events");
        if (r == 0)
                r = check(event_add(&mediator->loop, &mediator->signals), "wait for signals");
        if (r == 0)
                r = check(event_add(&mediator->loop, &mediator->performers), "wait for events");
        if (r == 0)
                load_policy(mediator);
        return r;
}

/* At what systemd has handed over, or else at `path`. */
static int listen_at(struct mediator *mediator, struct event_source *source, int fd, const char *path, int type) {
        if (fd < 0 && path)
                fd = socket_listen(path, type);
        if (fd < 0 && path) {
                log_error("cannot listen at %s: %s; name another path, in a directory that is writable, where nobody "
                          "else "
                          "listens",
                          path, strerror(-fd));
                return fd;
        }
        if (fd < 0)
                return 0;
        /* whose connection is gone by the time of accept(2) must not be waited for */
        if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
                return check(-errno, "set up a socket");
        source->fd = fd;
        return check(event_add(&mediator->loop, source), "wait for container runtimes");
}

static uint64_t shorter(uint64_t a, uint64_t b) {
        return a < b ? a : b;
}

/* Tells the watchdog, and gives up what has taken too long. Returns the nanoseconds until there is more of that. */
static uint64_t look_at_time(struct mediator *mediator, uint64_t watchdog_ns, uint64_t *told_ns) {
        uint64_t now_ns = journal_now_ns(), wait_ns;

        asked_expire(mediator, now_ns);
        if (!mediator->stopping)
                asked_work(mediator);
        wait_ns = shorter(agent_expire(mediator, now_ns), asked_wait_ns(mediator, now_ns));
        wait_ns = shorter(wait_ns, containers_keep(mediator, now_ns));
        wait_ns = shorter(wait_ns, proxy_expire(mediator, now_ns));
        if (watchdog_ns > 0 && now_ns - *told_ns >= watchdog_ns / 3) {
                service_tell("WATCHDOG=1");
                *told_ns = now_ns;
        }
        if (watchdog_ns > 0)
                wait_ns = shorter(wait_ns, watchdog_ns / 3);
        return mediator->stopping ? shorter(wait_ns, STOP_LIMIT_NS / 50) : wait_ns;
}

static int supervise(struct mediator *mediator) {
        uint64_t watchdog_ns = service_watchdog_ns(), stopping_ns = 0, told_ns = 0, wait_ns = 0;

        while (mediator->error == 0) {
                /* first: what has come while this process did not run has come in time */
                int r = event_dispatch(&mediator->loop, wait_ns == UINT64_MAX ? -1 : (int)(wait_ns / 1000000U + 1));

                if (r < 0)
                        return check(r, "wait for events");
                containers_free(mediator);
                wait_ns = look_at_time(mediator, watchdog_ns, &told_ns);
                if (mediator->stopping && stopping_ns == 0)
                        stopping_ns = journal_now_ns();
                if (mediator->stopping &&
                    (mediator->working_count == 0 || journal_now_ns() - stopping_ns >= STOP_LIMIT_NS))
                        return 0;
        }
        return mediator->error;
}

static void mediator_init(struct mediator *mediator, const struct mediate_config *config) {
        mediator->kernel = config->kernel;
        mediator->policy_directory = config->policy_directory;
        mediator->loop.epoll_fd = mediator->self.proc = -1;
        mediator->oci.fd = mediator->lxc.fd = mediator->signals.fd = mediator->performers.fd = -1;
        mediator->performers.handle = handle_performers;
        list_init(&mediator->containers);
        list_init(&mediator->working);
        list_init(&mediator->ended);
        list_init(&mediator->customers);
        list_init(&mediator->helpers);
        /* goes up from one mediator to the next */
        mediator->serial = journal_now_ns();
        for (unsigned int i = 0; i < CONNECTIONS_MAX; i++)
                mediator->connections[i].source.fd = -1;
}

/* What systemd keeps goes on without us; of what it does not, nobody waits any longer. All else ends with the process.
 */
static void leave(struct mediator *mediator) {
        list_for_each_safe(node, after, &mediator->containers) {
                struct container *container = container_of(node, struct container, link);

                if (container->kept != KEPT)
                        container_end(container, false);
        }
}

int mediate_run(const struct mediate_config *config) {
        struct handed_over handed_over = { .oci = -1, .lxc = -1 };
        static struct mediator the_only_one;
        struct mediator *mediator = &the_only_one;
        int r;

        mediator_init(mediator, config);
        service_take_fds(take, &handed_over);
        r = start(mediator);
        if (r == 0)
                r = check(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &mediator->sizes) < 0 ? -errno : 0,
                          "ask the kernel about its notifications");
        mediator->oci.handle = agent_accept;
        mediator->lxc.handle = proxy_accept;
        if (r == 0)
                r = listen_at(mediator, &mediator->oci, handed_over.oci, config->oci_socket, SOCK_STREAM);
        if (r == 0)
                r = listen_at(mediator, &mediator->lxc, handed_over.lxc, config->lxc_socket, SOCK_SEQPACKET);
        if (r < 0)
                return r;
        resume(mediator, &handed_over);
        service_tell("READY=1");
        r = supervise(mediator);
        leave(mediator);
        return r;
}
