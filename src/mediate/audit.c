/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One line for each request, of key=value words: docs/containers.md says what they mean. */

#include <stdio.h>
#include <string.h>

#include "journal.h"
#include "mediate/private.h"
#include "observe/names.h"
#include "util/log.h"

/* A container that floods does not flood the log: so many refusals a second, and then their number. */
#define REFUSALS_TOLD 20U
#define REFUSALS_TOLD_NS (1 * 1000000000ULL)

#define PARAMS_SHOWN 200U

#define UNTOLD_SIZE 32U

/* Printable ASCII, without what would end the quotes. */
static void quote(const char *bytes, size_t length, char text[static PARAMS_SHOWN + 4]) {
        size_t shown = length < PARAMS_SHOWN ? length : PARAMS_SHOWN;

        for (size_t i = 0; i < shown; i++)
                text[i] = bytes[i] < ' ' || bytes[i] > '~' || bytes[i] == '"' || bytes[i] == '\\' ? '?' : bytes[i];
        (void)strcpy(text + shown, shown < length ? "..." : "");
}

static const char *profile_name(const struct container *container) {
        const struct policy_profile *profile = container_profile(container);

        return profile ? policy_profile_name(profile) : "none";
}

static const char *result_name(int error) {
        return error == 0 ? "OK" : name_of_error(error);
}

/* Is this one to be told of? */
static bool take_line(struct customer *customer) {
        uint64_t now_ns = journal_now_ns();

        if (now_ns - customer->audited_ns >= REFUSALS_TOLD_NS) {
                customer->audited_ns = now_ns;
                customer->audited = 0;
        }
        return customer->audited++ < REFUSALS_TOLD;
}

/* How many were not told of since the last line, as a word of its own, if any. */
static const char *untold(struct customer *customer, char word[static UNTOLD_SIZE]) {
        word[0] = '\0';
        if (customer->unaudited > 0)
                (void)snprintf(word, UNTOLD_SIZE, " untold=%u", customer->unaudited);
        customer->unaudited = 0;
        return word;
}

/* What a line says besides who has asked for what. */
struct outcome {
        const char *verdict;
        const char *rule;
        const char *file; /* of the policy; NULL, or line 0: it stands nowhere */
        unsigned int line;
        const char *reason;
        int error;
};

static void write_line(const struct asked *asked, const struct outcome *outcome) {
        const struct container *container = asked->container;
        char params[PARAMS_SHOWN + 4], place[300] = "", more[UNTOLD_SIZE];

        quote(asked->params ? asked->params : "", asked->params_length, params);
        if (outcome->line > 0)
                (void)snprintf(place, sizeof(place), " at=%s:%u", outcome->file, outcome->line);
        log_notice("audit container=%s profile=%s pid=%u uid=%u module=%s parameters=\"%s\" verdict=%s rule=%s%s "
                   "because=\"%s\" result=%s%s",
                   container->store->id, profile_name(container), asked->slot->notif.pid, asked->asker.uid,
                   asked->name[0] ? asked->name : "unknown", params, outcome->verdict, outcome->rule, place,
                   outcome->reason, result_name(outcome->error), untold(container->customer, more));
}

void audit(const struct asked *asked, int error, const char *why) {
        struct customer *customer = asked->container->customer;
        const struct decision *decision = why ? NULL : asked->decision;
        struct outcome outcome = { .verdict = why ? "none" : "refuse", .rule = "none", .reason = "", .error = error };

        if (asked->state == ASKED_QUEUED && !take_line(customer)) {
                customer->unaudited++;
                return;
        }
        if (why)
                outcome.reason = why;
        if (decision) {
                outcome.verdict = decision->error == 0 ? "allow" : "refuse";
                outcome.rule = policy_rule_name(decision->rule);
                outcome.file = decision->file;
                outcome.line = decision->line;
                outcome.reason = decision->reason;
        }
        write_line(asked, &outcome);
}

void audit_refusal(const struct asked *asked, const struct policy_verdict *verdict) {
        struct customer *customer = asked->container->customer;

        if (!take_line(customer)) {
                customer->unaudited++;
                return;
        }
        write_line(asked, &(struct outcome){ .verdict = "refuse",
                                             .rule = policy_rule_name(verdict->rule),
                                             .file = verdict->place.file,
                                             .line = verdict->place.line,
                                             .reason = verdict->reason,
                                             .error = verdict->error });
}
