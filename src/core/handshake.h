// SPDX-License-Identifier: Apache-2.0
#pragma once
/* handshake: from the first byte of a stream to two keys and a handshake hash.
 *
 * The dialer sends HELLO with Noise XX, or IK when it knows the peer's key, under the cipher
 * that is faster for it.  The rule for the pair is fixed: AES-256-GCM when it is faster for
 * both, else ChaCha20-Poly1305.  A responder that finds the rule unmet, or cannot read an IK
 * message because it has a new key since, answers RETRY with what it would take; the dialer
 * starts again, at most SM_HANDSHAKE_TRIES times.  The heads of every HELLO and RETRY are part
 * of the Noise prologue of both sides: who changes one breaks the handshake, not its strength.
 *
 * Where both ends can, ML-KEM-768 is mixed in beside X25519: the pattern is then XXpsk2 or
 * IKpsk2, the first message carries a fresh key of the dialer, and the answer, before its Noise
 * message, the ciphertext for it.  The psk is HKDF of the KEM's secret over the hashes of both,
 * so it stands for this key and this ciphertext, and who changes either ends the handshake.
 * Whoever records the tunnel and breaks X25519 later still lacks the KEM's secret.  A dialer
 * offers it in the head of HELLO unless told not to; a responder that has none answers RETRY
 * without; both heads are in the prologue, so nobody in between can talk the two out of it.
 *
 * The responder here sees no COOKIE and no ADMIT: core/door.h stands before it.  A dialer that
 * is given a COOKIE works on it in steps, sm_handshake_work(), and sends its HELLO again; both
 * stay out of the prologue.
 *
 * Memory:  all in the struct; sm_handshake_wipe() forgets the secrets.
 * Errors:  start, read: UNSUPPORTED when pq is required and not to be had, here or there;
 *          read: what the peer did wrong.  The handshake is then over.  out may hold a REFUSE
 *          to send even so.
 */
#include "attest/anchor.h"
#include "crypto/noise.h"
#include "wire/frame.h"

#define SM_HANDSHAKE_TRIES 3 /* one for cipher and pq, one for the pattern, one that works */
/* ADMIT and HELLO; other answers are shorter. */
#define SM_HANDSHAKE_OUT (2 * SM_HAND_HEAD + SM_ADMIT_BYTES + SM_HAND_HELLO_MAX)

struct sm_handshake {
    const struct sm_suite *suite;
    bool is_dialer;
    bool is_begun; /* noise runs */
    enum sm_aead_kind faster, cipher;
    enum sm_hand_pattern pattern;
    enum sm_pq pq;
    bool is_pq; /* of this attempt */
    unsigned tries;
    struct sm_dh_pair own;
    struct sm_dh_pub peer; /* dialer, IK */
    struct sm_known_dh *known;
    uint8_t prologue[SM_PROLOGUE_MAX + 2 * SM_HANDSHAKE_TRIES * SM_HAND_HEAD];
    size_t prologue_n;
    struct sm_noise noise;
    struct sm_kem_seed kem; /* dialer: of the key in the last HELLO, until it is used */
    uint8_t kem_hash[32];   /* of that key */
    uint8_t hello[SM_HAND_HEAD + SM_HAND_HELLO_MAX]; /* dialer: the last one, as it went */
    size_t hello_n;
    bool has_cookie, is_working; /* one was given; its puzzle is not solved yet */
    struct sm_cookie cookie;
    uint64_t nonce;
};

/* peer: what a dialer knows of it, or NULL.  known: may be NULL; outlives the handshake. */
void sm_handshake_init(struct sm_handshake *h, const struct sm_suite *suite,
                       const struct sm_anchor *anchor, bool is_dialer, enum sm_aead_kind faster,
                       const struct sm_dh_pair *own, const struct sm_dh_pub *peer,
                       struct sm_known_dh *known);
void sm_handshake_wipe(struct sm_handshake *h);

/* Before the first message; off when never called, and where the suite has no KEM. */
void sm_handshake_pq(struct sm_handshake *h, enum sm_pq pq);

/* Dialer: write the first HELLO. */
enum sm_err sm_handshake_start(struct sm_handshake *h, struct sm_rng *rng,
                               struct sm_wr *out) SM_MUST;

/* One message of the peer: its head as it came, and what follows it. */
enum sm_err sm_handshake_read(struct sm_handshake *h, struct sm_rng *rng,
                              const uint8_t head[static SM_HAND_HEAD], struct sm_view body,
                              struct sm_wr *out) SM_MUST;

/* Dialer: a step at the puzzle it was given, well under a millisecond.  Writes ADMIT and HELLO
 * when it is solved. */
bool sm_handshake_has_work(const struct sm_handshake *h);
enum sm_err sm_handshake_work(struct sm_handshake *h, struct sm_wr *out) SM_MUST;

/* Tell the peer that we will not go on, and why. */
void sm_handshake_refuse(enum sm_err err, struct sm_wr *out);

/* Both ends have all messages; noise can be split. */
bool sm_handshake_is_done(const struct sm_handshake *h);
