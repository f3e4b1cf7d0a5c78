// SPDX-License-Identifier: Apache-2.0
#include "base/bytes.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sm_view sm_view_of(const void *p, size_t n)
{
    return (struct sm_view){p, n};
}

struct sm_view sm_view_str(const char *text)
{
    return (struct sm_view){(const uint8_t *)text, strlen(text)};
}

bool sm_view_eq(struct sm_view a, struct sm_view b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

struct sm_view sm_view_sub(struct sm_view v, size_t from, size_t n)
{
    if (from >= v.n) {
        return (struct sm_view){0};
    }
    size_t left = v.n - from;
    return (struct sm_view){v.p + from, n < left ? n : left};
}

/* -- reader ------------------------------------------------------------------------------ */

struct sm_rd sm_rd_init(struct sm_view bytes)
{
    return (struct sm_rd){.left = bytes};
}

struct sm_view sm_rd_view(struct sm_rd *r, size_t n)
{
    if (r->failed || n > r->left.n) {
        r->failed = true;
        return (struct sm_view){0};
    }
    struct sm_view v = {r->left.p, n};
    if (n > 0) {
        r->left.p += n;
        r->left.n -= n;
    }
    return v;
}

void sm_rd_bytes(struct sm_rd *r, void *dst, size_t n)
{
    struct sm_view v = sm_rd_view(r, n);
    if (v.n == n && n > 0) {
        memcpy(dst, v.p, n);
    } else if (n > 0) {
        memset(dst, 0, n);
    }
}

uint8_t sm_rd_u8(struct sm_rd *r)
{
    struct sm_view v = sm_rd_view(r, 1);
    return v.n == 1 ? v.p[0] : 0;
}

uint16_t sm_rd_u16(struct sm_rd *r)
{
    struct sm_view v = sm_rd_view(r, 2);
    return v.n == 2 ? (uint16_t)(v.p[0] + 256u * v.p[1]) : 0;
}

uint32_t sm_rd_u32(struct sm_rd *r)
{
    struct sm_view v = sm_rd_view(r, 4);
    return v.n == 4 ? sm_le32(v.p) : 0;
}

uint64_t sm_rd_u64(struct sm_rd *r)
{
    struct sm_view v = sm_rd_view(r, 8);
    return v.n == 8 ? sm_le64(v.p) : 0;
}

struct sm_view sm_rd_blob(struct sm_rd *r, size_t max)
{
    uint32_t n = sm_rd_u32(r);
    if (n > max) {
        sm_rd_fail(r);
    }
    return sm_rd_view(r, n);
}

struct sm_view sm_rd_rest(struct sm_rd *r)
{
    return sm_rd_view(r, r->left.n);
}

void sm_rd_fail(struct sm_rd *r)
{
    r->failed = true;
    r->malformed = true;
}

enum sm_err sm_rd_done(const struct sm_rd *r)
{
    if (r->malformed) {
        return SM_E_MALFORMED;
    }
    if (r->failed) {
        return SM_E_TRUNCATED;
    }
    return r->left.n == 0 ? SM_OK : SM_E_MALFORMED;
}

/* -- writer ------------------------------------------------------------------------------ */

struct sm_wr sm_wr_init(void *p, size_t cap)
{
    return (struct sm_wr){.p = p, .cap = cap};
}

void sm_wr_bytes(struct sm_wr *w, const void *p, size_t n)
{
    if (w->full || n > w->cap - w->n) {
        w->full = true;
        return;
    }
    if (n > 0) {
        memcpy(w->p + w->n, p, n);
        w->n += n;
    }
}

void sm_wr_view(struct sm_wr *w, struct sm_view v)
{
    sm_wr_bytes(w, v.p, v.n);
}

void sm_wr_u8(struct sm_wr *w, uint8_t v)
{
    sm_wr_bytes(w, &v, 1);
}

void sm_wr_u16(struct sm_wr *w, uint16_t v)
{
    uint8_t b[2] = {(uint8_t)v, (uint8_t)(v >> 8)};
    sm_wr_bytes(w, b, sizeof b);
}

void sm_wr_u32(struct sm_wr *w, uint32_t v)
{
    uint8_t b[4];
    sm_put_le32(b, v);
    sm_wr_bytes(w, b, sizeof b);
}

void sm_wr_u64(struct sm_wr *w, uint64_t v)
{
    uint8_t b[8];
    sm_put_le64(b, v);
    sm_wr_bytes(w, b, sizeof b);
}

void sm_wr_blob(struct sm_wr *w, struct sm_view v)
{
    if (v.n > UINT32_MAX) {
        w->full = true;
        return;
    }
    sm_wr_u32(w, (uint32_t)v.n);
    sm_wr_view(w, v);
}

size_t sm_wr_reserve_u32(struct sm_wr *w)
{
    size_t where = w->n;
    sm_wr_u32(w, 0);
    return where;
}

void sm_wr_fill_u32(struct sm_wr *w, size_t where)
{
    if (w->full) {
        return;
    }
    assert(where + 4 <= w->n);
    sm_put_le32(w->p + where, (uint32_t)(w->n - where - 4));
}

enum sm_err sm_wr_done(const struct sm_wr *w, struct sm_view *out)
{
    if (w->full) {
        return SM_E_LIMIT;
    }
    *out = (struct sm_view){w->p, w->n};
    return SM_OK;
}

/* -- growing buffer ---------------------------------------------------------------------- */

void sm_buf_done(struct sm_buf *b)
{
    free(b->p);
    *b = (struct sm_buf){.max = b->max};
}

void sm_buf_clear(struct sm_buf *b)
{
    b->n = 0;
}

enum sm_err sm_buf_room(struct sm_buf *b, size_t n, uint8_t **out)
{
    if (n > b->max - b->n) {
        return SM_E_LIMIT;
    }
    if (n > b->cap - b->n) {
        size_t want = b->cap < 64 ? 64 : b->cap;
        while (want < b->n + n) {
            want = want > b->max / 2 ? b->max : want * 2;
        }
        if (want > b->max) {
            want = b->max;
        }
        uint8_t *p = realloc(b->p, want);
        if (p == NULL) {
            return SM_E_NOMEM;
        }
        b->p = p;
        b->cap = want;
    }
    *out = b->p == NULL ? NULL : b->p + b->n;
    return SM_OK;
}

enum sm_err sm_buf_add(struct sm_buf *b, const void *p, size_t n)
{
    uint8_t *to;
    SM_TRY(sm_buf_room(b, n, &to));
    if (n > 0) {
        memcpy(to, p, n);
        b->n += n;
    }
    return SM_OK;
}

void sm_buf_drop(struct sm_buf *b, size_t n)
{
    assert(n <= b->n);
    if (n > 0 && n < b->n) {
        memmove(b->p, b->p + n, b->n - n);
    }
    b->n -= n;
}

struct sm_view sm_buf_view(const struct sm_buf *b)
{
    return (struct sm_view){b->p, b->n};
}

enum sm_err sm_buf_printf(struct sm_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    uint8_t *to = NULL;
    enum sm_err e = n < 0 ? SM_E_INVALID : sm_buf_room(b, (size_t)n + 1, &to);
    if (e == SM_OK) {
        vsnprintf((char *)to, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
    return e;
}

/* -- text forms -------------------------------------------------------------------------- */

void sm_hex(const void *p, size_t n, char *out)
{
    static const char digit[] = "0123456789abcdef";
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digit[b[i] >> 4];
        out[2 * i + 1] = digit[b[i] & 15];
    }
    out[2 * n] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

enum sm_err sm_unhex(const char *text, size_t text_n, uint8_t *out, size_t n)
{
    if (text_n != 2 * n) {
        return SM_E_MALFORMED;
    }
    for (size_t i = 0; i < text_n; i++) {
        if (hex_value(text[i]) < 0) {
            return SM_E_MALFORMED;
        }
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint8_t)(hex_value(text[2 * i]) << 4 | hex_value(text[2 * i + 1]));
    }
    return SM_OK;
}

static const char b32_digit[] = "abcdefghijklmnopqrstuvwxyz234567";

void sm_b32(const void *p, size_t n, char *out)
{
    const uint8_t *b = p;
    uint32_t acc = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < n; i++) {
        acc = acc << 8 | b[i];
        bits += 8;
        while (bits >= 5) {
            bits -= 5;
            *out++ = b32_digit[acc >> bits & 31];
        }
    }
    if (bits > 0) {
        *out++ = b32_digit[acc << (5 - bits) & 31];
    }
    *out = '\0';
}

static int b32_value(char c)
{
    if (c >= 'a' && c <= 'z') {
        return c - 'a';
    }
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= '2' && c <= '7') {
        return c - '2' + 26;
    }
    return -1;
}

enum sm_err sm_unb32(const char *text, size_t text_n, uint8_t *out, size_t n)
{
    if (text_n != SM_B32_LEN(n)) {
        return SM_E_MALFORMED;
    }
    for (size_t i = 0; i < text_n; i++) {
        if (b32_value(text[i]) < 0) {
            return SM_E_MALFORMED;
        }
    }
    unsigned spare = (unsigned)(text_n * 5 - n * 8);
    if (spare > 0 && (b32_value(text[text_n - 1]) & ((1 << spare) - 1)) != 0) {
        return SM_E_MALFORMED; /* one encoding for each value */
    }
    uint32_t acc = 0;
    unsigned bits = 0;
    size_t at = 0;
    for (size_t i = 0; i < text_n && at < n; i++) {
        acc = acc << 5 | (uint32_t)b32_value(text[i]);
        bits += 5;
        if (bits >= 8) {
            bits -= 8;
            out[at++] = (uint8_t)(acc >> bits);
        }
    }
    return SM_OK;
}

uint32_t sm_le32(const void *p)
{
    const uint8_t *b = p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

uint64_t sm_le64(const void *p)
{
    const uint8_t *b = p;
    return (uint64_t)sm_le32(b) | (uint64_t)sm_le32(b + 4) << 32;
}

void sm_put_le32(void *p, uint32_t v)
{
    uint8_t *b = p;
    for (unsigned i = 0; i < 4; i++) {
        b[i] = (uint8_t)(v >> (8 * i));
    }
}

void sm_put_le64(void *p, uint64_t v)
{
    uint8_t *b = p;
    sm_put_le32(b, (uint32_t)v);
    sm_put_le32(b + 4, (uint32_t)(v >> 32));
}
