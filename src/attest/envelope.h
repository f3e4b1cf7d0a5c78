// SPDX-License-Identifier: Apache-2.0
#pragma once
/* envelope: what a peer shows of its platform, and what its maker says of that, in one piece.
 *
 * A CMW collection (RATS conceptual message wrappers): a CBOR map from small numbers to
 * records [media type, bytes, indicator].  Each number is one kind of part, with one media
 * type, one indicator (2 endorsement, 4 evidence) and a largest size, all in one table; so
 * there is one encoding of each envelope, and a part stands in it at most once.
 *
 *     struct sm_envelope e;
 *     SM_TRY(sm_envelope_read(bytes, &e));
 *     report = e.part[SM_PART_SNP_REPORT];           n == 0: it is not there
 *
 * Endorsements are stapled by who wants to be believed: they are checked up to a pinned root,
 * never trusted for being here.
 *
 * Memory:  never allocates; parts borrow the bytes.
 * Errors:  TRUNCATED, MALFORMED (grammar, an unknown part, an empty one); LIMIT (a part or the
 *          whole is too long).
 * Source:  draft-ietf-rats-msg-wrap; doc/wire.md, section 12.
 */
#include "base/bytes.h"

/* Each may come once.  Numbers are on the wire. */
enum sm_part {
    SM_PART_DEV = 1,           /* COSE_Sign1 of attest/dev.h */
    SM_PART_EPOCH = 2,         /* an epoch key and its signature over the session: epoch.h */
    SM_PART_SNP_REPORT = 3,    /* ATTESTATION_REPORT */
    SM_PART_SNP_VEK = 4,       /* DER or PEM: VCEK or VLEK */
    SM_PART_SNP_CHAIN = 5,     /* DER or PEM: ASK or ASVK, maybe the ARK */
    SM_PART_SNP_CRL = 6,       /* DER or PEM, of the ARK */
    SM_PART_DCAP_QUOTE = 7,    /* SGX or TDX */
    SM_PART_DCAP_TCB_INFO = 8, /* as Intel's service answers: {"tcbInfo":...,"signature":...} */
    SM_PART_DCAP_QE_IDENTITY = 9,
    SM_PART_DCAP_TCB_CHAIN = 10, /* PEM: who signed both of them */
    SM_PART_DCAP_ROOT_CRL = 11,
    SM_PART_DCAP_PCK_CRL = 12,
    SM_PART_TPM_QUOTE = 13, /* TPMS_ATTEST */
    SM_PART_TPM_SIG = 14,   /* TPMT_SIGNATURE */
    SM_PART_TPM_AK = 15,    /* TPMT_PUBLIC */
    SM_PART_TPM_PCRS = 16,  /* bank u16, mask u32, then the values: sm_tpm_pcrs_read */
    SM_PART_TPM_LOG = 17,   /* crypto-agile event log */
    SM_PART_HCL_REPORT = 18,
    SM_PART_NITRO = 19, /* attestation document */
    SM_PARTS
};
const char *sm_part_name(enum sm_part part); /* "snp-report" */
size_t sm_part_max(enum sm_part part);       /* bytes */

struct sm_envelope {
    struct sm_view part[SM_PARTS]; /* n == 0: not there; [0] is never there */
};

/* At most SM_EVIDENCE_MAX bytes (wire/frame.h). */
enum sm_err sm_envelope_read(struct sm_view bytes, struct sm_envelope *out) SM_MUST;

/* The parts that are there.  LIMIT when one is too long, or w is full. */
enum sm_err sm_envelope_write(const struct sm_envelope *e, struct sm_wr *w) SM_MUST;

/* Which parts are there, bit i for part i: what a verifier compares with what it wants. */
uint32_t sm_envelope_mask(const struct sm_envelope *e);
