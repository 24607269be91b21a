/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "picture.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Reads documents, each with a zero byte behind it; ends well if all are well-formed. */
#define PARSER                                                                                                         \
        "python3 -B -c 'import sys, xml.dom.minidom\n"                                                                 \
        "for document in sys.stdin.buffer.read().split(bytes(1))[:-1]: xml.dom.minidom.parseString(document)'"

static FILE *parser;

static const char *const settings[] = { "bare", "modgate" };
static const char *const groups[] = { "1 CPU", "64 CPUs" };

static const struct picture_bar bars[] = {
        { .measured = true, .low = 1, .median = 1.5, .high = 2 },
        { .measured = true, .low = 1, .median = 1, .high = 1 },
        { .measured = true, .low = 80, .median = 81, .high = 96 },
        { .measured = false },
};

static const struct picture_panel panel = {
        .title = "time to settle",
        .unit = "s",
        .groups = groups,
        .n_groups = 2,
        .bars = bars,
};

static const struct picture simple = {
        .title = "A storm",
        .settings = settings,
        .n_settings = 2,
        .panels = &panel,
        .n_panels = 1,
};

/* The document; the caller frees it. It is parsed at the end. */
static char *draw(const struct picture *picture) {
        char *document;
        size_t length;
        FILE *file = open_memstream(&document, &length);

        assert_non_null(file);
        assert_int_equal(picture_write(picture, file), 0);
        (void)fclose(file);
        assert_int_equal(fwrite(document, 1, length + 1, parser), length + 1);
        assert_null(strstr(document, "nan"));
        assert_null(strstr(document, "inf"));
        return document;
}

static size_t occurrences(const char *document, const char *what) {
        size_t found = 0;

        for (; (document = strstr(document, what)); document++)
                found++;
        return found;
}

static void all_parts(void **state) {
        struct picture picture = simple;
        char *document;

        (void)state;
        picture.subtitle = "a machine";
        picture.warning = "Partial: interrupted";
        document = draw(&picture);
        assert_non_null(strstr(document, ">a machine</text>"));
        assert_non_null(strstr(document, "class=\"warning\">Partial: interrupted</text>"));
        assert_non_null(strstr(document, ">time to settle</text>"));
        for (size_t i = 0; i < 2; i++) {
                assert_non_null(strstr(document, settings[i]));
                assert_non_null(strstr(document, groups[i]));
        }
        /* the colour of the legend, and that of each bar that was measured */
        assert_int_equal(occurrences(document, "class=\"s0\""), 3);
        assert_int_equal(occurrences(document, "class=\"s1\""), 2);
        assert_int_equal(occurrences(document, ">not measured</text>"), 1);
        assert_non_null(strstr(document, "<title>bare: 81 s (80 - 96)</title>"));
        /* one of three lines, and its halo, for each that has a spread */
        assert_int_equal(occurrences(document, "class=\"whisker\""), 6);
        assert_int_equal(occurrences(document, "class=\"halo\""), 6);
        free(document);
}

static void check_tick(double highest, const char *last, size_t ticks) {
        struct picture_bar bar = { .measured = true, .low = highest, .median = highest, .high = highest };
        struct picture_panel one = { .title = "", .unit = "", .groups = groups, .n_groups = 1, .bars = &bar };
        struct picture picture = { .title = "", .settings = settings, .n_settings = 1, .panels = &one, .n_panels = 1 };
        char *document = draw(&picture), expected[64];

        (void)snprintf(expected, sizeof(expected), "class=\"muted\">%s</text>", last);
        if (!strstr(document, expected) || occurrences(document, "text-anchor=\"middle\"") != ticks)
                fail_msg("%g: not %zu ticks up to %s:\n%s", highest, ticks, last, document);
        free(document);
}

static void round_ticks(void **state) {
        (void)state;
        check_tick(0, "1", 3); /* an axis all the same */
        check_tick(0.9, "1", 3);
        check_tick(1, "1", 3);
        check_tick(3, "3", 4);
        check_tick(7, "8", 5);
        check_tick(96, "100", 3);
        check_tick(0.0034, "0.004", 5);
        check_tick(12000, "15k", 4);
        check_tick(14588526272, "15G", 4);
        check_tick(DBL_MIN, "1e-99", 3);
        check_tick(1e30, "1e+12E", 3);
}

static void check_number(double value, const char *shown) {
        struct picture_bar bar = { .measured = true, .low = value, .median = value, .high = value };
        struct picture_panel one = { .title = "", .unit = "", .groups = groups, .n_groups = 1, .bars = &bar };
        struct picture picture = { .title = "", .settings = settings, .n_settings = 1, .panels = &one, .n_panels = 1 };
        char *document = draw(&picture), expected[64];

        (void)snprintf(expected, sizeof(expected), "class=\"value\">%s</text>", shown);
        if (!strstr(document, expected))
                fail_msg("%g is not shown as %s:\n%s", value, shown, document);
        free(document);
}

static void numbers(void **state) {
        (void)state;
        check_number(0, "0");
        check_number(0.00123, "0.00123");
        check_number(9.994, "9.99");
        check_number(99.96, "100");
        check_number(1234, "1234");
        check_number(9999.4, "9999");
        check_number(9999.6, "10k");
        check_number(999700, "1M");
        check_number(14588526272, "14.6G");
}

static void not_measured(void **state) {
        const double odd[] = { NAN, INFINITY, -INFINITY, -1 };

        (void)state;
        for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
                struct picture_bar one[] = { { .measured = true, .low = odd[i], .median = 1, .high = 1 },
                                             { .measured = true, .low = 1, .median = odd[i], .high = 1 },
                                             { .measured = true, .low = 1, .median = 1, .high = odd[i] },
                                             { .measured = false, .median = odd[i] } };
                struct picture_panel none = panel;
                struct picture picture = simple;
                char *document;

                none.bars = one;
                picture.panels = &none;
                document = draw(&picture);
                assert_int_equal(occurrences(document, ">not measured</text>"), 4);
                free(document);
        }
}

/* Nothing that was measured is drawn outside of the picture. */
static void very_large(void **state) {
        struct picture_bar large[] = { { .measured = true, .low = 0, .median = 1, .high = DBL_MAX },
                                       { .measured = true, .low = DBL_MAX, .median = DBL_MAX, .high = DBL_MAX },
                                       { .measured = true, .low = DBL_MIN, .median = 1e98, .high = 1e99 },
                                       { .measured = true, .low = 3, .median = 2, .high = 1 } };
        struct picture_panel one = panel;
        struct picture picture = simple;
        char *document;
        const char *width;

        (void)state;
        one.bars = large;
        picture.panels = &one;
        document = draw(&picture);
        width = document;
        while ((width = strstr(width, " width=\""))) {
                double pixels = strtod(width += strlen(" width=\""), NULL);

                assert_true(pixels >= 0 && pixels <= 1000);
        }
        free(document);
}

static void check_escaped(const char *text, const char *expected) {
        struct picture picture = simple;
        char *document;

        picture.title = text;
        document = draw(&picture);
        if (!strstr(document, expected))
                fail_msg("no '%s' in:\n%s", expected, document);
        free(document);
}

static void escapes(void **state) {
        (void)state;
        check_escaped("a<b>&\"c\" 'd'", "<title>a&lt;b&gt;&amp;&quot;c&quot; 'd'</title>");
        check_escaped("]]></svg>", "]]&gt;&lt;/svg&gt;");
        check_escaped("Übung → €, 𝄞", ">Übung → €, 𝄞<");
        check_escaped("\x01\x7f\x1b[m", ">\xef\xbf\xbd\x7f\xef\xbf\xbd[m<");
        /* cut short, at the end and before another letter; too long for what it says; a surrogate; no character */
        check_escaped("\xe2\x82", ">\xef\xbf\xbd\xef\xbf\xbd<");
        check_escaped("\xe2\x82x\xff", ">\xef\xbf\xbd\xef\xbf\xbdx\xef\xbf\xbd<");
        check_escaped("\xc0\xaf", ">\xef\xbf\xbd\xef\xbf\xbd<");
        check_escaped("\xed\xa0\x80", ">\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd<");
        check_escaped("\xef\xbf\xbf", ">\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd<");
        check_escaped("\xf4\x90\x80\x80", ">\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd<");
}

static void check_label(const char *label, const char *shown) {
        const char *const names[] = { label, "b" };
        struct picture_panel one = panel;
        struct picture picture = simple;
        char *document, expected[256];

        one.groups = names;
        picture.panels = &one;
        document = draw(&picture);
        (void)snprintf(expected, sizeof(expected), "class=\"label\">%s</text>", shown);
        if (!strstr(document, expected))
                fail_msg("no '%s' in:\n%s", expected, document);
        free(document);
}

static void long_labels(void **state) {
        (void)state;
        check_label("", "");
        check_label("abcdefghijklmnopqrstuvwxyz12", "abcdefghijklmnopqrstuvwxyz12");
        check_label("abcdefghijklmnopqrstuvwxyz123", "abcdefghijklmnopqrstuvwxyz1…");
        check_label("äbcdefghijklmnopqrstuvwxyz123", "äbcdefghijklmnopqrstuvwxyz1…");
        check_label("𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞", "𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞");
}

/* Of bytes that begin no letter there may be any number. */
static void label_of_rubbish(void **state) {
        const char *names[2] = { NULL, "b" };
        struct picture_panel one = panel;
        struct picture picture = simple;
        char rubbish[4096];

        (void)state;
        memset(rubbish, 0x80, sizeof(rubbish));
        rubbish[sizeof(rubbish) - 1] = '\0';
        names[0] = rubbish;
        one.groups = names;
        picture.panels = &one;
        free(draw(&picture));
}

static void nothing(void **state) {
        struct picture picture = simple;

        (void)state;
        picture.n_panels = 0;
        free(draw(&picture));
        picture.n_settings = 0;
        assert_int_equal(picture_write(&picture, stderr), -EINVAL);
        picture.n_settings = PICTURE_SETTINGS_MAX + 1;
        assert_int_equal(picture_write(&picture, stderr), -EINVAL);
}

static void no_space(void **state) {
        FILE *full = fopen("/dev/full", "w");

        (void)state;
        assert_non_null(full);
        assert_int_equal(picture_write(&simple, full), -EIO);
        (void)fclose(full);
}

static int start_parser(void **state) {
        (void)state;
        parser = popen(PARSER, "w");
        return parser ? 0 : -1;
}

static void all_are_well_formed(void **state) {
        (void)state;
        assert_int_equal(pclose(parser), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(all_parts),    cmocka_unit_test(round_ticks),         cmocka_unit_test(numbers),
                cmocka_unit_test(not_measured), cmocka_unit_test(very_large),          cmocka_unit_test(escapes),
                cmocka_unit_test(long_labels),  cmocka_unit_test(label_of_rubbish),    cmocka_unit_test(nothing),
                cmocka_unit_test(no_space),     cmocka_unit_test(all_are_well_formed), /* last */
        };

        return cmocka_run_group_tests(tests, start_parser, NULL);
}
