// SPDX-License-Identifier: Apache-2.0
#pragma once
/* dev: the development attestation root.  IT PROVES NOTHING ABOUT THE MACHINE.
 *
 * A root key that a developer made endorses nodes' signing keys; a node's signing key stands
 * in for the hardware and signs the evidence.  Five independent locks keep it out of
 * production: (1) this file is only built with -Ddev_root=true, otherwise there is no symbol
 * of it; (2) the root's public key must be pinned in the configuration; (3) the environment is
 * part of the Noise prologue; (4) the claims say software, debug and not hardware, and an
 * anchor for production refuses each; (5) nothing ever falls back to it.
 *
 * Both statements are COSE_Sign1 (EdDSA, RFC 9052) over deterministic CBOR:
 *     endorsement  {1: platform_id, 2: sign_key, 3: not_before, 4: expires},
 *                  external aad "seemesh/dev-endorsement/1" || mesh id
 *     evidence     {1: "software", 2: measurement, 3: report_data, 4: boot_id, 5: true, 6:
 * iat}, external aad "seemesh/dev-evidence/1"
 *
 * Memory:  never allocates.
 * Source:  doc/attestation.md.
 */
#ifdef SM_DEV_ROOT
#include "attest/evidence.h"
#include "crypto/suite.h"

struct sm_dev_endorsement {
    uint8_t platform_id[32];
    uint8_t sign_key[32];
    struct sm_wall not_before, expires;
};

/* Endorse a node.  The root is any key made with sm_sign_pair_make; anchors pin root->pub. */
enum sm_err sm_dev_endorse(const struct sm_suite *suite, const struct sm_sign_pair *root,
                           const struct sm_anchor *a, const struct sm_dev_endorsement *e,
                           struct sm_wr *w) SM_MUST;

/* Check against every pinned root.  CRYPTO when none made it, EXPIRED, MALFORMED. */
enum sm_err sm_dev_endorsement_verify(const struct sm_suite *suite, const struct sm_anchor *a,
                                      struct sm_wall now, struct sm_view endorsement,
                                      struct sm_dev_endorsement *out) SM_MUST;

/* What the keys process knows about its own machine. */
struct sm_dev_platform {
    uint8_t measurement[48]; /* SHA-384 of the executable */
    uint8_t boot_id[SM_BOOT_ID];
};

/* An envelope with evidence over report_data, signed with the node's key.  Who has the key
 * decides what is signed: nobody may be able to choose report_data. */
enum sm_err sm_dev_collect(const struct sm_suite *suite, const struct sm_sign_pair *node,
                           const struct sm_dev_platform *platform, struct sm_wall now,
                           const uint8_t report_data[static SM_REPORT_DATA],
                           struct sm_wr *w) SM_MUST;
/* The same for one binding: report_data is computed here. */
enum sm_err sm_attest_collect_dev(const struct sm_suite *suite, const struct sm_sign_pair *node,
                                  const struct sm_dev_platform *platform, struct sm_wall now,
                                  const struct sm_binding *binding, struct sm_wr *w) SM_MUST;

/* The part of the envelope.  Pure: MALFORMED or CRYPTO, with the reason. */
enum sm_err sm_dev_evidence_verify(const struct sm_suite *suite,
                                   const uint8_t sign_key[static 32], struct sm_view evidence,
                                   struct sm_claims *out, struct sm_reasons *why) SM_MUST;
#endif
