/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * callers N FILE [FLAGS [PARAMS]]: N processes open FILE, wait for each other, and make the same finit_module call at
 * once. Prints "COUNT RESULT" for each result, by name: OK, EEXIST, …
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ERRNOS 256

struct shared {
        int ready;
        int go;
        int results[ERRNOS]; /* by errno */
};

static void call(struct shared *shared, const char *file, int flags, const char *params) {
        int fd = open(file, O_RDONLY | O_CLOEXEC);
        int result = 0;

        if (fd < 0) {
                perror(file);
                _exit(1);
        }
        __atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
        while (!__atomic_load_n(&shared->go, __ATOMIC_SEQ_CST))
                usleep(1000);
        if (syscall(SYS_finit_module, fd, params, flags) < 0)
                result = errno < ERRNOS ? errno : ERRNOS - 1;
        __atomic_add_fetch(&shared->results[result], 1, __ATOMIC_SEQ_CST);
        _exit(0);
}

static int collect(int count) {
        int failed = 0, status;

        for (int i = 0; i < count; i++)
                if (wait(&status) < 0 || status != 0)
                        failed++;
        return failed;
}

int main(int argc, char **argv) {
        int count = argc > 2 ? atoi(argv[1]) : 0;
        int flags = argc > 3 ? atoi(argv[3]) : 0;
        const char *params = argc > 4 ? argv[4] : "";
        struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        if (count <= 0 || shared == MAP_FAILED) {
                fprintf(stderr, "usage: callers N FILE [FLAGS [PARAMS]]\n");
                return 2;
        }
        for (int i = 0; i < count; i++)
                if (fork() == 0)
                        call(shared, argv[2], flags, params);
        while (__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST) < count)
                usleep(1000);
        __atomic_store_n(&shared->go, 1, __ATOMIC_SEQ_CST);
        if (collect(count) > 0)
                return 1;
        for (int i = 0; i < ERRNOS; i++)
                if (shared->results[i] > 0)
                        printf("%d %s\n", shared->results[i], i == 0 ? "OK" : strerrorname_np(i));
        return 0;
}
