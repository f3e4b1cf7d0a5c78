// SPDX-License-Identifier: Apache-2.0
/* A text cut into units of any size and read in pieces of any size: the units together are the
 * text, and each but the last ends with a record. */
#include "core/split.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool is_record_end(enum sm_split_kind kind, struct sm_view all, size_t at)
{
    bool is_quoted = kind == SM_SPLIT_CSV && sm_split_quotes(sm_view_sub(all, 0, at)) % 2 == 1;
    return kind == SM_SPLIT_BYTES || at == 0 || at == all.n ||
           (all.p[at - 1] == '\n' && !is_quoted);
}

/* Returns how many bytes of the text the unit took; they follow the `done` before it. */
static size_t read_unit(struct sm_split *s, struct sm_view all, size_t piece, size_t done)
{
    size_t at = (size_t)s->pos, took = 0;
    while (!s->is_ended && at < all.n) {
        struct sm_view in = sm_view_sub(all, at, piece);
        struct sm_view got = sm_split_feed(s, in);
        assert(got.n == 0 || got.p == all.p + done + took);
        took += got.n;
        at += in.n;
    }
    return took;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 3 || n > 2000) {
        return 0;
    }
    enum sm_split_kind kind = (enum sm_split_kind)(data[0] % 3);
    size_t unit = 1 + data[1], piece = 1 + data[2], done = 0;
    struct sm_view all = {data + 3, n - 3};
    for (size_t from = 0; from < all.n; from += unit) {
        size_t to = from + unit < all.n ? from + unit : all.n;
        size_t first = (size_t)sm_split_read_from(kind, from);
        bool in_quotes = sm_split_quotes(sm_view_sub(all, 0, first)) % 2 == 1;
        struct sm_split s;
        sm_split_init(&s, kind, from, to, in_quotes);
        done += read_unit(&s, all, piece, done);
        assert(is_record_end(kind, all, done));
    }
    assert(done == all.n);
    return 0;
}
