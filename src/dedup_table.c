/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dedup_table.h"

#include "module/identity.h"

static struct dedup_load *load_of(struct list_node *node) {
        return container_of(node, struct dedup_load, link);
}

static struct dedup_request *request_of(struct list_node *node) {
        return container_of(node, struct dedup_request, link);
}

void dedup_table_init(struct dedup_table *table) {
        list_init(&table->loads);
}

static void table_insert(struct dedup_table *table, const struct module_key *key, struct dedup_load *load,
                         bool in_flight) {
        list_init(&load->link);
        list_init(&load->requests);
        load->key = *key;
        load->in_flight = in_flight;
        list_insert_before(&table->loads, &load->link);
}

/* Most are the latest one; who begins again is not. */
static void insert_in_order(struct list_node *requests, struct dedup_request *request) {
        struct list_node *position = requests;

        while (position->previous != requests && request_of(position->previous)->order > request->order)
                position = position->previous;
        list_insert_before(position, &request->link);
}

void dedup_table_attach(struct dedup_load *load, struct dedup_request *request) {
        request->load = load;
        request->outcome = DEDUP_WAITING;
        list_init(&request->link);
        insert_in_order(&load->requests, request);
}

void dedup_table_adopt(struct dedup_table *table, const struct module_key *key, struct dedup_load *load) {
        table_insert(table, key, load, true);
}

/* The load of this key, or NULL; and whether any load of its name is there. */
static struct dedup_load *find(const struct dedup_table *table, const struct module_key *key, bool *ret_name_is_there) {
        *ret_name_is_there = false;
        for (struct list_node *node = table->loads.next; node != &table->loads; node = node->next) {
                struct dedup_load *load = load_of(node);

                if (module_key_equal(&load->key, key))
                        return load;
                if (module_key_same_name(&load->key, key))
                        *ret_name_is_there = true;
        }
        return NULL;
}

struct dedup_load *dedup_table_find(const struct dedup_table *table, const struct module_key *key) {
        bool name_is_there;

        return find(table, key, &name_is_there);
}

bool dedup_table_is_idle(const struct dedup_table *table, const struct module_key *key) {
        bool name_is_there;

        return !find(table, key, &name_is_there) && !name_is_there;
}

/* The load for this key: the one that is there, or `fresh`. */
static struct dedup_load *provide(struct dedup_table *table, const struct module_key *key, struct dedup_load *fresh,
                                  enum dedup_verdict *ret_verdict) {
        bool name_is_there;
        struct dedup_load *load = find(table, key, &name_is_there);

        if (load) {
                *ret_verdict = load->in_flight ? DEDUP_JOINED : DEDUP_BEHIND;
                return load;
        }
        table_insert(table, key, fresh, !name_is_there);
        *ret_verdict = name_is_there ? DEDUP_BEHIND : DEDUP_LEAD;
        return fresh;
}

enum dedup_verdict dedup_table_submit(struct dedup_table *table, const struct module_key *key,
                                      struct dedup_request *request, struct dedup_load *fresh) {
        enum dedup_verdict verdict;

        dedup_table_attach(provide(table, key, fresh, &verdict), request);
        return verdict;
}

enum dedup_verdict dedup_table_offer(struct dedup_table *table, const struct module_key *key, struct dedup_load *fresh,
                                     bool *ret_taken) {
        enum dedup_verdict verdict;

        *ret_taken = provide(table, key, fresh, &verdict) == fresh;
        return verdict;
}

struct dedup_load *dedup_table_withdraw(struct dedup_request *request) {
        struct dedup_load *load = request->load;

        if (!load)
                return NULL;
        list_remove(&request->link);
        request->load = NULL;
        if (load->in_flight || !list_is_empty(&load->requests))
                return NULL;
        list_remove(&load->link);
        return load;
}

/* Both lists are in order; keeps `answered` so. */
static void answer_all(struct dedup_load *load, enum dedup_outcome outcome, struct list_node *answered) {
        struct list_node *position = answered->next;
        struct list_node *node;

        while ((node = list_take_first(&load->requests))) {
                struct dedup_request *request = request_of(node);

                request->load = NULL;
                request->outcome = outcome;
                while (position != answered && request_of(position)->order < request->order)
                        position = position->next;
                list_insert_before(position, node);
        }
}

static void leave_table(struct dedup_load *load, struct list_node *removed) {
        list_remove(&load->link);
        load->in_flight = false;
        list_insert_before(removed, &load->link);
}

struct dedup_load *dedup_table_complete(struct dedup_table *table, struct dedup_load *load, bool succeeded,
                                        struct list_node *answered, struct list_node *removed) {
        answer_all(load, DEDUP_RESULT, answered);
        leave_table(load, removed);

        list_for_each_safe(node, after, &table->loads) {
                struct dedup_load *other = load_of(node);

                if (!module_key_same_name(&other->key, &load->key))
                        continue;
                if (!succeeded) {
                        other->in_flight = true;
                        return other;
                }
                answer_all(other, DEDUP_EXISTS, answered);
                leave_table(other, removed);
        }
        return NULL;
}
