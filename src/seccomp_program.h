/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From libseccomp's rules to the program that seccomp(2) takes. */

#include <linux/filter.h>
#include <seccomp.h>

/* For _cleanup_seccomp_. */
static inline void seccomp_contextp(scmp_filter_ctx *context) {
        if (*context)
                seccomp_release(*context);
}

#define _cleanup_seccomp_ __attribute__((cleanup(seccomp_contextp)))

/* The program of these rules, `*ret` to be freed, of `*ret_count` instructions. Returns 0 or negative errno. */
int seccomp_program(scmp_filter_ctx context, struct sock_filter **ret, unsigned short *ret_count);
