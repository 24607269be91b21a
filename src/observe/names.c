/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "observe/names.h"

#include <string.h>

static const char *const reason_names[CONTINUE_REASONS] = {
        [CONTINUE_NOT] = "none",
        [CONTINUE_UNKNOWN_CALL] = "unknown-call",
        [CONTINUE_IMAGE] = "image-not-understood",
        [CONTINUE_DISABLED] = "modules-disabled",
        [CONTINUE_NO_PID] = "caller-not-visible",
        [CONTINUE_CALLER_GONE] = "caller-gone",
        [CONTINUE_NO_CAPABILITY] = "no-capability",
        [CONTINUE_USER_NAMESPACE] = "other-user-namespace",
        [CONTINUE_LABEL] = "other-security-label",
        [CONTINUE_FD] = "bad-descriptor",
        [CONTINUE_NOT_REGULAR] = "not-a-regular-file",
        [CONTINUE_FLAGS] = "unknown-flags",
        [CONTINUE_MEMORY] = "memory-unreadable",
        [CONTINUE_PARAMS_TOO_LONG] = "parameters-too-long",
        [CONTINUE_INSPECTOR] = "no-inspector",
        [CONTINUE_NO_SLOT] = "no-slot",
        [CONTINUE_NO_LOADER] = "no-loader",
        [CONTINUE_LOADER_REFUSED] = "loader-refused",
        [CONTINUE_NOT_LOOKED_AT] = "not-looked-at",
        [CONTINUE_INTERNAL] = "internal",
        [CONTINUE_BYPASS] = "bypass",
};

const char *name_of_reason(enum continue_reason reason) {
        return reason < CONTINUE_REASONS ? reason_names[reason] : "unknown";
}

const char *name_of_error(int error) {
        const char *name = strerrorname_np(error);

        return name ? name : "unknown";
}
