// SPDX-License-Identifier: Apache-2.0
#include "t.h"
#include "core/split.h"

/* What the units of a job over `text` read, glued together, with a mark between units. */
static void all_units(enum sm_split_kind kind, struct sm_view text, size_t unit, size_t piece,
                      struct sm_buf *out)
{
    for (uint64_t from = 0; from < text.n; from += unit) {
        uint64_t to = from + unit < text.n ? from + unit : text.n;
        uint64_t at = sm_split_read_from(kind, from);
        bool in_quotes = sm_split_quotes(sm_view_sub(text, 0, (size_t)at)) % 2 == 1;
        struct sm_split s;
        sm_split_init(&s, kind, from, to, in_quotes);
        while (!s.is_ended && at < text.n) {
            struct sm_view in = sm_view_sub(text, (size_t)at, piece);
            struct sm_view got = sm_split_feed(&s, in);
            T_OK(sm_buf_add(out, got.p, got.n));
            at += in.n;
        }
        T_OK(sm_buf_add(out, "\f", 1));
    }
}

static const char csv[] =
    "id,note\n1,\"a \"\"quoted\"\" word\"\n2,\"two\nlines, \n\nand more\"\n"
    "3,plain\n4,\"\"\n\n5,\"x\ny\"";

/* Every record is in exactly one unit and no record is cut, for every unit and read size. */
static void check_every_cut(enum sm_split_kind kind, const char *text)
{
    struct sm_view all = sm_view_str(text);
    for (size_t unit = 1; unit <= all.n + 1; unit++) {
        for (size_t piece = 1; piece <= all.n; piece += 3) {
            SM_CLEANUP(sm_buf_done) struct sm_buf got = SM_BUF(1 << 16);
            all_units(kind, all, unit, piece, &got);
            char whole[512];
            size_t n = 0;
            bool in_quotes = false;
            for (size_t i = 0; i < got.n; i++) {
                char c = (char)got.p[i];
                if (c == '\f') {
                    T_TRUE(n == 0 || n == all.n || (whole[n - 1] == '\n' && !in_quotes));
                    continue;
                }
                in_quotes ^= c == '"' && kind == SM_SPLIT_CSV;
                whole[n++] = c;
            }
            T_MEM(whole, n, all.p, all.n);
        }
    }
}

static void every_line_is_in_one_unit(void)
{
    check_every_cut(SM_SPLIT_LINES, "one\ntwo\n\nthree is longer\nfour");
    check_every_cut(SM_SPLIT_LINES, "\n\n\n");
    check_every_cut(SM_SPLIT_LINES, "no newline at all");
}

static void every_csv_record_is_in_one_unit(void)
{
    check_every_cut(SM_SPLIT_CSV, csv);
}

static void byte_ranges_are_exact(void)
{
    struct sm_view all = sm_view_str("0123456789");
    struct sm_split s;
    sm_split_init(&s, SM_SPLIT_BYTES, 3, 7, false);
    T_EQ(sm_split_read_from(SM_SPLIT_BYTES, 3), 3);
    struct sm_view got = sm_split_feed(&s, sm_view_sub(all, 3, 7));
    T_MEM(got.p, got.n, "3456", 4);
    T_TRUE(s.is_ended);
}

static void the_header_is_the_unit_of_the_first_byte(void)
{
    struct sm_split s;
    sm_split_init(&s, SM_SPLIT_CSV, 0, 1, false);
    struct sm_view got = sm_split_feed(&s, sm_view_str(csv));
    T_MEM(got.p, got.n, "id,note\n", 8);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(every_line_is_in_one_unit),
        T_CASE(every_csv_record_is_in_one_unit),
        T_CASE(byte_ranges_are_exact),
        T_CASE(the_header_is_the_unit_of_the_first_byte),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
