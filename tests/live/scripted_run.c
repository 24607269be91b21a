/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The runner: a case and a body for each test, its time limit, and what has to hold after every one. */

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keeper/keeper.h"
#include "launch/filter.h"
#include "scripted_private.h"
#include "util/fd.h"
#include "util/log.h"

#define LIMIT_S 60U /* for a test that has none of its own */
#define END_MS 10000
#define TESTS_MAX 128

/* Checks */

void scripted_fail(const char *file, int line, const char *text) {
        const char *slash = strrchr(file, '/');

        printf("# %s:%d: %s\n", slash ? slash + 1 : file, line, text);
        (void)fflush(stdout);
        _exit(EXIT_FAILURE);
}

void scripted_check_equal(const char *file, int line, const char *text, long long actual, long long expected) {
        char message[512];

        if (actual == expected)
                return;
        (void)snprintf(message, sizeof(message), "%s is %lld, not %lld", text, actual, expected);
        scripted_fail(file, line, message);
}

/* Processes */

bool scripted_status(pid_t pid, struct scripted_status *status) {
        char path[32], text[256];
        const char *name, *end;
        ssize_t length;
        int fd;

        (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return false;
        length = read(fd, text, sizeof(text) - 1);
        (void)close(fd);
        if (length <= 0)
                return false;
        text[length] = '\0';
        name = strchr(text, '(');
        end = strrchr(text, ')'); /* a name may have one too */
        if (!name || !end || sscanf(end + 1, " %c %d", &status->state, &status->parent) != 2)
                return false;
        status->pid = pid;
        (void)snprintf(status->name, sizeof(status->name), "%.*s", (int)(end - name - 1), name + 1);
        return true;
}

bool scripted_each_process(bool (*visit)(const struct scripted_status *status, void *context), void *context) {
        DIR *directory = opendir("/proc");
        struct scripted_status status;
        struct dirent *entry;
        bool stop = false;

        CHECK(directory != NULL);
        while (!stop && (entry = readdir(directory)))
                if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
                    scripted_status((pid_t)strtol(entry->d_name, NULL, 10), &status))
                        stop = visit(&status, context);
        (void)closedir(directory);
        return stop;
}

/* The parent of keeper and daemon is the case, their reaper; all others are theirs, or the case's once that has gone.
 */
bool scripted_is_ours(const struct scripted *kit, const struct scripted_status *status) {
        struct scripted_status parent;

        if (strncmp(status->name, "modgate-", 8) != 0)
                return false;
        if (status->parent == kit->case_pid)
                return true;
        return scripted_status(status->parent, &parent) && parent.parent == kit->case_pid &&
               (strcmp(parent.name, "modgate-keeper") == 0 || strcmp(parent.name, "modgate-serve") == 0);
}

struct search {
        struct scripted *kit;
        const char *name;
        unsigned int skip;
        pid_t found;
};

static bool matches(const struct scripted_status *status, void *context) {
        struct search *search = context;

        if (status->state == 'Z' || strcmp(status->name, search->name) != 0 || !scripted_is_ours(search->kit, status))
                return false;
        search->found = status->pid;
        return search->skip-- == 0;
}

pid_t scripted_process(struct scripted *kit, const char *name, unsigned int n) {
        struct search search = { .kit = kit, .name = name, .skip = n };

        return scripted_each_process(matches, &search) ? search.found : 0;
}

pid_t scripted_await_process(struct scripted *kit, const char *name) {
        pid_t pid;

        while ((pid = scripted_process(kit, name, 0)) == 0)
                scripted_sleep_ms(1);
        return pid;
}

pid_t scripted_replace_supervisor(struct scripted *kit) {
        pid_t old = scripted_await_process(kit, "modgate-superv"), pid;

        CHECK_EQUAL(kill(old, SIGKILL), 0);
        while ((pid = scripted_await_process(kit, "modgate-superv")) == old)
                scripted_sleep_ms(1);
        return pid;
}

pid_t scripted_stop(struct scripted *kit, const char *name) {
        pid_t pid = scripted_await_process(kit, name);

        CHECK_EQUAL(kill(pid, SIGSTOP), 0);
        return pid;
}

/* Whether the process is below us, however far. */
static bool is_descendant(const struct scripted_status *status) {
        struct scripted_status above = *status;

        while (above.parent > 1 && above.parent != getpid())
                if (!scripted_status(above.parent, &above))
                        return false;
        return above.parent == getpid();
}

static bool kill_descendant(const struct scripted_status *status, void *context) {
        (void)context;
        if (status->state != 'Z' && is_descendant(status))
                (void)kill(status->pid, SIGKILL);
        return false;
}

/* All that is left of a case are our children then, since we are its reaper. */
static void end_descendants(void) {
        for (;;) {
                pid_t pid = waitpid(-1, NULL, WNOHANG);

                if (pid < 0)
                        return;
                if (pid > 0)
                        continue;
                (void)scripted_each_process(kill_descendant, NULL);
                scripted_sleep_ms(2);
        }
}

/* The log */

static void each_log_line(const char *path, void (*visit)(const char *line, void *context), void *context) {
        FILE *file = fopen(path, "re");
        char *line = NULL;
        size_t size = 0;

        CHECK(file != NULL);
        while (getline(&line, &size, file) >= 0)
                visit(line, context);
        free(line);
        (void)fclose(file);
}

static void print_line(const char *line, void *context) {
        (void)context;
        printf("#   %s", line);
}

struct count {
        const char *text;
        unsigned int lines;
};

static void count_line(const char *line, void *context) {
        struct count *count = context;

        if (strstr(line, count->text))
                count->lines++;
}

unsigned int scripted_log_lines(struct scripted *kit, const char *text) {
        struct count count = { .text = text };

        each_log_line(kit->log, count_line, &count);
        return count.lines;
}

static void check_log(struct scripted *kit) {
        static const char *const forbidden[] = { "Sanitizer", "runtime error", "was about to be forgotten",
                                                 "cannot answer request", "something unknown" };

        for (size_t i = 0; i < SCRIPTED_COUNT(forbidden); i++)
                CHECK_EQUAL(scripted_log_lines(kit, forbidden[i]), 0);
}

/* The report */

static uint64_t member(struct json_object *object, const char *name) {
        struct json_object *value;

        return object && json_object_object_get_ex(object, name, &value) ? json_object_get_uint64(value) : 0;
}

static struct json_object *child(struct json_object *report, const char *name) {
        struct json_object *value = NULL;

        CHECK(json_object_object_get_ex(report, name, &value));
        return value;
}

uint64_t scripted_number(struct json_object *report, const char *section, const char *name) {
        return member(child(report, section), name);
}

uint64_t scripted_module_number(struct json_object *report, const char *module, const char *name) {
        struct json_object *modules = child(report, "modules");

        for (size_t i = 0; i < json_object_array_length(modules); i++) {
                struct json_object *entry = json_object_array_get_idx(modules, i);

                if (strcmp(json_object_get_string(child(entry, "name")), module) == 0)
                        return member(entry, name);
        }
        return 0;
}

uint64_t scripted_continued(struct json_object *report) {
        uint64_t sum = 0;

        json_object_object_foreach(child(report, "continued"), name, value) {
                (void)name;
                sum += json_object_get_uint64(value);
        }
        return sum;
}

void scripted_after_no_continue(struct scripted *kit, struct json_object *report) {
        (void)kit;
        CHECK_EQUAL(scripted_continued(report), 0);
}

/* Every request has one answer, and is counted as one thing. */
static void check_sums(struct json_object *report) {
        struct json_object *modules = child(report, "modules");

        CHECK_EQUAL(scripted_number(report, "totals", "requests"),
                    scripted_number(report, "totals", "answered") + scripted_number(report, "totals", "gone"));
        for (size_t i = 0; i < json_object_array_length(modules); i++) {
                struct json_object *entry = json_object_array_get_idx(modules, i);

                CHECK_EQUAL(member(entry, "requests") + member(entry, "made_up"),
                            member(entry, "loads") + member(entry, "joined") + member(entry, "live") +
                                    member(entry, "behind") + member(entry, "remembered") + member(entry, "continued") +
                                    member(entry, "gone"));
        }
}

static bool is_attached(const struct scripted_test *test) {
        return test->attached || (getenv("MODGATE_ATTACHED") && !test->starts_itself);
}

bool scripted_is_traced(const struct scripted_test *test) {
        return test->traced || (getenv("MODGATE_TRACED") && !test->starts_itself);
}

static void check_trace(struct scripted *kit, struct json_object *report) {
        struct json_object *trace = scripted_read_trace(kit->trace);

        scripted_check_trace(trace, report);
        (void)json_object_put(trace);
}

static void check_report(struct scripted *kit, const struct scripted_test *test) {
        struct json_object *report = json_object_from_file(kit->report);

        CHECK(report != NULL);
        CHECK_EQUAL(strcmp(json_object_get_string(child(report, "schema")), "modgate.report/1"), 0);
        CHECK(json_object_get_boolean(child(report, "ended")));
        if (!test->counts_inexactly)
                check_sums(report);
        if (scripted_is_traced(test) && !test->counts_inexactly)
                check_trace(kit, report);
        if (test->after)
                test->after(kit, report);
        (void)json_object_put(report);
}

/* Body and case */

static int install_filter(const struct scripted_test *test, const struct sock_filter *program, unsigned short count,
                          int *ret_listener) {
        struct sock_fprog fprog = { .len = count, .filter = (struct sock_filter *)program };

        if (!test->interruptible)
                return filter_install(program, count, ret_listener);
        *ret_listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &fprog);
        return *ret_listener < 0 ? -errno : 0;
}

static _Noreturn void run_body(struct scripted *kit, const struct scripted_test *test, int socket) {
        struct sock_filter *program;
        unsigned short count;
        int listener;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!test->starts_itself) {
                CHECK_EQUAL(filter_build(&program, &count), 0);
                CHECK_EQUAL(install_filter(test, program, count, &listener), 0);
                CHECK_EQUAL(keeper_give_listener_dup_fd(socket, listener), 0);
                (void)close(listener);
                (void)close(socket);
                free(program);
        }
        test->body(kit);
        (void)fflush(stdout);
        _exit(EXIT_SUCCESS);
}

/* The keeper's socket ends when the tree has, and the report is written. */
static void await_end_of_tree(int socket) {
        struct pollfd poller = { .fd = socket, .events = POLLIN };
        char byte;

        CHECK_EQUAL(poll(&poller, 1, END_MS), 1);
        CHECK_EQUAL(recv(socket, &byte, 1, 0), 0);
}

static bool print_descendant(const struct scripted_status *status, void *context) {
        (void)context;
        if (is_descendant(status))
                printf("# left over: %d %s %c\n", status->pid, status->name, status->state);
        return false;
}

/* All of modgate's processes have become our children, and end. */
static void await_no_process(void) {
        for (unsigned int ms = 0; ms < END_MS; ms += 2) {
                pid_t pid = waitpid(-1, NULL, WNOHANG);

                if (pid < 0)
                        return;
                if (pid == 0)
                        scripted_sleep_ms(2);
        }
        (void)scripted_each_process(print_descendant, NULL);
        scripted_fail(__FILE__, __LINE__, "processes are left");
}

static void redirect_stderr(const struct scripted *kit) {
        int fd = open(kit->log, O_WRONLY | O_APPEND | O_CLOEXEC);

        CHECK(fd >= 0);
        CHECK_EQUAL(dup2(fd, STDERR_FILENO), STDERR_FILENO);
        (void)close(fd);
        log_init();
}

static _Noreturn void run_case(struct scripted *kit, const struct scripted_test *test) {
        const struct keeper_config config = {
                .kernel = scripted_interface(),
                .failure_ttl_ns = test->failure_ttl_s * 1000000000ULL,
                .report = kit->report,
                .trace = scripted_is_traced(test) && !is_attached(test) ? kit->trace : NULL,
                .attach = is_attached(test) ? kit->socket : NULL,
        };
        int socket = -1, status;
        pid_t body;

        kit->case_pid = getpid();
        CHECK_EQUAL(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        redirect_stderr(kit);
        if (test->prepare)
                test->prepare(kit);
        if (is_attached(test))
                scripted_start_spawner(kit, test);
        if (!test->starts_itself)
                CHECK_EQUAL(keeper_start(&config, &socket), 0);
        body = fork();
        CHECK(body >= 0);
        if (body == 0)
                run_body(kit, test, socket);
        CHECK_EQUAL(waitpid(body, &status, 0), body);
        if (status != 0)
                _exit(EXIT_FAILURE); /* it has said why, or was killed */
        if (socket >= 0 && !test->loses_keeper)
                await_end_of_tree(socket);
        if (is_attached(test))
                scripted_end_spawner(kit);
        await_no_process();
        check_log(kit);
        if (!test->loses_keeper)
                check_report(kit, test);
        _exit(EXIT_SUCCESS);
}

/* The runner */

struct run {
        const struct scripted_test *test;
        struct scripted *kit;
        pid_t pid;
        uint64_t began_ns;
};

static struct run start_test(const struct scripted_test *test) {
        struct run run = { .test = test, .kit = scripted_new(), .began_ns = scripted_now_ns() };

        (void)fflush(stdout);
        run.pid = fork();
        CHECK(run.pid >= 0);
        if (run.pid == 0)
                run_case(run.kit, test);
        return run;
}

static bool await_case(const struct run *run) {
        struct pollfd poller = { .fd = (int)syscall(SYS_pidfd_open, run->pid, 0), .events = POLLIN };
        unsigned int limit_s = run->test->limit_s ? run->test->limit_s : LIMIT_S;
        int ready, status = -1;

        CHECK(poller.fd >= 0);
        do
                ready = poll(&poller, 1, (int)limit_s * 1000);
        while (ready < 0 && errno == EINTR);
        (void)close(poller.fd);
        if (ready == 0) {
                printf("# no end after %u s\n", limit_s);
                return false;
        }
        CHECK_EQUAL(waitpid(run->pid, &status, 0), run->pid);
        return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

static bool finish_test(struct run *run, size_t number) {
        bool passed = await_case(run);

        if (!passed) {
                printf("# MODGATE_SEED=%" PRIu64 "; the log:\n", run->kit->seed);
                each_log_line(run->kit->log, print_line, NULL);
        }
        printf("%sok %zu - %s # %" PRIu64 " ms\n", passed ? "" : "not ", number, run->test->name,
               (scripted_now_ns() - run->began_ns) / 1000000);
        (void)fflush(stdout);
        return passed;
}

static bool run_tests(const struct scripted_test *const *tests, size_t count, bool at_once) {
        struct run runs[TESTS_MAX];
        bool passed = true;

        for (size_t i = 0, started = 0; i < count; i++) {
                for (; started < count && (at_once || started <= i); started++)
                        runs[started] = start_test(tests[started]);
                passed = finish_test(&runs[i], i + 1) && passed;
                if (!at_once)
                        end_descendants();
        }
        end_descendants();
        for (size_t i = 0; i < count; i++)
                scripted_free(runs[i].kit);
        return passed;
}

static bool is_chosen(const char *name, int argc, char **argv) {
        for (int i = 1; i < argc; i++)
                if (strcmp(argv[i], name) == 0)
                        return true;
        return argc < 2;
}

static int run_chosen(int argc, char **argv, const struct scripted_test *tests, size_t count, bool at_once) {
        const struct scripted_test *chosen[TESTS_MAX];
        size_t chosen_count = 0;
        bool passed;

        (void)setvbuf(stdout, NULL, _IOLBF, 0);
        if (geteuid() != 0) {
                printf("1..0 # SKIP needs root\n");
                return EXIT_SUCCESS;
        }
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
        CHECK(count <= TESTS_MAX);
        for (size_t i = 0; i < count; i++)
                if (is_chosen(tests[i].name, argc, argv))
                        chosen[chosen_count++] = &tests[i];
        passed = run_tests(chosen, chosen_count, at_once);
        printf("1..%zu\n", chosen_count);
        return passed && chosen_count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int scripted_main(int argc, char **argv, const struct scripted_test *tests, size_t count) {
        return run_chosen(argc, argv, tests, count, false);
}

int scripted_main_at_once(int argc, char **argv, const struct scripted_test *tests, size_t count) {
        return run_chosen(argc, argv, tests, count, true);
}
