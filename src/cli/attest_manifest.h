// SPDX-License-Identifier: Apache-2.0
#pragma once
/* attest_manifest: rules to judge stored evidence by, from a manifest in a file.
 *
 * What matters offline is what the manifest says.  So it is put in force in rules of their own,
 * under a key made for that; whether a root of the mesh signed it is told apart.
 */
#include "attest/rules.h"
#include "cli/cli.h"

/* From a signed manifest, or from one as text; exactly one is given.  out_is_signed: by a root
 * that the node of --home pins; false as well where there is no such node.  Complains. */
enum sm_err attest_rules(struct cli *c, const char *manifest, const char *policy,
                         struct sm_wall now, struct sm_rules **out,
                         bool *out_is_signed) SM_MUST;
