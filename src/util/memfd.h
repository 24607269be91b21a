/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A new memfd, CLOEXEC, that is never executed: a system where vm.memfd_noexec is 2 refuses any other (kernels
 * before 6.3 do not know of that). `flags`: MFD_ALLOW_SEALING or 0. Returns a descriptor (owned) or negative errno.
 */
int memfd_new(const char *name, unsigned int flags);
