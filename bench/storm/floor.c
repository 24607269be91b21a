/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "floor.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crowd.h"
#include "floor_server.h"
#include "setting.h"

static int finit_nothing(unsigned int caller, unsigned int call, void *context) {
        (void)caller, (void)call, (void)context;
        return syscall(SYS_finit_module, -1, "", 0) < 0 ? errno : 0;
}

/* In the tree. */
static int measure(void *context) {
        struct crowd *crowd = context;
        int r = crowd_start(crowd, finit_nothing, NULL);

        if (r == 0)
                r = crowd_run_wave(crowd, 0);
        crowd_stop(crowd);
        return r;
}

static int check_answers(const struct crowd *crowd) {
        for (size_t i = 0; i < crowd_total(crowd); i++)
                if (crowd_results(crowd)[i] != FLOOR_ANSWER)
                        return -EPROTO;
        return 0;
}

int floor_run(const struct floor_case *which, struct floor_result *ret, const char **ret_what) {
        const struct setting_config config = {
                .kind = SETTING_FLOOR,
                .sync_wake_up = which->sync_wake_up,
                .parked = which->callers,
        };
        struct crowd crowd;
        int r = crowd_init(&crowd, which->callers, which->calls, which->callers);

        *ret_what = NULL;
        if (r < 0)
                return r;
        r = setting_run(&config, measure, &crowd, ret_what);
        if (r == 0)
                r = check_answers(&crowd);
        if (r == 0) {
                ret->wall_ns = crowd_wall_ns(&crowd);
                ret->latency_ns = sample_of(crowd_latencies_ns(&crowd), crowd_total(&crowd));
        }
        crowd_deinit(&crowd);
        return r;
}
