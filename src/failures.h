/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Remembered failures. Pure: no system call, no log; entries own what their loads owned.
 *
 * A failure stands for `ttl_ns`, and only while nothing has happened that could change it: a real uevent that leads to
 * the module ends it; a module that was removed, or events that were lost, end all; and as long as an event that was
 * counted since its load began has not been seen (uevent_sequence.h), it is not given out. A module that went live does
 * not end it, but if it was given out after that, the attempt that a bare system would have made is owed: the load is
 * then performed once more, when no module has gone live for a while, or when its time is up. What ends a failure does
 * not pay what is owed: only another attempt does.
 */

#include <stdbool.h>
#include <stdint.h>

#include "modgate/module.h"
#include "util/list.h"

#define FAILURES_MAX 256U

/* Images that are remembered stay in memory: far larger ones than any module of a distribution are not worth that. */
#define FAILURE_BYTES_MAX (32ULL << 20)
#define FAILURES_BYTES_MAX (64ULL << 20)

/* No module has gone live for so long: what is owed is due. */
#define FAILURES_QUIET_NS (500 * 1000000ULL)

struct failure {
        struct list_node link; /* in failures.entries, oldest first; or in none */
        struct module_key key;
        uint64_t image_hash[2];  /* of an init_module */
        uint32_t call;           /* enum call */
        uint32_t module;         /* its counters */
        int error;               /* positive errno */
        uint64_t uevents_before; /* events up to this number had happened before its load began */
        uint64_t until_ns;
        bool live_since; /* a module has gone live since its load was sent */
        bool owed;       /* it was given out after that */
        bool ended;      /* it no longer stands, and is only here because it is owed */
        bool postponed;  /* and its attempt could not be made before until_ns */
        int file_fd;     /* owned: what was loaded */
        uint64_t bytes;  /* of memory that file_fd holds: an image's */
        char *params;    /* owned */
        uint32_t params_length;
};

struct failures {
        struct list_node entries;
        uint64_t ttl_ns;  /* 0: nothing is remembered */
        uint64_t live_ns; /* when a module last went live */
        uint64_t epoch;   /* counts what ends all */
        uint32_t count;
        uint64_t bytes; /* held by all of them */
};

void failures_init(struct failures *failures, uint64_t ttl_ns);
void failures_deinit(struct failures *failures);

/*
 * May this result of a load be remembered? Only ENODEV, ENXIO and EOPNOTSUPP, and EEXIST unless the module is live
 * (then it is not its init that says so).
 */
bool failures_may_remember(const struct failures *failures, int error, bool live);

/*
 * Remembers it; it takes the place of the one that had this key. Takes over the descriptor and the parameters of
 * `failure`. Room is made at the cost of the oldest ones that are not owed; if there is none, it is forgotten.
 */
void failures_remember(struct failures *failures, const struct failure *failure, uint64_t now_ns);

/* This was attempted again, with whatever result: what was known of it is of no interest now, and nothing is owed. */
void failures_attempted(struct failures *failures, const struct module_key *key, const uint64_t hash[static 2]);

/* The failure that stands for this key, or NULL. */
struct failure *failures_find(struct failures *failures, const struct module_key *key, uint64_t now_ns);

/* It was given out. */
void failure_given(struct failure *failure);

/* What ends them. */
void failures_end_name(struct failures *failures, const char *name);
void failures_end_all(struct failures *failures);
void failures_module_went_live(struct failures *failures, uint64_t now_ns);

/*
 * Takes out the next failure that is owed an attempt and due, or drops those whose time is up. The caller frees what is
 * returned with failure_free(), or moves its contents. NULL: none.
 */
struct failure *failures_take_due(struct failures *failures, uint64_t now_ns);

/* The attempt cannot be made now: puts back what failures_take_due() returned, to be due again after a while. */
void failures_postpone(struct failures *failures, struct failure *failure, uint64_t now_ns);

/* When failures_take_due() has to be called again, in ns of the same clock; UINT64_MAX: not until something happens. */
uint64_t failures_next_ns(const struct failures *failures);

/* Frees one that is in no list, with what it owns. */
void failure_free(struct failure *failure);
