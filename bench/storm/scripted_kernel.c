/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scripted_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "scripted_image.h"
#include "scripted_private.h"
#include "util/fd.h"

/* How often what may wait for ever looks whether it should. */
#define LOOK_NS 100000000ULL

struct scripted_kernel *scripted_current;

enum {
        STATE_ABSENT,
        STATE_COMING,
        STATE_LIVE,
};

static void futex_wait(atomic_uint *word, unsigned int value, uint64_t ns) {
        const struct timespec limit = { .tv_sec = (time_t)(ns / 1000000000U), .tv_nsec = (long)(ns % 1000000000U) };

        (void)syscall(SYS_futex, word, FUTEX_WAIT, value, &limit, NULL, 0);
}

static void futex_wake(atomic_uint *word) {
        (void)syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Events */

int scripted_open_uevents(void) {
        struct scripted_kernel *kernel = scripted_current;
        _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        kernel->uevents = (struct sockaddr_un){ .sun_family = AF_UNIX };
        kernel->uevents_length = 0;
        /* without a name the kernel chooses one */
        if (fd < 0 || bind(fd, (struct sockaddr *)&kernel->uevents, sizeof(sa_family_t)) < 0)
                return -errno;
        kernel->uevents_length = sizeof(kernel->uevents);
        if (getsockname(fd, (struct sockaddr *)&kernel->uevents, &kernel->uevents_length) < 0)
                return -errno;
        return fd_steal(&fd);
}

int scripted_receive_uevent(int socket, char *buffer, size_t size, struct uevent *ret) {
        ssize_t length = recv(socket, buffer, size, MSG_DONTWAIT);

        if (length < 0)
                return errno == EAGAIN ? 0 : -errno;
        return uevent_parse(buffer, (size_t)length, ret) ? 1 : 0;
}

/* One more event, counted before it is sent, as the kernel does; under a lock, so that they are sent in order. */
static void send_uevent(struct scripted_kernel *kernel, const char *action, const char *name) {
        _cleanup_fd_ int counter = -1, fd = -1;
        unsigned long long sequence;
        char message[512], text[24] = "";
        int length;

        if (kernel->uevents_length == 0)
                return;
        counter = open(kernel->uevent_seqnum, O_RDWR | O_CLOEXEC);
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (counter < 0 || fd < 0 || flock(counter, LOCK_EX) < 0 || pread(counter, text, sizeof(text) - 1, 0) <= 0)
                return;
        sequence = strtoull(text, NULL, 10) + 1;
        length = snprintf(text, sizeof(text), "%llu\n", sequence);
        (void)!pwrite(counter, text, (size_t)length, 0);
        length = snprintf(message, sizeof(message), "%s@/module/%s%cACTION=%s%cSUBSYSTEM=module%cSEQNUM=%llu", action,
                          name, 0, action, 0, 0, sequence);
        (void)sendto(fd, message, (size_t)length + 1, MSG_NOSIGNAL, (struct sockaddr *)&kernel->uevents,
                     kernel->uevents_length);
}

/* What stands in sysfs */

static void initstate_path(const struct scripted_kernel *kernel, const struct scripted_module *module,
                           char path[static PATH_MAX]) {
        (void)snprintf(path, PATH_MAX, "%s/%s/initstate", kernel->sysfs, module->name);
}

static void set_live(struct scripted_kernel *kernel, struct scripted_module *module) {
        char path[PATH_MAX];
        _cleanup_fd_ int fd = -1;

        initstate_path(kernel, module, path);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        (void)!pwrite(fd, "live\n", 5, 0);
        send_uevent(kernel, "add", module->name);
}

/* An open file of sysfs gives ENODEV then; here it is empty. */
static void set_absent(struct scripted_kernel *kernel, struct scripted_module *module) {
        char path[PATH_MAX];

        initstate_path(kernel, module, path);
        (void)truncate(path, 0);
        (void)unlink(path);
}

/* Loads */

static bool owner_has_ended(const struct scripted_kernel *kernel) {
        return kernel->owner > 0 && kill(kernel->owner, 0) < 0 && errno == ESRCH;
}

static uint64_t now_ns(void) {
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static void take_time(struct scripted_kernel *kernel, uint64_t duration_ns) {
        uint64_t end = duration_ns > 0 ? now_ns() + duration_ns : 0, now;
        atomic_uint nobody = 0;

        while (end > 0 && (now = now_ns()) < end && !owner_has_ended(kernel))
                futex_wait(&nobody, 0, end - now < LOOK_NS ? end - now : LOOK_NS);
        while (kernel->hold && !owner_has_ended(kernel))
                futex_wait(&kernel->hold, 1, LOOK_NS);
}

/* Files, the event, and who is still there. */
const int scripted_load_calls[] = {
        SCMP_SYS(openat), SCMP_SYS(pwrite64), SCMP_SYS(truncate), SCMP_SYS(unlink),
        SCMP_SYS(socket), SCMP_SYS(flock),    SCMP_SYS(kill),     -1,
};

/* Returns the state in which it was found, once it is not COMING because of somebody else: then it is because of us. */
static unsigned int enter(struct scripted_kernel *kernel, struct scripted_module *module) {
        unsigned int found = STATE_ABSENT;

        if (atomic_compare_exchange_strong(&module->state, &found, STATE_COMING) || found == STATE_LIVE)
                return found;
        while ((found = module->state) == STATE_COMING && !owner_has_ended(kernel))
                futex_wait(&module->state, STATE_COMING, LOOK_NS);
        return found == STATE_LIVE ? STATE_LIVE : STATE_COMING;
}

static int load(struct scripted_kernel *kernel, const struct scripted_label *label) {
        struct scripted_module *module;
        unsigned int found;
        int error;

        if (label->magic != SCRIPTED_IMAGE_MAGIC || label->index >= kernel->module_count)
                return -ENOEXEC;
        module = &kernel->modules[label->index];
        atomic_fetch_add(&module->calls, 1);
        found = enter(kernel, module);
        if (found != STATE_ABSENT)
                return found == STATE_LIVE ? -EEXIST : -EBUSY;
        atomic_fetch_add(&module->loads, 1);
        take_time(kernel, module->duration_ns);
        error = module->error;
        if (error == 0)
                set_live(kernel, module);
        module->state = error == 0 ? STATE_LIVE : STATE_ABSENT;
        futex_wake(&module->state);
        return -error;
}

int scripted_finit_module(int fd, const char *params, int flags) {
        struct scripted_label label;

        (void)params, (void)flags;
        if (pread(fd, &label, sizeof(label), offsetof(struct scripted_image, label)) != sizeof(label))
                return -ENOEXEC;
        return load(scripted_current, &label);
}

int scripted_init_module(const void *image, unsigned long length, const char *params) {
        (void)params;
        if (length < sizeof(struct scripted_image))
                return -ENOEXEC;
        return load(scripted_current, &((const struct scripted_image *)image)->label);
}

int scripted_kernel_remove(struct scripted_kernel *kernel, size_t index) {
        struct scripted_module *module = &kernel->modules[index];
        unsigned int live = STATE_LIVE;

        if (!atomic_compare_exchange_strong(&module->state, &live, STATE_COMING))
                return -ENOENT;
        set_absent(kernel, module);
        module->state = STATE_ABSENT;
        futex_wake(&module->state);
        send_uevent(kernel, "remove", module->name);
        return 0;
}

void scripted_kernel_reset(struct scripted_kernel *kernel) {
        kernel->uevents_length = 0;
        kernel->hold = 0;
        for (size_t i = 0; i < kernel->module_count; i++) {
                struct scripted_module *module = &kernel->modules[i];

                if (module->state != STATE_ABSENT)
                        set_absent(kernel, module);
                module->state = STATE_ABSENT;
                module->calls = 0;
                module->loads = 0;
        }
}

void scripted_kernel_hold(struct scripted_kernel *kernel) {
        kernel->hold = 1;
}

void scripted_kernel_release(struct scripted_kernel *kernel) {
        kernel->hold = 0;
        futex_wake(&kernel->hold);
}
