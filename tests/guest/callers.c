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
        int results[ERRNOS]; /* by errno */
};

/* Nobody polls: hundreds of callers that do leave no time to an emulated machine. */
struct barrier {
        int ready[2]; /* pipe: a byte from each caller that is ready */
        int go[2];    /* pipe: ends when all shall go */
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

static int barrier_init(struct barrier *barrier) {
        return pipe2(barrier->ready, O_CLOEXEC) < 0 || pipe2(barrier->go, O_CLOEXEC) < 0 ? -1 : 0;
}

/* In a caller. */
static void barrier_wait(const struct barrier *barrier) {
        char byte = 0;

        close(barrier->go[1]);
        if (write(barrier->ready[1], &byte, 1) != 1 || read(barrier->go[0], &byte, 1) != 0)
                _exit(1);
}

/* Returns when `count` callers go, or one of them has failed. */
static void barrier_open(const struct barrier *barrier, int count) {
        char byte;

        close(barrier->ready[1]);
        while (count > 0 && read(barrier->ready[0], &byte, 1) == 1)
                count--;
        close(barrier->go[1]);
}

static void call(struct shared *shared, const struct barrier *barrier, const struct request *request) {
        int fd = open(request->file, O_RDONLY | O_CLOEXEC), result;
        void *image = NULL;
        size_t length = 0;

        if (fd < 0) {
                perror(request->file);
                _exit(1);
        }
        if (strcmp(request->flags, "image") == 0 && !(image = read_image(fd, &length)))
                _exit(1);
        barrier_wait(barrier);
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
        struct barrier barrier;

        if (count <= 0 || shared == MAP_FAILED || barrier_init(&barrier) < 0) {
                fprintf(stderr, "usage: callers N FILE [FLAGS|image [PARAMS]]\n");
                return 2;
        }
        for (int i = 0; i < count; i++)
                if (fork() == 0)
                        call(shared, &barrier, &request);
        barrier_open(&barrier, count);
        if (collect(count) > 0)
                return 1;
        for (int i = 0; i < ERRNOS; i++)
                if (shared->results[i] > 0)
                        printf("%d %s\n", shared->results[i], i == 0 ? "OK" : strerrorname_np(i));
        return 0;
}
