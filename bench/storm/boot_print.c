/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "boot_result.h"
#include "picture.h"

#define NAME_SIZE 64U
#define CELL_SIZE 64U

#define RATIO_DECIMALS 2

/* The table: a section for each case. */

static const char *format_cell(struct spread spread, double scale, int decimals, char cell[static CELL_SIZE]) {
        if (spread.count == 0)
                return "-";
        if (spread.min < spread.max)
                (void)snprintf(cell, CELL_SIZE, "%.*f (%.*f - %.*f)", decimals, spread.median * scale, decimals,
                               spread.min * scale, decimals, spread.max * scale);
        else
                (void)snprintf(cell, CELL_SIZE, "%.*f", decimals, spread.median * scale);
        return cell;
}

static void print_row(const char *title, const char *bare, const char *modgate, const char *ratio, FILE *file) {
        (void)fprintf(file, "%-30s  %-24s  %-24s  %s\n", title, bare, modgate, ratio);
}

static void print_measure(const struct boot_case *which, const struct boot_measure *measure, FILE *file) {
        char title[NAME_SIZE], cells[BOOT_COLUMNS][CELL_SIZE];
        const char *texts[BOOT_COLUMNS];

        for (enum boot_setting i = 0; i < BOOT_COLUMNS; i++)
                texts[i] = format_cell(boot_case_spread(which, measure, i), i == BOOT_RATIO ? 1 : measure->scale,
                                       i == BOOT_RATIO ? RATIO_DECIMALS : measure->decimals, cells[i]);
        (void)snprintf(title, sizeof(title), "%s%s%s", measure->title, measure->unit[0] != '\0' ? ", " : "",
                       measure->unit);
        print_row(title, texts[BOOT_BARE], texts[BOOT_MODGATE], texts[BOOT_RATIO], file);
}

static const char *kernel_of(const struct boot_case *which) {
        struct json_object *first = json_object_array_get_idx(which->boots, 0);
        const char *kernel = json_object_get_string(json_object_object_get(first, "kernel"));

        return kernel ? kernel : "?";
}

static void print_case(const struct boot_case *which, FILE *file) {
        size_t rounds = boot_case_rounds(which);
        char name[NAME_SIZE];

        boot_case_name(which, name, sizeof(name));
        if (rounds == 0) {
                (void)fprintf(file, "%s: not measured\n\n", name);
                return;
        }
        (void)fprintf(file, "%s, kernel %s, %zu round%s\n", name, kernel_of(which), rounds, rounds == 1 ? "" : "s");
        print_row("", "bare", "modgate", "modgate / bare", file);
        for (size_t i = 0; i < BOOT_MEASURES; i++)
                print_measure(which, &boot_measures[i], file);
        (void)fputc('\n', file);
}

static void print_problems(const struct boot_result *result, FILE *file) {
        struct json_object *problems = boot_result_problems(result);

        for (size_t i = 0; i < json_object_array_length(problems); i++)
                (void)fprintf(file, "%s\n", json_object_get_string(json_object_array_get_idx(problems, i)));
        (void)json_object_put(problems);
}

void boot_result_print(const struct boot_result *result, FILE *file) {
        (void)fputs(
                "udevd's cold-plug in Debian guests, software emulation: median (lowest - highest) of the rounds\n\n",
                file);
        for (unsigned int i = 0; i < result->n_cases; i++)
                print_case(&result->cases[i], file);
        print_problems(result, file);
}

/* The picture: a panel for each measure, and one for the ratio of the last one, the time. */

/* What picture.h only points to. */
struct drawing {
        char names[BOOT_CASES_MAX][NAME_SIZE];
        const char *groups[BOOT_CASES_MAX];
        struct picture_bar bars[BOOT_MEASURES + 1][BOOT_CASES_MAX][BOOT_RATIO];
        struct picture_panel panels[BOOT_MEASURES + 1];
};

static struct picture_bar bar_of(struct spread spread, double scale) {
        return (struct picture_bar){
                .measured = spread.count > 0,
                .low = spread.min * scale,
                .median = spread.median * scale,
                .high = spread.max * scale,
        };
}

static void fill_panel(struct drawing *drawing, const struct boot_result *result, size_t index) {
        const struct boot_measure *measure = &boot_measures[index];

        drawing->panels[index] = (struct picture_panel){ .title = measure->title, .unit = measure->unit };
        for (unsigned int i = 0; i < result->n_cases; i++)
                for (enum boot_setting j = BOOT_BARE; j < BOOT_RATIO; j++)
                        drawing->bars[index][i][j] =
                                bar_of(boot_case_spread(&result->cases[i], measure, j), measure->scale);
}

static void fill_ratio_panel(struct drawing *drawing, const struct boot_result *result) {
        drawing->panels[BOOT_MEASURES] =
                (struct picture_panel){ .title = "time to settle, as a ratio to bare", .unit = "" };
        for (unsigned int i = 0; i < result->n_cases; i++) {
                struct spread ratio =
                        boot_case_spread(&result->cases[i], &boot_measures[BOOT_MEASURES - 1], BOOT_RATIO);
                struct picture_bar *bars = drawing->bars[BOOT_MEASURES][i];

                bars[BOOT_BARE] = bar_of((struct spread){ ratio.count, 1, 1, 1 }, 1);
                bars[BOOT_MODGATE] = bar_of(ratio, 1);
        }
}

static void fill(struct drawing *drawing, const struct boot_result *result) {
        for (unsigned int i = 0; i < result->n_cases; i++) {
                boot_case_name(&result->cases[i], drawing->names[i], NAME_SIZE);
                drawing->groups[i] = drawing->names[i];
        }
        for (size_t i = 0; i < BOOT_MEASURES; i++)
                fill_panel(drawing, result, i);
        fill_ratio_panel(drawing, result);
        for (size_t i = 0; i <= BOOT_MEASURES; i++) {
                drawing->panels[i].groups = drawing->groups;
                drawing->panels[i].n_groups = result->n_cases;
                drawing->panels[i].bars = drawing->bars[i][0];
        }
}

int boot_result_draw(const struct boot_result *result, FILE *file) {
        static const char *const settings[] = { "bare", "modgate" };
        struct drawing *drawing = calloc(1, sizeof(*drawing));
        struct picture picture = {
                .title = "udevd's cold-plug, bare and under modgate",
                .subtitle = "Debian guests, software emulation; bars are the medians of the rounds, lines go from the "
                            "lowest to the highest",
                .warning = boot_result_is_partial(result) ? "Partial: not all rounds were measured" : NULL,
                .settings = settings,
                .n_settings = BOOT_RATIO,
        };
        int r;

        if (!drawing)
                return -ENOMEM;
        fill(drawing, result);
        picture.panels = drawing->panels;
        picture.n_panels = BOOT_MEASURES + 1;
        r = picture_write(&picture, file);
        free(drawing);
        return r;
}
