/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "peers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fdpass.h"
#include "idle.h"
#include "journal.h"
#include "keeper/private.h"
#include "processes.h"
#include "util/fd.h"
#include "util/service.h"

#define PEERS_MAX 160
#define PIPES 6
#define JOURNALS 2

/* A peer that does not attach its tree is heard for so long; and how long the daemon may take to end. */
#define SILENT_LIMIT_NS (31 * 1000000000ULL)
#define STOP_LIMIT_NS (8 * 1000000000ULL)
#define WATCHDOG_NS (10 * 1000000000ULL)

/* At the end nothing happens but time: so many rounds of it are too many. */
#define ROUND_TOO_MANY 300

/* What a peer may send along. */
enum thing {
        THING_NONE,
        THING_JOURNAL,
        THING_LISTENER,
        THING_NULL,     /* /dev/null */
        THING_UNSEALED, /* memfds: it could be cut */
        THING_SHORT,    /* is of another size */
        THING_SOCKET,   /* the end of a connection */
        THING_TWO,
        THING_MANY,
        THINGS,
};

/* What should have become of a peer. */
enum expected {
        EXPECTED_NEW,
        EXPECTED_WELCOME,
        EXPECTED_ATTACHED,
        EXPECTED_GONE,
};

static struct made_up_peer {
        int socket; /* -1: closed */
        int queued; /* the other end, until it is accepted */
        int theirs; /* after that its number; -1: another one's */
        bool is_root;
        bool is_accepted;
        bool has_journal;
        enum expected expected;
        uint32_t index; /* of its tree */
        uint32_t heard; /* the last type */
} peers[PEERS_MAX];

static struct made_up_pipe {
        int listener;
        int end; /* -1: the tree has ended */
} pipes[PIPES];

static struct {
        int fd;
        struct journal *journal;
} journals[JOURNALS];

static int null_fd, unsealed_fd, short_fd, socket_fd;

static struct {
        struct input *input;
        struct journal *journal;
        struct keeper *keeper;
        int signals;
        int door; /* an eventfd: how many wait to be accepted */
        unsigned int peer_count;
        unsigned int accepted_count;
        struct made_up_peer *last_accepted;
        bool accept_fails;
        int maps; /* of peers' journals */
        unsigned int rounds;
        uint64_t stopped_ns; /* SIGTERM; 0: not yet */
        bool is_ready, is_stopping;
        uint64_t watchdog_ns, fed_ns;
        /* of the supervisor that there is */
        pid_t supervisor;  /* the last one that was spoken to */
        unsigned int room; /* so many messages until its socket is full */
        struct handoff_message last;
        uint64_t complete[TREES_MAX];        /* the tree that it has had, by the time that its peer came */
        bool left[TREES_MAX];                /* it has said so just now */
        bool was_left_behind[PROCESSES_MAX]; /* a supervisor that was killed, and is there */
        bool is_left_behind;                 /* one more, just now */
} world;

/* --- what the keeper calls --- */

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_journal_map(int fd, struct journal **ret_journal);
int __real_journal_map(int fd, struct journal **ret_journal);
int __wrap_keeper_init(struct keeper *keeper);
int __wrap_munmap(void *address, size_t size);
int __real_munmap(void *address, size_t size);
void __wrap_service_tell(const char *state);
uint64_t __wrap_service_watchdog_ns(void);

static unsigned int peers_known(void) {
        unsigned int count = 0;

        for (uint32_t i = 0; i < TREES_MAX; i++)
                count += world.keeper->serving->peers[i].state != PEER_NONE;
        return count;
}

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags) {
        struct made_up_peer *peer = &peers[world.accepted_count];
        eventfd_t one;

        check(fd == world.door && !address && !size && flags == (SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (world.accept_fails) {
                world.accept_fails = false;
                errno = EMFILE;
                return -1;
        }
        if (eventfd_read(fd, &one) < 0)
                return -1;
        for (unsigned int i = 0; i < world.accepted_count; i++)
                if (peers[i].theirs == peer->queued)
                        peers[i].theirs = -1;
        world.accepted_count++;
        world.last_accepted = peer;
        peer->is_accepted = true;
        peer->theirs = fd_steal(&peer->queued);
        check(fcntl(peer->theirs, F_SETFL, O_NONBLOCK) == 0);
        if (!peer->is_root || peer->socket < 0 || peers_known() == TREES_MAX)
                peer->expected = EXPECTED_GONE;
        return peer->theirs;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size) {
        struct ucred *credentials = value;

        if (level != SOL_SOCKET || name != SO_PEERCRED)
                return __real_getsockopt(fd, level, name, value, size);
        check(fd == world.last_accepted->theirs && *size == sizeof(*credentials));
        *credentials = (struct ucred){ .pid = 1, .uid = world.last_accepted->is_root ? 0 : 1000 };
        return 0;
}

int __wrap_journal_map(int fd, struct journal **ret_journal) {
        int r = __real_journal_map(fd, ret_journal);

        if (r == 0)
                world.maps++;
        return r;
}

int __wrap_munmap(void *address, size_t size) {
        if (size == sizeof(struct journal))
                world.maps--;
        return __real_munmap(address, size);
}

void __wrap_service_tell(const char *state) {
        if (strcmp(state, "READY=1") == 0) {
                check(!world.is_ready);
                world.is_ready = true;
        } else if (strcmp(state, "STOPPING=1") == 0) {
                check(!world.is_stopping && world.stopped_ns > 0);
                world.is_stopping = true;
        }
        world.fed_ns = idle_now_ns;
}

uint64_t __wrap_service_watchdog_ns(void) {
        return world.watchdog_ns;
}

/* --- what the supervisor gets --- */

int peers_may_say(int socket, const void *message, size_t size, int fd) {
        const struct handoff_message *said = message;
        struct peer *peer;

        if (!world.keeper || socket < 0 || socket != world.keeper->supervisor_socket)
                return 0;
        check(size == sizeof(*said));
        if (world.supervisor != world.keeper->supervisor) {
                world.supervisor = world.keeper->supervisor;
                world.room = UINT32_MAX;
                memset(world.complete, 0, sizeof(world.complete));
                world.last = (struct handoff_message){ .type = 0 };
        }
        if (world.room == 0)
                return -EAGAIN;
        if (said->type != HANDOFF_TREE_JOURNAL && said->type != HANDOFF_TREE_CONNECTION &&
            said->type != HANDOFF_LISTENER)
                return 0;
        check(said->index < TREES_MAX);
        peer = &world.keeper->serving->peers[said->index];
        check(peer->state == PEER_ATTACHED && world.complete[said->index] != peer->since_ns);
        if (said->type == HANDOFF_TREE_JOURNAL) {
                check(fd >= 0 && fd == peer->journal_fd);
                return 0;
        }
        check(fd >= 0 && fd == (said->type == HANDOFF_LISTENER ? peer->listener : peer->connection.fd));
        check(world.last.index == said->index &&
              world.last.type == (said->type == HANDOFF_LISTENER ? HANDOFF_TREE_CONNECTION : HANDOFF_TREE_JOURNAL));
        return 0;
}

static bool has_all_trees(void) {
        for (uint32_t i = 0; i < TREES_MAX; i++) {
                const struct peer *peer = &world.keeper->serving->peers[i];

                if (peer->state == PEER_ATTACHED && world.complete[i] != peer->since_ns)
                        return false;
        }
        return true;
}

static int supervisors_end(void) {
        return world.keeper->supervisor > 0 ? process_of(world.keeper->supervisor)->socket : -1;
}

void peers_was_said(int socket, const void *message, size_t size) {
        const struct handoff_message *said = message;

        if (!world.keeper || socket < 0 || size != sizeof(*said))
                return;
        if (socket == world.keeper->supervisor_socket) {
                world.last = *said;
                if (world.room != UINT32_MAX)
                        world.room--;
                if (said->type == HANDOFF_LISTENER)
                        world.complete[said->index] = world.keeper->serving->peers[said->index].since_ns;
                check(said->type != HANDOFF_START || has_all_trees());
        } else if (socket == supervisors_end() && said->type == HANDOFF_TREE_LEFT && said->index < TREES_MAX) {
                world.left[said->index] = true;
                world.complete[said->index] = 0;
        }
}

/* It lets go of all that it gets. */
static void supervisor_reads(void) {
        struct handoff_message message;
        int socket = supervisors_end();

        while (socket >= 0) {
                _cleanup_fd_ int fd = -1;
                ssize_t length = fdpass_receive(socket, &message, sizeof(message), &fd, MSG_DONTWAIT);

                if (length <= 0)
                        return;
                check(length == (ssize_t)sizeof(message));
                check(message.type >= HANDOFF_LISTENER && message.type <= HANDOFF_STOP);
        }
}

static void supervisor_says(enum handoff_type type, uint32_t index) {
        struct handoff_message message = { .type = type, .index = index };

        if (supervisors_end() >= 0)
                (void)fdpass_send_dup_fd(supervisors_end(), &message, sizeof(message), NULL, 0, -1, MSG_DONTWAIT);
}

/* --- what peers do --- */

static struct made_up_peer *connect_peer(bool is_root) {
        struct made_up_peer *peer = &peers[world.peer_count];

        if (world.peer_count == PEERS_MAX)
                return NULL;
        *peer = (struct made_up_peer){ .theirs = -1, .is_root = is_root };
        check(processes_pair(&peer->socket, &peer->queued) == 0);
        world.peer_count++;
        check(eventfd_write(world.door, 1) == 0);
        return peer;
}

/* Fills in what is sent along, `fds` for some. Returns how many. */
static unsigned int take_thing(enum thing thing, uint8_t which, int fds[static 6]) {
        int listener = pipes[which % PIPES].listener;

        for (unsigned int i = 0; i < 6; i++)
                fds[i] = listener;
        switch (thing) {
        case THING_NONE:
                return 0;
        case THING_JOURNAL:
                fds[0] = journals[which % JOURNALS].fd;
                return 1;
        case THING_LISTENER:
                return 1;
        case THING_NULL:
                fds[0] = null_fd;
                return 1;
        case THING_UNSEALED:
                fds[0] = unsealed_fd;
                return 1;
        case THING_SHORT:
                fds[0] = short_fd;
                return 1;
        case THING_SOCKET:
                fds[0] = socket_fd;
                return 1;
        case THING_TWO:
                return 2;
        default:
                return 3 + which % 4;
        }
}

static bool send_fds(int socket, const void *bytes, size_t size, const int *fds, unsigned int count) {
        union {
                struct cmsghdr header;
                unsigned char room[CMSG_SPACE(6 * sizeof(int))];
        } control = { .room = { 0 } };
        struct iovec part = { .iov_base = (void *)bytes, .iov_len = size };
        struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

        if (count > 0) {
                message.msg_control = &control;
                message.msg_controllen = CMSG_SPACE(count * sizeof(int));
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
                memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
        }
        return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

static enum expected expected_after(struct made_up_peer *peer, const struct attach_message *message, enum thing thing) {
        if (peer->expected == EXPECTED_NEW)
                return message->type == ATTACH_HELLO && message->version == JOURNAL_VERSION &&
                                       message->journal_size == sizeof(struct journal)
                               ? EXPECTED_WELCOME
                               : EXPECTED_GONE;
        if (message->type == ATTACH_JOURNAL && thing == THING_JOURNAL && !peer->has_journal) {
                peer->has_journal = true;
                return EXPECTED_WELCOME;
        }
        return message->type == ATTACH_LISTENER && thing == THING_LISTENER && peer->has_journal ? EXPECTED_ATTACHED
                                                                                                : EXPECTED_GONE;
}

static void say(struct made_up_peer *peer, const void *bytes, size_t size, enum thing thing, uint8_t which) {
        struct attach_message message = { .type = 0 };
        int fds[6];
        unsigned int count = take_thing(thing, which, fds);

        if (peer->socket < 0 || !send_fds(peer->socket, bytes, size, fds, count) ||
            peer->expected == EXPECTED_ATTACHED || peer->expected == EXPECTED_GONE)
                return;
        memcpy(&message, bytes, size < sizeof(message) ? size : sizeof(message));
        peer->expected = size == sizeof(message) && count <= 1 ? expected_after(peer, &message, thing) : EXPECTED_GONE;
}

static void say_type(struct made_up_peer *peer, uint32_t type, enum thing thing, uint8_t which) {
        struct attach_message message = {
                .type = type,
                .version = JOURNAL_VERSION,
                .journal_size = sizeof(struct journal),
        };

        say(peer, &message, sizeof(message), thing, which);
}

static void attach(struct made_up_peer *peer, uint8_t which) {
        if (!peer)
                return;
        say_type(peer, ATTACH_HELLO, THING_NONE, 0);
        say_type(peer, ATTACH_JOURNAL, THING_JOURNAL, which);
        say_type(peer, ATTACH_LISTENER, THING_LISTENER, which);
}

static void say_something(struct made_up_peer *peer) {
        uint8_t what = input_byte(world.input);
        enum thing thing = input_byte(world.input) % THINGS;
        uint8_t which = input_byte(world.input);
        struct attach_message message = { .type = ATTACH_HELLO };

        switch (what % 6) {
        case 0:
                say_type(peer, ATTACH_HELLO, thing, which);
                break;
        case 1:
                say_type(peer, ATTACH_JOURNAL, thing, which);
                break;
        case 2:
                say_type(peer, ATTACH_LISTENER, thing, which);
                break;
        case 3:
                say_type(peer, (uint32_t)input_number(world.input), thing, which);
                break;
        default:
                message.version = (uint32_t)input_number(world.input);
                message.journal_size = what & 8 ? sizeof(struct journal) : input_number(world.input);
                say(peer, &message, sizeof(message), thing, which);
        }
}

static void say_any_bytes(struct made_up_peer *peer) {
        enum thing thing = input_byte(world.input) % THINGS;
        uint8_t which = input_byte(world.input);
        unsigned char bytes[64];
        size_t size = input_bytes(world.input, bytes, sizeof(bytes));

        say(peer, bytes, size, thing, which);
}

static void close_peer(struct made_up_peer *peer) {
        peer->socket = fd_close(peer->socket);
        if (peer->expected != EXPECTED_ATTACHED || !peer->is_accepted)
                peer->expected = EXPECTED_GONE;
}

static struct made_up_peer *any_peer(void) {
        uint8_t i = input_byte(world.input);

        return world.peer_count > 0 ? &peers[i % world.peer_count] : NULL;
}

static void connect_many(void) {
        uint8_t count = input_byte(world.input) % 80, which = input_byte(world.input);

        for (uint8_t i = 0; i < count; i++) {
                struct made_up_peer *peer = connect_peer(true);

                if (which & 128)
                        attach(peer, (uint8_t)(which + i));
        }
}

/* --- what has to be true when the keeper has done all that there was to be done --- */

/* What the daemon says to a peer makes sense. Returns whether the connection has ended. */
static bool hear(struct made_up_peer *peer) {
        for (;;) {
                struct attach_message message;
                _cleanup_fd_ int fd = -1;
                ssize_t length = fdpass_receive(peer->socket, &message, sizeof(message), &fd, MSG_DONTWAIT);

                if (length == -EAGAIN)
                        return false;
                if (length == 0)
                        return true;
                if (length == -ECONNRESET)
                        continue;
                check(length == (ssize_t)sizeof(message) && fd < 0);
                check(message.version == JOURNAL_VERSION && message.journal_size == sizeof(struct journal));
                check(message.type == ATTACH_REFUSED
                              ? peer->heard != ATTACH_REFUSED && message.refusal >= ATTACH_VERSION &&
                                        message.refusal <= ATTACH_NONSENSE
                              : (message.type == ATTACH_WELCOME && peer->heard == 0) ||
                                        (message.type == ATTACH_TAKEN && peer->heard == ATTACH_WELCOME));
                peer->heard = message.type;
        }
}

static const struct peer *known_as(const struct made_up_peer *peer) {
        for (uint32_t i = 0; peer->theirs >= 0 && i < TREES_MAX; i++) {
                const struct peer *known = &world.keeper->serving->peers[i];

                if (known->state != PEER_NONE && known->connection.fd == peer->theirs)
                        return known;
        }
        return NULL;
}

static void check_known(struct made_up_peer *peer, const struct peer *known) {
        static const enum peer_state states[] = {
                [EXPECTED_NEW] = PEER_NEW,
                [EXPECTED_WELCOME] = PEER_WELCOME,
                [EXPECTED_ATTACHED] = PEER_ATTACHED,
        };

        check(peer->expected != EXPECTED_GONE && known->state == states[peer->expected]);
        /* what one had that does not end, others get only from an orphan */
        check(known->state != PEER_ATTACHED || !world.is_left_behind || known->orphaned_ns > 0);
        check(known->state == PEER_ATTACHED || idle_now_ns - known->since_ns < SILENT_LIMIT_NS);
        check((known->journal != NULL) == (known->journal_fd >= 0));
        check((known->state == PEER_ATTACHED) == (known->listener >= 0));
        peer->index = (uint32_t)(known - world.keeper->serving->peers);
        if (peer->socket < 0)
                return;
        /* none that it knows has heard an end */
        check(!hear(peer));
        check(peer->heard == (peer->expected == EXPECTED_NEW       ? 0U
                              : peer->expected == EXPECTED_WELCOME ? ATTACH_WELCOME
                                                                   : ATTACH_TAKEN));
}

static void check_unknown(struct made_up_peer *peer) {
        /* only the supervisor leaves a tree, or is left; whoever does not attach one is heard for a limited time */
        check(peer->expected != EXPECTED_ATTACHED || world.left[peer->index] || world.is_left_behind);
        peer->expected = EXPECTED_GONE;
        if (peer->socket < 0)
                return;
        check(hear(peer));
        peer->socket = fd_close(peer->socket);
}

static void look_who_is_left_behind(void) {
        world.is_left_behind = false;
        for (unsigned int i = 0; i < process_count; i++) {
                const struct process *process = &processes[i];
                bool is_current = world.keeper->supervisor > 0 && process == process_of(world.keeper->supervisor);

                if (process->is_stuck && process->is_killed && process->state == PROCESS_RUNS && !is_current &&
                    !world.was_left_behind[i])
                        world.is_left_behind = world.was_left_behind[i] = true;
        }
}

static void check_peers(void) {
        unsigned int known_count = 0;

        look_who_is_left_behind();
        for (unsigned int i = 0; i < world.accepted_count; i++) {
                const struct peer *known = known_as(&peers[i]);

                if (known) {
                        known_count++;
                        check_known(&peers[i], known);
                } else {
                        check_unknown(&peers[i]);
                }
        }
        check(known_count == peers_known());
        for (uint32_t i = 0; i < TREES_MAX; i++) {
                const struct peer *peer = &world.keeper->serving->peers[i];

                check(peer->state != PEER_NONE ||
                      (peer->connection.fd < 0 && peer->journal_fd < 0 && !peer->journal && peer->listener < 0));
        }
        memset(world.left, 0, sizeof(world.left));
}

static void check_all(void) {
        check_peers();
        if (world.keeper->supervisor_ready && world.keeper->supervisor_socket >= 0 && world.room > 0)
                check(has_all_trees());
        if (world.stopped_ns > 0)
                check(idle_now_ns - world.stopped_ns < STOP_LIMIT_NS);
        if (world.is_ready && world.watchdog_ns > 0)
                check(idle_now_ns - world.fed_ns <= world.watchdog_ns);
}

/* --- what happens --- */

static void stop(void) {
        if (world.stopped_ns == 0)
                world.stopped_ns = idle_now_ns;
        processes_signal(SIGTERM);
}

/* False: and the time of the keeper's next round has come. */
static bool pass_time(void) {
        uint64_t ns = input_byte(world.input) * 100000000ULL;

        idle_now_ns += world.stopped_ns > 0 ? ns / 100 : ns;
        return false;
}

static void write_journal(void) {
        uint8_t how = input_byte(world.input);
        struct journal_header *header = &journals[how % JOURNALS].journal->header;

        if (how & 4)
                (void)input_bytes(world.input, header, sizeof(*header));
        else if (how & 8)
                header->in_use = (uint32_t)input_number(world.input);
        else
                header->heartbeat += input_number(world.input);
}

static bool peer_happens(uint8_t what) {
        struct made_up_peer *peer;

        switch (what) {
        case 0:
                (void)connect_peer((input_byte(world.input) & 3) != 3);
                break;
        case 1:
                attach(connect_peer(true), input_byte(world.input));
                break;
        case 2:
                connect_many();
                break;
        case 3:
        case 4:
                peer = any_peer();
                if (peer)
                        say_something(peer);
                break;
        case 5:
                peer = any_peer();
                if (peer)
                        say_any_bytes(peer);
                break;
        case 6:
                peer = any_peer();
                if (peer)
                        close_peer(peer);
                break;
        default:
                write_journal();
        }
        return true;
}

static struct made_up_pipe *any_pipe(void) {
        return &pipes[input_byte(world.input) % PIPES];
}

static bool supervisor_happens(uint8_t what) {
        struct process *supervisor = world.keeper->supervisor > 0 ? process_of(world.keeper->supervisor) : NULL;
        unsigned int room;

        switch (what) {
        case 0:
                supervisor_says(HANDOFF_SUPERVISOR_READY, 0);
                break;
        case 1:
                supervisor_says(HANDOFF_TREE_LEFT, input_byte(world.input) % (TREES_MAX + 2));
                break;
        case 2:
                processes_say_anything(world.input, supervisors_end(), pipes[0].listener, null_fd);
                break;
        case 3:
                if (supervisor)
                        process_end(supervisor);
                break;
        case 4:
                if (supervisor)
                        supervisor->socket = fd_close(supervisor->socket);
                break;
        case 5:
                if (supervisor)
                        supervisor->is_stuck = true;
                break;
        case 6:
                room = input_byte(world.input) % 16;
                if (room < world.room)
                        world.room = room;
                break;
        default:
                supervisor_reads();
                world.room = UINT32_MAX;
                /* nobody tells the keeper: it tries again when the time has come */
                return false;
        }
        return true;
}

static bool other_happens(uint8_t what) {
        struct made_up_pipe *pipe;

        switch (what) {
        case 0:
                pipe = any_pipe();
                if (pipe->end >= 0)
                        (void)write(pipe->end, "", 1);
                break;
        case 1:
                pipe = any_pipe();
                pipe->end = fd_close(pipe->end);
                break;
        case 2:
                if (process_count > 0)
                        process_end(&processes[input_byte(world.input) % process_count]);
                break;
        case 3:
                world.accept_fails = true;
                break;
        case 4:
                processes_signal(SIGUSR1);
                break;
        case 5:
                if (input_byte(world.input) & 1)
                        stop();
                break;
        default:
                return pass_time();
        }
        return true;
}

/* Its supervisor hangs, says nothing, or is dead by then. */
static bool happen_at_the_end(void) {
        check(++world.rounds < ROUND_TOO_MANY);
        if (world.stopped_ns == 0) {
                stop();
                return true;
        }
        return false;
}

static bool happen(void) {
        uint8_t what;

        check_all();
        if (world.input->size == 0)
                return happen_at_the_end();
        what = input_byte(world.input) % 24;
        if (what < 8)
                return peer_happens(what);
        return what < 16 ? supervisor_happens((uint8_t)(what - 8)) : other_happens((uint8_t)(what - 16));
}

/* --- from its start to its end --- */

int __wrap_keeper_init(struct keeper *keeper) {
        int r;

        world.keeper = keeper;
        keeper->journal = world.journal;
        keeper->signals = world.signals;
        keeper->uevents = input_byte(world.input) & 1 ? eventfd(0, EFD_CLOEXEC) : -1;
        r = worker_fork(keeper, WORKER_LOADER, 0);
        return r == 0 ? supervisor_start(keeper) : r;
}

/* What its process would take along. */
static void close_keeper(struct keeper *keeper) {
        struct serving *serving = keeper->serving;

        for (enum worker_kind kind = 0; kind < WORKER_KINDS; kind++)
                for (uint32_t i = 0; i < LOADERS_MAX; i++)
                        (void)fd_close(keeper->workers[kind][i].socket);
        for (uint32_t i = 0; i < TREES_MAX; i++) {
                (void)fd_close(serving->peers[i].connection.fd);
                (void)fd_close(serving->peers[i].journal_fd);
                (void)fd_close(serving->peers[i].listener);
                if (serving->peers[i].journal)
                        (void)munmap(serving->peers[i].journal, sizeof(struct journal));
        }
        event_loop_deinit(&serving->loop);
        (void)fd_close(keeper->supervisor_socket);
        (void)fd_close(keeper->uevents);
        free(serving);
        free(keeper);
}

/* Also if somebody is left who cannot be killed. */
static void check_all_have_heard(void) {
        for (unsigned int i = 0; i < world.peer_count; i++) {
                if (peers[i].is_accepted && peers[i].socket >= 0)
                        check(hear(&peers[i]));
                (void)fd_close(peers[i].queued);
                (void)fd_close(peers[i].socket);
        }
}

void peers_run(struct journal *journal, int signals, struct input *input) {
        static const struct keeper_config config = { .kernel = NULL };

        memset(&world, 0, sizeof(world));
        memset(journal, 0, sizeof(*journal));
        world.input = input;
        world.journal = journal;
        world.signals = signals;
        world.watchdog_ns = input_byte(input) & 1 ? WATCHDOG_NS : 0;
        world.room = UINT32_MAX;
        world.door = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
        for (unsigned int i = 0; i < JOURNALS; i++)
                memset(&journals[i].journal->header, 0, sizeof(journals[i].journal->header));
        for (unsigned int i = 0; i < PIPES; i++) {
                int ends[2];

                check(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
                pipes[i] = (struct made_up_pipe){ .listener = ends[0], .end = ends[1] };
        }
        idle_now_ns = 1000 * 1000000000ULL;
        idle_happen = happen;
        (void)keeper_serve_consume_fd(&config, world.door);
        idle_happen = NULL;
        /* nobody serves the trees any more */
        check(world.supervisor == 0 || process_of(world.supervisor)->state != PROCESS_RUNS ||
              process_of(world.supervisor)->is_stuck);
        close_keeper(world.keeper);
        world.keeper = NULL;
        check(world.maps == 0);
        check_all_have_heard();
        for (unsigned int i = 0; i < PIPES; i++) {
                (void)fd_close(pipes[i].listener);
                (void)fd_close(pipes[i].end);
        }
        (void)close(world.door);
}

void peers_init(void) {
        int other_end;

        for (unsigned int i = 0; i < JOURNALS; i++)
                check(journal_create(&journals[i].journal, &journals[i].fd) == 0);
        null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        unsealed_fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        short_fd = memfd_create("short", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        check(processes_pair(&socket_fd, &other_end) == 0);
        check(null_fd >= 0 && unsealed_fd >= 0 && short_fd >= 0);
        check(ftruncate(unsealed_fd, sizeof(struct journal)) == 0 && ftruncate(short_fd, 4096) == 0);
        check(fcntl(short_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
}
