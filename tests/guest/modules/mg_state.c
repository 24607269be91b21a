/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * /sys/module/mg_state/parameters/attempts: how often the init of each test module was entered, "NAME COUNT" a line.
 * Writing to it, whatever it is, begins again.
 *
 * /sys/module/mg_state/parameters/hold: while it is Y, every init that was entered waits.
 */

#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/wait.h>

#include "mg_state.h"

#define NAMES_MAX 16

struct entry {
        char name[MODULE_NAME_LEN]; /* empty: free */
        unsigned int attempts;
        bool live;
};

static struct entry entries[NAMES_MAX];
static DEFINE_MUTEX(lock);
static bool hold;
static DECLARE_WAIT_QUEUE_HEAD(held);

/* NULL if it is not there, and there is no place for it. */
static struct entry *entry_of(const char *name) {
        struct entry *entry;

        for (entry = entries; entry < entries + NAMES_MAX; entry++) {
                if (!entry->name[0])
                        strscpy(entry->name, name, sizeof(entry->name));
                if (strcmp(entry->name, name) == 0)
                        return entry;
        }
        return NULL;
}

unsigned int mg_state_enter(const char *name) {
        struct entry *entry;
        unsigned int attempts;

        mutex_lock(&lock);
        entry = entry_of(name);
        attempts = entry ? ++entry->attempts : 0;
        mutex_unlock(&lock);
        return attempts;
}
EXPORT_SYMBOL(mg_state_enter);

void mg_state_set_live(const char *name, bool live) {
        struct entry *entry;

        mutex_lock(&lock);
        entry = entry_of(name);
        if (entry)
                entry->live = live;
        mutex_unlock(&lock);
}
EXPORT_SYMBOL(mg_state_set_live);

bool mg_state_is_live(const char *name) {
        struct entry *entry;
        bool live;

        mutex_lock(&lock);
        entry = entry_of(name);
        live = entry && entry->live;
        mutex_unlock(&lock);
        return live;
}
EXPORT_SYMBOL(mg_state_is_live);

int mg_state_wait(void) {
        return wait_event_killable(held, !READ_ONCE(hold)) ? -EINTR : 0;
}
EXPORT_SYMBOL(mg_state_wait);

static int hold_set(const char *value, const struct kernel_param *param) {
        int r = param_set_bool(value, param);

        wake_up_all(&held);
        return r;
}

static const struct kernel_param_ops hold_ops = {
        .set = hold_set,
        .get = param_get_bool,
};

module_param_cb(hold, &hold_ops, &hold, 0644);

static int attempts_get(char *buffer, const struct kernel_param *param) {
        struct entry *entry;
        int length = 0;

        mutex_lock(&lock);
        for (entry = entries; entry < entries + NAMES_MAX; entry++)
                if (entry->attempts > 0)
                        length += sysfs_emit_at(buffer, length, "%s %u\n", entry->name, entry->attempts);
        mutex_unlock(&lock);
        return length;
}

static int attempts_clear(const char *value, const struct kernel_param *param) {
        struct entry *entry;

        mutex_lock(&lock);
        for (entry = entries; entry < entries + NAMES_MAX; entry++)
                entry->attempts = 0;
        mutex_unlock(&lock);
        return 0;
}

static const struct kernel_param_ops attempts_ops = {
        .set = attempts_clear,
        .get = attempts_get,
};

module_param_cb(attempts, &attempts_ops, NULL, 0644);

MODULE_DESCRIPTION("Keeps what happened to the test modules");
MODULE_LICENSE("GPL");
