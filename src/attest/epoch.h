// SPDX-License-Identifier: Apache-2.0
#pragma once
/* epoch: hardware that signs a key every few minutes, and that key each session.
 *
 * Some platforms are slow, or their host allows a report every few seconds only.  Where the
 * manifest allows it, a node makes an epoch key in memory, has its platform sign that, and the
 * key signs each session's report data:
 *
 *     statement  {1: key 32, 2: boot id 16, 3: not_before, 4: expires, 5: beacons}
 *     platform   report data = SHA-512("seemesh/att-epoch/v1" 0 || sign_key || statement)
 *     session    signature of the key over
 *                "seemesh/att-session/v1" 0 || SHA-256(statement) || report data of the session
 *     the part EPOCH of an envelope
 *                [statement, report data of the session, signature]
 *
 * A clock alone would let who controls a machine for a moment have statements of the future
 * signed.  So a statement also names beacons: what peers made fresh, and the platform's
 * signature is younger than each of them.  A beacon costs nothing on the wire, for it is made
 * of what a peer's session binding has anyway:
 *
 *     beacon = first 16 of SHA-256("seemesh/beacon/1" 0 || role || h || le64(lease_seq)
 *                                  || SHA-256(challenge))
 *
 * h has fresh keys of the verifier, a challenge is fresh from it.  The first proof of a tunnel
 * is judged by the clock, and so are the first ten minutes at most; each later one must name
 * the beacon of the lease before it, or its own (core/lease.c).
 *
 * Memory:  never allocates; views borrow.
 * Errors:  TRUNCATED, MALFORMED; EXPIRED; CRYPTO; REFUSED; with the reason.
 * Source:  doc/attestation.md.
 */
#include "attest/evidence.h"
#include "crypto/suite.h"

#define SM_EPOCH_S_MAX   600u /* a stolen epoch key is good for no longer */
#define SM_BEACON        16u
#define SM_BEACONS_MAX   128u /* two of each tunnel that a node may have */
#define SM_EPOCH_MAX     2560u
#define SM_STATEMENT_MAX 2304u

struct sm_epoch {
    uint8_t key[32];
    uint8_t boot_id[SM_BOOT_ID];
    struct sm_wall not_before, expires;
    struct sm_view beacons; /* a multiple of SM_BEACON */
};

void sm_beacon_make(const struct sm_binding *b, uint8_t out[static SM_BEACON]);

/* -- the node ---------------------------------------------------------------------------- */

void sm_epoch_statement_write(const struct sm_epoch *e, struct sm_wr *w);
/* What the platform is to sign. */
void sm_epoch_report_data(struct sm_view statement, const uint8_t sign_key[static 32],
                          uint8_t out[static SM_REPORT_DATA]);
/* The part for one session. */
enum sm_err sm_epoch_part_write(const struct sm_suite *suite, const struct sm_sign_pair *epoch,
                                struct sm_view statement,
                                const uint8_t report_data[static SM_REPORT_DATA],
                                struct sm_wr *w) SM_MUST;

/* -- the peer ---------------------------------------------------------------------------- */

/* Claims of the platform in, which must be over the part's statement; claims of the session
 * out: report_data is the session's, is_epoch_bound is set.  For sm_evidence_verify. */
enum sm_err sm_epoch_verify(const struct sm_suite *suite, struct sm_wall now,
                            const uint8_t sign_key[static 32], struct sm_view part,
                            struct sm_claims *claims, struct sm_reasons *why) SM_MUST;

/* Whether evidence that was verified names this beacon. */
bool sm_epoch_has_beacon(struct sm_view evidence, const uint8_t beacon[static SM_BEACON]);
