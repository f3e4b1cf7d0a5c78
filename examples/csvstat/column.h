// SPDX-License-Identifier: Apache-2.0
#pragma once
/* column: what csvstat knows of a column, and how it is written.
 *
 * Sums must not depend on how rows were grouped, and floating-point addition does.  So numbers
 * are decimal with at most six digits behind the point, kept as 128-bit integers of millionths:
 * adding them is exact, and merging is associative.  A value that is not such a number is
 * counted as text.
 *
 * A record, tabs between the fields:
 *
 *     NAME  rows  numbers  texts  min  max  sum        (min and max are "-" without numbers)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef __int128 micro; // a typedef because the type's name is two words on some compilers

enum { COLUMNS_MAX = 256, NAME_MAX_BYTES = 64, FIELD_MAX = 4096, DIGITS_MAX = 18 };

struct column {
    char name[NAME_MAX_BYTES + 1];
    unsigned long long rows, numbers, texts;
    micro min, max, sum;
};

/* Parse a whole field as a decimal number; 0 when it is none or needs more digits. */
static inline int micro_parse(const char *s, size_t n, micro *out)
{
    size_t i = 0, digits = 0, behind = 0;
    int is_negative = 0, has_point = 0;
    micro v = 0;
    if (i < n && (s[i] == '-' || s[i] == '+')) {
        is_negative = s[i++] == '-';
    }
    for (; i < n; i++) {
        if (s[i] == '.' && !has_point) {
            has_point = 1;
            continue;
        }
        if (s[i] < '0' || s[i] > '9' || ++digits > DIGITS_MAX || (has_point && ++behind > 6)) {
            return 0;
        }
        v = v * 10 + (s[i] - '0');
    }
    if (digits == 0) {
        return 0;
    }
    for (; behind < 6; behind++) {
        v *= 10;
    }
    *out = is_negative ? -v : v;
    return 1;
}

/* As a decimal without trailing zeros. */
static inline void micro_print(micro v)
{
    char text[48];
    size_t at = sizeof text;
    unsigned __int128 u = v < 0 ? -(unsigned __int128)v : (unsigned __int128)v;
    unsigned fraction = (unsigned)(u % 1000000u);
    u /= 1000000u;
    do {
        text[--at] = (char)('0' + (int)(u % 10));
        u /= 10;
    } while (u > 0);
    printf("%s%.*s", v < 0 ? "-" : "", (int)(sizeof text - at), text + at);
    if (fraction != 0) {
        char digits[8];
        snprintf(digits, sizeof digits, "%06u", fraction);
        size_t n = 6;
        while (digits[n - 1] == '0') {
            n--;
        }
        printf(".%.*s", (int)n, digits);
    }
}

/* Add the figures of b to those of a. */
static inline void column_merge(struct column *a, const struct column *b)
{
    if (b->numbers > 0) {
        a->min = a->numbers == 0 || b->min < a->min ? b->min : a->min;
        a->max = a->numbers == 0 || b->max > a->max ? b->max : a->max;
    }
    a->rows += b->rows;
    a->numbers += b->numbers;
    a->texts += b->texts;
    a->sum += b->sum;
}

static inline void column_print(const struct column *c)
{
    printf("%s\t%llu\t%llu\t%llu\t", c->name, c->rows, c->numbers, c->texts);
    if (c->numbers == 0) {
        printf("-\t-\t0\n");
        return;
    }
    micro_print(c->min);
    putchar('\t');
    micro_print(c->max);
    putchar('\t');
    micro_print(c->sum);
    putchar('\n');
}
