/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "differential.h"

#define ATTEMPTS "/sys/module/mg_state/parameters/attempts"

const char *const module_names[TEST_MODULES] = { "mg_one", "mg_two", "mg_three", "mg_four", "mg_big", "mg_state" };

/* Without the newline; empty when it cannot be read. */
static void read_text(const char *path, char *text, size_t size) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t length = fd < 0 ? 0 : read(fd, text, size - 1);

        if (fd >= 0)
                close(fd);
        text[length > 0 ? length : 0] = '\0';
        for (char *end; (end = strchr(text, '\n'));)
                *end = end[1] == '\0' ? '\0' : ' ';
}

static void read_attribute(const char *module, const char *attribute, char *text, size_t size) {
        char path[256];

        snprintf(path, sizeof(path), "/sys/module/%s/%s", module, attribute);
        read_text(path, text, size);
}

bool module_is_live(const char *name) {
        char text[32];

        read_attribute(name, "initstate", text, sizeof(text));
        return strcmp(text, "live") == 0;
}

bool module_is_ready(const char *name) {
        char text[32];

        read_attribute(name, "refcnt", text, sizeof(text));
        return module_is_live(name) && strcmp(text, "0") == 0;
}

static void describe_module(const char *name, FILE *text) {
        static const char *const parameters[] = { "error", "fail_first", "sleep_ms", "request", "needs" };
        char value[256];

        if (!module_is_live(name))
                return;
        read_attribute(name, "refcnt", value, sizeof(value));
        fprintf(text, "%s(%s", name, value);
        for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]) && strcmp(name, "mg_state") != 0; i++) {
                char path[64];

                snprintf(path, sizeof(path), "parameters/%s", parameters[i]);
                read_attribute(name, path, value, sizeof(value));
                fprintf(text, ",%s", value);
        }
        fputs(") ", text);
}

void state_describe(char *text, size_t size) {
        FILE *file = fmemopen(text, size, "w");

        text[0] = '\0';
        for (size_t i = 0; i < TEST_MODULES; i++)
                describe_module(module_names[i], file);
        fclose(file);
}

void module_remove(const char *name) {
        while (syscall(SYS_delete_module, name, O_NONBLOCK) < 0 && (errno == EBUSY || errno == EAGAIN))
                usleep(10000);
}

void modules_remove(void) {
        for (size_t i = 0; i < TEST_MODULES - 1; i++)
                module_remove(module_names[i]);
}

void modules_reset(void) {
        modules_remove();
        module_remove("mg_state");
}

void state_module_load(void) {
        const struct call call = { .source = source_find("indexed state"), .params = params_find("none") };
        struct call compressed = call;

        compressed.flags = 4;
        if (!module_is_live("mg_state") && call_make(&call) != 0 && call_make(&compressed) != 0) {
                fprintf(stderr, "mg_state cannot be loaded\n");
                exit(1);
        }
}

void attempts_describe(char *text, size_t size) {
        read_text(ATTEMPTS, text, size);
}

void attempts_clear(void) {
        int fd = open(ATTEMPTS, O_WRONLY | O_CLOEXEC);

        if (fd >= 0) {
                (void)!write(fd, "0", 1);
                close(fd);
        }
}
