// SPDX-License-Identifier: Apache-2.0
#pragma once
/* object: how stored data looks: segments, shards, the manifest that names them, and the
 * reference a person keeps.
 *
 * Plaintext is cut into segments.  A segment is sealed (its number is the nonce, the key
 * belongs to this object alone), padded with zeros to k equal shards and coded to n.  The
 * manifest names every shard by its hash; the data id is the hash of the manifest.  So whoever
 * knows the data id can check and repair all shards, and only who knows the key can read them.
 * Holder i keeps shard i of every segment.
 *
 * An object of 0 bytes has no segments.
 *
 * Memory:  never allocates; a manifest borrows the bytes it was read from.
 * Errors:  what is read is hostile: MALFORMED, VERSION, LIMIT.
 * Source:  DESIGN 10; the manifest's grammar is in object.c.
 */
#include "base/bytes.h"
#include "base/ids.h"
#include "core/code.h"
#include "crypto/suite.h"
#include "wire/store_rpc.h"

/* -- keys of an object ------------------------------------------------------------------- */

/* One object has one secret key, drawn for it and never used again.  The cipher key and the
 * remove token are made of it, so neither tells the other. */
void sm_object_seal_key(const struct sm_secret32 *key, struct sm_secret32 *out);
void sm_object_remove_token(const struct sm_secret32 *key, struct sm_remove_token *out);
/* What the manifest carries, so that a holder can tell who may remove. */
void sm_remove_token_hash(const struct sm_remove_token *token, uint8_t out[static 32]);

/* -- manifest ---------------------------------------------------------------------------- */

struct sm_manifest {
    uint64_t size;          /* bytes of plaintext */
    uint32_t segment_bytes; /* plaintext of each segment but the last */
    struct sm_code code;
    enum sm_aead_kind cipher;
    uint8_t remove_hash[32];
    struct sm_view shard_ids; /* 32 bytes each, by segment, then by index */
};

/* The most plaintext a segment of this code may hold: k shards, less the cipher's tag. */
uint32_t sm_segment_bytes_max(struct sm_code c);
/* The largest object whose manifest still fits in SM_MANIFEST_MAX: about 10 GiB. */
uint64_t sm_object_bytes_max(struct sm_code c, uint32_t segment_bytes);

enum sm_err sm_manifest_read(struct sm_view in, struct sm_manifest *out) SM_MUST;
/* The manifest must be one that sm_manifest_read takes.  LIMIT when the writer is full. */
enum sm_err sm_manifest_write(struct sm_wr *w, const struct sm_manifest *m) SM_MUST;
void sm_manifest_id(struct sm_view manifest, struct sm_data_id *out);

uint32_t sm_manifest_segments(const struct sm_manifest *m);
size_t sm_manifest_plain_bytes(const struct sm_manifest *m, uint32_t segment);
size_t sm_manifest_shard_bytes(const struct sm_manifest *m, uint32_t segment);
void sm_manifest_shard_id(const struct sm_manifest *m, uint32_t segment, unsigned index,
                          struct sm_shard_id *out);

/* -- segments ---------------------------------------------------------------------------- */

/* Bytes of each shard of a segment with so much plaintext (at least 1). */
size_t sm_segment_shard_bytes(struct sm_code c, size_t plain_bytes);

/* Turn plain_bytes of plaintext at the front of `shards` into the n shards of the segment, one
 * behind the other in place, and tell their ids.  `shards` has room for n shards. */
enum sm_err sm_segment_seal(struct sm_aead *a, struct sm_coder *coder, struct sm_code c,
                            uint32_t segment, size_t plain_bytes, uint8_t *shards,
                            struct sm_shard_id ids[]) SM_MUST;

/* The way back: `have` says which shards are in their places.  On success the plaintext stands
 * at the front of `shards`.  PEERS when fewer than k are here, CRYPTO when the key is not this
 * object's or the object was made wrongly. */
enum sm_err sm_segment_open(struct sm_aead *a, struct sm_coder *coder, struct sm_code c,
                            uint32_t segment, size_t plain_bytes, uint8_t *shards,
                            uint64_t have) SM_MUST;

/* -- reference --------------------------------------------------------------------------- */

/* What `put` prints and `get` takes: the data id, the key and a check against slips of the
 * hand, as "sm1:ID:KEY:CHECK" in base32.  Whoever has the line can read the object. */
struct sm_ref {
    struct sm_data_id object;
    struct sm_secret32 key;
};
#define SM_REF_LEN (4 + SM_B32_LEN(32) + 1 + SM_B32_LEN(32) + 1 + SM_B32_LEN(4))

void sm_ref_print(const struct sm_ref *ref, char out[static SM_REF_LEN + 1]);
/* MALFORMED: not a reference at all.  VERSION: one of a later kind.  HASH: it has the right
 * shape, but a character is wrong; that is a typo, not an object that is missing. */
enum sm_err sm_ref_parse(struct sm_view text, struct sm_ref *out) SM_MUST;
