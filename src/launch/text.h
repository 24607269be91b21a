/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reads a whole small file of /proc, which has no size, as a string. A NUL in it ends the string. `*ret` is the
 * caller's to free(). Returns 0 or negative errno: -EFBIG over 4 MiB.
 */
int text_read(const char *path, char **ret);
