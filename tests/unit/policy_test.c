/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy/policy.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct errors {
        size_t count;
        struct policy_place place; /* of the first one */
        char reason[POLICY_REASON_SIZE];
};

static void count_error(const struct policy_place *place, const char *reason, void *context) {
        struct errors *errors = context;

        assert_true(strlen(reason) > 0 && strlen(reason) < POLICY_REASON_SIZE);
        for (const char *c = reason; *c; c++)
                assert_true(*c >= ' ' && *c <= '~');
        if (errors->count++ > 0)
                return;
        errors->place.line = place->line;
        (void)snprintf(errors->reason, sizeof(errors->reason), "%s", reason);
}

static void no_error(const struct policy_place *place, const char *reason, void *context) {
        (void)context;
        fail_msg("%s:%u: %s", place->file, place->line, reason);
}

static struct policy *parse_files(const char *const *texts, size_t count) {
        struct policy_file files[4];
        struct policy *policy = NULL;

        assert_true(count <= COUNT(files));
        for (size_t i = 0; i < count; i++)
                files[i] = (struct policy_file){ .name = i == 0 ? "a.ini" : "b.ini",
                                                 .text = texts[i],
                                                 .length = strlen(texts[i]) };
        assert_int_equal(policy_parse(files, count, no_error, NULL, &policy), 0);
        return policy;
}

static struct policy *parse(const char *text) {
        return parse_files(&text, 1);
}

/* A file that is no policy: says so once, at this line, in these words. */
static void check_error_of(const char *text, size_t length, unsigned int line, const char *says) {
        struct policy_file file = { .name = "a.ini", .text = text, .length = length };
        struct errors errors = { 0 };
        struct policy *policy = (struct policy *)&errors;

        assert_int_equal(policy_parse(&file, 1, count_error, &errors, &policy), -EINVAL);
        assert_ptr_equal(policy, &errors);
        if (errors.place.line != line || !strstr(errors.reason, says))
                fail_msg("'%s': line %u: %s; not line %u: %s", text, errors.place.line, errors.reason, line, says);
        assert_int_equal(errors.count, 1);
}

static void check_error(const char *text, unsigned int line, const char *says) {
        check_error_of(text, strlen(text), line, says);
}

/* Of root, for a module without parameters. */
static struct policy_request request_for(const char *name) {
        return (struct policy_request){ .module.name = name, .caller.root = true };
}

static struct policy_verdict ask(const struct policy *policy, const struct policy_request *request) {
        return policy_decide(policy_find(policy, "p"), request);
}

static void check_verdict(const char *text, const struct policy_request *request, int error, enum policy_rule rule,
                          unsigned int line) {
        _cleanup_policy_ struct policy *policy = parse(text);
        struct policy_verdict verdict = ask(policy, request);

        if (verdict.error != error || verdict.rule != rule || verdict.place.line != line)
                fail_msg("%s\n%s, line %u: %s, rule %s", text, verdict.error ? strerror(verdict.error) : "load it",
                         verdict.place.line, verdict.reason, policy_rule_name(verdict.rule));
        if (line > 0)
                assert_string_equal(verdict.place.file, "a.ini");
        assert_true(strlen(verdict.reason) > 0);
}

static void check(const char *text, const char *name, int error, enum policy_rule rule, unsigned int line) {
        struct policy_request request = request_for(name);

        check_verdict(text, &request, error, rule, line);
}

static void names(void **state) {
        (void)state;
        check("[p]\nallow=dummy\n", "dummy", 0, POLICY_RULE_ALLOW, 2);
        check("[p]\nallow=dummy\n", "dumm", EPERM, POLICY_RULE_ALLOW, 1);
        check("[p]\nallow=dummy\n", "dummy2", EPERM, POLICY_RULE_ALLOW, 1);
        check("[p]\nallow=dummy\n", "Dummy", EPERM, POLICY_RULE_ALLOW, 1);
        check("[p]\nallow=dummy\n", "", EPERM, POLICY_RULE_ALLOW, 1);
        check("[p]\n", "dummy", EPERM, POLICY_RULE_ALLOW, 1);
        check("[p]\nallow=a b  c\n", "b", 0, POLICY_RULE_ALLOW, 2);
        check("[p]\nallow=a\nallow=b\n", "b", 0, POLICY_RULE_ALLOW, 3);
        check("[p]\nallow=a_b\n", "a-b", 0, POLICY_RULE_ALLOW, 2);
        check("[p]\nallow=a-b\n", "a_b", 0, POLICY_RULE_ALLOW, 2);
        check("[p]\nallow=nf_*\n", "nf_tables", 0, POLICY_RULE_ALLOW, 2);
        check("[p]\nallow=nf-*\n", "nf_tables", 0, POLICY_RULE_ALLOW, 2);
        check("[p]\nallow=nf_*\n", "xnf_tables", EPERM, POLICY_RULE_ALLOW, 1);
        check("[p]\nallow=crc[0-9][0-9]\n", "crc32", 0, POLICY_RULE_ALLOW, 2);
        check("[p]\nallow=crc[0-9]\n", "crc32", EPERM, POLICY_RULE_ALLOW, 1);
        check("[p]\nallow=crc[!0-9]\n", "crc3", EPERM, POLICY_RULE_ALLOW, 1);
        check("[p]\nallow=a[_]b\n", "a-b", 0, POLICY_RULE_ALLOW, 2);
        check("[p]\nallow=a[-]b\n", "a_b", 0, POLICY_RULE_ALLOW, 2);
        check("[p]\nallow=a[!_]b\n", "a-b", EPERM, POLICY_RULE_ALLOW, 1);
        check("[p]\nallow=*\n", "anything", 0, POLICY_RULE_ALLOW, 2);
}

static void deny(void **state) {
        static const char *const files[] = { "[p]\ndeny=nf_x\n", "[p]\nallow=nf_*\n" };
        static const char *const files_backwards[] = { "[p]\nallow=nf_*\n", "[p]\ndeny=nf_x\n" };
        struct policy_request request = request_for("nf-x");

        (void)state;
        check("[p]\nallow=nf_*\ndeny=nf_x\n", "nf_x", EPERM, POLICY_RULE_DENY, 3);
        check("[p]\ndeny=nf_x\nallow=nf_x\n", "nf_x", EPERM, POLICY_RULE_DENY, 2);
        check("[p]\ndeny=*\nallow=nf_x\n", "nf_x", EPERM, POLICY_RULE_DENY, 2);
        check("[p]\nallow=nf_*\n[q]\ndeny=nf_x\n", "nf_x", 0, POLICY_RULE_ALLOW, 2);
        check("[p]\nallow=nf_*\n[q]\nallow=b\n[p]\ndeny=nf_x\n", "nf_x", EPERM, POLICY_RULE_DENY, 6);
        for (int backwards = 0; backwards < 2; backwards++) {
                _cleanup_policy_ struct policy *policy = parse_files(backwards ? files_backwards : files, 2);
                struct policy_verdict verdict = ask(policy, &request);

                assert_int_equal(verdict.error, EPERM);
                assert_string_equal(verdict.place.file, backwards ? "b.ini" : "a.ini");
                assert_string_equal(verdict.reason, "deny=nf_x");
                request.module.name = "nf_y";
                assert_int_equal(ask(policy, &request).error, 0);
                request.module.name = "nf-x";
        }
}

static void aliases(void **state) {
        static const char *const names[] = { "net-pf-16-proto-12", "pci:v00008086d00001533sv*sd*bc*sc*i*" };
        struct policy_request request = request_for("m");
        _cleanup_policy_ struct policy *with = parse("[p]\nparameters=alias:x a\n");
        _cleanup_policy_ struct policy *without = parse("[p]\nallow=x\n");

        (void)state;
        request.module.aliases = names;
        request.module.alias_count = COUNT(names);
        check_verdict("[p]\nallow=alias:net-pf-16-*\n", &request, 0, POLICY_RULE_ALLOW, 2);
        check_verdict("[p]\nallow=alias:net_pf_16_proto_12\n", &request, 0, POLICY_RULE_ALLOW, 2);
        check_verdict("[p]\nallow=alias:pci:v00008086d*\n", &request, 0, POLICY_RULE_ALLOW, 2);
        check_verdict("[p]\nallow=alias:pci:v00008087d*\n", &request, EPERM, POLICY_RULE_ALLOW, 1);
        check_verdict("[p]\nallow=m\ndeny=alias:pci:*\n", &request, EPERM, POLICY_RULE_DENY, 3);
        check_verdict("[p]\nallow=alias:m\n", &request, EPERM, POLICY_RULE_ALLOW, 1);
        check_verdict("[p]\nallow=net*\n", &request, EPERM, POLICY_RULE_ALLOW, 1);
        request.module.alias_count = 0;
        check_verdict("[p]\nallow=alias:*\n", &request, EPERM, POLICY_RULE_ALLOW, 1);
        assert_true(policy_profile_uses_aliases(policy_find(with, "p")));
        assert_false(policy_profile_uses_aliases(policy_find(without, "p")));
        assert_false(policy_profile_uses_aliases(NULL));
}

static void dependencies(void **state) {
        static const char *const aliases[] = { "net-pf-2" };
        struct policy_module modules[] = { { .name = "x_tables" },
                                           { .name = "nf-conntrack", .aliases = aliases, .alias_count = 1 } };
        struct policy_request request = request_for("ip_tables");
        _cleanup_policy_ struct policy *policy = parse("[p]\nallow=ip_tables\ndeny=nf_conntrack\n");
        struct policy_verdict verdict;

        (void)state;
        request.dependencies = modules;
        request.dependency_count = COUNT(modules);
        check_verdict("[p]\nallow=ip_tables\n", &request, 0, POLICY_RULE_ALLOW, 2);
        check_verdict("[p]\nallow=ip_tables\ndeny=x_*\n", &request, EPERM, POLICY_RULE_DEPENDENCY, 3);
        check_verdict("[p]\nallow=ip_tables\ndeny=alias:net-pf-*\n", &request, EPERM, POLICY_RULE_DEPENDENCY, 3);
        check_verdict("[p]\nallow=x_tables\n", &request, EPERM, POLICY_RULE_ALLOW, 1);
        verdict = ask(policy, &request);
        assert_string_equal(verdict.reason, "it needs the module nf-conntrack, and deny=nf_conntrack");
        assert_false(policy_denies(policy_find(policy, "p"), &modules[0]));
        assert_true(policy_denies(policy_find(policy, "p"), &modules[1]));
        assert_true(policy_denies(NULL, &modules[0]));
}

/* A container's own modprobe asks for them first. */
static void dependents(void **state) {
        static const char *const aliases[] = { "net-pf-2" };
        struct policy_module modules[] = { { .name = "ebtables" },
                                           { .name = "ip_tables", .aliases = aliases, .alias_count = 1 } };
        struct policy_request request = request_for("x_tables");
        _cleanup_policy_ struct policy *policy = parse("[p]\nallow=ip_tables\ndeny=ip6*\n[q]\nblacklist=ignore\n");
        struct policy_verdict verdict = ask(policy, &request);

        (void)state;
        assert_true(policy_wants_dependents(&verdict));
        request.dependents = modules;
        request.dependent_count = COUNT(modules);
        verdict = ask(policy, &request);
        assert_false(policy_wants_dependents(&verdict));
        assert_string_equal(verdict.reason, "ip_tables needs it, and allow=ip_tables");
        check_verdict("[p]\nallow=ip_tables\n", &request, 0, POLICY_RULE_ALLOW, 2);
        check_verdict("[p]\nallow=alias:net-pf-*\n", &request, 0, POLICY_RULE_ALLOW, 2);
        check_verdict("[p]\nallow=ip_tables\ndeny=x_*\n", &request, EPERM, POLICY_RULE_DENY, 3);
        check_verdict("[p]\nallow=*_tables\ndeny=ip_tables\n", &request, 0, POLICY_RULE_ALLOW, 2);
        check_verdict("[p]\nallow=ip_tables\ndeny=ip_tables\n", &request, EPERM, POLICY_RULE_ALLOW, 1);
        check_verdict("[p]\nallow=iptable_nat\n", &request, EPERM, POLICY_RULE_ALLOW, 1);
        /* not its parameters */
        request.parameters = "a=1";
        request.parameter_length = 3;
        check_verdict("[p]\nallow=ip_tables\nparameters=ip_tables a=1\n", &request, EPERM, POLICY_RULE_PARAMETERS, 1);
        /* a module that is denied wants nothing more to be known */
        request = request_for("ip6_tables");
        verdict = ask(policy, &request);
        assert_false(policy_wants_dependents(&verdict));
        assert_true(policy_profile_respects_blacklist(policy_find(policy, "p")));
        assert_true(policy_profile_respects_blacklist(NULL));
        assert_false(policy_profile_respects_blacklist(policy_find(policy, "q")));
}

static void check_parameters(const char *allowed, const char *wanted, bool is_allowed) {
        char text[256];
        struct policy_request request = request_for("m");
        _cleanup_policy_ struct policy *policy = NULL;
        struct policy_verdict verdict;

        (void)snprintf(text, sizeof(text), "[p]\nallow=m\nparameters=m %s\n", allowed);
        policy = parse(text);
        request.parameters = wanted;
        request.parameter_length = strlen(wanted);
        verdict = ask(policy, &request);
        if ((verdict.error == 0) != is_allowed)
                fail_msg("'%s' of '%s': %s", wanted, allowed, verdict.reason);
        assert_int_equal(verdict.rule, is_allowed ? POLICY_RULE_ALLOW : POLICY_RULE_PARAMETERS);
}

static void parameters(void **state) {
        struct policy_request request = request_for("m");

        (void)state;
        check_parameters("a=1", "", true);
        check_parameters("a=1", " \t\n", true);
        check_parameters("a=1", "a=1", true);
        check_parameters("a=1", "a=2", false);
        check_parameters("a=1", "a=1 b=1", false);
        check_parameters("a=1", "b=1 a=1", false);
        check_parameters("a=1", "a=1 a=2", false);
        check_parameters("a=1", "a", false);
        check_parameters("a=1", "a=", false);
        check_parameters("a=", "a=", true);
        check_parameters("a=", "a", false);
        check_parameters("a", "a", true);
        check_parameters("a", "a=1", false);
        check_parameters("a=1 a", "a a=1", true);
        check_parameters("a=*", "a=", true);
        check_parameters("a=[0-9]", "a=7", true);
        check_parameters("a=[0-9]", "a=77", false);
        check_parameters("a=-[-9]", "a=--", true);
        check_parameters("a=_", "a=-", false);
        check_parameters("a-b=1", "a_b=1", true);
        check_parameters("a_b=1", "a-b=1", true);
        check_parameters("a=1 b=*", " b=x\ta=1\v", true);
        check_parameters("a.b=1", "a.b=1", true);
        /* quotes, as the kernel has them */
        check_parameters("a=\"x y\"", "a=\"x y\"", true);
        check_parameters("a=\"x y\"", "\"a=x y\"", true);
        check_parameters("a=\"x y\"", "a=x y", false);
        check_parameters("a=x*", "a=x\" b=1\"", true);
        check_parameters("a=x*", "a=x\" b=1\" b=1", false);
        check_parameters("a=x", "a=\"x\"", true);
        check_parameters("a=x", "a=\"x", true);
        check_parameters("a=x", "a=x\"", false);
        check_parameters("a=", "a=\"", true);
        check_parameters("a=", "a=\"\"", true);
        check_parameters("a=x", "a=\"x b=1", false);
        check_parameters("a", "\"a\"", true);
        check_parameters("a=1", "=a=1", false);
        check_parameters("a=1", "a=1 -- b=2", false);
        /* the kernel's blanks have the no-break space among them */
        check_parameters("a=*",
                         "a=1\xa0"
                         "b=2",
                         false);
        request.parameters = "a=1";
        request.parameter_length = 3;
        check_verdict("[p]\nallow=m\n", &request, EPERM, POLICY_RULE_PARAMETERS, 1);
        check_verdict("[p]\nallow=m\nparameters=n a=1\n", &request, EPERM, POLICY_RULE_PARAMETERS, 1);
        check_verdict("[p]\nallow=m\nparameters=m a=2\n", &request, EPERM, POLICY_RULE_PARAMETERS, 3);
        check_verdict("[p]\nallow=m\nparameters=m a=2\nparameters=* a=1\n", &request, 0, POLICY_RULE_ALLOW, 2);
        check_verdict("[p]\nparameters=m a=1\n", &request, EPERM, POLICY_RULE_ALLOW, 1);
        /* up to its length, and to a NUL at most */
        request.parameters = "a=12";
        check_verdict("[p]\nallow=m\nparameters=m a=1\n", &request, 0, POLICY_RULE_ALLOW, 2);
        request.parameters = "a=1\0b=1";
        request.parameter_length = 7;
        check_verdict("[p]\nallow=m\nparameters=m a=1\n", &request, 0, POLICY_RULE_ALLOW, 2);
}

static void hostile_parameters_are_not_printed(void **state) {
        char text[400];
        struct policy_request request = request_for("m");
        _cleanup_policy_ struct policy *policy = parse("[p]\nallow=m\nparameters=m a=1\n");
        struct policy_verdict verdict;

        (void)state;
        memset(text, '\x1b', sizeof(text));
        request.parameters = text;
        for (int named = 0; named < 2; named++) {
                request.parameter_length = sizeof(text);
                verdict = ask(policy, &request);
                assert_int_equal(verdict.error, EPERM);
                for (const char *c = verdict.reason; *c; c++)
                        assert_true(*c >= ' ' && *c <= '~');
                memcpy(text, "a=", 2);
        }
}

static void caller(void **state) {
        static const struct {
                const char *setting;
                bool root, capable, may;
        } cases[] = {
                { "", false, false, false },
                { "", true, false, true },
                { "", false, true, true },
                { "caller=root\n", true, false, true },
                { "caller=root\n", false, true, false },
                { "caller=capability\n", true, false, false },
                { "caller=capability\n", false, true, true },
                { "caller=root capability\n", false, true, true },
                { "caller=capability root\n", false, false, false },
                { "caller=any\n", false, false, true },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++) {
                char text[64];
                struct policy_request request = { .module.name = "m",
                                                  .caller = { .root = cases[i].root, .capable = cases[i].capable } };

                (void)snprintf(text, sizeof(text), "[p]\nallow=m\n%s", cases[i].setting);
                check_verdict(text, &request, cases[i].may ? 0 : EPERM,
                              cases[i].may ? POLICY_RULE_ALLOW : POLICY_RULE_CALLER,
                              cases[i].may               ? 2
                              : cases[i].setting[0] != 0 ? 3
                                                         : 0);
        }
}

static void live(void **state) {
        struct policy_request request = request_for("m");

        (void)state;
        request.live = true;
        check_verdict("[p]\nallow=m\n", &request, EEXIST, POLICY_RULE_LIVE, 2);
        check_verdict("[p]\nallow=n\n", &request, EPERM, POLICY_RULE_ALLOW, 1);
        check_verdict("[p]\nallow=n\nlive=hide\n", &request, EPERM, POLICY_RULE_ALLOW, 1);
        check_verdict("[p]\nallow=n\nlive=tell\n", &request, EEXIST, POLICY_RULE_LIVE, 3);
        check_verdict("[p]\ndeny=m\nlive=tell\n", &request, EEXIST, POLICY_RULE_LIVE, 3);
        check_verdict("[p]\nallow=m\ndeny=m\n", &request, EPERM, POLICY_RULE_DENY, 3);
        /* what the kernel would not look at either */
        request.parameters = "a";
        request.parameter_length = 1;
        check_verdict("[p]\nallow=m\n", &request, EEXIST, POLICY_RULE_LIVE, 2);
        request.live = false;
        check_verdict("[p]\nallow=m\nlive=tell\n", &request, EPERM, POLICY_RULE_PARAMETERS, 1);
        /* who may not ask is not told */
        request.live = true;
        request.caller.root = false;
        check_verdict("[p]\nallow=m\nlive=tell\n", &request, EPERM, POLICY_RULE_CALLER, 0);
}

static void blacklist(void **state) {
        struct policy_request request = request_for("m");

        (void)state;
        request.blacklisted = true;
        check_verdict("[p]\nallow=m\n", &request, EPERM, POLICY_RULE_BLACKLIST, 0);
        check_verdict("[p]\nallow=m\nblacklist=respect\n", &request, EPERM, POLICY_RULE_BLACKLIST, 3);
        check_verdict("[p]\nallow=m\nblacklist=ignore\n", &request, 0, POLICY_RULE_ALLOW, 2);
        check_verdict("[p]\nallow=n\nblacklist=ignore\n", &request, EPERM, POLICY_RULE_ALLOW, 1);
        /* live or not: it is not allowed */
        request.live = true;
        check_verdict("[p]\nallow=m\n", &request, EPERM, POLICY_RULE_BLACKLIST, 0);
}

static void rate(void **state) {
        struct policy_request request = request_for("m");

        (void)state;
        request.over_rate = true;
        check_verdict("[p]\nallow=m\nrate=1/2\n", &request, EAGAIN, POLICY_RULE_RATE, 3);
        check_verdict("[p]\nlive=tell\n", &request, EAGAIN, POLICY_RULE_RATE, 0);
        request.caller.root = false;
        check_verdict("[p]\nallow=m\n", &request, EPERM, POLICY_RULE_CALLER, 0);
}

#define SECOND 1000000000ULL

/* How many of `count` requests at this time are taken. */
static unsigned int take(struct policy_limiter *limiter, const struct policy *policy, unsigned int count,
                         uint64_t now_ns) {
        unsigned int taken = 0;

        while (count-- > 0)
                taken += policy_limiter_take(limiter, policy_find(policy, "p"), now_ns);
        return taken;
}

static void limiter(void **state) {
        _cleanup_policy_ struct policy *policy = parse("[p]\nrate=30/60\n");
        _cleanup_policy_ struct policy *unlimited = parse("[p]\nrate=unlimited\n");
        _cleanup_policy_ struct policy *slow = parse("[p]\nrate=2/86400\n");
        _cleanup_policy_ struct policy *fast = parse("[p]\nrate=100000/86400\n");
        struct policy_limiter limiter = { 0 };

        (void)state;
        assert_int_equal(take(&limiter, policy, 100, 5 * SECOND), 30);
        assert_int_equal(take(&limiter, policy, 100, 7 * SECOND - 1), 0);
        /* one in two seconds; those that were refused did not count */
        assert_int_equal(take(&limiter, policy, 100, 7 * SECOND), 1);
        assert_int_equal(take(&limiter, policy, 100, 27 * SECOND), 10);
        /* a clock that goes back gives nothing, and takes nothing */
        assert_int_equal(take(&limiter, policy, 100, 1 * SECOND), 0);
        assert_int_equal(take(&limiter, policy, 100, 27 * SECOND), 0);
        assert_int_equal(take(&limiter, policy, 100, 29 * SECOND), 1);
        assert_int_equal(take(&limiter, policy, 100, 1000 * SECOND), 30);
        assert_int_equal(take(&limiter, policy, 100, UINT64_MAX), 30);
        /* a container that has used another rate up */
        assert_int_equal(take(&limiter, slow, 100, UINT64_MAX), 1);
        assert_int_equal(take(&limiter, unlimited, 100000, UINT64_MAX), 100000);
        limiter = (struct policy_limiter){ 0 };
        assert_int_equal(take(&limiter, fast, 200000, 0), 100000);
        assert_int_equal(take(&limiter, fast, 10, SECOND), 1);
        assert_int_equal(take(&limiter, fast, 200000, 86400 * SECOND), 99999);
        assert_true(policy_limiter_take(&limiter, NULL, 0));
}

static void default_rate(void **state) {
        _cleanup_policy_ struct policy *policy = parse("[p]\n");
        struct policy_limiter limiter = { 0 };

        (void)state;
        assert_int_equal(take(&limiter, policy, 1000, SECOND), 100);
        assert_int_equal(take(&limiter, policy, 1000, 61 * SECOND), 100);
}

static void profiles(void **state) {
        _cleanup_policy_ struct policy *policy = parse("[a]\nallow=x\n[default]\nallow=y\n[team.b_1-2]\n");
        _cleanup_policy_ struct policy *chosen = parse("annotation=org.x/profile\n[a]\n[default]\n");
        _cleanup_policy_ struct policy *without = parse("# nothing\n[a]\n");
        _cleanup_policy_ struct policy *nothing = parse("");
        struct policy_request request = request_for("x");

        (void)state;
        assert_int_equal(policy_count(policy), 3);
        assert_int_equal(policy_count(nothing), 0);
        assert_string_equal(policy_profile_name(policy_choose(policy, NULL, NULL)), "default");
        assert_string_equal(policy_profile_name(policy_choose(policy, "a", NULL)), "a");
        assert_string_equal(policy_profile_name(policy_choose(policy, "team.b_1-2", NULL)), "team.b_1-2");
        assert_null(policy_choose(policy, "b", NULL));
        assert_null(policy_choose(policy, "", NULL));
        assert_null(policy_choose(without, NULL, NULL));
        assert_null(policy_choose(nothing, NULL, NULL));
        assert_null(policy_choose(NULL, "a", NULL));
        /* annotations mean nothing if the policy does not say so, and never go before the name */
        assert_null(policy_annotation(policy));
        assert_null(policy_annotation(NULL));
        assert_string_equal(policy_profile_name(policy_choose(policy, NULL, "a")), "default");
        assert_string_equal(policy_annotation(chosen), "org.x/profile");
        assert_string_equal(policy_profile_name(policy_choose(chosen, NULL, "a")), "a");
        assert_string_equal(policy_profile_name(policy_choose(chosen, "default", "a")), "default");
        assert_string_equal(policy_profile_name(policy_choose(chosen, NULL, NULL)), "default");
        assert_null(policy_choose(chosen, NULL, "c"));
        assert_null(policy_choose(chosen, "c", "a"));
        assert_int_equal(policy_decide(NULL, &request).error, EPERM);
        assert_int_equal(policy_decide(NULL, &request).rule, POLICY_RULE_PROFILE);
}

static void layout(void **state) {
        char text[8192];

        (void)state;
        check("  # a\n\n;b\n \t[p]\t\r\n\tallow \t= a b \r\n  deny =c\n", "b", 0, POLICY_RULE_ALLOW, 5);
        check("  # a\n\n;b\n \t[p]\t\r\n\tallow \t= a b c \r\n  deny =c\n", "c", EPERM, POLICY_RULE_DENY, 6);
        check("# \xc3\xa4\n[p]\nallow=a\n", "a", 0, POLICY_RULE_ALLOW, 3);
        check("# a]\n#[q]\n[p]\nallow=a\n", "a", 0, POLICY_RULE_ALLOW, 4);
        /* a long comment is no matter, and neither is a line that is just short enough */
        (void)snprintf(text, sizeof(text), "#%05000d\n[p]\nallow=%0190d a\n", 1, 2);
        check_error(text, 3, "a line of 198 bytes, which is more than 196");
        (void)snprintf(text, sizeof(text), "#%05000d\n[p]\nallow=%0188d a     \n", 1, 2);
        check(text, "a", 0, POLICY_RULE_ALLOW, 3);
        (void)snprintf(text, sizeof(text), "[%048d]\n[p]\nallow=a\n", 1);
        check(text, "a", 0, POLICY_RULE_ALLOW, 3);
        (void)snprintf(text, sizeof(text), "[%049d]\n[p]\nallow=a\n", 1);
        check_error(text, 1, "a profile's name has 1 to 48");
}

static void errors(void **state) {
        static const struct {
                const char *text;
                unsigned int line;
                const char *says;
        } cases[] = {
                /* shape */
                { "[p]\nallow=a", 2, "the last line has no end" },
                { "[p]\nallow\n", 2, "neither [PROFILE] nor KEY=VALUE" },
                { "[p]\nallow: a\n", 2, "neither [PROFILE] nor KEY=VALUE" },
                { "[p]\nallow a=b\n", 2, "neither [PROFILE] nor KEY=VALUE" },
                { "[p]\n=a\n", 2, "neither [PROFILE] nor KEY=VALUE" },
                { "[p]\nallow=a\n  b\n", 3, "neither [PROFILE] nor KEY=VALUE" },
                { "[p]\nallow=a \\\n", 2, "'\\': neither" },
                { "[p]\nallow=a ; b\n", 2, "a comment needs a line of its own" },
                { "[p]\nallow=a # b\n", 2, "a comment needs a line of its own" },
                { "[p]\nallow= ;a\n", 2, "a comment needs a line of its own" },
                { "[p]\nallow=\xc3\xa4\n", 2, "byte 0xc3" },
                { "[p]\nallow=a\rb\n", 2, "byte 0x0d" },
                { "\xef\xbb\xbf[p]\n", 1, "byte 0xef" },
                { "[p]\nallow=\n", 2, "allow= is empty" },
                { "[p]\nallow=  \n", 2, "allow= is empty" },
                { "[p]\nrate=\n", 2, "rate= is empty" },
                /* sections; what follows a bad one is nobody's */
                { "[p\nallow=\n", 1, "[PROFILE] is needed" },
                { "[\nallow=a\n", 1, "[PROFILE] is needed" },
                { "[p] allow=a\n", 1, "[PROFILE] is needed" },
                { "[p] # c\n", 1, "[PROFILE] is needed" },
                { "[]\nallow=a\n", 1, "a profile's name has" },
                { "[ p ]\n", 1, "a profile's name has" },
                { "[p]]\n", 1, "a profile's name has" },
                { "[p\"q]\n", 1, "a profile's name has" },
                { "[q]\n[p;]\nbogus=a\n", 2, "a profile's name has" },
                /* keys */
                { "[p]\nbogus=a\n", 2, "unknown key 'bogus'" },
                { "[p]\nAllow=a\n", 2, "unknown key 'Allow'" },
                { "allow=a\n", 1, "allow= is of a profile" },
                { "[p]\nannotation=a\n", 2, "annotation= is not of a profile" },
                { "annotation=a b\n", 1, "annotation= is the key" },
                /* entries */
                { "[p]\nallow=a,b\n", 2, "'a,b': neither a module's name" },
                { "[p]\nallow=a b.ko c\n", 2, "'b.ko': neither" },
                { "[p]\ndeny=/a\n", 2, "'/a': neither" },
                { "[p]\ndeny=\"a\"\n", 2, "neither" },
                { "[p]\ndeny=net:a\n", 2, "'net:a': neither" },
                { "[p]\nallow=alias:\n", 2, "alias: needs a pattern" },
                { "[p]\nallow=a[b\n", 2, "a [ without its ]" },
                { "[p]\nallow=a[]b\n", 2, "nothing between [ and ]" },
                { "[p]\nallow=a[!]b\n", 2, "nothing between [ and ]" },
                { "[p]\nallow=a[z-b]\n", 2, "goes backwards" },
                { "[p]\nallow=a[[b]]\n", 2, "a [ within [...]" },
                { "[p]\nallow=alias:a[^b]\n", 2, "write [!...]" },
                { "[p]\nallow=alias:a\\b\n", 2, "there is no \\" },
                /* parameters */
                { "[p]\nparameters=m\n", 2, "parameters=m names none" },
                { "[p]\nparameters=a.b c=d\n", 2, "'a.b': neither" },
                { "[p]\nparameters=m a*=1\n", 2, "'a*': NAME=PATTERN is needed" },
                { "[p]\nparameters=m =1\n", 2, "NAME=PATTERN is needed" },
                { "[p]\nparameters=m a=\"b\n", 2, "a \" without its other one" },
                { "[p]\nparameters=m a=[b\n", 2, "a [ without its ]" },
                { "[p]\nparameters=m a=\\\n", 2, "there is no \\" },
                /* settings */
                { "[p]\nblacklist=no\n", 2, "blacklist= is respect or ignore, not 'no'" },
                { "[p]\nlive=yes\n", 2, "live= is hide or tell, not 'yes'" },
                { "[p]\ncaller=root,capability\n", 2, "not 'root,capability'" },
                { "[p]\ncaller=root any\n", 2, "caller=any stands alone" },
                { "[p]\nrate=30\n", 2, "rate= is COUNT/SECONDS" },
                { "[p]\nrate=30/60s\n", 2, "not '30/60s'" },
                { "[p]\nrate=0/60\n", 2, "rate= is COUNT/SECONDS" },
                { "[p]\nrate=1/0\n", 2, "rate= is COUNT/SECONDS" },
                { "[p]\nrate=-1/60\n", 2, "rate= is COUNT/SECONDS" },
                { "[p]\nrate=100001/60\n", 2, "rate= is COUNT/SECONDS" },
                { "[p]\nrate=1/86401\n", 2, "rate= is COUNT/SECONDS" },
                { "[p]\nrate=18446744073709551617/1\n", 2, "rate= is COUNT/SECONDS" },
                { "[p]\nrate=1/\n", 2, "rate= is COUNT/SECONDS" },
                /* contradictions */
                { "[p]\nrate=1/2\nrate=1/3\n", 3, "rate= has another value at a.ini:2" },
                { "[p]\nlive=hide\n[q]\nlive=tell\n[p]\nlive=tell\n", 6, "live= has another value at a.ini:2" },
                { "[p]\ncaller=root\ncaller=capability\n", 3, "caller= has another value" },
                { "[p]\nblacklist=ignore\nblacklist=respect\n", 3, "blacklist= has another value" },
                { "annotation=a\nannotation=b\n", 2, "annotation= has another value at a.ini:1" },
                /* others' escapes stay where they are */
                { "[p]\nbl=\x1b[2J\n", 2, "byte 0x1b" },
        };

        (void)state;
        for (size_t i = 0; i < COUNT(cases); i++)
                check_error(cases[i].text, cases[i].line, cases[i].says);
        check_error_of("[p]\nallow=a\0b\n", 14, 2, "a NUL byte");
        check_error_of("[p]\n# a\0b\n", 10, 2, "a NUL byte");
        check_error_of("\0\n", 2, 1, "a NUL byte");
}

static void same_value_twice(void **state) {
        (void)state;
        check("[p]\nallow=m\nrate=1/2\nlive=hide\nlive=hide\n[p]\nrate=1/2\ncaller=root\ncaller=root\n", "m", 0,
              POLICY_RULE_ALLOW, 2);
        check("annotation=a\nannotation=a\n[p]\nallow=m m\n", "m", 0, POLICY_RULE_ALLOW, 4);
}

/* All errors of all files are told. */
static void many_errors(void **state) {
        static const char first[] = "[p]\nallow=/\nbogus=1\n", second[] = "rate=1/1\n[p]\nrate=x\n[q\n";
        struct policy_file files[] = {
                { "a.ini", first, sizeof(first) - 1 },
                { "b.ini", second, sizeof(second) - 1 },
        };
        struct policy *policy;
        struct errors errors = { 0 };

        (void)state;
        assert_int_equal(policy_parse(files, 2, count_error, &errors, &policy), -EINVAL);
        assert_int_equal(errors.count, 5);
        assert_int_equal(policy_parse(files, 2, NULL, NULL, &policy), -EINVAL);
        /* the other file is of no use by itself */
        assert_int_equal(policy_parse(&files[1], 1, NULL, NULL, &policy), -EINVAL);
}

/* A header of the second file is above its first section, not in the last one of the first file. */
static void each_file_begins_anew(void **state) {
        static const char *const files[] = { "[p]\nallow=a\n", "annotation=x\n[q]\nallow=b\n" };
        _cleanup_policy_ struct policy *policy = parse_files(files, 2);
        struct policy_request request = request_for("b");

        (void)state;
        assert_string_equal(policy_annotation(policy), "x");
        assert_int_equal(ask(policy, &request).error, EPERM);
        assert_int_equal(policy_decide(policy_find(policy, "q"), &request).error, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(names),
                cmocka_unit_test(deny),
                cmocka_unit_test(aliases),
                cmocka_unit_test(dependencies),
                cmocka_unit_test(dependents),
                cmocka_unit_test(parameters),
                cmocka_unit_test(hostile_parameters_are_not_printed),
                cmocka_unit_test(caller),
                cmocka_unit_test(live),
                cmocka_unit_test(blacklist),
                cmocka_unit_test(rate),
                cmocka_unit_test(limiter),
                cmocka_unit_test(default_rate),
                cmocka_unit_test(profiles),
                cmocka_unit_test(layout),
                cmocka_unit_test(errors),
                cmocka_unit_test(same_value_twice),
                cmocka_unit_test(many_errors),
                cmocka_unit_test(each_file_begins_anew),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
