/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Images of modules, and calls of init_module: of the kit's kind, or with any pointers and memory that the test shares.
 */

#include "scripted.h"

/* It takes a while to copy so much. The scripted loader refuses images of such a size, with ENOEXEC. */
#define SCRIPTED_LARGE ((size_t)64 << 20)

/*
 * An image of the module, for `scripted_call.image`: a small ELF file below the test's directory. All have the same
 * length, and differ in their label. Returns its path (static memory).
 */
const char *scripted_image(struct scripted *kit, const struct scripted_module *module, const char *label);

/* A call with such an image, and its length. */
struct scripted_call scripted_image_call_with(struct scripted *kit, const struct scripted_module *module,
                                              const char *label, const char *params);
struct scripted_call scripted_image_call(struct scripted *kit, const struct scripted_module *module, const char *label);
size_t scripted_image_size(struct scripted *kit);

/* The arguments of a call. */
struct scripted_raw {
        char *image; /* shared with the callers */
        unsigned long length;
        const char *params;
};

/* Memory of `room` bytes that begins with an image of the module. */
struct scripted_raw scripted_raw_image(struct scripted *kit, const struct scripted_module *module, const char *label,
                                       size_t room);
struct scripted_raw scripted_raw_large(struct scripted *kit);
struct scripted_raw scripted_raw_small(struct scripted *kit, const struct scripted_module *module, const char *label);

/* One of which only the first page is there; the kernel would need them all. */
struct scripted_raw scripted_raw_headers(struct scripted *kit, const struct scripted_module *module);

/* Starts processes that make the call; then as with scripted_calls(), they can be settled and finished. */
struct scripted_call *scripted_raw_start(struct scripted *kit, unsigned int count, struct scripted_raw raw);

/* One call; returns its result. */
int scripted_raw_one(struct scripted *kit, struct scripted_raw raw);

/* A `prepare` of tests: kit->bare[0] becomes the kernel's own result of a call with an image of alpha. */
void scripted_prepare_bare_image(struct scripted *kit);

/* How many descriptors of the process lead to something of that name. */
unsigned int scripted_count_fds(pid_t pid, const char *name);

/* Stops the inspector that copies a large image now. Returns its pid. */
pid_t scripted_stop_copying(struct scripted *kit);

/*
 * Callers that the supervisor hears of at once: the first one of `first` leads, and all have joined before its image is
 * copied.
 */
struct scripted_crowd {
        struct scripted_call *first, *others;
};

struct scripted_crowd scripted_start_crowd(struct scripted *kit, struct scripted_raw first, unsigned int first_count,
                                           struct scripted_raw others, unsigned int others_count);
