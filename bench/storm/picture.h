/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Pictures of what was measured: one panel a measure, in it one group of bars a case, in each group one bar a setting.
 * The bar is the median, a thin line across its end goes from the lowest to the highest value. Each panel has a scale
 * of its own, from 0. Light or dark as the reader's system is. Pure: nothing but the file is written.
 *
 * All strings and arrays are the caller's; they may hold any text, including bytes that are no UTF-8.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum {
        PICTURE_SETTINGS_MAX = 4, /* so many colours are easily told apart */
};

struct picture_bar {
        bool measured;            /* false: the picture says that there is nothing */
        double low, median, high; /* below 0 or not finite: the same as not measured */
};

struct picture_panel {
        const char *title;
        const char *unit;          /* "s"; "" if it has none */
        const char *const *groups; /* what is written beside each */
        size_t n_groups;
        const struct picture_bar *bars; /* those of the first group, then of the second: n_groups × n_settings */
};

struct picture {
        const char *title;
        const char *subtitle; /* NULL: none */
        const char *warning;  /* what a reader must not miss ("Partial: …"); NULL: none */
        const char *const *settings;
        size_t n_settings; /* 1 to PICTURE_SETTINGS_MAX */
        const struct picture_panel *panels;
        size_t n_panels;
};

/* Writes an SVG document. Returns 0 or negative errno: -EINVAL (no setting, or too many), -EIO (the file's error). */
int picture_write(const struct picture *picture, FILE *file);
