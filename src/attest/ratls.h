// SPDX-License-Identifier: Apache-2.0
#pragma once
/* ratls: the certificate of interoperable RA-TLS, as others use it.
 *
 * Extension 2.23.133.5.4.9 holds CBOR tag 60000 [quote, claims buffer]; the quote's report data
 * is SHA-256 of the claims buffer, whose "pubkey-hash" is the hash of the certificate's key.
 * So the quote commits to the key.  It does not commit to a session: seemesh itself never
 * takes such a certificate for a peer, this is for looking at what others made.
 *
 * Memory:  never allocates; views into the certificate.
 * Errors:  NOTFOUND (no such extension); TRUNCATED, MALFORMED, UNSUPPORTED (grammar); CRYPTO
 *          (a link does not hold).
 * Source:  CCC-Attestation, interoperable RA-TLS.
 */
#include "attest/x509.h"

struct sm_ratls {
    struct sm_view quote; /* of SGX or TDX, not verified */
    bool has_nonce;
    struct sm_view nonce;
};

/* Both links: report data to claims, claims to key.  Says nothing about the quote itself
 * (sm_dcap_verify does) nor about who holds the key (the TLS handshake does). */
enum sm_err sm_ratls_check(const struct sm_cert *cert, struct sm_ratls *out,
                           struct sm_reasons *why) SM_MUST;
