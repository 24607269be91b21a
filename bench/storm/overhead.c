/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "overhead.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "crowd.h"
#include "kernel_interface.h"
#include "sample.h"
#include "setting.h"

/* What comes in between can only make some of these longer: the shortest one is what the calls take. */
#define PIECES 100U

/* How long modgate's processes may take until each of them is what it is to be. */
#define STARTING_MS 5000U

/* In memory that the tree shares with us. */
struct run {
        enum overhead_kind kind;
        unsigned int calls;
        pid_t storm;
        struct overhead result;
};

/* Not by libc's function: one might remember the answer. */
static double measure_call_ns(unsigned int calls) {
        unsigned int calls_of_piece = calls / PIECES;
        uint64_t pieces_ns[PIECES];

        for (unsigned int piece = 0; piece < PIECES; piece++) {
                uint64_t begin_ns = crowd_now_ns();

                for (unsigned int i = 0; i < calls_of_piece; i++)
                        (void)syscall(SYS_getppid);
                pieces_ns[piece] = crowd_now_ns() - begin_ns;
        }
        return (double)sample_of(pieces_ns, PIECES).min / calls_of_piece;
}

static int allow_all(void) {
        struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        const struct sock_fprog program = { .len = 1, .filter = &allow };

        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

/* In the tree: its parent is the run (setting.h), whose parent is `storm`. */
static int measure_memory(pid_t storm, struct memory *ret) {
        const struct timespec pause = { .tv_nsec = 1000000 };
        const pid_t ours[] = { storm, getppid(), getpid() };

        for (unsigned int i = 0; i < STARTING_MS; i++) {
                int r = memory_of_modgate(getppid(), ours, sizeof(ours) / sizeof(ours[0]), ret);

                if (r != -EAGAIN)
                        return r;
                (void)nanosleep(&pause, NULL);
        }
        return -ETIMEDOUT;
}

static int body(void *context) {
        struct run *run = context;
        int r = run->kind == OVERHEAD_ALLOW ? allow_all() : 0;

        if (r < 0)
                return r;
        run->result.call_ns = measure_call_ns(run->calls);
        return run->kind == OVERHEAD_MODGATE ? measure_memory(run->storm, &run->result.memory) : 0;
}

int overhead_measure(enum overhead_kind kind, unsigned int calls, struct overhead *ret, const char **ret_what) {
        const struct setting_config config = {
                .kind = kind == OVERHEAD_MODGATE ? SETTING_MODGATE : SETTING_BARE,
                .kernel = &kernel_interface_native,
        };
        struct run *run = mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        int r;

        *ret_what = "share memory";
        if (run == MAP_FAILED)
                return -errno;
        *run = (struct run){ .kind = kind, .calls = calls, .storm = getpid() };
        r = setting_run(&config, body, run, ret_what);
        if (!*ret_what) /* it was the body */
                *ret_what = kind == OVERHEAD_MODGATE ? "look at the memory of modgate" : "put a filter on";
        if (r == 0)
                *ret = run->result;
        (void)munmap(run, sizeof(*run));
        return r;
}
