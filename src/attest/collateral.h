// SPDX-License-Identifier: Apache-2.0
#pragma once
/* collateral: what the makers of hardware sign about it from time to time: Intel's TCB info and
 * QE identities, Intel's and AMD's revocation lists.
 *
 * A document is one CBOR array [the maker's bytes, certificates of who signed them], so that it
 * can be checked by itself, by whoever gets it, against the pinned roots and nothing else:
 *
 *     TCB info, QE identity   [JSON as Intel's service answers, PEM: TCB signing, root]
 *     CRL                     [DER or PEM, DER or PEM: issuer and up; empty: the root itself]
 *
 * Newer is: for Intel's documents a higher tcbEvaluationDataNumber, then a later issueDate; for
 * lists a later thisUpdate.  Which documents are about the same thing follows from what is
 * signed: TEE, FMSPC and PCE-ID; TEE; the issuer's key.
 *
 * Memory:  OpenSSL allocates; results hold no pointers but views into the document.
 * Errors:  TRUNCATED, MALFORMED, LIMIT, UNSUPPORTED (grammar); CRYPTO; EXPIRED (not yet, or no
 *          more).
 * Source:  doc/attestation.md.
 */
#include "attest/envelope.h"
#include "attest/roots.h"
#include "attest/rules.h"

struct sm_collateral {
    uint8_t name[SM_DOC_NAME];
    uint64_t version, number; /* number: of a CRL; never falls, where there is one */
    struct sm_wall ends;      /* of the document, and of the certificates under it */
    struct sm_view bytes;     /* the maker's; points into the document */
    struct sm_view chain;     /* PEM or DER */
};

enum sm_err sm_collateral_verify(const struct sm_makers *trust, struct sm_wall now,
                                 uint8_t kind, struct sm_view doc, struct sm_collateral *out,
                                 struct sm_reasons *why) SM_MUST;

/* Make a document of its two parts. */
enum sm_err sm_collateral_write(struct sm_view bytes, struct sm_view chain,
                                struct sm_buf *out) SM_MUST;
/* And take it apart, believing nothing. */
enum sm_err sm_collateral_read(struct sm_view doc, struct sm_view *bytes,
                               struct sm_view *chain) SM_MUST;

/* Before evidence is verified: put the documents of `rules` that are about its
 * platform where the envelope has none, or an older one.  So a node needs to staple nothing
 * that its verifiers have, and gains nothing by stapling what is out of date.  The views that
 * come from rules live until its next offer.  Believes nothing: the verifier checks all. */
void sm_collateral_fill(const struct sm_rules *rules, const struct sm_makers *trust,
                        struct sm_wall now, struct sm_envelope *e);
