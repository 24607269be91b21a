/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The journal: what must outlive a supervisor. A locked, prefaulted memfd that keeper and supervisor share. A tree that
 * is attached to the daemon has one for its requests, which outlives the daemon too; their loads stand in the daemon's.
 *
 * Requests. SECCOMP_IOCTL_NOTIF_RECV writes straight into a slot, so a received request is never known only to a
 * process that can die. A slot counts once its commit word is set; an uncommitted one only if its id is valid before
 * any new RECV (the supervisor died between the ioctl and the commit word).
 *
 * Loads. A load stands here from before its job is sent until all that waited for it are answered.
 *
 * Counters. Written as things happen; the report is made from them by whoever is left.
 *
 * One writer at a time: the supervisor while there is one, else the keeper.
 */

#include <linux/seccomp.h>
#include <stdint.h>

#include "modgate/module.h"

/*
 * Goes up with every change that another version would misread. Keeper and supervisor are forks of one program; the
 * daemon, and the keeper of a tree that is attached to it, may be different ones.
 */
#define JOURNAL_VERSION 1U

#define JOURNAL_REQUESTS 4096U /* udevd parks 2048 workers at most */
#define JOURNAL_LOADS 512U
#define JOURNAL_MODULES 1024U
#define JOURNAL_PLACES (2 * JOURNAL_MODULES)
#define JOURNAL_ERRNOS 6U

/* Room for the kernel's struct seccomp_notif, which may grow; what does not fit is refused before the filter is on. */
#define JOURNAL_NOTIF_ROOM 128U
#define JOURNAL_SLOT_SIZE 256U
#define JOURNAL_NO_LOAD UINT32_MAX

/* Why a request was left to the kernel. The names stand in src/observe/names.c and docs/report.md. */
enum continue_reason {
        CONTINUE_NOT = 0,
        CONTINUE_UNKNOWN_CALL,    /* an architecture or system call that we did not ask for */
        CONTINUE_IMAGE,           /* init_module: an image of odd size, or without a name to rely on */
        CONTINUE_DISABLED,        /* kernel.modules_disabled is set */
        CONTINUE_NO_PID,          /* the caller is not visible in our pid namespace */
        CONTINUE_CALLER_GONE,     /* /proc has nothing on the caller */
        CONTINUE_NO_CAPABILITY,   /* the caller lacks CAP_SYS_MODULE */
        CONTINUE_USER_NAMESPACE,  /* the caller is in another user namespace */
        CONTINUE_LABEL,           /* the caller has another LSM label than the loader */
        CONTINUE_FD,              /* not a descriptor that is open for reading */
        CONTINUE_NOT_REGULAR,     /* not a regular file, or an empty one */
        CONTINUE_FLAGS,           /* flags we do not know */
        CONTINUE_MEMORY,          /* the parameters could not be read */
        CONTINUE_PARAMS_TOO_LONG, /* over MODULE_PARAMS_MAX */
        CONTINUE_INSPECTOR,       /* no inspector, or one that did not answer in time */
        CONTINUE_NO_SLOT,         /* the journal is full */
        CONTINUE_NO_LOADER,       /* no loader could be had */
        CONTINUE_LOADER_REFUSED,  /* the loader could not open the file */
        CONTINUE_NOT_LOOKED_AT,   /* supervisors died or hung while they looked at the caller */
        CONTINUE_INTERNAL,        /* any other trouble of our own */
        CONTINUE_BYPASS,          /* answered by the keeper: there was no supervisor */
        CONTINUE_REASONS,
};

struct journal_request {
        union {
                struct seccomp_notif notif;
                unsigned char room[JOURNAL_NOTIF_ROOM]; /* zero before every RECV, else it fails with EINVAL */
        };
        uint64_t order;        /* goes up with every RECV, as the clock does: replies go out in this order */
        uint64_t load_serial;  /* with `load` and `load_journal`: the load it waits for */
        uint64_t load_journal; /* started_ns of the journal that it stands in */
        uint64_t received_ns;  /* CLOCK_BOOTTIME: see caller_had_begun() */
        uint32_t load;         /* index, or JOURNAL_NO_LOAD */
        uint32_t module;       /* index of the counters where it was counted, and 1; 0: nowhere yet */
        uint32_t committed;    /* the commit word */
        uint32_t answering;    /* set before SEND: if it no longer waits, it may have had its answer */
        uint32_t sent;         /* its load was sent to a loader */
        uint32_t looks;        /* supervisors that began to look at its caller, and never ended that */
        unsigned char reserved[JOURNAL_SLOT_SIZE - JOURNAL_NOTIF_ROOM - 56];
};
_Static_assert(sizeof(struct journal_request) == JOURNAL_SLOT_SIZE, "a slot never crosses a page");

enum journal_load_state {
        JOURNAL_LOAD_FREE = 0,
        JOURNAL_LOAD_SENT, /* the job was sent, or was about to be: see recover.c */
        JOURNAL_LOAD_DONE, /* the answer is here */
};

struct journal_load {
        uint32_t state;
        uint32_t loader;
        uint64_t serial; /* never used twice */
        struct module_key key;
        uint64_t image_hash[2]; /* of an init_module */
        uint32_t call;          /* enum call */
        uint32_t module;        /* index of its counters */
        uint32_t status;        /* enum job_status */
        int32_t error;
        uint64_t duration_ns;
};

struct journal_errno {
        int32_t error; /* positive; 0: unused */
        uint32_t count;
};

/* Counters of one module, or of one file that has no module name. */
struct journal_module {
        char name[MODULE_NAME_SIZE]; /* module name, or the file's name, shortened */
        uint32_t used;
        uint32_t indexed; /* the name is a module's */
        /* = loads - made_up + joined + live + behind + remembered + continued + gone, once all are answered */
        uint64_t requests;
        uint64_t loads;      /* performed by a loader */
        uint64_t loaded;     /* of those: with result 0 */
        uint64_t joined;     /* answered with the result of a load in flight */
        uint64_t live;       /* answered EEXIST: the module was live */
        uint64_t behind;     /* answered EEXIST: another load of this name went live meanwhile */
        uint64_t remembered; /* answered with a failure that still stood */
        uint64_t made_up;    /* of the loads: attempts made up for after modules went live */
        uint64_t continued;
        uint64_t gone;         /* callers that had gone before their turn came */
        uint64_t load_ns;      /* time spent in the system calls of the loads */
        uint64_t bytes_loaded; /* sizes of the files that were loaded */
        uint64_t bytes_saved;  /* sizes of the files that duplicates did not make the kernel read */
        struct journal_errno failures[JOURNAL_ERRNOS]; /* of loads; what does not fit counts in `other_failures` */
        uint64_t other_failures;
};

struct journal_header {
        uint64_t order;       /* last given */
        uint64_t load_serial; /* last given */
        uint64_t heartbeat;   /* moves as long as the supervisor does, if requests wait */
        uint32_t in_use;      /* slots that hold a request */
        uint32_t modules;     /* entries in use */
        uint64_t started_ns;  /* CLOCK_MONOTONIC; no other journal has the same */
        uint64_t supervisor_starts;
        uint64_t requests;  /* received */
        uint64_t answered;  /* replies the kernel took */
        uint64_t gone;      /* requesters that had gone before their reply */
        uint64_t recovered; /* requests and loads taken over from a supervisor that died */
        uint64_t loader_deaths;
        uint64_t bypassed;      /* 1: the keeper answers, since the supervisor could not be kept alive */
        uint64_t trace_dropped; /* events that the tracer was too slow for */
        uint64_t continued[CONTINUE_REASONS];
};

struct journal {
        struct journal_header header;
        _Alignas(4096) struct journal_request requests[JOURNAL_REQUESTS];
        struct journal_load loads[JOURNAL_LOADS];
        struct journal_module modules[JOURNAL_MODULES]; /* in order of first appearance */
        uint16_t places[JOURNAL_PLACES]; /* hash table of names: an index in `modules`, and 1; 0: nothing */
};
