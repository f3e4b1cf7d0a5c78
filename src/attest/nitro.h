// SPDX-License-Identifier: Apache-2.0
#pragma once
/* nitro: attestation documents of AWS Nitro enclaves.
 *
 * A COSE_Sign1 with ES384 over a CBOR map; the certificate that signs lives for three hours
 * and chains to AWS's root.  AWS's encoders do not keep AWS's rules: optional fields come as
 * null, maps may be of indefinite length, keys are in no order.  So this reader is laxer than
 * base/cbor in exactly that, for the payload's map, its PCRs and three fields.  Keys that come
 * twice, unknown keys, lengths that are not the shortest and bytes left over are refused.
 *
 * Memory:  no result holds a pointer.  OpenSSL allocates for certificates and signatures.
 * Errors:  TRUNCATED, MALFORMED, LIMIT, UNSUPPORTED (grammar); CRYPTO, EXPIRED (chain);
 *          CRYPTO (signature); REFUSED (debug enclave).
 * Source:  aws-nitro-enclaves-nsm-api, attestation_process.md.
 */
#include "attest/evidence.h"
#include "attest/roots.h"

#define SM_NITRO_MAX      16384u /* bytes; genuine ones have about 4,500 */
#define SM_NITRO_SKEW_S   10u    /* the leaf is not backdated: it starts when it is made */
#define SM_NITRO_DATA_MAX 1024u

/* What a document carries for its caller; none of it is said by the platform itself. */
struct sm_nitro_data {
    bool has_public_key, has_user_data, has_nonce;
    uint16_t public_key_n, user_data_n, nonce_n;
    uint8_t public_key[SM_NITRO_DATA_MAX], user_data[SM_NITRO_DATA_MAX],
        nonce[SM_NITRO_DATA_MAX];
};

/* PCR0 is the measurement, PCR8 the signer when it is not zero, module_id the platform's id,
 * user_data of up to 64 bytes the report data.  A document with zeros for PCR0, PCR1 or PCR2 is
 * of a debug enclave and says nothing about what runs: REFUSED with the reason DEBUG.  How old
 * a document may be is the policy's: issued_at tells.  data may be NULL. */
enum sm_err sm_nitro_verify(struct sm_view document, const struct sm_makers *trust,
                            struct sm_wall now, struct sm_claims *out,
                            struct sm_nitro_data *data, struct sm_reasons *why) SM_MUST;
