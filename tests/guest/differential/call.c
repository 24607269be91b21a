/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "differential.h"

#define PAGE 4096U

/* Behind every image there are some pages of zeros, for the lengths that go beyond it. */
#define PAGES_BEHIND 4U

static uint64_t exact(uint64_t size) {
        return size;
}

static uint64_t one_less(uint64_t size) {
        return size - 1;
}

static uint64_t one_more(uint64_t size) {
        return size + 1;
}

static uint64_t page_more(uint64_t size) {
        return size + PAGE;
}

static uint64_t half(uint64_t size) {
        return size / 2;
}

static uint64_t nothing(uint64_t size) {
        (void)size;
        return 0;
}

static uint64_t header_less_one(uint64_t size) {
        (void)size;
        return 63;
}

static uint64_t header(uint64_t size) {
        (void)size;
        return 64;
}

static uint64_t beyond(uint64_t size) {
        return size + (16U << 20);
}

static uint64_t tebibyte(uint64_t size) {
        (void)size;
        return 1ULL << 40;
}

static uint64_t everything(uint64_t size) {
        (void)size;
        return UINT64_MAX;
}

const struct length lengths[] = {
        { "exact", exact },
        { "one byte less", one_less },
        { "one byte more", one_more },
        { "a page more", page_more },
        { "half", half },
        { "0", nothing },
        { "63", header_less_one },
        { "64", header },
        { "16 MiB more", beyond },
        { "1 TiB", tebibyte },
        { "2^64 - 1", everything },
};
const size_t lengths_count = sizeof(lengths) / sizeof(lengths[0]);

static const char *const memory_names[MEMORIES] = {
        [MEMORY_PLAIN] = "plain",         [MEMORY_SHIFTED] = "shifted", [MEMORY_MAPPED] = "mapped",
        [MEMORY_TAIL_GONE] = "tail gone", [MEMORY_HOLE] = "hole",       [MEMORY_FORBIDDEN] = "PROT_NONE",
        [MEMORY_NULL] = "NULL",           [MEMORY_KERNEL] = "kernel",
};

static const char *const who_names[WHOS] = {
        [WHO_SELF] = "",
        [WHO_THREAD] = ", by a thread",
        [WHO_CHILD] = ", by a child",
        [WHO_UNPRIVILEGED] = ", without the capability",
        [WHO_NOBODY] = ", by another user",
};

void call_describe(const struct call *call, char *text, size_t size) {
        if (call->init)
                snprintf(text, size, "init_module(%s: %s, %s, %s)%s", call->source->label, memory_names[call->memory],
                         call->length->label, call->params->label, who_names[call->who]);
        else
                snprintf(text, size, "finit_module(%s, %s, %#x)%s", call->source->label, call->params->label,
                         call->flags, who_names[call->who]);
        for (char *c = text; *c; c++)
                if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
                        *c = '?';
}

const char *result_name(long result) {
        static char text[32];
        const char *name = result < 0 && result >= -4095 ? strerrorname_np((int)-result) : NULL;

        if (result == 0)
                return "OK";
        if (name)
                return name;
        snprintf(text, sizeof(text), "%ld", result);
        return text;
}

const char *call_known_name(const struct call *call) {
        if (!call->init)
                return call->source->name;
        return call->memory == MEMORY_NULL || call->memory == MEMORY_KERNEL ? NULL : call->source->image;
}

unsigned int indexed_flags(void) {
        char target[512];
        ssize_t length = readlink("indexed/mg_one", target, sizeof(target) - 1);

        target[length > 0 ? length : 0] = '\0';
        return strstr(target, ".ko.xz") ? 4 : 0;
}

/* --- the call itself, in whatever process or thread --- */

struct arguments {
        const struct call *call;
        int fd;
        void *image;
        uint64_t length;
        long result;
};

static void perform(struct arguments *arguments) {
        const struct call *call = arguments->call;
        const char *params = call->params->make ? call->params->make() : call->params->text;
        long r;

        if (call->init)
                r = syscall(SYS_init_module, arguments->image, arguments->length, params);
        else
                r = syscall(SYS_finit_module, arguments->fd, params, call->flags);
        arguments->result = r == -1 ? -errno : r;
}

static void *perform_in_thread(void *pointer) {
        perform(pointer);
        return NULL;
}

static void drop_capability(void) {
        struct __user_cap_header_struct header_3 = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2];

        if (syscall(SYS_capget, &header_3, data) < 0)
                _exit(1);
        data[CAP_TO_INDEX(CAP_SYS_MODULE)].effective &= ~CAP_TO_MASK(CAP_SYS_MODULE);
        if (syscall(SYS_capset, &header_3, data) < 0)
                _exit(1);
}

/* The real and the saved user stay root, so the permitted capabilities stay too, and can be made effective again. */
static void become_nobody(void) {
        struct __user_cap_header_struct header_3 = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[2];

        if (syscall(SYS_setresuid, -1, 65534, -1) < 0 || syscall(SYS_capget, &header_3, data) < 0)
                _exit(1);
        data[0].effective = data[0].permitted;
        data[1].effective = data[1].permitted;
        if (syscall(SYS_capset, &header_3, data) < 0)
                _exit(1);
}

static void perform_in_child(struct arguments *arguments) {
        long *result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        pid_t child;

        *result = -9999;
        child = fork();
        if (child == 0) {
                if (arguments->call->who == WHO_UNPRIVILEGED)
                        drop_capability();
                if (arguments->call->who == WHO_NOBODY)
                        become_nobody();
                perform(arguments);
                *result = arguments->result;
                _exit(0);
        }
        (void)waitpid(child, NULL, 0);
        arguments->result = *result;
        (void)munmap(result, sizeof(*result));
}

static void perform_as(struct arguments *arguments) {
        pthread_t thread;

        switch (arguments->call->who) {
        case WHO_SELF:
        case WHOS:
                perform(arguments);
                break;
        case WHO_THREAD:
                if (pthread_create(&thread, NULL, perform_in_thread, arguments) != 0) {
                        perror("a thread for a call");
                        exit(1);
                }
                (void)pthread_join(thread, NULL);
                break;
        case WHO_CHILD:
        case WHO_UNPRIVILEGED:
        case WHO_NOBODY:
                perform_in_child(arguments);
                break;
        }
}

/* --- memory --- */

struct image {
        char *start;
        size_t size, mapped; /* `mapped`: with the pages behind */
};

static struct image read_image(int fd) {
        struct stat status;
        struct image image = { 0 };

        if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size > (64 << 20))
                return image;
        image.size = (size_t)status.st_size;
        image.mapped = (image.size + PAGE - 1) / PAGE * PAGE + PAGES_BEHIND * PAGE;
        image.start = mmap(NULL, image.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        /* of a file that is not open for reading the image is nothing but zeros */
        if (image.start == MAP_FAILED || (pread(fd, image.start, image.size, 0) < 0 && errno != EBADF)) {
                perror("an image for a call");
                exit(1);
        }
        return image;
}

static void spoil(const struct image *image, enum memory memory) {
        size_t pages = (image->size + PAGE - 1) / PAGE;

        if (memory == MEMORY_TAIL_GONE)
                (void)munmap(image->start + (pages - 1) * PAGE, (PAGES_BEHIND + 1) * PAGE);
        else if (memory == MEMORY_HOLE)
                (void)munmap(image->start + pages / 2 * PAGE, PAGE);
        else if (memory == MEMORY_FORBIDDEN)
                (void)mprotect(image->start, image->mapped, PROT_NONE);
        else if (memory == MEMORY_SHIFTED)
                memmove(image->start + 3, image->start, image->size);
}

static void perform_init(struct arguments *arguments) {
        struct image image = read_image(arguments->fd);
        void *file = NULL;

        spoil(&image, arguments->call->memory);
        arguments->image = image.start;
        arguments->length = arguments->call->length->of(image.size);
        if (arguments->call->memory == MEMORY_SHIFTED)
                arguments->image = image.start + 3;
        else if (arguments->call->memory == MEMORY_NULL)
                arguments->image = NULL;
        else if (arguments->call->memory == MEMORY_KERNEL)
                arguments->image = (void *)0xffffffff81000000;
        else if (arguments->call->memory == MEMORY_MAPPED)
                arguments->image = file = mmap(NULL, image.size, PROT_READ, MAP_PRIVATE, arguments->fd, 0);
        perform_as(arguments);
        if (file && file != MAP_FAILED)
                (void)munmap(file, image.size);
        if (image.start)
                (void)munmap(image.start, image.mapped);
}

long call_make(const struct call *call) {
        struct arguments arguments = { .call = call, .fd = call->source->open(call->source) };

        if (arguments.fd < 0 && call->source->path) {
                fprintf(stderr, "%s (%s): %m\n", call->source->label, call->source->path);
                exit(1);
        }
        if (call->init)
                perform_init(&arguments);
        else
                perform_as(&arguments);
        if (arguments.fd >= 0)
                close(arguments.fd);
        return arguments.result;
}
