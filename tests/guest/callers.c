/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * callers N FILE [FLAGS [PARAMS]]: N processes open FILE, wait for each other, and make the same finit_module call at
 * once; with `image` for FLAGS, an init_module call with the content of FILE in memory of their own. Prints "COUNT
 * RESULT" for each result, by name: OK, EEXIST, …
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ERRNOS 256

struct shared {
        int ready;
        int go;
        int results[ERRNOS]; /* by errno */
};

struct request {
        const char *file;
        const char *flags;
        const char *params;
};

/* Returns 0 or errno. */
static int make_call(const struct request *request, int fd, const void *image, size_t length) {
        long r = image ? syscall(SYS_init_module, image, length, request->params)
                       : syscall(SYS_finit_module, fd, request->params, atoi(request->flags));

        return r < 0 ? errno : 0;
}

/* A copy of its own for each caller, as libkmod has it. */
static void *read_image(int fd, size_t *ret_length) {
        struct stat status;
        char *image;

        if (fstat(fd, &status) < 0)
                return NULL;
        image = malloc((size_t)status.st_size);
        if (!image || pread(fd, image, (size_t)status.st_size, 0) != status.st_size)
                return NULL;
        *ret_length = (size_t)status.st_size;
        return image;
}

static void call(struct shared *shared, const struct request *request) {
        int fd = open(request->file, O_RDONLY | O_CLOEXEC), result;
        void *image = NULL;
        size_t length = 0;

        if (fd < 0) {
                perror(request->file);
                _exit(1);
        }
        if (strcmp(request->flags, "image") == 0 && !(image = read_image(fd, &length)))
                _exit(1);
        __atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
        while (!__atomic_load_n(&shared->go, __ATOMIC_SEQ_CST))
                usleep(1000);
        result = make_call(request, fd, image, length);
        __atomic_add_fetch(&shared->results[result < ERRNOS ? result : ERRNOS - 1], 1, __ATOMIC_SEQ_CST);
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
        struct request request = {
                .file = count > 0 ? argv[2] : NULL,
                .flags = argc > 3 ? argv[3] : "0",
                .params = argc > 4 ? argv[4] : "",
        };
        struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        if (count <= 0 || shared == MAP_FAILED) {
                fprintf(stderr, "usage: callers N FILE [FLAGS|image [PARAMS]]\n");
                return 2;
        }
        for (int i = 0; i < count; i++)
                if (fork() == 0)
                        call(shared, &request);
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
