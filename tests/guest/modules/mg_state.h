/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What outlives a failed load: the test modules tell mg_state what happens to them, by name. It is there for as long as
 * mg_state is loaded, which all of them depend on.
 */

#include <linux/types.h>

/* The module's init was entered. Returns how often until now, this time included; 0 if there are too many names. */
unsigned int mg_state_enter(const char *name);

/* Returns when the test lets inits go on: 0, or -EINTR if the caller is being killed. */
int mg_state_wait(void);

/* The module's init succeeded, or the module was removed. */
void mg_state_set_live(const char *name, bool live);

bool mg_state_is_live(const char *name);
