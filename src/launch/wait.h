/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * `--wait`: a parent that stays until COMMAND's whole tree has ended.
 */

/*
 * Runs `run` in a child, which becomes COMMAND, with the socket on which it may send wait_give_tree_dup_fd(); what
 * `run` returns is the child's exit status. Meanwhile hands on to it what signals other processes send (SIGTERM,
 * SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2); a ^C of the terminal reaches it anyway. After COMMAND waits for the tree;
 * a signal then ends the wait, and with it this process.
 *
 * Returns COMMAND's exit status, 128 + the signal's number if one killed it, or negative errno if nothing was started.
 */
int wait_run(int (*run)(void *userdata, int socket), void *userdata);

/* From the child: the descriptor whose end of file tells that the tree has ended. Returns 0 or negative errno. */
int wait_give_tree_dup_fd(int socket, int tree_fd);
