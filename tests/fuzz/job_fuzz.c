/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Jobs and their answers, whatever they say, and whatever descriptors they bring. Loaders and inspectors read nothing
 * beyond a job, and give one answer that makes sense for each that does; the pool takes such answers, and no others.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "fdpass.h"
#include "input.h"
#include "inspector.h"
#include "loader.h"
#include "pool.h"
#include "privilege.h"
#include "util/fd.h"

#define MESSAGES_MAX 8
#define FILE_SIZE 20000U
#define PATTERN_SIZE 251U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
int __wrap_privilege_keep(const cap_value_t *keep, size_t count, bool effective);
int __wrap_confinement_enter(const struct confinement *confinement, enum confinement_role role);
_Noreturn void __wrap__exit(int status);
_Noreturn void __real__exit(int status);

/* What may come along with a job. */
enum file {
        FILE_NONE,
        FILE_SEALED,
        FILE_PLAIN,
        FILE_INPUT, /* what the fuzzer says: it finds its way through images */
        FILE_EMPTY,
        FILE_PIPE,
        FILE_DIRECTORY,
        FILE_NULL,
        FILES,
};

static int files[FILES];
static unsigned char content[FILE_SIZE];
static jmp_buf ended;
static bool running;
static struct input input;
static const uint8_t *all;
static size_t all_size;

/* --- the workers' world --- */

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

/* The worker's last word. */
_Noreturn void __wrap__exit(int status) {
        if (!running)
                __real__exit(status);
        longjmp(ended, 1);
}

static int outcome(void) {
        return -(int)input_byte(&input);
}

static int scripted_finit_module(int fd, const char *params, int flags) {
        struct stat status;

        (void)flags;
        check(fstat(fd, &status) == 0 && S_ISREG(status.st_mode));
        check((fcntl(fd, F_GETFL) & (O_ACCMODE | O_PATH)) == O_RDONLY);
        check(strlen(params) <= MODULE_PARAMS_MAX);
        return outcome();
}

static int scripted_init_module(const void *image, unsigned long length, const char *params) {
        check(length == FILE_SIZE && memcmp(image, content, length) == 0);
        check(strlen(params) <= MODULE_PARAMS_MAX);
        return outcome();
}

static const struct kernel_interface kernel = {
        .finit_module = scripted_finit_module,
        .init_module = scripted_init_module,
};

static int file_with(const void *bytes, size_t size, unsigned int seals) {
        int fd = memfd_create("fuzz", MFD_ALLOW_SEALING | MFD_CLOEXEC);

        check(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
        check(seals == 0 || fcntl(fd, F_ADD_SEALS, seals) == 0);
        return fd;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
        int ends[2];

        (void)argc;
        (void)argv;
        /* strings of many lengths */
        for (size_t i = 0; i < FILE_SIZE; i++)
                content[i] = (unsigned char)(i % PATTERN_SIZE * (i / 4096));
        files[FILE_NONE] = -1;
        files[FILE_SEALED] = file_with(content, FILE_SIZE, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
        files[FILE_PLAIN] = file_with(content, FILE_SIZE, 0);
        files[FILE_INPUT] = file_with(content, 0, 0);
        files[FILE_EMPTY] = file_with(content, 0, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
        check(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
        files[FILE_PIPE] = ends[0];
        files[FILE_DIRECTORY] = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        files[FILE_NULL] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        check(files[FILE_DIRECTORY] >= 0 && files[FILE_NULL] >= 0);
        return 0;
}

/* --- messages --- */

struct message {
        struct job job;
        size_t size;
        enum file file;
        bool two_files;
};

/* Two descriptors are one too many. False: there is no more room. */
static bool send_raw(int socket, const void *bytes, size_t size, enum file file, bool twice) {
        struct iovec part = { .iov_base = (void *)bytes, .iov_len = size };
        struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
        union {
                struct cmsghdr align;
                unsigned char bytes[CMSG_SPACE(2 * sizeof(int))];
        } control = { .bytes = { 0 } };
        size_t count = file == FILE_NONE ? 0 : (twice ? 2 : 1);

        if (count > 0) {
                const int fds[2] = { files[file], files[file] };

                control.align.cmsg_level = SOL_SOCKET;
                control.align.cmsg_type = SCM_RIGHTS;
                control.align.cmsg_len = CMSG_LEN(count * sizeof(int));
                memcpy(CMSG_DATA(&control.align), fds, count * sizeof(int));
                header.msg_control = &control;
                header.msg_controllen = CMSG_SPACE(count * sizeof(int));
        }
        return sendmsg(socket, &header, MSG_DONTWAIT) == (ssize_t)size;
}

/* A job's fields, and its parameters; its size may be another one. False: there was no more room for it. */
static bool send_job(int socket, bool with_params, struct message *message) {
        static unsigned char bytes[sizeof(struct job) + MODULE_PARAMS_MAX + 2];
        uint8_t how = input_byte(&input), what = input_byte(&input);
        struct job job = {
                .type = (uint32_t)input_number(&input),
                .flags = (uint32_t)input_number(&input),
                .serial = input_number(&input),
                .address = input_number(&input),
                .image_length = how & 1 ? FILE_SIZE : input_number(&input),
        };
        size_t params = 0;

        memset(bytes, 'p', sizeof(bytes));
        if (with_params && how & 2)
                params = input_bytes(&input, bytes + sizeof(job), UINT8_MAX);
        else if (with_params && how & 4)
                params = MODULE_PARAMS_MAX - (how & 8 ? 0 : 1) + (how & 16 ? 1 : 0);
        job.params_length = how & 32 ? (uint32_t)input_number(&input) : (uint32_t)params;
        memcpy(bytes, &job, sizeof(job));
        *message = (struct message){ .job = job, .size = sizeof(job) + params, .file = what % FILES };
        message->two_files = what & 128 && message->file != FILE_NONE;
        if (how & 64)
                message->size = input_byte(&input) % (sizeof(job) + 1);
        return send_raw(socket, bytes, message->size, message->file, message->two_files);
}

static bool is_job_for(bool inspector, const struct message *message) {
        if (message->file == FILE_NONE || message->two_files)
                return false;
        if (inspector)
                return message->size == sizeof(message->job);
        return (message->job.type == JOB_FINIT || message->job.type == JOB_INIT) &&
               message->job.params_length <= MODULE_PARAMS_MAX &&
               message->size == sizeof(message->job) + message->job.params_length;
}

/* --- workers --- */

static ssize_t receive_answer(int socket, struct job_answer *answer, char *bytes, int *ret_fd) {
        struct iovec parts[] = {
                { .iov_base = answer, .iov_len = sizeof(*answer) },
                { .iov_base = bytes, .iov_len = MODULE_PARAMS_MAX + 1 },
        };
        union {
                struct cmsghdr align;
                unsigned char bytes[CMSG_SPACE(4 * sizeof(int))];
        } control;
        struct msghdr header = {
                .msg_iov = parts,
                .msg_iovlen = 2,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        struct cmsghdr *first;
        ssize_t length;

        /* ECONNRESET: a worker has ended before it had read all; what it said before still stands there */
        do
                length = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        while (length < 0 && errno == ECONNRESET);
        first = length > 0 ? CMSG_FIRSTHDR(&header) : NULL;
        *ret_fd = -1;
        if (first) {
                check(first->cmsg_len == CMSG_LEN(sizeof(int)));
                memcpy(ret_fd, CMSG_DATA(first), sizeof(*ret_fd));
        }
        return length;
}

/* What an answer says of the memory has to be there. */
static const unsigned char *memory_of(const struct message *message, uint64_t length) {
        size_t size = message->file == FILE_INPUT ? all_size : FILE_SIZE;

        check(message->file == FILE_INPUT || message->file == FILE_SEALED || message->file == FILE_PLAIN);
        check(message->job.address <= size && length <= size - message->job.address);
        return (message->file == FILE_INPUT ? all : content) + message->job.address;
}

static void check_image(const struct message *message, const struct job_answer *answer, int fd) {
        const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
        uint64_t length = message->job.image_length;
        const unsigned char *memory = memory_of(message, length);
        XXH128_hash_t hash = XXH3_128bits(memory, length);
        struct stat status;
        unsigned char *image;

        check(fstat(fd, &status) == 0 && (uint64_t)status.st_size == length);
        check((fcntl(fd, F_GET_SEALS) & seals) == seals);
        image = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
        check(image != MAP_FAILED && memcmp(image, memory, length) == 0);
        check(hash.low64 == answer->image_hash[0] && hash.high64 == answer->image_hash[1]);
        (void)munmap(image, length);
}

static void check_answer(const struct message *message, bool inspector, const struct job_answer *answer,
                         const char *bytes, int fd) {
        const struct job *job = &message->job;

        check(answer->serial == job->serial);
        check(answer->status == JOB_DONE || answer->status == JOB_REFUSED || answer->status == JOB_TOO_LONG);
        check(answer->error >= 0 && answer->error < 4096);
        check((fd >= 0) == (inspector && job->type == JOB_COPY_IMAGE && answer->status == JOB_DONE));
        if (!inspector) {
                check(answer->length == 0);
                return;
        }
        check((answer->status == JOB_REFUSED) == (answer->error != 0));
        check(answer->length <= MODULE_PARAMS_MAX && (answer->length == 0 || answer->status == JOB_DONE));
        if (fd >= 0)
                check_image(message, answer, fd);
        if (answer->status == JOB_DONE && job->type == JOB_READ_STRING)
                check(memcmp(bytes, memory_of(message, answer->length + 1U), answer->length) == 0 &&
                      memory_of(message, 1)[answer->length] == '\0');
}

/* All that is said to a worker stands there before it begins. */
static void run_worker(bool inspector) {
        static struct message messages[MESSAGES_MAX];
        static char bytes[MODULE_PARAMS_MAX + 1];
        unsigned int wanted = 1 + input_byte(&input) % MESSAGES_MAX, count = 0;
        int ours, theirs;

        check(fdpass_pair(&ours, &theirs) == 0);
        while (count < wanted && send_job(ours, !inspector, &messages[count]))
                count++;
        check(shutdown(ours, SHUT_WR) == 0);
        running = true;
        if (setjmp(ended) == 0) {
                if (inspector)
                        inspector_run(theirs, NULL);
                else
                        loader_run(theirs, &kernel, NULL);
        }
        running = false;
        (void)close(theirs);
        for (unsigned int i = 0; i < count; i++) {
                struct job_answer answer;
                _cleanup_fd_ int fd = -1;
                ssize_t length = receive_answer(ours, &answer, bytes, &fd);

                if (!is_job_for(inspector, &messages[i])) {
                        check(length <= 0); /* that is where it ends */
                        break;
                }
                check(length >= (ssize_t)sizeof(answer) && (size_t)length == sizeof(answer) + answer.length);
                check_answer(&messages[i], inspector, &answer, bytes, fd);
        }
        (void)close(ours);
}

/* --- the pool --- */

static struct pool pool;

static void ready(struct pool *of, struct worker *worker) {
        (void)of;
        (void)worker;
}

struct sent {
        struct job_answer answer;
        size_t size;
        bool is_answer; /* as far as its size tells */
        bool two_files;
};

static struct sent send_answer(int socket) {
        static unsigned char bytes[sizeof(struct job_answer) + MODULE_PARAMS_MAX + 2];
        uint8_t how = input_byte(&input);
        struct sent sent = { .answer = {
                                     .status = (uint32_t)input_number(&input),
                                     .error = (int32_t)input_number(&input),
                                     .serial = input_number(&input),
                                     .duration_ns = input_number(&input),
                             } };
        enum file file = input_byte(&input) % FILES;
        size_t tail = 0;

        memset(bytes, 'b', sizeof(bytes));
        if (how & 1)
                tail = input_byte(&input);
        else if (how & 2)
                tail = MODULE_PARAMS_MAX - 1 + (how & 4 ? 1 : 0) + (how & 8 ? 1 : 0);
        sent.answer.length = how & 16 ? (uint32_t)input_number(&input) : (uint32_t)tail;
        memcpy(bytes, &sent.answer, sizeof(sent.answer));
        sent.size = how & 32 ? input_byte(&input) % (sizeof(sent.answer) + 1) : sizeof(sent.answer) + tail;
        sent.is_answer = sent.size == sizeof(sent.answer) + sent.answer.length;
        sent.two_files = how & 64 && file != FILE_NONE;
        check(send_raw(socket, bytes, sent.size, file, sent.two_files));
        return sent;
}

static bool makes_sense(const struct sent *sent, size_t room) {
        return sent->is_answer && sent->answer.length <= room && sent->answer.status >= JOB_DONE &&
               sent->answer.status <= JOB_TOO_LONG && sent->answer.error >= 0;
}

/* As the supervisor does with a loader's: looked at first, and then taken. */
static void take_as_loader(struct worker *worker, const struct sent *sent) {
        struct job_answer answer, again;
        int r = pool_peek(worker, &answer, NULL, 0);

        check((r == 0) == makes_sense(sent, 0));
        if (r != 0)
                return;
        check(memcmp(&answer, &sent->answer, sizeof(answer)) == 0);
        check(pool_peek(worker, &again, NULL, 0) == 0 && memcmp(&answer, &again, sizeof(answer)) == 0);
        pool_consume(worker, &answer);
}

static void take_as_inspector(struct worker *worker, const struct sent *sent) {
        static char bytes[MODULE_PARAMS_MAX];
        struct job_answer answer;
        _cleanup_fd_ int fd = -1;
        int r = pool_receive(worker, &answer, bytes, sizeof(bytes), &fd);

        check((r == 0) == (makes_sense(sent, sizeof(bytes)) && !sent->two_files));
        if (r == 0)
                check(memcmp(&answer, &sent->answer, sizeof(answer)) == 0);
}

static void run_pool(bool inspector) {
        unsigned int count = 1 + input_byte(&input) % MESSAGES_MAX;
        uint64_t serial = input_number(&input);
        _cleanup_fd_ int keeper = -1, keepers = -1, theirs = -1;
        struct worker *worker;
        struct event_loop loop;
        int ours;

        check(event_loop_init(&loop) == 0);
        check(fdpass_pair(&keeper, &keepers) == 0);
        check(fdpass_pair(&ours, &theirs) == 0);
        pool_init(&pool, &loop, keeper, inspector ? WORKER_INSPECTOR : WORKER_LOADER, ready);
        pool_arrived_consume_fd(&pool, 0, ours);
        worker = pool_idle(&pool);
        pool_set_busy(worker, serial);
        for (unsigned int i = 0; i < count && worker->source.fd >= 0; i++) {
                struct sent sent = send_answer(theirs);
                bool was_busy = worker->state == WORKER_BUSY;

                if (inspector)
                        take_as_inspector(worker, &sent);
                else
                        take_as_loader(worker, &sent);
                if (was_busy && worker->state == WORKER_IDLE)
                        check(sent.answer.serial == serial);
                else if (was_busy && makes_sense(&sent, inspector ? MODULE_PARAMS_MAX : 0) && !sent.two_files)
                        check(sent.answer.serial != serial);
                /* what makes no sense ends a worker */
                if (!makes_sense(&sent, inspector ? MODULE_PARAMS_MAX : 0) || (inspector && sent.two_files))
                        pool_drop(worker);
        }
        pool_deinit(&pool);
        event_loop_deinit(&loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        int before = dup(files[FILE_NULL]), after;
        uint8_t what;

        all = data;
        all_size = size;
        check(ftruncate(files[FILE_INPUT], 0) == 0);
        check(pwrite(files[FILE_INPUT], data, size, 0) == (ssize_t)size);
        input = (struct input){ .data = data, .size = size };
        what = input_byte(&input);
        if (what & 1)
                run_pool(what & 2);
        else
                run_worker(what & 2);
        (void)close(before);
        after = dup(files[FILE_NULL]);
        check(after == before); /* no descriptor is left behind */
        (void)close(after);
        return 0;
}
