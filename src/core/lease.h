// SPDX-License-Identifier: Apache-2.0
#pragma once
/* lease: for how long the two ends of a tunnel believe each other, and how they renew it.
 *
 * The proof of the handshake is lease 1 of each direction; it holds until the earliest of
 * `max`, the end of the peer's NODE record, and the end of what the evidence was checked
 * against.  At two thirds of it, less a little by chance, this end sends CHALLENGE with the
 * next number and 32 fresh bytes; the peer answers with EVIDENCE over the same handshake, its
 * role, both static keys, that number and those bytes, beside its current NODE record.  Nothing
 * answers a challenge but evidence made for it, and it answers no other.  Each end asks for
 * itself; neither waits for the other.
 *
 * The peer is asked once a lease: the stream loses nothing, so an answer comes or the lease
 * ends.  A peer that asks before it was answered breaks the protocol, and answers are at least
 * SM_LEASE_GAP apart, so a neighbour makes our keys sign once a second at most.
 *
 * The NODE record may also be renewed by itself, as it reaches us by flooding: that moves only
 * its own part of the end.  A record of the peer with another key ends the tunnel, for this
 * tunnel's key is then nobody's.
 *
 * What was verified is kept, so that a change of the rules (attest/rules.h) judges it again at
 * once and asks no hardware: sm_lease_judge().  So does the time a verdict was given for.  The
 * rules give the grace, if any; without rules a lease simply ends with what it was checked
 * against.
 *
 * Memory:  all in the struct; nothing in it is secret.
 * Errors:  all of them end the tunnel; `why` has a sentence.
 * Source:  doc/wire.md, section 4; doc/attestation.md.
 */
#include "attest/anchor.h"
#include "attest/epoch.h"
#include "attest/rules.h"
#include "base/time.h"
#include "crypto/rng.h"
#include "crypto/suite.h"
#include "wire/frame.h"

#define SM_LEASE_FIRST 1u
#define SM_LEASE_WHY   256u
#define SM_LEASE_GAP   SM_S(1)  /* between two answers */
#define SM_LEASE_RETRY SM_S(10) /* for keys to sign; then they are asked again */

struct sm_lease {
    const struct sm_suite *suite;
    const struct sm_anchor *anchor;
    struct sm_dur max;
    bool is_dialer;
    uint8_t h[32]; /* handshake hash */
    struct sm_dh_pub pk_self, pk_peer;
    struct sm_node_id self, want;
    bool has_want;

    /* What we owe the peer. */
    uint8_t record[SM_NODE_RECORD_MAX]; /* our own */
    size_t record_n;
    uint64_t own_seq; /* of the last challenge; 1 is the handshake's */
    uint8_t own_challenge[SM_CHALLENGE_BYTES];
    struct sm_mono sign_at; /* when to ask keys (again); NEVER: nothing is owed */
    struct sm_mono next_at; /* not before */

    /* What the peer owes us. */
    struct sm_node_record peer; /* the newest we believe */
    uint64_t seq;               /* of the proof that holds; 0: none yet */
    bool is_asked;
    uint8_t challenge[SM_CHALLENGE_BYTES];
    uint8_t beacon[SM_BEACON]; /* of the binding of seq */
    uint64_t floor;            /* the peer's record was this new when we asked */
    struct sm_mono proven_at, proof_end, record_end, ask_at;
    uint32_t jitter;         /* in thousandths of a lease */
    struct sm_claims claims; /* of the proof that holds */
    struct sm_standing standing;
    enum sm_verdict_kind verdict; /* on them */
    struct sm_mono judge_at;      /* again */
    bool has_news;                /* the verdict is another than before */
    char said[SM_LEASE_WHY];      /* what is wrong, in grace or only watched; or that it is
                                     deprecated */
    struct sm_reasons
        *refused;             /* why the peer was, once it was; NULL also when out of memory */
    uint8_t refused_platform; /* enum sm_platform, as its record says */
};

/* own_record must be readable: it is our own. */
void sm_lease_init(struct sm_lease *l, const struct sm_suite *suite,
                   const struct sm_anchor *anchor, bool is_dialer, struct sm_dur max,
                   const struct sm_dh_pub *pk_self, struct sm_view own_record,
                   const struct sm_node_id *want);

void sm_lease_done(struct sm_lease *l);

/* The handshake's result.  Before it nothing below makes sense. */
void sm_lease_bind(struct sm_lease *l, const uint8_t h[static 32],
                   const struct sm_dh_pub *pk_peer);

/* A newer one of ours, for later answers. */
void sm_lease_own_record(struct sm_lease *l, struct sm_view record);

/* The parts of what our own evidence commits to: of the handshake, or of the last challenge. */
struct sm_binding sm_lease_own_binding(const struct sm_lease *l);

/* An EVIDENCE payload around what the keys made for that binding. */
enum sm_err sm_lease_answer(struct sm_lease *l, struct sm_mono now, struct sm_view evidence,
                            struct sm_wr *w) SM_MUST;

/* Check the peer's EVIDENCE payload: of the handshake when none was believed yet, else the
 * answer to our challenge.  The lease then starts anew.  out_record, if not NULL, is its NODE
 * record as it came. */
enum sm_err sm_lease_prove(struct sm_lease *l, struct sm_mono now, struct sm_wall wall,
                           struct sm_rng *rng, struct sm_view payload,
                           struct sm_view *out_record, char why[static SM_LEASE_WHY]) SM_MUST;

/* A record of the peer that somebody else has verified.  Older ones change nothing. */
enum sm_err sm_lease_peer_record(struct sm_lease *l, struct sm_mono now, struct sm_wall wall,
                                 const struct sm_node_record *rec,
                                 char why[static SM_LEASE_WHY]) SM_MUST;

/* Judge what the peer has proven by the rules as they are now.  An error ends the tunnel. */
enum sm_err sm_lease_judge(struct sm_lease *l, struct sm_mono now, struct sm_wall wall,
                           char why[static SM_LEASE_WHY]) SM_MUST;

/* The peer's CHALLENGE payload. */
enum sm_err sm_lease_challenged(struct sm_lease *l, struct sm_mono now, struct sm_view payload,
                                char why[static SM_LEASE_WHY]) SM_MUST;

/* Write a CHALLENGE payload; the peer is then asked. */
void sm_lease_ask(struct sm_lease *l, struct sm_rng *rng, struct sm_wr *w);

bool sm_lease_wants_ask(const struct sm_lease *l, struct sm_mono now);
bool sm_lease_wants_sign(const struct sm_lease *l, struct sm_mono now);
void sm_lease_signing(struct sm_lease *l, struct sm_mono now); /* keys were asked */
void sm_lease_not_signed(struct sm_lease *l, struct sm_mono now);

struct sm_mono sm_lease_end(const struct sm_lease *l);
/* Writes why it ended. */
enum sm_err sm_lease_ended(const struct sm_lease *l, char why[static SM_LEASE_WHY]);
/* The end, or what is to be done before it. */
struct sm_mono sm_lease_deadline(const struct sm_lease *l);
