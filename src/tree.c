/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where requests come from: one listener, and the journal that they are received into. */

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "journal.h"
#include "supervisor.h"
#include "util/fd.h"

/* After so many requests it is looked whether they come one by one, or in a crowd. */
#define CROWD_CHECK_INTERVAL 4U

/* So many that wait for something are one. */
#define CROWD 8U

#define SWEEP_INTERVAL_NS (1000 * 1000000ULL)

/* Whoever leads a load that needs nothing more of it stays until that has ended: the load is counted as its. */
static bool leads(const struct request *request) {
        struct dedup_load *dedup = request->dedup.load;

        return dedup && container_of(dedup, struct load, dedup)->leader == request &&
               list_is_empty(&request->inspecting);
}

void tree_sweep(struct tree *tree) {
        for (uint32_t i = 0; i < JOURNAL_REQUESTS; i++) {
                struct request *request = &tree->requests[i];

                if (request->state != REQUEST_NONE && !leads(request) &&
                    !notify_is_waiting(&tree->notify, request->slot))
                        request_give_up(tree->supervisor, request);
        }
}

/* A sweep asks the kernel about each slot, and the kernel walks a list each time: not more often than this. */
static void sweep_sometimes(struct tree *tree) {
        uint64_t now = journal_now_ns();

        if (now - tree->swept_ns < SWEEP_INTERVAL_NS)
                return;
        tree_sweep(tree);
        tree->swept_ns = journal_now_ns();
}

/* Are there callers beside the one that was just received? To ask takes longer the more of them wait. */
static bool is_crowd(const struct tree *tree) {
        return trees_in_use(tree->supervisor) >= CROWD || (notify_poll(&tree->notify) & EPOLLIN);
}

/* None of a crowd is woken on this CPU: they would queue up for it. */
static void look_for_crowd(struct tree *tree) {
        if (tree->received++ % CROWD_CHECK_INTERVAL == 0)
                notify_wake_here(&tree->notify, !is_crowd(tree));
}

static void receive_one(struct tree *tree) {
        struct journal_request *slot;
        int r = notify_receive(&tree->notify, &slot);

        if (r == NOTIFY_E_FULL) {
                sweep_sometimes(tree);
                r = notify_receive(&tree->notify, &slot);
        }
        if (r == NOTIFY_E_FULL)
                (void)notify_receive_and_continue(&tree->notify, CONTINUE_NO_SLOT);
        if (r != 0)
                return;
        look_for_crowd(tree);
        request_begin(tree, slot);
}

/* One at a time: whatever else is ready gets its turn, and to ask for the next one costs the same here and there. */
static void handle_listener(struct event_source *source, uint32_t events) {
        struct tree *tree = container_of(source, struct tree, listener);

        if (events & EPOLLIN)
                receive_one(tree);
        if (events & EPOLLHUP) {
                tree_be_deaf(tree);
                tree->ended = true;
        }
}

struct tree *tree_new(struct supervisor *supervisor, uint32_t index, struct journal *journal) {
        struct tree *tree = calloc(1, sizeof(*tree));

        if (!tree)
                return NULL;
        tree->supervisor = supervisor;
        tree->index = index;
        tree->journal = journal;
        tree->connection = -1;
        tree->notify.listener = -1;
        tree->listener = (struct event_source){ .handle = handle_listener, .fd = -1 };
        tracing_tree(tree);
        list_insert_before(&supervisor->trees, &tree->link);
        return tree;
}

static struct tree *tree_of(struct list_node *node) {
        return container_of(node, struct tree, link);
}

struct tree *tree_find(struct supervisor *supervisor, uint32_t index) {
        list_for_each_safe(node, after, &supervisor->trees) if (tree_of(node)->index == index) return tree_of(node);
        return NULL;
}

void tree_take_listener_consume_fd(struct tree *tree, int listener) {
        notify_init_consume_fd(&tree->notify, tree->journal, listener);
        /* of the only tree the keeper has counted it */
        if (tree->journal != tree->supervisor->journal)
                tree->journal->header.supervisor_starts++;
        tree->listener.fd = listener;
}

void tree_listen(struct tree *tree) {
        if (tree->notify.listener >= 0 && event_add_direct(&tree->supervisor->loop, &tree->listener) < 0)
                tree->ended = true;
}

void tree_be_deaf(struct tree *tree) {
        event_remove(&tree->supervisor->loop, &tree->listener);
}

void tree_remove(struct tree *tree) {
        tree_be_deaf(tree);
        for (uint32_t i = 0; i < JOURNAL_REQUESTS; i++)
                if (tree->requests[i].state != REQUEST_NONE)
                        request_forget(&tree->requests[i]);
        notify_deinit(&tree->notify);
        if (tree->journal != tree->supervisor->journal)
                (void)munmap(tree->journal, sizeof(*tree->journal));
        /* last: whoever hears its end receives from then on */
        tree->connection = fd_close(tree->connection);
        list_remove(&tree->link);
        free(tree);
}

uint32_t trees_in_use(const struct supervisor *supervisor) {
        uint32_t in_use = 0;

        for (struct list_node *node = supervisor->trees.next; node != &supervisor->trees; node = node->next)
                in_use += notify_in_use(&tree_of(node)->notify);
        return in_use;
}
