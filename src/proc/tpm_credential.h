// SPDX-License-Identifier: Apache-2.0
#pragma once
/* tpm_credential: encrypt a secret so that one TPM only can open it, and only while a certain
 * key is loaded there: TPM2_MakeCredential, done without a TPM.
 *
 * Who gets the secret back knows that the endorsement key and the key of that name live in one
 * TPM.  The secret is 32 random bytes and good for one question.
 *
 * Errors:  UNSUPPORTED = the EK's kind; CRYPTO = not a key; NOMEM.
 * Source:  TPM 2.0 Library part 1, 24 (credential protection), 11.4.10 (KDFa, KDFe), B.10.4,
 *          C.6.4; tried against TPM2_ActivateCredential of swtpm.
 */
#include "attest/tpm_ek.h"

#define SM_TPM_CREDENTIAL 32u /* bytes of the secret */

/* Both TPM2Bs whole, as sm_tpmdev_activate takes them. */
struct sm_tpm_challenge {
    uint8_t id_object[2 + 2 + 32 + 2 + SM_TPM_CREDENTIAL];
    size_t id_object_n;
    uint8_t secret[2 + 512];
    size_t secret_n;
};

enum sm_err sm_tpm_credential_make(const struct sm_tpm_ek *ek, struct sm_view name,
                                   const uint8_t secret[static SM_TPM_CREDENTIAL],
                                   struct sm_tpm_challenge *out) SM_MUST;
