// SPDX-License-Identifier: Apache-2.0
#pragma once
/* snp: attestation reports of AMD SEV-SNP: Milan, Genoa and Turin, signed by the chip's key
 * (VCEK) or by a cloud's (VLEK).
 *
 * The certificate is the judge, not the report: product, TCB and chip come from it, and what
 * the report says of them must be the same.  Which root is asked follows from the product.
 * Bits of the guest's policy and of the platform are claims; what is wanted of them is policy.
 *
 * Memory:  no claim holds a pointer.  OpenSSL allocates while it checks signatures.
 * Errors:  MALFORMED (grammar); UNSUPPORTED (version, algorithm, product); CRYPTO (chain,
 *          signature, a report that contradicts its certificate or itself); EXPIRED; REFUSED
 * (revoked, unsigned); NOMEM.  Every reason that could be found is in why, not only the first.
 * Source:  AMD 56860 (SNP firmware ABI), table of ATTESTATION_REPORT; AMD 57230 (VCEK
 *          certificates); doc/attestation.md.
 */
#include "attest/evidence.h"
#include "attest/roots.h"

#define SM_SNP_REPORT 1184u

/* As stapled by the attester: nothing in it is believed for being there. */
struct sm_snp_evidence {
    struct sm_view report;
    struct sm_view vek;   /* DER or PEM: VCEK or VLEK */
    struct sm_view chain; /* DER or PEM: ASK or ASVK, with or without the ARK */
    struct sm_view crl;   /* DER or PEM, of the ARK; empty: none, which the claims tell */
};

/* Pure.  Fills out only when every check passed.  Clears why first. */
enum sm_err sm_snp_verify(const struct sm_snp_evidence *ev, const struct sm_makers *trust,
                          struct sm_wall now, struct sm_claims *out,
                          struct sm_reasons *why) SM_MUST;

/* The table of certificates that the kernel hands over with a report (auxblob of configfs-tsm,
 * SNP_GET_EXT_REPORT): sets vek, chain and crl, and keeps the report.  Entries unknown to us
 * are passed over.  MALFORMED, TRUNCATED; LIMIT above 16 entries; NOTFOUND without a VEK. */
enum sm_err sm_snp_certs_read(struct sm_view table, struct sm_snp_evidence *ev) SM_MUST;
