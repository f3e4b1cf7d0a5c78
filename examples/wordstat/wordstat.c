// SPDX-License-Identifier: Apache-2.0
/* wordstat: count the lines, words and bytes of standard input, and each word's uses.
 *
 *     wordstat < TEXT            a table that wordstat-reduce can add to others
 *
 * Output, one record a line, sorted, so that equal input gives equal bytes:
 *
 *     #lines<TAB>N
 *     #words<TAB>N
 *     #bytes<TAB>N
 *     word<TAB>N                 for each word, in byte order
 *
 * A word is a run of letters and digits (any byte from 128 counts as a letter, so UTF-8 stays
 * whole), in lower case, cut at 64 bytes.  '#' is in no word, so the counts cannot be mistaken.
 */
#include "table.h"

#include <ctype.h>

static int is_word_byte(int c)
{
    return c >= 128 || isalnum(c);
}

int main(void)
{
    static unsigned char bytes[1 << 16];
    struct table t = {0};
    unsigned long long lines = 0, words = 0, total = 0;
    char word[WORD_MAX];
    size_t n = 0;
    int in_word = 0;

    for (size_t got; (got = fread(bytes, 1, sizeof bytes, stdin)) > 0;) {
        total += got;
        for (size_t i = 0; i < got; i++) {
            int c = bytes[i];
            lines += c == '\n';
            if (is_word_byte(c)) {
                in_word = 1;
                if (n < sizeof word) {
                    word[n++] = (char)(c < 128 ? tolower(c) : c);
                }
            } else if (in_word) {
                words++;
                table_add(&t, word, n, 1);
                n = 0;
                in_word = 0;
            }
        }
    }
    if (in_word) {
        words++;
        table_add(&t, word, n, 1);
    }
    printf("#lines\t%llu\n#words\t%llu\n#bytes\t%llu\n", lines, words, total);
    table_print_by_word(&t);
    return ferror(stdin) || fflush(stdout) != 0 ? 1 : 0;
}
