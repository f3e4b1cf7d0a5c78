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

#define SM_BOOT_ID 16u

struct sm_claims {
    uint8_t platform; /* enum sm_platform */
    uint8_t measurement[48];
    uint8_t report_data[SM_REPORT_DATA];
    uint8_t boot_id[SM_BOOT_ID];
    bool is_debug;
    bool is_hw_rooted;
    struct sm_wall issued_at;
};

#define SM_EVIDENCE_AGE_S 300u /* evidence is made for the session at hand */

enum sm_reason_code {
    SM_REASON_PLATFORM = 1, /* the anchor does not take this platform */
    SM_REASON_NOT_HARDWARE = 2,
    SM_REASON_DEBUG = 3,
    SM_REASON_REPORT_DATA = 4, /* made for another session, role or peer */
    SM_REASON_MEASUREMENT = 5, /* not what the NODE record says */
    SM_REASON_TIME = 6,
    SM_REASON_GRAMMAR = 7,
    SM_REASON_SIGNATURE = 8,
};
const char *sm_reason_name(uint16_t code); /* "platform", "not-hardware", ... */

struct sm_reason {
    uint16_t code;
    char field[20], got[36], want[36]; /* text for people; long values are cut */
};
struct sm_reasons {
    size_t n;
    struct sm_reason r[8]; /* one of each code */
};

/* Who is said to have made the evidence: fields of a believed NODE record. */
struct sm_attester {
    uint8_t platform;
    const uint8_t *sign_key;    /* 32 */
    const uint8_t *measurement; /* 48 */
};

/* Clears why first, then adds to it. */
enum sm_err sm_evidence_verify(const struct sm_suite *suite, const struct sm_attester *who,
                               struct sm_view evidence, struct sm_claims *out,
                               struct sm_reasons *why) SM_MUST;

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

/* "platform got software want snp, tdx or tpm; debug got true want false", cut to fit. */
void sm_reasons_text(const struct sm_reasons *why, char *out, size_t cap);

/* For verifiers: add one reason. */
void sm_reasons_add(struct sm_reasons *why, enum sm_reason_code code, const char *field,
                    const char *got, const char *want);
