// SPDX-License-Identifier: Apache-2.0
#pragma once
/* bytes: borrowed bytes, growing buffers, a reader and a writer for messages.
 *
 * Only sm_rd touches bytes from strangers.  A reader borrows the bytes; they must outlive
 * it.  The first read past the end makes it fail for good: later reads return zeros and move
 * nothing, so a parser reads all its fields in a row and asks once, with sm_rd_done().
 * Integers on the wire are little-endian.
 *
 * A writer fills memory the caller owns and is sticky in the same way: sm_wr_done().
 *
 * Memory:  readers and writers never allocate; struct sm_buf does, up to its maximum.
 * Threads: each object belongs to one caller.
 * Source:  doc/wire.md, section 1.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SM_CLEANUP(fn)  __attribute__((cleanup(fn)))
#define SM_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Borrowed bytes; p may be NULL when n == 0. */
struct sm_view {
    const uint8_t *p;
    size_t n;
};

struct sm_view sm_view_of(const void *p, size_t n);
struct sm_view sm_view_str(const char *text);
bool sm_view_eq(struct sm_view a, struct sm_view b); /* not constant time: public bytes only */
struct sm_view sm_view_sub(struct sm_view v, size_t from, size_t n); /* clipped to v */

/* -- reader ------------------------------------------------------------------------------ */

struct sm_rd {
    struct sm_view left;
    bool failed;
    bool malformed;
};

struct sm_rd sm_rd_init(struct sm_view bytes);
uint8_t sm_rd_u8(struct sm_rd *r);
uint16_t sm_rd_u16(struct sm_rd *r);
uint32_t sm_rd_u32(struct sm_rd *r);
uint64_t sm_rd_u64(struct sm_rd *r);
void sm_rd_bytes(struct sm_rd *r, void *dst, size_t n); /* n zeros on failure */
struct sm_view sm_rd_view(struct sm_rd *r, size_t n);   /* empty on failure */
struct sm_view sm_rd_blob(struct sm_rd *r, size_t max); /* u32 length, then bytes */
struct sm_view sm_rd_rest(struct sm_rd *r);             /* all that is left */
void sm_rd_fail(struct sm_rd *r);                       /* the caller saw a broken rule */
enum sm_err sm_rd_done(const struct sm_rd *r) SM_MUST;  /* TRUNCATED, or MALFORMED when bytes
                                                           are left or a rule was broken */

/* -- writer ------------------------------------------------------------------------------ */

struct sm_wr {
    uint8_t *p;
    size_t n, cap;
    bool full;
};

struct sm_wr sm_wr_init(void *p, size_t cap);
void sm_wr_u8(struct sm_wr *w, uint8_t v);
void sm_wr_u16(struct sm_wr *w, uint16_t v);
void sm_wr_u32(struct sm_wr *w, uint32_t v);
void sm_wr_u64(struct sm_wr *w, uint64_t v);
void sm_wr_bytes(struct sm_wr *w, const void *p, size_t n);
void sm_wr_view(struct sm_wr *w, struct sm_view v);
void sm_wr_blob(struct sm_wr *w, struct sm_view v); /* u32 length, then bytes */
size_t sm_wr_reserve_u32(struct sm_wr *w);          /* leave room; returns where */
void sm_wr_fill_u32(struct sm_wr *w, size_t where); /* = bytes written since */
enum sm_err sm_wr_done(const struct sm_wr *w,
                       struct sm_view *out) SM_MUST; /* LIMIT when full */

/* -- growing buffer ---------------------------------------------------------------------- */

/* Invariants: n <= cap <= max; p is NULL only when cap == 0.  A buffer that failed to grow
 * keeps what it had. */
struct sm_buf {
    uint8_t *p;
    size_t n, cap, max;
};

#define SM_BUF(limit) ((struct sm_buf){.max = (limit)})
void sm_buf_done(struct sm_buf *b); /* free; b may be used again */
void sm_buf_clear(struct sm_buf *b);
enum sm_err sm_buf_add(struct sm_buf *b, const void *p, size_t n) SM_MUST; /* LIMIT, NOMEM */
enum sm_err sm_buf_room(struct sm_buf *b, size_t n,
                        uint8_t **out) SM_MUST; /* n bytes behind the
                                   end, not counted until added */
void sm_buf_drop(struct sm_buf *b, size_t n);   /* remove n bytes from the front */
struct sm_view sm_buf_view(const struct sm_buf *b);
enum sm_err sm_buf_printf(struct sm_buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3))) SM_MUST;

/* -- text forms -------------------------------------------------------------------------- */

/* Lower-case hexadecimal with a final NUL; out has 2 * n + 1 bytes. */
void sm_hex(const void *p, size_t n, char *out);
/* Exactly n bytes of hexadecimal, either case.  MALFORMED else; out untouched then. */
enum sm_err sm_unhex(const char *text, size_t text_n, uint8_t *out, size_t n) SM_MUST;

/* base32 of RFC 4648, lower case, no padding: ids and references that people copy. */
#define SM_B32_LEN(n) (((n)*8 + 4) / 5)
void sm_b32(const void *p, size_t n, char *out); /* SM_B32_LEN(n) + 1 bytes */
enum sm_err sm_unb32(const char *text, size_t text_n, uint8_t *out, size_t n) SM_MUST;

/* Little-endian loads and stores on raw memory. */
uint32_t sm_le32(const void *p);
uint64_t sm_le64(const void *p);
void sm_put_le32(void *p, uint32_t v);
void sm_put_le64(void *p, uint64_t v);
