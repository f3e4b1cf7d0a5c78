// SPDX-License-Identifier: Apache-2.0
#pragma once
/* dcap: quotes of Intel SGX and TDX, from the quote up to Intel's root.
 *
 *     root -> PCK CA -> PCK certificate -> QE report -> attestation key -> quote
 *     root -> TCB signing -> TCB info, QE identity: what all of the above is worth today
 *
 * The verifier brings the root; everything else is stapled by the attester and checked.  What
 * is wrong with the platform's firmware is told as a status in the claims, not as an error:
 * only a platform that no level covers is refused here.
 *
 * Memory:  no result holds a pointer.  OpenSSL allocates for certificates and signatures.
 * Errors:  TRUNCATED, MALFORMED, UNSUPPORTED, LIMIT (grammar); CRYPTO (signature, chain);
 *          EXPIRED (certificates, lists, documents); REFUSED (revoked, or of another platform,
 *          module or enclave, or below every level).
 * Source:  Intel SGX TDX DCAP Quote Verification Library; doc/attestation.md.
 */
#include "attest/evidence.h"
#include "attest/roots.h"

#define SM_DCAP_JSON_MAX 65536u /* bytes of one document; TCB info has up to 15,000 */

/* A document as Intel signed it: the exact bytes of the JSON object, and r || s. */
struct sm_dcap_signed {
    struct sm_view json, sig;
};

/* Take the object `member` ("tcbInfo", "enclaveIdentity") and its signature out of an answer
 * of Intel's service, {"tcbInfo":{...},"signature":"hex"}.  sig has 64 bytes that `out->sig`
 * then borrows.  MALFORMED for any other member, or one that comes twice. */
enum sm_err sm_dcap_signed_read(struct sm_view answer, const char *member,
                                uint8_t sig[static 64], struct sm_dcap_signed *out) SM_MUST;

struct sm_dcap_collateral {
    struct sm_dcap_signed tcb_info, qe_identity;
    struct sm_view tcb_info_chain, qe_identity_chain; /* PEM: TCB signing, root */
    struct sm_view root_crl, pck_crl;                 /* DER or PEM */
};

/* Claims are filled only when everything holds; `why` gets every reason that could be found.
 * profile is the quote's version; platform_id is the PPID; tcb_eval is the lower of the two
 * documents' numbers, for a caller who remembers the highest. */
enum sm_err sm_dcap_verify(struct sm_view quote, const struct sm_dcap_collateral *collateral,
                           const struct sm_makers *trust, struct sm_wall now,
                           struct sm_claims *out, struct sm_reasons *why) SM_MUST;
