/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Policy files. Whatever is in them: an error is told, and stands in a line that there is; what the files allow is
 * somewhere in them, in words; and what is denied in one more file is refused.
 */

#include <errno.h>
#include <fnmatch.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILES_MAX 3

/* Which part of a file is which is said by this byte, so that corpora stay texts. */
#define SEPARATOR '\f'

struct seen {
        const struct policy_file *files;
        size_t count;
        unsigned int errors;
};

static unsigned int count_lines(const struct policy_file *file) {
        unsigned int lines = file->length > 0 && file->text[file->length - 1] != '\n';

        for (size_t i = 0; i < file->length; i++)
                lines += file->text[i] == '\n';
        return lines;
}

static void check_error(const struct policy_place *place, const char *reason, void *context) {
        struct seen *seen = context;
        bool known = false;

        for (size_t i = 0; i < seen->count; i++)
                if (strcmp(seen->files[i].name, place->file) == 0) {
                        known = true;
                        check(place->line >= 1 && place->line <= count_lines(&seen->files[i]));
                }
        check(known);
        check(reason[0] != '\0');
        for (; *reason; reason++)
                check(*reason >= ' ' && *reason <= '~');
        seen->errors++;
}

static void fold(char *text) {
        for (; *text; text++)
                if (*text == '-')
                        *text = '_';
}

/* As the C library has it. Sets, in which `-` means something else, may match anything. */
static bool may_match(const char *entry, const struct policy_module *module) {
        char pattern[256], text[256];
        const char *alias = strncmp(entry, "alias:", 6) == 0 ? entry + 6 : NULL;

        if (strchr(entry, '[') || strlen(entry) >= sizeof(pattern))
                return true;
        (void)snprintf(pattern, sizeof(pattern), "%s", alias ? alias : entry);
        (void)snprintf(text, sizeof(text), "%s", alias ? module->aliases[0] : module->name);
        fold(pattern);
        fold(text);
        return fnmatch(pattern, text, 0) == 0;
}

/* Is there a line of any profile that allows it? */
static bool is_named(const struct policy_file *file, const struct policy_module *module) {
        char *text = strndup(file->text, file->length), *lines = text, *line;
        bool named = false;

        check(text);
        while ((line = strsep(&lines, "\n"))) {
                char *equals = strchr(line, '='), *word;

                line += strspn(line, " \t\r");
                if (strncmp(line, "allow", 5) != 0 || !equals)
                        continue;
                for (equals++; (word = strsep(&equals, " \t\r"));)
                        named |= *word && may_match(word, module);
        }
        free(text);
        return named;
}

static void check_verdict(const struct policy_verdict *verdict) {
        check(verdict->error == 0 || verdict->error == EPERM || verdict->error == EEXIST || verdict->error == EAGAIN);
        check((verdict->place.line > 0) == (verdict->place.file != NULL));
        check(strlen(policy_rule_name(verdict->rule)) > 0 && verdict->reason[0] != '\0');
}

static void check_decisions(const struct policy_file *files, size_t count, const struct policy *policy,
                            const struct policy_request *request) {
        static const char *const names[] = { "p", "q", "default" };
        bool named = false;

        for (size_t i = 0; i < count; i++)
                named |= is_named(&files[i], &request->module);
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                struct policy_verdict verdict = policy_decide(policy_choose(policy, names[i], NULL), request);

                check_verdict(&verdict);
                check(named || verdict.error != 0);
        }
}

static void check_denied(const struct policy_file *files, size_t count, const struct policy_request *request) {
        static const char deny[] = "[p]\ndeny=*\n[q]\ndeny=*\n[default]\ndeny=*\n";
        struct policy_file more[FILES_MAX + 1];
        struct policy *policy;

        memcpy(more, files, count * sizeof(*files));
        more[count] = (struct policy_file){ .name = "deny", .text = deny, .length = sizeof(deny) - 1 };
        if (policy_parse(more, count + 1, NULL, NULL, &policy) < 0)
                check_failed(__FILE__, __LINE__, "a policy with one more file");
        check(policy_decide(policy_choose(policy, "p", NULL), request).error != 0);
        (void)policy_free(policy);
}

/* Texts up to a separator: the first three are the module, its alias and its parameters, the others files. */
static struct policy_file take(const uint8_t **data, size_t *size) {
        const uint8_t *end = *size > 0 ? memchr(*data, SEPARATOR, *size) : NULL;
        size_t length = end ? (size_t)(end - *data) : *size;
        struct policy_file part = { .text = (const char *)*data, .length = length };

        *data += length + (end != NULL);
        *size -= length + (end != NULL);
        return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char *const names[FILES_MAX] = { "one", "two", "three" };
        struct policy_file parts[3], files[FILES_MAX];
        struct seen seen = { .files = files };
        struct policy *policy = NULL;
        char name[56] = "", alias[200] = "";
        const char *aliases[] = { alias };
        int r;

        for (size_t i = 0; i < 3; i++)
                parts[i] = take(&data, &size);
        for (; seen.count < FILES_MAX && size > 0; seen.count++) {
                files[seen.count] = take(&data, &size);
                files[seen.count].name = names[seen.count];
        }
        if (parts[0].length > 0 && parts[0].length < sizeof(name))
                memcpy(name, parts[0].text, parts[0].length);
        if (parts[1].length > 0 && parts[1].length < sizeof(alias))
                memcpy(alias, parts[1].text, parts[1].length);
        r = policy_parse(files, seen.count, check_error, &seen, &policy);
        check(r == (seen.errors > 0 ? -EINVAL : 0));
        if (r == 0) {
                struct policy_request request = {
                        .module = { .name = name, .aliases = aliases, .alias_count = 1 },
                        .parameters = parts[2].text,
                        .parameter_length = parts[2].length,
                        .caller = { .root = true, .capable = true },
                };

                check_decisions(files, seen.count, policy, &request);
                check_denied(files, seen.count, &request);
        }
        (void)policy_free(policy);
        return 0;
}
