/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mediate/private.h"

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

void customer_leave(struct customer *customer) {
        if (--customer->users > 0)
                return;
        list_remove(&customer->link);
        free(customer);
}
