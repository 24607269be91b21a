/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Returns when files that were changed before the call are settled, as caller.c understands it: one that might still
 * change without a sign is nobody's duplicate. Takes a tick, in bad luck 2 s.
 */
void file_times_settle(void);
