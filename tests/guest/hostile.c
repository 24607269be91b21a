/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What a container may try that wants more than its profile allows, or wants that others wait. Prints "WHAT RESULT" for
 * each attempt, by name.
 *
 *   hostile images                  init_module of images that end nowhere, are nowhere, or are no modules
 *   hostile params FILE             finit_module of FILE with such parameters
 *   hostile files FILE              of descriptors that are none of a module's file, and of names that say another one
 *   hostile namespace FILE          of FILE in a user namespace of its own, where it has all capabilities
 *   hostile swaps SECONDS GOOD BAD  calls while the descriptor, the name in the image (mg_one, mg_two) and the
 * parameters are swapped: prints how many of which result hostile floods SECONDS FILE     64 callers that do nothing
 * else: prints how many of which result hostile dies ROUNDS FILE        callers of which some are killed while they
 * wait, and some are not root, with process ids that come again soon: prints wrong results, and "asked COUNT"
 */

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ERRNOS 256
#define GIGABYTE ((size_t)1 << 30)
#define FLOODERS 64
#define NAMES_MAX 64

/* Descriptor that one thread closes and another one loads. */
#define SWAPPED_FD 100

static _Noreturn void die(const char *what) {
        perror(what);
        exit(1);
}

static const char *name_of(int error) {
        return error == 0 ? "OK" : strerrorname_np(error);
}

static int finit(int fd, const char *params, int flags) {
        return syscall(SYS_finit_module, fd, params, flags) < 0 ? errno : 0;
}

static int init(const void *image, size_t length) {
        return syscall(SYS_init_module, image, length, "") < 0 ? errno : 0;
}

static void say(const char *what, int error) {
        printf("%s %s\n", what, name_of(error));
        fflush(stdout);
}

static void *map(size_t length, int protection) {
        void *memory = mmap(NULL, length, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (memory == MAP_FAILED)
                die("mmap");
        return memory;
}

static int open_module(const char *path) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                die(path);
        return fd;
}

/* Images */

/* A section for each of so many, all as large as can be said. */
static Elf64_Ehdr *endless_elf(size_t length, size_t section_count) {
        unsigned char *memory = map(length, PROT_READ | PROT_WRITE);
        Elf64_Ehdr *header = (Elf64_Ehdr *)memory;
        Elf64_Shdr *sections = (Elf64_Shdr *)(memory + sizeof(*header));

        memcpy(header->e_ident, ELFMAG, SELFMAG);
        header->e_ident[EI_CLASS] = ELFCLASS64;
        header->e_ident[EI_DATA] = ELFDATA2LSB;
        header->e_type = ET_REL;
        header->e_machine = EM_X86_64;
        header->e_shoff = sizeof(*header);
        header->e_shentsize = sizeof(Elf64_Shdr);
        header->e_shnum = (Elf64_Half)section_count;
        header->e_shstrndx = 1;
        for (size_t i = 0; i < section_count; i++)
                sections[i] = (Elf64_Shdr){ .sh_type = SHT_PROGBITS, .sh_offset = 0, .sh_size = UINT64_MAX >> 1 };
        sections[1] = (Elf64_Shdr){ .sh_type = SHT_STRTAB, .sh_offset = sizeof(*header), .sh_size = length - 64 };
        return header;
}

static int images(void) {
        static const unsigned char gzip[] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3 };
        static const unsigned char xz[] = { 0xfd, '7', 'z', 'X', 'Z', 0, 0, 4 };
        unsigned char *zeros = map(GIGABYTE, PROT_READ), *nothing = map(GIGABYTE, PROT_NONE), *text;
        Elf64_Ehdr *endless = endless_elf(GIGABYTE, 0xfeff);

        say("endless", init(endless, GIGABYTE));
        say("longer-than-memory", init(endless, SIZE_MAX));
        say("longer-than-a-signed-number", init(endless, (size_t)1 << 63));
        say("cut", init(endless, sizeof(*endless)));
        endless->e_shentsize = 1;
        say("small-sections", init(endless, GIGABYTE));
        endless->e_shentsize = sizeof(Elf64_Shdr);
        endless->e_shoff = UINT64_MAX - 7;
        say("sections-beyond-all", init(endless, GIGABYTE));
        say("zeros", init(zeros, GIGABYTE));
        say("no-memory", init(nothing, GIGABYTE));
        say("half-of-it-no-memory", init(zeros + GIGABYTE - 4096, 8192));
        say("null", init(NULL, 4096));
        say("kernel-memory", init((void *)0xffffffff81000000, 4096));
        text = map(GIGABYTE, PROT_READ | PROT_WRITE);
        memcpy(text, gzip, sizeof(gzip));
        say("gzip", init(text, GIGABYTE));
        memcpy(text, xz, sizeof(xz));
        say("xz", init(text, GIGABYTE));
        say("empty", init(text, 0));
        return 0;
}

/* Parameters */

static int params(const char *path) {
        int fd = open_module(path);
        char *endless = map(GIGABYTE, PROT_READ | PROT_WRITE), *nothing = map(4096, PROT_NONE);

        (void)munmap(nothing, 4096);
        memset(endless, 'x', 64 << 20); /* and no more of it, for the sake of the machine */
        say("endless", finit(fd, endless, 0));
        endless[4096] = '\0';
        say("a-page-long", finit(fd, endless, 0));
        say("no-memory", finit(fd, nothing, 0));
        say("null", finit(fd, NULL, 0));
        say("quotes", finit(fd, "a=\"b c=\"", 0));
        say("lines", finit(fd, "sleep_ms=100\nevil=1", 0));
        say("binary", finit(fd, "\x01\xff\x80=\x7f", 0));
        say("flags", finit(fd, "", 0x40000000));
        return 0;
}

/* Files */

static int link_to(const char *target, const char *path) {
        (void)unlink(path);
        if (symlink(target, path) < 0)
                die(path);
        return open_module(path);
}

/* With something in it: of an empty file the name would not even be looked at. */
static int filled(int fd, const char *name) {
        if (fd < 0 || write(fd, "x", 1) != 1)
                die(name);
        return fd;
}

static int named(const char *directory, const char *name) {
        char path[4096];

        (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
        (void)unlink(path);
        return filled(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), path);
}

static int removed(const char *directory, const char *name) {
        int fd = named(directory, name);
        char path[4096];

        (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
        if (unlink(path) < 0)
                die(path);
        return fd;
}

static int files(const char *path) {
        char directory[] = "/dev/hostile-XXXXXX", link[64];
        int pair[2];

        if (!mkdtemp(directory) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
                die(directory);
        (void)snprintf(link, sizeof(link), "%s/ip_tables.ko", directory);
        say("closed", finit(99, "", 0));
        say("negative", finit(-1, "", 0));
        say("socket", finit(pair[0], "", 0));
        say("directory", finit(open("/", O_RDONLY), "", 0));
        say("path-only", finit(open(path, O_PATH), "", 0));
        say("device", finit(open("/dev/zero", O_RDONLY), "", 0));
        say("memfd", finit(filled((int)syscall(SYS_memfd_create, "ip_tables.ko", 0), "memfd"), "", 0));
        /* a link is what it leads to */
        say("link-of-an-allowed-name", finit(link_to(path, link), "", 0));
        say("name-of-another-directory", finit(named(directory, "..ko"), "", 0));
        say("name-with-a-line", finit(named(directory, "ip_tables\nx.ko"), "", 0));
        say("name-with-blanks", finit(named(directory, "ip_tables evil=1.ko"), "", 0));
        say("name-with-a-quote", finit(named(directory, "ip_tables\".ko"), "", 0));
        say("name-that-is-gone", finit(removed(directory, "ip_tables.ko"), "", 0));
        say("name-that-is-refused", finit(named(directory, "dummy.ko"), "", 0));
        return 0;
}

static int namespace(const char *path) {
        int fd = open_module(path);

        if (unshare(CLONE_NEWUSER) < 0)
                die("unshare");
        say("own-namespace", finit(fd, "", 0));
        return 0;
}

/* What changes while it is looked at */

static atomic_bool over;
static atomic_uint counts[ERRNOS];

static void count(int error) {
        atomic_fetch_add(&counts[error < ERRNOS ? error : ERRNOS - 1], 1);
}

static void say_counts(void) {
        for (int i = 0; i < ERRNOS; i++)
                if (counts[i] > 0)
                        printf("%u %s\n", counts[i], name_of(i));
}

struct swapped {
        int good;
        int bad;
        char *image; /* of an allowed module, whose name is made that of another one */
        size_t length;
        char *names[NAMES_MAX]; /* wherever it stands in it */
        unsigned int name_count;
        char *params; /* allowed ones, and others */
};

static void *swapper(void *data) {
        struct swapped *swapped = data;

        for (unsigned int i = 0; !over; i++) {
                (void)dup2(i % 2 ? swapped->good : swapped->bad, SWAPPED_FD);
                for (unsigned int j = 0; j < swapped->name_count; j++)
                        memcpy(swapped->names[j], i % 2 ? "mg_one" : "mg_two", 6);
                memcpy(swapped->params, i % 2 ? "sleep_ms=100" : "evil=1      ", 13);
        }
        return NULL;
}

static void *caller_of_swapped(void *data) {
        struct swapped *swapped = data;

        for (unsigned int i = 0; !over; i++)
                count(i % 2 ? finit(SWAPPED_FD, swapped->params, 0) : init(swapped->image, swapped->length));
        return NULL;
}

static void read_image(struct swapped *swapped, const char *path) {
        int fd = open_module(path);
        struct stat status;

        if (fstat(fd, &status) < 0)
                die(path);
        swapped->length = (size_t)status.st_size;
        swapped->image = map(swapped->length, PROT_READ | PROT_WRITE);
        if (read(fd, swapped->image, swapped->length) != status.st_size)
                die(path);
        for (char *at = swapped->image, *end = at + swapped->length; swapped->name_count < NAMES_MAX; at++) {
                at = memmem(at, (size_t)(end - at), "mg_one", 6);
                if (!at)
                        break;
                swapped->names[swapped->name_count++] = at;
        }
        (void)close(fd);
}

/* Runs so many threads, with `data`, for so long. */
static void run_threads(unsigned int seconds, void *(*thread)(void *), unsigned int thread_count, void *data) {
        pthread_t threads[FLOODERS];

        for (unsigned int i = 0; i < thread_count; i++)
                if (pthread_create(&threads[i], NULL, thread, data) != 0)
                        die("pthread_create");
        (void)sleep(seconds);
        over = true;
        for (unsigned int i = 0; i < thread_count; i++)
                (void)pthread_join(threads[i], NULL);
}

static int swaps(unsigned int seconds, const char *good, const char *bad) {
        struct swapped swapped = { .good = open_module(good), .bad = open_module(bad) };
        pthread_t thread;

        read_image(&swapped, good);
        swapped.params = map(4096, PROT_READ | PROT_WRITE);
        if (pthread_create(&thread, NULL, swapper, &swapped) != 0)
                die("pthread_create");
        run_threads(seconds, caller_of_swapped, 4, &swapped);
        (void)pthread_join(thread, NULL);
        say_counts();
        return 0;
}

/* Floods */

static void *flooder(void *data) {
        const int *fd = data;

        while (!over)
                count(finit(*fd, "", 0));
        return NULL;
}

static int floods(unsigned int seconds, const char *path) {
        int fd = open_module(path);

        run_threads(seconds, flooder, FLOODERS, &fd);
        say_counts();
        return 0;
}

/* Deaths */

enum kind {
        IS_ROOT,
        IS_NOT,
        IS_KILLED,
        KINDS,
};

static int exit_as(enum kind kind, int fd) {
        int error;

        if (kind == IS_NOT && (setgid(7) < 0 || setuid(7) < 0))
                return 2;
        error = finit(fd, "", 0);
        switch (kind) {
        case IS_ROOT:
                return error != 0 && error != EEXIST;
        case IS_NOT:
                return error != EPERM;
        default:
                return 0;
        }
}

static bool is_wrong(int status) {
        return WIFEXITED(status) && WEXITSTATUS(status) != 0;
}

static int dies(int rounds, const char *path) {
        int fd = open_module(path), wrong = 0, status;

        for (int round = 0; round < rounds; round++) {
                pid_t pids[4 * KINDS];

                for (int i = 0; i < 4 * KINDS; i++) {
                        pids[i] = fork();
                        if (pids[i] == 0)
                                _exit(exit_as((enum kind)(i % KINDS), fd));
                }
                (void)usleep((useconds_t)(rand() % 20000));
                for (int i = IS_KILLED; i < 4 * KINDS; i += KINDS)
                        (void)kill(pids[i], SIGKILL);
                for (int i = 0; i < 4 * KINDS; i++)
                        if (pids[i] < 0 || waitpid(pids[i], &status, 0) < 0 || is_wrong(status))
                                wrong++;
        }
        printf("asked %d\nwrong %d\n", rounds * 4 * KINDS, wrong);
        return wrong > 0;
}

int main(int argc, char **argv) {
        const char *kind = argc > 1 ? argv[1] : "";

        if (strcmp(kind, "images") == 0 && argc == 2)
                return images();
        if (strcmp(kind, "params") == 0 && argc == 3)
                return params(argv[2]);
        if (strcmp(kind, "files") == 0 && argc == 3)
                return files(argv[2]);
        if (strcmp(kind, "namespace") == 0 && argc == 3)
                return namespace(argv[2]);
        if (strcmp(kind, "swaps") == 0 && argc == 5)
                return swaps((unsigned int)atoi(argv[2]), argv[3], argv[4]);
        if (strcmp(kind, "floods") == 0 && argc == 4)
                return floods((unsigned int)atoi(argv[2]), argv[3]);
        if (strcmp(kind, "dies") == 0 && argc == 4)
                return dies(atoi(argv[2]), argv[3]);
        (void)fprintf(stderr, "hostile: see its source\n");
        return 2;
}
