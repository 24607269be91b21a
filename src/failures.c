/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "failures.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "module/identity.h"
#include "util/fd.h"

static struct failure *failure_of(struct list_node *node) {
        return container_of(node, struct failure, link);
}

void failures_init(struct failures *failures, uint64_t ttl_ns) {
        memset(failures, 0, sizeof(*failures));
        list_init(&failures->entries);
        failures->ttl_ns = ttl_ns;
}

void failure_free(struct failure *failure) {
        fd_close(failure->file_fd);
        free(failure->params);
        free(failure);
}

static void take_out(struct failures *failures, struct failure *failure) {
        list_remove(&failure->link);
        failures->count--;
        failures->bytes -= failure->bytes;
}

static void forget(struct failures *failures, struct failure *failure) {
        take_out(failures, failure);
        failure_free(failure);
}

void failures_deinit(struct failures *failures) {
        list_for_each_safe(node, after, &failures->entries) forget(failures, failure_of(node));
}

/* It no longer stands; what is owed stays so. */
static void end(struct failures *failures, struct failure *failure) {
        if (failure->owed)
                failure->ended = true;
        else
                forget(failures, failure);
}

static void insert(struct failures *failures, struct failure *failure) {
        list_init(&failure->link);
        list_insert_before(&failures->entries, &failure->link);
        failures->count++;
        failures->bytes += failure->bytes;
}

bool failures_may_remember(const struct failures *failures, int error, bool live) {
        if (failures->ttl_ns == 0)
                return false;
        return error == ENODEV || error == ENXIO || error == EOPNOTSUPP || (error == EEXIST && !live);
}

static struct failure *find(struct failures *failures, const struct module_key *key) {
        list_for_each_safe(node, after, &failures->entries) {
                struct failure *failure = failure_of(node);

                if (!failure->ended && module_key_equal(&failure->key, key))
                        return failure;
        }
        return NULL;
}

void failures_attempted(struct failures *failures, const struct module_key *key, const uint64_t hash[static 2]) {
        list_for_each_safe(node, after, &failures->entries) {
                struct failure *failure = failure_of(node);

                if (module_key_equal(&failure->key, key) &&
                    memcmp(failure->image_hash, hash, sizeof(failure->image_hash)) == 0)
                        forget(failures, failure);
        }
}

static bool has_room(const struct failures *failures, uint64_t bytes) {
        return failures->count < FAILURES_MAX && failures->bytes + bytes <= FAILURES_BYTES_MAX;
}

/* Room for one more, at the cost of the oldest ones that are not owed. */
static bool make_room(struct failures *failures, uint64_t bytes) {
        if (bytes > FAILURE_BYTES_MAX)
                return false;
        list_for_each_safe(node, after, &failures->entries) {
                struct failure *failure = failure_of(node);

                if (has_room(failures, bytes))
                        return true;
                /* one without an image is only worth it if there are too many */
                if (!failure->owed && (failure->bytes > 0 || failures->count == FAILURES_MAX))
                        forget(failures, failure);
        }
        return has_room(failures, bytes);
}

void failures_remember(struct failures *failures, const struct failure *failure, uint64_t now_ns) {
        struct failure *old, *entry;

        failures_attempted(failures, &failure->key, failure->image_hash);
        old = find(failures, &failure->key);
        if (old)
                end(failures, old); /* another image */
        entry = make_room(failures, failure->bytes) ? malloc(sizeof(*entry)) : NULL;
        if (!entry) {
                fd_close(failure->file_fd);
                free(failure->params);
                return;
        }
        *entry = *failure;
        entry->until_ns = now_ns + failures->ttl_ns;
        entry->owed = false;
        entry->ended = false;
        entry->postponed = false;
        insert(failures, entry);
}

struct failure *failures_find(struct failures *failures, const struct module_key *key, uint64_t now_ns) {
        struct failure *failure = find(failures, key);

        return failure && now_ns < failure->until_ns ? failure : NULL;
}

void failure_given(struct failure *failure) {
        if (failure->live_since)
                failure->owed = true;
}

void failures_end_name(struct failures *failures, const char *name) {
        list_for_each_safe(node, after, &failures->entries) {
                struct failure *failure = failure_of(node);

                if (strncmp(failure->key.name, name, MODULE_NAME_SIZE) == 0)
                        end(failures, failure);
        }
}

void failures_end_all(struct failures *failures) {
        failures->epoch++;
        list_for_each_safe(node, after, &failures->entries) end(failures, failure_of(node));
}

void failures_module_went_live(struct failures *failures, uint64_t now_ns) {
        failures->live_ns = now_ns;
        list_for_each_safe(node, after, &failures->entries) failure_of(node)->live_since = true;
}

/* An attempt that is owed is made in a quiet moment, at the latest when the failure's time is up. */
static uint64_t due_ns(const struct failures *failures, const struct failure *failure) {
        uint64_t quiet = failures->live_ns + FAILURES_QUIET_NS;

        return failure->owed && !failure->postponed && quiet < failure->until_ns ? quiet : failure->until_ns;
}

struct failure *failures_take_due(struct failures *failures, uint64_t now_ns) {
        list_for_each_safe(node, after, &failures->entries) {
                struct failure *failure = failure_of(node);

                if (due_ns(failures, failure) > now_ns)
                        continue;
                if (!failure->owed) {
                        forget(failures, failure);
                        continue;
                }
                take_out(failures, failure);
                return failure;
        }
        return NULL;
}

void failures_postpone(struct failures *failures, struct failure *failure, uint64_t now_ns) {
        failure->ended = true;
        failure->postponed = true;
        failure->until_ns = now_ns + FAILURES_QUIET_NS;
        insert(failures, failure);
}

uint64_t failures_next_ns(const struct failures *failures) {
        uint64_t next = UINT64_MAX;

        for (const struct list_node *node = failures->entries.next; node != &failures->entries; node = node->next) {
                uint64_t due = due_ns(failures, container_of(node, const struct failure, link));

                if (due < next)
                        next = due;
        }
        return next;
}
