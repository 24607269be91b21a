/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * hang FILE DIRECTORY SECONDS: a finit_module call of FILE with parameters in memory that is mapped from a file system
 * whose server (below DIRECTORY) does not answer. Prints the result by name, and lets go of those who wait for that
 * memory SECONDS later.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../live/scripted_fuse.h"

static struct scripted kit;

int main(int argc, char **argv) {
        struct scripted_fuse fuse;
        void *memory;
        static char text[64];
        int file, mapped;
        long r;

        if (argc != 4 || snprintf(kit.directory, sizeof(kit.directory), "%s/%d", argv[2], (int)getpid()) < 0 ||
            mkdir(kit.directory, 0755) < 0)
                return 1;
        if (!scripted_fuse_mount(&kit, argv[1], &fuse)) {
                (void)puts("no /dev/fuse");
                return 0;
        }
        file = open(argv[1], O_RDONLY | O_CLOEXEC);
        mapped = open(fuse.path, O_RDONLY | O_CLOEXEC);
        memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, mapped, 0);
        CHECK(file >= 0 && mapped >= 0 && memory != MAP_FAILED);
        *fuse.state = SCRIPTED_FUSE_READS_HANG;
        r = syscall(SYS_finit_module, file, memory, 0);
        /* whoever still reads that memory holds our address space: to ask for more would wait for them */
        (void)snprintf(text, sizeof(text), "%s\n", r < 0 ? strerrorname_np(errno) : "OK");
        (void)!write(STDOUT_FILENO, text, strlen(text));
        (void)sleep((unsigned int)atoi(argv[3]));
        scripted_fuse_abort(&fuse);
        return 0;
}
