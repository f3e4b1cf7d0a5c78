// SPDX-License-Identifier: Apache-2.0
#pragma once
/* signed_doc: what manifest and revocation list have in common: COSE_Sign1 by a root of the
 * mesh over a payload that begins alike.  Internal to src/attest. */
#include "attest/anchor.h"
#include "base/cbor.h"
#include "crypto/suite.h"

/* The first keys of both payloads. */
struct sm_doc_head {
    uint8_t mesh_id[32];
    uint8_t env;
    uint64_t version;
    struct sm_wall issued;
};

/* Keys 1 to 5; a format that is not 1 gives VERSION. */
enum sm_err sm_doc_head_read(struct sm_cbor *c, struct sm_doc_head *out) SM_MUST;
void sm_doc_head_write(const struct sm_doc_head *h, struct sm_wr *w);

/* name is of the external data, "seemesh/manifest/1". */
enum sm_err sm_doc_sign(const struct sm_suite *suite, const struct sm_sign_pair *root,
                        const char *name, const uint8_t mesh_id[static 32],
                        struct sm_view payload, struct sm_buf *out) SM_MUST;
/* Check against every root of the anchor; the payload, and which root it was. */
enum sm_err sm_doc_verify(const struct sm_suite *suite, const struct sm_anchor *a,
                          const char *name, struct sm_view doc, struct sm_view *out_payload,
                          unsigned *out_root) SM_MUST;
/* AUTH unless mesh and environment are the anchor's. */
enum sm_err sm_doc_head_check(const struct sm_anchor *a, const uint8_t mesh_id[static 32],
                              uint8_t env) SM_MUST;

/* Helpers for fixed grammars: a key of a map, an array of a known length, bytes of a known
 * length, a number below a bound, printable ASCII of at most cap - 1 letters. */
void sm_doc_key(struct sm_cbor *c, uint64_t key);
void sm_doc_array(struct sm_cbor *c, size_t n);
void sm_doc_bytes(struct sm_cbor *c, void *out, size_t n);
uint64_t sm_doc_uint(struct sm_cbor *c, uint64_t max);
void sm_doc_text(struct sm_cbor *c, char *out, size_t cap);
bool sm_doc_is_printable(struct sm_view text);
