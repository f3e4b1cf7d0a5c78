// SPDX-License-Identifier: Apache-2.0
/* csvstat-reduce: merge what csvstat or it itself wrote, one table after another on input.
 *
 *     csvstat-reduce < TABLES          records merged by column name, in order of appearance
 *     csvstat-reduce --table < TABLES  the same with a heading, and the mean of each column
 */
#include "column.h"

static struct column columns[COLUMNS_MAX];
static size_t n_columns;

static struct column *find(const char *name)
{
    for (size_t i = 0; i < n_columns; i++) {
        if (strcmp(columns[i].name, name) == 0) {
            return &columns[i];
        }
    }
    return NULL;
}

/* A sum may have more digits than a field: read it as its own kind of number. */
static int sum_parse(const char *s, micro *out)
{
    const char *digits = s + (*s == '-');
    micro v = 0;
    int behind = -1, n = 0;
    for (const char *p = digits; *p != '\0'; p++) {
        if (*p == '.' && behind < 0) {
            behind = 0;
        } else if (*p >= '0' && *p <= '9' && ++n <= 36 && (behind < 0 || ++behind <= 6)) {
            v = v * 10 + (*p - '0');
        } else {
            return 0;
        }
    }
    for (behind = behind < 0 ? 0 : behind; behind < 6; behind++) {
        v *= 10;
    }
    *out = *s == '-' ? -v : v;
    return n > 0;
}

static int add_line(char *line)
{
    char *fields[7], *rest = line;
    for (size_t i = 0; i < 7; i++) {
        fields[i] = rest;
        rest += strcspn(rest, "\t\n");
        if ((*rest == '\t') != (i < 6)) {
            return 0;
        }
        *rest++ = '\0';
    }
    struct column c = {.rows = strtoull(fields[1], NULL, 10),
                       .numbers = strtoull(fields[2], NULL, 10),
                       .texts = strtoull(fields[3], NULL, 10)};
    if (strlen(fields[0]) > NAME_MAX_BYTES || !sum_parse(fields[6], &c.sum) ||
        (c.numbers > 0 && (!sum_parse(fields[4], &c.min) || !sum_parse(fields[5], &c.max)))) {
        return 0;
    }
    struct column *to = find(fields[0]);
    if (to == NULL) {
        if (n_columns == COLUMNS_MAX) {
            return 0;
        }
        to = &columns[n_columns++];
        strcpy(to->name, fields[0]); /* its length was checked */
    }
    column_merge(to, &c);
    return 1;
}

static void print_mean(const struct column *c)
{
    if (c->numbers == 0) {
        printf("%s\t-\n", c->name);
        return;
    }
    printf("%s\t", c->name);
    micro_print(c->sum / (micro)c->numbers);
    putchar('\n');
}

int main(int argc, char **argv)
{
    static char line[1024];
    int is_table = argc == 2 && strcmp(argv[1], "--table") == 0;
    if (argc != 1 && !is_table) {
        fputs("usage: csvstat-reduce [--table] < TABLES\n", stderr);
        return 2;
    }
    for (unsigned long number = 1; fgets(line, sizeof line, stdin) != NULL; number++) {
        if (!add_line(line)) {
            fprintf(stderr, "csvstat-reduce: line %lu is not a record\n", number);
            return 1;
        }
    }
    if (is_table) {
        puts("column\trows\tnumbers\ttexts\tmin\tmax\tsum");
    }
    for (size_t i = 0; i < n_columns; i++) {
        column_print(&columns[i]);
    }
    if (is_table) {
        puts("\ncolumn\tmean");
        for (size_t i = 0; i < n_columns; i++) {
            print_mean(&columns[i]);
        }
    }
    return ferror(stdin) || fflush(stdout) != 0 ? 1 : 0;
}
