/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/memfd.h"

#include <errno.h>
#include <sys/mman.h>

/* linux/memfd.h, since 6.3 */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

int memfd_new(const char *name, unsigned int flags) {
        int fd = memfd_create(name, flags | MFD_CLOEXEC | MFD_NOEXEC_SEAL);

        if (fd < 0 && errno == EINVAL)
                fd = memfd_create(name, flags | MFD_CLOEXEC);
        return fd < 0 ? -errno : fd;
}
