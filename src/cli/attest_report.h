// SPDX-License-Identifier: Apache-2.0
#pragma once
/* attest_report: verdicts for people; the same for evidence in files and for nodes. */
#include "cli/cli.h"
#include "proc/claims_json.h"

/* What verifying a platform's evidence looks at: all passed when verified, else those that
 * failed are in why, and of the others nobody knows. */
void attest_steps_json(json_t *checks, uint8_t platform, bool is_verified,
                       const struct sm_reasons *why);

/* A live neighbour, or "self", as this node sees it.  Complains. */
enum sm_err attest_node(struct cli *c, const char *node, bool is_explained) SM_MUST;

void attest_print_object(json_t *o);
void attest_print_reasons(json_t *list);
void attest_print_checks(json_t *list);
