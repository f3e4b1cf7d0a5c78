// SPDX-License-Identifier: Apache-2.0
#pragma once
/* evidence: bytes from a peer's platform in, claims out; then claims and policy in, a verdict
 * with every reason out.
 *
 * The two steps are pure and separate.  Verifying asks whether the platform said it; it knows
 * no policy.  Appraising asks whether that is good enough; it checks no signature.  Both take
 * the time as an argument, so a verdict can be repeated later from what was stored.
 *
 * Memory:  never allocates; claims and reasons hold no pointers.
 * Errors:  verify: MALFORMED and TRUNCATED (grammar), CRYPTO (signature), REFUSED (a platform
 *          this build cannot check).  appraise: REFUSED.  Either way `why` tells.
 * Source:  doc/attestation.md.
 */
#include "attest/anchor.h"
#include "attest/binding.h"
#include "attest/reason.h"

#define SM_BOOT_ID 16u

/* Registers: RTMR 0-3 of TDX, PCRs of a TPM or of Nitro. */
#define SM_REGS             32u
#define SM_REG_MAX          64u
#define SM_REPORT_DATA_HASH 32u /* SHA-256(report data): a TPM cannot carry 64 bytes */
#define SM_TCB_PARTS        20u
#define SM_ADVISORIES       32u /* platform, module and QE together; one old level has 14 */

enum sm_tcb_status {
    SM_TCB_UNKNOWN, /* the platform has no such notion */
    SM_TCB_UP_TO_DATE,
    SM_TCB_SW_HARDENING,
    SM_TCB_CONFIG,
    SM_TCB_CONFIG_SW_HARDENING,
    SM_TCB_OUT_OF_DATE,
    SM_TCB_OUT_OF_DATE_CONFIG,
    SM_TCB_RELAUNCH,
    SM_TCB_REVOKED,
    SM_TCB_STATUSES
};
const char *sm_tcb_status_name(enum sm_tcb_status s); /* "UpToDate", as Intel writes it */

const char *sm_platform_name(uint8_t platform); /* "snp", "software" */

enum sm_snp_product { SM_SNP_MILAN, SM_SNP_GENOA, SM_SNP_TURIN, SM_SNP_PRODUCTS };
const char *sm_snp_product_name(enum sm_snp_product p); /* "milan" */

/* Where the parts of an SNP TCB are in tcb_parts; Milan and Genoa have no FMC (0). */
enum sm_snp_part {
    SM_SNP_FMC,
    SM_SNP_BOOT,
    SM_SNP_TEE,
    SM_SNP_SNP,
    SM_SNP_UCODE,
    SM_SNP_PARTS
};

/* What only SNP says.  The TCB is the one the certificate repeats. */
struct sm_snp_claims {
    enum sm_snp_product product;
    uint32_t vmpl;
    uint64_t policy, platform_info;
    uint8_t launch_tcb[SM_SNP_PARTS];
    uint8_t abi_minor, abi_major; /* firmware committed to */
    bool is_vlek;                 /* signed by a cloud's key, not the chip's */
    bool is_chip_masked;          /* CHIP_ID is zero: platform_id is empty */
    bool has_author;              /* the ID key itself was signed by an author key */
    uint8_t image_id[16], family_id[16];
};

/* What only TDX says. */
struct sm_tdx_claims {
    uint64_t attributes, xfam;
    uint8_t mrowner[48], mrownerconfig[48], mrservicetd[48];
    bool is_sept_ve_disabled;
    uint16_t trailing; /* zero bytes behind the quote, ignored */
};

/* What only a TPM says.  All but the clock have a constant added that only the TPM knows. */
struct sm_tpm_claims {
    uint64_t clock_ms, firmware;
    uint32_t resets, restarts;
};

/* What a platform proved about itself.  A length of 0 means not said, which is not the same as
 * zeros: policy must never match one against the other. */
struct sm_claims {
    uint8_t platform;        /* enum sm_platform */
    uint8_t profile;         /* version of report or quote */
    uint8_t measurement[64]; /* what was launched: MEASUREMENT, MRTD, MRENCLAVE, PCR0 */
    uint8_t measurement_n;
    uint8_t signer[64]; /* who signed it: ID_KEY_DIGEST, MRSIGNER, PCR8 */
    uint8_t signer_n;
    uint8_t report_data[SM_REPORT_DATA];
    uint8_t report_data_n; /* 64, or SM_REPORT_DATA_HASH where a hash of it is carried */
    uint8_t host_data[64]; /* what the host chose: HOST_DATA, MRCONFIGID, CONFIGID */
    uint8_t host_data_n;
    uint8_t platform_id[64]; /* CHIP_ID, PPID, AK name, module id */
    uint8_t platform_id_n;
    uint8_t boot_id[SM_BOOT_ID]; /* software only */
    uint32_t regs_mask;          /* bit i: regs[i] is there */
    uint8_t reg_n;               /* bytes of each */
    uint8_t regs[SM_REGS][SM_REG_MAX];
    uint32_t regs_replayed; /* bit i: an event log was replayed into regs[i] */

    bool is_debug;
    bool is_migratable;
    bool is_hw_rooted;
    /* The hardware signed a key, and that key this session (attest/epoch.h); when. */
    bool is_epoch_bound;
    struct sm_wall epoch_from, epoch_until;
    bool has_issued_at; /* some platforms have no clock: binding is their freshness */
    struct sm_wall issued_at;
    bool has_crl; /* the maker's revocation list was there and says nothing against it */
    struct sm_wall not_after; /* the earliest end of what it was checked against; 0: none */

    uint32_t svn; /* GUEST_SVN, ISVSVN */
    enum sm_tcb_status tcb;
    uint8_t tcb_parts[SM_TCB_PARTS]; /* enum sm_snp_part; TEE_TCB_SVN; SGX CPUSVN */
    struct sm_wall tcb_date;         /* of the TCB level */
    uint32_t tcb_eval;               /* tcbEvaluationDataNumber */
    uint8_t n_advisories;
    char advisories[SM_ADVISORIES][20]; /* "INTEL-SA-00837" */

    struct sm_snp_claims snp; /* SNP and SNP_VTPM */
    struct sm_tdx_claims tdx; /* TDX */
    struct sm_tpm_claims tpm; /* TPM */
};

#define SM_EVIDENCE_AGE_S 300u /* evidence is made for the session at hand */

/* Who is said to have made the evidence: fields of a believed NODE record. */
struct sm_attester {
    uint8_t platform;
    const uint8_t *sign_key;    /* 32 */
    const uint8_t *measurement; /* 48; of a shorter one the rest is zero */
    const uint8_t *shown_id;    /* 32: the endorsed hash of what the platform shows as its id */
};
struct sm_attester sm_attester_of(const struct sm_node_record *rec);

/* Read an envelope, check everything in it up to the anchor's roots, and that it is of this
 * attester's platform: the kind the record says, and the very one that a root endorsed.  Clears
 * why first, then adds to it. */
enum sm_err sm_evidence_verify(const struct sm_suite *suite, const struct sm_anchor *a,
                               struct sm_wall now, const struct sm_attester *who,
                               struct sm_view evidence, struct sm_claims *out,
                               struct sm_reasons *why) SM_MUST;

/* Whether the platform was given this report data, itself or its hash; else the reason. */
bool sm_appraise_report_data(const struct sm_claims *c,
                             const uint8_t report_data[static SM_REPORT_DATA],
                             struct sm_reasons *why);

/* Adds every reason to why, not only the first. */
enum sm_err sm_appraise(const struct sm_anchor *a, struct sm_wall now,
                        const struct sm_attester *who, const struct sm_claims *claims,
                        const uint8_t report_data[static SM_REPORT_DATA],
                        struct sm_reasons *why) SM_MUST;

/* Both, for a peer whose record is believed and whose binding the caller filled from its own
 * side of the handshake. */
enum sm_err sm_evidence_check(const struct sm_suite *suite, const struct sm_anchor *a,
                              struct sm_wall now, const struct sm_node_record *peer,
                              const struct sm_binding *binding, struct sm_view evidence,
                              struct sm_claims *out, struct sm_reasons *why) SM_MUST;
