// SPDX-License-Identifier: Apache-2.0
#pragma once
/* endorse: a pinned root says whose a platform is.
 *
 * Hardware proves what runs and on what; it does not say that the mesh wants it.  So a holder
 * of a root looks at a node's evidence once and signs
 *
 *     {1: platform, 2: platform id, 3: shown id, 4: sign_key, 5: indexes, 6: not_before,
 *      7: expires}       deterministic CBOR in COSE_Sign1 (EdDSA)
 *
 * with "seemesh/endorsement/1" and the mesh id as external data.  The statement travels in the
 * NODE record; node ids follow from the platform id.  In a tunnel, live evidence must show the
 * shown id.  Both are hashes of what the platform itself says (sm_platform_id_hash):
 *
 *     SNP, Azure   CHIP_ID of the report            platform id = shown id
 *     TDX, SGX     PPID of the PCK certificate      platform id = shown id
 *     Nitro        module id                        platform id = shown id
 *     TPM          platform id: of the EK's name; shown id: of the AK's name, because a quote
 *                  shows the AK.  That the two live in one TPM is what the root looked at, by
 *                  activating a credential.
 *
 * `indexes` is a mask of the indexes this key may use.  One chip may hold the machines of four
 * nodes: none of them can take another's id.
 *
 * Software is never endorsed here: the development root has a statement of its own
 * (attest/dev.h), which this reader refuses.
 *
 * Memory:  never allocates.
 * Errors:  TRUNCATED, MALFORMED; UNSUPPORTED; REFUSED (a platform that may not be endorsed so);
 *          CRYPTO (no pinned root made it); EXPIRED.
 * Source:  doc/attestation.md.
 */
#include "attest/anchor.h"
#include "crypto/suite.h"

struct sm_endorsement {
    uint8_t platform; /* enum sm_platform, never software */
    uint8_t platform_id[32], shown_id[32];
    uint8_t sign_key[32];
    uint8_t indexes; /* bit i: index i */
    struct sm_wall not_before, expires;
};

/* SHA-256("seemesh/platform-id/1" 0 || kind u8 || id), where kind says what the id is of and
 * not how it was shown: one chip has one id, whether its report comes by itself or through
 * Azure's, and one Intel package has one for SGX and TDX.  INVALID when id is empty, for what
 * a platform does not say names nobody; or for software. */
enum sm_err sm_platform_id_hash(uint8_t platform, struct sm_view id,
                                uint8_t out[static 32]) SM_MUST;

/* REFUSED for software, and when platform id and shown id differ on any platform but a TPM;
 * INVALID for indexes of none. */
enum sm_err sm_endorse(const struct sm_suite *suite, const struct sm_sign_pair *root,
                       const struct sm_anchor *a, const struct sm_endorsement *e,
                       struct sm_wr *w) SM_MUST;

/* Check against every pinned root. */
enum sm_err sm_endorsement_verify(const struct sm_suite *suite, const struct sm_anchor *a,
                                  struct sm_wall now, struct sm_view endorsement,
                                  struct sm_endorsement *out) SM_MUST;
