/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between the files of the scripted kernel. */

#include "scripted_kernel.h"

/* The functions of its interface have no other way to it. */
extern struct scripted_kernel *scripted_current;

/* What its loads call. */
extern const int scripted_load_calls[];

int scripted_open_uevents(void);
int scripted_receive_uevent(int socket, char *buffer, size_t size, struct uevent *ret);
int scripted_finit_module(int fd, const char *params, int flags);
int scripted_init_module(const void *image, unsigned long length, const char *params);
