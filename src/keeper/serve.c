/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The daemon's keeper: takes trees from their keepers, and holds what these have lent, so that a supervisor that dies
 * is replaced by one that has all of them. include/modgate/attach.h says what is said.
 *
 * A tree stays ours until its supervisor has left it, also if its keeper dies: then nobody else would serve it.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "fdpass.h"
#include "journal.h"
#include "keeper/private.h"
#include "util/fd.h"
#include "util/list.h"
#include "util/log.h"
#include "util/service.h"

/* Whoever connects and does not attach its tree within that time is no keeper. */
#define SILENT_LIMIT_NS (30 * 1000000000ULL)

/* How long the end of the daemon waits for loads that are under way. */
#define STOP_LIMIT_NS (5 * 1000000000ULL)

/* One that cannot even be killed, since it waits for a dead file server, is not waited for longer. */
#define KILLED_LIMIT_NS (1 * 1000000000ULL)

/* A tree that outlives its keeper for so long is none that is about to end. */
#define ORPHAN_TOLD_NS (3 * 1000000000ULL)

/* So many messages of one peer are heard before others have their turn. */
#define HEARD_AT_ONCE 16U

static int answer(const struct peer *peer, enum attach_type type, enum attach_refusal refusal) {
        struct attach_message message = {
                .type = type,
                .version = JOURNAL_VERSION,
                .journal_size = sizeof(struct journal),
                .refusal = refusal,
        };

        return fdpass_send_dup_fd(peer->connection.fd, &message, sizeof(message), NULL, 0, -1, MSG_DONTWAIT);
}

static void peer_drop(struct peer *peer) {
        event_remove(&peer->keeper->serving->loop, &peer->connection);
        peer->listener = fd_close(peer->listener);
        peer->journal_fd = fd_close(peer->journal_fd);
        if (peer->journal)
                (void)munmap(peer->journal, sizeof(*peer->journal));
        peer->journal = NULL;
        peer->handed_over = false;
        peer->orphaned_ns = 0;
        peer->orphan_told = false;
        peer->state = PEER_NONE;
        /* last: its keeper may receive from then on. A supervisor that could not be killed may still have it open */
        (void)shutdown(peer->connection.fd, SHUT_RDWR);
        peer->connection.fd = fd_close(peer->connection.fd);
}

static void refuse(struct peer *peer, enum attach_refusal refusal) {
        (void)answer(peer, ATTACH_REFUSED, refusal);
        peer_drop(peer);
}

/* Returns 0, or negative errno: not all of it was taken, by a supervisor that hangs; to be tried again. */
static int hand_over(struct peer *peer) {
        const struct keeper *keeper = peer->keeper;
        const struct {
                enum handoff_type type;
                int fd;
        } parts[] = {
                { HANDOFF_TREE_JOURNAL, peer->journal_fd },
                { HANDOFF_TREE_CONNECTION, peer->connection.fd },
                { HANDOFF_LISTENER, peer->listener },
        };

        if (peer->state != PEER_ATTACHED || peer->handed_over || !keeper->supervisor_ready)
                return 0;
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
                struct handoff_message message = { .type = parts[i].type,
                                                   .index = (uint32_t)(peer - keeper->serving->peers) };
                int r = fdpass_send_dup_fd(keeper->supervisor_socket, &message, sizeof(message), NULL, 0, parts[i].fd,
                                           MSG_DONTWAIT);

                if (r < 0)
                        return r;
        }
        peer->handed_over = true;
        return 0;
}

/* Peers */

static void hear_hello(struct peer *peer, const struct attach_message *message) {
        if (message->version != JOURNAL_VERSION || message->journal_size != sizeof(struct journal)) {
                log_error(
                        "a tree is refused: its journal is of version %u (%llu bytes), ours of version %u (%zu bytes); "
                        "restart its service",
                        message->version, (unsigned long long)message->journal_size, JOURNAL_VERSION,
                        sizeof(struct journal));
                refuse(peer, ATTACH_VERSION);
                return;
        }
        if (answer(peer, ATTACH_WELCOME, 0) < 0)
                peer_drop(peer);
        else
                peer->state = PEER_WELCOME;
}

static void hear_journal(struct peer *peer, int *fd) {
        if (peer->journal || *fd < 0 || journal_map(*fd, &peer->journal) < 0) {
                log_error("a tree is refused: what its keeper calls a journal is none");
                refuse(peer, ATTACH_NONSENSE);
                return;
        }
        peer->journal_fd = fd_steal(fd);
}

static void hear_listener(struct peer *peer, int *fd) {
        if (!peer->journal || *fd < 0 || !notify_is_listener(*fd)) {
                log_error("a tree is refused: what its keeper calls a listener is none");
                refuse(peer, ATTACH_NONSENSE);
                return;
        }
        peer->listener = fd_steal(fd);
        peer->state = PEER_ATTACHED;
        (void)answer(peer, ATTACH_TAKEN, 0);
        (void)hand_over(peer);
}

static void hear(struct peer *peer, const struct attach_message *message, int *fd) {
        if (peer->state == PEER_NEW && message->type == ATTACH_HELLO)
                hear_hello(peer, message);
        else if (peer->state == PEER_WELCOME && message->type == ATTACH_JOURNAL)
                hear_journal(peer, fd);
        else if (peer->state == PEER_WELCOME && message->type == ATTACH_LISTENER)
                hear_listener(peer, fd);
        else if (peer->state != PEER_ATTACHED)
                refuse(peer, ATTACH_NONSENSE);
}

/* The connection stays open on our side: it is the supervisor that says when it has left the tree. */
static void lose(struct peer *peer) {
        if (peer->state != PEER_ATTACHED) {
                peer_drop(peer);
                return;
        }
        event_remove(&peer->keeper->serving->loop, &peer->connection);
        peer->orphaned_ns = journal_now_ns();
}

static bool has_ended(const struct peer *peer) {
        struct pollfd look = { .fd = peer->listener };

        return poll(&look, 1, 0) > 0 && (look.revents & (POLLHUP | POLLERR));
}

/* When a unit is stopped its keeper may be the first to be killed: that is not worth a word. */
static void tell_orphan(struct peer *peer, uint64_t now) {
        if (peer->orphaned_ns == 0 || peer->orphan_told || now - peer->orphaned_ns < ORPHAN_TOLD_NS || has_ended(peer))
                return;
        peer->orphan_told = true;
        log_error("the keeper of a tree is gone: its modules still load, but not without this daemon; restart the "
                  "supervised service");
}

static void handle_peer(struct event_source *source, uint32_t events) {
        struct peer *peer = container_of(source, struct peer, connection);

        (void)events;
        for (unsigned int i = 0; i < HEARD_AT_ONCE && source->watched; i++) {
                struct attach_message message;
                _cleanup_fd_ int fd = -1;
                ssize_t length = fdpass_receive(source->fd, &message, sizeof(message), &fd, MSG_DONTWAIT);

                if (length == -EAGAIN || length == -EINTR)
                        return;
                if (length == (ssize_t)sizeof(message))
                        hear(peer, &message, &fd);
                else if (fdpass_is_end(length))
                        lose(peer);
                else if (peer->state != PEER_ATTACHED)
                        refuse(peer, ATTACH_NONSENSE);
        }
}

static bool is_root(int connection) {
        struct ucred credentials;
        socklen_t size = sizeof(credentials);

        return getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 &&
               size == sizeof(credentials) && credentials.uid == 0;
}

static struct peer *free_peer(struct serving *serving) {
        for (uint32_t i = 0; i < TREES_MAX; i++)
                if (serving->peers[i].state == PEER_NONE)
                        return &serving->peers[i];
        return NULL;
}

static void refuse_connection(struct serving *serving, int fd, enum attach_refusal refusal) {
        struct peer nobody = { .connection.fd = fd };

        /* its keeper tries again and again */
        if (!serving->refusal_told)
                log_error("a connection is refused: %s",
                          refusal == ATTACH_FULL ? "there are too many trees" : "it is not root's");
        serving->refusal_told = true;
        (void)answer(&nobody, ATTACH_REFUSED, refusal);
}

static void handle_socket(struct event_source *source, uint32_t events) {
        struct serving *serving = container_of(source, struct serving, socket);
        _cleanup_fd_ int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        struct peer *peer;

        (void)events;
        if (fd < 0)
                return;
        peer = free_peer(serving);
        if (!is_root(fd) || !peer) {
                refuse_connection(serving, fd, peer ? ATTACH_NOT_ROOT : ATTACH_FULL);
                return;
        }
        serving->refusal_told = false;
        peer->connection.fd = fd_steal(&fd);
        peer->state = PEER_NEW;
        peer->since_ns = journal_now_ns();
        if (event_add(&serving->loop, &peer->connection) < 0)
                peer_drop(peer);
}

/* What the rest of the keeper tells */

void serve_handle(struct keeper *keeper) {
        (void)event_dispatch(&keeper->serving->loop, 0);
}

void serve_ready(struct keeper *keeper) {
        struct serving *serving = keeper->serving;

        serving->watchdog_ns = service_watchdog_ns();
        service_tell("READY=1");
        if (event_add(&serving->loop, &serving->socket) < 0)
                keeper->failed = keeper->ended = true;
}

int serve_equip(struct keeper *keeper) {
        int r = 0;

        for (uint32_t i = 0; r == 0 && i < TREES_MAX; i++)
                r = hand_over(&keeper->serving->peers[i]);
        return r;
}

void serve_begin_anew(struct keeper *keeper) {
        if (!keeper->serving)
                return;
        for (uint32_t i = 0; i < TREES_MAX; i++)
                keeper->serving->peers[i].handed_over = false;
        if (keeper->serving->stopping)
                keeper->ended = true;
}

/* Of an orphan ours is the last listener: it is offered again, until the tree has ended. */
void serve_tree_left(struct keeper *keeper, uint32_t index) {
        struct peer *peer;

        if (!keeper->serving || index >= TREES_MAX)
                return;
        peer = &keeper->serving->peers[index];
        if (peer->state != PEER_ATTACHED)
                return;
        if (peer->orphaned_ns > 0 && !has_ended(peer))
                peer->handed_over = false;
        else
                peer_drop(peer);
}

/*
 * As long as it is there its connections are open, whatever becomes of us: nobody would hear that we have ended. So the
 * keepers take their trees back now, and bring them to whoever serves then. What was killed receives nothing more. An
 * orphan has nobody who would take it, and stays.
 */
void serve_leave_behind(struct keeper *keeper) {
        for (uint32_t i = 0; keeper->serving && i < TREES_MAX; i++) {
                struct peer *peer = &keeper->serving->peers[i];

                if (peer->state != PEER_ATTACHED || peer->orphaned_ns > 0)
                        continue;
                peer_drop(peer);
        }
}

/* Nobody takes these over: their listeners end with us. */
static void tell_lost_orphans(const struct serving *serving) {
        unsigned int count = 0;

        for (uint32_t i = 0; i < TREES_MAX; i++)
                if (serving->peers[i].orphaned_ns > 0 && !has_ended(&serving->peers[i]))
                        count++;
        if (count > 0)
                log_error("the daemon ends, and the keepers of %u of its trees are gone: every module load there fails "
                          "from now on; restart the services that modgate runs with --attach",
                          count);
}

void serve_stop(struct keeper *keeper) {
        struct serving *serving = keeper->serving;

        if (!serving || serving->stopping)
                return;
        serving->stopping = true;
        serving->stopping_ns = journal_now_ns();
        service_tell("STOPPING=1");
        /* who comes now comes to the next daemon */
        event_remove(&serving->loop, &serving->socket);
        if (!keeper->supervisor_ready || keeper_tell(keeper->supervisor_socket, HANDOFF_STOP, -1) < 0)
                keeper->ended = true;
}

static void feed_watchdog(struct serving *serving, uint64_t now) {
        if (serving->watchdog_ns == 0 || now - serving->told_ns < serving->watchdog_ns / 3)
                return;
        serving->told_ns = now;
        service_tell("WATCHDOG=1");
}

/* Its trees are not ours any more once it is dead. What was killed receives nothing more. */
static void end_supervisor(struct keeper *keeper, uint64_t now) {
        struct serving *serving = keeper->serving;

        if (keeper->supervisor <= 0)
                return;
        (void)kill(keeper->supervisor, SIGKILL);
        if (serving->killed_ns == 0)
                serving->killed_ns = now;
        if (now - serving->killed_ns < KILLED_LIMIT_NS)
                return;
        log_error("the supervisor cannot be killed: it is left behind");
        keeper->supervisor = 0;
}

/* There is no supervisor. Their keepers hear that, also if one that could not be killed has the connections open. */
static void give_trees_back(struct serving *serving) {
        for (uint32_t i = 0; i < TREES_MAX; i++)
                if (serving->peers[i].state == PEER_ATTACHED)
                        (void)shutdown(serving->peers[i].connection.fd, SHUT_RDWR);
}

/* A supervisor that hangs is killed by supervisor_check(), so as long as this runs there is one. */
void serve_check(struct keeper *keeper) {
        struct serving *serving = keeper->serving;
        uint64_t now = journal_now_ns();

        if (!serving)
                return;
        feed_watchdog(serving, now);
        for (uint32_t i = 0; i < TREES_MAX; i++) {
                struct peer *peer = &serving->peers[i];

                (void)hand_over(peer);
                tell_orphan(peer, now);
                if ((peer->state == PEER_NEW || peer->state == PEER_WELCOME) && now - peer->since_ns >= SILENT_LIMIT_NS)
                        refuse(peer, ATTACH_NONSENSE);
        }
        if (serving->stopping && now - serving->stopping_ns >= STOP_LIMIT_NS)
                keeper->ended = true;
        if (keeper->ended)
                end_supervisor(keeper, now);
}

int serve_timeout_ms(const struct keeper *keeper) {
        if (!keeper->serving)
                return -1;
        if (keeper->serving->stopping || keeper->ended)
                return 100;
        return keeper->serving->watchdog_ns > 0 ? (int)(keeper->serving->watchdog_ns / 3000000U + 1) : -1;
}

void serve_forget_journals(struct keeper *keeper) {
        for (uint32_t i = 0; keeper->serving && i < TREES_MAX; i++)
                if (keeper->serving->peers[i].journal)
                        (void)munmap(keeper->serving->peers[i].journal, sizeof(struct journal));
}

static bool has_work(const struct peer *peer) {
        struct pollfd look = { .fd = peer->listener, .events = POLLIN };

        if (peer->state != PEER_ATTACHED)
                return false;
        return peer->journal->header.in_use > 0 || poll(&look, 1, 0) > 0;
}

bool serve_work_waits(const struct keeper *keeper) {
        for (uint32_t i = 0; i < TREES_MAX; i++)
                if (has_work(&keeper->serving->peers[i]))
                        return true;
        return false;
}

uint64_t serve_heartbeat(const struct keeper *keeper) {
        uint64_t sum = 0;

        for (uint32_t i = 0; keeper->serving && i < TREES_MAX; i++)
                if (keeper->serving->peers[i].state == PEER_ATTACHED)
                        sum += keeper->serving->peers[i].journal->header.heartbeat;
        return sum;
}

static struct serving *serving_new(struct keeper *keeper, int socket) {
        struct serving *serving = calloc(1, sizeof(*serving));

        if (!serving || event_loop_init(&serving->loop) < 0) {
                free(serving);
                return NULL;
        }
        serving->socket = (struct event_source){ .handle = handle_socket, .fd = socket };
        for (uint32_t i = 0; i < TREES_MAX; i++)
                serving->peers[i] = (struct peer){
                        .connection = { .handle = handle_peer, .fd = -1 },
                        .keeper = keeper,
                        .journal_fd = -1,
                        .listener = -1,
                };
        return serving;
}

int keeper_serve_consume_fd(const struct keeper_config *config, int socket) {
        struct keeper_config own = *config;
        struct keeper *keeper;
        int r;

        own.report = own.attach = NULL;
        keeper = keeper_new(&own, -1);
        if (keeper)
                keeper->serving = serving_new(keeper, socket);
        if (!keeper || !keeper->serving) {
                log_error("no memory for the daemon");
                return -ENOMEM;
        }
        r = keeper_init(keeper);
        if (r < 0)
                return r;
        keeper_loop(keeper);
        tell_lost_orphans(keeper->serving);
        give_trees_back(keeper->serving);
        tracing_finish(keeper);
        return keeper->failed ? -ECHILD : 0;
}
