// SPDX-License-Identifier: Apache-2.0
#pragma once
/* attest_kinds: what each kind of evidence needs of files, and the verifier that takes them.
 *
 * Memory:  an attest_question owns its files.
 * Errors:  any; why has the reasons, if there are any.
 */
#include "attest/envelope.h"
#include "attest/policy.h"
#include "attest/roots.h"
#include "cli/cli.h"

#define ATTEST_NONCE_MAX 66u /* what a TPM takes as extraData */

/* Files, in the order of their options. */
enum attest_input {
    REPORT,
    QUOTE,
    DOC,
    SIG,
    VEK,
    CHAIN,
    CRL,
    TCB_INFO,
    QE_IDENTITY,
    PCK_CRL,
    ROOT_CRL,
    AK,
    PCRS,
    LOG,
    ROOT,
    INPUTS
};
extern const char *const attest_inputs[INPUTS]; /* "--report" */

struct attest_question {
    const struct attest_kind *kind;
    uint8_t platform; /* enum sm_platform; SM_PLATFORMS: not known */
    bool is_judged;   /* by policy: verify and explain, not show */
    bool may_debug;
    bool may_be_node; /* a live one, asked of this node: show and explain */
    const char *node; /* it is */
    struct sm_wall now;
    const char *path[INPUTS];
    struct sm_buf file[INPUTS];
    const char *envelope_path; /* instead of files */
    struct sm_buf envelope_file;
    struct sm_envelope envelope;
    struct sm_makers trust;
    uint8_t nonce_bytes[ATTEST_NONCE_MAX];
    struct sm_view nonce; /* empty: not compared */
    struct sm_value measurement;
};

struct attest_kind {
    const char *name;
    uint8_t platform;   /* enum sm_platform */
    unsigned must, may; /* bits of enum attest_input */
    enum sm_err (*verify)(const struct attest_question *q, struct sm_claims *out,
                          struct sm_reasons *why);
};

extern const struct attest_kind attest_kinds[];
extern const size_t attest_kinds_n;

/* --as-of.  Complains. */
enum sm_err attest_time_read(struct cli *c, const char *text, struct sm_wall *out) SM_MUST;

/* What the node that made it would show to a peer: all parts in one file. */
extern const struct attest_kind attest_envelope_kind;
/* Read the file and find out which platform it is of.  Complains. */
enum sm_err attest_envelope_read(struct cli *c, struct attest_question *q) SM_MUST;

static inline struct sm_view attest_file(const struct attest_question *q, enum attest_input i)
{
    return sm_buf_view(&q->file[i]);
}
