// SPDX-License-Identifier: Apache-2.0
#pragma once
/* bulletin: how neighbours tell each other of signed documents: CONTROL messages whose first
 * byte is SM_BULLETIN_CONTROL, then an op:
 *
 *     DIGEST  u8 n, n * {kind u8, name 32, version u64, bytes u32, hash 32}: documents the
 *             sender has, ascending by kind and name
 *     WANT    hash 32, offset u32: send the piece that begins there
 *     PIECE   hash 32, total u32, offset u32, bytes: as much as there is, at most
 *             SM_BULLETIN_PIECE; total 0: not here any more
 *
 * The hash is SHA-256 of the whole document.  Nothing here is believed; what a document says
 * is checked by whoever takes it.
 *
 * Memory:  never allocates; views point into the message.
 * Errors:  TRUNCATED, MALFORMED.
 * Source:  doc/wire.md, section 4.
 */
#include "base/bytes.h"

enum {
    SM_BULLETIN_CONTROL = 2,    /* first byte of a CONTROL message; 1 is a record */
    SM_BULLETIN_DOCS = 64,      /* manifest, revocations, and collateral of some 20 products */
    SM_BULLETIN_BYTES = 131072, /* of a document: the longest list of revoked certificates */
    SM_BULLETIN_PIECE = 16384,  /* pings wait behind it for a millisecond */
    SM_BULLETIN_NAME = 32,
    SM_BULLETIN_ENTRY = 1 + SM_BULLETIN_NAME + 8 + 4 + 32,
    SM_BULLETIN_DIGEST_MAX = 3 + SM_BULLETIN_DOCS * SM_BULLETIN_ENTRY,
    SM_BULLETIN_PIECE_MAX = 2 + 32 + 8 + SM_BULLETIN_PIECE,
};

struct sm_bulletin_doc {
    uint8_t kind;
    uint8_t name[SM_BULLETIN_NAME]; /* zeros behind a shorter one */
    uint64_t version;
    uint32_t bytes; /* 1..SM_BULLETIN_BYTES */
    uint8_t hash[32];
};
/* By kind, then name: what a newer version replaces compares equal. */
int sm_bulletin_doc_cmp(const struct sm_bulletin_doc *a, const struct sm_bulletin_doc *b);

enum sm_bulletin_op {
    SM_BULLETIN_DIGEST = 1,
    SM_BULLETIN_WANT = 2,
    SM_BULLETIN_PIECE_OF = 3,
};

struct sm_bulletin_message {
    enum sm_bulletin_op op;
    uint8_t n_docs; /* DIGEST */
    struct sm_bulletin_doc docs[SM_BULLETIN_DOCS];
    uint8_t hash[32];       /* WANT, PIECE */
    uint32_t total, offset; /* PIECE; WANT: offset */
    struct sm_view bytes;   /* PIECE */
};

enum sm_err sm_bulletin_message_read(struct sm_view in,
                                     struct sm_bulletin_message *out) SM_MUST;
void sm_bulletin_message_write(const struct sm_bulletin_message *m, struct sm_wr *w);

/* The length of the piece at offset of a document of total bytes. */
static inline uint32_t sm_bulletin_piece_n(uint32_t total, uint32_t offset)
{
    uint32_t left = total > offset ? total - offset : 0;
    return left < SM_BULLETIN_PIECE ? left : SM_BULLETIN_PIECE;
}
