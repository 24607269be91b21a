/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "observe/report.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "journal.h"
#include "observe/names.h"
#include "util/fd.h"

#define REPORT_SCHEMA "modgate.report/1"

static void add_count(struct json_object *object, const char *name, uint64_t count) {
        (void)json_object_object_add(object, name, json_object_new_uint64(count));
}

static struct json_object *results_json(const struct journal_module *module) {
        struct json_object *results = json_object_new_object();

        if (module->loaded > 0)
                add_count(results, "ok", module->loaded);
        for (unsigned int i = 0; i < JOURNAL_ERRNOS && module->failures[i].error != 0; i++)
                add_count(results, name_of_error(module->failures[i].error), module->failures[i].count);
        if (module->other_failures > 0)
                add_count(results, "other", module->other_failures);
        return results;
}

static struct json_object *module_json(const struct journal_module *module) {
        struct json_object *object = json_object_new_object();
        char name[MODULE_NAME_SIZE];

        journal_module_name(module, name);
        (void)json_object_object_add(object, "name", json_object_new_string(name));
        (void)json_object_object_add(object, "indexed", json_object_new_boolean(module->indexed != 0));
        add_count(object, "requests", module->requests);
        add_count(object, "loads", module->loads);
        add_count(object, "joined", module->joined);
        add_count(object, "live", module->live);
        add_count(object, "behind", module->behind);
        add_count(object, "remembered", module->remembered);
        add_count(object, "made_up", module->made_up);
        add_count(object, "continued", module->continued);
        add_count(object, "gone", module->gone);
        add_count(object, "load_us", module->load_ns / 1000);
        add_count(object, "bytes_loaded", module->bytes_loaded);
        add_count(object, "bytes_not_read", module->bytes_saved);
        (void)json_object_object_add(object, "results", results_json(module));
        return object;
}

static void add_sum(struct journal_module *sum, const struct journal_module *module) {
        sum->requests += module->requests;
        sum->loads += module->loads;
        sum->loaded += module->loaded;
        sum->joined += module->joined;
        sum->live += module->live;
        sum->behind += module->behind;
        sum->remembered += module->remembered;
        sum->made_up += module->made_up;
        sum->continued += module->continued;
        sum->load_ns += module->load_ns;
        sum->bytes_loaded += module->bytes_loaded;
        sum->bytes_saved += module->bytes_saved;
}

static struct journal_module sum_of(const struct journal *journal) {
        struct journal_module sum = { 0 };

        for (uint32_t i = 0; i < JOURNAL_MODULES && journal->modules[i].used; i++)
                add_sum(&sum, &journal->modules[i]);
        return sum;
}

static struct json_object *totals_json(const struct journal *journal) {
        const struct journal_header *header = &journal->header;
        struct journal_module sum = sum_of(journal);
        struct json_object *object = json_object_new_object();

        add_count(object, "requests", header->requests);
        add_count(object, "answered", header->answered);
        add_count(object, "gone", header->gone);
        add_count(object, "loads", sum.loads);
        add_count(object, "made_up", sum.made_up);
        add_count(object, "duplicates", sum.joined + sum.live + sum.behind + sum.remembered);
        add_count(object, "load_us", sum.load_ns / 1000);
        add_count(object, "bytes_loaded", sum.bytes_loaded);
        add_count(object, "bytes_not_read", sum.bytes_saved);
        add_count(object, "supervisor_starts", header->supervisor_starts);
        add_count(object, "recovered", header->recovered);
        add_count(object, "loader_deaths", header->loader_deaths);
        (void)json_object_object_add(object, "bypassed", json_object_new_boolean(header->bypassed != 0));
        return object;
}

static struct json_object *continued_json(const struct journal *journal) {
        struct json_object *object = json_object_new_object();

        for (enum continue_reason reason = CONTINUE_NOT + 1; reason < CONTINUE_REASONS; reason++)
                if (journal->header.continued[reason] > 0)
                        add_count(object, name_of_reason(reason), journal->header.continued[reason]);
        return object;
}

static struct json_object *report_json(const struct journal *journal, bool ended) {
        struct json_object *report = json_object_new_object();
        struct json_object *modules = json_object_new_array();

        (void)json_object_object_add(report, "schema", json_object_new_string(REPORT_SCHEMA));
        (void)json_object_object_add(report, "ended", json_object_new_boolean(ended));
        add_count(report, "uptime_us", (journal_now_ns() - journal->header.started_ns) / 1000);
        (void)json_object_object_add(report, "totals", totals_json(journal));
        (void)json_object_object_add(report, "continued", continued_json(journal));
        for (uint32_t i = 0; i < JOURNAL_MODULES && journal->modules[i].used; i++)
                (void)json_object_array_add(modules, module_json(&journal->modules[i]));
        (void)json_object_object_add(report, "modules", modules);
        return report;
}

static int write_text(const char *path, const char *text) {
        int fd, r = 0;
        FILE *file;

        /* the directory may be somebody else's: what stands under this name there is not written to, or through */
        (void)unlink(path);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd < 0)
                return -errno;
        file = fdopen(fd, "w");
        if (!file) {
                fd_close(fd);
                return -ENOMEM;
        }
        if (fputs(text, file) < 0 || fputc('\n', file) < 0)
                r = -errno;
        if (fclose(file) != 0 && r == 0)
                r = -errno;
        return r;
}

int report_write_json(const struct journal *journal, bool ended, const char *path) {
        struct json_object *report = report_json(journal, ended);
        char temporary[PATH_MAX];
        int r = -ENAMETOOLONG;

        if ((size_t)snprintf(temporary, sizeof(temporary), "%s.new", path) < sizeof(temporary))
                r = write_text(temporary, json_object_to_json_string_ext(
                                                  report, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE |
                                                                  JSON_C_TO_STRING_SPACED));
        if (r == 0 && rename(temporary, path) < 0)
                r = -errno;
        if (r < 0)
                (void)unlink(temporary);
        (void)json_object_put(report);
        return r;
}

static void results_text(const struct journal_module *module, char *text, size_t size) {
        size_t used = 0;

        text[0] = '\0';
        if (module->loaded > 0)
                used = (size_t)snprintf(text, size, "%llu ok", (unsigned long long)module->loaded);
        for (unsigned int i = 0; i < JOURNAL_ERRNOS && module->failures[i].error != 0 && used < size; i++)
                used += (size_t)snprintf(text + used, size - used, "%s%u %s", used > 0 ? ", " : "",
                                         module->failures[i].count, name_of_error(module->failures[i].error));
        if (module->other_failures > 0 && used < size)
                (void)snprintf(text + used, size - used, ", %llu other", (unsigned long long)module->other_failures);
}

static void write_row(FILE *stream, const char *name, const struct journal_module *module, const char *results) {
        fprintf(stream, "%-24s %8llu %6llu %7llu %6llu %7llu %10llu %7llu %10.1f %12.1f  %s\n", name,
                (unsigned long long)module->requests, (unsigned long long)module->loads,
                (unsigned long long)module->joined, (unsigned long long)module->live,
                (unsigned long long)module->behind, (unsigned long long)module->remembered,
                (unsigned long long)module->continued, (double)module->load_ns / 1e6,
                (double)module->bytes_saved / 1024.0, results);
}

void report_write_table(const struct journal *journal, FILE *stream) {
        const struct journal_header *header = &journal->header;
        struct journal_module sum = sum_of(journal);

        fprintf(stream, "%-24s %8s %6s %7s %6s %7s %10s %7s %10s %12s  %s\n", "module", "requests", "loads", "joined",
                "live", "behind", "remembered", "kernel", "load ms", "KiB not read", "results of the loads");
        for (uint32_t i = 0; i < JOURNAL_MODULES && journal->modules[i].used; i++) {
                char results[256], name[MODULE_NAME_SIZE];

                results_text(&journal->modules[i], results, sizeof(results));
                journal_module_name(&journal->modules[i], name);
                write_row(stream, name, &journal->modules[i], results);
        }
        write_row(stream, "total", &sum, "");
        fprintf(stream, "%llu requests, %llu answered, %llu callers gone before their answer",
                (unsigned long long)header->requests, (unsigned long long)header->answered,
                (unsigned long long)header->gone);
        if (header->supervisor_starts > 1)
                fprintf(stream, ", %llu restarts of the supervisor", (unsigned long long)header->supervisor_starts - 1);
        if (header->loader_deaths > 0)
                fprintf(stream, ", %llu loaders died", (unsigned long long)header->loader_deaths);
        fputc('\n', stream);
        for (enum continue_reason reason = CONTINUE_NOT + 1; reason < CONTINUE_REASONS; reason++)
                if (header->continued[reason] > 0)
                        fprintf(stream, "left to the kernel: %llu (%s)\n",
                                (unsigned long long)header->continued[reason], name_of_reason(reason));
}
