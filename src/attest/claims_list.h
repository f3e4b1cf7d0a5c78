// SPDX-License-Identifier: Apache-2.0
#pragma once
/* claims_list: claims as names and texts, in one order, for people, JSON and comparison.
 *
 * The one place that knows how a claim is called outside the code, and which reason a policy
 * would give about it.
 *
 * Memory:  never allocates; texts live until the callback returns.
 */
#include "attest/evidence.h"

enum sm_claim_kind { SM_CLAIM_TEXT, SM_CLAIM_NUMBER, SM_CLAIM_BOOL };

struct sm_claim {
    const char *name; /* "tcb_status" */
    const char *text; /* printable ASCII, whatever certificates say */
    enum sm_claim_kind kind;
    uint64_t number; /* NUMBER, BOOL */
    uint16_t judged; /* enum sm_reason_code: what a policy says of it; NONE: none looks */
};

/* Call `each` for every claim that the platform made; one that was not said is left out. */
void sm_claims_list(const struct sm_claims *c, void (*each)(void *ctx, const struct sm_claim *),
                    void *ctx);

/* What a policy says of the claim of that name; SM_REASON_NONE: it does not look. */
uint16_t sm_claim_judged(const char *name);

/* "2026-01-31T12:00:00Z" */
#define SM_TIME_TEXT 32u
void sm_wall_text(struct sm_wall at, char out[static SM_TIME_TEXT]);
