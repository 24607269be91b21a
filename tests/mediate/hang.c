/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * hang FILE: a finit_module call of FILE with parameters in memory that never answers: who reads it waits for a page that
 * userfaultfd(2) does not bring. Prints the result by name.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096U

int main(int argc, char **argv) {
        int faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
        int file = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
        void *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        struct uffdio_api api = { .api = UFFD_API };
        struct uffdio_register range = { .range = { .start = (unsigned long)memory, .len = PAGE },
                                         .mode = UFFDIO_REGISTER_MODE_MISSING };

        if (faults < 0 || file < 0 || memory == MAP_FAILED || ioctl(faults, UFFDIO_API, &api) < 0 ||
            ioctl(faults, UFFDIO_REGISTER, &range) < 0) {
                perror("hang");
                return 1;
        }
        (void)puts(syscall(SYS_finit_module, file, memory, 0) < 0 ? strerrorname_np(errno) : "OK");
        return 0;
}
