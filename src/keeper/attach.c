/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The keeper of a tree that the daemon serves. It holds the listener and the journal of the tree's requests, so that it
 * knows all of them whatever becomes of the daemon, and lends both to the daemon. include/modgate/attach.h says who
 * receives when.
 *
 *   AWAITED ─WELCOME→ WELCOME ─the listener is there→ LENT        any of these ─the connection ends→ AWAITED
 *
 * While a daemon is awaited requests wait for a short time: a daemon that is restarted is soon back. After that all are
 * left to the kernel, as with a supervisor that cannot be kept alive, until there is a daemon again.
 */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "fdpass.h"
#include "journal.h"
#include "keeper/private.h"
#include "util/fd.h"
#include "util/log.h"

/* How long the start of a tree waits for a daemon that has taken the connection, or whose socket systemd holds. */
#define START_LIMIT_NS (4 * 1000000000ULL)

/* How long requests wait for a daemon that is there but does not answer, and for one that is not there. */
#define SILENT_LIMIT_NS (10 * 1000000000ULL)
#define ABSENT_LIMIT_NS (1 * 1000000000ULL)

/* How often a daemon is looked for while requests wait for it; while they come, and are left to the kernel; and else.
 */
#define WAITING_RETRY_NS (100 * 1000000ULL)
#define BUSY_RETRY_NS (1 * 1000000000ULL)
#define IDLE_RETRY_NS (5 * 1000000000ULL)

/* So many daemons in a row may end, or give the tree back, without having answered anything. */
#define FRUITLESS_MAX 5U

/* One that has it for less is not asked again at once. */
#define SHORT_NS (1 * 1000000000ULL)

static int say(const struct keeper *keeper, enum attach_type type, int fd) {
        struct attach_message message = {
                .type = type,
                .version = JOURNAL_VERSION,
                .journal_size = sizeof(struct journal),
        };

        return fdpass_send_dup_fd(keeper->attach.connection, &message, sizeof(message), NULL, 0, fd, MSG_DONTWAIT);
}

/* Returns 0 or negative errno: -ENOENT and -ECONNREFUSED (there is no daemon), or any other. */
static int attach_connect(struct keeper *keeper) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        size_t length = strlen(keeper->config.attach);
        _cleanup_fd_ int fd = -1;
        int r;

        keeper->attach.tried_ns = journal_now_ns();
        keeper->attach.tried_requests = keeper->journal->header.requests;
        if (length >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, keeper->config.attach, length);
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        keeper->attach.connection = fd_steal(&fd);
        r = say(keeper, ATTACH_HELLO, -1);
        if (r < 0)
                keeper->attach.connection = fd_close(keeper->attach.connection);
        return r;
}

static void leave_to_kernel(struct keeper *keeper) {
        log_error("there is no daemon at %s: module loads are left to the kernel until there is one; "
                  "systemctl start modgate.service",
                  keeper->config.attach);
        keeper->bypass = true;
        keeper->journal->header.bypassed = 1;
        bypass_take_over(keeper);
}

/* Nobody waits for ever because there is always another daemon. A restart in the middle of a storm is none of these. */
static bool is_of_no_use(struct keeper *keeper) {
        const struct journal_header *header = &keeper->journal->header;
        struct attach *attach = &keeper->attach;
        struct pollfd look = { .fd = keeper->listener, .events = POLLIN };
        uint64_t progress = header->answered + header->gone;
        bool waits = header->in_use > 0 || poll(&look, 1, 0) > 0;

        attach->fruitless = progress == attach->progress && waits ? attach->fruitless + 1 : 0;
        attach->progress = progress;
        return attach->fruitless >= FRUITLESS_MAX;
}

/* Nobody else receives now: the connection has ended, or the tree was never lent. */
static void lose(struct keeper *keeper) {
        struct attach *attach = &keeper->attach;
        bool was_lent = attach->state == ATTACH_LENT;

        attach->connection = fd_close(attach->connection);
        attach->state = ATTACH_AWAITED;
        if (!was_lent || keeper->ended || keeper_tree_has_ended(keeper))
                return;
        attach->lost_ns = journal_now_ns();
        log_warning("the daemon at %s does not serve this tree any more; waiting for another one",
                    keeper->config.attach);
        if (is_of_no_use(keeper))
                leave_to_kernel(keeper);
        else if (attach->lost_ns - attach->lent_ns >= SHORT_NS)
                (void)attach_connect(keeper);
}

/* From the second message on the daemon receives, and nobody else. */
static void lend(struct keeper *keeper) {
        keeper->attach.state = ATTACH_LENT;
        keeper->attach.lent_ns = journal_now_ns();
        if (say(keeper, ATTACH_JOURNAL, keeper->journal_fd) < 0 || say(keeper, ATTACH_LISTENER, keeper->listener) < 0) {
                lose(keeper);
                return;
        }
        keeper->bypass = false;
        keeper->journal->header.bypassed = 0;
}

/* In one line, and once: it will not change soon, and is asked for again and again. */
static void tell_refusal(struct keeper *keeper, const struct attach_message *message) {
        static const char *const reasons[] = {
                [ATTACH_NOT_ROOT] = "this process is not root's",
                [ATTACH_FULL] = "it serves too many trees already",
                [ATTACH_NONSENSE] = "it does not understand us",
        };
        const size_t count = sizeof(reasons) / sizeof(reasons[0]);

        if (keeper->attach.refused)
                return;
        keeper->attach.refused = true;
        if (message->refusal == ATTACH_VERSION)
                log_error(
                        "the daemon at %s refuses this tree: its journal is of version %u (%llu bytes), ours of "
                        "version "
                        "%u (%zu bytes); restart the supervised service, so that it is started by the modgate that is "
                        "installed now",
                        keeper->config.attach, message->version, (unsigned long long)message->journal_size,
                        JOURNAL_VERSION, sizeof(struct journal));
        else
                log_error("the daemon at %s refuses this tree: %s", keeper->config.attach,
                          message->refusal < count && reasons[message->refusal] ? reasons[message->refusal]
                                                                                : "for a reason unknown here");
}

/* It has not received anything, and will not. Whoever waits has waited for this answer. */
static void be_refused(struct keeper *keeper, const struct attach_message *message) {
        tell_refusal(keeper, message);
        keeper->attach.connection = fd_close(keeper->attach.connection);
        keeper->attach.state = ATTACH_AWAITED;
        if (keeper->listener >= 0 && !keeper->bypass)
                leave_to_kernel(keeper);
}

static void handle_message(struct keeper *keeper, const struct attach_message *message) {
        struct attach *attach = &keeper->attach;

        if (message->type == ATTACH_WELCOME && attach->state == ATTACH_AWAITED) {
                attach->state = ATTACH_WELCOMED;
                if (keeper->listener >= 0)
                        lend(keeper);
        } else if (message->type == ATTACH_TAKEN && attach->state == ATTACH_LENT) {
                attach->refused = false;
                log_notice("the daemon at %s serves this tree", keeper->config.attach);
        } else if (message->type == ATTACH_REFUSED) {
                be_refused(keeper, message);
        }
}

void attach_handle(struct keeper *keeper) {
        while (keeper->attach.connection >= 0) {
                struct attach_message message;
                ssize_t length =
                        fdpass_receive(keeper->attach.connection, &message, sizeof(message), NULL, MSG_DONTWAIT);

                if (length == -EAGAIN || length == -EINTR)
                        return;
                if (length == (ssize_t)sizeof(message))
                        handle_message(keeper, &message);
                else if (fdpass_is_end(length) || keeper->attach.state != ATTACH_LENT)
                        lose(keeper);
                else if (length < 0)
                        return; /* only the end gives a lent tree back; it is looked at again in the next round */
        }
}

/* Returns 0 once it is welcome, or negative errno. */
static int await_welcome(struct keeper *keeper) {
        uint64_t begin_ns = journal_now_ns();

        while (keeper->attach.connection >= 0 && keeper->attach.state == ATTACH_AWAITED) {
                struct pollfd poller = { .fd = keeper->attach.connection, .events = POLLIN };
                uint64_t waited_ns = journal_now_ns() - begin_ns;

                if (waited_ns >= START_LIMIT_NS)
                        return -ETIMEDOUT;
                if (poll(&poller, 1, (int)((START_LIMIT_NS - waited_ns) / 1000000U + 1)) > 0)
                        attach_handle(keeper);
        }
        return keeper->attach.state == ATTACH_WELCOMED ? 0 : -ECONNABORTED;
}

bool attach_start(struct keeper *keeper) {
        int r;

        if (!keeper->config.attach)
                return false;
        keeper->attach.state = ATTACH_AWAITED;
        r = attach_connect(keeper);
        if (r == 0)
                r = await_welcome(keeper);
        if (r == 0)
                return true;
        keeper->attach.connection = fd_close(keeper->attach.connection);
        keeper->attach.state = ATTACH_NOT;
        log_warning("no daemon serves at %s (%s): this tree has a supervisor of its own", keeper->config.attach,
                    strerror(-r));
        return false;
}

void attach_take_listener(struct keeper *keeper) {
        keeper->attach.lost_ns = journal_now_ns();
        if (keeper->attach.state == ATTACH_WELCOMED)
                lend(keeper);
}

static bool is_awaited(const struct keeper *keeper) {
        return keeper->attach.state == ATTACH_AWAITED && keeper->listener >= 0 && !keeper->ended;
}

int attach_timeout_ms(const struct keeper *keeper) {
        return is_awaited(keeper) && !keeper->bypass ? (int)(WAITING_RETRY_NS / 1000000U) : -1;
}

static uint64_t retry_ns(const struct keeper *keeper) {
        if (!keeper->bypass)
                return WAITING_RETRY_NS;
        return keeper->journal->header.requests != keeper->attach.tried_requests ? BUSY_RETRY_NS : IDLE_RETRY_NS;
}

void attach_check(struct keeper *keeper) {
        struct attach *attach = &keeper->attach;
        uint64_t now = journal_now_ns();

        if (!is_awaited(keeper))
                return;
        if (!keeper->bypass && now - attach->lost_ns >= (attach->connection >= 0 ? SILENT_LIMIT_NS : ABSENT_LIMIT_NS))
                leave_to_kernel(keeper);
        if (attach->connection < 0 && now - attach->tried_ns >= retry_ns(keeper))
                (void)attach_connect(keeper);
}

void attach_finish(struct keeper *keeper) {
        /* their requesters have gone with the tree */
        if (keeper->attach.state == ATTACH_AWAITED && keeper->listener >= 0 && !keeper->bypass)
                bypass_take_over(keeper);
}
