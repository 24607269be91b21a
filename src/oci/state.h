/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Pure but for memory: what a container runtime says over linux.seccomp.listenerPath, the ContainerProcessState of the
 * OCI's runtime-spec (config-linux.md). docs/oci.md says what crun and runc write, and what is refused here.
 *
 * The text comes in pieces, cut anywhere. Its own end ends it, not that of the connection: crun may keep that open as
 * long as its container runs. The descriptors are the caller's; here only their number counts.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "oci/problem.h"

/* More of anything is refused. In bytes, without NUL, where it is a length. */
#define OCI_TEXT_MAX (1U << 20)
#define OCI_DEPTH_MAX 8U           /* objects and arrays within each other; a state has three */
#define OCI_VALUES_MAX 16384U      /* members and elements, together */
#define OCI_FDS_MAX 16U            /* descriptors of one state */
#define OCI_WORD_MAX 64U           /* of ociVersion, of a name in `fds`, of a status */
#define OCI_ID_MAX 255U            /* runtimes have a directory of this name */
#define OCI_METADATA_MAX 4096U     /* of listenerMetadata */
#define OCI_BUNDLE_MAX 4095U       /* PATH_MAX */
#define OCI_KEY_MAX 1024U          /* of an annotation; Kubernetes has at most 317 */
#define OCI_VALUE_MAX (256U << 10) /* of an annotation; what Kubernetes allows for all of an object */

struct json_object;

/* A state. Its strings live as long as it does. */
struct oci_state {
        struct json_object *tree; /* owned; strings point into it */

        /*
         * Printable ASCII without blanks, quotes and backslashes, of at least one character: good for a log. The id
         * has no slash either.
         */
        const char *version;          /* ociVersion */
        const char *fds[OCI_FDS_MAX]; /* names of the descriptors, in their order */
        const char *status;           /* creating, running, … */
        const char *id;               /* of the container: what a log calls it */

        unsigned int fd_count;
        unsigned int seccomp_fd; /* which one of them is the listener; all others are to be closed */

        /*
         * As the runtime sees them, from its own pid namespace, and with the time that has passed since. Who a caller
         * is, the notification says.
         */
        pid_t pid; /* of the process that has the filter, for exec the executed one; 0: not said, as crun does then */
        pid_t init_pid; /* state.pid; 0: not said. runc: the container's init, also for exec; crun: same as `pid` */

        /* Any text, not to be logged as it is; NULL: there is none. */
        const char *metadata; /* see oci_profile_find() */
        const char *bundle;   /* no path that could be opened: `crun exec` says `.` */
};

/* Frees it, with all its strings. */
void oci_state_deinit(struct oci_state *state);

/* The value of the annotation `key`, which is any text, or NULL. */
const char *oci_state_annotation(const struct oci_state *state, const char *key);

enum {
        OCI_E_MORE = 1, /* the text has not come to its end */
};

struct oci_reader {
        char *text; /* owned: what has come */
        size_t length;
        size_t room;
        unsigned int fd_count;
        bool begun;

        /* where the text is at its last byte */
        unsigned int depth;
        unsigned int hex_left; /* digits of \uXXXX that are still to come */
        bool hex_is_zero;
        bool in_string;
        bool escaped; /* the byte before was a backslash */
        bool ended;
        size_t members; /* colons */
        size_t commas;

        int error; /* 0, or what each further call returns */
        struct oci_problem problem;
};

/* Begins a text. No memory is taken before there is some of it. */
void oci_reader_init(struct oci_reader *reader);

/* Frees the text. A state that was made of it stays. */
void oci_reader_deinit(struct oci_reader *reader);

/*
 * Takes the next piece, of one recvmsg(2), with which `fd_count` descriptors came. Returns 0 once the text has come to
 * its end, or OCI_E_MORE; or -EBADMSG (it is wrong, or too much of something), -ENOMEM, with reader->problem; then
 * nothing more is to be expected of this connection. Behind the end may be white space: whoever has more to read
 * may call it again, and gets the same answer however it is cut.
 */
int oci_reader_add(struct oci_reader *reader, const void *bytes, size_t length, unsigned int fd_count);

/*
 * The state, to be given to oci_state_deinit(): once the text has come to its end, or once the connection has ended.
 * Has exactly as many names of descriptors as came. Returns 0, or as oci_reader_add() with reader->problem.
 */
int oci_reader_finish(struct oci_reader *reader, struct oci_state *ret);
