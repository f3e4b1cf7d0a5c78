// SPDX-License-Identifier: Apache-2.0
#pragma once
/* cbor: read and write deterministic CBOR (RFC 8949, section 4.2.1), and nothing else.
 *
 * The reader takes one item from untrusted bytes, left to right, and is sticky as sm_rd is:
 * the first broken rule makes it fail for good, later reads give zeros, and the caller asks
 * once, with sm_cbor_done().  Broken rules are: an integer or length not in its shortest form,
 * indefinite lengths, map keys that are not in ascending order of their bytes or come twice,
 * keys that are not integers or strings, text that is not UTF-8, floating point and simple
 * values other than false, true and null, more than 16 levels, bytes left over.  So an item
 * has one encoding, and what was read can be compared and hashed as bytes.
 *
 *     struct sm_cbor c = sm_cbor_init(bytes);
 *     for (size_t n = sm_cbor_map(&c); n > 0; n--) {
 *         switch (sm_cbor_int(&c)) {
 *         case 1:
 *             x.name = sm_cbor_text(&c);
 *             break;
 *         default:
 *             sm_cbor_skip(&c);
 *         }
 *     }
 *     SM_TRY(sm_cbor_done(&c));     nothing is believed before this line
 *
 * A container closes by itself after its last item.  A count is never more than the bytes
 * left could hold, so a loop over it is bounded by the message.
 *
 * Memory:  never allocates; views point into the bytes, which must outlive them.
 * Errors:  only from sm_cbor_done().
 */
#include "base/bytes.h"

#define SM_CBOR_DEPTH 16 /* COSE in COSE with claims needs 8; more is an attack */

enum sm_cbor_kind {
    SM_CBOR_UINT,
    SM_CBOR_NINT,
    SM_CBOR_BYTES,
    SM_CBOR_TEXT,
    SM_CBOR_ARRAY,
    SM_CBOR_MAP,
    SM_CBOR_TAG,
    SM_CBOR_BOOL,
    SM_CBOR_NULL,
    SM_CBOR_NONE /* the end, or nothing we read */
};

struct sm_cbor {
    struct sm_rd rd;
    bool is_tagged; /* a tag was read; its item must follow */
    unsigned depth;
    struct sm_cbor_open {
        uint64_t left; /* items still to come; of a map, keys and values */
        bool is_map;
        struct sm_view key; /* the last one's bytes */
    } open[SM_CBOR_DEPTH];
};

struct sm_cbor sm_cbor_init(struct sm_view bytes);
enum sm_cbor_kind sm_cbor_peek(const struct sm_cbor *c); /* what comes next */
uint64_t sm_cbor_uint(struct sm_cbor *c);
int64_t sm_cbor_int(struct sm_cbor *c); /* either sign */
bool sm_cbor_bool(struct sm_cbor *c);
void sm_cbor_null(struct sm_cbor *c);
struct sm_view sm_cbor_bytes(struct sm_cbor *c);
struct sm_view sm_cbor_text(struct sm_cbor *c);
size_t sm_cbor_array(struct sm_cbor *c);        /* enter; returns the number of items */
size_t sm_cbor_map(struct sm_cbor *c);          /* enter; returns the number of pairs */
uint64_t sm_cbor_tag(struct sm_cbor *c);        /* the tagged item is read next */
void sm_cbor_skip(struct sm_cbor *c);           /* one whole item, held to the same rules */
struct sm_view sm_cbor_item(struct sm_cbor *c); /* the bytes of one whole item */
void sm_cbor_fail(struct sm_cbor *c);           /* the caller saw a broken rule */

/* TRUNCATED when bytes are missing; MALFORMED when a rule was broken, or when bytes or items
 * are left. */
enum sm_err sm_cbor_done(const struct sm_cbor *c) SM_MUST;

/* Exactly one item that keeps all rules. */
enum sm_err sm_cbor_check(struct sm_view bytes) SM_MUST;

/* -- writing ----------------------------------------------------------------------------- */

/* The shortest form, onto a writer, which is sticky too.  The caller writes as many items as
 * it announced, and map keys in ascending order of their encoded bytes. */
void sm_cbor_put_uint(struct sm_wr *w, uint64_t v);
void sm_cbor_put_int(struct sm_wr *w, int64_t v);
void sm_cbor_put_bool(struct sm_wr *w, bool v);
void sm_cbor_put_null(struct sm_wr *w);
void sm_cbor_put_bytes(struct sm_wr *w, struct sm_view v);
void sm_cbor_put_text(struct sm_wr *w, struct sm_view utf8);
void sm_cbor_put_array(struct sm_wr *w, size_t items);
void sm_cbor_put_map(struct sm_wr *w, size_t pairs);
void sm_cbor_put_tag(struct sm_wr *w, uint64_t tag);
