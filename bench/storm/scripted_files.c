/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The scripted kernel's beginning and end: its memory, its files, their index. */

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file_times.h"
#include "scripted_image.h"
#include "scripted_private.h"
#include "util/fd.h"

#define RELEASE "6.1.0-scripted"

static int write_file(const char *path, const void *bytes, size_t size, uint64_t total) {
        _cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        ssize_t written;

        if (fd < 0)
                return -errno;
        written = write(fd, bytes, size);
        if (written < 0)
                return -errno;
        if ((size_t)written != size)
                return -ENOSPC;
        return total > size && ftruncate(fd, (off_t)total) < 0 ? -errno : 0;
}

void scripted_kernel_path(const struct scripted_kernel *kernel, size_t module, char path[static PATH_MAX]) {
        (void)snprintf(path, PATH_MAX, "%s/kernel/%s.ko", kernel->modules_directory, kernel->modules[module].name);
}

static int make_module(const struct scripted_kernel *kernel, size_t index) {
        struct scripted_image image;
        char path[PATH_MAX];
        int r;

        scripted_image_fill(&image, kernel->modules[index].name, index);
        scripted_kernel_path(kernel, index, path);
        r = write_file(path, &image, sizeof(image), kernel->image_size);
        if (r < 0)
                return r;
        (void)snprintf(path, sizeof(path), "%s/%s", kernel->sysfs, kernel->modules[index].name);
        return mkdir(path, 0755) < 0 ? -errno : 0;
}

/* It complains about files that it needs only for what nobody asks here. */
static int run_depmod(const struct scripted_kernel *kernel) {
        char *const argv[] = { "depmod", "-b", (char *)kernel->scratch.path, RELEASE, NULL };
        char *const environment[] = { NULL };
        static const char *const paths[] = { "/usr/sbin/depmod", "/sbin/depmod", "/usr/bin/depmod" };
        posix_spawn_file_actions_t actions;
        int status, r = ENOENT;
        pid_t pid;

        if (posix_spawn_file_actions_init(&actions) != 0)
                return -ENOMEM;
        (void)posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        for (size_t i = 0; r != 0 && i < sizeof(paths) / sizeof(paths[0]); i++)
                r = posix_spawn(&pid, paths[i], &actions, NULL, argv, environment);
        (void)posix_spawn_file_actions_destroy(&actions);
        if (r != 0)
                return -r;
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return status == 0 ? 0 : -EIO;
}

static int make_directory(char path[static SCRIPTED_DIRECTORY_MAX], const char *parent, const char *name) {
        (void)snprintf(path, SCRIPTED_DIRECTORY_MAX, "%s%s", parent, name);
        return mkdir(path, 0755) < 0 ? -errno : 0;
}

static int make_directories(struct scripted_kernel *kernel) {
        const char *scratch = kernel->scratch.path;
        char path[SCRIPTED_DIRECTORY_MAX];
        int r = make_directory(path, scratch, "/lib");

        if (r == 0)
                r = make_directory(path, scratch, "/lib/modules");
        if (r == 0)
                r = make_directory(kernel->modules_directory, scratch, "/lib/modules/" RELEASE);
        if (r == 0)
                r = make_directory(path, scratch, "/lib/modules/" RELEASE "/kernel");
        if (r == 0)
                r = make_directory(kernel->sysfs, scratch, "/sys");
        return r;
}

static int make_files(struct scripted_kernel *kernel) {
        int r = make_directories(kernel);

        (void)snprintf(kernel->modules_disabled, sizeof(kernel->modules_disabled), "%s/modules_disabled",
                       kernel->scratch.path);
        (void)snprintf(kernel->uevent_seqnum, sizeof(kernel->uevent_seqnum), "%s/uevent_seqnum", kernel->scratch.path);
        if (r == 0)
                r = write_file(kernel->modules_disabled, "0\n", 2, 0);
        if (r == 0)
                r = write_file(kernel->uevent_seqnum, "1000\n", 5, 0);
        for (size_t i = 0; r == 0 && i < kernel->module_count; i++)
                r = make_module(kernel, i);
        if (r == 0)
                r = run_depmod(kernel);
        file_times_settle();
        return r;
}

static int set_names(struct scripted_kernel *kernel, const char *const *names) {
        for (size_t i = 0; i < kernel->module_count; i++) {
                char *name = kernel->modules[i].name;

                if (!names)
                        (void)snprintf(name, MODULE_NAME_SIZE, "storm_%05zu", i);
                else if ((size_t)snprintf(name, MODULE_NAME_SIZE, "%s", names[i]) >= MODULE_NAME_SIZE)
                        return -ENAMETOOLONG;
        }
        return 0;
}

int scripted_kernel_create(const char *const *names, size_t count, uint64_t image_size, struct scripted_kernel **ret) {
        size_t size = sizeof(struct scripted_kernel) + count * sizeof(struct scripted_module);
        struct scripted_kernel *kernel =
                mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        int r;

        if (kernel == MAP_FAILED)
                return -errno;
        kernel->size = size;
        kernel->module_count = count;
        kernel->image_size = image_size > sizeof(struct scripted_image) ? image_size : sizeof(struct scripted_image);
        kernel->interface = (struct kernel_interface){
                .module_sysfs = kernel->sysfs,
                .modules_directory = kernel->modules_directory,
                .modules_disabled = kernel->modules_disabled,
                .uevent_seqnum = kernel->uevent_seqnum,
                .open_uevents = scripted_open_uevents,
                .receive_uevent = scripted_receive_uevent,
                .finit_module = scripted_finit_module,
                .init_module = scripted_init_module,
                .load_calls = scripted_load_calls,
        };
        r = set_names(kernel, names);
        if (r == 0)
                r = scratch_create(&kernel->scratch);
        if (r == 0)
                r = make_files(kernel);
        if (r < 0) {
                scripted_kernel_destroy(kernel);
                return r;
        }
        scripted_current = kernel;
        *ret = kernel;
        return 0;
}

void scripted_kernel_destroy(struct scripted_kernel *kernel) {
        if (!kernel)
                return;
        scripted_current = NULL;
        scratch_remove(&kernel->scratch);
        (void)munmap(kernel, kernel->size);
}
