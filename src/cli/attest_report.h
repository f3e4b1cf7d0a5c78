// SPDX-License-Identifier: Apache-2.0
#pragma once
/* attest_report: verdicts as JSON and as text; the same for evidence in files and for nodes.
 */
#include "attest/claims_list.h"
#include "attest/policy.h"
#include "cli/cli.h"

json_t *attest_claims_json(const struct sm_claims *k);
/* [{reason, field, got, wanted, fix}] */
json_t *attest_reasons_json(const struct sm_reasons *why, uint8_t platform);
/* [{check, field, got, wanted, passed, fix}]; passed is null for what was not reached. */
json_t *attest_checks_json(const struct sm_checks *checks, uint8_t platform);

/* What verifying a platform's evidence looks at: all passed when verified, else those that
 * failed are in why, and of the others nobody knows. */
void attest_steps_json(json_t *checks, uint8_t platform, bool is_verified,
                       const struct sm_reasons *why);

/* The verdict in the numbers of AR4SI.  What was not looked at has 0. */
struct attest_vector {
    int claim[SM_TVEC_CLAIMS];
};
struct attest_vector attest_vector_of(bool is_verified, bool is_code_compared,
                                      bool is_machine_compared, const struct sm_reasons *why);
json_t *attest_vector_json(const struct attest_vector *v);

void attest_print_object(json_t *o);
void attest_print_reasons(json_t *list);
void attest_print_checks(json_t *list);
