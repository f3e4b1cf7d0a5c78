// SPDX-License-Identifier: Apache-2.0
#pragma once
/* channel: one direction of a tunnel after the handshake: a key, its counter, and how much it
 * has protected.
 *
 * A frame lies in memory as it travels: head, padded payload, tag.  It is sealed and opened
 * where it lies.  The counter never goes back, also not when the key changes, and the stream is
 * in order, so any counter but the next is refused.
 *
 * Memory:  the key's cipher state, until done.
 * Errors:  seal: LIMIT, CRYPTO.  open: REPLAY (not the next counter), CRYPTO, MALFORMED
 *          (padding is not zeros).
 * Source:  doc/wire.md, section 4; Noise, section 11.3 (rekey).
 */
#include "crypto/suite.h"
#include "wire/frame.h"

struct sm_channel {
    struct sm_aead aead;
    uint64_t counter;
    uint64_t frames, bytes; /* under the present key */
};

enum sm_err sm_channel_init(struct sm_channel *c, const struct sm_suite *suite,
                            enum sm_aead_kind kind, const struct sm_secret32 *key) SM_MUST;
void sm_channel_done(struct sm_channel *c);

/* Put type and payload, which is a and then b, where a frame will be sealed: at p, in
 * sm_tframe_bytes(a.n + b.n) bytes. */
void sm_channel_compose2(uint8_t *p, uint8_t type, struct sm_view a, struct sm_view b);
static inline void sm_channel_compose(uint8_t *p, uint8_t type, struct sm_view payload)
{
    sm_channel_compose2(p, type, payload, (struct sm_view){0});
}

/* Bytes of the composed frame at p. */
size_t sm_channel_composed(const uint8_t *p);

/* Seal the composed frame at p under the next counter. */
enum sm_err sm_channel_seal(struct sm_channel *c, uint8_t *p) SM_MUST;

/* Both at once, without the copy between: sm_tframe_bytes(a.n + b.n) bytes at p, which is not
 * where a and b lie. */
enum sm_err sm_channel_seal_from(struct sm_channel *c, uint8_t type, struct sm_view a,
                                 struct sm_view b, uint8_t *p) SM_MUST;

/* Open the whole frame at p, whose head was read into f; out points into it. */
enum sm_err sm_channel_open(struct sm_channel *c, const struct sm_tframe *f, uint8_t *p,
                            struct sm_view *out) SM_MUST;

/* The key that follows a's, by Noise's REKEY. */
enum sm_err sm_channel_next_key(struct sm_aead *a, struct sm_secret32 *out) SM_MUST;

/* The next key, made from this one; this one is forgotten. */
enum sm_err sm_channel_rekey(struct sm_channel *c) SM_MUST;
