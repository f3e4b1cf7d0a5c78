// SPDX-License-Identifier: Apache-2.0
/* csvstat: for each column of a CSV file with a header, rows, numbers, minimum, maximum, sum.
 *
 *     csvstat < TABLE.csv        one record a column (column.h), in the header's order
 *
 * RFC 4180: fields may be quoted, "" in them is a quote, lines end in LF or CRLF.  Empty fields
 * count as rows only.  Control characters in names are written as '_'.
 */
#include "column.h"

static struct column columns[COLUMNS_MAX];
static size_t n_columns;

struct reader {
    char field[FIELD_MAX];
    size_t n;
    int is_quoted;
};

static int fail(const char *why)
{
    fprintf(stderr, "csvstat: %s\n", why);
    return 1;
}

/* Read one field; the byte that ended it: ',', '\n' or EOF.  -2 when it is too long. */
static int read_field(struct reader *r)
{
    r->n = 0;
    r->is_quoted = 0;
    int in_quotes = 0;
    for (;;) {
        int c = getchar();
        if (c == EOF || (!in_quotes && (c == ',' || c == '\n'))) {
            if (c != ',' && r->n > 0 && !r->is_quoted && r->field[r->n - 1] == '\r') {
                r->n--;
            }
            return c;
        }
        if (c == '"' && (in_quotes || r->n == 0)) {
            if (in_quotes) {
                c = getchar();
                if (c != '"') {
                    in_quotes = 0;
                    if (c != EOF && c != '\r') {
                        ungetc(c, stdin);
                    }
                    continue;
                }
            } else if (!r->is_quoted) {
                in_quotes = r->is_quoted = 1;
                continue;
            }
        }
        if (r->n == sizeof r->field) {
            return -2;
        }
        r->field[r->n++] = (char)c;
    }
}

static int add_column(const struct reader *r)
{
    if (n_columns == COLUMNS_MAX) {
        return 0;
    }
    struct column *c = &columns[n_columns++];
    for (size_t i = 0; i < r->n && i < NAME_MAX_BYTES; i++) {
        c->name[i] = (char)((unsigned char)r->field[i] < 32 ? '_' : r->field[i]);
    }
    if (r->n == 0) {
        snprintf(c->name, sizeof c->name, "column%zu", n_columns);
    }
    return 1;
}

static void add_value(struct column *c, const struct reader *r)
{
    struct column one = {.rows = 1};
    micro v;
    if (r->n > 0 && micro_parse(r->field, r->n, &v)) {
        one.numbers = 1;
        one.min = one.max = one.sum = v;
    } else if (r->n > 0) {
        one.texts = 1;
    }
    column_merge(c, &one);
}

int main(void)
{
    static struct reader r;
    int end;
    do {
        end = read_field(&r);
        if (end == -2 || !add_column(&r)) {
            return fail("header with too many columns or too long a name");
        }
    } while (end == ',');
    for (size_t at = 0; end != EOF;) {
        end = read_field(&r);
        if (end == -2) {
            return fail("field longer than 4096 bytes");
        }
        if (at == 0 && r.n == 0 && end != ',') {
            continue; /* an empty line, or the end after the last one */
        }
        if (at == n_columns) {
            return fail("row with more fields than the header");
        }
        add_value(&columns[at++], &r);
        at = end == ',' ? at : 0;
    }
    for (size_t i = 0; i < n_columns; i++) {
        column_print(&columns[i]);
    }
    return ferror(stdin) || fflush(stdout) != 0 ? 1 : 0;
}
