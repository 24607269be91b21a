/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An intrusive, circular, doubly linked list. A node that is in no list points to itself. */

#include <stdbool.h>
#include <stddef.h>

#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct list_node {
        struct list_node *next;
        struct list_node *previous;
};

static inline void list_init(struct list_node *node) {
        node->next = node;
        node->previous = node;
}

static inline bool list_is_empty(const struct list_node *list) {
        return list->next == list;
}

/* Takes the node out of whatever list it is in; does nothing when it is in none. */
static inline void list_remove(struct list_node *node) {
        node->previous->next = node->next;
        node->next->previous = node->previous;
        list_init(node);
}

/* Puts a node that is in no list before `position`: at the end, if that is the list's head. */
static inline void list_insert_before(struct list_node *position, struct list_node *node) {
        node->previous = position->previous;
        node->next = position;
        position->previous->next = node;
        position->previous = node;
}

/* Takes the first node out and returns it, or NULL when the list is empty. */
static inline struct list_node *list_take_first(struct list_node *list) {
        struct list_node *first = list->next;

        if (first == list)
                return NULL;
        list_remove(first);
        return first;
}

/* Walks over a list; the current node may be removed meanwhile. */
#define list_for_each_safe(node, after, list)                                                                          \
        for (struct list_node *node = (list)->next, *after = node->next; node != (list);                               \
             node = after, after = node->next)
