// SPDX-License-Identifier: Apache-2.0
/* wordstat-reduce: add up tables that wordstat or it itself wrote, one after another on input.
 *
 *     wordstat-reduce < TABLES           one table: any grouping and order gives the same bytes
 *     wordstat-reduce --top N < TABLES   for people: the counts, then the N most frequent words
 */
#include "table.h"

static const char *const totals[] = {"#lines", "#words", "#bytes"};
enum { TOTALS = sizeof totals / sizeof totals[0] };

/* One record without its newline; 0 when it is none. */
static int add_line(struct table *t, unsigned long long sums[TOTALS], const char *line,
                    size_t n)
{
    const char *tab = memchr(line, '\t', n);
    if (tab == NULL || tab == line || tab + 1 == line + n) {
        return 0;
    }
    unsigned long long count = 0;
    for (const char *p = tab + 1; p < line + n; p++) {
        if (*p < '0' || *p > '9') {
            return 0;
        }
        count = count * 10 + (unsigned long long)(*p - '0');
    }
    size_t word_n = (size_t)(tab - line);
    for (int i = 0; i < TOTALS; i++) {
        if (word_n == strlen(totals[i]) && memcmp(line, totals[i], word_n) == 0) {
            sums[i] += count;
            return 1;
        }
    }
    table_add(t, line, word_n, count);
    return 1;
}

int main(int argc, char **argv)
{
    struct table t = {0};
    unsigned long long sums[TOTALS] = {0};
    char line[WORD_MAX + 32];
    size_t top = 0;
    if (argc == 3 && strcmp(argv[1], "--top") == 0) {
        top = (size_t)strtoul(argv[2], NULL, 10);
    } else if (argc != 1) {
        fputs("usage: wordstat-reduce [--top N] < TABLES\n", stderr);
        return 2;
    }
    for (unsigned long number = 1; fgets(line, sizeof line, stdin) != NULL; number++) {
        size_t n = strlen(line);
        if (n == 0 || line[n - 1] != '\n' || !add_line(&t, sums, line, n - 1)) {
            fprintf(stderr, "wordstat-reduce: line %lu is not a record\n", number);
            return 1;
        }
    }
    for (int i = 0; i < TOTALS; i++) {
        printf("%s\t%llu\n", totals[i], sums[i]);
    }
    if (top > 0) {
        table_print(&t, top, entry_by_count);
    } else {
        table_print_by_word(&t);
    }
    return ferror(stdin) || fflush(stdout) != 0 ? 1 : 0;
}
