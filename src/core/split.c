// SPDX-License-Identifier: Apache-2.0
#include "core/split.h"

#include <assert.h>
#include <string.h>

uint64_t sm_split_read_from(enum sm_split_kind kind, uint64_t from)
{
    return kind == SM_SPLIT_BYTES || from == 0 ? from : from - 1;
}

void sm_split_init(struct sm_split *s, enum sm_split_kind kind, uint64_t from, uint64_t to,
                   bool in_quotes)
{
    assert(from <= to);
    *s = (struct sm_split){
        .kind = kind,
        .from = from,
        .to = to,
        .pos = sm_split_read_from(kind, from),
        .in_quotes = in_quotes && kind == SM_SPLIT_CSV,
        .is_inside = kind == SM_SPLIT_BYTES || from == 0,
        .is_ended = from == to,
    };
}

/* The offset behind the first record end in `in`, or in.n + 1 when there is none. */
static size_t record_end(struct sm_split *s, struct sm_view in)
{
    if (s->kind == SM_SPLIT_LINES) {
        const uint8_t *nl = in.n > 0 ? memchr(in.p, '\n', in.n) : NULL;
        return nl == NULL ? in.n + 1 : (size_t)(nl - in.p) + 1;
    }
    for (size_t i = 0; i < in.n; i++) {
        if (in.p[i] == '"') {
            s->in_quotes = !s->in_quotes;
        } else if (in.p[i] == '\n' && !s->in_quotes) {
            return i + 1;
        }
    }
    return in.n + 1;
}

struct sm_view sm_split_feed(struct sm_split *s, struct sm_view in)
{
    if (s->is_ended) {
        return (struct sm_view){0};
    }
    if (s->kind == SM_SPLIT_BYTES) {
        uint64_t left = s->to - s->pos;
        struct sm_view out = sm_view_sub(in, 0, left < in.n ? (size_t)left : in.n);
        s->pos += out.n;
        s->is_ended = s->pos == s->to;
        return out;
    }
    size_t at = 0, begin = s->is_inside ? 0 : in.n;
    while (at < in.n) {
        size_t step = record_end(s, sm_view_sub(in, at, in.n - at));
        if (step > in.n - at) {
            at = in.n;
            break;
        }
        at += step;
        uint64_t next = s->pos + at; /* a record begins here */
        if (!s->is_inside && next >= s->from) {
            s->is_inside = true;
            begin = at;
        }
        if (next >= s->to) {
            s->is_ended = true;
            break;
        }
    }
    s->pos += at;
    return begin < at ? sm_view_sub(in, begin, at - begin) : (struct sm_view){0};
}

uint64_t sm_split_quotes(struct sm_view in)
{
    uint64_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        n += in.p[i] == '"';
    }
    return n;
}
