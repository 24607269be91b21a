/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the keeper of a tree and the daemon say to each other, whatever it is and in whatever order. The daemon's side
 * is peers.h's. On the other one: while a tree is lent its keeper receives and answers nothing; without a daemon no
 * caller waits for longer than attach.c says; and it ends when its tree has ended.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fdpass.h"
#include "idle.h"
#include "journal.h"
#include "keeper/private.h"
#include "notify.h"
#include "peers.h"
#include "processes.h"
#include "supervised.h"
#include "util/fd.h"

/* No caller waits for longer: for a daemon that is silent, for one that is not there. And so many may come and go. */
#define SILENT_LIMIT_NS (11 * 1000000000ULL)
#define ABSENT_LIMIT_NS (2 * 1000000000ULL)
#define FRUITLESS_MAX 5

/* At the end, when all has ended: so many rounds are too many. */
#define ROUND_TOO_MANY 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
const char *__asan_default_options(void);

/* What a keeper has allocated goes with its process. */
const char *__asan_default_options(void) {
        return "detect_leaks=0";
}

static struct journal *journal;
static int journal_fd;
static struct input *input;

static struct keeper keeper;
static int launcher;     /* the launcher's end */
static int listener;     /* what the launcher gives away */
static int listener_end; /* -1: the tree has ended */
static unsigned int rounds;
static uint64_t waiting_ns; /* callers do, since then; or 0 */
static uint64_t progress;   /* when the last daemon ended */
static int fruitless;       /* daemons that ended and had answered nothing */

static struct {
        bool is_absent; /* nobody can connect */
        bool is_busy;   /* or its backlog is full */
        bool works;     /* it is the daemon that does this */
        int socket;     /* its end; -1: none */
        bool has_welcomed;
        bool is_lent;  /* the tree; until the connection ends */
        uint32_t last; /* what the keeper has said; 0: nothing */
        struct notify notify;
} fake = { .socket = -1, .notify = { .listener = -1 } };

/* --- the daemon --- */

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);
int __real_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_fdpass_send_dup_fd(int socket, const void *head, size_t head_size, const void *tail, size_t tail_size,
                              int fd, int flags);
int __real_fdpass_send_dup_fd(int socket, const void *head, size_t head_size, const void *tail, size_t tail_size,
                              int fd, int flags);

int __wrap_fdpass_send_dup_fd(int socket, const void *head, size_t head_size, const void *tail, size_t tail_size,
                              int fd, int flags) {
        const struct attach_message *message = head;
        int r = peers_may_say(socket, head, head_size, fd);

        if (r == 0)
                r = __real_fdpass_send_dup_fd(socket, head, head_size, tail, tail_size, fd, flags);
        if (r < 0)
                return r;
        peers_was_said(socket, head, head_size);
        if (socket >= 0 && socket == keeper.attach.connection && message->type == ATTACH_LISTENER)
                fake.is_lent = true;
        return 0;
}

/* It lets go of all. From then on the keeper may receive. */
static void daemon_leave(void) {
        struct pollfd look = { .fd = listener, .events = POLLIN };

        if (fake.is_lent) {
                uint64_t now = journal->header.answered + journal->header.gone;
                bool waits = supervised_somebody_waits() || poll(&look, 1, 0) > 0;

                fruitless = waits && now == progress ? fruitless + 1 : 0;
                progress = now;
        }
        notify_deinit(&fake.notify);
        fake.is_lent = fake.has_welcomed = false;
        fake.last = 0;
        fake.socket = fd_close(fake.socket);
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size) {
        const struct sockaddr_un *path = (const void *)address;
        int theirs;

        check(size == sizeof(*path) && path->sun_family == AF_UNIX && strcmp(path->sun_path, ATTACH_SOCKET) == 0);
        /* one connection at a time */
        check(!fake.is_lent);
        daemon_leave();
        if (fake.is_absent || fake.is_busy) {
                errno = fake.is_busy ? EAGAIN : ECONNREFUSED;
                return -1;
        }
        check(processes_pair(&fake.socket, &theirs) == 0);
        check(dup3(theirs, fd, O_CLOEXEC) == fd && fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
        (void)close(theirs);
        return 0;
}

static bool is_same_file(int a, int b) {
        struct stat first, second;

        return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
               first.st_ino == second.st_ino;
}

/* A keeper says the right things, and only in this order. */
static void daemon_hear(void) {
        for (;;) {
                struct attach_message message;
                _cleanup_fd_ int fd = -1;
                ssize_t length;

                if (fake.socket < 0)
                        return;
                length = fdpass_receive(fake.socket, &message, sizeof(message), &fd, MSG_DONTWAIT);
                if (length <= 0)
                        return;
                check(length == (ssize_t)sizeof(message));
                check(message.version == JOURNAL_VERSION && message.journal_size == sizeof(struct journal));
                check(message.type == (fake.last == 0              ? ATTACH_HELLO
                                       : fake.last == ATTACH_HELLO ? ATTACH_JOURNAL
                                                                   : ATTACH_LISTENER));
                check(fake.last != ATTACH_LISTENER && (message.type == ATTACH_HELLO || fake.has_welcomed));
                check(message.type == ATTACH_HELLO
                              ? fd < 0
                              : fd >= 0 && is_same_file(fd, message.type == ATTACH_JOURNAL ? journal_fd : listener));
                fake.last = message.type;
                if (fake.last == ATTACH_LISTENER) {
                        journal_repair(journal);
                        fake.works = true;
                        notify_init_consume_fd(&fake.notify, journal, fd_steal(&fd));
                        fake.works = false;
                }
        }
}

static void daemon_says(const void *bytes, size_t size, int fd) {
        struct attach_message message = { .type = 0 };

        if (fake.socket < 0 || size == 0 || fdpass_send_dup_fd(fake.socket, bytes, size, NULL, 0, fd, MSG_DONTWAIT) < 0)
                return;
        if (size != sizeof(message))
                return;
        memcpy(&message, bytes, sizeof(message));
        if (message.type == ATTACH_WELCOME)
                fake.has_welcomed = true;
        /* its word that it has not received anything, and will not */
        if (message.type == ATTACH_REFUSED && !(fake.last == ATTACH_LISTENER)) {
                fake.is_lent = false;
                notify_deinit(&fake.notify);
        }
}

static void daemon_says_type(uint32_t type, uint32_t refusal) {
        struct attach_message message = {
                .type = type,
                .version = JOURNAL_VERSION,
                .journal_size = sizeof(struct journal),
                .refusal = refusal,
        };

        daemon_says(&message, sizeof(message), -1);
}

/* Never the one word that it may not take back. */
static void daemon_says_anything(void) {
        struct {
                struct attach_message message;
                char more[20];
        } any = { .message = { .type = 0 } };
        uint8_t how = input_byte(input);
        size_t size = sizeof(any.message);

        if (how & 1) {
                size = input_bytes(input, &any, sizeof(any));
        } else {
                any.message.type = (uint32_t)input_number(input);
                any.message.refusal = (uint32_t)input_number(input);
        }
        if (any.message.type != ATTACH_REFUSED || fake.last != ATTACH_LISTENER)
                daemon_says(&any, size, how & 2 ? journal_fd : -1);
}

static void found(struct journal_request *request, void *context) {
        (void)context;
        if (input_byte(input) & 1)
                (void)notify_answer(&fake.notify, request, 0);
}

/* It receives, and may answer or not; or it answers what others have received. */
static void daemon_works(void) {
        uint8_t how = input_byte(input);
        struct journal_request *request;

        daemon_hear();
        if (fake.notify.listener < 0)
                return;
        fake.works = true;
        if (how & 1)
                notify_recover(&fake.notify, found, NULL);
        else if (notify_poll(&fake.notify) & POLLIN && notify_receive(&fake.notify, &request) == 0 && how & 2)
                (void)notify_continue(&fake.notify, request, CONTINUE_INTERNAL);
        fake.works = false;
}

static void check_touch(void) {
        check(fake.works || !fake.is_lent);
}

/* --- what happens --- */

static void launcher_says(void) {
        uint8_t how = input_byte(input);

        if (launcher >= 0 && how & 1)
                processes_say_anything(input, launcher, listener, journal_fd);
        else if (launcher >= 0)
                (void)keeper_tell(launcher, HANDOFF_LISTENER, listener);
}

/* False: and the time of the keeper's next round has come. */
static bool happen_next(void) {
        switch (input_byte(input) % 16) {
        case 0:
        case 1:
                daemon_says_type(ATTACH_WELCOME, 0);
                break;
        case 2:
                daemon_says_type(ATTACH_TAKEN, 0);
                break;
        case 3:
                if (fake.last != ATTACH_LISTENER)
                        daemon_says_type(ATTACH_REFUSED, input_byte(input) % 6);
                break;
        case 4:
                daemon_says_anything();
                break;
        case 5:
                daemon_leave();
                break;
        case 6:
                fake.is_absent = !fake.is_absent;
                break;
        case 7:
                fake.is_busy = !fake.is_busy;
                break;
        case 8:
        case 9:
                daemon_works();
                break;
        case 10:
                launcher_says();
                break;
        case 11:
                launcher = fd_close(launcher);
                break;
        case 12:
                if (listener_end >= 0)
                        (void)write(listener_end, "", 1);
                break;
        case 13:
                if (input_byte(input) & 1)
                        listener_end = fd_close(listener_end);
                break;
        case 14:
                processes_signal(SIGUSR1);
                break;
        default:
                idle_now_ns += input_byte(input) * 100000000ULL;
                return false;
        }
        return true;
}

/* Nothing is ready: a keeper that answers has answered. */
static void check_waiting(void) {
        if (keeper.bypass || fake.is_lent || keeper.listener < 0 || listener_end < 0) {
                waiting_ns = 0;
        } else {
                if (waiting_ns == 0)
                        waiting_ns = idle_now_ns;
                check(idle_now_ns - waiting_ns < SILENT_LIMIT_NS);
                check(keeper.attach.connection >= 0 || idle_now_ns - waiting_ns < ABSENT_LIMIT_NS);
                check(fruitless < FRUITLESS_MAX);
        }
        if (keeper.bypass) {
                check(!fake.is_lent);
                fruitless = 0;
                if (listener_end >= 0)
                        supervised_check_answers();
        }
}

/* The tree ends, and the launcher. The daemon may keep what it has. */
static void happen_at_the_end(void) {
        listener_end = fd_close(listener_end);
        launcher = fd_close(launcher);
}

static bool happen(void) {
        check(keeper.supervisor == 0 && process_count == 0);
        check_waiting();
        if (input->size > 0)
                return happen_next();
        check(++rounds < ROUND_TOO_MANY);
        happen_at_the_end();
        return rounds == 1;
}

static void keeper_begin(int theirs, int signals) {
        static const struct keeper_config config = { .attach = ATTACH_SOCKET };

        memset(journal, 0, sizeof(*journal));
        processes_keeper(&keeper, &config, theirs);
        keeper.journal = journal;
        keeper.journal_fd = journal_fd;
        keeper.signals = signals;
}

static void run_keeper(int signals) {
        int theirs;

        rounds = 0;
        waiting_ns = progress = 0;
        fruitless = 0;
        fake.is_absent = fake.is_busy = false;
        check(processes_pair(&launcher, &theirs) == 0);
        keeper_begin(theirs, signals);
        supervised_callers(journal, input, &listener, &listener_end);
        supervised_touched = check_touch;
        idle_now_ns = 1000 * 1000000000ULL;
        idle_happen = happen;
        if (!attach_start(&keeper)) {
                check(keeper.attach.state == ATTACH_NOT && keeper.attach.connection < 0);
        } else if (keeper_announce(&keeper) == 0) {
                keeper_loop(&keeper);
                attach_finish(&keeper);
        }
        idle_happen = NULL;
        (void)fd_close(keeper.attach.connection);
        keeper.attach.connection = -1;
        daemon_leave();
        supervised_touched = NULL;
        happen_at_the_end();
        free((char *)keeper.config.attach);
        (void)fd_close(keeper.listener);
        (void)fd_close(theirs);
        (void)fd_close(listener);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
        (void)argc;
        (void)argv;
        supervised_init();
        peers_init();
        check(journal_create(&journal, &journal_fd) == 0);
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct input whole = { .data = data, .size = size };
        unsigned int before = processes_descriptors();
        int signals;

        input = &whole;
        signals = processes_begin(input);
        if (input_byte(input) & 1)
                run_keeper(signals);
        else
                peers_run(journal, signals, input);
        processes_finish();
        (void)close(signals);
        check(processes_descriptors() == before); /* none is left behind */
        return 0;
}
