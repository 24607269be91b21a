/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Short stories, each of them one step: the calls' results in a row, "LIVE" for those that went live in the end. They
 * begin and end with mg_state alone.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "differential.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char told[1024];

static void tell(const char *what) {
        size_t length = strlen(told);

        snprintf(told + length, sizeof(told) - length, "%s%s", length > 0 ? "," : "", what);
}

static void begin(void) {
        state_module_load();
        modules_remove();
        attempts_clear();
        told[0] = '\0';
}

static void end(const char *context, const char *title) {
        step_write(context, title, told);
        modules_remove();
}

static void load(bool init, const char *label, const char *text) {
        struct params params = params_of(text);
        struct call call = { .init = init, .source = source_find(label), .params = &params, .length = &lengths[0] };

        call.flags = strncmp(label, "indexed", 7) == 0 ? indexed_flags() : 0;
        tell(result_name(call_make(&call)));
}

static void finit(const char *label, const char *text) {
        load(false, label, text);
}

static void init(const char *label, const char *text) {
        load(true, label, text);
}

static void unload(const char *name) {
        long r = syscall(SYS_delete_module, name, O_NONBLOCK);

        tell(result_name(r < 0 ? -errno : 0));
}

/* What a bare kernel has at once, modgate may have to make up for first: in a quiet moment, or when the time limit is
 * up. */
static void wait_for_live(const char *name) {
        for (unsigned int i = 0; i < 300 && !module_is_ready(name); i++)
                usleep(100000);
        tell(module_is_ready(name) ? "LIVE" : "not live");
}

static void fails_at_first(void) {
        static const char *const errors[] = { "error=19", "error=6",  "error=95", "error=17",
                                              "error=16", "error=12", "error=517" };

        for (size_t i = 0; i < COUNT(errors); i++)
                for (int kind = 0; kind < 3; kind++) {
                        char text[64], title[128];

                        snprintf(text, sizeof(text), "%s fail_first=2", errors[i]);
                        snprintf(title, sizeof(title), "%s of %s", text,
                                 kind == 0 ? "a file" : (kind == 1 ? "an image" : "a copy"));
                        begin();
                        for (int j = 0; j < 3; j++)
                                load(kind == 1, kind == 0 ? "indexed one" : (kind == 1 ? "plain one" : "copy"), text);
                        end("again", title);
                }
}

/* Also what is no errno of a program's, or none at all; -7 makes a positive result, which is a success. */
static void results(const char *title, bool image, const char *label) {
        static const int errors[] = { 1,  2,   4,   5,   6,   11,  12,  16,  17,   19,   22,   26, 38,
                                      95, 110, 512, 513, 514, 516, 517, 524, 4095, 4096, 5000, -7 };

        begin();
        for (size_t i = 0; i < COUNT(errors); i++) {
                char text[32];

                snprintf(text, sizeof(text), "error=%d", errors[i]);
                load(image, label, text);
        }
        end("-", title);
}

static void needs_another(void) {
        begin();
        finit("indexed one", "needs=mg_two");
        finit("indexed two", "");
        finit("indexed one", "needs=mg_two");
        wait_for_live("mg_one");
        end("made up for", "a file that needs another one");

        begin();
        init("plain one", "needs=mg_two");
        finit("indexed two", "");
        init("plain one", "needs=mg_two");
        wait_for_live("mg_one");
        end("made up for", "an image that needs another one");
}

/* None of these may be taken for the failure that was before it. */
static void no_failure_of_its_own(void) {
        static const char once[] = "error=19 fail_first=1";

        begin();
        finit("indexed one", once);
        finit("indexed two", "");
        unload("mg_two");
        finit("indexed one", once);
        end("-", "a module was removed since");

        begin();
        finit("indexed one", once);
        finit("indexed one", "error=19  fail_first=1");
        end("-", "other parameters");

        begin();
        finit("indexed one", once);
        finit("copy", once);
        end("-", "another file");

        begin();
        finit("indexed one", once);
        init("plain one", once);
        end("-", "the other call");

        begin();
        finit("indexed two", once);
        (void)utimensat(AT_FDCWD, "indexed/mg_two", NULL, 0);
        finit("indexed two", once);
        end("-", "a file that was touched");

        begin();
        init("plain one", once);
        init("longer", once);
        end("-", "a longer image");

        begin();
        finit("copy", once);
        finit("copy", once);
        end("-", "a file that has no name");
}

/* Until no modprobe is on its way: those that the kernel starts are nobody's children. */
static bool modprobe_runs(void) {
        DIR *proc = opendir("/proc");
        struct dirent *entry;
        bool found = false;

        while (!found && (entry = readdir(proc))) {
                char path[300], name[32] = "";
                int fd;

                snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
                fd = open(path, O_RDONLY | O_CLOEXEC);
                if (fd < 0)
                        continue;
                (void)!read(fd, name, sizeof(name) - 1);
                close(fd);
                found = strcmp(name, "modprobe\n") == 0;
        }
        closedir(proc);
        return found;
}

static void wait_for_modprobe(void) {
        for (unsigned int quiet = 0; quiet < 3; usleep(20000))
                quiet = modprobe_runs() ? 0 : quiet + 1;
}

static void requests(void) {
        begin();
        finit("indexed one", "request=mg_two");
        tell(module_is_live("mg_two") ? "LIVE" : "not live");
        end("-", "request_module of another one");

        begin();
        init("plain one", "request=mg_two error=16");
        tell(module_is_live("mg_two") ? "LIVE" : "not live");
        end("-", "request_module of another one, then a failure");

        begin();
        finit("indexed one", "request=mg_nowhere");
        end("-", "request_module of one that is not there");

        begin();
        finit("indexed one", "request=mg_one sleep_ms=500");
        wait_for_modprobe();
        end("-", "request_module of itself");
}

static void dependencies(void) {
        begin();
        unload("mg_state");
        finit("indexed one", "");
        init("plain one", "");
        finit("copy", "");
        finit("indexed one", "error=7");
        end("-", "a dependency is missing");

        begin();
        finit("indexed one", "");
        unload("mg_state");
        unload("mg_one");
        unload("mg_one");
        finit("indexed one", "error=7");
        finit("indexed one", "");
        unload("mg_one");
        unload("mg_state");
        finit("indexed one", "");
        end("-", "a dependency in use");
}

static void again_and_again(void) {
        begin();
        for (int i = 0; i < 4; i++) {
                finit("indexed one", "");
                finit("indexed one", "");
                unload("mg_one");
                init("plain one", "");
                init("plain one", "");
                unload("mg_one");
        }
        end("-", "loaded and removed, again and again");
}

/* --- a file of the index that is something else --- */

static void *read_all(const char *path, size_t *ret_size) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct stat status;
        void *bytes;

        if (fd < 0 || fstat(fd, &status) < 0 || !(bytes = malloc((size_t)status.st_size)) ||
            read(fd, bytes, (size_t)status.st_size) != status.st_size) {
                perror(path);
                exit(1);
        }
        close(fd);
        *ret_size = (size_t)status.st_size;
        return bytes;
}

static void write_all(const char *path, const void *bytes, size_t size) {
        int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

        if (fd < 0 || write(fd, bytes, size) != (ssize_t)size) {
                perror(path);
                exit(1);
        }
        close(fd);
}

static void rewritten(void) {
        size_t three_size, four_size;
        void *three = read_all("indexed/mg_three", &three_size), *four = read_all("indexed/mg_four", &four_size);

        begin();
        finit("indexed three", "");
        unload("mg_three");
        write_all("indexed/mg_three", four, four_size);
        finit("indexed three", "");
        finit("indexed three", "");
        tell(module_is_live("mg_four") ? "LIVE" : "not live");
        end("-", "a file that became another module's");

        begin();
        finit("plain three", "");
        finit("indexed three", "");
        end("misnamed", "a file that became another module's, while the old one is live");

        begin();
        finit("plain four", "");
        finit("indexed three", "");
        finit("indexed three", "error=19");
        end("-", "a file that became that of a live module");

        write_all("indexed/mg_three", three, three_size / 2);
        begin();
        finit("indexed three", "");
        finit("plain three", "");
        end("-", "a file that was cut in half");

        begin();
        finit("plain three", "");
        step_call(&(struct call){
                .source = source_find("indexed three"), .params = params_find("none"), .flags = indexed_flags() });
        modules_remove();

        write_all("indexed/mg_three", three, three_size);
        begin();
        finit("indexed three", "");
        finit("indexed three", "");
        end("-", "a file that is as it was");
        free(three);
        free(four);
}

void scenarios_run(void) {
        results("results of a file", false, "indexed one");
        results("results of an image", true, "plain two");
        results("results of a copy", false, "copy");
        fails_at_first();
        needs_another();
        no_failure_of_its_own();
        requests();
        dependencies();
        again_and_again();
        rewritten();
        modules_reset();
}
