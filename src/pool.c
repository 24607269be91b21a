/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "fdpass.h"
#include "util/fd.h"
#include "util/list.h"

static void handle(struct event_source *source, uint32_t events) {
        struct worker *worker = container_of(source, struct worker, source);

        (void)events;
        worker->pool->ready(worker->pool, worker);
}

/* The only place where a state changes. */
static void change_state(struct worker *worker, enum worker_state state) {
        worker->pool->in_state[worker->state]--;
        worker->pool->in_state[state]++;
        worker->state = state;
}

void pool_init(struct pool *pool, struct event_loop *loop, int keeper, enum worker_kind kind,
               void (*ready)(struct pool *pool, struct worker *worker)) {
        memset(pool, 0, sizeof(*pool));
        pool->loop = loop;
        pool->keeper = keeper;
        pool->kind = kind;
        pool->count = kind == WORKER_LOADER ? LOADERS_MAX : INSPECTORS_MAX;
        pool->ready = ready;
        pool->in_state[WORKER_ABSENT] = pool->count;
        for (uint32_t i = 0; i < pool->count; i++) {
                pool->workers[i].pool = pool;
                pool->workers[i].source.fd = -1;
                pool->workers[i].source.handle = handle;
                pool->workers[i].source.priority = EVENT_PRIORITY_ANSWERS;
        }
}

static void make_absent(struct worker *worker) {
        event_remove(worker->pool->loop, &worker->source);
        worker->source.fd = fd_close(worker->source.fd);
        change_state(worker, WORKER_ABSENT);
}

void pool_deinit(struct pool *pool) {
        for (uint32_t i = 0; i < pool->count; i++)
                make_absent(&pool->workers[i]);
}

int pool_watch(struct pool *pool) {
        pool->watching = true;
        for (uint32_t i = 0; i < pool->count; i++) {
                int r = pool->workers[i].source.fd >= 0 ? event_add(pool->loop, &pool->workers[i].source) : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

uint32_t pool_index(const struct worker *worker) {
        return (uint32_t)(worker - worker->pool->workers);
}

uint32_t pool_count(const struct pool *pool, enum worker_state state) {
        return pool->in_state[state];
}

static struct worker *first(struct pool *pool, enum worker_state state) {
        for (uint32_t i = 0; pool->in_state[state] > 0 && i < pool->count; i++)
                if (pool->workers[i].state == state)
                        return &pool->workers[i];
        return NULL;
}

struct worker *pool_idle(struct pool *pool) {
        return first(pool, WORKER_IDLE);
}

void pool_set_busy(struct worker *worker, uint64_t serial) {
        change_state(worker, WORKER_BUSY);
        worker->serial = serial;
}

int pool_send(struct worker *worker, const struct job *job, const char *params, int fd) {
        int r = fdpass_send_dup_fd(worker->source.fd, job, sizeof(*job), params, job->params_length, fd, MSG_DONTWAIT);

        if (r < 0)
                return r == -ECONNRESET ? -EPIPE : r;
        pool_set_busy(worker, job->serial);
        return 0;
}

static int tell_keeper(const struct worker *worker, enum handoff_type type) {
        struct handoff_message message = {
                .type = type,
                .kind = worker->pool->kind,
                .index = pool_index(worker),
        };

        return fdpass_send_dup_fd(worker->pool->keeper, &message, sizeof(message), NULL, 0, -1, MSG_DONTWAIT);
}

int pool_grow(struct pool *pool, uint64_t now_ns) {
        struct worker *worker = first(pool, WORKER_ABSENT);
        int r;

        if (!worker)
                return -EMFILE;
        r = tell_keeper(worker, HANDOFF_WORKER_WANTED);
        if (r < 0)
                return r;
        change_state(worker, WORKER_STARTING);
        worker->since_ns = now_ns;
        return 0;
}

int pool_arrived_consume_fd(struct pool *pool, uint32_t index, int fd) {
        struct worker *worker;
        int r;

        if (index >= pool->count || pool->workers[index].source.fd >= 0) {
                fd_close(fd);
                return 0;
        }
        worker = &pool->workers[index];
        worker->source.fd = fd;
        change_state(worker, WORKER_IDLE);
        r = pool->watching ? event_add(pool->loop, &worker->source) : 0;
        if (r < 0)
                pool_drop(worker);
        return r;
}

void pool_failed(struct pool *pool, uint32_t index) {
        if (index < pool->count && pool->workers[index].state == WORKER_STARTING)
                change_state(&pool->workers[index], WORKER_ABSENT);
}

bool pool_expire_one(struct pool *pool, uint64_t now_ns, uint64_t limit_ns) {
        for (uint32_t i = 0; pool->in_state[WORKER_STARTING] > 0 && i < pool->count; i++)
                if (pool->workers[i].state == WORKER_STARTING && pool->workers[i].since_ns + limit_ns <= now_ns) {
                        pool_failed(pool, i);
                        return true;
                }
        return false;
}

void pool_forget_starting(struct pool *pool) {
        for (uint32_t i = 0; i < pool->count; i++)
                pool_failed(pool, i);
}

int pool_peek(struct worker *worker, struct job_answer *answer, char *bytes, size_t size) {
        struct iovec parts[2] = {
                { .iov_base = answer, .iov_len = sizeof(*answer) },
                { .iov_base = bytes, .iov_len = size },
        };
        struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
        ssize_t length;

        do
                length = recvmsg(worker->source.fd, &message, MSG_PEEK | MSG_DONTWAIT);
        while (length < 0 && errno == EINTR);
        if (length < 0)
                return errno == EAGAIN ? 1 : -errno;
        if (length == 0)
                return -EPIPE;
        if ((size_t)length < sizeof(*answer) || (message.msg_flags & MSG_TRUNC) ||
            (size_t)length != sizeof(*answer) + answer->length ||
            !job_result_makes_sense(answer->status, answer->error))
                return -EPROTO;
        return 0;
}

static bool is_job_of(const struct worker *worker, const struct job_answer *answer) {
        return worker->state == WORKER_BUSY && worker->serial == answer->serial;
}

void pool_consume(struct worker *worker, const struct job_answer *answer) {
        char byte;

        /* the rest of the message goes with it; a worker sends no descriptors, and none would be taken */
        if (recv(worker->source.fd, &byte, 1, MSG_DONTWAIT) < 0)
                pool_drop(worker); /* what it says later would stand behind this for ever */
        else if (is_job_of(worker, answer))
                change_state(worker, WORKER_IDLE);
}

int pool_receive(struct worker *worker, struct job_answer *answer, char *bytes, size_t size, int *ret_fd) {
        static struct {
                struct job_answer answer;
                char bytes[MODULE_PARAMS_MAX];
        } message;
        _cleanup_fd_ int fd = -1;
        ssize_t length = fdpass_receive(worker->source.fd, &message, sizeof(message), &fd, MSG_DONTWAIT);

        if (length < 0)
                return length == -EAGAIN || length == -EINTR ? 1 : (int)length;
        if (length == 0)
                return -EPIPE;
        if ((size_t)length < sizeof(message.answer) || message.answer.length > size ||
            (size_t)length != sizeof(message.answer) + message.answer.length ||
            !job_result_makes_sense(message.answer.status, message.answer.error))
                return -EPROTO;
        *answer = message.answer;
        memcpy(bytes, message.bytes, answer->length);
        if (is_job_of(worker, answer))
                change_state(worker, WORKER_IDLE);
        *ret_fd = fd_steal(&fd);
        return 0;
}

void pool_drop(struct worker *worker) {
        make_absent(worker);
        (void)tell_keeper(worker, HANDOFF_WORKER_DROPPED);
}

void pool_shrink(struct pool *pool, uint32_t keep) {
        uint32_t idle = pool_count(pool, WORKER_IDLE);

        for (uint32_t i = pool->count; i-- > 0 && idle > keep;)
                if (pool->workers[i].state == WORKER_IDLE) {
                        pool_drop(&pool->workers[i]);
                        idle--;
                }
}
