/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The steps of a request's life, wherever something has just changed that a successor has to make sense of. In programs
 * that are installed they are nothing at all. A test is built with STEPS_STOP, and stops the process at one of them to
 * kill it there: tests/live/live_steps.c, which has to come by every one.
 */

#define STEPS(X)                                                                                                       \
        /* supervisor: a request */                                                                                    \
        X(RECEIVED)        /* RECV has returned; the slot is not committed */                                          \
        X(ORDERED)         /* it has its place in the order, and still is not */                                       \
        X(COMMITTED)       /* it is, but not counted */                                                                \
        X(LOOKING)         /* before its caller is looked at */                                                        \
        X(LOOKED_AT)       /* and after */                                                                             \
        X(INSPECTION_SENT) /* an inspector has its job */                                                              \
        X(INSPECTED)       /* the answer was taken off the socket */                                                   \
        X(LOAD_MADE)       /* there is a load for it, in memory only */                                                \
        X(SUBMITTED)       /* it is in the table, and its slot does not say so */                                      \
        X(SLOT_SERIAL)     /* its slot has the load's serial, not its place */                                         \
        X(SLOT_LOAD)       /* its slot says which load it waits for */                                                 \
        X(ANSWERING)       /* its slot says that an answer may be given */                                             \
        X(ANSWERED)        /* the kernel has taken it */                                                               \
        X(UNCOMMITTED)     /* the commit word is taken back; the rest of the slot is not clear */                      \
        X(SLOT_FREE)       /* the slot is clear */                                                                     \
        /* supervisor: a load */                                                                                       \
        X(LOAD_JOURNALED)   /* the journal says that it was sent */                                                    \
        X(LOAD_SENT)        /* it was */                                                                               \
        X(RESULT_PEEKED)    /* its answer has been seen, and is still at the socket */                                 \
        X(RESULT_JOURNALED) /* it is in the journal too */                                                             \
        X(RESULT_CONSUMED)  /* it is only in the journal */                                                            \
        X(RESULT_COUNTED)   /* it is counted; nobody has been answered */                                              \
        X(LOAD_FREED)       /* the journal has forgotten it */                                                         \
        /* loader */                                                                                                   \
        X(JOB_TAKEN)      /* it has a job */                                                                           \
        X(LOAD_PERFORMED) /* the kernel has done it; nobody knows */                                                   \
        X(RESULT_SENT)    /* its answer is at the socket */                                                            \
        /* inspector */                                                                                                \
        X(INSPECTING) /* it has a job */                                                                               \
        X(FOUND)      /* it has what was to be found; nobody knows */                                                  \
        /* keeper */                                                                                                   \
        X(START_DUE) /* the supervisor has all but the word that it is all */                                          \
        /* a supervisor after another one */                                                                           \
        X(RECOVERING)      /* before it takes anything over */                                                         \
        X(LOAD_ADOPTED)    /* a load is in its table */                                                                \
        X(REQUEST_ADOPTED) /* a request waits for that load again */                                                   \
        X(REQUESTS_FOUND)  /* all requests are taken over; no load is resumed */                                       \
        X(RECOVERED)       /* all is taken over */

#define STEP_NAME(name) STEP_##name,
enum step { STEPS(STEP_NAME) STEP_COUNT };
#undef STEP_NAME

#ifdef STEPS_STOP
/* The test's. */
void step_reached(enum step step);
#else
static inline void step_reached(enum step step) {
        (void)step;
}
#endif

#define STEP(name) step_reached(STEP_##name)
