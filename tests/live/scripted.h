/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A kit for live tests: real notifications of the kernel, a real keeper, supervisor, loaders and inspectors, and
 * modules that exist in this file only. What a loader does with a module stands in a script, in memory that all
 * processes of a test share; what it did is recorded there.
 *
 * The processes of a test program:
 *
 *   runner              runs its tests, each with its time limit; ends what they leave behind
 *    └─ case            starts the keeper; afterwards looks at what is left, at the report and at the log
 *        ├─ body        puts the filter on itself and runs the test; exits when it is done
 *        │   └─ caller… make the calls
 *        ├─ keeper …    (the case is their subreaper)
 *        └─ spawner     of attached tests: starts the daemon, and a second tree; see scripted_serve.c
 *
 * A test is a function that runs in the body. What it checks with CHECK() ends the case when it is not so.
 */

#include <errno.h>
#include <json-c/json.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SCRIPTED_PATH_MAX 256
#define SCRIPTED_MODULES 192
#define SCRIPTED_LOADS 64
#define SCRIPTED_CALLS 4608

/* call->error of a call that has not returned. */
#define NOT_RETURNED (-1)

/* A load, as the loader saw it. */
struct scripted_load {
        pid_t loader;
        int flags;
        size_t params_length;
        uint64_t params_hash; /* scripted_hash() */
        char params[32];      /* their beginning */
        char file[32];        /* the label of the file, see scripted_file() */
        uint64_t began_ns;
        uint64_t ended_ns; /* 0: it has not ended */
};

/* A module: its script, which the test sets, and its record. Its file is in the module directory, and in the index. */
struct scripted_module {
        char name[32];
        char path[SCRIPTED_PATH_MAX];
        int errors[8]; /* results of its loads, one after the other; the last one (of `results`) for all others */
        unsigned int results;  /* 0: all loads succeed */
        unsigned int delay_ms; /* how long each takes */
        atomic_uint hold;      /* they do not end before scripted_release() */
        bool shows_coming;     /* initstate is there from the beginning of a load */
        bool stays_invisible;  /* a successful load does not create initstate */

        atomic_uint loads;
        atomic_uint running;
        _Atomic bool overlapped; /* two of its loads ran at the same time */
        struct scripted_load record[SCRIPTED_LOADS];
};

/* A call of finit_module, made by a process or thread of its own. */
struct scripted_call {
        const char *path; /* opened by the caller; NULL: `fd` is taken */
        int open_flags;   /* 0: O_RDONLY */
        int fd;
        const char *params; /* passed as it is */
        int flags;
        void (*prepare)(void); /* done by the caller's process first */
        bool image;            /* init_module of the file's content instead */
        bool retries;          /* makes it again for as long as it gets EINTR */
        bool twice;            /* makes it once more afterwards, in the same thread: `second_error` */

        pid_t process;
        _Atomic pid_t thread; /* set right before the call */
        _Atomic int error;    /* 0, errno or NOT_RETURNED */
        int second_error;
        unsigned int interruptions; /* how often it got EINTR */
        unsigned int rank;          /* order of return, among all calls; from 1 */
        uint64_t ended_ns;
};

struct scripted {
        char directory[64]; /* of this test's own */
        char modules[SCRIPTED_PATH_MAX];
        char sysfs[SCRIPTED_PATH_MAX];
        char modules_disabled[SCRIPTED_PATH_MAX];
        char uevent_seqnum[SCRIPTED_PATH_MAX];
        uint64_t uevent_sequence; /* of the last event */
        char report[SCRIPTED_PATH_MAX];
        char trace[SCRIPTED_PATH_MAX];
        char second_report[SCRIPTED_PATH_MAX];
        char socket[SCRIPTED_PATH_MAX]; /* the daemon's */
        char log[SCRIPTED_PATH_MAX];    /* what modgate's processes wrote to stderr */
        pid_t case_pid;
        int spawner; /* socket */
        pid_t spawner_pid;
        pid_t daemon;  /* 0: none */
        pid_t second;  /* the body of the second tree */
        uint64_t seed; /* MODGATE_SEED, or the time */
        uint64_t random;
        atomic_uint rank;
        atomic_uint ready, go; /* barrier of the callers */
        int bare[32];          /* for tests: results of calls without a filter, from `prepare` */
        unsigned int module_count;
        unsigned int call_count;
        struct scripted_module module[SCRIPTED_MODULES];
        struct scripted_call call[SCRIPTED_CALLS];
};

struct scripted_test {
        const char *name;
        void (*body)(struct scripted *kit);
        unsigned int limit_s;                  /* 0: 60 */
        unsigned int failure_ttl_s;            /* how long failures are remembered; 0: not at all */
        void (*prepare)(struct scripted *kit); /* in the case, without a filter, before the keeper is there */
        void (*after)(struct scripted *kit, struct json_object *report); /* in the case, when all has ended */
        bool interruptible;                                              /* no WAIT_KILLABLE_RECV in the filter */
        bool starts_itself;                                              /* the body does its own launching */
        bool loses_keeper;                                               /* the body kills it: there is no report */
        bool counts_inexactly;                                           /* the body kills the supervisor or a loader */
        bool attached;       /* the tree is served by a daemon; with MODGATE_ATTACHED=1 that of every test is */
        bool without_daemon; /* there is none yet when the tree is started */
        void (*second)(struct scripted *kit); /* the body of a second tree, once it is started */
        bool traced; /* there is a trace, which has to agree with the report; with MODGATE_TRACED=1 every test has one
                      */
};

/* For main(): runs all tests, or those named on the command line. Speaks TAP. Without root all are skipped. */
int scripted_main(int argc, char **argv, const struct scripted_test *tests, size_t count);

/* The same, with all of them at the same time: for tests that wait for most of theirs. */
int scripted_main_at_once(int argc, char **argv, const struct scripted_test *tests, size_t count);

#define SCRIPTED_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Checks. A failed one says where, and ends the process that made it: the body or the case. */
#define CHECK(condition) ((condition) ? (void)0 : scripted_fail(__FILE__, __LINE__, #condition))
#define CHECK_EQUAL(actual, expected)                                                                                  \
        scripted_check_equal(__FILE__, __LINE__, #actual, (long long)(actual), (long long)(expected))
_Noreturn void scripted_fail(const char *file, int line, const char *text);
void scripted_check_equal(const char *file, int line, const char *text, long long actual, long long expected);

/* Modules and files */

/* The module of that name: there are alpha, beta, gamma, delta, with-dash, and m000 to m159. */
struct scripted_module *scripted_module(struct scripted *kit, const char *name);

/* That of the name m000 to m159. */
struct scripted_module *scripted_numbered(struct scripted *kit, unsigned int number);

/* Another file for the same module, below the test's directory, not in the index. Returns its path (static memory). */
const char *scripted_file(struct scripted *kit, const struct scripted_module *module, const char *label);

/*
 * A uevent as the kernel sends them. `properties`: lines of KEY=VALUE besides ACTION and SEQNUM, without a newline at
 * the end. MODALIAS=NAME leads to the module NAME.
 */
void scripted_uevent(struct scripted *kit, const char *action, const char *properties);

/* Its two halves: the number goes up, and then the event is sent. */
void scripted_count_uevent(struct scripted *kit);
void scripted_send_uevent(struct scripted *kit, const char *action, const char *properties);

/* The receiver hears that events were lost. */
void scripted_lose_uevents(struct scripted *kit);

/* Lets its loads have these results, one after the other, and all later ones the last of them. */
void scripted_set_results(struct scripted_module *module, const int *errors, unsigned int count);

/* Lets all its loads have this result. */
void scripted_set_result(struct scripted_module *module, int error);

/* Takes a live module away, as rmmod does. */
void scripted_remove(struct scripted *kit, const struct scripted_module *module);

/* Writes its initstate (NULL: none). */
void scripted_set_state(struct scripted *kit, const struct scripted_module *module, const char *state);

/* A string of so many bytes, of all values but NUL. To be freed. */
char *scripted_text(size_t length);

uint64_t scripted_hash(const char *text, size_t length);
uint64_t scripted_random(struct scripted *kit, uint64_t below);
uint64_t scripted_now_ns(void);
void scripted_sleep_ms(unsigned int ms);

/* What modgate is linked with, in place of the kernel's module interface. */
struct kernel_interface;
const struct kernel_interface *scripted_interface(void);

/*
 * A file system with little room, seen by this process and its later forks only. `size`: as an option of tmpfs. Returns
 * its directory (static memory), short enough for a file in it.
 */
const char *scripted_mount_tiny(struct scripted *kit, const char *size);

/* Calls */

/* A call of the module's file. */
struct scripted_call scripted_call_of(const struct scripted_module *module);
struct scripted_call scripted_call_with(const struct scripted_module *module, const char *params, int flags);

/* `count` calls like `like`, which stand beside each other. They are not made yet. */
struct scripted_call *scripted_calls(struct scripted *kit, unsigned int count, struct scripted_call like);

/*
 * Makes them all at the same time: each from a process of its own, or from `threads` threads in every process (which
 * are not its leader). Returns when all have been let go.
 */
void scripted_start(struct scripted *kit, struct scripted_call *calls, unsigned int count, unsigned int threads);

/* Waits until their processes have ended. */
void scripted_finish(struct scripted *kit, struct scripted_call *calls, unsigned int count);

/* `count` calls like `like`, started from processes of their own and settled. */
struct scripted_call *scripted_start_parked(struct scripted *kit, unsigned int count, struct scripted_call like);

/*
 * The same, and they wait for a load of the module, which begins and is held: all of them are known to the supervisor.
 * To go on after scripted_release().
 */
struct scripted_call *scripted_start_held(struct scripted *kit, struct scripted_module *module, unsigned int count,
                                          struct scripted_call like);

/* The same with callers of the module's file. */
struct scripted_call *scripted_start_waiting(struct scripted *kit, struct scripted_module *module, unsigned int count);

/* Waits until their processes have ended, and checks that all calls ended with `error`. */
void scripted_finish_all(struct scripted *kit, struct scripted_call *calls, unsigned int count, int error);

/* Kills the processes that make them, which have one call each. */
void scripted_kill(const struct scripted_call *calls, unsigned int count);

/* Start and finish, with processes. */
void scripted_perform(struct scripted *kit, struct scripted_call *calls, unsigned int count);

/* One call of a file; returns its result. */
int scripted_one(struct scripted *kit, struct scripted_call like);

/* A `prepare` of tests: kit->bare[0] becomes the kernel's own result of a call of alpha's file. */
void scripted_prepare_bare(struct scripted *kit);

/* How many of them ended with `error`. */
unsigned int scripted_count(const struct scripted_call *calls, unsigned int count, int error);

/* Lets the loads of the module that are held, and all later ones, go on. */
void scripted_release(struct scripted_module *module);

/* Lets one load end. Those who begin again then find the next one held, and wait for it. */
void scripted_release_one(struct scripted *kit, struct scripted_module *module);

/* Was its `load`th load (from 0) made from the file or image of that label? */
bool scripted_loaded_from(const struct scripted_module *module, unsigned int load, const char *label);

/* Waits until that many loads of the module have begun, or have ended. */
void scripted_await_begun(const struct scripted_module *module, unsigned int loads);
void scripted_await_ended(const struct scripted_module *module, unsigned int loads);

/*
 * Waits until all these calls are where they will stay until something happens: in the kernel, and known to the
 * supervisor, which has nothing left to do.
 */
void scripted_settle(struct scripted *kit, const struct scripted_call *calls, unsigned int count);

/* The daemon */

/* In an attached test: starts one, with a socket of its own unless one is held. */
void scripted_start_daemon(struct scripted *kit);

/* Whether somebody else listens at the daemon's socket all the time, as systemd does, or nobody. */
void scripted_hold_socket(struct scripted *kit, bool hold);

/* Starts a second tree, with the test's `second` for a body. */
void scripted_start_second(struct scripted *kit);

/* Kills the daemon and all its processes, as systemctl kill -s KILL does. */
void scripted_kill_daemon(struct scripted *kit);

/* Ends it with SIGTERM. */
void scripted_stop_daemon(struct scripted *kit);

/* Listens at the daemon's socket. Returns a descriptor. */
int scripted_listen(struct scripted *kit);

/* Waits until a process has ended. */
void scripted_await_end(pid_t pid);

/* Waits until so many lines of the log have `text` in them. */
void scripted_await_log(struct scripted *kit, const char *text, unsigned int lines);

/* Modgate's processes */

/* The `n`th process of that name (modgate-keeper, -superv, -loader, -inspect) of this test's tree; 0: there is none. */
pid_t scripted_process(struct scripted *kit, const char *name, unsigned int n);

/* Waits for it, as long as the test may take. */
pid_t scripted_await_process(struct scripted *kit, const char *name);

/* Kills the supervisor and waits until there is another one. Returns its pid. */
pid_t scripted_replace_supervisor(struct scripted *kit);

/* Stops it where it is. Returns its pid. */
pid_t scripted_stop(struct scripted *kit, const char *name);

/* How many lines of modgate's log have `text` in them. */
unsigned int scripted_log_lines(struct scripted *kit, const char *text);

/* The report */

/* The number at `section`.`name`; 0 if it is not there. */
uint64_t scripted_number(struct json_object *report, const char *section, const char *name);

/* That of a module or file. */
uint64_t scripted_module_number(struct json_object *report, const char *module, const char *name);

/* How many requests were left to the kernel, for any reason. */
uint64_t scripted_continued(struct json_object *report);

/* An `after` of tests: none were. */
void scripted_after_no_continue(struct scripted *kit, struct json_object *report);

/* The trace */

/* Reads a trace as strictly as can be. To be freed with json_object_put(). */
struct json_object *scripted_read_trace(const char *path);

/* How many events the trace has of that category, with that text at `args`.`member` (NULL: all). */
unsigned int scripted_events(struct json_object *trace, const char *category, const char *member, const char *text);

/* How many events it says were dropped. */
uint64_t scripted_dropped(struct json_object *trace);

/* Checks that there is one event for each request and load of the report, and that they are the same. */
void scripted_check_trace(struct json_object *trace, struct json_object *report);

/* Callers of their own making */

/*
 * `count` processes that each run `make` and end; what it returns (0 or errno) is the result of their call. They are
 * not let go together.
 */
struct scripted_call *scripted_start_own(struct scripted *kit, unsigned int count, int (*make)(void *context),
                                         void *context);

/* One such process; returns its result. */
int scripted_own(struct scripted *kit, int (*make)(void *context), void *context);
