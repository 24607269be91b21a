/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Recordings, of both kinds: whatever they say, what is made of them is consistent. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "recording.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition) {
        if (!condition)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct recording recording;
        struct recording_problem problem = { "" };
        uint64_t calls = 0;

        if (recording_parse((const char *)data, size, &recording, &problem) < 0) {
                check(problem.text[0] != '\0');
                return 0;
        }
        for (size_t i = 0; i < recording.call_count; i++) {
                const struct recording_call *call = &recording.calls[i];

                check(call->module < recording.module_count && call->caller < recording.caller_count);
                check(call->at_ns <= recording.duration_ns && (i == 0 || call->at_ns >= call[-1].at_ns));
                check(call->error >= RECORDING_NO_RESULT);
        }
        for (size_t i = 0; i < recording.module_count; i++) {
                check(memchr(recording.modules[i].name, '\0', MODULE_NAME_SIZE) != NULL);
                check(recording.modules[i].error >= 0);
                calls += recording.modules[i].calls;
        }
        check(calls == recording.call_count);
        recording_deinit(&recording);
        return 0;
}
