// SPDX-License-Identifier: Apache-2.0
#pragma once
/* noise: handshakes of the Noise Protocol Framework, revision 34.
 *
 * A protocol is named as in the paper, "Noise_XX_25519_AESGCM_SHA256": every interactive and
 * one-way pattern of sections 7 and 18, psk modifiers, 25519, AESGCM or ChaChaPoly and the
 * four hashes.  The messages are written and read in turn:
 *
 *     struct sm_noise n;
 *     SM_TRY(sm_noise_init(&n, suite, "Noise_IK_25519_AESGCM_SHA256", true, prologue,
 *                          &(struct sm_noise_keys){.s = &own, .rs = &peer}));
 *     SM_TRY(sm_noise_write(&n, rng, sm_view_str("hello"), out, sizeof out, &out_n));
 *     ... the answer arrives ...
 *     SM_TRY(sm_noise_read(&n, msg, payload, sizeof payload, &payload_n));
 *     SM_TRY(sm_noise_split(&n, &k_send, &k_recv));
 *
 * A payload is as well protected as the paper's table in section 7.7 says for its place: the
 * first of XX is in clear.
 *
 * Memory:  all in the struct, which may be copied; sm_noise_wipe() forgets the secrets.
 * Errors:  a failed read or write kills the handshake: it is wiped, and every later call is
 *          STATE.  Nothing of a failed message has any effect.
 */
#include "crypto/hash.h"
#include "crypto/known.h"
#include "crypto/suite.h"

#define SM_NOISE_MSG_MAX  65535 /* section 3 */
#define SM_NOISE_MSGS_MAX 4     /* X1X and its like have the most */
#define SM_NOISE_TOKENS   10    /* in one message: six, psk modifiers and the end */
#define SM_NOISE_PSKS_MAX 5     /* psk0 to psk4 */

/* What a side brings; what the pattern does not use may be NULL and is ignored. */
struct sm_noise_keys {
    const struct sm_dh_pair *s; /* own static key */
    const struct sm_dh_pub *rs; /* the peer's, where the pattern knows it beforehand */
    const struct sm_secret32 *psks;
    size_t psk_count;          /* as many as the name has psk modifiers */
    struct sm_known_dh *known; /* asked for the secret of both static keys; outlives the
                                  handshake; NULL: it is computed */
    bool is_psk_late; /* they come by sm_noise_psk(), each before its token is reached */
};

/* Private, but for its size. */
struct sm_noise {
    const struct sm_suite *suite;
    enum sm_aead_kind cipher;
    enum sm_hash_kind hash;
    enum { SM_NOISE_DEAD, SM_NOISE_RUNS, SM_NOISE_DONE } state;
    bool is_initiator;
    uint8_t script[SM_NOISE_MSGS_MAX][SM_NOISE_TOKENS]; /* the pattern's tokens */
    uint8_t msg_count, msg_at;

    uint64_t nonce; /* CipherState */
    struct sm_secret32 k;
    bool has_key;
    uint8_t ck[SM_HASH_MAX], h[SM_HASH_MAX]; /* SymmetricState */

    struct sm_dh_pair s, e; /* HandshakeState */
    struct sm_dh_pub rs, re;
    bool has_e, has_rs;
    struct sm_known_dh *known;
    struct sm_secret32 ss; /* kept for sm_noise_remember */
    bool has_ss;
    struct sm_secret32 psk[SM_NOISE_PSKS_MAX];
    uint8_t psk_count, psk_given, psk_at;
};

/* UNSUPPORTED: no such protocol.  INVALID: a key the pattern needs is missing. */
enum sm_err sm_noise_init(struct sm_noise *n, const struct sm_suite *suite,
                          const char *protocol, bool is_initiator, struct sm_view prologue,
                          const struct sm_noise_keys *keys) SM_MUST;

/* The next of the late ones, in the order of the pattern.  A message that reaches the token of
 * one that is not there fails with STATE.  LIMIT: the name has no more; STATE: over. */
enum sm_err sm_noise_psk(struct sm_noise *n, const struct sm_secret32 *psk) SM_MUST;

/* Write the next message with payload into out.  STATE: not our turn.  LIMIT: longer than cap
 * or than Noise allows. */
enum sm_err sm_noise_write(struct sm_noise *n, struct sm_rng *rng, struct sm_view payload,
                           uint8_t *out, size_t cap, size_t *out_n) SM_MUST;

/* Read the peer's next message; payload gets what it carried and may not overlap msg.  STATE:
 * not the peer's turn.  TRUNCATED: shorter than its pattern.  CRYPTO: not from a peer who has
 * the keys.  LIMIT: the payload is longer than cap. */
enum sm_err sm_noise_read(struct sm_noise *n, struct sm_view msg, uint8_t *payload, size_t cap,
                          size_t *payload_n) SM_MUST;

bool sm_noise_is_done(const struct sm_noise *n);   /* all messages have passed */
bool sm_noise_may_write(const struct sm_noise *n); /* it is our turn */

/* The peer's static key, once it is known.  NOTFOUND before. */
enum sm_err sm_noise_remote(const struct sm_noise *n, struct sm_dh_pub *out) SM_MUST;

/* The peer is who it should be: put the secret of both static keys, if the pattern has it,
 * where the next handshake with it is told to look.  Also after the split. */
void sm_noise_remember(const struct sm_noise *n, const struct sm_dh_pub *own);

/* The handshake hash, 32 or 64 bytes that bind to this channel (section 11.2); lives as long
 * as n.  Final when done. */
struct sm_view sm_noise_hash(const struct sm_noise *n);

/* Two more keys of the same handshake, one a direction, for what travels beside the transport
 * messages; each label gives its own.  Only between the last message and the split.  STATE: not
 * done, or split before. */
enum sm_err sm_noise_export(const struct sm_noise *n, const char *label,
                            struct sm_secret32 *out_send, struct sm_secret32 *out_recv) SM_MUST;

/* The two transport keys; once.  The secrets of the handshake are wiped; the handshake hash,
 * the peer's key and what sm_noise_remember needs stay until the wipe.  STATE: not done, or
 * split before. */
enum sm_err sm_noise_split(struct sm_noise *n, struct sm_secret32 *out_send,
                           struct sm_secret32 *out_recv) SM_MUST;

void sm_noise_wipe(struct sm_noise *n);

/* For test vectors only: use e instead of a fresh key. */
void sm_noise_set_ephemeral(struct sm_noise *n, const struct sm_dh_pair *e);
