// SPDX-License-Identifier: Apache-2.0
#pragma once
/* hash: hashes and what is made of them: HMAC (RFC 2104) and HKDF (RFC 5869).
 *
 * SHA-256 is the mesh's hash.  The others are there for Ed25519's relatives, for HPKE and for
 * the Noise protocol names that carry them.
 *
 *     struct sm_hash h;
 *     sm_hash_init(&h, SM_SHA256);
 *     sm_hash_add(&h, head);
 *     sm_hash_add(&h, body);
 *     sm_hash_end(&h, id.b);
 *
 * Memory:  never allocates.  The state of a plain hash is not wiped, that of HMAC is.
 * Errors:  only HKDF-Expand, when asked for more than 255 hashes.
 */
#include "base/bytes.h"
#include "crypto/secret.h"

#include <stdalign.h>

enum sm_hash_kind { SM_SHA256, SM_SHA512, SM_BLAKE2S, SM_BLAKE2B };
#define SM_HASH_MAX       64  /* bytes of the longest hash */
#define SM_HASH_BLOCK_MAX 128 /* bytes of the longest block */

struct sm_hash {
    enum sm_hash_kind kind;
    alignas(64) uint8_t state[384];
};

size_t sm_hash_len(enum sm_hash_kind kind);
size_t sm_hash_block(enum sm_hash_kind kind);

void sm_hash_init(struct sm_hash *h, enum sm_hash_kind kind);
void sm_hash_add(struct sm_hash *h, struct sm_view bytes);
void sm_hash_end(struct sm_hash *h, uint8_t *out); /* sm_hash_len bytes; h is used up */

void sm_sha256(struct sm_view bytes, uint8_t out[static 32]);
void sm_sha512(struct sm_view bytes, uint8_t out[static 64]);

struct sm_hmac {
    struct sm_hash inner, outer;
};

void sm_hmac_init(struct sm_hmac *m, enum sm_hash_kind kind, struct sm_view key);
void sm_hmac_add(struct sm_hmac *m, struct sm_view bytes);
void sm_hmac_end(struct sm_hmac *m, uint8_t *out); /* sm_hash_len bytes; wipes m */
void sm_hmac(enum sm_hash_kind kind, struct sm_view key, struct sm_view bytes, uint8_t *out);

/* prk has sm_hash_len bytes. */
void sm_hkdf_extract(enum sm_hash_kind kind, struct sm_view salt, struct sm_view ikm,
                     uint8_t *prk);
/* INVALID when n > 255 * sm_hash_len(kind).  out may not overlap prk or info. */
enum sm_err sm_hkdf_expand(enum sm_hash_kind kind, struct sm_view prk, struct sm_view info,
                           uint8_t *out, size_t n) SM_MUST;
/* Extract, then expand. */
enum sm_err sm_hkdf(enum sm_hash_kind kind, struct sm_view salt, struct sm_view ikm,
                    struct sm_view info, uint8_t *out, size_t n) SM_MUST;
