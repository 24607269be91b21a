/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Words that reports and traces have in common: docs/report.md and docs/trace.md explain them. */

#include "modgate/journal.h"

/* The reason's word, as `no-capability`. */
const char *name_of_reason(enum continue_reason reason);

/* The errno's name, as `ENODEV`, or `unknown` for one that is in no header. */
const char *name_of_error(int error);
