/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Steps of tests of remembered failures. */

#include "scripted.h"

/* A time limit that is longer than any test takes. */
#define SCRIPTED_TTL_S 60U

/* An attempt that is made up for comes no earlier, and one that is not owed has not come by then. */
#define SCRIPTED_QUIET_MS 500U
#define SCRIPTED_WELL_OVER_QUIET_MS 700U

#define SCRIPTED_MODULE_WENT_LIVE "SUBSYSTEM=module\nDEVPATH=/module/beta"

/* Makes a call, which gets `error`; then all loads of the module up to now are `loads`. */
void scripted_check_call(struct scripted *kit, struct scripted_module *module, struct scripted_call like, int error,
                         unsigned int loads);

/* The same with a call of the module's own file. */
void scripted_check(struct scripted *kit, struct scripted_module *module, int error, unsigned int loads);

/* Lets the module of that name fail once, which is remembered. */
struct scripted_module *scripted_remembered(struct scripted *kit, const char *name, int error);

/* Waits until that load has ended, and the supervisor knows. It is the last one. */
void scripted_await_load(struct scripted *kit, const struct scripted_module *module, unsigned int loads);
