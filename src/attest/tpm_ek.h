// SPDX-License-Identifier: Apache-2.0
#pragma once
/* tpm_ek: endorsement keys, which say which TPM it is, and whose make.
 *
 * An EK never signs: it decrypts, and only for its TPM.  So a TPM is known by two steps.  Its
 * maker certified the EK (here); and whoever can open a credential that was encrypted to the
 * EK and to the name of an attestation key has both in one TPM (tpm_credential).  Only then
 * does a root endorse the attestation key.
 *
 * The public area must be TCG's template L-1 (RSA-2048) or L-2 (P-256) to the byte, but for the
 * key: then it is restricted, cannot leave, and TPM2_ActivateCredential is all it is good for.
 *
 * Memory:  as tpm.h.
 * Errors:  MALFORMED, TRUNCATED, UNSUPPORTED (another template); CRYPTO (another key than the
 *          certificate's, or no path to a root).
 * Source:  TCG EK Credential Profile 2.5.
 */
#include "attest/tpm.h"

#define SM_TPM_NAME 34u /* algorithm SHA-256, and the hash */

struct sm_tpm_ek {
    struct sm_tpm_key key;
    uint8_t name[SM_TPM_NAME];
    bool is_software; /* its certificate was issued by "swtpm-...": it proves no hardware */
    struct sm_wall not_after; /* of its certificate and those above */
};

/* The template and the key; is_software is false, not_after zero. */
enum sm_err sm_tpm_ek_read(struct sm_view tpmt, struct sm_tpm_ek *out) SM_MUST;

/* All of it: the certificate is for this key, is one of an EK, and leads to a root among
 * trust->tpm, which also holds the certificates between. */
enum sm_err sm_tpm_ek_verify(struct sm_view tpmt, struct sm_view cert,
                             const struct sm_makers *trust, struct sm_wall now,
                             struct sm_tpm_ek *out, struct sm_reasons *why) SM_MUST;
