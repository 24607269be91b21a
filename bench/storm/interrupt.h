/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * ^C: SIGINT and SIGTERM end what is being measured, not modgate-storm itself, which still ends what it started and
 * prints what it has.
 */

#include <stdbool.h>

/* Catches the signals from now on. Returns 0 or negative errno. */
int interrupt_catch(void);

/* Was one caught? */
bool interrupt_seen(void);

/* Becomes readable when one was caught, and stays so: for poll(2). -1 before interrupt_catch(). */
int interrupt_fd(void);

/* For forked processes: the signals end them again, as they do everybody. */
void interrupt_forget(void);
