/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "svg.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

/* Whether XML 1.0 allows it. */
static bool is_character(uint32_t c) {
        return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c < 0xd800) || (c >= 0xe000 && c <= 0xfffd) ||
               (c >= 0x10000 && c <= 0x10ffff);
}

/* Bytes of the UTF-8 sequence that `text` begins with; 0 if it is none, or one that XML has no place for. */
static size_t sequence_length(const unsigned char *text) {
        static const uint32_t lowest[] = { 0, 0, 0x80, 0x800, 0x10000 };
        unsigned char first = text[0];
        size_t length = first < 0x80             ? 1
                        : (first & 0xe0) == 0xc0 ? 2
                        : (first & 0xf0) == 0xe0 ? 3
                        : (first & 0xf8) == 0xf0 ? 4
                                                 : 0;
        uint32_t c = length == 1 ? first : length == 0 ? 0 : first & (0x7fU >> length);

        for (size_t i = 1; i < length; i++) {
                if ((text[i] & 0xc0) != 0x80) /* also where the text ends */
                        return 0;
                c = c << 6 | (text[i] & 0x3f);
        }
        return length > 0 && c >= lowest[length] && is_character(c) ? length : 0;
}

static const char *entity(char c) {
        switch (c) {
        case '&':
                return "&amp;";
        case '<':
                return "&lt;";
        case '>':
                return "&gt;";
        case '"':
                return "&quot;";
        default:
                return NULL;
        }
}

static void put_text(FILE *file, const char *text) {
        while (*text != '\0') {
                size_t length = sequence_length((const unsigned char *)text);
                const char *escaped = entity(*text);

                if (escaped)
                        (void)fputs(escaped, file);
                else if (length > 0)
                        (void)fwrite(text, 1, length, file);
                else
                        (void)fputs(REPLACEMENT, file);
                text += length > 0 ? length : 1;
        }
}

static void put_title(FILE *file, const char *title) {
        (void)fputs("<title>", file);
        put_text(file, title);
        (void)fputs("</title>", file);
}

void svg_begin(FILE *file, double width, double height, const char *title, const char *style) {
        (void)fprintf(file,
                      "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"%.0f\" height=\"%.0f\" "
                      "viewBox=\"0 0 %.0f %.0f\">\n",
                      width, height, width, height);
        put_title(file, title);
        (void)fputs("\n<style>", file);
        put_text(file, style);
        (void)fputs("</style>\n", file);
}

void svg_end(FILE *file) {
        (void)fputs("</svg>\n", file);
}

void svg_text(FILE *file, struct svg_point at, enum svg_anchor anchor, const char *class, const char *text) {
        static const char *const names[] = {
                [SVG_START] = "start",
                [SVG_MIDDLE] = "middle",
                [SVG_END] = "end",
        };

        (void)fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">", at.x, at.y, names[anchor],
                      class);
        put_text(file, text);
        (void)fputs("</text>\n", file);
}

void svg_line(FILE *file, struct svg_point from, struct svg_point to, const char *class) {
        (void)fprintf(file, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", from.x, from.y,
                      to.x, to.y, class);
}

void svg_rectangle(FILE *file, struct svg_point corner, double width, double height, const char *class,
                   const char *title) {
        (void)fprintf(file, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" class=\"%s\">", corner.x,
                      corner.y, width, height, class);
        if (title)
                put_title(file, title);
        (void)fputs("</rect>\n", file);
}
