/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The processes that a keeper forks, by --wrap: there are none, only their ends of the sockets, which the fuzzer has.
 * Aborts when the keeper kills or waits for anybody but its own, or for one that it has waited for already.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "input.h"
#include "keeper/private.h"

#define PROCESSES_MAX 512

enum process_state {
        PROCESS_RUNS,
        PROCESS_ENDED,
        PROCESS_REAPED,
};

struct process {
        enum process_state state;
        bool is_stuck; /* SIGKILL does not end it */
        bool is_killed;
        int socket; /* its end; -1: it has closed it */
};

/* In the order of their forks. */
extern struct process processes[PROCESSES_MAX];
extern unsigned int process_count;

/* There are none from now on. The input says which fork() fails. Returns the keeper's signalfd, the caller's. */
int processes_begin(struct input *input);

/* All end, and what is ours is closed. */
void processes_finish(void);

void process_end(struct process *process);

/* Of one that the keeper has forked. */
struct process *process_of(pid_t pid);

/* The keeper has a signal to read. */
void processes_signal(uint32_t number);

/* As keeper_new(), into `keeper`. Strings of the config are the caller's to free(). */
void processes_keeper(struct keeper *keeper, const struct keeper_config *config, int launcher);

/* As fdpass_pair(), but no process is to get an end of it. */
int processes_pair(int *ret_a, int *ret_b);

/*
 * One handoff message of the input's: any bytes, or any numbers in the right places; with `listener`, `other` or no
 * descriptor. -1 as a socket: nobody hears it.
 */
void processes_say_anything(struct input *from, int socket, int listener, int other);

/* How many this process has open. */
unsigned int processes_descriptors(void);
