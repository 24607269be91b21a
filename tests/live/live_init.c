/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What callers of init_module see, and what reaches the loaders: the table in docs/design.md, for images. */

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "modgate/journal.h"
#include "modgate/module.h"
#include "scripted.h"

/* It takes a while to copy so much. The scripted loader refuses images of such a size, with ENOEXEC. */
#define LARGE ((size_t)64 << 20)

#define KILLS 3U

static size_t page_size(void) {
        return (size_t)sysconf(_SC_PAGESIZE);
}

/* Calls of the kit: the image is all of a file */

static struct scripted_call image_with(struct scripted *kit, const struct scripted_module *module, const char *label,
                                       const char *params) {
        char *path = strdup(scripted_image(kit, module, label));

        CHECK(path != NULL);
        return (struct scripted_call){ .path = path, .params = params, .image = true };
}

static struct scripted_call image_call(struct scripted *kit, const struct scripted_module *module, const char *label) {
        return image_with(kit, module, label, "");
}

static size_t image_size(struct scripted *kit) {
        struct stat status;

        CHECK_EQUAL(stat(scripted_image(kit, scripted_module(kit, "alpha"), "size"), &status), 0);
        return (size_t)status.st_size;
}

/* Calls of our own: any pointers, and memory that is shared with the caller */

struct raw {
        char *image;
        unsigned long length;
        const char *params;
};

/* Memory of `room` bytes that begins with an image of the module. The test and its callers share it. */
static struct raw raw_image(struct scripted *kit, const struct scripted_module *module, const char *label,
                            size_t room) {
        int fd = open(scripted_image(kit, module, label), O_RDONLY | O_CLOEXEC);
        char *memory = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        size_t size = image_size(kit);

        CHECK(memory != MAP_FAILED);
        CHECK(fd >= 0);
        CHECK_EQUAL(read(fd, memory, size), size);
        (void)close(fd);
        return (struct raw){ .image = memory, .length = room, .params = "" };
}

static struct raw large_image(struct scripted *kit) {
        return raw_image(kit, scripted_module(kit, "alpha"), "large", LARGE);
}

static struct raw small_image(struct scripted *kit, const struct scripted_module *module, const char *label) {
        return raw_image(kit, module, label, image_size(kit));
}

static _Noreturn void raw_caller(struct scripted *kit, struct scripted_call *call, const struct raw *raw,
                                 pid_t parent) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);
        call->process = getpid();
        call->thread = gettid();
        call->error = syscall(SYS_init_module, raw->image, raw->length, raw->params) < 0 ? errno : 0;
        call->rank = atomic_fetch_add(&kit->rank, 1) + 1;
        _exit(EXIT_SUCCESS);
}

static struct scripted_call *raw_start(struct scripted *kit, unsigned int count, struct raw raw) {
        struct scripted_call *calls = scripted_calls(kit, count, (struct scripted_call){ 0 });
        pid_t parent = getpid();

        for (unsigned int i = 0; i < count; i++) {
                pid_t pid = fork();

                CHECK(pid >= 0);
                if (pid == 0)
                        raw_caller(kit, &calls[i], &raw, parent);
                calls[i].process = pid;
        }
        return calls;
}

static int raw_one(struct scripted *kit, struct raw raw) {
        struct scripted_call *call = raw_start(kit, 1, raw);

        scripted_finish(kit, call, 1);
        return call->error;
}

/* Steps that many tests take */

static void set_results(struct scripted_module *module, int first, int second) {
        module->errors[0] = first;
        module->errors[1] = second;
        module->results = 2;
}

static struct scripted_call *start(struct scripted *kit, unsigned int count, struct scripted_call like) {
        struct scripted_call *calls = scripted_calls(kit, count, like);

        scripted_start(kit, calls, count, 0);
        scripted_settle(kit, calls, count);
        return calls;
}

/* They wait for a load that is held. */
static struct scripted_call *start_held(struct scripted *kit, struct scripted_module *module, unsigned int count,
                                        struct scripted_call like) {
        module->hold = 1;
        return start(kit, count, like);
}

/* Lets one load end. Those who begin again then find the next one held, and wait for it. */
static void release_one(struct scripted *kit, struct scripted_module *module) {
        pid_t supervisor = scripted_stop(kit, "modgate-superv");

        scripted_release(module);
        scripted_await_ended(module, module->loads);
        module->hold = 1;
        CHECK_EQUAL(kill(supervisor, SIGCONT), 0);
}

static void check_all(struct scripted *kit, struct scripted_call *calls, unsigned int count, int error) {
        scripted_finish(kit, calls, count);
        CHECK_EQUAL(scripted_count(calls, count, error), count);
}

static bool loaded_from(const struct scripted_module *module, unsigned int load, const char *label) {
        return strcmp(module->record[load].file, label) == 0;
}

static void kill_calls(const struct scripted_call *calls, unsigned int count) {
        for (unsigned int i = 0; i < count; i++)
                CHECK_EQUAL(kill(calls[i].process, SIGKILL), 0);
}

static void after_no_continue(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_continued(report), 0);
}

/* How many descriptors of the process lead to something of that name. */
static unsigned int count_fds(pid_t pid, const char *name) {
        char directory_path[32], path[300], target[256];
        unsigned int found = 0;
        struct dirent *entry;
        DIR *directory;

        (void)snprintf(directory_path, sizeof(directory_path), "/proc/%d/fd", (int)pid);
        directory = opendir(directory_path);
        while (directory && (entry = readdir(directory))) {
                ssize_t length;

                (void)snprintf(path, sizeof(path), "%s/%s", directory_path, entry->d_name);
                length = readlink(path, target, sizeof(target) - 1);
                target[length > 0 ? length : 0] = '\0';
                found += strstr(target, name) != NULL;
        }
        if (directory)
                (void)closedir(directory);
        return found;
}

/* Stops the inspector that copies a large image now. */
static pid_t stop_copying(struct scripted *kit) {
        for (;;) {
                pid_t inspectors[4];

                for (unsigned int i = 0; i < SCRIPTED_COUNT(inspectors); i++)
                        inspectors[i] = scripted_process(kit, "modgate-inspect", i);
                for (unsigned int i = 0; i < 100 * SCRIPTED_COUNT(inspectors); i++) {
                        pid_t inspector = inspectors[i % SCRIPTED_COUNT(inspectors)];

                        if (inspector == 0 || count_fds(inspector, "modgate-image") == 0)
                                continue;
                        CHECK_EQUAL(kill(inspector, SIGSTOP), 0);
                        return inspector;
                }
        }
}

/*
 * Callers that the supervisor hears of at once: the first one of `first` leads, and all have joined before its image is
 * copied.
 */
struct crowd {
        struct scripted_call *first, *others;
};

static struct crowd start_crowd(struct scripted *kit, struct raw first, unsigned int first_count, struct raw others,
                                unsigned int others_count) {
        pid_t supervisor = scripted_stop(kit, "modgate-superv");
        struct crowd crowd = { .first = raw_start(kit, first_count, first) };

        scripted_settle(kit, crowd.first, first_count);
        crowd.others = raw_start(kit, others_count, others);
        scripted_settle(kit, crowd.others, others_count);
        CHECK_EQUAL(kill(supervisor, SIGCONT), 0);
        return crowd;
}

/* The same image in flight: one load, everybody gets its result */

static void test_joined(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = start_held(kit, alpha, 64, image_call(kit, alpha, "one"));

        scripted_release(alpha);
        check_all(kit, calls, 64, 0);
        CHECK_EQUAL(alpha->loads, 1);
        CHECK(loaded_from(alpha, 0, "one"));
        CHECK_EQUAL(scripted_one(kit, image_call(kit, alpha, "one")), EEXIST);
        CHECK_EQUAL(alpha->loads, 1);
}

static void after_joined(struct scripted *kit, struct json_object *report) {
        CHECK_EQUAL(scripted_module_number(report, "alpha", "requests"), 65);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 1);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "joined"), 63);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "live"), 1);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "bytes_loaded"), image_size(kit));
        CHECK_EQUAL(scripted_module_number(report, "alpha", "bytes_not_read"), 64 * image_size(kit));
        CHECK_EQUAL(scripted_continued(report), 0);
}

static void test_joined_failure(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls;

        set_results(alpha, ENODEV, 0);
        calls = start_held(kit, alpha, 64, image_call(kit, alpha, "one"));
        scripted_release(alpha);
        check_all(kit, calls, 64, ENODEV);
        CHECK_EQUAL(alpha->loads, 1);
        /* nothing is remembered */
        CHECK_EQUAL(scripted_one(kit, image_call(kit, alpha, "one")), 0);
        CHECK_EQUAL(alpha->loads, 2);
}

static void after_joined_failure(struct scripted *kit, struct json_object *report) {
        CHECK_EQUAL(scripted_module_number(report, "alpha", "requests"), 65);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 2);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "joined"), 63);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "bytes_not_read"), 63 * image_size(kit));
        CHECK_EQUAL(scripted_continued(report), 0);
}

static void test_errnos(struct scripted *kit) {
        /* EEXIST: the init's own. ENOEXEC: as the inspector says. 524, ENOTSUPP: the kernel's, and in no header */
        static const int errors[] = { EEXIST, ENOEXEC, EBUSY, EKEYREJECTED, EFAULT, 524 };
        struct scripted_call *calls[SCRIPTED_COUNT(errors)];

        for (unsigned int i = 0; i < SCRIPTED_COUNT(errors); i++) {
                struct scripted_module *module = &kit->module[8 + i];

                scripted_set_result(module, errors[i]);
                calls[i] = start_held(kit, module, 4, image_call(kit, module, "one"));
        }
        for (unsigned int i = 0; i < SCRIPTED_COUNT(errors); i++) {
                scripted_release(&kit->module[8 + i]);
                check_all(kit, calls[i], 4, errors[i]);
                CHECK_EQUAL(kit->module[8 + i].loads, 1);
        }
}

static void test_threads(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = scripted_calls(kit, 64, image_call(kit, alpha, "one"));

        scripted_set_result(alpha, ENODEV);
        alpha->hold = 1;
        scripted_start(kit, calls, 64, 16);
        scripted_settle(kit, calls, 64);
        scripted_release(alpha);
        check_all(kit, calls, 64, ENODEV);
        CHECK_EQUAL(alpha->loads, 1);
}

/* Another image of the same length: told apart only where a failure would be shared */

static void test_other_content_failure(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *one, *two;

        set_results(alpha, ENODEV, ENOENT);
        one = start_held(kit, alpha, 8, image_call(kit, alpha, "one"));
        two = start(kit, 8, image_call(kit, alpha, "two"));
        release_one(kit, alpha);
        check_all(kit, one, 8, ENODEV);
        scripted_await_begun(alpha, 2);
        scripted_settle(kit, two, 8);
        scripted_release(alpha);
        check_all(kit, two, 8, ENOENT);
        CHECK_EQUAL(alpha->loads, 2);
        CHECK(loaded_from(alpha, 0, "one") && loaded_from(alpha, 1, "two"));
        CHECK(!alpha->overlapped);
}

static void after_other_content_failure(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "requests"), 16);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "joined"), 14);
        CHECK_EQUAL(scripted_continued(report), 0);
}

static void test_other_content_success(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *one = start_held(kit, alpha, 8, image_call(kit, alpha, "one"));
        struct scripted_call *two = start(kit, 8, image_call(kit, alpha, "two"));

        scripted_release(alpha);
        check_all(kit, one, 8, 0);
        check_all(kit, two, 8, 0);
        CHECK_EQUAL(alpha->loads, 1);
}

/* The first image fails, the second one succeeds: whoever begins again finds the module live, or joins. */
static void test_many_contents(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *first, *calls;

        set_results(alpha, ENODEV, 0);
        first = start_held(kit, alpha, 2, image_call(kit, alpha, "first"));
        calls = scripted_calls(kit, 16, image_call(kit, alpha, "0"));
        for (unsigned int i = 1; i < 16; i++) {
                char label[16];

                (void)snprintf(label, sizeof(label), "%u", i);
                calls[i].path = image_call(kit, alpha, label).path;
        }
        scripted_start(kit, calls, 16, 0);
        scripted_settle(kit, calls, 16);
        scripted_release(alpha);
        check_all(kit, first, 2, ENODEV);
        scripted_finish(kit, calls, 16);
        CHECK(scripted_count(calls, 16, 0) >= 1);
        CHECK_EQUAL(scripted_count(calls, 16, 0) + scripted_count(calls, 16, EEXIST), 16);
        CHECK_EQUAL(alpha->loads, 2);
}

/* Same name, other length or parameters, or a file: behind */

static void check_behind(struct scripted *kit, struct scripted_module *module, struct scripted_call first_call,
                         struct scripted_call second_call, int first_result) {
        struct scripted_call *first, *second;

        set_results(module, first_result, ENOENT);
        first = start_held(kit, module, 4, first_call);
        second = start(kit, 4, second_call);
        CHECK_EQUAL(module->loads, 1);
        scripted_release(module);
        check_all(kit, first, 4, first_result);
        check_all(kit, second, 4, first_result == 0 ? EEXIST : ENOENT);
        CHECK_EQUAL(module->loads, first_result == 0 ? 1 : 2);
        CHECK(!module->overlapped);
}

static void test_other_params(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");

        check_behind(kit, alpha, image_with(kit, alpha, "one", "a=1"), image_with(kit, alpha, "one", "a=2"), 0);
        check_behind(kit, beta, image_with(kit, beta, "one", "a=1"), image_with(kit, beta, "one", "a=2"), ENODEV);
        CHECK_EQUAL(strcmp(beta->record[1].params, "a=2"), 0);
}

static void test_file_and_image(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");

        check_behind(kit, alpha, scripted_call_of(alpha), image_call(kit, alpha, "one"), 0);
        check_behind(kit, beta, image_call(kit, beta, "one"), scripted_call_of(beta), ENODEV);
        CHECK(loaded_from(beta, 0, "one") && loaded_from(beta, 1, "indexed"));
}

static void after_behind(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "behind"), 4);
        CHECK_EQUAL(scripted_module_number(report, "beta", "behind"), 0);
        CHECK_EQUAL(scripted_module_number(report, "beta", "joined"), 6);
        CHECK_EQUAL(scripted_continued(report), 0);
}

static void test_other_length(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *one, *longer;

        scripted_set_result(alpha, ENODEV);
        one = start_held(kit, alpha, 4, image_call(kit, alpha, "one"));
        longer = raw_start(kit, 4, raw_image(kit, alpha, "one", image_size(kit) + 1));
        scripted_settle(kit, longer, 4);
        scripted_release(alpha);
        check_all(kit, one, 4, ENODEV);
        check_all(kit, longer, 4, ENOEXEC); /* the scripted loader's answer */
}

static void test_other_names(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        struct scripted_call *calls = start_held(kit, alpha, 4, image_call(kit, alpha, "one"));

        CHECK_EQUAL(scripted_one(kit, image_call(kit, beta, "one")), 0);
        CHECK_EQUAL(alpha->running, 1);
        scripted_release(alpha);
        check_all(kit, calls, 4, 0);
}

/* Parameters */

static char *long_params(size_t length) {
        char *text = malloc(length + 1);

        CHECK(text != NULL);
        for (size_t i = 0; i < length; i++)
                text[i] = (char)(1 + i % 255);
        text[length] = '\0';
        return text;
}

static void test_params(struct scripted *kit) {
        static const size_t lengths[] = { 1, 31, 4096, MODULE_PARAMS_MAX };
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        scripted_set_result(alpha, ENODEV);
        for (unsigned int i = 0; i < SCRIPTED_COUNT(lengths); i++) {
                char *text = long_params(lengths[i]);

                CHECK_EQUAL(scripted_one(kit, image_with(kit, alpha, "one", text)), ENODEV);
                CHECK_EQUAL(alpha->record[i].params_length, lengths[i]);
                CHECK(alpha->record[i].params_hash == scripted_hash(text, lengths[i]));
                free(text);
        }
}

/* What is no good image, and what of it is looked at */

/* Only the first page is there; the kernel would need them all. */
static struct raw headers_only(struct scripted *kit, const struct scripted_module *module) {
        struct raw raw = small_image(kit, module, "one");

        CHECK(raw.length > page_size());
        CHECK_EQUAL(munmap(raw.image + page_size(), raw.length - page_size()), 0);
        return raw;
}

static void test_live(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");

        scripted_set_state(kit, alpha, "live");
        CHECK_EQUAL(raw_one(kit, headers_only(kit, alpha)), EEXIST);
        CHECK_EQUAL(alpha->loads, 0);
        CHECK_EQUAL(count_fds(scripted_await_process(kit, "modgate-superv"), "modgate-image"), 0);
}

static void after_live(struct scripted *kit, struct json_object *report) {
        CHECK_EQUAL(scripted_module_number(report, "alpha", "live"), 1);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "bytes_not_read"), image_size(kit));
        CHECK_EQUAL(scripted_continued(report), 0);
}

struct odd_image {
        const char *reason; /* in the report */
        struct raw (*make)(struct scripted *kit);
};

static struct raw good_image(struct scripted *kit) {
        return small_image(kit, scripted_module(kit, "alpha"), "one");
}

static struct raw with_length(struct scripted *kit, unsigned long length) {
        struct raw raw = good_image(kit);

        raw.length = length;
        return raw;
}

static struct raw no_length(struct scripted *kit) {
        return with_length(kit, 0);
}

static struct raw all_lengths(struct scripted *kit) {
        return with_length(kit, ULONG_MAX);
}

static struct raw over_a_gigabyte(struct scripted *kit) {
        return with_length(kit, (1UL << 30) + 1);
}

static struct raw shorter_than_its_sections(struct scripted *kit) {
        return with_length(kit, 100);
}

static struct raw longer_than_its_memory(struct scripted *kit) {
        return with_length(kit, LARGE);
}

static struct raw first_page_only(struct scripted *kit) {
        return headers_only(kit, scripted_module(kit, "alpha"));
}

static struct raw null_image(struct scripted *kit) {
        return (struct raw){ .length = image_size(kit), .params = "" };
}

static struct raw kernel_image(struct scripted *kit) {
        return (struct raw){ .image = (char *)UINTPTR_MAX - 8191, .length = image_size(kit), .params = "" };
}

static struct raw not_elf(struct scripted *kit) {
        struct raw raw = good_image(kit);

        memset(raw.image, 'x', raw.length);
        return raw;
}

/* Replaces the first or second "alpha" of an image, which has one of them in the module, the other one in .modinfo. */
static struct raw renamed(struct scripted *kit, const char *in_module, const char *in_modinfo) {
        struct raw raw = good_image(kit);
        char *first = memmem(raw.image, raw.length, "alpha", 5);
        char *second = memmem(first + 5, raw.length - (size_t)(first + 5 - raw.image), "alpha", 5);

        memcpy(first, in_module, 5);
        memcpy(second, in_modinfo, 5);
        return raw;
}

static struct raw of_two_names(struct scripted *kit) {
        return renamed(kit, "alpha", "alphb");
}

/* The supervisor looks at initstate: it must not be led anywhere else. Here it would wait for the FIFO's writer. */
static struct raw of_a_path(struct scripted *kit) {
        char path[SCRIPTED_PATH_MAX + 16];

        (void)snprintf(path, sizeof(path), "%s/../xx", kit->sysfs);
        CHECK(mkdir(path, 0700) == 0 || errno == EEXIST);
        (void)snprintf(path, sizeof(path), "%s/../xx/initstate", kit->sysfs);
        CHECK(mkfifo(path, 0600) == 0 || errno == EEXIST);
        return renamed(kit, "../xx", "../xx");
}

static struct raw without_params(struct scripted *kit) {
        struct raw raw = good_image(kit);

        raw.params = NULL;
        return raw;
}

static struct raw cut_params(struct scripted *kit) {
        struct raw raw = good_image(kit);
        char *memory = mmap(NULL, 2 * page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        CHECK(memory != MAP_FAILED);
        memset(memory, 'a', page_size());
        CHECK_EQUAL(munmap(memory + page_size(), page_size()), 0);
        raw.params = memory + page_size() - 10;
        return raw;
}

static struct raw params_too_long(struct scripted *kit) {
        struct raw raw = good_image(kit);

        raw.params = long_params(MODULE_PARAMS_MAX + 1);
        return raw;
}

static const struct odd_image odd_images[] = {
        { "image-not-understood", no_length },
        { "image-not-understood", all_lengths },
        { "image-not-understood", over_a_gigabyte },
        { "image-not-understood", shorter_than_its_sections },
        { "memory-unreadable", longer_than_its_memory },
        { "memory-unreadable", first_page_only },
        { "memory-unreadable", null_image },
        { "memory-unreadable", kernel_image },
        { "image-not-understood", not_elf },
        { "image-not-understood", of_two_names },
        { "image-not-understood", of_a_path },
        { "memory-unreadable", without_params },
        { "memory-unreadable", cut_params },
        { "parameters-too-long", params_too_long },
};

static void make_odd_images_bare(struct scripted *kit) {
        for (unsigned int i = 0; i < SCRIPTED_COUNT(odd_images); i++)
                kit->bare[i] = raw_one(kit, odd_images[i].make(kit));
}

static void test_odd_images(struct scripted *kit) {
        for (unsigned int i = 0; i < SCRIPTED_COUNT(odd_images); i++) {
                int error = raw_one(kit, odd_images[i].make(kit));

                if (error != kit->bare[i])
                        printf("# image %u (%s)\n", i, odd_images[i].reason);
                CHECK_EQUAL(error, kit->bare[i]);
        }
        CHECK_EQUAL(scripted_module(kit, "alpha")->loads, 0);
        /* and it still works */
        CHECK_EQUAL(raw_one(kit, good_image(kit)), 0);
}

static void after_odd_images(struct scripted *kit, struct json_object *report) {
        (void)kit;
        for (unsigned int i = 0; i < SCRIPTED_COUNT(odd_images); i++) {
                unsigned int expected = 0;

                for (unsigned int j = 0; j < SCRIPTED_COUNT(odd_images); j++)
                        expected += strcmp(odd_images[j].reason, odd_images[i].reason) == 0;
                CHECK_EQUAL(scripted_number(report, "continued", odd_images[i].reason), expected);
        }
        CHECK_EQUAL(scripted_continued(report), SCRIPTED_COUNT(odd_images));
        CHECK_EQUAL(scripted_number(report, "totals", "supervisor_starts"), 1);
}

static void prepare_bare_image(struct scripted *kit) {
        kit->bare[0] = raw_one(kit, good_image(kit));
}

/* A caller that changes its image while it waits */

static void test_image_changes(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct raw changing = small_image(kit, alpha, "one"), constant = small_image(kit, alpha, "one");
        struct scripted_call *leader, *joiners, *changed;

        alpha->hold = 1;
        set_results(alpha, ENODEV, ENOENT);
        leader = raw_start(kit, 1, changing);
        scripted_await_begun(alpha, 1);
        joiners = raw_start(kit, 4, constant);
        changed = raw_start(kit, 4, changing);
        scripted_settle(kit, joiners, 8);
        memcpy(changing.image, small_image(kit, alpha, "two").image, changing.length);
        release_one(kit, alpha);
        /* what was loaded is what was copied */
        check_all(kit, leader, 1, ENODEV);
        check_all(kit, joiners, 4, ENODEV);
        scripted_await_begun(alpha, 2);
        scripted_settle(kit, changed, 4);
        scripted_release(alpha);
        check_all(kit, changed, 4, ENOENT);
        CHECK_EQUAL(alpha->loads, 2);
        CHECK(loaded_from(alpha, 0, "one") && loaded_from(alpha, 1, "two"));
}

/* One whose image has another name when its turn comes is counted with that. */
static void test_name_changes(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        struct scripted_call *leader, *calls;
        struct raw changing = small_image(kit, alpha, "one"), broken = small_image(kit, alpha, "one");

        scripted_set_result(alpha, ENODEV);
        leader = start_held(kit, alpha, 1, image_call(kit, alpha, "one"));
        calls = raw_start(kit, 2, changing);
        (void)raw_start(kit, 2, broken);
        scripted_settle(kit, calls, 4);
        memcpy(changing.image, small_image(kit, beta, "two").image, changing.length);
        memset(broken.image, 'x', broken.length);
        scripted_release(alpha);
        check_all(kit, leader, 1, ENODEV);
        scripted_finish(kit, calls, 4);
        CHECK_EQUAL(scripted_count(calls, 2, 0) + scripted_count(calls, 2, EEXIST), 2);
        CHECK_EQUAL(scripted_count(calls + 2, 2, kit->bare[0]), 2);
        CHECK_EQUAL(alpha->loads, 1);
        CHECK_EQUAL(beta->loads, 1);
}

static void after_name_changes(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "requests"), 3);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "continued"), 2);
        CHECK_EQUAL(scripted_module_number(report, "beta", "requests"), 2);
        CHECK_EQUAL(scripted_number(report, "continued", "image-not-understood"), 2);
}

/* A leader that cannot go on leaves the load to those who joined it */

static void test_leader_unreadable(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct crowd crowd;

        scripted_set_result(alpha, ENODEV);
        crowd = start_crowd(kit, headers_only(kit, alpha), 2, small_image(kit, alpha, "good"), 8);
        check_all(kit, crowd.first, 2, kit->bare[0]);
        check_all(kit, crowd.others, 8, ENODEV);
        CHECK_EQUAL(alpha->loads, 1);
        CHECK(loaded_from(alpha, 0, "good"));
}

static void after_leader_unreadable(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "memory-unreadable"), 2);
        CHECK_EQUAL(scripted_continued(report), 2);
}

static void test_leader_killed_copying(struct scripted *kit) {
        struct raw large = large_image(kit);
        struct crowd crowd = start_crowd(kit, large, 1, large, 4);
        pid_t inspector = stop_copying(kit);

        kill_calls(crowd.first, 1);
        scripted_finish(kit, crowd.first, 1);
        CHECK_EQUAL(kill(inspector, SIGCONT), 0);
        check_all(kit, crowd.others, 4, ENOEXEC);
}

static void after_leader_killed_copying(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_module_number(report, "alpha", "requests"), 5);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 1);
        /* a read that has begun goes on to its end, without the caller: then the load was from its image */
        CHECK(scripted_module_number(report, "alpha", "joined") >= 3);
        CHECK_EQUAL(scripted_number(report, "totals", "gone"), 1);
        CHECK_EQUAL(scripted_continued(report), 0);
}

/* The slots of the dead are looked for when there is no other one: that ends the inspection, and not the load. */
static void test_leader_swept(struct scripted *kit) {
        const unsigned int count = JOURNAL_REQUESTS - 4;
        struct scripted_module *beta = scripted_module(kit, "beta");
        struct raw large = large_image(kit);
        struct crowd crowd = start_crowd(kit, large, 1, large, 4);
        struct scripted_call *calls = scripted_calls(kit, count, scripted_call_of(beta));

        (void)stop_copying(kit);
        kill_calls(crowd.first, 1);
        scripted_finish(kit, crowd.first, 1);
        beta->hold = 1;
        scripted_start(kit, calls, count, 128);
        check_all(kit, crowd.others, 4, ENOEXEC);
        scripted_release(beta);
        scripted_finish(kit, calls, count);
        CHECK_EQUAL(scripted_count(calls, count, 0) + scripted_count(calls, count, EEXIST), count);
}

static void check_callers_killed(struct scripted *kit, struct scripted_module *module, int result) {
        struct scripted_call *leader, *calls;

        scripted_set_result(module, result);
        leader = start_held(kit, module, 1, image_call(kit, module, "one"));
        calls = start(kit, 16, image_call(kit, module, "one"));
        kill_calls(leader, 1);
        kill_calls(calls, 8);
        scripted_finish(kit, leader, 1);
        scripted_finish(kit, calls, 8);
        CHECK_EQUAL(module->running, 1);
        scripted_release(module);
        check_all(kit, calls + 8, 8, result);
        CHECK_EQUAL(module->loads, 1);
}

static void test_callers_killed(struct scripted *kit) {
        check_callers_killed(kit, scripted_module(kit, "alpha"), 0);
        check_callers_killed(kit, scripted_module(kit, "beta"), ENODEV);
}

static void after_callers_killed(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "totals", "gone"), 18);
        CHECK_EQUAL(scripted_continued(report), 0);
}

/* The loader */

static void test_loader_killed(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        struct scripted_call *calls = start_held(kit, alpha, 8, image_call(kit, alpha, "one")), *one, *two;

        CHECK_EQUAL(kill(alpha->record[0].loader, SIGKILL), 0);
        check_all(kit, calls, 8, kit->bare[0]);
        CHECK_EQUAL(alpha->loads, 1);
        alpha->running = 0;
        scripted_release(alpha);

        /* the module hangs half-way: EBUSY is for those of the same image only */
        one = start_held(kit, beta, 4, image_call(kit, beta, "one"));
        two = start(kit, 4, image_call(kit, beta, "two"));
        scripted_set_state(kit, beta, "coming");
        CHECK_EQUAL(kill(beta->record[0].loader, SIGKILL), 0);
        check_all(kit, one, 4, EBUSY);
        beta->running = 0;
        scripted_release(beta);
        scripted_finish(kit, two, 4);
        CHECK_EQUAL(scripted_count(two, 4, 0) + scripted_count(two, 4, EEXIST), 4);
        CHECK_EQUAL(beta->loads, 2);
}

/* The supervisor */

static void test_supervisor_killed_success(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *calls = start_held(kit, alpha, 64, image_call(kit, alpha, "one"));

        for (unsigned int i = 0; i < KILLS; i++)
                (void)scripted_replace_supervisor(kit);
        scripted_release(alpha);
        check_all(kit, calls, 64, 0);
        CHECK_EQUAL(alpha->loads, 1);
}

/* Which image was whose is forgotten: all begin again, and then there is a load of each. */
static void test_supervisor_killed_failure(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha");
        struct scripted_call *one, *two;

        scripted_set_result(alpha, ENODEV);
        one = start_held(kit, alpha, 32, image_call(kit, alpha, "one"));
        two = start(kit, 32, image_call(kit, alpha, "two"));
        for (unsigned int i = 0; i < KILLS; i++)
                (void)scripted_replace_supervisor(kit);
        for (unsigned int loads = 2; loads <= 3; loads++) {
                release_one(kit, alpha);
                scripted_await_begun(alpha, loads);
                scripted_settle(kit, one, 64);
        }
        scripted_release(alpha);
        check_all(kit, one, 32, ENODEV);
        check_all(kit, two, 32, ENODEV);
        CHECK_EQUAL(alpha->loads, 3);
        CHECK(!alpha->overlapped);
}

static void test_supervisor_killed_copying(struct scripted *kit) {
        struct scripted_module *beta = scripted_module(kit, "beta");
        struct raw large = large_image(kit);
        struct crowd crowd = start_crowd(kit, large, 1, large, 4);

        (void)stop_copying(kit);
        (void)scripted_replace_supervisor(kit);
        CHECK_EQUAL(scripted_one(kit, image_call(kit, beta, "one")), 0);
        check_all(kit, crowd.first, 1, ENOEXEC);
        check_all(kit, crowd.others, 4, ENOEXEC);
}

/* At any moment, those of comparing included. */
static void test_supervisor_killed_anywhere(struct scripted *kit) {
        struct scripted_call *calls[KILLS][2];

        for (unsigned int i = 0; i < KILLS; i++) {
                struct scripted_module *module = &kit->module[8 + i];

                scripted_set_result(module, ENODEV);
                calls[i][0] = start_held(kit, module, 24, image_call(kit, module, "one"));
                calls[i][1] = start(kit, 24, image_call(kit, module, "two"));
                scripted_release(module);
                scripted_sleep_ms((unsigned int)scripted_random(kit, 4));
                (void)scripted_replace_supervisor(kit);
        }
        for (unsigned int i = 0; i < KILLS; i++) {
                check_all(kit, calls[i][0], 24, ENODEV);
                check_all(kit, calls[i][1], 24, ENODEV);
                CHECK(!kit->module[8 + i].overlapped);
        }
}

/* Inspectors */

static void test_inspector_killed_copying(struct scripted *kit) {
        struct raw large = large_image(kit);
        struct crowd crowd = start_crowd(kit, large, 1, large, 4);

        CHECK_EQUAL(kill(stop_copying(kit), SIGKILL), 0);
        check_all(kit, crowd.first, 1, kit->bare[0]);
        check_all(kit, crowd.others, 4, ENOEXEC);
}

static void after_inspector_killed_copying(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_number(report, "continued", "no-inspector"), 1);
        CHECK_EQUAL(scripted_continued(report), 1);
        CHECK_EQUAL(scripted_module_number(report, "alpha", "loads"), 1);
}

/* Nobody waits for somebody else's image. */
static void test_large_image(struct scripted *kit) {
        struct scripted_module *beta = scripted_module(kit, "beta");
        struct raw large = large_image(kit);
        struct scripted_call *call = raw_start(kit, 1, large);
        pid_t inspector = stop_copying(kit);

        CHECK_EQUAL(scripted_one(kit, image_call(kit, beta, "one")), 0);
        CHECK_EQUAL(scripted_one(kit, scripted_call_of(scripted_module(kit, "gamma"))), 0);
        CHECK_EQUAL(call->error, NOT_RETURNED);
        CHECK_EQUAL(kill(inspector, SIGCONT), 0);
        check_all(kit, call, 1, ENOEXEC);
}

/* Nothing stays open */

static void test_descriptors(struct scripted *kit) {
        struct scripted_module *alpha = scripted_module(kit, "alpha"), *beta = scripted_module(kit, "beta");
        pid_t supervisor = scripted_await_process(kit, "modgate-superv");
        unsigned int before = 0;

        scripted_set_result(alpha, ENODEV);
        for (unsigned int i = 0; i < 10; i++) {
                struct scripted_call *calls = start_held(kit, alpha, 10, image_call(kit, alpha, "one"));
                struct scripted_call *others = start(kit, 10, image_call(kit, alpha, "two"));

                scripted_release(alpha);
                check_all(kit, calls, 10, ENODEV);
                check_all(kit, others, 10, ENODEV);
                (void)raw_one(kit, headers_only(kit, beta));
                scripted_settle(kit, NULL, 0);
                CHECK_EQUAL(count_fds(supervisor, "modgate-image"), 0);
                CHECK_EQUAL(count_fds(supervisor, "/mem"), 0);
                /* workers come and go: their sockets are no files */
                before = i == 0 ? count_fds(supervisor, "/") : before;
        }
        CHECK_EQUAL(count_fds(supervisor, "/"), before);
}

int main(int argc, char **argv) {
        static const struct scripted_test tests[] = {
                { .name = "joined", .body = test_joined, .after = after_joined },
                { .name = "joined_failure", .body = test_joined_failure, .after = after_joined_failure },
                { .name = "errnos", .body = test_errnos, .after = after_no_continue },
                { .name = "threads", .body = test_threads, .after = after_no_continue },
                { .name = "other_content_failure",
                  .body = test_other_content_failure,
                  .after = after_other_content_failure },
                { .name = "other_content_success", .body = test_other_content_success, .after = after_no_continue },
                { .name = "many_contents", .body = test_many_contents, .after = after_no_continue },
                { .name = "other_params", .body = test_other_params, .after = after_behind },
                { .name = "file_and_image", .body = test_file_and_image, .after = after_behind },
                { .name = "other_length", .body = test_other_length, .after = after_no_continue },
                { .name = "other_names", .body = test_other_names, .after = after_no_continue },
                { .name = "params", .body = test_params, .after = after_no_continue },
                { .name = "live", .body = test_live, .after = after_live },
                { .name = "odd_images",
                  .prepare = make_odd_images_bare,
                  .body = test_odd_images,
                  .after = after_odd_images },
                { .name = "image_changes", .body = test_image_changes, .after = after_no_continue },
                { .name = "name_changes",
                  .prepare = prepare_bare_image,
                  .body = test_name_changes,
                  .after = after_name_changes },
                { .name = "leader_unreadable",
                  .prepare = prepare_bare_image,
                  .body = test_leader_unreadable,
                  .after = after_leader_unreadable },
                { .name = "leader_killed_copying",
                  .body = test_leader_killed_copying,
                  .after = after_leader_killed_copying },
                { .name = "leader_swept", .body = test_leader_swept, .after = after_no_continue },
                { .name = "callers_killed", .body = test_callers_killed, .after = after_callers_killed },
                { .name = "loader_killed",
                  .prepare = prepare_bare_image,
                  .body = test_loader_killed,
                  .counts_inexactly = true },
                { .name = "supervisor_killed_success",
                  .body = test_supervisor_killed_success,
                  .after = after_no_continue,
                  .counts_inexactly = true },
                { .name = "supervisor_killed_failure",
                  .body = test_supervisor_killed_failure,
                  .after = after_no_continue,
                  .counts_inexactly = true },
                { .name = "supervisor_killed_copying",
                  .body = test_supervisor_killed_copying,
                  .after = after_no_continue,
                  .counts_inexactly = true },
                { .name = "supervisor_killed_anywhere",
                  .body = test_supervisor_killed_anywhere,
                  .after = after_no_continue,
                  .counts_inexactly = true },
                { .name = "inspector_killed_copying",
                  .prepare = prepare_bare_image,
                  .body = test_inspector_killed_copying,
                  .after = after_inspector_killed_copying },
                { .name = "large_image", .body = test_large_image, .after = after_no_continue },
                { .name = "descriptors", .body = test_descriptors },
        };

        return scripted_main(argc, argv, tests, SCRIPTED_COUNT(tests));
}
