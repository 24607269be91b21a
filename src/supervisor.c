/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "fdpass.h"
#include "journal.h"
#include "privilege.h"
#include "util/fd.h"
#include "util/log.h"

/* A boot needs many workers at once, and then none for long. */
#define IDLE_WORKERS_KEPT 1U
#define IDLE_LIMIT_NS (10 * 1000000000ULL)

/* A round that takes so long is our own slowness, or we stood still. No round waits longer while requests do. */
#define SLOW_ROUND_NS (2 * HEARTBEAT_NS)

/* A worker that was asked for and does not come: the keeper stands still, or its message was lost. */
#define STARTING_LIMIT_NS (3 * 1000000000ULL)

/* So often the heartbeat moves while the keeper may look at it. */
#define HEARTBEAT_NS (1000 * 1000000ULL)

static struct tree *tree_of(struct list_node *node) {
        return container_of(node, struct tree, link);
}

/* The one tree has to be there; a daemon's may come later. */
static void start(struct supervisor *supervisor) {
        if (supervisor->started || (!supervisor->is_daemon && list_is_empty(&supervisor->trees)))
                return;
        supervisor_recover(supervisor);
        supervisor->started = true;
        supervisor->error = pool_watch(&supervisor->loaders);
        if (supervisor->error == 0)
                supervisor->error = pool_watch(&supervisor->inspectors);
        list_for_each_safe(node, after, &supervisor->trees) tree_listen(tree_of(node));
}

/* A daemon's keeper takes the tree back. */
static void say_left(const struct supervisor *supervisor, uint32_t index) {
        struct handoff_message message = { .type = HANDOFF_TREE_LEFT, .index = index };

        (void)fdpass_send_dup_fd(supervisor->keeper.fd, &message, sizeof(message), NULL, 0, -1, MSG_DONTWAIT);
}

static void leave_tree(struct tree *tree) {
        struct supervisor *supervisor = tree->supervisor;
        uint32_t index = tree->index;

        tree_remove(tree);
        if (supervisor->is_daemon)
                say_left(supervisor, index);
}

/* The first thing that comes of a tree of a daemon's. One that came before, and was not complete, is forgotten. */
static void take_journal(struct supervisor *supervisor, uint32_t index, int fd) {
        struct tree *tree = tree_find(supervisor, index);
        struct journal *journal = NULL;

        if (tree && tree->notify.listener >= 0)
                return;
        if (tree)
                tree_remove(tree);
        if (fd >= 0 && journal_map(fd, &journal) == 0 && !tree_new(supervisor, index, journal))
                (void)munmap(journal, sizeof(*journal));
}

static void take_connection(struct supervisor *supervisor, uint32_t index, int *fd) {
        struct tree *tree = tree_find(supervisor, index);

        if (tree && tree->connection < 0)
                tree->connection = fd_steal(fd);
}

/* With its listener a tree is complete. One that lacks something cannot be served: its keeper has to know, and tries
 * again. */
static void take_listener(struct supervisor *supervisor, uint32_t index, int *fd) {
        struct tree *tree;
        bool is_there;

        if (!supervisor->is_daemon)
                index = 0; /* two would receive into the same journal */
        tree = tree_find(supervisor, index);
        is_there = tree && tree->notify.listener >= 0;
        if (is_there && !supervisor->is_daemon)
                return;
        if (!tree && !supervisor->is_daemon)
                tree = tree_new(supervisor, index, supervisor->journal);
        if (is_there) {
                say_left(supervisor, index);
        } else if (tree && *fd >= 0 && (tree->connection >= 0 || !supervisor->is_daemon)) {
                tree_take_listener_consume_fd(tree, fd_steal(fd));
                if (supervisor->stopping || !supervisor->started)
                        return;
                recover_requests(tree);
                tree_listen(tree);
        } else if (tree) {
                leave_tree(tree);
        } else if (supervisor->is_daemon) {
                say_left(supervisor, index);
        } else {
                supervisor->error = -ENOMEM;
        }
}

/* Loads that are under way are still answered. All else is in the trees' journals, for whoever comes after us. */
static void stop(struct supervisor *supervisor) {
        supervisor->stopping = supervisor->ended = true;
        list_for_each_safe(node, after, &supervisor->trees) tree_be_deaf(tree_of(node));
}

static struct pool *pool_of(struct supervisor *supervisor, const struct handoff_message *message) {
        return message->kind == WORKER_LOADER ? &supervisor->loaders : &supervisor->inspectors;
}

/* The keeper could not provide it, or we could not take it. */
static void worker_failed(struct supervisor *supervisor, const struct handoff_message *message) {
        pool_failed(pool_of(supervisor, message), message->index);
        if (message->kind == WORKER_LOADER)
                loads_give_up_one(supervisor);
        else
                inspections_failed(supervisor);
}

static void worker_arrived(struct supervisor *supervisor, const struct handoff_message *message, int *fd) {
        int r = pool_arrived_consume_fd(pool_of(supervisor, message), message->index, fd_steal(fd));

        if (r < 0) {
                errno = -r;
                log_error("cannot take a worker: %m; its work is left to the kernel");
                worker_failed(supervisor, message);
        }
}

static void handle_message(struct supervisor *supervisor, const struct handoff_message *message, int *fd) {
        switch (message->type) {
        case HANDOFF_LISTENER:
                take_listener(supervisor, message->index, fd);
                break;
        case HANDOFF_TREE_JOURNAL:
                take_journal(supervisor, message->index, *fd);
                break;
        case HANDOFF_TREE_CONNECTION:
                take_connection(supervisor, message->index, fd);
                break;
        case HANDOFF_UEVENTS:
                if (supervisor->uevents.fd < 0 && *fd >= 0)
                        remember_init_consume_fd(supervisor, fd_steal(fd));
                break;
        case HANDOFF_WORKER:
                if (*fd >= 0)
                        worker_arrived(supervisor, message, fd);
                break;
        case HANDOFF_WORKER_FAILED:
                worker_failed(supervisor, message);
                break;
        case HANDOFF_STOP:
                stop(supervisor);
                break;
        case HANDOFF_START:
                start(supervisor);
                break;
        default:
                log_error("the keeper said something unknown (%u)", message->type);
        }
}

/*
 * Without a keeper the workers that are there serve on; there will be no others, and no other supervisor. A daemon's
 * ends: the keepers of its trees take over, or another daemon.
 */
static void lose_keeper(struct supervisor *supervisor) {
        event_remove(&supervisor->loop, &supervisor->keeper);
        supervisor->loaders.keeper = supervisor->inspectors.keeper = -1;
        supervisor->keeper.fd = fd_close(supervisor->keeper.fd);
        pool_forget_starting(&supervisor->loaders);
        pool_forget_starting(&supervisor->inspectors);
        if (supervisor->is_daemon) {
                log_error("the daemon's keeper is gone: its supervisor ends too");
        } else if (list_is_empty(&supervisor->trees)) {
                supervisor->ended = true;
        } else {
                log_error("the keeper is gone: modules still load, but a supervisor that dies now is not replaced, and "
                          "every later load would fail; restart the supervised service");
                /* COMMAND may have begun: what has not come by now is done without */
                start(supervisor);
        }
}

/*
 * What the keeper said cannot be had. Before the start it would be missed for ever, so another supervisor has to try.
 * After it, that can only be a worker, or a daemon's tree.
 */
static void miss_message(struct supervisor *supervisor, const struct handoff_message *message, int error) {
        if (!supervisor->started || (supervisor->is_daemon && error != -EMFILE)) {
                supervisor->error = error;
                return;
        }
        errno = -error;
        log_error("cannot take what the keeper gives: %m; its work is left to the kernel");
        /* of any other error nothing is known; the worker is missed in expire_workers() */
        if (error == -EMFILE && message->type == HANDOFF_WORKER)
                worker_failed(supervisor, message);
        /* whatever else of it was missed shows when its listener comes */
        if (error == -EMFILE && message->type == HANDOFF_LISTENER)
                take_listener(supervisor, message->index, &(int){ -1 });
}

static void handle_keeper(struct event_source *source, uint32_t events) {
        struct supervisor *supervisor = container_of(source, struct supervisor, keeper);

        (void)events;
        while (supervisor->error == 0) {
                struct handoff_message message;
                _cleanup_fd_ int fd = -1;
                ssize_t length = fdpass_receive(source->fd, &message, sizeof(message), &fd, MSG_DONTWAIT);

                if (length == -EAGAIN)
                        return;
                if (fdpass_is_end(length)) {
                        lose_keeper(supervisor);
                        return;
                }
                if (length < 0) {
                        miss_message(supervisor, &message, (int)length);
                        return; /* so that our heart goes on to beat, if that is all that there is to be had */
                }
                if (length == (ssize_t)sizeof(message))
                        handle_message(supervisor, &message, &fd);
        }
}

static int say_ready(int keeper) {
        struct handoff_message message = { .type = HANDOFF_SUPERVISOR_READY };

        return fdpass_send_dup_fd(keeper, &message, sizeof(message), NULL, 0, -1, 0);
}

static int supervisor_init(struct supervisor *supervisor, const struct confinement *confinement) {
        static const cap_value_t keep[] = { CAP_SYS_PTRACE };
        int r;

        supervisor->modules_disabled_fd = open(supervisor->kernel->modules_disabled, O_RDONLY | O_CLOEXEC);
        module_sysfs_init(&supervisor->sysfs, supervisor->kernel->module_sysfs);
        r = module_index_init(&supervisor->index, supervisor->kernel->modules_directory);
        if (r < 0)
                return r;
        r = caller_self_init(&supervisor->self);
        if (r < 0)
                return r;
        r = privilege_keep(keep, 1, true);
        if (r < 0)
                return r;
        r = event_loop_init(&supervisor->loop);
        if (r < 0)
                return r;
        pool_init(&supervisor->loaders, &supervisor->loop, supervisor->keeper.fd, WORKER_LOADER, loader_ready);
        pool_init(&supervisor->inspectors, &supervisor->loop, supervisor->keeper.fd, WORKER_INSPECTOR, inspector_ready);
        r = event_add(&supervisor->loop, &supervisor->keeper);
        return r == 0 ? confinement_enter(confinement, CONFINED_SUPERVISOR) : r;
}

static void supervisor_deinit(struct supervisor *supervisor) {
        pool_deinit(&supervisor->inspectors);
        pool_deinit(&supervisor->loaders);
        remember_deinit(supervisor);
        missed_deinit(supervisor);
        list_for_each_safe(node, after, &supervisor->trees) tree_remove(tree_of(node));
        loads_forget(supervisor);
        tracing_deinit(supervisor);
        event_loop_deinit(&supervisor->loop);
        caller_self_deinit(&supervisor->self);
        module_index_deinit(&supervisor->index);
        module_sysfs_deinit(&supervisor->sysfs);
        supervisor->modules_disabled_fd = fd_close(supervisor->modules_disabled_fd);
        supervisor->keeper.fd = fd_close(supervisor->keeper.fd);
}

static void expire_workers(struct supervisor *supervisor) {
        while (pool_expire_one(&supervisor->loaders, supervisor->heard_ns, STARTING_LIMIT_NS))
                loads_give_up_one(supervisor);
        while (pool_expire_one(&supervisor->inspectors, supervisor->heard_ns, STARTING_LIMIT_NS))
                inspections_give_up(supervisor);
}

static uint64_t shorter(uint64_t a, uint64_t b) {
        return a < b ? a : b;
}

/* Trees that have ended are forgotten, each once the loads that it led are complete. */
static void leave_trees(struct supervisor *supervisor) {
        list_for_each_safe(node, after, &supervisor->trees) {
                struct tree *tree = tree_of(node);

                if (!tree->ended)
                        continue;
                tree_sweep(tree);
                if (notify_in_use(&tree->notify) == 0)
                        leave_tree(tree);
        }
        if (!supervisor->is_daemon && supervisor->started && list_is_empty(&supervisor->trees))
                supervisor->ended = true;
}

/* What has to be done between rounds. Returns the longest that the next one may wait, in milliseconds, or -1. */
static int settle(struct supervisor *supervisor) {
        uint64_t wait_ns;

        /* nothing is begun any more */
        if (supervisor->stopping)
                return (int)(HEARTBEAT_NS / 1000000U);
        wait_ns = inspections_expire(supervisor);
        expire_workers(supervisor);
        wait_ns = shorter(wait_ns, remember_make_up(supervisor));
        do { /* each of the two may leave work for the other one */
                inspections_send(supervisor);
                loads_send(supervisor);
        } while (supervisor->inspection_queued);
        leave_trees(supervisor);
        if (pool_count(&supervisor->loaders, WORKER_IDLE) > IDLE_WORKERS_KEPT ||
            pool_count(&supervisor->inspectors, WORKER_IDLE) > IDLE_WORKERS_KEPT)
                wait_ns = shorter(wait_ns, IDLE_LIMIT_NS);
        if (trees_in_use(supervisor) > 0 || supervisor->ended)
                wait_ns = shorter(wait_ns, HEARTBEAT_NS);
        return wait_ns == UINT64_MAX ? -1 : (int)(wait_ns / 1000000U + 1);
}

static bool is_over(const struct supervisor *supervisor) {
        if (supervisor->is_daemon && supervisor->keeper.fd < 0)
                return true;
        return supervisor->ended && !loads_in_flight(supervisor);
}

static int supervise(struct supervisor *supervisor) {
        for (;;) {
                int timeout_ms = settle(supervisor), r;
                uint64_t asleep_ns = journal_now_ns(), now_ns;

                if (is_over(supervisor))
                        return 0;
                r = event_dispatch(&supervisor->loop, timeout_ms);
                if (r < 0)
                        return r;
                if (supervisor->error < 0)
                        return supervisor->error;
                now_ns = journal_now_ns();
                supervisor->heard_ns = asleep_ns;
                if (now_ns - asleep_ns >= SLOW_ROUND_NS)
                        supervisor->inspected_ns = now_ns;
                supervisor->journal->header.heartbeat++;
                if (trees_in_use(supervisor) == 0)
                        event_listen(&supervisor->loop);
                /* without a keeper there will be no others */
                if (now_ns - asleep_ns >= IDLE_LIMIT_NS && supervisor->keeper.fd >= 0) {
                        pool_shrink(&supervisor->loaders, IDLE_WORKERS_KEPT);
                        pool_shrink(&supervisor->inspectors, IDLE_WORKERS_KEPT);
                }
        }
}

int supervisor_run_consume_fd(const struct supervisor_config *config, struct journal *journal, int keeper_fd) {
        struct supervisor *supervisor = calloc(1, sizeof(*supervisor));
        int r;

        if (!supervisor) {
                log_error("the supervisor cannot be started: there is no memory for it");
                fd_close(config->trace_fd);
                fd_close(keeper_fd);
                return -ENOMEM;
        }
        supervisor->kernel = config->kernel;
        supervisor->journal = journal;
        supervisor->is_daemon = config->is_daemon;
        supervisor->loop.epoll_fd = -1;
        supervisor->self.proc = -1;
        supervisor->keeper =
                (struct event_source){ .handle = handle_keeper, .priority = EVENT_PRIORITY_KEEPER, .fd = keeper_fd };
        supervisor->uevents.fd = -1;
        supervisor->uevent_seqnum_fd = -1;
        tracing_init_consume_fd(supervisor, config->trace_fd);
        failures_init(&supervisor->failures, config->failure_ttl_ns);
        dedup_table_init(&supervisor->table);
        missed_init(supervisor);
        inspections_init(supervisor);
        list_init(&supervisor->pending);
        list_init(&supervisor->trees);

        r = supervisor_init(supervisor, config->confinement);
        if (r == 0)
                r = say_ready(keeper_fd);
        if (r == 0)
                r = supervise(supervisor);
        if (r < 0) {
                /* now: the keeper kills us when its socket is closed */
                errno = -r;
                log_error("the supervisor cannot go on: %m");
        }
        supervisor_deinit(supervisor);
        free(supervisor);
        return r;
}
