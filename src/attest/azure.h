// SPDX-License-Identifier: Apache-2.0
#pragma once
/* azure: confidential machines of Azure with SEV-SNP, where the guest never sees the chip.
 *
 * Four links, each checked: AMD's root signs the VCEK, the VCEK signs the SNP report, the
 * report's data is the SHA-256 of a JSON text, the text names the key HCLAkPub, and that key
 * signs a TPM quote over the caller's bytes.  The SNP report was made when the machine
 * started; only the quote is fresh, so the binding is in its extraData.
 *
 * Memory:  no claim holds a pointer.  The JSON is read by a small reader that allocates
 *          nothing and takes nothing deeper than it expects.
 * Errors:  as sm_snp_verify and sm_tpm_quote_verify; MALFORMED for the layers between.
 * Source:  Azure's guest attestation documents; github.com/Azure/confidential-computing-cvm
 *          (cvm-guest-attestation.md); doc/attestation.md.
 */
#include "attest/snp.h"
#include "attest/tpm.h"

#define SM_AZURE_HCL_MAX 65536u /* bytes; 2,600 seen */

struct sm_azure_evidence {
    struct sm_view hcl; /* the HCL report, NV index 0x01400001 */
    struct sm_view vek, chain, crl;
    struct sm_view quote;
    struct sm_view sig;
    enum sm_tpm_sig_form sig_form;
    const struct sm_tpm_pcrs *pcrs;
};

/* Check that the whole is signed over `extra` (SHA-256 of the report data, for a peer).  The
 * claims are those of the SNP report with the quote's registers, and report_data is extra.
 * Pure.  Fills out only when every check passed.  Clears why first. */
enum sm_err sm_azure_verify(const struct sm_azure_evidence *ev, const struct sm_makers *trust,
                            struct sm_view extra, struct sm_wall now, struct sm_claims *out,
                            struct sm_reasons *why) SM_MUST;
