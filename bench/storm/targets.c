/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "targets.h"

#include <errno.h>
#include <fcntl.h>
#include <libkmod.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "module/identity.h"
#include "module/sysfs.h"
#include "storm.h"
#include "util/fd.h"

/* include/uapi/linux/module.h: MODULE_INIT_COMPRESSED_FILE */
#define FLAG_COMPRESSED 4

static int fail(const char *what, const char *why, const char *advice) {
        (void)storm_error("%s: %s%s", what, why, advice);
        return -1;
}

static char *path_from_name(const char *name) {
        static const char *const no_configuration[] = { NULL };
        struct kmod_ctx *kmod = kmod_new(NULL, no_configuration);
        struct kmod_module *module = NULL;
        const char *path = NULL;
        char *copy;

        if (kmod && kmod_module_new_from_name(kmod, name, &module) == 0)
                path = kmod_module_get_path(module);
        copy = path ? strdup(path) : NULL;
        (void)kmod_module_unref(module);
        (void)kmod_unref(kmod);
        return copy;
}

/* Does the kernel decompress files of that ending itself? */
static bool kernel_decompresses(const char *path) {
        _cleanup_fd_ int fd = open("/sys/module/compression", O_RDONLY | O_CLOEXEC);
        const char *dot = strrchr(path, '.');
        char format[16] = "";
        ssize_t length = fd >= 0 ? read(fd, format, sizeof(format) - 1) : 0;

        if (length <= 0 || !dot)
                return false;
        format[strcspn(format, "\n")] = '\0';
        return strcmp(dot + 1, strcmp(format, "gzip") == 0 ? "gz" : format) == 0;
}

int target_find(struct target *target, const char *text) {
        *target = (struct target){ .fd = -1 };
        target->path = strchr(text, '/') ? realpath(text, NULL) : path_from_name(text);
        if (!target->path && strchr(text, '/'))
                return fail(text, strerror(errno), "");
        if (!target->path)
                return fail(text, "no such module below /lib/modules for this kernel",
                            "; one that is built in has no file; another file needs a path with a '/'");
        if (!module_name_from_path(target->path, target->name))
                return fail(target->path, "not named as a module's file is", " (NAME.ko, or .ko.gz, .ko.xz, .ko.zst)");
        if (module_path_is_compressed(target->path))
                target->flags = FLAG_COMPRESSED;
        return 0;
}

int target_from_scripted(struct target *target, const struct scripted_kernel *kernel, size_t module) {
        char path[PATH_MAX];

        *target = (struct target){ .fd = -1, .scripted = module };
        memcpy(target->name, kernel->modules[module].name, sizeof(target->name));
        scripted_kernel_path(kernel, module, path);
        target->path = strdup(path);
        return target->path ? 0 : -ENOMEM;
}

int target_open(struct target *target, bool init) {
        struct stat status;

        if (init && target->flags & FLAG_COMPRESSED)
                return fail(target->path, "compressed, and init_module takes only a plain image",
                            ": decompress it (xz -dk, zstd -d, gunzip -k) and name the .ko file by its path");
        if (target->flags & FLAG_COMPRESSED && !kernel_decompresses(target->path))
                return fail(target->path, "compressed in a way that this kernel does not decompress itself",
                            " (/sys/module/compression): decompress it and name the .ko file by its path");
        target->fd = open(target->path, O_RDONLY | O_CLOEXEC);
        if (target->fd < 0 || fstat(target->fd, &status) < 0)
                return fail(target->path, strerror(errno), errno == EMFILE ? ": raise ulimit -n" : "");
        if (!S_ISREG(status.st_mode) || status.st_size == 0)
                return fail(target->path, "not a file with something in it", "");
        target->size = (uint64_t)status.st_size;
        if (!init)
                return 0;
        target->image = mmap(NULL, target->size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, target->fd, 0);
        if (target->image != MAP_FAILED)
                return 0;
        target->image = NULL;
        return fail(target->path, strerror(errno), ", while it was mapped");
}

int target_call(const struct target *target, const struct kernel_interface *kernel, const char *params) {
        if (target->image)
                return -kernel->init_module(target->image, target->size, params);
        return -kernel->finit_module(target->fd, params, target->flags);
}

int target_remove(const struct target *target) {
        return syscall(SYS_delete_module, target->name, O_NONBLOCK) < 0 ? -errno : 0;
}

bool target_is_live(const struct target *target, const char *directory) {
        struct module_sysfs sysfs;
        bool live;

        module_sysfs_init(&sysfs, directory);
        live = module_sysfs_state(&sysfs, target->name) == MODULE_LIVE;
        module_sysfs_deinit(&sysfs);
        return live;
}

void target_deinit(struct target *target) {
        if (target->image)
                (void)munmap(target->image, target->size);
        target->fd = fd_close(target->fd);
        free(target->path);
        *target = (struct target){ .fd = -1 };
}
