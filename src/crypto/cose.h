// SPDX-License-Identifier: Apache-2.0
#pragma once
/* cose: COSE_Sign1 (RFC 9052, section 4.2) with EdDSA, tagged, its payload inside.
 *
 * Reading comes first and proves nothing; who must have signed often stands in the payload.
 * sm_cose_verify() then checks the very bytes that came in:
 *
 *     struct sm_cose m;
 *     SM_TRY(sm_cose_read(bytes, &m));
 *     SM_TRY(signer_of(m.payload, &key));
 *     SM_TRY(sm_cose_verify(suite, &m, &key, aad));     nothing is believed before this line
 *
 * The whole message is deterministic CBOR.  The algorithm stands in the protected header and
 * is EdDSA; a critical header we do not know is refused, other unknown headers are ignored.
 *
 * Memory:  never allocates; views point into the message.  What is signed is assembled on the
 *          stack, hence SM_COSE_MAX.
 */
#include "crypto/known.h"
#include "crypto/suite.h"

#define SM_COSE_MAX                                                                            \
    (65u << 10) /* bytes of payload, headers and external data of one message                  \
                 */

struct sm_cose {
    struct sm_view protected; /* the encoded header, as received */
    struct sm_view kid;       /* key identifier, when there is one; a hint only */
    struct sm_view payload;
    struct sm_sig sig;
};

/* Sign payload and external data aad into out, which may not overlap them.  LIMIT when it is
 * longer than cap or SM_COSE_MAX. */
enum sm_err sm_cose_sign(const struct sm_suite *s, const struct sm_sign_pair *key,
                         struct sm_view payload, struct sm_view aad, uint8_t *out, size_t cap,
                         size_t *out_n) SM_MUST;

/* TRUNCATED, MALFORMED; UNSUPPORTED when the algorithm is another or a header is critical. */
enum sm_err sm_cose_read(struct sm_view msg, struct sm_cose *out) SM_MUST;

/* CRYPTO when key did not sign this payload, header and aad. */
enum sm_err sm_cose_verify(const struct sm_suite *s, const struct sm_cose *m,
                           const struct sm_sign_pub *key, struct sm_view aad) SM_MUST;

/* The same, remembering that it holds; known may be NULL. */
enum sm_err sm_cose_verify_known(struct sm_known_sigs *known, const struct sm_suite *s,
                                 const struct sm_cose *m, const struct sm_sign_pub *key,
                                 struct sm_view aad) SM_MUST;
