/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scripted_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "module/elf.h"
#include "module/index.h"
#include "module/sysfs.h"
#include "scripted_image.h"

#include <cmocka.h>

static struct scripted_kernel *kernel;

static int set_up(void **state) {
        static const char *const names[] = { "first", "with_dash" };

        (void)state;
        return scripted_kernel_create(names, 2, 8192, &kernel);
}

static int tear_down(void **state) {
        char path[SCRATCH_PATH_MAX];

        (void)state;
        memcpy(path, kernel->scratch.path, sizeof(path));
        scripted_kernel_destroy(kernel);
        return access(path, F_OK) < 0 && errno == ENOENT ? 0 : -1;
}

static int open_module(size_t module) {
        char path[PATH_MAX];
        int fd;

        scripted_kernel_path(kernel, module, path);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        return fd;
}

static int load(size_t module) {
        int fd = open_module(module), r = kernel->interface.finit_module(fd, "", 0);

        (void)close(fd);
        return r;
}

static enum module_state state_of(size_t module) {
        struct module_sysfs sysfs;
        enum module_state found;

        module_sysfs_init(&sysfs, kernel->interface.module_sysfs);
        found = module_sysfs_state(&sysfs, kernel->modules[module].name);
        module_sysfs_deinit(&sysfs);
        return found;
}

static void life_of_a_module(void **state) {
        (void)state;
        scripted_kernel_reset(kernel);
        assert_int_equal(scripted_kernel_remove(kernel, 0), -ENOENT);
        assert_int_equal(load(0), 0);
        assert_int_equal(state_of(0), MODULE_LIVE);
        assert_int_equal(state_of(1), MODULE_ABSENT);
        assert_int_equal(load(0), -EEXIST);
        assert_int_equal(scripted_kernel_remove(kernel, 0), 0);
        assert_int_equal(state_of(0), MODULE_ABSENT);
        assert_int_equal(load(0), 0);
        assert_int_equal(kernel->modules[0].calls, 3);
        assert_int_equal(kernel->modules[0].loads, 2);
        assert_int_equal(kernel->modules[1].calls, 0);
        scripted_kernel_reset(kernel);
        assert_int_equal(state_of(0), MODULE_ABSENT);
        assert_int_equal(kernel->modules[0].calls, 0);
}

static void failing(void **state) {
        (void)state;
        scripted_kernel_reset(kernel);
        kernel->modules[1].error = ENODEV;
        assert_int_equal(load(1), -ENODEV);
        assert_int_equal(load(1), -ENODEV);
        assert_int_equal(state_of(1), MODULE_ABSENT);
        assert_int_equal(kernel->modules[1].loads, 2);
        kernel->modules[1].error = 0;
        assert_int_equal(load(1), 0);
}

static pid_t load_elsewhere(void) {
        pid_t pid = fork();

        if (pid == 0)
                _exit(-load(0));
        return pid;
}

/* Who comes second waits, and is told whether it is there, but never why not. */
static void two_at_once(int error, int expected) {
        pid_t pids[2];
        int status, results[2];

        scripted_kernel_reset(kernel);
        kernel->modules[0].error = error;
        scripted_kernel_hold(kernel);
        for (unsigned int i = 0; i < 2; i++)
                pids[i] = load_elsewhere();
        while (kernel->modules[0].calls < 2)
                (void)usleep(1000);
        (void)usleep(20000);
        assert_int_equal(waitpid(-1, &status, WNOHANG), 0);
        scripted_kernel_release(kernel);
        for (unsigned int i = 0; i < 2; i++) {
                assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
                results[i] = WEXITSTATUS(status);
        }
        assert_int_equal(kernel->modules[0].loads, 1);
        assert_true((results[0] == error && results[1] == expected) || (results[1] == error && results[0] == expected));
        kernel->modules[0].error = 0;
}

static void at_once(void **state) {
        (void)state;
        two_at_once(0, EEXIST);
        two_at_once(ENODEV, EBUSY);
}

/* What would wait for ever ends with the process that it is for. */
static void owner_ends(void **state) {
        pid_t owner, loader;
        int status;

        (void)state;
        scripted_kernel_reset(kernel);
        owner = fork();
        if (owner == 0)
                _exit(pause());
        kernel->owner = owner;
        scripted_kernel_hold(kernel);
        loader = load_elsewhere();
        while (kernel->modules[0].loads < 1)
                (void)usleep(1000);
        (void)kill(owner, SIGKILL);
        assert_int_equal(waitpid(owner, NULL, 0), owner);
        assert_int_equal(waitpid(loader, &status, 0), loader);
        assert_true(WIFEXITED(status));
        kernel->owner = 0;
}

static int read_image(void *context, uint64_t offset, void *buffer, size_t size) {
        memcpy(buffer, (char *)context + offset, size);
        return 0;
}

static void images(void **state) {
        static char bytes[8192];
        const struct module_image image = { .length = sizeof(bytes), .read = read_image, .context = bytes };
        int fd = open_module(1);
        char name[MODULE_NAME_SIZE];

        (void)state;
        scripted_kernel_reset(kernel);
        assert_int_equal(kernel->image_size, sizeof(bytes));
        assert_int_equal(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
        assert_int_equal(read(fd, bytes, 1), 0);
        (void)close(fd);
        assert_int_equal(module_elf_name(&image, name), 0);
        assert_string_equal(name, "with_dash");
        assert_int_equal(kernel->interface.init_module(bytes, sizeof(bytes), ""), 0);
        assert_int_equal(kernel->interface.init_module(bytes, sizeof(bytes), ""), -EEXIST);
        assert_int_equal(kernel->modules[1].calls, 2);
        assert_int_equal(kernel->interface.init_module(bytes, sizeof(struct scripted_image) - 1, ""), -ENOEXEC);
        memset(bytes, 0, sizeof(bytes));
        assert_int_equal(kernel->interface.init_module(bytes, sizeof(bytes), ""), -ENOEXEC);
}

/* The supervisor takes a file for a module only if depmod's index has it. */
static void in_the_index(void **state) {
        char path[PATH_MAX], name[MODULE_NAME_SIZE];
        struct module_file file = { 0 };
        struct module_index index;
        struct stat status;

        (void)state;
        assert_int_equal(module_index_init(&index, kernel->interface.modules_directory), 0);
        assert_true(module_index_is_there(&index));
        scripted_kernel_path(kernel, 1, path);
        assert_int_equal(stat(path, &status), 0);
        file.device = (uint64_t)major(status.st_dev) << 32 | minor(status.st_dev);
        file.inode = status.st_ino;
        assert_true(module_index_name(&index, path, &file, name));
        assert_string_equal(name, "with_dash");
        module_index_deinit(&index);
}

static struct uevent next_event(int socket, char *buffer, size_t size) {
        struct uevent event;

        assert_int_equal(kernel->interface.receive_uevent(socket, buffer, size, &event), 1);
        return event;
}

static void events(void **state) {
        char buffer[1024];
        struct uevent event;
        int socket;

        (void)state;
        scripted_kernel_reset(kernel);
        assert_int_equal(load(0), 0); /* nobody hears that */
        assert_int_equal(scripted_kernel_remove(kernel, 0), 0);
        socket = kernel->interface.open_uevents();
        assert_true(socket >= 0);
        assert_int_equal(kernel->interface.receive_uevent(socket, buffer, sizeof(buffer), &event), 0);
        assert_int_equal(load(0), 0);
        event = next_event(socket, buffer, sizeof(buffer));
        assert_string_equal(event.action, "add");
        assert_string_equal(event.subsystem, "module");
        assert_int_equal(event.sequence, 1001);
        assert_int_equal(scripted_kernel_remove(kernel, 0), 0);
        event = next_event(socket, buffer, sizeof(buffer));
        assert_string_equal(event.action, "remove");
        assert_int_equal(event.sequence, 1002);
        (void)close(socket);
}

static void names(void **state) {
        static const char *const too_long[] = { "a123456789b123456789c123456789d123456789e123456789f12345" };
        static const char *const longest[] = { "a123456789b123456789c123456789d123456789e123456789f1234" };
        struct scripted_kernel *before = kernel, *other;

        (void)state;
        assert_int_equal(scripted_kernel_create(too_long, 1, 0, &other), -ENAMETOOLONG);
        assert_int_equal(scripted_kernel_create(longest, 1, 0, &other), 0);
        assert_int_equal(other->image_size, sizeof(struct scripted_image));
        kernel = other;
        assert_int_equal(load(0), 0);
        assert_int_equal(state_of(0), MODULE_LIVE);
        scripted_kernel_destroy(other);
        kernel = before;
        assert_int_equal(scripted_kernel_create(NULL, 3, 0, &other), 0);
        assert_string_equal(other->modules[2].name, "storm_00002");
        scripted_kernel_destroy(other);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(life_of_a_module), cmocka_unit_test(failing), cmocka_unit_test(at_once),
                cmocka_unit_test(owner_ends),       cmocka_unit_test(images),  cmocka_unit_test(in_the_index),
                cmocka_unit_test(events),           cmocka_unit_test(names),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
