/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "picture.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "svg.h"

/* Pixels */
#define MARGIN 24.0
#define PICTURE_WIDTH 940.0 /* without margins */
#define COLUMN_GAP 36.0
#define LINE_HEIGHT 20.0
#define TITLE_HEIGHT 30.0 /* of a panel */
#define AXIS_HEIGHT 40.0  /* with the space below the panel */
#define TICK_LINE 15.0    /* from the end of the axis to the line that its numbers stand on */
#define LABEL_GAP 10.0    /* between a label and its bars */
#define VALUE_WIDTH 56.0  /* room for the figure beside the longest bar */
#define BAR_HEIGHT 13.0
#define BAR_STEP 16.0
#define GROUP_GAP 10.0
#define WHISKER_HALF 3.0
#define GLYPH_WIDTH 7.2 /* of a letter beside the bars, about */

#define COLUMNS 2U
#define INTERVALS_MAX 4.0 /* of an axis */

/* An axis ends between these, since its steps have to be numbers too; what is beyond is drawn as its end. */
#define VALUE_MIN 1e-99
#define VALUE_MAX 1e99

/* A value this close to a tick, in steps, needs none after it. */
#define ROUNDING 1e-9

/* Longer labels are cut. */
#define LABEL_LETTERS 28U
#define LABEL_BYTES (4U * LABEL_LETTERS)
#define ELLIPSIS "\xe2\x80\xa6"
#define LABEL_SIZE (LABEL_BYTES + sizeof(ELLIPSIS))

#define NUMBER_SIZE 32U

/*
 * Orange, blue, grey, pink: told apart by the colour-blind, and by their lightness in print. A renderer that knows no
 * @media draws the light picture.
 */
static const char style[] =
        "text{font:12px system-ui,'DejaVu Sans',sans-serif;fill:#24292f}"
        ".title{font-size:18px;font-weight:600}.panel{font-size:14px;font-weight:600}"
        ".muted{fill:#57606a}.warning{font-weight:600;fill:#a40e26}"
        ".paper{fill:#fff}.grid{stroke:#d8dee4}.zero{stroke:#57606a}"
        ".halo{stroke:#fff;stroke-width:4}.whisker{stroke:#24292f;stroke-width:1.5}"
        ".s0{fill:#e69f00}.s1{fill:#0072b2}.s2{fill:#4b4b52}.s3{fill:#cc79a7}"
        "@media (prefers-color-scheme:dark){text{fill:#e6edf3}.muted{fill:#9198a1}.warning{fill:#ff8182}"
        ".paper{fill:#0d1117}.grid{stroke:#2a3038}.zero{stroke:#9198a1}"
        ".halo{stroke:#0d1117}.whisker{stroke:#e6edf3}"
        ".s0{fill:#e69f00}.s1{fill:#3b86c8}.s2{fill:#c9d1d9}.s3{fill:#cc79a7}}";

static const char *const colours[PICTURE_SETTINGS_MAX] = { "s0", "s1", "s2", "s3" };

/* Of one panel. */
struct axis {
        double end, step;   /* in its unit */
        double left, width; /* in pixels */
};

static bool is_measured(const struct picture_bar *bar) {
        return bar->measured && isfinite(bar->low) && isfinite(bar->median) && isfinite(bar->high) && bar->low >= 0 &&
               bar->median >= 0 && bar->high >= 0;
}

static double position(const struct axis *axis, double value) {
        return axis->left + axis->width * fmin(value, axis->end) / axis->end;
}

/* Three digits, with k, M, … from 10000 on. */
static void format_number(double number, char text[static NUMBER_SIZE]) {
        static const char *const prefixes[] = { "", "k", "M", "G", "T", "P", "E" };
        size_t prefix = 0;

        if (number >= 9999.5)
                for (; number >= 999.5 && prefix + 1 < sizeof(prefixes) / sizeof(prefixes[0]); prefix++)
                        number /= 1000;
        (void)snprintf(text, NUMBER_SIZE, number >= 99.95 && number < 9999.5 ? "%.0f%s" : "%.3g%s", number,
                       prefixes[prefix]);
}

/* 1, 2 or 5 with zeros: the smallest of which few make up `highest`. */
static double round_step(double highest) {
        static const double factors[] = { 1, 2, 5 };
        double power = pow(10, floor(log10(highest / INTERVALS_MAX)));

        for (size_t i = 0; i < sizeof(factors) / sizeof(factors[0]); i++)
                if (power * factors[i] * INTERVALS_MAX >= highest)
                        return power * factors[i];
        return power * 10;
}

static struct axis axis_of(const struct picture_panel *panel, size_t n_settings, double left, double width) {
        struct axis axis = { .left = left, .width = width };
        double highest = 0;

        for (size_t i = 0; i < panel->n_groups * n_settings; i++)
                if (is_measured(&panel->bars[i]))
                        highest = fmax(highest, fmax(panel->bars[i].median, panel->bars[i].high));
        highest = highest > 0 ? fmin(fmax(highest, VALUE_MIN), VALUE_MAX) : 1;
        axis.step = round_step(highest);
        axis.end = axis.step * ceil(highest / axis.step - ROUNDING);
        return axis;
}

static void draw_axis(const struct axis *axis, double top, double bottom, FILE *file) {
        unsigned int intervals = (unsigned int)lround(axis->end / axis->step);
        char number[NUMBER_SIZE];

        for (unsigned int i = 0; i <= intervals; i++) {
                double x = position(axis, i * axis->step);

                svg_line(file, (struct svg_point){ x, top }, (struct svg_point){ x, bottom }, i == 0 ? "zero" : "grid");
                format_number(i * axis->step, number);
                svg_text(file, (struct svg_point){ x, bottom + TICK_LINE }, SVG_MIDDLE, "muted", number);
        }
}

static void draw_whisker(const struct axis *axis, const struct picture_bar *bar, double y, FILE *file) {
        static const char *const classes[] = { "halo", "whisker" };
        double low = position(axis, bar->low), high = position(axis, bar->high);

        for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
                svg_line(file, (struct svg_point){ low, y }, (struct svg_point){ high, y }, classes[i]);
                svg_line(file, (struct svg_point){ low, y - WHISKER_HALF }, (struct svg_point){ low, y + WHISKER_HALF },
                         classes[i]);
                svg_line(file, (struct svg_point){ high, y - WHISKER_HALF },
                         (struct svg_point){ high, y + WHISKER_HALF }, classes[i]);
        }
}

/* What the mouse shows: all that is known of a bar. */
static void describe(const struct picture_bar *bar, const char *setting, const char *unit, char *text, size_t size) {
        char low[NUMBER_SIZE], median[NUMBER_SIZE], high[NUMBER_SIZE];

        format_number(bar->low, low);
        format_number(bar->median, median);
        format_number(bar->high, high);
        (void)snprintf(text, size, "%s: %s %s (%s - %s)", setting, median, unit, low, high);
}

static void draw_bar(const struct axis *axis, const struct picture_bar *bar, size_t setting, double top,
                     const char *description, FILE *file) {
        double middle = top + BAR_HEIGHT / 2, end = position(axis, fmax(bar->median, bar->high));
        char number[NUMBER_SIZE];

        svg_rectangle(file, (struct svg_point){ axis->left, top }, position(axis, bar->median) - axis->left, BAR_HEIGHT,
                      colours[setting], description);
        if (bar->low < bar->high)
                draw_whisker(axis, bar, middle, file);
        format_number(bar->median, number);
        svg_text(file, (struct svg_point){ end + 6, middle + 4 }, SVG_START, "value", number);
}

static void draw_group(const struct picture *picture, const struct picture_panel *panel, size_t group,
                       const struct axis *axis, double top, FILE *file) {
        for (size_t i = 0; i < picture->n_settings; i++, top += BAR_STEP) {
                const struct picture_bar *bar = &panel->bars[group * picture->n_settings + i];
                char description[256];

                if (is_measured(bar)) {
                        describe(bar, picture->settings[i], panel->unit, description, sizeof(description));
                        draw_bar(axis, bar, i, top, description, file);
                } else
                        svg_text(file, (struct svg_point){ axis->left + 6, top + BAR_HEIGHT / 2 + 4 }, SVG_START,
                                 "muted", "not measured");
        }
}

static double group_height(const struct picture *picture) {
        return (double)picture->n_settings * BAR_STEP + GROUP_GAP;
}

static double panel_height(const struct picture *picture, const struct picture_panel *panel) {
        return TITLE_HEIGHT + (double)panel->n_groups * group_height(picture) + AXIS_HEIGHT;
}

/* Bytes of the first so many letters of UTF-8. */
static size_t prefix_length(const char *text, size_t letters) {
        size_t i = 0;

        for (; text[i] != '\0' && i < LABEL_BYTES; i++)
                if (((unsigned char)text[i] & 0xc0) != 0x80 && letters-- == 0)
                        break;
        return i;
}

static void shorten(const char *label, char text[static LABEL_SIZE]) {
        if (label[prefix_length(label, LABEL_LETTERS)] == '\0')
                (void)snprintf(text, LABEL_SIZE, "%s", label);
        else
                (void)snprintf(text, LABEL_SIZE, "%.*s" ELLIPSIS, (int)prefix_length(label, LABEL_LETTERS - 1), label);
}

static double text_width(const char *text) {
        size_t letters = 0;

        for (; *text != '\0'; text++)
                letters += ((unsigned char)*text & 0xc0) != 0x80;
        return (double)letters * GLYPH_WIDTH;
}

static double labels_width(const struct picture_panel *panel) {
        double widest = 0;

        for (size_t i = 0; i < panel->n_groups; i++) {
                char label[LABEL_SIZE];

                shorten(panel->groups[i], label);
                widest = fmax(widest, text_width(label));
        }
        return widest + LABEL_GAP;
}

static void draw_label(const struct picture *picture, const char *group, struct svg_point at, FILE *file) {
        char label[LABEL_SIZE];

        shorten(group, label);
        at.y += (double)picture->n_settings * BAR_STEP / 2 + 3;
        svg_text(file, at, SVG_END, "label", label);
}

static void draw_panel(const struct picture *picture, const struct picture_panel *panel, struct svg_point at,
                       double width, FILE *file) {
        double left = at.x + labels_width(panel), right = at.x + width, top = at.y + TITLE_HEIGHT;
        double bottom = top + (double)panel->n_groups * group_height(picture) - 4;
        struct axis axis = axis_of(panel, picture->n_settings, left, right - VALUE_WIDTH - left);

        svg_text(file, (struct svg_point){ at.x, at.y + 14 }, SVG_START, "panel", panel->title);
        svg_text(file, (struct svg_point){ right, bottom + TICK_LINE }, SVG_END, "muted", panel->unit);
        draw_axis(&axis, top - 4, bottom, file);
        for (size_t i = 0; i < panel->n_groups; i++, top += group_height(picture)) {
                draw_label(picture, panel->groups[i], (struct svg_point){ left - LABEL_GAP, top }, file);
                draw_group(picture, panel, i, &axis, top, file);
        }
}

/* Panels stand in rows, as high as the highest in it. Returns where the next row begins; draws if there is a file. */
static double lay_row(const struct picture *picture, size_t first, double top, FILE *file) {
        size_t last = first + COLUMNS < picture->n_panels ? first + COLUMNS : picture->n_panels;
        double width = picture->n_panels > 1 ? (PICTURE_WIDTH - COLUMN_GAP) / COLUMNS : PICTURE_WIDTH;
        double left = MARGIN, height = 0;

        for (size_t i = first; i < last; i++, left += width + COLUMN_GAP) {
                height = fmax(height, panel_height(picture, &picture->panels[i]));
                if (file)
                        draw_panel(picture, &picture->panels[i], (struct svg_point){ left, top }, width, file);
        }
        return top + height;
}

static double lay_panels(const struct picture *picture, double top, FILE *file) {
        for (size_t i = 0; i < picture->n_panels; i += COLUMNS)
                top = lay_row(picture, i, top, file);
        return top;
}

static double lay_legend(const struct picture *picture, double y, FILE *file) {
        double x = MARGIN;

        for (size_t i = 0; file && i < picture->n_settings; i++) {
                svg_rectangle(file, (struct svg_point){ x, y - 11 }, 12, 12, colours[i], NULL);
                svg_text(file, (struct svg_point){ x + 18, y }, SVG_START, "label", picture->settings[i]);
                x += 18 + text_width(picture->settings[i]) + 3 * GLYPH_WIDTH;
        }
        return y + LINE_HEIGHT;
}

static double lay_line(const char *text, const char *class, double y, FILE *file) {
        if (!text)
                return y;
        if (file)
                svg_text(file, (struct svg_point){ MARGIN, y }, SVG_START, class, text);
        return y + LINE_HEIGHT;
}

/* Without a file it only says how high all is. */
static double lay_all(const struct picture *picture, FILE *file) {
        double y = lay_line(picture->title, "title", MARGIN + 14, file);

        y = lay_line(picture->subtitle, "muted", y + 4, file);
        y = lay_line(picture->warning, "warning", y, file);
        y = lay_legend(picture, y + 6, file);
        return lay_panels(picture, y + 6, file);
}

int picture_write(const struct picture *picture, FILE *file) {
        double width = PICTURE_WIDTH + 2 * MARGIN;

        if (picture->n_settings == 0 || picture->n_settings > PICTURE_SETTINGS_MAX)
                return -EINVAL;
        svg_begin(file, width, lay_all(picture, NULL), picture->title, style);
        svg_rectangle(file, (struct svg_point){ 0, 0 }, width, lay_all(picture, NULL), "paper", NULL);
        (void)lay_all(picture, file);
        svg_end(file);
        return fflush(file) != 0 || ferror(file) ? -EIO : 0;
}
