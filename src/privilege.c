/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "privilege.h"

#include <errno.h>
#include <sys/prctl.h>

bool privilege_has(cap_value_t capability) {
        cap_t capabilities = cap_get_proc();
        cap_flag_value_t value = CAP_CLEAR;

        if (!capabilities)
                return false;
        (void)cap_get_flag(capabilities, capability, CAP_PERMITTED, &value);
        cap_free(capabilities);
        return value == CAP_SET;
}

static bool contains(const cap_value_t *list, size_t count, cap_value_t capability) {
        for (size_t i = 0; i < count; i++)
                if (list[i] == capability)
                        return true;
        return false;
}

/* CAP_SETPCAP has to be effective for this, so it is raised for as long as it takes. */
static int drop_bounding_set(const cap_value_t *keep, size_t count) {
        for (cap_value_t capability = 0; capability <= cap_max_bits(); capability++) {
                if (contains(keep, count, capability) || cap_get_bound(capability) <= 0)
                        continue;
                if (cap_drop_bound(capability) < 0)
                        return -errno;
        }
        return 0;
}

static int set_process(const cap_value_t *keep, size_t count, const cap_value_t *raise, size_t raise_count) {
        cap_t capabilities = cap_init();
        int r = 0;

        if (!capabilities)
                return -errno;
        if ((count > 0 && cap_set_flag(capabilities, CAP_PERMITTED, (int)count, keep, CAP_SET) < 0) ||
            (raise_count > 0 && cap_set_flag(capabilities, CAP_EFFECTIVE, (int)raise_count, raise, CAP_SET) < 0) ||
            cap_set_proc(capabilities) < 0)
                r = -errno;
        cap_free(capabilities);
        return r;
}

static int raise_setpcap(void) {
        static const cap_value_t setpcap = CAP_SETPCAP;
        cap_t capabilities = cap_get_proc();
        int r = 0;

        if (!capabilities)
                return -errno;
        if (cap_set_flag(capabilities, CAP_EFFECTIVE, 1, &setpcap, CAP_SET) < 0 || cap_set_proc(capabilities) < 0)
                r = -errno;
        cap_free(capabilities);
        return r;
}

void privilege_hide_memory(void) {
        (void)prctl(PR_SET_DUMPABLE, 0);
}

int privilege_keep(const cap_value_t *keep, size_t count, bool effective) {
        int r;

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        /* Without CAP_SETPCAP the bounding set stays; nothing is ever executed, so nothing could be had from it. */
        if (raise_setpcap() == 0) {
                r = drop_bounding_set(keep, count);
                if (r < 0)
                        return r;
        }
        (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        return set_process(keep, count, keep, effective ? count : 0);
}
