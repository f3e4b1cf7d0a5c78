// SPDX-License-Identifier: Apache-2.0
#pragma once
/* provider: how seemesh-keys gets evidence from the machine it runs on.
 *
 * One row a platform, and the configuration names the row ([platform] kind).  Starting it says
 * whether this machine can do that, and if not, why not; nothing else is tried then, and the
 * node does not start.
 *
 *     SM_TRY(sm_evidence_provider_start(platform, &env, &p, why));    before confinement
 *     confine with p.needs
 *     SM_TRY(sm_evidence_provider_collect(&p, report_data, &w, why)); an envelope
 *
 * What the maker says of the platform lies in HOME/keys/staples, a file for each part, by the
 * part's name (attest/envelope.h): snp-vek, dcap-tcb-info and so on, as downloaded.  It is read
 * at each collection, so renewing it is replacing a file.
 *
 * Who calls collect decides what is signed; in seemesh-keys that is one function.
 *
 * Memory:  a row's state is its own; sm_evidence_provider_stop() wipes and frees it, also
 * half-made. Errors:  UNSUPPORTED (no such row in this build, or not on this machine), NOTFOUND
 * (a device or file), BUSY (ask again), and what the platform said; `why` is a sentence.
 * Source:  doc/attestation.md.
 */
#include "attest/envelope.h"
#include "attest/evidence.h"
#include "crypto/suite.h"
#include "os/confine.h"

#define SM_PROVIDER_WHY   256u
#define SM_PROVIDER_RULES 4u
#define SM_STAPLES        "staples" /* in HOME/keys */

struct sm_provider_env {
    const char *dir;    /* HOME/keys */
    const char *device; /* [platform] device: "auto", a path, or a TPM's TCTI */
    /* What stands in for hardware on the development platform. */
    const struct sm_suite *suite;
    const struct sm_sign_pair *node;
    const uint8_t *measurement; /* 48 */
    const uint8_t *boot_id;     /* SM_BOOT_ID */
};

/* What it needs to go on working once the program is confined. */
struct sm_provider_needs {
    size_t n_rules;
    struct sm_path_rule rules[SM_PROVIDER_RULES]; /* paths live as long as the provider */
    unsigned calls;                               /* groups of os/confine.h */
};

struct sm_evidence_provider_kind {
    const char *name;
    uint8_t platform;
    enum sm_err (*start)(const struct sm_provider_env *env, void **out_state,
                         struct sm_provider_needs *needs, char why[static SM_PROVIDER_WHY]);
    enum sm_err (*collect)(void *state, const uint8_t report_data[static SM_REPORT_DATA],
                           struct sm_wr *w, char why[static SM_PROVIDER_WHY]);
    void (*stop)(void *state); /* NULL is fine */
};

struct sm_evidence_provider {
    const struct sm_evidence_provider_kind *kind;
    void *state;
    struct sm_provider_needs needs;
};

/* The environment must outlive the provider. */
enum sm_err sm_evidence_provider_start(uint8_t platform, const struct sm_provider_env *env,
                                       struct sm_evidence_provider *out,
                                       char why[static SM_PROVIDER_WHY]) SM_MUST;
/* Appends an envelope to w.  When OK, why is empty, or a remark that the log should have. */
enum sm_err sm_evidence_provider_collect(const struct sm_evidence_provider *p,
                                         const uint8_t report_data[static SM_REPORT_DATA],
                                         struct sm_wr *w,
                                         char why[static SM_PROVIDER_WHY]) SM_MUST;
void sm_evidence_provider_stop(struct sm_evidence_provider *p);

/* For rows: read the file of a part into out, whose maximum becomes the part's.  NOTFOUND
 * leaves out empty. */
enum sm_err sm_staple_read(const struct sm_provider_env *env, enum sm_part part,
                           struct sm_buf *out) SM_MUST;

/* "why" in the form of printf; gives e back. */
enum sm_err sm_provider_because(enum sm_err e, char why[static SM_PROVIDER_WHY],
                                const char *fmt, ...) __attribute__((format(printf, 3, 4)));
