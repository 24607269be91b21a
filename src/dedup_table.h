/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The table of loads in flight and of who waits for them. Pure: no system call, no log, no memory of its own; requests
 * and loads are embedded in their owners.
 *
 *   a request whose key is in flight           joins: it gets that load's result
 *   one of the same name, with another key     waits behind: EEXIST if that load succeeds, else its turn comes
 *   any other                                  leads: its load is to be performed
 *
 * So at most one load of a name is in flight. A key without a name is only ever joined.
 */

#include <stdbool.h>
#include <stdint.h>

#include "modgate/module.h"
#include "util/list.h"

enum dedup_outcome {
        DEDUP_WAITING,
        DEDUP_RESULT, /* gets the result of its load */
        DEDUP_EXISTS, /* another load of the name succeeded: EEXIST */
};

enum dedup_verdict {
        DEDUP_LEAD,   /* `fresh` is in flight now, and to be performed */
        DEDUP_JOINED, /* waits for a load in flight */
        DEDUP_BEHIND, /* waits behind a load of the same name; request->load tells whether `fresh` was taken */
};

struct dedup_load {
        struct list_node link;     /* in the table, in order of arrival; or in `removed` of dedup_table_complete() */
        struct list_node requests; /* in their order */
        struct module_key key;
        bool in_flight; /* else it waits behind another one */
};

struct dedup_request {
        struct list_node link;   /* in its load, or in `answered` of dedup_table_complete() */
        struct dedup_load *load; /* NULL: waits for nothing */
        uint64_t order;          /* of arrival: set by the owner */
        enum dedup_outcome outcome;
};

struct dedup_table {
        struct list_node loads;
};

/* An empty table. */
void dedup_table_init(struct dedup_table *table);

/* The load of this key, in flight or behind another one; or NULL. */
struct dedup_load *dedup_table_find(const struct dedup_table *table, const struct module_key *key);

/*
 * Puts in a request that waits for nothing. `fresh` is memory for a load, used for DEDUP_LEAD, and for DEDUP_BEHIND if
 * it is the first of its key; it stays in the table until dedup_table_complete() or dedup_table_withdraw() gives it
 * back. It may be NULL if dedup_table_find() finds one.
 */
enum dedup_verdict dedup_table_submit(struct dedup_table *table, const struct module_key *key,
                                      struct dedup_request *request, struct dedup_load *fresh);

/* Does nothing with this key's name, or this key itself, stand in the table? */
bool dedup_table_is_idle(const struct dedup_table *table, const struct module_key *key);

/*
 * Puts in a load that no request asks for. As dedup_table_submit(); with DEDUP_JOINED and DEDUP_BEHIND `fresh` may not
 * have been taken: *ret_taken tells.
 */
enum dedup_verdict dedup_table_offer(struct dedup_table *table, const struct module_key *key, struct dedup_load *fresh,
                                     bool *ret_taken);

/* Puts in a load that is in flight already, without requests: taken over from an earlier supervisor. */
void dedup_table_adopt(struct dedup_table *table, const struct module_key *key, struct dedup_load *load);

/* Puts a request that waits for nothing into a load in flight: it waited for it under an earlier supervisor. */
void dedup_table_attach(struct dedup_load *load, struct dedup_request *request);

/*
 * Takes a request out: its requester has gone. A load in flight stays, whether anybody waits for it or not. One that
 * waits behind another and has no request left leaves the table: it is returned, else NULL.
 */
struct dedup_load *dedup_table_withdraw(struct dedup_request *request);

/*
 * Ends a load in flight. Appends to `answered` the requests that now have an outcome, in their order, and to `removed`
 * the loads that left the table. Returns the load of the same name whose turn has come (it is in flight now, and to be
 * performed), or NULL.
 */
struct dedup_load *dedup_table_complete(struct dedup_table *table, struct dedup_load *load, bool succeeded,
                                        struct list_node *answered, struct list_node *removed);
