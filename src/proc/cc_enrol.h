// SPDX-License-Identifier: Apache-2.0
#pragma once
/* cc_enrol: the node's side of getting a confidential machine endorsed (attest/enrol.h).
 *
 *     HOME/seemesh.conf        names platform and roots
 *     HOME/keys/node.key       made here
 *     HOME/keys/staples/       what the maker says of the platform: files by the names of parts
 *     HOME/keys/node.endorsement   put there by sm_cc_accept
 *
 * Nothing that exists is overwritten but the endorsement.
 *
 * Errors:  EXISTS = HOME/seemesh.conf is there already; those of provider.h, enrol.h, file.h.
 *          `why` is a sentence.
 */
#include "attest/enrol.h"
#include "proc/config.h"
#include "proc/provider.h"

/* Make the home of a node without an endorsement. */
enum sm_err sm_cc_home_make(const struct sm_config *c,
                            char why[static SM_PROVIDER_WHY]) SM_MUST;

/* Ask the platform.  Appends the request; claims are what a peer would see, verified. */
enum sm_err sm_cc_request(const struct sm_config *c, struct sm_view nonce, struct sm_buf *out,
                          struct sm_claims *claims, char why[static SM_PROVIDER_WHY]) SM_MUST;

/* Keep an endorsement, when it is one of a pinned root, for this key and platform. */
enum sm_err sm_cc_accept(const struct sm_config *c, struct sm_view endorsement,
                         struct sm_node_id *out, char why[static SM_PROVIDER_WHY]) SM_MUST;
