/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Time and waiting in a fuzzer, by --wrap: nobody waits. When nothing is ready for a poll() that would wait, something
 * is made to happen; if nothing is left to happen, the time is up at once, and the clock moves on.
 */

#include <stdbool.h>
#include <stdint.h>

/* What journal_now_ns() and journal_boottime_ns() say. */
extern uint64_t idle_now_ns;

/* Makes something happen. False: nothing did, and it is a timeout. */
extern bool (*idle_happen)(void);
