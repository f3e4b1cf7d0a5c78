// SPDX-License-Identifier: Apache-2.0
#pragma once
/* hardware: an envelope of a hardware platform in, claims out.
 *
 * One row a platform says which parts there must be and which there may be besides; anything
 * else in the envelope is refused, so no part is carried that nobody looked at.
 *
 *     SNP        report, VEK, chain; CRL
 *     TDX, SGX   quote, TCB info, QE identity, their chain, root CRL, PCK CRL
 *     TPM        quote, signature, AK public area, PCRs; event log
 *     Azure SNP  HCL report, VEK, chain, quote, signature, PCRs; CRL
 *     Nitro      document
 *
 * A TPM's key is vouched for by the mesh's root and not by a certificate here: platform_id is
 * the AK's name, which covers what kind of key it is, and must be the one endorsed
 * (attest/endorse.h).
 *
 * Memory:  no result holds a pointer.
 * Errors:  those of the platform's verifier; MALFORMED for parts that are missing or do not
 *          belong; REFUSED for a platform without a row.  Reasons are added to why.
 * Source:  doc/attestation.md.
 */
#include "attest/envelope.h"
#include "attest/evidence.h"
#include "attest/roots.h"
#include "attest/tpm.h"

enum sm_err sm_hw_evidence_verify(const struct sm_makers *trust, struct sm_wall now,
                                  uint8_t platform, const struct sm_envelope *e,
                                  struct sm_claims *out, struct sm_reasons *why) SM_MUST;

/* The part TPM_PCRS: bank u16, mask u32, then the value of each, in order. */
enum sm_err sm_tpm_pcrs_read(struct sm_view bytes, struct sm_tpm_pcrs *out) SM_MUST;
void sm_tpm_pcrs_write(const struct sm_tpm_pcrs *pcrs, struct sm_wr *w);

/* What a TPM's node calls its measurement:
 * SHA-384("seemesh/tpm-pcrs/1" 0 || the part TPM_PCRS).  Bank and mask are in it, so which
 * registers count is part of the value that policy lists, and not of the quoter's choice. */
#define SM_TPM_MEASUREMENT 48u
void sm_tpm_pcrs_measurement(const struct sm_tpm_pcrs *pcrs,
                             uint8_t out[static SM_TPM_MEASUREMENT]);

/* PCR 16 and 23 may be reset by anybody at any time: what they hold proves nothing. */
#define SM_TPM_PCRS_NEVER (1u << 16 | 1u << 23)
