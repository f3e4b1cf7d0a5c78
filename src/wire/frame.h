// SPDX-License-Identifier: Apache-2.0
#pragma once
/* frame: what travels on a tunnel's byte stream.
 *
 * First handshake messages in clear, each a head of 12 bytes and at most SM_HAND_MAX more:
 *
 *     "SM", version u8 = 1, kind u8, pattern u8, cipher u8, faster u8, reason u8, n u16,
 *     pq u8, 0 u8
 *
 *     HELLO   dialer: pattern and cipher of this attempt, the cipher that is faster for it,
 *             pq (0, or 1: ML-KEM-768 is mixed in), then the first Noise message
 *     NOISE   a further Noise message; the other fields are zero.  The answer to a HELLO with
 *             pq has the KEM's ciphertext before it
 *     RETRY   answerer: start again with this pattern and cipher; n = 0
 *     REFUSE  answerer: no, and why (a negated enum sm_err); n = 0
 *     COOKIE  answerer under load, to the first HELLO: show this and do some work
 *     ADMIT   dialer: the cookie and a solution; the same HELLO follows
 *
 * then sealed frames, each a head of 16 bytes, which is the associated data, and a payload
 * that is padded with zeros to a multiple of 16, so that every frame of a run is aligned:
 *
 *     n u32 (padded payload and tag), type u8, padding u8 < 16, 0 u16, counter u64
 *
 * Memory:  never allocates.
 * Names:   tframe, as fragments have frames of their own (wire/fragment.h).
 * Errors:  readers: TRUNCATED, MALFORMED, VERSION, LIMIT.
 * Source:  doc/wire.md, section 4.
 */
#include "base/bytes.h"

/* -- in clear ---------------------------------------------------------------------------- */

#define SM_HAND_HEAD      12u
#define SM_HAND_MAX       2048u
#define SM_HAND_VERSION   1u
#define SM_HAND_PLAIN_MAX 96u                         /* the first message of IK */
#define SM_HAND_HELLO_MAX (SM_HAND_PLAIN_MAX + 1184u) /* with a key of ML-KEM-768 */
#define SM_HAND_PQ        1u                          /* the one value of pq but 0 */

enum sm_hand_kind {
    SM_HAND_HELLO = 1,
    SM_HAND_NOISE = 2,
    SM_HAND_RETRY = 3,
    SM_HAND_REFUSE = 4,
    SM_HAND_COOKIE = 5,
    SM_HAND_ADMIT = 6,
};

enum sm_hand_pattern {
    SM_HAND_XX = 1,
    SM_HAND_IK = 2,
};

struct sm_hand {
    uint8_t kind;
    uint8_t pattern;
    uint8_t cipher; /* enum sm_aead_kind */
    uint8_t faster;
    uint8_t reason;
    uint8_t pq;
    uint16_t n; /* bytes that follow */
};

/* VERSION when the peer speaks another one; out is then filled as far as that is known. */
enum sm_err sm_hand_read(const uint8_t head[static SM_HAND_HEAD], struct sm_hand *out) SM_MUST;
void sm_hand_write(const struct sm_hand *h, uint8_t out[static SM_HAND_HEAD]);

/* A COOKIE's body: stamp u32, bits u8 (1 to SM_PUZZLE_BITS_MAX), mac 16.  An ADMIT's: the same,
 * and the nonce u64 for which SHA-256("seemesh/puzzle/1" || mac || nonce) begins with that many
 * zero bits. */
#define SM_COOKIE_MAC   16u
#define SM_COOKIE_BYTES (5u + SM_COOKIE_MAC)
#define SM_ADMIT_BYTES  (SM_COOKIE_BYTES + 8u)
#define SM_PUZZLE_BITS_MAX                                                                     \
    18u /* some 30 ms of a dialer's time; it solves none that is harder */
struct sm_cookie {
    uint32_t stamp;
    uint8_t bits;
    uint8_t mac[SM_COOKIE_MAC];
};
enum sm_err sm_cookie_read(struct sm_view body, struct sm_cookie *out) SM_MUST;
void sm_cookie_write(const struct sm_cookie *c, struct sm_wr *w);
enum sm_err sm_admit_read(struct sm_view body, struct sm_cookie *out,
                          uint64_t *out_nonce) SM_MUST;
void sm_admit_write(const struct sm_cookie *c, uint64_t nonce, struct sm_wr *w);

/* -- sealed ------------------------------------------------------------------------------ */

#define SM_TFRAME_HEAD        16u
#define SM_TFRAME_TYPE_AT     4u /* in the head */
#define SM_TFRAME_TAG         16u
#define SM_TFRAME_ALIGN       16u
#define SM_TFRAME_PAYLOAD_MAX 65792u /* the longest packet with its longest header */
#define SM_TFRAME_MAX         (SM_TFRAME_HEAD + SM_TFRAME_PAYLOAD_MAX + SM_TFRAME_TAG)

enum sm_tframe_type {
    SM_TFRAME_EVIDENCE = 1,
    SM_TFRAME_ACCEPT = 2,
    SM_TFRAME_PING = 3,
    SM_TFRAME_PONG = 4,
    SM_TFRAME_CONTROL = 5,
    SM_TFRAME_PACKET = 6,
    SM_TFRAME_REKEY = 7,
    SM_TFRAME_CLOSE = 8,
    SM_TFRAME_CHALLENGE = 9,
};

struct sm_tframe {
    uint32_t n;
    uint8_t type;
    uint8_t padding;
    uint64_t counter;
};

/* Bytes a payload of n takes on the stream. */
static inline size_t sm_tframe_bytes(size_t n)
{
    return SM_TFRAME_HEAD + (n + SM_TFRAME_ALIGN - 1) / SM_TFRAME_ALIGN * SM_TFRAME_ALIGN +
           SM_TFRAME_TAG;
}

/* LIMIT when the payload would exceed payload_max. */
enum sm_err sm_tframe_read(const uint8_t head[static SM_TFRAME_HEAD], size_t payload_max,
                           struct sm_tframe *out) SM_MUST;
void sm_tframe_write(const struct sm_tframe *f, uint8_t out[static SM_TFRAME_HEAD]);

/* -- what frames carry -------------------------------------------------- */

/* One envelope (attest/envelope.h): a TDX quote with all that Intel says of it has 30 KiB, and
 * lists of revoked certificates grow. */
#define SM_EVIDENCE_MAX 61440u
/* Longest payloads before the peer is proven: of EVIDENCE, and of any other frame.  64
 * strangers, 24 of one address, may fill one EVIDENCE each (proc/net_int.h): 4 MiB. */
#define SM_TFRAME_EVIDENCE_MAX 63488u
#define SM_TFRAME_PROVING_MAX  2048u

/* lease_seq u64, record (u16 n), evidence (u16 n <= SM_EVIDENCE_MAX) */
struct sm_evidence_frame {
    uint64_t lease_seq;
    struct sm_view record;
    struct sm_view evidence;
};
enum sm_err sm_evidence_frame_read(struct sm_view payload,
                                   struct sm_evidence_frame *out) SM_MUST;
void sm_evidence_frame_write(const struct sm_evidence_frame *f, struct sm_wr *w);

/* lease_seq u64, challenge 32: asks for EVIDENCE with both in it. */
#define SM_CHALLENGE_BYTES 32u
struct sm_challenge_frame {
    uint64_t lease_seq;
    uint8_t challenge[SM_CHALLENGE_BYTES];
};
enum sm_err sm_challenge_frame_read(struct sm_view payload,
                                    struct sm_challenge_frame *out) SM_MUST;
void sm_challenge_frame_write(const struct sm_challenge_frame *f, struct sm_wr *w);

/* err u8 (negated enum sm_err), text (u8 n, printable ASCII), then the reasons of a refusal as
 * attest/reason.h writes them, or nothing. */
#define SM_CLOSE_TEXT_MAX    120u
#define SM_CLOSE_REASONS_MAX 1900u
#define SM_CLOSE_FRAME_MAX   (2u + SM_CLOSE_TEXT_MAX + SM_CLOSE_REASONS_MAX)
struct sm_close_frame {
    enum sm_err err;
    struct sm_view text;
    struct sm_view reasons;
};
enum sm_err sm_close_frame_read(struct sm_view payload, struct sm_close_frame *out) SM_MUST;
void sm_close_frame_write(const struct sm_close_frame *f, struct sm_wr *w);
