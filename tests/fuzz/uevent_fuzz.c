/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whatever a message says, nothing outside of it is read, and what is found ends within it. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "uevent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(const char *value, const char *message, size_t size) {
        if (value && (value <= message || value >= message + size || strlen(value) >= size))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        /* of its own, and not a byte longer: whatever is read beyond it is seen */
        char *message = malloc(size);
        struct uevent event;

        if (size > 0 && !message)
                return 0;
        if (size > 0)
                memcpy(message, data, size);
        if (uevent_parse(message, size, &event)) {
                if (!event.action || event.sequence == 0)
                        abort();
                check_within(event.action, message, size);
                check_within(event.subsystem, message, size);
                check_within(event.modalias, message, size);
        }
        free(message);
        return 0;
}
