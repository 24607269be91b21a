/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A journal in which anything may stand: whoever wrote it was killed at any moment, or had gone mad. It is handed to a
 * new supervisor, or to the keeper's bypass, and to the report. None of them may crash, since the next one would too,
 * and every caller that waits gets an answer.
 */

#include <fcntl.h>
#include <json-c/json.h>
#include <linux/audit.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "call.h"
#include "fdpass.h"
#include "idle.h"
#include "journal.h"
#include "keeper/private.h"
#include "observe/report.h"
#include "supervised.h"
#include "util/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct journal *journal;
static int journal_fd;
static char report_path[64];

static void write_header(struct input *input) {
        struct journal_header *header = &journal->header;
        uint8_t reason = input_byte(input) % CONTINUE_REASONS;

        header->order = input_number(input);
        header->load_serial = input_number(input);
        header->in_use = (uint32_t)input_number(input);
        header->modules = (uint32_t)input_number(input);
        header->continued[reason] = input_number(input);
}

static void write_request(struct input *input) {
        static const int calls[] = { SYS_finit_module, SYS_init_module, SYS_getpid };
        struct journal_request *request = &journal->requests[input_number(input) % JOURNAL_REQUESTS];

        request->notif.id = input_number(input);
        request->notif.pid = (uint32_t)input_number(input);
        request->notif.data.nr = calls[input_byte(input) % 3];
        request->notif.data.arch = AUDIT_ARCH_X86_64;
        for (unsigned int i = 0; i < 3; i++)
                request->notif.data.args[i] = input_number(input);
        request->order = input_number(input);
        request->load = (uint32_t)input_number(input);
        request->load_serial = input_number(input);
        request->module = (uint32_t)input_number(input);
        request->committed = input_byte(input);
        request->answering = input_byte(input);
        request->looks = (uint32_t)input_number(input);
}

static void write_load(struct input *input) {
        struct journal_load *load = &journal->loads[input_number(input) % JOURNAL_LOADS];

        load->state = (uint32_t)input_number(input);
        load->loader = (uint32_t)input_number(input);
        load->serial = input_number(input);
        load->key.file.inode = input_number(input);
        load->key.flags = (uint32_t)input_number(input);
        (void)input_bytes(input, load->key.name, sizeof(load->key.name));
        load->image_hash[0] = input_number(input);
        load->call = (uint32_t)input_number(input);
        load->module = (uint32_t)input_number(input);
        load->status = (uint32_t)input_number(input);
        load->error = (int32_t)input_number(input);
}

static void write_module(struct input *input) {
        struct journal_module *module = &journal->modules[input_number(input) % JOURNAL_MODULES];
        struct journal_errno *failure = &module->failures[input_byte(input) % JOURNAL_ERRNOS];

        (void)input_bytes(input, module->name, sizeof(module->name));
        module->used = input_byte(input);
        module->indexed = input_byte(input);
        module->requests = input_number(input);
        module->loaded = input_number(input);
        failure->error = (int32_t)input_number(input);
        failure->count = (uint32_t)input_number(input);
}

static void write_place(struct input *input) {
        uint16_t *place = &journal->places[input_number(input) % JOURNAL_PLACES];

        *place = (uint16_t)input_number(input);
}

static void write_bytes(struct input *input) {
        size_t offset = input_number(input) % (sizeof(*journal) - UINT8_MAX);

        (void)input_bytes(input, (char *)journal + offset, UINT8_MAX);
}

#define FILL(array)                                                                                                    \
        do {                                                                                                           \
                for (size_t i = 1; i < sizeof(array) / sizeof((array)[0]); i++)                                        \
                        (array)[i] = (array)[0];                                                                       \
        } while (0)

/* All entries like the first one. */
static void fill(struct input *input) {
        switch (input_byte(input) % 4) {
        case 0:
                FILL(journal->requests);
                /* thousands of calls of one thread would take their time, and there is no such thing */
                for (uint32_t i = 1; i < JOURNAL_REQUESTS; i++)
                        journal->requests[i].notif.pid += i;
                break;
        case 1:
                FILL(journal->loads);
                break;
        case 2:
                FILL(journal->modules);
                break;
        default:
                FILL(journal->places);
        }
}

static void write_journal(struct input *input) {
        unsigned int count = input_byte(input);

        memset(journal, 0, sizeof(*journal));
        while (count-- > 0 && input->size > 0) {
                uint8_t what = input_byte(input);

                switch (what % 8) {
                case 0:
                        write_header(input);
                        break;
                case 1:
                case 2:
                        write_request(input);
                        break;
                case 3:
                case 4:
                        write_load(input);
                        break;
                case 5:
                        write_module(input);
                        break;
                case 6:
                        write_place(input);
                        break;
                default:
                        if (what & 8)
                                fill(input);
                        else
                                write_bytes(input);
                }
        }
}

static void check_names(struct json_object *modules) {
        for (size_t i = 0; i < json_object_array_length(modules); i++) {
                const char *name =
                        json_object_get_string(json_object_object_get(json_object_array_get_idx(modules, i), "name"));

                check(strlen(name) < MODULE_NAME_SIZE);
                for (; *name; name++)
                        check(*name >= ' ' && *name <= '~');
        }
}

/* Reads it, as a reporter does, and what it has written. */
static void report(void) {
        static FILE *nowhere;
        struct json_object *parsed;

        if (!nowhere)
                nowhere = fopen("/dev/null", "we");
        check(nowhere != NULL);
        report_write_table(journal, nowhere);
        check(report_write_json(journal, true, report_path) == 0);
        parsed = json_object_from_file(report_path);
        check(parsed != NULL);
        check_names(json_object_object_get(parsed, "modules"));
        (void)json_object_put(parsed);
}

static void bypass(struct input *input) {
        static struct keeper keeper;
        int listener_end;

        memset(&keeper, 0, sizeof(keeper));
        keeper.journal = journal;
        keeper.trace.fd = keeper.uevents = keeper.journal_fd = keeper.attach.connection = -1;
        supervised_callers(journal, input, &keeper.listener, &listener_end);
        bypass_begin(&keeper);
        supervised_check_answers();
        (void)close(listener_end);
        (void)close(keeper.listener);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
        (void)argc;
        (void)argv;
        supervised_init();
        check(journal_create(&journal, &journal_fd) == 0);
        (void)snprintf(report_path, sizeof(report_path), "/dev/shm/journal_fuzz.%d", getpid());
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct input input = { .data = data, .size = size };
        uint8_t what = input_byte(&input);

        write_journal(&input);
        if (what & 1)
                report();
        if (what & 2)
                bypass(&input);
        else
                supervised_run(journal, journal_fd, &input, what & 8 ? SUPERVISED_BY_DAEMON : SUPERVISED_BY_KEEPER);
        if (what & 4)
                report();
        (void)unlink(report_path);
        return 0;
}
