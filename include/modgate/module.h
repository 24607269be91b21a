/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a module load is known by, in the form that crosses process boundaries (it stands in the journal and in jobs).
 *
 * Keys are compared bytewise: build them from zeroed memory, and only through src/module/identity.h.
 */

#include <stdint.h>

/* The kernel's MODULE_NAME_LEN is 64 - sizeof(unsigned long): at most 55 bytes and a NUL. */
#define MODULE_NAME_SIZE 56

/* Longest parameter string that is carried, without its NUL. Longer ones are left to the kernel. */
#define MODULE_PARAMS_MAX 65536U

/* The file behind a descriptor: never the inode alone, it repeats across file systems. */
struct module_file {
        uint64_t device; /* major << 32 | minor */
        uint64_t inode;
        uint64_t size;    /* bytes */
        int64_t ctime_ns; /* nanoseconds since the epoch */
        int64_t mtime_ns;
};

struct module_key {
        struct module_file file;
        uint64_t params_hash[2];     /* XXH3-128 of the parameter string */
        uint32_t params_length;      /* bytes, without the NUL */
        uint32_t flags;              /* of finit_module */
        uint64_t alone;              /* 0; or a number that no other call has: this one is nobody's duplicate */
        char name[MODULE_NAME_SIZE]; /* libkmod's name, NUL-padded; empty: the file has none, see docs/design.md */
};
