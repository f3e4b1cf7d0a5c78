// SPDX-License-Identifier: Apache-2.0
#pragma once
/* dcap_tcb: Intel's two signed documents about a platform, and what they say of one quote.
 *
 * TCB info lists, best first, which levels of firmware are worth what; the QE identity says
 * which quoting enclaves count.  Both are JSON whose bytes are signed, so they are walked in
 * place, and only after their signature was checked.
 *
 * Memory:  never allocates.
 * Errors:  MALFORMED (JSON, or a value that is none of Intel's), UNSUPPORTED (a version),
 *          REFUSED (no level or identity covers this platform), LIMIT (advisories).
 * Source:  Intel PCS API 4; SGX TDX DCAP Quote Verification Library, 4.1.2.4.
 */
#include "attest/dcap_quote.h"
#include "attest/evidence.h"

/* The SGX extension of a PCK certificate. */
struct sm_pck {
    uint8_t ppid[16], fmspc[6], pceid[2];
    uint8_t svn[16], cpusvn[16];
    uint16_t pcesvn;
};
enum sm_err sm_pck_read(struct sm_view extension, struct sm_pck *out) SM_MUST;

/* What both documents begin with. */
struct sm_dcap_head {
    bool is_tdx;
    struct sm_wall issued, next_update;
    uint32_t eval; /* tcbEvaluationDataNumber */
};

struct sm_tcb_info {
    struct sm_dcap_head head;
    uint8_t fmspc[6], pceid[2];
    struct sm_view levels;     /* JSON arrays, */
    struct sm_view identities; /* empty when there is none, */
    struct sm_view module;     /* and an object, for TDX */
};
enum sm_err sm_tcb_info_read(struct sm_view json, struct sm_tcb_info *out) SM_MUST;

struct sm_qe_identity {
    struct sm_dcap_head head;
    uint8_t miscselect[4], miscselect_mask[4], attributes[16], attributes_mask[16];
    uint8_t mrsigner[32];
    uint16_t isvprodid;
    struct sm_view levels;
};
enum sm_err sm_qe_identity_read(struct sm_view json, struct sm_qe_identity *out) SM_MUST;

/* The verdict of one list, or of all. */
struct sm_tcb {
    enum sm_tcb_status status;
    struct sm_wall date; /* the earliest */
    uint8_t n_advisories;
    char advisories[SM_ADVISORIES][20];
};

/* The enclave that made the quote is the one meant, and how good its version is. */
enum sm_err sm_qe_identity_check(const struct sm_qe_identity *id,
                                 const struct sm_sgx_report *qe, struct sm_tcb *out,
                                 struct sm_reasons *why) SM_MUST;

/* The level of the platform, of the TDX module and of the quoting enclave, converged. */
enum sm_err sm_tcb_evaluate(const struct sm_tcb_info *info, const struct sm_pck *pck,
                            const struct sm_quote *q, const struct sm_tcb *qe,
                            struct sm_tcb *out, struct sm_reasons *why) SM_MUST;
