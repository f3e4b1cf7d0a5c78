// SPDX-License-Identifier: Apache-2.0
#include "base/cbor.h"

#include <assert.h>
#include <string.h>

enum major { UINT, NINT, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE };
enum { FALSE = 20, TRUE = 21, NIL = 22 };

struct sm_cbor sm_cbor_init(struct sm_view bytes)
{
    return (struct sm_cbor){.rd = sm_rd_init(bytes)};
}

void sm_cbor_fail(struct sm_cbor *c)
{
    if (!c->rd.failed) { /* the first reason stays */
        sm_rd_fail(&c->rd);
    }
}

static struct sm_cbor_open *innermost(struct sm_cbor *c)
{
    return c->depth > 0 ? &c->open[c->depth - 1] : NULL;
}

/* In a map, keys and values take turns. */
static bool is_at_key(struct sm_cbor *c)
{
    const struct sm_cbor_open *o = innermost(c);
    return o != NULL && o->is_map && o->left % 2 == 0;
}

/* -- the head of an item: its type and one number ---------------------------------------- */

static uint64_t big_endian(struct sm_rd *r, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        v = v << 8 | sm_rd_u8(r);
    }
    return v;
}

/* The number after an initial byte that says how it is encoded.  SPEC RFC 8949, 4.2.1:
 * "Preferred serialization MUST be used", which is the shortest form. */
static uint64_t number(struct sm_cbor *c, unsigned how)
{
    static const uint64_t least[] = {24, 1u << 8, 1u << 16, UINT64_C(1) << 32};
    if (how < 24) {
        return how;
    }
    if (how > 27) { /* reserved, or of indefinite length */
        sm_cbor_fail(c);
        return 0;
    }
    uint64_t v = big_endian(&c->rd, (size_t)1 << (how - 24));
    if (v < least[how - 24]) {
        sm_cbor_fail(c);
    }
    return c->rd.failed ? 0 : v;
}

/* Read the head of an item that must be of one type. */
static uint64_t head(struct sm_cbor *c, enum major want)
{
    uint8_t first = sm_rd_u8(&c->rd);
    if (first >> 5 != want) {
        sm_cbor_fail(c);
    }
    return number(c, c->rd.failed ? 0 : first & 31);
}

/* -- items begin and end ----------------------------------------------------------------- */

/* An item has ended, and with it every container whose last item it was. */
static void end_item(struct sm_cbor *c)
{
    c->is_tagged = false;
    for (struct sm_cbor_open *o = innermost(c); o != NULL; o = innermost(c)) {
        o->left--;
        if (o->left > 0) {
            return;
        }
        c->depth--;
    }
}

/* SPEC RFC 8949, 4.2.1: "The keys in every map MUST be sorted in the bytewise lexicographic
 * order of their deterministic encodings." */
static bool is_ascending(struct sm_view a, struct sm_view b)
{
    int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return order < 0 || (order == 0 && a.n < b.n);
}

/* A scalar has been read; its bytes began at `start`. */
static void end_scalar(struct sm_cbor *c, struct sm_view start)
{
    if (c->rd.failed) {
        return;
    }
    if (is_at_key(c)) {
        struct sm_cbor_open *o = innermost(c);
        struct sm_view key = {start.p, start.n - c->rd.left.n};
        bool is_int_or_string = start.p[0] >> 5 <= TEXT;
        if (c->is_tagged || !is_int_or_string ||
            (o->key.p != NULL && !is_ascending(o->key, key))) {
            sm_cbor_fail(c);
            return;
        }
        o->key = key;
    }
    end_item(c);
}

/* Enter a container whose entries are one item each, or two. */
static size_t enter(struct sm_cbor *c, enum major type, size_t items_each)
{
    uint64_t count = head(c, type);
    if (c->rd.failed) {
        return 0;
    }
    if (count > c->rd.left.n / items_each) {
        c->rd.failed = true; /* every item takes a byte */
        return 0;
    }
    if (is_at_key(c) || c->depth == SM_CBOR_DEPTH) {
        sm_cbor_fail(c);
        return 0;
    }
    if (count == 0) {
        end_item(c);
        return 0;
    }
    c->is_tagged = false;
    c->open[c->depth] =
        (struct sm_cbor_open){.left = count * items_each, .is_map = type == MAP};
    c->depth++;
    return (size_t)count;
}

/* -- what others call -------------------------------------------------------------------- */

enum sm_cbor_kind sm_cbor_peek(const struct sm_cbor *c)
{
    if (c->rd.failed || c->rd.left.n == 0) {
        return SM_CBOR_NONE;
    }
    uint8_t first = c->rd.left.p[0];
    switch ((enum major)(first >> 5)) {
    case UINT:
        return SM_CBOR_UINT;
    case NINT:
        return SM_CBOR_NINT;
    case BYTES:
        return SM_CBOR_BYTES;
    case TEXT:
        return SM_CBOR_TEXT;
    case ARRAY:
        return SM_CBOR_ARRAY;
    case MAP:
        return SM_CBOR_MAP;
    case TAG:
        return SM_CBOR_TAG;
    case SIMPLE:
        break;
    }
    unsigned value = first & 31;
    if (value == FALSE || value == TRUE) {
        return SM_CBOR_BOOL;
    }
    return value == NIL ? SM_CBOR_NULL : SM_CBOR_NONE;
}

uint64_t sm_cbor_uint(struct sm_cbor *c)
{
    struct sm_view start = c->rd.left;
    uint64_t v = head(c, UINT);
    end_scalar(c, start);
    return c->rd.failed ? 0 : v;
}

int64_t sm_cbor_int(struct sm_cbor *c)
{
    struct sm_view start = c->rd.left;
    bool is_negative = sm_cbor_peek(c) == SM_CBOR_NINT;
    uint64_t v = head(c, is_negative ? NINT : UINT);
    if (v > INT64_MAX) {
        sm_cbor_fail(c);
    }
    end_scalar(c, start);
    if (c->rd.failed) {
        return 0;
    }
    return is_negative ? -1 - (int64_t)v : (int64_t)v;
}

bool sm_cbor_bool(struct sm_cbor *c)
{
    struct sm_view start = c->rd.left;
    uint64_t v = head(c, SIMPLE);
    if (v != FALSE && v != TRUE) {
        sm_cbor_fail(c);
    }
    end_scalar(c, start);
    return !c->rd.failed && v == TRUE;
}

void sm_cbor_null(struct sm_cbor *c)
{
    struct sm_view start = c->rd.left;
    if (head(c, SIMPLE) != NIL) {
        sm_cbor_fail(c);
    }
    end_scalar(c, start);
}

static struct sm_view string(struct sm_cbor *c, enum major type)
{
    struct sm_view start = c->rd.left;
    uint64_t n = head(c, type);
    struct sm_view v = sm_rd_view(&c->rd, (size_t)n);
    end_scalar(c, start);
    return c->rd.failed ? (struct sm_view){0} : v;
}

struct sm_view sm_cbor_bytes(struct sm_cbor *c)
{
    return string(c, BYTES);
}

/* How many bytes the character at v.p takes; 0 when it is not UTF-8 (RFC 3629, section 4). */
static size_t utf8_char(struct sm_view v)
{
    uint8_t b = v.p[0];
    if (b < 0x80) {
        return 1;
    }
    size_t n = b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4;
    if (b < 0xc2 || b > 0xf4 || v.n < n) {
        return 0;
    }
    /* not longer than need be, no surrogates, nothing past U+10FFFF */
    uint8_t least = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80;
    uint8_t most = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;
    if (v.p[1] < least || v.p[1] > most) {
        return 0;
    }
    for (size_t i = 2; i < n; i++) {
        if (v.p[i] >> 6 != 2) {
            return 0;
        }
    }
    return n;
}

static bool is_utf8(struct sm_view v)
{
    while (v.n > 0) {
        size_t n = utf8_char(v);
        if (n == 0) {
            return false;
        }
        v.p += n;
        v.n -= n;
    }
    return true;
}

struct sm_view sm_cbor_text(struct sm_cbor *c)
{
    struct sm_view v = string(c, TEXT);
    if (!is_utf8(v)) {
        sm_cbor_fail(c);
        return (struct sm_view){0};
    }
    return v;
}

size_t sm_cbor_array(struct sm_cbor *c)
{
    return enter(c, ARRAY, 1);
}

size_t sm_cbor_map(struct sm_cbor *c)
{
    return enter(c, MAP, 2);
}

uint64_t sm_cbor_tag(struct sm_cbor *c)
{
    uint64_t tag = head(c, TAG);
    c->is_tagged = true;
    return c->rd.failed ? 0 : tag;
}

/* One step of an item: a scalar, a tag, or the way into a container. */
static void step(struct sm_cbor *c)
{
    switch (sm_cbor_peek(c)) {
    case SM_CBOR_UINT:
        sm_cbor_uint(c);
        break;
    case SM_CBOR_NINT: { /* any, also below INT64_MIN */
        struct sm_view start = c->rd.left;
        head(c, NINT);
        end_scalar(c, start);
        break;
    }
    case SM_CBOR_BYTES:
        sm_cbor_bytes(c);
        break;
    case SM_CBOR_TEXT:
        sm_cbor_text(c);
        break;
    case SM_CBOR_ARRAY:
        sm_cbor_array(c);
        break;
    case SM_CBOR_MAP:
        sm_cbor_map(c);
        break;
    case SM_CBOR_TAG:
        sm_cbor_tag(c);
        break;
    case SM_CBOR_BOOL:
        sm_cbor_bool(c);
        break;
    case SM_CBOR_NULL:
    case SM_CBOR_NONE:
        sm_cbor_null(c); /* which fails for what is none of these */
        break;
    }
}

void sm_cbor_skip(struct sm_cbor *c)
{
    unsigned depth = c->depth;
    do {
        step(c);
    } while (!c->rd.failed && (c->depth > depth || c->is_tagged));
}

struct sm_view sm_cbor_item(struct sm_cbor *c)
{
    struct sm_view start = c->rd.left;
    sm_cbor_skip(c);
    return c->rd.failed ? (struct sm_view){0}
                        : (struct sm_view){start.p, start.n - c->rd.left.n};
}

enum sm_err sm_cbor_done(const struct sm_cbor *c)
{
    SM_TRY(sm_rd_done(&c->rd));
    return c->depth > 0 || c->is_tagged ? SM_E_TRUNCATED : SM_OK;
}

enum sm_err sm_cbor_check(struct sm_view bytes)
{
    struct sm_cbor c = sm_cbor_init(bytes);
    sm_cbor_skip(&c);
    return sm_cbor_done(&c);
}

/* -- writing ----------------------------------------------------------------------------- */

static void put_head(struct sm_wr *w, enum major type, uint64_t v)
{
    uint8_t b[9];
    size_t n = v < 24 ? 0 : v <= UINT8_MAX ? 1 : v <= UINT16_MAX ? 2 : v <= UINT32_MAX ? 4 : 8;
    unsigned how = n == 0 ? (unsigned)v : n == 1 ? 24 : n == 2 ? 25 : n == 4 ? 26 : 27;
    b[0] = (uint8_t)((unsigned)type << 5 | how);
    for (size_t i = 0; i < n; i++) {
        b[1 + i] = (uint8_t)(v >> 8 * (n - 1 - i));
    }
    sm_wr_bytes(w, b, 1 + n);
}

void sm_cbor_put_uint(struct sm_wr *w, uint64_t v)
{
    put_head(w, UINT, v);
}

void sm_cbor_put_int(struct sm_wr *w, int64_t v)
{
    put_head(w, v < 0 ? NINT : UINT, (uint64_t)(v < 0 ? -1 - v : v));
}

void sm_cbor_put_bool(struct sm_wr *w, bool v)
{
    put_head(w, SIMPLE, v ? TRUE : FALSE);
}

void sm_cbor_put_null(struct sm_wr *w)
{
    put_head(w, SIMPLE, NIL);
}

void sm_cbor_put_bytes(struct sm_wr *w, struct sm_view v)
{
    put_head(w, BYTES, v.n);
    sm_wr_view(w, v);
}

void sm_cbor_put_text(struct sm_wr *w, struct sm_view utf8)
{
    put_head(w, TEXT, utf8.n);
    sm_wr_view(w, utf8);
}

void sm_cbor_put_array(struct sm_wr *w, size_t items)
{
    put_head(w, ARRAY, items);
}

void sm_cbor_put_map(struct sm_wr *w, size_t pairs)
{
    put_head(w, MAP, pairs);
}

void sm_cbor_put_tag(struct sm_wr *w, uint64_t tag)
{
    put_head(w, TAG, tag);
}
