/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * mediated DIRECTORY: modgate mediate with a scripted kernel. In DIRECTORY are
 *
 *   oci.sock, policy/    what it listens at, and goes by
 *   modules/             an index of modules (depmod)
 *   sys/NAME/initstate   which of them are live, for who died
 *   results/NAME         what a load of NAME results in: an errno, then the milliseconds that it takes; `die`: whoever
 *                        loads it dies before, `late`: after it is live
 *   loads                is written: a line for each load, NAME and its parameters
 */

#include <errno.h>
#include <fcntl.h>
#include <libkmod.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mediate/mediate.h"
#include "util/log.h"
#include "util/title.h"

/* One write each: many processes write there. */
static void record(const char *name, const char *params) {
        char line[512];
        int length = snprintf(line, sizeof(line), "%s %s\n", name, params);
        int fd = open("loads", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

        if (fd < 0 || write(fd, line, (size_t)length) != length)
                _exit(3);
        (void)close(fd);
}

static void make_live(const char *name) {
        char path[128];
        FILE *file;

        (void)snprintf(path, sizeof(path), "sys/%s", name);
        (void)mkdir(path, 0755);
        (void)snprintf(path, sizeof(path), "sys/%s/initstate", name);
        file = fopen(path, "w");
        if (!file || fputs("live\n", file) < 0 || fclose(file) != 0)
                _exit(3);
}

static int insert(struct kmod_module *module, const char *params) {
        const char *name = kmod_module_get_name(module);
        char word[16] = "0", ms[16] = "0", path[128];
        FILE *file;
        int error;

        record(name, params);
        (void)snprintf(path, sizeof(path), "results/%s", name);
        file = fopen(path, "r");
        if (!kmod_module_get_path(module))
                return -ENOENT;
        if (file) {
                if (fscanf(file, "%15s %15s", word, ms) < 1)
                        _exit(3);
                (void)fclose(file);
        }
        (void)usleep((useconds_t)atoi(ms) * 1000);
        error = atoi(word);
        if (strcmp(word, "die") == 0)
                (void)raise(SIGKILL);
        if (error == 0)
                make_live(name);
        if (strcmp(word, "late") == 0)
                (void)raise(SIGKILL);
        return -error;
}

int main(int argc, char **argv) {
        struct kernel_interface kernel = kernel_interface_native;

        if (argc != 2 || chdir(argv[1]) < 0)
                return 2;
        log_init();
        title_init(argc, argv);
        kernel.modules_directory = "modules";
        kernel.module_sysfs = "sys";
        kernel.insert_module = insert;
        return mediate_run(&(struct mediate_config){ .kernel = &kernel,
                                                     .policy_directory = "policy",
                                                     .oci_socket = "./oci.sock",
                                                     .lxc_socket = "./lxc.sock" }) < 0;
}
