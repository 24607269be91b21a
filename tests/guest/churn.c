/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * churn loop STEPS SEED PROCESSES FILE FLAGS IMAGE NAME: so many processes load the module NAME and remove it, each in
 * so many steps and in an order of chance: FILE by finit_module with FLAGS, the content of IMAGE by init_module, with
 * no parameters or with some that make it fail.
 *
 * churn rounds COUNT FILE FLAGS IMAGE NAME: one process loads, loads again what is live, and removes, by either
 * call alternately.
 *
 * Prints "load COUNT RESULT" and "remove COUNT RESULT" for each result, by name. Exit status 1, and "stuck COUNT"
 * before that, if a process does not end in time.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ERRNOS 256
#define PATIENCE_S 200

struct results {
        int loads[ERRNOS]; /* by errno */
        int removals[ERRNOS];
};

struct module {
        int fd;
        int flags;
        void *image;
        size_t length;
        const char *name;
};

static void count(int *results, long r) {
        int error = r < 0 ? errno : 0;

        __atomic_add_fetch(&results[error < ERRNOS ? error : ERRNOS - 1], 1, __ATOMIC_SEQ_CST);
}

static void load_file(struct results *results, const struct module *module, const char *params) {
        count(results->loads, syscall(SYS_finit_module, module->fd, params, module->flags));
}

static void load_image(struct results *results, const struct module *module, const char *params) {
        count(results->loads, syscall(SYS_init_module, module->image, module->length, params));
}

static void remove_module(struct results *results, const struct module *module) {
        count(results->removals, syscall(SYS_delete_module, module->name, O_NONBLOCK));
}

/* Any sequence will do that a seed repeats (the constants are those of glibc's old rand). */
static uint32_t next(uint32_t *random) {
        *random = *random * 1103515245 + 12345;
        return *random >> 16;
}

static void loop(struct results *results, const struct module *module, uint32_t seed, int steps) {
        uint32_t random = seed;

        for (int i = 0; i < steps; i++) {
                const char *params = next(&random) % 4 == 0 ? "error=19" : "";

                switch (next(&random) % 4) {
                case 0:
                case 1:
                        load_file(results, module, params);
                        break;
                case 2:
                        load_image(results, module, params);
                        break;
                default:
                        remove_module(results, module);
                }
        }
}

static void rounds(struct results *results, const struct module *module, int rounds) {
        for (int i = 0; i < rounds; i++) {
                void (*load)(struct results *, const struct module *, const char *) = i % 2 ? load_image : load_file;

                load(results, module, "");
                load(results, module, "");
                remove_module(results, module);
        }
}

static void print(const char *what, const int *results) {
        for (int i = 0; i < ERRNOS; i++)
                if (results[i] > 0)
                        printf("%s %d %s\n", what, results[i], i == 0 ? "OK" : strerrorname_np(i));
}

/* Waits for all of them; returns how many have not ended after all that time. */
static int collect(int processes) {
        time_t end = time(NULL) + PATIENCE_S;

        while (processes > 0 && time(NULL) < end)
                if (waitpid(-1, NULL, WNOHANG) > 0)
                        processes--;
                else
                        usleep(50 * 1000);
        return processes;
}

static int run_loops(struct results *results, const struct module *module, int steps, uint32_t seed, int processes) {
        int stuck;

        for (int i = 0; i < processes; i++)
                if (fork() == 0) {
                        loop(results, module, seed + (uint32_t)i, steps);
                        _exit(0);
                }
        stuck = collect(processes);
        if (stuck > 0)
                printf("stuck %d\n", stuck);
        return stuck > 0;
}

static int open_module(char **arguments, struct module *ret) {
        int image = open(arguments[2], O_RDONLY | O_CLOEXEC);
        struct stat status;

        *ret = (struct module){
                .fd = open(arguments[0], O_RDONLY | O_CLOEXEC),
                .flags = atoi(arguments[1]),
                .name = arguments[3],
        };
        if (ret->fd < 0 || image < 0 || fstat(image, &status) < 0)
                return -errno;
        ret->length = (size_t)status.st_size;
        ret->image = mmap(NULL, ret->length, PROT_READ, MAP_PRIVATE, image, 0);
        return ret->image == MAP_FAILED ? -errno : 0;
}

int main(int argc, char **argv) {
        struct results *results =
                mmap(NULL, sizeof(*results), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        bool looping = argc == 9 && strcmp(argv[1], "loop") == 0;
        struct module module;
        int r = 0;

        if (results == MAP_FAILED || !(looping || (argc == 7 && strcmp(argv[1], "rounds") == 0))) {
                fprintf(stderr, "usage: churn loop STEPS SEED PROCESSES FILE FLAGS IMAGE NAME\n"
                                "       churn rounds COUNT FILE FLAGS IMAGE NAME\n");
                return 2;
        }
        if (open_module(argv + (looping ? 5 : 3), &module) < 0) {
                perror("churn");
                return 2;
        }
        if (looping)
                r = run_loops(results, &module, atoi(argv[2]), (uint32_t)strtoul(argv[3], NULL, 10), atoi(argv[4]));
        else
                rounds(results, &module, atoi(argv[2]));
        print("load", results->loads);
        print("remove", results->removals);
        return r;
}
