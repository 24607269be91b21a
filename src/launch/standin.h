/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A second pair of hands for the moment between the filter and COMMAND.
 *
 * Once the filter is on, somebody must hold the listener, or every module load of the tree fails with ENOSYS for ever.
 * If the keeper dies in just that moment, the stand-in takes the listener and lets everything through. It has to be
 * forked before the filter is on: a process under the filter would wait for its own end.
 */

/*
 * Forks it: nobody's child but init's. It ends when `*ret_socket` (CLOEXEC, owned by the caller) is closed without a
 * listener given. Returns 0 or negative errno.
 */
int standin_start(int *ret_socket);

/*
 * Gives it a duplicate of the listener and waits until it has it; it then answers CONTINUE until the tree has ended, of
 * which the end of file of `socket` tells. Returns 0 or negative errno.
 */
int standin_give_listener_dup_fd(int socket, int listener_fd);
