/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a process is called, in its name (comm) and in its command line, as `systemctl status` and `ps` show it. */

/* Notes where the arguments of the program are. Without it only names are set. */
void title_init(int argc, char **argv);

/*
 * Only in a process that was forked for one task: overwrites its copy of the arguments, so that no pointer into them
 * may be in use any more. Cut to 15 bytes in the name, and in the command line to the room that the arguments had.
 */
void title_set(const char *title);
