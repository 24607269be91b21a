/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Pure: the name of a module image, by a few small reads. The image is foreign: nothing in it is believed before it was
 * checked against the image's length.
 */

#include <stddef.h>
#include <stdint.h>

#include "modgate/module.h"

/* The image, wherever it is. `read` fills all of `buffer` from `offset`, or returns negative errno. */
struct module_image {
        uint64_t length; /* bytes */
        int (*read)(void *context, uint64_t offset, void *buffer, size_t size);
        void *context;
};

/*
 * The name under which the kernel would know the module: that of its struct module, in the section
 * `.gnu.linkonce.this_module` (kernel/module/main.c, layout_and_allocate). It is taken only if the image is an ELF file
 * of our own class and byte order, and `name=` in `.modinfo` agrees: the layout of struct module is the kernel's
 * affair.
 *
 * Returns 0, -ENOEXEC for any other image, or what `read` returned.
 */
int module_elf_name(const struct module_image *image, char name[static MODULE_NAME_SIZE]);
