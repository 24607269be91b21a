/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the processes of modgate mediate say to each other, and what outlives the mediator.
 *
 *   mediator → inspector    job.h
 *   decider → mediator      decision
 *   mediator → performers   order + its parameters + the socket for the performed
 *   performer → mediator    performed
 *
 * The processes are forks of one program. The store of a container is kept by systemd (FDSTORE) and may be an older
 * program's: MEDIATION_VERSION goes up with every change that another version would misread.
 */

#include <stddef.h>
#include <stdint.h>

#include "modgate/journal.h"
#include "modgate/module.h"

#define MEDIATION_VERSION 1U

/* So many calls of a listener at a time are received. More wait in the kernel: whoever floods waits for itself. */
#define CONTAINER_SLOTS 64U

#define CONTAINER_ID_SIZE 256
#define CONTAINER_PROFILE_SIZE 49

/* The memfd of a listener: requests are received into it, so that none is known only to a process that can die. */
struct container_store {
        uint32_t version;
        uint32_t named;         /* it says which profile it has: `profile`; an empty one is none at all */
        uint32_t by_annotation; /* and an annotation says so: only as long as the policy lets annotations */
        uint32_t reserved;
        uint64_t user_namespace[2]; /* device and inode of the container's; zeros: not known */
        char id[CONTAINER_ID_SIZE]; /* printable, without blanks */
        char profile[CONTAINER_PROFILE_SIZE];
        unsigned char padding[7];
        struct journal_header header;
        _Alignas(4096) struct journal_request requests[CONTAINER_SLOTS];
};

/* A module with all that it needs is refused if it is more. */
#define STEPS_MAX 128U

struct step_module {
        char name[MODULE_NAME_SIZE];
        uint32_t is_soft; /* goes on without it */
        uint32_t reserved;
};

/* What the policy says, and what is to be done. */
struct decision {
        int32_t error; /* 0: load it; else the errno of the answer */
        uint32_t rule; /* enum policy_rule */
        uint32_t line; /* of the policy, 0: none */
        char file[256];
        char reason[256]; /* one line of printable ASCII */
        uint32_t wanted;  /* which one of the steps was asked for: the caller hears of it */
        uint32_t step_count;
        struct step_module steps[STEPS_MAX]; /* in the order of their loads */
};

struct order {
        uint32_t wanted;
        uint32_t step_count;
        uint32_t params_length; /* of the wanted one; bytes after the steps, without a NUL */
        uint32_t reserved;
        struct step_module steps[STEPS_MAX]; /* only so many are sent as there are */
};

static inline size_t order_size(uint32_t step_count) {
        return offsetof(struct order, steps) + step_count * sizeof(struct step_module);
}

struct performed {
        int32_t error; /* 0 or a positive errno */
};
