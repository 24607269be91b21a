/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Compares what came out bare with what came out under modgate. `allowances` is all that may differ; each of them is a
 * consequence of "What a caller sees" in docs/design.md.
 */

#include <stdlib.h>
#include <string.h>

#include "differential.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SHOWN_MAX 15

struct step {
        char line[4096];
        char *number, *context, *call, *outcome, *state;
};

static bool is_one_of(const char *word, const char *const *words, size_t count) {
        for (size_t i = 0; i < count; i++)
                if (strcmp(word, words[i]) == 0)
                        return true;
        return false;
}

static bool same(const struct step *a, const struct step *b) {
        return strcmp(a->outcome, b->outcome) == 0 && strcmp(a->state, b->state) == 0;
}

/* --- a module that is live --- */

static bool is_live_first(const struct step *bare, const struct step *other) {
        static const char *const checks[] = { "EINVAL", "ETXTBSY", "EOPNOTSUPP", "ENOEXEC", "EFAULT", "ENOMEM" };

        return strcmp(bare->context, "live") == 0 && strcmp(other->outcome, "EEXIST") == 0 &&
               is_one_of(bare->outcome, checks, COUNT(checks)) && strcmp(bare->state, other->state) == 0;
}

static bool is_misnamed(const struct step *bare, const struct step *other) {
        return strcmp(bare->context, "misnamed") == 0 && strcmp(bare->outcome, "OK,OK") == 0 &&
               strcmp(other->outcome, "OK,EEXIST") == 0;
}

/* --- memory --- */

static bool is_forbidden_memory(const struct step *bare, const struct step *other) {
        (void)other;
        return strcmp(bare->context, "forbidden memory") == 0 && strcmp(bare->outcome, "EFAULT") == 0;
}

/* --- failures that are remembered --- */

static bool may_be_remembered(const char *error) {
        static const char *const errors[] = { "ENODEV", "ENXIO", "EOPNOTSUPP", "EEXIST" };

        return is_one_of(error, errors, COUNT(errors));
}

/* Three calls, of which the first two fail: under modgate the third one too. */
static bool is_remembered(const struct step *bare, const struct step *other) {
        char error[32], expected[128];

        if (strcmp(bare->context, "again") != 0 || sscanf(bare->outcome, "%31[A-Z],", error) != 1 ||
            !may_be_remembered(error))
                return false;
        snprintf(expected, sizeof(expected), "%s,%s,%s", error, error, error);
        return strcmp(other->outcome, expected) == 0;
}

static bool is_made_up_for(const struct step *bare, const struct step *other) {
        return strcmp(bare->context, "made up for") == 0 && strcmp(bare->outcome, "ENODEV,OK,OK,LIVE") == 0 &&
               strcmp(other->outcome, "ENODEV,OK,ENODEV,LIVE") == 0 && strcmp(bare->state, other->state) == 0;
}

static unsigned long attempts_of(const char *outcome, const char *module) {
        const char *found = strstr(outcome, module);

        return found ? strtoul(found + strlen(module), NULL, 10) : 0;
}

static bool has_fewer_attempts(const struct step *bare, const struct step *other) {
        if (strcmp(bare->context, "attempts") != 0)
                return false;
        for (size_t i = 0; i < TEST_MODULES; i++)
                if (attempts_of(other->outcome, module_names[i]) > attempts_of(bare->outcome, module_names[i]))
                        return false;
        return true;
}

/* --- calls at the same time --- */

struct group {
        bool known;    /* modgate knows the names of all */
        bool succeeds; /* some of them would succeed alone */
        char alone[8][32];
        unsigned int kinds;
};

static struct group group_parse(const char *context) {
        struct group group = { .known = strncmp(context, "group known ", 12) == 0 };
        char text[1024], *rest, *word;

        snprintf(text, sizeof(text), "%s", context + strlen("group ") + (group.known ? 6 : 8));
        for (word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
                if (word[1] == '\0')
                        continue;
                snprintf(group.alone[group.kinds++], sizeof(group.alone[0]), "%s", word);
                group.succeeds = group.succeeds || strcmp(word, "OK") == 0;
        }
        return group;
}

/* What the kernel says: to one who waits for another load, EEXIST or EBUSY; since 6.5 also that load's result. */
static bool kernel_may_say(const struct group *group, const char *result) {
        if (strcmp(result, "EBUSY") == 0 || (strcmp(result, "EEXIST") == 0 && group->succeeds))
                return true;
        for (unsigned int i = 0; i < group->kinds; i++)
                if (strcmp(result, group->alone[i]) == 0)
                        return true;
        return false;
}

/* What modgate says: what the call results in alone, and EEXIST once the module is live. Never another one's failure.
 */
static bool modgate_may_say(const struct group *group, unsigned int kind, const char *result) {
        return strcmp(result, group->alone[kind]) == 0 || (strcmp(result, "EEXIST") == 0 && group->succeeds);
}

static bool group_is_right(const struct step *step, bool modgate) {
        struct group group = group_parse(step->context);
        unsigned int kind = 0, live = 0;
        char text[1024], *rest, *word;

        snprintf(text, sizeof(text), "%s", step->outcome);
        for (word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
                char *result = strchr(word, '*');

                if (!result) {
                        kind = (unsigned int)(word[0] - 'A');
                        continue;
                }
                if (strcmp(++result, "OK") == 0)
                        live++;
                if (!(modgate && group.known ? modgate_may_say(&group, kind, result) : kernel_may_say(&group, result)))
                        return false;
        }
        /* where one load of several fails, the kernel may turn all others away; modgate lets them go next */
        if (modgate && group.known && group.succeeds && live == 0)
                return false;
        return (live > 0) == (strstr(step->state, "mg_") != strstr(step->state, "mg_state"));
}

static bool is_group(const struct step *step) {
        return strncmp(step->context, "group ", 6) == 0;
}

static bool is_joined(const struct step *bare, const struct step *other) {
        return is_group(bare) && group_is_right(bare, false) && group_is_right(other, true);
}

/* --- all that may differ --- */

static struct allowance {
        const char *name, *reason;
        bool (*applies)(const struct step *bare, const struct step *other);
        bool remembers; /* only with --failure-ttl */
        unsigned int count;
} allowances[] = {
        { "live first", "a module of that name is live: EEXIST without reading the image, whatever is wrong with it",
          is_live_first, false, 0 },
        { "misnamed", "the name of a file of depmod's index is the one that the index has it under", is_misnamed, false,
          0 },
        { "joined", "calls in flight get the leader's result, 0 included; others of that name go next, and not EBUSY",
          is_joined, false, 0 },
        { "PROT_NONE", "a known difference: memory is read through /proc/TID/mem, which ignores PROT_NONE",
          is_forbidden_memory, false, 0 },
        { "remembered", "a failure of the same file or image, parameters and flags still stands", is_remembered, true,
          0 },
        { "made up for",
          "a failure that still stood, and that another module's going live may have changed, is tried "
          "once more",
          is_made_up_for, true, 0 },
        { "fewer attempts", "for the failures that still stood", has_fewer_attempts, true, 0 },
};

/* The first that applies, or NULL. */
static struct allowance *find_allowance(const struct step *bare, const struct step *other, bool remembers) {
        for (size_t i = 0; i < COUNT(allowances); i++)
                if ((remembers || !allowances[i].remembers) && allowances[i].applies(bare, other))
                        return &allowances[i];
        return NULL;
}

static bool step_read(FILE *file, struct step *step) {
        char *rest = step->line,
             **fields[] = { &step->number, &step->context, &step->call, &step->outcome, &step->state };

        if (!fgets(step->line, sizeof(step->line), file))
                return false;
        step->line[strcspn(step->line, "\n")] = '\0';
        for (size_t i = 0; i < COUNT(fields); i++) {
                char *field = strsep(&rest, "\t");

                *fields[i] = field ? field : (char *)"";
        }
        return true;
}

static void show(const struct step *bare, const struct step *other, uint64_t seed) {
        printf("seed %llu, step %s (%s): %s\n", (unsigned long long)seed, bare->number, bare->context, bare->call);
        printf("  bare:    %s   %s\n  modgate: %s   %s\n", bare->outcome, bare->state, other->outcome, other->state);
}

/* Groups have to be right even if they are alike. */
static bool differs(const struct step *bare, const struct step *other) {
        return !same(bare, other) || (is_group(bare) && !is_joined(bare, other));
}

struct comparison {
        FILE *bare_file, *other_file;
        struct step bare, other;
        uint64_t seed;
        bool remembers;
        unsigned int steps, different;
};

static bool read_both(struct comparison *comparison) {
        bool bare = step_read(comparison->bare_file, &comparison->bare);
        bool other = step_read(comparison->other_file, &comparison->other);

        if (bare != other) {
                printf("one of the two ended after %u steps\n", comparison->steps);
                comparison->different++;
        }
        return bare && other;
}

/* Returns whether to go on. */
static bool compare_step(struct comparison *comparison) {
        const struct step *bare = &comparison->bare, *other = &comparison->other;
        struct allowance *allowance;

        comparison->steps++;
        if (strcmp(bare->context, other->context) != 0 || strcmp(bare->call, other->call) != 0) {
                show(bare, other, comparison->seed);
                printf("  modgate: (%s) %s\nthe sequences are no longer the same\n", other->context, other->call);
                comparison->different++;
                return false;
        }
        if (!differs(bare, other))
                return true;
        allowance = find_allowance(bare, other, comparison->remembers);
        if (allowance)
                allowance->count++;
        else if (comparison->different++ < SHOWN_MAX)
                show(bare, other, comparison->seed);
        return true;
}

int compare(const char *bare_path, const char *other_path, bool remembers, uint64_t seed) {
        static struct comparison comparison;

        comparison.bare_file = fopen(bare_path, "re");
        comparison.other_file = fopen(other_path, "re");
        comparison.seed = seed;
        comparison.remembers = remembers;
        if (!comparison.bare_file || !comparison.other_file) {
                perror("open");
                return 2;
        }
        while (read_both(&comparison) && compare_step(&comparison))
                ;
        for (size_t i = 0; i < COUNT(allowances); i++)
                if (allowances[i].count > 0)
                        printf("%u × %s: %s\n", allowances[i].count, allowances[i].name, allowances[i].reason);
        printf("%u steps, %u differ that must not\n", comparison.steps, comparison.different);
        return comparison.different == 0 && comparison.steps > 0 ? 0 : 1;
}
