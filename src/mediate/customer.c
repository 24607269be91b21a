/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal.h"
#include "mediate/private.h"

#define STUCK_NS (1 * 1000000000ULL)

struct customer *customer_use(struct mediator *mediator, const char *id) {
        struct customer *customer;

        list_for_each_safe(node, after, &mediator->customers) {
                customer = container_of(node, struct customer, link);
                if (strcmp(customer->id, id) == 0) {
                        customer->users++;
                        return customer;
                }
        }
        customer = calloc(1, sizeof(*customer));
        if (!customer)
                return NULL;
        (void)snprintf(customer->id, sizeof(customer->id), "%s", id);
        list_init(&customer->queued);
        list_insert_before(&mediator->customers, &customer->link);
        customer->users = 1;
        return customer;
}

void customer_hang(struct customer *customer, int change) {
        customer->hanging += (uint32_t)change;
        if (customer->hanging < WORKING_OF_ONE_MAX)
                customer->stuck_ns = 0;
        else if (customer->stuck_ns == 0)
                customer->stuck_ns = journal_now_ns();
}

bool customer_is_stuck(const struct customer *customer, uint64_t now_ns) {
        return customer->stuck_ns != 0 && now_ns - customer->stuck_ns >= STUCK_NS;
}

void customer_leave(struct customer *customer) {
        if (--customer->users > 0)
                return;
        list_remove(&customer->link);
        free(customer);
}
