// SPDX-License-Identifier: Apache-2.0
#include "base/ini.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct sm_ini sm_ini_init(struct sm_view text)
{
    return (struct sm_ini){.left = text};
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static bool is_name(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Cut the next line off; the newline goes with it. */
static struct sm_view cut_line(struct sm_ini *ini)
{
    size_t n = 0;
    while (n < ini->left.n && ini->left.p[n] != '\n') {
        n++;
    }
    struct sm_view line = sm_view_sub(ini->left, 0, n);
    ini->left = sm_view_sub(ini->left, n + 1, ini->left.n);
    ini->line++;
    return line;
}

static bool problem(struct sm_ini *ini, size_t at, const char *what)
{
    ini->column = (unsigned)at + 1;
    ini->problem = what;
    return false;
}

static size_t skip_blanks(struct sm_view line, size_t at)
{
    while (at < line.n && is_blank(line.p[at])) {
        at++;
    }
    return at;
}

/* The name at `at`; its length, 0 when there is none. */
static size_t name_len(struct sm_view line, size_t at)
{
    size_t n = 0;
    while (at + n < line.n && is_name(line.p[at + n])) {
        n++;
    }
    return n;
}

static bool take_name(struct sm_ini *ini, struct sm_view line, size_t *at, struct sm_view *out)
{
    size_t n = name_len(line, *at);
    if (n == 0) {
        return problem(ini, *at, "a name of a-z, 0-9, '_' or '-' is expected here");
    }
    if (n > SM_INI_NAME_MAX) {
        return problem(ini, *at, "the name is longer than 32 letters");
    }
    *out = sm_view_sub(line, *at, n);
    *at += n;
    return true;
}

static bool read_section(struct sm_ini *ini, struct sm_view line, size_t at,
                         struct sm_ini_line *out)
{
    struct sm_view section, name = {0};
    size_t start = at;
    at = skip_blanks(line, at + 1);
    if (!take_name(ini, line, &at, &section)) {
        return false;
    }
    at = skip_blanks(line, at);
    if (at < line.n && line.p[at] != ']') {
        if (!take_name(ini, line, &at, &name)) {
            return false;
        }
        at = skip_blanks(line, at);
    }
    if (at >= line.n || line.p[at] != ']') {
        return problem(ini, at, "']' is expected here");
    }
    at = skip_blanks(line, at + 1);
    if (at < line.n) {
        return problem(ini, at, "nothing may follow the ']'");
    }
    ini->section = section;
    ini->name = name;
    *out = (struct sm_ini_line){.kind = SM_INI_SECTION,
                                .section = section,
                                .name = name,
                                .line = ini->line,
                                .column = (unsigned)start + 1};
    return true;
}

static bool read_value(struct sm_ini *ini, struct sm_view line, size_t at,
                       struct sm_ini_line *out)
{
    struct sm_view key;
    size_t start = at, end = line.n;
    if (!take_name(ini, line, &at, &key)) {
        return false;
    }
    at = skip_blanks(line, at);
    if (at >= line.n || line.p[at] != '=') {
        return problem(ini, at, "'=' is expected here");
    }
    at = skip_blanks(line, at + 1);
    while (end > at && is_blank(line.p[end - 1])) {
        end--;
    }
    if (end == at) {
        return problem(ini, at, "the value is missing");
    }
    if (end - at > SM_INI_VALUE_MAX) {
        return problem(ini, at, "the value is longer than 512 letters");
    }
    for (size_t i = at; i < end; i++) {
        if (line.p[i] < 0x20 || line.p[i] > 0x7e) {
            return problem(ini, i, "only printable ASCII is allowed");
        }
    }
    if (ini->section.n == 0) {
        return problem(ini, start, "a [section] must come before the first key");
    }
    *out = (struct sm_ini_line){.kind = SM_INI_VALUE,
                                .section = ini->section,
                                .name = ini->name,
                                .key = key,
                                .value = sm_view_sub(line, at, end - at),
                                .line = ini->line,
                                .column = (unsigned)start + 1,
                                .value_column = (unsigned)at + 1};
    return true;
}

bool sm_ini_next(struct sm_ini *ini, struct sm_ini_line *out)
{
    while (ini->left.n > 0 && ini->problem == NULL) {
        struct sm_view line = cut_line(ini);
        size_t at = skip_blanks(line, 0);
        if (at == line.n || line.p[at] == '#' || line.p[at] == ';') {
            continue;
        }
        return line.p[at] == '[' ? read_section(ini, line, at, out)
                                 : read_value(ini, line, at, out);
    }
    return false;
}

/* -- numbers ----------------------------------------------------------------------------- */

struct unit {
    const char *name;
    uint64_t factor;
};
/* Largest first, for printing. */
static const struct unit times[] = {
    {"d", 86400000000000u}, {"h", 3600000000000u}, {"m", 60000000000u}, {"s", 1000000000u},
    {"ms", 1000000u},       {"us", 1000u},         {"ns", 1u},
};
static const struct unit sizes[] = {
    {"TiB", 1ull << 40},
    {"GiB", 1ull << 30},
    {"MiB", 1ull << 20},
    {"KiB", 1ull << 10},
    {"B", 1},
};

static enum sm_err digits(struct sm_view text, uint64_t *out, size_t *out_n)
{
    uint64_t v = 0;
    size_t n = 0;
    for (; n < text.n && text.p[n] >= '0' && text.p[n] <= '9'; n++) {
        uint64_t d = (uint64_t)(text.p[n] - '0');
        if (v > (UINT64_MAX - d) / 10) {
            return SM_E_LIMIT;
        }
        v = v * 10 + d;
    }
    /* One spelling each: no leading zeros. */
    if (n == 0 || (n > 1 && text.p[0] == '0')) {
        return SM_E_MALFORMED;
    }
    *out = v;
    *out_n = n;
    return SM_OK;
}

enum sm_err sm_ini_number(struct sm_view text, uint64_t *out)
{
    uint64_t v;
    size_t n;
    SM_TRY(digits(text, &v, &n));
    if (n != text.n) {
        return SM_E_MALFORMED;
    }
    *out = v;
    return SM_OK;
}

static enum sm_err with_unit(struct sm_view text, const struct unit *units, size_t n_units,
                             uint64_t *out)
{
    uint64_t v;
    size_t n;
    SM_TRY(digits(text, &v, &n));
    struct sm_view rest = sm_view_sub(text, n, text.n);
    for (size_t i = 0; i < n_units; i++) {
        if (sm_view_eq(rest, sm_view_str(units[i].name))) {
            if (v > UINT64_MAX / units[i].factor) {
                return SM_E_LIMIT;
            }
            *out = v * units[i].factor;
            return SM_OK;
        }
    }
    return SM_E_MALFORMED;
}

enum sm_err sm_ini_duration(struct sm_view text, uint64_t *out_ns)
{
    return with_unit(text, times, SM_COUNT(times), out_ns);
}

enum sm_err sm_ini_size(struct sm_view text, uint64_t *out_bytes)
{
    return with_unit(text, sizes, SM_COUNT(sizes), out_bytes);
}

static void print_unit(uint64_t v, const struct unit *units, size_t n, char out[static 32])
{
    size_t i = 0;
    while (i + 1 < n && (v == 0 || v % units[i].factor != 0)) {
        i++;
    }
    (void)snprintf(out, 32, "%" PRIu64 "%s", v / units[i].factor, units[i].name);
}

void sm_ini_print_duration(uint64_t ns, char out[static 32])
{
    print_unit(ns, times, SM_COUNT(times), out);
}

void sm_ini_print_size(uint64_t bytes, char out[static 32])
{
    print_unit(bytes, sizes, SM_COUNT(sizes), out);
}

/* -- near misses ------------------------------------------------------------------------- */

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

unsigned sm_ini_distance(struct sm_view a, struct sm_view b)
{
    unsigned row[SM_INI_NAME_MAX + 1];
    if (a.n > SM_INI_NAME_MAX || b.n > SM_INI_NAME_MAX) {
        return 99;
    }
    for (unsigned j = 0; j <= b.n; j++) {
        row[j] = j;
    }
    for (unsigned i = 1; i <= a.n; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            unsigned change = diagonal + (a.p[i - 1] == b.p[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = least(row[j] + 1, row[j - 1] + 1, change);
        }
    }
    return row[b.n];
}
