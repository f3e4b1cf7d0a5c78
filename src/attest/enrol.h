// SPDX-License-Identifier: Apache-2.0
#pragma once
/* enrol: how a confidential machine gets its endorsement, in two files.
 *
 *     root   may choose a nonce, so that it knows the evidence to be younger than that
 *     node   has its platform sign a request: this key is mine, in this mesh
 *     root   verifies it as a peer would, looks at the measurement, and signs an endorsement
 *
 * Neither needs the other to be online, and the root keeps nothing.  A TPM takes another way
 * (proc/tpm_enrol.h), because what it shows is not what it is known by.
 *
 *     request  {1: mesh id, 2: sign_key, 3: platform, 4: nonce, 5: envelope}
 *              deterministic CBOR
 *     report data of the envelope
 *              SHA-512("seemesh/enrol/v1" 0 || mesh id || sign_key || platform u8
 *                      || SHA-256(nonce))
 *
 * The label keeps such evidence apart from that of tunnels ("seemesh/att/v1"): neither can
 * ever be shown for the other.
 *
 * Memory:  never allocates; a request borrows its bytes.
 * Errors:  TRUNCATED, MALFORMED, LIMIT; AUTH (another mesh); those of sm_evidence_verify and
 *          REFUSED, with all reasons in why.
 * Source:  doc/attestation.md.
 */
#include "attest/endorse.h"
#include "attest/evidence.h"

#define SM_ENROL_NONCE_MAX 64u

struct sm_enrol_request {
    struct sm_view mesh_id, sign_key; /* 32 each */
    uint8_t platform;
    struct sm_view nonce; /* may be empty */
    struct sm_view envelope;
};
enum sm_err sm_enrol_request_read(struct sm_view bytes, struct sm_enrol_request *out) SM_MUST;
void sm_enrol_request_write(const struct sm_enrol_request *r, struct sm_wr *w);
void sm_enrol_report_data(const struct sm_enrol_request *r, uint8_t out[static SM_REPORT_DATA]);

struct sm_enrol_by {
    const struct sm_suite *suite;
    const struct sm_sign_pair *root;
    const struct sm_anchor *anchor; /* the root's public key is in it */
    struct sm_wall now, expires;
    uint8_t indexes;
    struct sm_view nonce;       /* what the request must have; empty: none was asked for */
    struct sm_view measurement; /* what must run there; empty: who endorses looks at it */
};
/* Verify a request and append its endorsement to w.  out and claims tell what was endorsed. */
enum sm_err sm_enrol_endorse(const struct sm_enrol_by *by, struct sm_view request,
                             struct sm_wr *w, struct sm_endorsement *out,
                             struct sm_claims *claims, struct sm_reasons *why) SM_MUST;
