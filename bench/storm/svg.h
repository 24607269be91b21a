/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The few elements of SVG that pictures are made of. They only write to the file, whose errors (ferror(3)) are the
 * caller's business. Positions and lengths are in pixels, from the upper left corner. Classes are those of the style
 * that svg_begin() is given. Texts may hold any bytes: what cannot stand in XML is replaced by U+FFFD.
 */

#include <stddef.h>
#include <stdio.h>

struct svg_point {
        double x, y;
};

enum svg_anchor {
        SVG_START,
        SVG_MIDDLE,
        SVG_END,
};

/* `title` is what screen readers say, `style` is CSS. */
void svg_begin(FILE *file, double width, double height, const char *title, const char *style);
void svg_end(FILE *file);

void svg_text(FILE *file, struct svg_point at, enum svg_anchor anchor, const char *class, const char *text);
void svg_line(FILE *file, struct svg_point from, struct svg_point to, const char *class);

/* `title` is shown when the mouse points at it; NULL: nothing is. */
void svg_rectangle(FILE *file, struct svg_point corner, double width, double height, const char *class,
                   const char *title);
