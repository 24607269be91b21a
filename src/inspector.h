/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The inspector: reads bytes of a caller's memory. No capability at all: it is handed an open /proc/TID/mem. Reading
 * may hang for ever (memory that is mapped from a dead file server), so it is abandoned and replaced when it does not
 * answer.
 */

#include "confinement.h"

/* Gives up all privileges, and serves jobs until the other end is closed. Never returns. */
_Noreturn void inspector_run(int socket, const struct confinement *confinement);
