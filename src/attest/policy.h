// SPDX-License-Identifier: Apache-2.0
#pragma once
/* policy: what hardware evidence must say to be good enough.
 *
 * A policy of zeros takes nothing.  sm_hw_policy_default() is what production should start
 * from: floors of the makers' advisories, no debugging, no migration; reference values have to
 * be added, because no default can know them.  A list with no entries matches nothing; to take
 * any value is a flag of its own, so that "unset" is never mistaken for zeros.
 *
 * Memory:  never allocates; lists are borrowed.
 * Errors:  REFUSED, with every reason and not only the first.
 * Source:  doc/attestation.md; AMD-SB-3019; Intel's TCB levels.
 */
#include "attest/evidence.h"

struct sm_value {
    uint8_t n; /* bytes; 0 matches nothing */
    uint8_t b[64];
};
struct sm_values {
    const struct sm_value *v;
    size_t n;
    bool is_any;
};

struct sm_reg_value {
    uint8_t index;
    struct sm_value value;
};

/* Bits of PLATFORM_INFO. */
enum sm_snp_info {
    SM_SNP_INFO_SMT = 1,
    SM_SNP_INFO_TSME = 2,
    SM_SNP_INFO_ECC = 4,
    SM_SNP_INFO_RAPL_OFF = 8,
    SM_SNP_INFO_HIDING = 16,
    SM_SNP_INFO_ALIAS_CHECK = 32, /* the memory's aliases were looked for (BadRAM) */
};

struct sm_hw_policy {
    uint32_t platforms; /* bit per enum sm_platform */

    /* The measurement is one of these, or it is signed by one of the signers, with an SVN of
     * at least min_svn. */
    struct sm_values measurements, signers;
    uint32_t min_svn;
    struct sm_values host_data, platform_ids;
    const struct sm_reg_value *regs; /* an index named here must have one of its values */
    size_t n_regs;
    uint32_t regs_replayed; /* bit i: wants an event log replayed into register i */

    bool may_debug, may_migrate;
    bool is_report_data_any; /* to look at stored evidence; never for a peer */
    uint32_t max_age_s;      /* of evidence that says when it was made */

    /* Intel: until when each status is taken; 0: never. */
    struct sm_wall status_until[SM_TCB_STATUSES];
    struct sm_wall min_tcb_date;
    uint32_t min_tcb_eval;
    const char *const *advisories; /* these, if they apply, refuse */
    size_t n_advisories;
    uint64_t tdx_attributes; /* those that may be set */
    bool may_sept_ve, may_service_td;

    /* AMD: floors of every part, for the reported TCB and the one at launch. */
    uint8_t snp_floor[SM_SNP_PRODUCTS][SM_SNP_PARTS];
    uint16_t snp_min_abi;                      /* major << 8 | minor */
    uint32_t snp_vmpl;                         /* exactly */
    uint64_t snp_info_must, snp_info_must_not; /* enum sm_snp_info */
    uint64_t snp_policy_must_not;              /* bits of the guest policy */
    bool may_vlek, may_unknown_bits, needs_crl;
};

/* Every hardware platform; AMD-SB-3019's floors; UpToDate and SWHardeningNeeded for ever,
 * nothing else; no debugging, no migration, VMPL 0, no VLEK; any host data and any platform
 * id; no measurement. */
void sm_hw_policy_default(struct sm_hw_policy *out);

/* Clears nothing; adds to why. */
enum sm_err sm_hw_appraise(const struct sm_hw_policy *p, const struct sm_claims *c,
                           const uint8_t report_data[static SM_REPORT_DATA], struct sm_wall now,
                           struct sm_reasons *why) SM_MUST;

/* One thing the policy looked at, whether it liked it or not. */
struct sm_check {
    bool is_ok;
    struct sm_reason r;
};
#define SM_CHECKS_MAX 112u /* two for each of 32 registers, and all others */
struct sm_checks {
    size_t n;
    struct sm_check c[SM_CHECKS_MAX];
};
/* Those behind the last are dropped; NULL: nobody asks. */
void sm_checks_add(struct sm_checks *all, bool is_ok, const struct sm_reason *r);

/* The same verdict and reasons, and every check that led there, passed ones too, added to
 * out. */
enum sm_err sm_hw_explain(const struct sm_hw_policy *p, const struct sm_claims *c,
                          const uint8_t report_data[static SM_REPORT_DATA], struct sm_wall now,
                          struct sm_reasons *why, struct sm_checks *out) SM_MUST;
