// SPDX-License-Identifier: Apache-2.0
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static bool is_known(const struct cli_option *opt, size_t opt_n, const char *arg, size_t name_n,
                     size_t *out)
{
    for (size_t i = 0; i < opt_n; i++) {
        if (strlen(opt[i].name) == name_n && strncmp(opt[i].name, arg, name_n) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static enum sm_err take_value(struct cli *c, const struct cli_option *o, const char *value)
{
    if (o->text != NULL) {
        *o->text = value;
        return SM_OK;
    }
    char *end;
    errno = 0;
    uint64_t n = strtoull(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || value[0] == '-') {
        return cli_fail(c, SM_E_USAGE, "%s wants a number, not '%s'", o->name, value);
    }
    *o->number = n;
    return SM_OK;
}

enum sm_err cli_parse(struct cli *c, const struct cli_command *cmd,
                      const struct cli_option *opt, size_t opt_n, int argc, char **argv,
                      int *argc_out)
{
    int kept = 0;
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "--") == 0) {
            while (++i < argc) {
                argv[kept++] = argv[i];
            }
            break;
        }
        if (arg[0] != '-' || arg[1] == '\0') {
            argv[kept++] = argv[i];
            continue;
        }
        const char *eq = strchr(arg, '=');
        size_t name_n = eq != NULL ? (size_t)(eq - arg) : strlen(arg), at = 0;
        if (!is_known(opt, opt_n, arg, name_n, &at)) {
            return cli_fail(c, SM_E_USAGE, "unknown option '%s'; see 'seemesh help %s'", arg,
                            cmd->name);
        }
        const struct cli_option *o = &opt[at];
        if (o->flag != NULL) {
            if (eq != NULL) {
                return cli_fail(c, SM_E_USAGE, "%s takes no value", o->name);
            }
            *o->flag = true;
            continue;
        }
        const char *value = eq != NULL ? eq + 1 : i + 1 < argc ? argv[++i] : NULL;
        if (value == NULL) {
            return cli_fail(c, SM_E_USAGE, "%s wants a value: %s", o->name, o->value);
        }
        SM_TRY(take_value(c, o, value));
    }
    *argc_out = kept;
    return SM_OK;
}

int cli_exit_code(enum sm_err e)
{
    return e == SM_E_CLOSED ? 3 : sm_err_exit_code(e);
}

/* Some words come from far away, from modules and holders: nothing in them may steer a
 * terminal, or be no text at all. */
static void clean(char *text)
{
    json_t *utf8 = json_string(text);
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++) {
        bool is_c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0;
        if ((*p < 0x20 && *p != '\n' && *p != '\t') || *p == 0x7f || is_c1 ||
            (utf8 == NULL && *p >= 0x80)) {
            *p = '?';
        }
    }
    json_decref(utf8);
}

enum sm_err cli_fail(struct cli *c, enum sm_err e, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (c->is_probe) {
        return e;
    }
    clean(text);
    c->is_told = true;
    if (c->json) {
        cli_json(json_pack("{s:s, s:s, s:i}", "error", sm_err_name(e), "message", text, "exit",
                           cli_exit_code(e)));
    } else {
        fprintf(stderr, "seemesh: %s\n", text);
    }
    return e;
}

void cli_say(struct cli *c, const char *fmt, ...)
{
    if (c->quiet || c->json) {
        return;
    }
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    clean(text);
    fputs(text, stderr);
}

enum sm_err cli_may_replace(struct cli *c, const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        return cli_fail(c, SM_E_USAGE,
                        "%s is not a regular file; redirect standard output to it instead",
                        path);
    }
    return SM_OK;
}

void cli_json(json_t *object)
{
    if (object != NULL) {
        json_dumpf(object, stdout, JSON_COMPACT);
        fputc('\n', stdout);
        fflush(stdout);
        json_decref(object);
    }
}

struct unit {
    const char *name;
    uint64_t factor;
};

static enum sm_err with_unit(const char *text, const struct unit *units, size_t n,
                             uint64_t *out)
{
    char *end;
    errno = 0;
    uint64_t v = strtoull(text, &end, 10);
    if (errno != 0 || end == text || text[0] == '-') {
        return SM_E_MALFORMED;
    }
    for (size_t i = 0; i < n; i++) {
        if (strcmp(end, units[i].name) == 0) {
            if (v > UINT64_MAX / units[i].factor) {
                return SM_E_MALFORMED;
            }
            *out = v * units[i].factor;
            return SM_OK;
        }
    }
    return SM_E_MALFORMED;
}

enum sm_err cli_size(const char *text, uint64_t *out)
{
    static const struct unit units[] = {
        {"", 1},           {"B", 1},        {"KiB", 1u << 10}, {"K", 1u << 10},
        {"MiB", 1u << 20}, {"M", 1u << 20}, {"GiB", 1u << 30}, {"G", 1u << 30},
    };
    return with_unit(text, units, SM_COUNT(units), out);
}

enum sm_err cli_millis(const char *text, uint64_t *out)
{
    static const struct unit units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    return with_unit(text, units, SM_COUNT(units), out);
}

const char *cli_bytes(uint64_t n, char out[static 24])
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    uint64_t tenths = n * 10;
    size_t u = 0;
    if (n > UINT64_MAX / 10) {
        tenths = UINT64_MAX;
    }
    while (tenths >= 10240 && u + 1 < SM_COUNT(unit)) {
        tenths /= 1024;
        u++;
    }
    if (u == 0) {
        snprintf(out, 24, "%" PRIu64 " B", n);
    } else {
        snprintf(out, 24, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10, unit[u]);
    }
    return out;
}

/* -- progress ---------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void cli_progress_start(struct cli_progress *p, struct cli *c, const char *what, uint64_t total)
{
    *p = (struct cli_progress){.c = c, .what = what, .total = total};
}

void cli_progress_set(struct cli_progress *p, uint64_t done, const char *note)
{
    enum { WIDTH = 30 };
    p->done = done;
    uint64_t now = now_ns();
    bool is_last = p->total > 0 && done >= p->total;
    if (p->c->json || p->c->quiet || !p->c->is_tty ||
        (!is_last && now - p->shown_ns < 80000000u)) {
        return;
    }
    p->shown_ns = now;
    p->is_shown = true;
    char bar[WIDTH + 1];
    uint64_t full = p->total > 0 ? done * WIDTH / p->total : 0;
    for (unsigned i = 0; i < WIDTH; i++) {
        bar[i] = i < full ? '=' : i == full ? '>' : ' ';
    }
    bar[WIDTH] = '\0';
    uint64_t percent = p->total > 0 ? done * 100 / p->total : 0;
    fprintf(stderr, "\r\033[K%s [%s] %3" PRIu64 "%% %s", p->what, bar, percent,
            note != NULL ? note : "");
    fflush(stderr);
}

void cli_progress_end(struct cli_progress *p)
{
    if (p->is_shown) {
        fprintf(stderr, "\r\033[K");
        fflush(stderr);
        p->is_shown = false;
    }
}

/* -- tables ------------------------------------------------------------------------------ */

void cli_table_row(struct cli_table *t, ...)
{
    if (t->rows == t->cap) {
        size_t cap = t->cap == 0 ? 16 : t->cap * 2;
        char **cells = realloc(t->cells, cap * t->columns * sizeof *cells);
        if (cells == NULL) {
            return; /* a row less is all that is lost */
        }
        t->cells = cells;
        t->cap = cap;
    }
    va_list ap;
    va_start(ap, t);
    for (size_t i = 0; i < t->columns; i++) {
        const char *cell = va_arg(ap, const char *);
        t->cells[t->rows * t->columns + i] = strdup(cell != NULL ? cell : "");
    }
    va_end(ap);
    t->rows++;
}

static const char *cell_of(const struct cli_table *t, size_t row, size_t col)
{
    const char *text = t->cells[row * t->columns + col];
    return text != NULL ? text : "";
}

static void print_line(FILE *to, const struct cli_table *t, const size_t *width, size_t row,
                       bool is_head)
{
    for (size_t i = 0; i < t->columns; i++) {
        const char *text = is_head ? t->head[i] : cell_of(t, row, i);
        fprintf(to, "%s%s", i > 0 ? "  " : "", text);
        for (size_t pad = strlen(text); i + 1 < t->columns && pad < width[i]; pad++) {
            fputc(' ', to);
        }
    }
    fputc('\n', to);
}

void cli_table_print(struct cli_table *t, FILE *to)
{
    size_t width[CLI_COLUMNS_MAX];
    for (size_t i = 0; i < t->columns; i++) {
        width[i] = strlen(t->head[i]);
        for (size_t r = 0; r < t->rows; r++) {
            size_t n = strlen(cell_of(t, r, i));
            width[i] = n > width[i] ? n : width[i];
        }
    }
    print_line(to, t, width, 0, true);
    for (size_t r = 0; r < t->rows; r++) {
        print_line(to, t, width, r, false);
    }
    for (size_t i = 0; i < t->rows * t->columns; i++) {
        free(t->cells[i]);
    }
    free(t->cells);
    *t = (struct cli_table){0};
}
