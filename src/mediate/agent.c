/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What container runtimes say: a ContainerProcessState for each connection, with the listener (docs/oci.md). Only
 * root's runtimes are heard; who starts containers decides which profile they have.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "journal.h"
#include "mediate/private.h"
#include "oci/profile.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/service.h"
#include "util/socket.h"

/*
 * A runtime writes its state at once, but it may be long before it begins: crun connects when it creates the container,
 * and the state comes once the container has been started. So it may wait, unless its place is needed.
 */
#define STATE_LIMIT_NS (10 * 1000000000ULL)

#define PIECE_SIZE 65536U

/* Without descriptors to accept with. */
#define ACCEPT_AGAIN_NS (1 * 1000000000ULL)

/* Whether it sees our pids cannot be asked later: its process may have ended, and its number be another one's. */
static void connection_name(const struct connection *connection, char name[static SERVICE_NAME_SIZE]) {
        (void)snprintf(name, SERVICE_NAME_SIZE, AGENT_CONNECTION "%" PRIx64 "-%d", connection->serial,
                       connection->sees_our_pids);
}

static void keep(struct connection *connection) {
        char name[SERVICE_NAME_SIZE];
        int r;

        connection_name(connection, name);
        r = service_keep_fds(name, &connection->source.fd, 1, false);
        connection->kept = r == 0 ? KEPT : (r == -ENOTCONN ? KEPT_BY_NOBODY : KEPT_NOT_YET);
}

static void forget(struct connection *connection) {
        char name[SERVICE_NAME_SIZE];

        if (connection->kept == KEPT) {
                connection_name(connection, name);
                service_forget_fds(name);
        }
        event_remove(&connection->mediator->loop, &connection->source);
        for (unsigned int i = 0; i < connection->fd_count; i++)
                fd_close(connection->fds[i]);
        connection->fd_count = 0;
        oci_reader_deinit(&connection->reader);
        connection->source.fd = fd_close(connection->source.fd);
}

static void refuse(struct connection *connection, const char *why) {
        log_error("the state of a container is refused: %s; its module loads fail with ENOSYS", why);
        forget(connection);
}

/* Which profile its configuration names. Empty: it says something that is none. NULL: it says nothing. */
static const char *find_profile(const struct mediator *mediator, const struct oci_state *state,
                                char name[static OCI_PROFILE_SIZE], bool *ret_by_annotation) {
        const char *key = policy_annotation(mediator->policy), *value;
        int r = oci_profile_find(state->metadata, name);

        *ret_by_annotation = false;
        if (r == 0)
                return name;
        if (r != -ENOENT)
                return "";
        value = key ? oci_state_annotation(state, key) : NULL;
        if (!value)
                return NULL;
        *ret_by_annotation = true;
        if (!policy_is_profile_name(value, strlen(value)))
                return "";
        (void)strcpy(name, value); /* of POLICY_NAME_MAX at most */
        return name;
}

bool agent_sees_our_pids(const struct mediator *mediator, pid_t pid) {
        int proc = mediator->self.proc;
        uint64_t its[2], ours[2];

        if (pid == 0)
                return false;
        return asker_namespace(proc, pid, "pid", its) < 0 || asker_namespace(proc, getpid(), "pid", ours) < 0 ||
               (its[0] == ours[0] && its[1] == ours[1]);
}

/* Of its other listeners. False: there are none, or they do not agree: then it is not one container. */
static bool find_user_namespace_of(const struct mediator *mediator, const char *id, uint64_t ret[static 2]) {
        bool found = false;

        list_for_each_safe(node, after, &mediator->containers) {
                const struct container *container = container_of(node, struct container, link);
                const struct container_store *store = container->store;

                if (container->is_monitor || !store || strcmp(store->id, id) != 0 || store->user_namespace[1] == 0)
                        continue;
                if (found && memcmp(ret, store->user_namespace, sizeof(store->user_namespace)) != 0)
                        return false;
                memcpy(ret, store->user_namespace, sizeof(store->user_namespace));
                found = true;
        }
        return found;
}

/*
 * Zeros if it cannot be known: then nobody there is root, but whoever asks may be let through by caller=any. The
 * process does not wait for us, and may be in a user namespace of its own by now: that one is not root's. Who is
 * executed in a container has no pid from crun (docs/oci.md), but is in the user namespace of the others there.
 */
static void find_user_namespace(const struct connection *connection, const struct oci_state *state,
                                uint64_t ret[static 2]) {
        int proc = connection->mediator->self.proc;

        if (state->pid == 0 && find_user_namespace_of(connection->mediator, state->id, ret))
                return;
        if (state->pid > 0 && connection->sees_our_pids && asker_is_filtered(proc, state->pid) &&
            asker_namespace_of_root(proc, state->pid, ret) == 0)
                return;
        ret[0] = ret[1] = 0;
        log_warning("the user namespace of container %s is not known (its runtime is in another pid namespace, or its "
                    "process has gone, or has left it): nobody there counts as its root",
                    state->id);
}

static void begin(struct connection *connection, const struct oci_state *state) {
        struct mediator *mediator = connection->mediator;
        char name[OCI_PROFILE_SIZE];
        struct container_claim claim = { .id = state->id };
        int listener = connection->fds[state->seccomp_fd], r;

        if (!notify_is_listener(listener)) {
                refuse(connection, "what it calls its listener is none");
                return;
        }
        claim.profile = find_profile(mediator, state, name, &claim.by_annotation);
        find_user_namespace(connection, state, claim.user_namespace);
        connection->fds[state->seccomp_fd] = -1;
        r = container_begin_consume_fd(mediator, listener, &claim);
        if (r < 0) {
                refuse(connection,
                       r == -ENOMEM || r == -EUSERS ? "there are too many, or there is no memory" : strerror(-r));
                return;
        }
        log_info("container=%s pid=%d profile=%s: served", state->id, (int)state->pid,
                 claim.profile ? (*claim.profile ? claim.profile : "(no name)") : "default");
        forget(connection);
}

static void finish(struct connection *connection) {
        struct oci_state state;

        if (oci_reader_finish(&connection->reader, &state) < 0) {
                refuse(connection, connection->reader.problem.text);
                return;
        }
        begin(connection, &state);
        oci_state_deinit(&state);
}

/* Returns how many descriptors came, or negative errno. More than there is room for are too many, which the reader
 * finds. */
static int take_fds(struct connection *connection, struct msghdr *message) {
        unsigned int room = OCI_FDS_MAX - connection->fd_count;
        unsigned int count = socket_take_fds(message, connection->fds + connection->fd_count, room);

        connection->fd_count += count < room ? count : room;
        return message->msg_flags & MSG_CTRUNC ? -EMFILE : (int)count;
}

/* Returns the length of what was read, with the number of descriptors; or negative errno. */
static ssize_t receive(struct connection *connection, char piece[static PIECE_SIZE], int *ret_fds) {
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int) * (OCI_FDS_MAX + 1))];
        } control;
        struct iovec part = { .iov_base = piece, .iov_len = PIECE_SIZE };
        struct msghdr message = {
                .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        ssize_t length = recvmsg(connection->source.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        if (length < 0)
                return -errno;
        *ret_fds = take_fds(connection, &message);
        return *ret_fds < 0 ? *ret_fds : length;
}

static void handle_connection(struct event_source *source, uint32_t events) {
        struct connection *connection = container_of(source, struct connection, source);
        static char piece[PIECE_SIZE];
        int fds = 0, r;
        ssize_t length = receive(connection, piece, &fds);

        (void)events;
        if (length == -EAGAIN || length == -EINTR)
                return;
        if (length == 0 && !connection->reader.begun) {
                log_info("a container runtime has gone without a word: its container has not been started");
                forget(connection);
                return;
        }
        if (length < 0) {
                refuse(connection, length == -EMFILE ? "its descriptors cannot be taken" : strerror((int)-length));
                return;
        }
        if (!connection->reader.begun)
                connection->since_ns = journal_now_ns();
        r = length > 0 ? oci_reader_add(&connection->reader, piece, (size_t)length, (unsigned int)fds) : 0;
        if (r < 0)
                refuse(connection, connection->reader.problem.text);
        else if (r == 0)
                finish(connection); /* or its end has come too early, which the reader says */
}

static struct connection *free_connection(struct mediator *mediator) {
        for (unsigned int i = 0; i < CONNECTIONS_MAX; i++)
                if (mediator->connections[i].source.fd < 0)
                        return &mediator->connections[i];
        return NULL;
}

int agent_accept_root(struct mediator *mediator, struct event_source *source, pid_t *ret_pid) {
        _cleanup_fd_ int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        struct ucred credentials = { 0 };
        socklen_t size = sizeof(credentials);

        if (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                log_error("cannot accept a container runtime: %m; trying again");
                mediator->accept_again_ns = journal_now_ns() + ACCEPT_AGAIN_NS;
                event_remove(&mediator->loop, source);
        }
        if (fd < 0)
                return -1;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0 || credentials.uid != 0) {
                log_error("a container runtime of user %u is refused: it is not root's", credentials.uid);
                return -1;
        }
        *ret_pid = credentials.pid;
        return fd_steal(&fd);
}

static void connection_begin(struct mediator *mediator, struct connection *connection, int fd) {
        connection->mediator = mediator;
        connection->fd_count = 0;
        connection->since_ns = journal_now_ns();
        oci_reader_init(&connection->reader);
        connection->source = (struct event_source){ .handle = handle_connection, .fd = fd };
}

static void connection_listen(struct connection *connection) {
        if (event_add(&connection->mediator->loop, &connection->source) < 0)
                refuse(connection, "there is no memory");
}

void agent_accept(struct event_source *source, uint32_t events) {
        struct mediator *mediator = container_of(source, struct mediator, oci);
        struct connection *connection = free_connection(mediator);
        pid_t pid;
        int fd;

        (void)events;
        if (!connection) {
                /* it waits in the backlog, until one of the others is complete or given up */
                event_remove(&mediator->loop, source);
                return;
        }
        fd = agent_accept_root(mediator, source, &pid);
        if (fd < 0)
                return;
        connection->serial = ++mediator->serial;
        connection->sees_our_pids = agent_sees_our_pids(mediator, pid);
        connection_begin(mediator, connection, fd);
        keep(connection);
        connection_listen(connection);
}

void agent_resume_consume_fd(struct mediator *mediator, int fd, uint64_t serial, bool sees_our_pids) {
        struct connection *connection = free_connection(mediator);

        if (!connection) { /* it had no more than we have */
                fd_close(fd);
                return;
        }
        connection->serial = serial;
        connection->sees_our_pids = sees_our_pids;
        connection->kept = KEPT;
        connection_begin(mediator, connection, fd);
        connection_listen(connection);
}

static uint64_t listen_again(struct mediator *mediator, struct event_source *source, uint64_t now_ns) {
        if (source->fd < 0 || source->watched || mediator->stopping)
                return UINT64_MAX;
        if (now_ns < mediator->accept_again_ns)
                return mediator->accept_again_ns - now_ns;
        if (event_add(&mediator->loop, source) == 0)
                return UINT64_MAX;
        mediator->accept_again_ns = now_ns + ACCEPT_AGAIN_NS;
        return ACCEPT_AGAIN_NS;
}

/* Those that say nothing make room for others only: the one that has been silent for the longest time. */
static struct connection *longest_silent(struct mediator *mediator) {
        struct connection *longest = &mediator->connections[0];

        for (unsigned int i = 1; i < CONNECTIONS_MAX; i++)
                if (mediator->connections[i].since_ns < longest->since_ns)
                        longest = &mediator->connections[i];
        return longest;
}

/* Accepts again, if there is room for it. Returns the nanoseconds until it is to be tried, or UINT64_MAX. */
static uint64_t accept_again(struct mediator *mediator, uint64_t now_ns) {
        uint64_t lxc_ns = listen_again(mediator, &mediator->lxc, now_ns), oci_ns = UINT64_MAX;

        if (free_connection(mediator)) {
                oci_ns = listen_again(mediator, &mediator->oci, now_ns);
        } else if (!mediator->oci.watched && !mediator->stopping) { /* there is another one */
                uint64_t silent_ns = now_ns - longest_silent(mediator)->since_ns;

                if (silent_ns >= STATE_LIMIT_NS)
                        refuse(longest_silent(mediator), "it has not come for 10 s, and others wait");
                oci_ns = silent_ns < STATE_LIMIT_NS ? STATE_LIMIT_NS - silent_ns : 0;
        }
        return lxc_ns < oci_ns ? lxc_ns : oci_ns;
}

uint64_t agent_expire(struct mediator *mediator, uint64_t now_ns) {
        uint64_t wait_ns = UINT64_MAX, again_ns;

        for (unsigned int i = 0; i < CONNECTIONS_MAX; i++) {
                struct connection *connection = &mediator->connections[i];
                uint64_t age_ns = now_ns - connection->since_ns;

                if (connection->source.fd < 0)
                        continue;
                if (connection->kept == KEPT_NOT_YET)
                        keep(connection);
                if (connection->kept == KEPT_NOT_YET)
                        wait_ns = KEEP_AGAIN_NS < wait_ns ? KEEP_AGAIN_NS : wait_ns;
                if (!connection->reader.begun)
                        continue;
                if (age_ns >= STATE_LIMIT_NS)
                        refuse(connection, "it is not complete after 10 s");
                else if (STATE_LIMIT_NS - age_ns < wait_ns)
                        wait_ns = STATE_LIMIT_NS - age_ns;
        }
        again_ns = accept_again(mediator, now_ns);
        return again_ns < wait_ns ? again_ns : wait_ns;
}
