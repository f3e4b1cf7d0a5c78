// SPDX-License-Identifier: Apache-2.0
#pragma once
/* tpm_init: make the home of a node whose platform is a TPM.
 *
 * As init.h does, with HOME/keys/tpm.ak and node.sealed in place of node.key.  With the root at
 * hand the node is endorsed at once; else its home waits for "seemesh tpm request", and for the
 * answer of who holds the root.
 *
 * Errors:  EXISTS = HOME/seemesh.conf is there already; those of tpm_enrol.h and file.h.
 *          `why` is a sentence.
 */
#include "proc/config.h"
#include "proc/tpm_enrol.h"

struct sm_tpm_init {
    uint32_t pcr_mask;
    const char *root_dir; /* NULL: endorsed elsewhere; then the configuration pins the root */
    const char *makers;   /* PEM; whom root_dir believes to be makers of TPMs */
};

/* The root's key is pinned as [root dev] when no root is.  `out` is zero without a root. */
enum sm_err sm_tpm_node_init(const struct sm_config *c, const struct sm_tpm_init *how,
                             struct sm_node_id *out, char why[static SM_TPM_ENROL_WHY]) SM_MUST;

/* Answer a request with the root in `root_dir`. */
enum sm_err sm_tpm_endorse_with(const char *root_dir, const char *makers,
                                const struct sm_anchor *a, struct sm_view request,
                                struct sm_buf *out_reply, struct sm_tpm_endorsed *out,
                                char why[static SM_TPM_ENROL_WHY]) SM_MUST;
