/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * odd_call KIND FILE [PARAMS]: loads the module in FILE with a call of that kind, and prints its result by name.
 *
 *   finit, init             as any program does
 *   i386-finit, i386-init   as a 32-bit program does, which a 64-bit one can do too
 *   x32-finit, x32-init     the same for x32
 *   below                   from the first process of a pid namespace of its own
 *   own-table               from a thread that is not the leader and has a file table of its own
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define X32_BIT 0x40000000L

/* arch/x86/entry/syscalls/syscall_32.tbl */
#define I386_INIT_MODULE 128
#define I386_FINIT_MODULE 350

struct request {
        const char *file;
        const char *params; /* below 4 GiB, like the image */
        int fd;
        void *image;
        size_t length;
};

static _Noreturn void die(const char *what) {
        perror(what);
        exit(2);
}

static void *low_memory(size_t length) {
        void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

        if (memory == MAP_FAILED)
                die("mmap");
        return memory;
}

static long i386_call(long number, unsigned long a, unsigned long b, unsigned long c) {
        long result;

        __asm__ volatile("int $0x80"
                         : "=a"(result)
                         : "a"(number), "b"(a), "c"(b), "d"(c)
                         : "memory", "r8", "r9", "r10", "r11");
        if (result >= 0)
                return 0;
        errno = (int)-result;
        return -1;
}

static long finit(const struct request *request) {
        return syscall(SYS_finit_module, request->fd, request->params, 0);
}

static long init(const struct request *request) {
        return syscall(SYS_init_module, request->image, request->length, request->params);
}

static long i386_finit(const struct request *request) {
        return i386_call(I386_FINIT_MODULE, (unsigned long)request->fd, (unsigned long)request->params, 0);
}

static long i386_init(const struct request *request) {
        return i386_call(I386_INIT_MODULE, (unsigned long)request->image, request->length,
                         (unsigned long)request->params);
}

static long x32_finit(const struct request *request) {
        return syscall(X32_BIT | SYS_finit_module, request->fd, request->params, 0);
}

static long x32_init(const struct request *request) {
        return syscall(X32_BIT | SYS_init_module, request->image, request->length, request->params);
}

static long below(const struct request *request) {
        int status;
        pid_t pid;

        if (unshare(CLONE_NEWPID) < 0)
                die("unshare");
        pid = fork();
        if (pid == 0)
                _exit(finit(request) < 0 ? errno : 0);
        if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
                die("fork");
        errno = WEXITSTATUS(status);
        return errno == 0 ? 0 : -1;
}

static void *thread_main(void *context) {
        struct request request = *(const struct request *)context;
        int fd;

        if (unshare(CLONE_FILES) < 0)
                die("unshare");
        /* the leader has another file under this number */
        fd = open(request.file, O_RDONLY);
        if (fd < 0 || dup2(fd, 100) < 0)
                die(request.file);
        request.fd = 100;
        return (void *)(long)(finit(&request) < 0 ? errno : 0);
}

static long own_table(const struct request *request) {
        pthread_t thread;
        void *result;

        if (dup2(STDOUT_FILENO, 100) < 0 || pthread_create(&thread, NULL, thread_main, (void *)request) != 0 ||
            pthread_join(thread, &result) != 0)
                die("pthread");
        errno = (int)(long)result;
        return errno == 0 ? 0 : -1;
}

static const struct kind {
        const char *name;
        long (*call)(const struct request *request);
} kinds[] = {
        { "finit", finit },         { "init", init },         { "i386-finit", i386_finit }, { "i386-init", i386_init },
        { "x32-finit", x32_finit }, { "x32-init", x32_init }, { "below", below },           { "own-table", own_table },
};

static void read_file(struct request *request) {
        struct stat status;

        request->fd = open(request->file, O_RDONLY | O_CLOEXEC);
        if (request->fd < 0 || fstat(request->fd, &status) < 0)
                die(request->file);
        request->length = (size_t)status.st_size;
        request->image = low_memory(request->length);
        if (pread(request->fd, request->image, request->length, 0) != status.st_size)
                die(request->file);
}

int main(int argc, char **argv) {
        struct request request = { 0 };

        for (size_t i = 0; argc > 2 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
                const char *params = argc > 3 ? argv[3] : "";

                if (strcmp(argv[1], kinds[i].name) != 0)
                        continue;
                request.file = argv[2];
                request.params = strcpy(low_memory(strlen(params) + 1), params);
                read_file(&request);
                puts(kinds[i].call(&request) < 0 ? strerrorname_np(errno) : "OK");
                return 0;
        }
        fprintf(stderr, "usage: odd_call KIND FILE [PARAMS]\n");
        return 2;
}
