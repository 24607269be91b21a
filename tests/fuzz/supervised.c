/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervised.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "caller.h"
#include "fdpass.h"
#include "idle.h"
#include "modgate/handoff.h"
#include "modgate/job.h"
#include "module/index.h"
#include "module/sysfs.h"
#include "observe/trace_text.h"
#include "privilege.h"
#include "supervisor.h"
#include "trace.h"
#include "util/fd.h"
#include "util/log.h"

#define CALLERS_MAX (2 * JOURNAL_REQUESTS)
#define WORKERS 64

/* Ids of requests that come later: they wait, and their callers are not killed. */
#define LATER_ID (1ULL << 40 | 1)

/* When nothing is left to happen: after so many rounds the workers that said nothing end, then the tree, then all. */
#define ROUND_WORKERS_END 60
#define ROUND_TREE_ENDS 120
#define ROUND_TOO_MANY 240
#define ROUND_NS 500000000ULL

struct made_up_caller {
        uint64_t id;
        bool answered;
};

static struct {
        struct input *input;
        struct journal *journal;
        enum supervised_by by;
        int journal_fd;
        int keeper;       /* our end */
        int listener;     /* the read end of a pipe with a byte for each request to come */
        int listener_end; /* the other one */
        int workers[WORKERS];
        unsigned int rounds;
        bool killed; /* callers with an id that has bit 1 */
        bool is_started;
        bool is_stopped;    /* by a message: it receives and answers nothing more */
        bool is_supervisor; /* else the bypass, which has listener and journal */
        bool has_start;     /* also if it came at the wrong time */
        enum tree_part { NO_PART, JOURNAL_PART, CONNECTION_PART, ALL_PARTS } parts; /* that it has of a daemon's tree */
        uint64_t later;
        struct made_up_caller callers[CALLERS_MAX];
        unsigned int caller_count;
} world;

static int null_fd;

static bool is_daemon(void) {
        return world.by == SUPERVISED_BY_DAEMON || world.by == SUPERVISED_BY_ODD_DAEMON;
}

static bool is_odd(void) {
        return world.by == SUPERVISED_BY_ODD || world.by == SUPERVISED_BY_ODD_DAEMON;
}

void (*supervised_touched)(void);

/* --- the kernel --- */

int __wrap_ioctl(int fd, unsigned long request, ...);
int __real_ioctl(int fd, unsigned long request, ...);

static bool waits(const struct made_up_caller *caller) {
        return caller->id % 2 == 1 && !caller->answered && !(world.killed && caller->id & 2);
}

static struct made_up_caller *find_caller(uint64_t id) {
        for (unsigned int i = 0; i < world.caller_count; i++)
                if (world.callers[i].id == id)
                        return &world.callers[i];
        return NULL;
}

static void add_caller(uint64_t id) {
        if (!find_caller(id) && world.caller_count < CALLERS_MAX)
                world.callers[world.caller_count++] = (struct made_up_caller){ .id = id };
}

static int fail(int error) {
        errno = error;
        return -1;
}

static void fill_call(struct seccomp_data *data) {
        static const int calls[] = { SYS_finit_module, SYS_init_module, SYS_getpid };

        data->nr = calls[input_byte(world.input) % 3];
        data->arch = AUDIT_ARCH_X86_64;
        for (unsigned int i = 0; i < 3; i++)
                data->args[i] = input_number(world.input);
}

static int receive(struct seccomp_notif *notif) {
        static const unsigned char zeros[JOURNAL_NOTIF_ROOM];
        char byte;

        check(memcmp(notif, zeros, sizeof(zeros)) == 0);
        /* a daemon's tree, only when it is complete */
        check(!world.is_supervisor || !is_daemon() || (world.parts == ALL_PARTS && world.has_start));
        if (read(world.listener, &byte, 1) != 1)
                return fail(ENOENT);
        notif->id = LATER_ID + 4 * ++world.later;
        notif->pid = input_byte(world.input);
        fill_call(&notif->data);
        add_caller(notif->id);
        return 0;
}

static int take_answer(const struct seccomp_notif_resp *resp) {
        struct made_up_caller *caller = find_caller(resp->id);

        check(resp->error <= 0 && resp->val == 0);
        check(resp->flags == 0 || (resp->flags == SECCOMP_USER_NOTIF_FLAG_CONTINUE && resp->error == 0));
        if (!caller || !waits(caller))
                return fail(ENOENT);
        caller->answered = true;
        return 0;
}

static bool is_pipe(int fd) {
        struct stat status;

        return fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode);
}

int __wrap_ioctl(int fd, unsigned long request, ...) {
        struct made_up_caller *caller;
        va_list arguments;
        void *argument;

        va_start(arguments, request);
        argument = va_arg(arguments, void *);
        va_end(arguments);
        /* what stands for a listener is always a pipe */
        if (_IOC_TYPE(request) == '!' && !is_pipe(fd))
                return fail(ENOTTY);
        if (supervised_touched && (request == SECCOMP_IOCTL_NOTIF_RECV || request == SECCOMP_IOCTL_NOTIF_SEND))
                supervised_touched();
        switch (request) {
        case SECCOMP_IOCTL_NOTIF_RECV:
                return receive(argument);
        case SECCOMP_IOCTL_NOTIF_SEND:
                return take_answer(argument);
        case SECCOMP_IOCTL_NOTIF_ID_VALID:
                caller = find_caller(*(const uint64_t *)argument);
                return caller && waits(caller) ? 0 : fail(ENOENT);
        default:
                if (_IOC_TYPE(request) == '!')
                        return fail(EINVAL);
                return __real_ioctl(fd, request, argument);
        }
}

enum module_state __wrap_module_sysfs_state(struct module_sysfs *sysfs, const char *name);

enum module_state __wrap_module_sysfs_state(struct module_sysfs *sysfs, const char *name) {
        static const enum module_state states[] = { MODULE_ABSENT, MODULE_LIVE, MODULE_PASSING, MODULE_ABSENT };

        (void)sysfs;
        /* it is a name, and no path */
        check(strnlen(name, MODULE_NAME_SIZE) < MODULE_NAME_SIZE && name[0] != '\0' && !strchr(name, '/'));
        return states[name[0] & 3];
}

/* --- callers, as /proc shows them --- */

int __wrap_caller_self_init(struct caller_self *self);
enum continue_reason __wrap_caller_check(const struct caller_self *self, pid_t tid);
enum continue_reason __wrap_caller_look_at_file(const struct caller_self *self, pid_t tid, int number,
                                                struct caller_file *file);
bool __wrap_caller_file_path(const struct caller_self *self, pid_t tid, int number, char path[static CALLER_PATH_MAX]);
enum continue_reason __wrap_caller_open_file(const struct caller_self *self, pid_t tid, int number,
                                             const struct module_file *seen, int *ret_fd);
bool __wrap_caller_had_begun(const struct caller_self *self, pid_t tid, uint64_t then_ns);
int __wrap_caller_open_memory(const struct caller_self *self, pid_t tid);
int __wrap_module_index_init(struct module_index *index, const char *directory);
bool __wrap_module_index_name(struct module_index *index, const char *path, const struct module_file *file,
                              char name[static MODULE_NAME_SIZE]);
void __wrap_module_index_keep(struct module_index *index, const char *path, const struct module_file *file,
                              const char name[static MODULE_NAME_SIZE]);

int __wrap_caller_self_init(struct caller_self *self) {
        (void)self;
        return 0;
}

enum continue_reason __wrap_caller_check(const struct caller_self *self, pid_t tid) {
        (void)self;
        return tid % 16 == 15 ? CONTINUE_NO_CAPABILITY : CONTINUE_NOT;
}

enum continue_reason __wrap_caller_look_at_file(const struct caller_self *self, pid_t tid, int number,
                                                struct caller_file *file) {
        (void)self;
        (void)tid;
        if (number % 16 == 15)
                return CONTINUE_FD;
        file->identity = (struct module_file){ .device = 1, .inode = (uint64_t)number, .size = 4096 };
        file->settled = number % 8 != 7;
        return CONTINUE_NOT;
}

bool __wrap_caller_file_path(const struct caller_self *self, pid_t tid, int number, char path[static CALLER_PATH_MAX]) {
        (void)self;
        (void)tid;
        (void)snprintf(path, CALLER_PATH_MAX, "/lib/modules/%d.ko", number);
        return number % 32 != 31;
}

enum continue_reason __wrap_caller_open_file(const struct caller_self *self, pid_t tid, int number,
                                             const struct module_file *seen, int *ret_fd) {
        (void)self;
        (void)number;
        (void)seen;
        if (tid % 16 == 14)
                return CONTINUE_FD;
        *ret_fd = dup(null_fd);
        return CONTINUE_NOT;
}

bool __wrap_caller_had_begun(const struct caller_self *self, pid_t tid, uint64_t then_ns) {
        (void)self;
        (void)then_ns;
        return tid % 2 == 0;
}

int __wrap_caller_open_memory(const struct caller_self *self, pid_t tid) {
        (void)self;
        return tid % 16 == 13 ? -EACCES : dup(null_fd);
}

int __wrap_module_index_init(struct module_index *index, const char *directory) {
        (void)index;
        (void)directory;
        return 0;
}

/* Several files have one name, and some have none. */
bool __wrap_module_index_name(struct module_index *index, const char *path, const struct module_file *file,
                              char name[static MODULE_NAME_SIZE]) {
        (void)index;
        (void)path;
        if (file->inode % 4 == 3)
                return false;
        memset(name, 0, MODULE_NAME_SIZE);
        name[0] = (char)('a' + file->inode % 4);
        return true;
}

void __wrap_module_index_keep(struct module_index *index, const char *path, const struct module_file *file,
                              const char name[static MODULE_NAME_SIZE]) {
        (void)index;
        (void)path;
        (void)file;
        (void)name;
}

/* --- ourselves --- */

int __wrap_privilege_keep(const cap_value_t *keep, size_t count, bool effective);
int __wrap_confinement_enter(const struct confinement *confinement, enum confinement_role role);
void __wrap_log_write(enum log_level level, const char *format, ...);

int __wrap_privilege_keep(const cap_value_t *keep, size_t count, bool effective) {
        (void)keep;
        (void)count;
        (void)effective;
        return 0;
}

int __wrap_confinement_enter(const struct confinement *confinement, enum confinement_role role) {
        (void)confinement;
        (void)role;
        return 0;
}

/* Silent, but what it would write is read. */
void __wrap_log_write(enum log_level level, const char *format, ...) {
        char line[1024];
        va_list arguments;

        (void)level;
        va_start(arguments, format);
        (void)vsnprintf(line, sizeof(line), format, arguments);
        va_end(arguments);
}

/* --- workers --- */

static void end_worker(unsigned int i) {
        world.workers[i] = fd_close(world.workers[i]);
}

/* What a worker says, whether or not it was asked. `serial`: of the job; `image`: the answer should bring one. */
static void answer_of_worker(unsigned int i, uint64_t serial, bool image) {
        struct {
                struct job_answer answer;
                char bytes[UINT8_MAX];
        } message = { .answer = { .status = JOB_DONE, .serial = serial } };
        uint8_t how = input_byte(world.input);
        size_t size = sizeof(message.answer);

        switch (how % 8) {
        case 1:
                message.answer.error = (int32_t)input_number(world.input);
                break;
        case 2:
                message.answer.status = (uint32_t)input_number(world.input);
                message.answer.error = (int32_t)input_number(world.input);
                message.answer.serial = input_number(world.input);
                message.answer.length = (uint32_t)input_number(world.input);
                break;
        case 3:
                size = input_bytes(world.input, &message, sizeof(message));
                break;
        case 4:
        case 5:
                message.answer.length = (uint32_t)input_bytes(world.input, message.bytes, sizeof(message.bytes));
                size += message.answer.length;
                message.answer.image_hash[0] = how;
                break;
        case 6:
                end_worker(i);
                return;
        case 7:
                return; /* it hangs */
        }
        (void)fdpass_send_dup_fd(world.workers[i], &message, size, NULL, 0, image || how & 8 ? null_fd : -1,
                                 MSG_DONTWAIT);
}

/* Returns the worker, or -1: there are too many. `*ret_theirs`: the end that is the supervisor's. */
static int new_worker(int *ret_theirs) {
        for (int i = 0; i < WORKERS; i++)
                if (world.workers[i] < 0)
                        return fdpass_pair(&world.workers[i], ret_theirs) == 0 ? i : -1;
        return -1;
}

static bool serve_workers(void) {
        static struct {
                struct job job;
                char params[MODULE_PARAMS_MAX];
        } message;
        bool any = false;

        for (unsigned int i = 0; i < WORKERS; i++) {
                _cleanup_fd_ int fd = -1;
                ssize_t length;

                if (world.workers[i] < 0)
                        continue;
                length = fdpass_receive(world.workers[i], &message, sizeof(message), &fd, MSG_DONTWAIT);
                if (length == 0 || length == -ECONNRESET) {
                        end_worker(i);
                        continue;
                }
                if (length < 0)
                        continue;
                any = true;
                check((size_t)length == sizeof(message.job) + message.job.params_length && fd >= 0);
                answer_of_worker(i, message.job.serial, message.job.type == JOB_COPY_IMAGE);
        }
        return any;
}

/* --- the keeper --- */

/* Only with all its parts, in their order, is a daemon's tree one to receive from. */
static enum tree_part parts_after(enum handoff_type type, int fd) {
        if (world.parts == ALL_PARTS)
                return ALL_PARTS;
        switch (type) {
        case HANDOFF_TREE_JOURNAL:
                return fd == world.journal_fd ? JOURNAL_PART : NO_PART;
        case HANDOFF_TREE_CONNECTION:
                return world.parts == JOURNAL_PART && fd >= 0 ? CONNECTION_PART : world.parts;
        case HANDOFF_LISTENER:
                return world.parts == CONNECTION_PART && fd >= 0 ? ALL_PARTS : NO_PART;
        default:
                return world.parts;
        }
}

static void say(const struct handoff_message *message, size_t size, int fd) {
        if (fdpass_send_dup_fd(world.keeper, message, size, NULL, 0, fd, MSG_DONTWAIT) < 0 || size != sizeof(*message))
                return;
        world.has_start = world.has_start || message->type == HANDOFF_START;
        if (is_daemon())
                world.parts = parts_after(message->type, fd);
}

static void tell(enum handoff_type type, uint32_t kind, uint32_t index, int fd) {
        struct handoff_message message = { .type = type, .kind = kind, .index = index };

        say(&message, sizeof(message), fd);
}

static int hand_over_worker(uint32_t kind, uint32_t index) {
        _cleanup_fd_ int theirs = -1;
        int i = new_worker(&theirs);

        if (i >= 0)
                tell(HANDOFF_WORKER, kind, index, theirs);
        return i;
}

static bool serve_supervisor(void) {
        struct handoff_message message;
        bool any = false;

        while (world.keeper >= 0 && fdpass_receive(world.keeper, &message, sizeof(message), NULL, MSG_DONTWAIT) ==
                                            (ssize_t)sizeof(message)) {
                any = true;
                check(message.type == HANDOFF_SUPERVISOR_READY || message.type == HANDOFF_WORKER_WANTED ||
                      message.type == HANDOFF_WORKER_DROPPED || (message.type == HANDOFF_TREE_LEFT && is_daemon()));
                check(message.kind < WORKER_KINDS &&
                      message.index < (message.kind == WORKER_LOADER ? LOADERS_MAX : INSPECTORS_MAX));
                if (message.type != HANDOFF_WORKER_WANTED)
                        continue;
                switch (input_byte(world.input) % 4) {
                case 1:
                        tell(HANDOFF_WORKER_FAILED, message.kind, message.index, -1);
                        break;
                case 2:
                        break; /* it stands still */
                default:
                        (void)hand_over_worker(message.kind, message.index);
                }
        }
        return any;
}

static void start(void) {
        if (is_daemon()) {
                tell(HANDOFF_TREE_JOURNAL, 0, 0, world.journal_fd);
                tell(HANDOFF_TREE_CONNECTION, 0, 0, null_fd);
        }
        tell(HANDOFF_LISTENER, 0, 0, world.listener);
        tell(HANDOFF_START, 0, 0, -1);
        world.is_started = world.keeper >= 0;
}

/* What a keeper that is well says to a new supervisor. Loaders may have said something before that. */
static void equip(void) {
        unsigned int loaders = input_byte(world.input) % 8;

        for (unsigned int i = 0; i < loaders; i++) {
                int worker = hand_over_worker(WORKER_LOADER, i);

                if (worker >= 0)
                        answer_of_worker((unsigned int)worker, input_number(world.input), false);
        }
        start();
}

/* Two trees with one listener would both receive, or with one journal. Returns the descriptor that goes along. */
static int be_of_one_tree(struct handoff_message *message, int fd) {
        if (message->type == HANDOFF_LISTENER || message->type == HANDOFF_TREE_JOURNAL ||
            message->type == HANDOFF_TREE_CONNECTION)
                message->index = 0;
        return message->type == HANDOFF_TREE_JOURNAL && fd == world.listener ? world.journal_fd : fd;
}

/* What no keeper says. */
static void say_something_odd(void) {
        struct {
                struct handoff_message message;
                char more[20];
        } odd = { .message = { .type = 0 } };
        uint8_t how = input_byte(world.input);
        size_t size = sizeof(odd.message);
        _cleanup_fd_ int theirs = -1;
        int fd = -1;

        if (how & 1) {
                size = input_bytes(world.input, &odd, sizeof(odd));
        } else {
                odd.message.type = (uint32_t)input_number(world.input);
                odd.message.kind = (uint32_t)input_number(world.input);
                odd.message.index = (uint32_t)input_number(world.input);
        }
        if (size == 0)
                return;
        if ((how >> 1) % 4 == 1)
                fd = world.listener;
        else if ((how >> 1) % 4 == 2 && new_worker(&theirs) >= 0)
                fd = theirs;
        else if ((how >> 1) % 4 == 3)
                fd = null_fd;
        world.is_stopped = world.is_stopped || odd.message.type == HANDOFF_STOP;
        if (is_daemon())
                fd = be_of_one_tree(&odd.message, fd);
        /* whatever else stood there for a listener, no supervisor could tell */
        if (odd.message.type == HANDOFF_LISTENER && fd >= 0)
                fd = world.listener;
        say(&odd.message, size, fd);
}

/* --- what happens --- */

static void happen_next(void) {
        switch (input_byte(world.input) % 8) {
        case 0:
        case 1:
                (void)write(world.listener_end, "", 1);
                break;
        case 2:
                idle_now_ns += input_byte(world.input) * 100000000ULL;
                break;
        case 3:
                world.killed = true;
                break;
        case 4:
                end_worker(input_byte(world.input) % WORKERS);
                break;
        case 5:
                if (is_odd())
                        world.keeper = fd_close(world.keeper);
                /* a daemon's ends then: what waits is for others */
                world.is_stopped = world.is_stopped || world.by == SUPERVISED_BY_ODD_DAEMON;
                break;
        default:
                if (is_odd())
                        say_something_odd();
        }
}

/* All that is left is to come to an end. */
static bool happen_at_the_end(void) {
        world.rounds++;
        check(world.rounds < ROUND_TOO_MANY);
        idle_now_ns += ROUND_NS;
        if (world.rounds == 1 && is_odd())
                start();
        if (world.rounds == ROUND_WORKERS_END)
                for (unsigned int i = 0; i < WORKERS; i++)
                        end_worker(i);
        if (world.rounds == ROUND_TREE_ENDS) {
                if (world.is_started && !world.is_stopped)
                        supervised_check_answers();
                world.listener_end = fd_close(world.listener_end);
                world.keeper = fd_close(world.keeper);
        }
        return world.rounds == 1 || world.rounds == ROUND_WORKERS_END || world.rounds == ROUND_TREE_ENDS;
}

static bool happen(void) {
        bool served = serve_supervisor();

        if (serve_workers() || served)
                return true;
        if (world.input->size == 0)
                return happen_at_the_end();
        happen_next();
        return true;
}

/* --- */

static int no_uevents(void) {
        return -EPERM;
}

static int no_uevent(int socket, char *buffer, size_t size, struct uevent *ret) {
        (void)socket;
        (void)buffer;
        (void)size;
        (void)ret;
        return 0;
}

static const struct kernel_interface kernel = {
        .module_sysfs = "/nonexistent",
        .modules_directory = "/nonexistent",
        .modules_disabled = "/nonexistent",
        .uevent_seqnum = "/dev/null",
        .open_uevents = no_uevents,
        .receive_uevent = no_uevent,
};

void supervised_init(void) {
        null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        check(null_fd >= 0);
}

void supervised_callers(struct journal *journal, struct input *input, int *ret_listener, int *ret_listener_end) {
        int ends[2];

        check(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
        *ret_listener = world.listener = ends[0];
        *ret_listener_end = ends[1];
        world.input = input;
        world.journal = journal;
        world.caller_count = 0;
        world.killed = false;
        world.later = 0;
        for (uint32_t i = 0; i < JOURNAL_REQUESTS; i++)
                if (journal->requests[i].notif.id != 0)
                        add_caller(journal->requests[i].notif.id);
}

bool supervised_somebody_waits(void) {
        for (unsigned int i = 0; i < world.caller_count; i++)
                if (waits(&world.callers[i]))
                        return true;
        return false;
}

void supervised_check_answers(void) {
        check(!supervised_somebody_waits());
}

static void read_trace(int fd) {
        char text[TRACE_TEXT_MAX];
        struct trace_record record;

        while (read(fd, &record, sizeof(record)) == (ssize_t)sizeof(record))
                check(trace_text_event(text, &record, 0) < sizeof(text));
}

void supervised_run(struct journal *journal, int journal_fd, struct input *input, enum supervised_by by) {
        static struct journal of_daemon;
        struct supervisor_config config = { .kernel = &kernel, .failure_ttl_ns = 1000000000ULL };
        _cleanup_fd_ int listener = -1, trace = -1;
        int listener_end, theirs, r;

        supervised_callers(journal, input, &listener, &listener_end);
        world.listener_end = listener_end;
        world.by = by;
        world.journal_fd = journal_fd;
        world.rounds = 0;
        world.is_started = world.is_stopped = world.has_start = false;
        world.parts = NO_PART;
        for (unsigned int i = 0; i < WORKERS; i++)
                world.workers[i] = -1;
        check(fdpass_pair(&world.keeper, &theirs) == 0);
        check(trace_pipe(&trace, &config.trace_fd) == 0);
        check(fcntl(trace, F_SETFL, O_NONBLOCK) == 0);
        if (!is_odd())
                equip();
        if (is_daemon())
                memset(&of_daemon, 0, sizeof(of_daemon));
        config.is_daemon = is_daemon();
        world.is_supervisor = true;
        idle_now_ns = 1000 * 1000000000ULL;
        idle_happen = happen;
        r = supervisor_run_consume_fd(&config, config.is_daemon ? &of_daemon : journal, theirs);
        idle_happen = NULL;
        world.is_supervisor = false;
        /* what it lacks before the start is for another one to get; the next one has all requests then */
        check(r == 0 || is_odd());
        if (r == 0 && world.is_started && !world.is_stopped)
                supervised_check_answers();
        read_trace(trace);
        for (unsigned int i = 0; i < WORKERS; i++)
                end_worker(i);
        world.listener_end = fd_close(world.listener_end);
        world.keeper = fd_close(world.keeper);
}
