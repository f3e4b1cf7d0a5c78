// SPDX-License-Identifier: Apache-2.0
#pragma once
/* rules: what a node believes now: its anchor, the manifest, the revocations, the collateral.
 *
 * One object of the node, passed by pointer to whoever judges.  Documents come from anywhere
 * (a neighbour, a file, the command line) and go through one door, sm_rules_offer(): verified
 * against the anchor, of this mesh and environment, and newer than what is held, or nothing
 * changes.  So who holds an old signed document can put nobody back to it.
 *
 * Judging is sm_rules_appraise(): verified claims in, a verdict with every reason out.  In
 * this order: revoked things are refused, whatever else is said; then what the anchor demands
 * (platform, hardware in production, evidence made for this session); then the manifest.  In
 * `observe` mode what the manifest alone would refuse passes as OBSERVED, with the reasons.
 * A peer that was accepted and now fails only by what time does to everybody (firmware fell
 * behind, collateral ran out, the manifest ended) is in grace for as long as the manifest
 * allows.
 *
 * Without a manifest a development node judges by its anchor alone; a production node refuses
 * everybody, because nobody has said which programs are good.  A manifest past its not_after
 * stays in force as to what it refuses, and takes no new peer; live ones have its grace.  A
 * newer one is taken at any time.
 *
 * Memory:  sm_rules_new and _offer allocate; judging does not.  Views that getters give live
 *          until the next offer that returns OK.
 * Errors:  offer: TRUNCATED, MALFORMED, LIMIT, VERSION, UNSUPPORTED (grammar); AUTH (another
 *          mesh or environment); CRYPTO (not signed by who may); EXPIRED (issued in the
 *          future, or collateral past its end); STALE (older than what is held); EXISTS (the
 *          very same, or of another content under the same version: the first stays); NOMEM.
 * Source:  doc/manifest.md; doc/attestation.md.
 */
#include "attest/manifest.h"
#include "attest/revocation.h"

struct sm_rules;

/* -- documents --------------------------------------------------------------------------- */

/* These numbers go on the wire. */
enum sm_doc_kind {
    SM_DOC_MANIFEST = 1,
    SM_DOC_REVOCATION = 2,
    SM_DOC_TCB_INFO = 3,    /* Intel; name: TEE and FMSPC */
    SM_DOC_QE_IDENTITY = 4, /* Intel; name: TEE */
    SM_DOC_CRL = 5,         /* Intel or AMD; name: issuer */
    SM_DOC_KINDS
};
const char *sm_doc_kind_name(uint8_t kind); /* "manifest"; NULL for no kind */

#define SM_DOC_NAME   32u          /* which of its kind; zeros for those that are one */
#define SM_DOC_MAX    (128u << 10) /* bytes; Intel's largest list had 70,000 */
#define SM_DOCS_MAX   64u          /* held at once: two, and collateral of 20 processors */
#define SM_DOCS_BYTES (1u << 20)   /* all of them together */

struct sm_doc {
    uint8_t kind; /* enum sm_doc_kind */
    uint8_t name[SM_DOC_NAME];
    uint64_t version; /* higher is newer; compares only within one kind and name */
    uint8_t hash[32]; /* SHA-256 of the bytes */
    struct sm_view bytes;
};

/* What an offer changed. */
struct sm_rules_change {
    struct sm_doc doc;  /* as it is held now */
    uint64_t was;       /* the version before; 0: none */
    bool may_refuse;    /* somebody accepted before may be refused now: judge all again */
    bool is_anchor_new; /* roots or grades of sm_rules_anchor() changed */
};

/* The suite must outlive the rules; the anchor is copied. */
enum sm_err sm_rules_new(const struct sm_suite *suite, const struct sm_anchor *pinned,
                         struct sm_rules **out) SM_MUST;
void sm_rules_free(struct sm_rules *r);

/* why is cleared, then told what was wrong; out is untouched unless OK. */
enum sm_err sm_rules_offer(struct sm_rules *r, struct sm_wall now, uint8_t kind,
                           struct sm_view doc, struct sm_rules_change *out,
                           struct sm_reasons *why) SM_MUST;

/* Those held, in a fixed order: i from 0 until false.  Collateral that has ended by `now` is
 * passed over: it is kept so that none older comes back, and not given to others. */
bool sm_rules_doc(const struct sm_rules *r, struct sm_wall now, size_t i, struct sm_doc *out);
bool sm_rules_find(const struct sm_rules *r, struct sm_wall now, uint8_t kind,
                   const uint8_t name[static SM_DOC_NAME], struct sm_doc *out);

#define SM_RULES_LEASE_S 3600u /* without a manifest */

/* -- what is believed -------------------------------------------------------------------- */

/* The pinned anchor without the roots that were revoked, and with the manifest's grades.  The
 * pointer stays good for the life of the rules; what it points to changes with offers. */
const struct sm_anchor *sm_rules_anchor(const struct sm_rules *r);
const struct sm_mesh_manifest *sm_rules_manifest(const struct sm_rules *r);  /* or NULL */
const struct sm_revocations *sm_rules_revocations(const struct sm_rules *r); /* or NULL */

uint32_t sm_rules_lease_max_s(const struct sm_rules *r);
enum sm_manifest_binding sm_rules_binding(const struct sm_rules *r);
uint32_t sm_rules_epoch_max_s(const struct sm_rules *r);
bool sm_rules_is_observing(const struct sm_rules *r);

/* Any of them, NULL or empty when not known; in the list, or a measurement that the manifest
 * names as revoked, also while the rest of it is only watched.  `why` (or NULL) gets the
 * reason. */
bool sm_rules_is_revoked(const struct sm_rules *r, const struct sm_node_id *node_id,
                         struct sm_view platform_id, struct sm_view measurement,
                         struct sm_reasons *why);

/* -- judging ----------------------------------------------------------------------------- */

enum sm_verdict_kind {
    SM_VERDICT_REFUSED, /* zero, so that an empty verdict is one */
    SM_VERDICT_OK,
    SM_VERDICT_GRACE,    /* bad, and carried until `until` */
    SM_VERDICT_OBSERVED, /* taken; a manifest that enforces would refuse it */
};
const char *sm_verdict_name(enum sm_verdict_kind k);

/* Whose claims they are said to be. */
struct sm_subject {
    const struct sm_node_id *node_id;
    const uint8_t *platform_id; /* 32, as endorsed */
    struct sm_attester attester;
};
struct sm_subject sm_subject_of(const struct sm_node_record *believed);

/* What a verdict leaves for the next one about the same peer; the caller keeps it as long as
 * the tunnel.  Zeros: a new peer. */
struct sm_standing {
    bool was_ok;
    struct sm_wall failing_since; /* 0: not */
};

struct sm_verdict {
    enum sm_verdict_kind kind;
    struct sm_wall until; /* judge again by then at the latest: the end of the grace, or when
                             something in the manifest or the evidence ends; UINT64_MAX: no
                             end is known */
    uint16_t grade;       /* for trust, in thousandths */
    bool is_deprecated;   /* taken by a reference value that ends at `until` or later */
    char label[SM_LABEL_MAX + 1]; /* of the reference value that matched, or empty */
    struct sm_reasons why;        /* all of them; empty when OK */
};

/* Claims that sm_evidence_verify() gave.  report_data is what this session wants, or NULL for
 * claims stored since: then neither that nor their age is asked.  standing is brought up to
 * date.  Pure but for that. */
void sm_rules_appraise(const struct sm_rules *r, struct sm_wall now,
                       const struct sm_subject *who, const struct sm_claims *claims,
                       const uint8_t *report_data, struct sm_standing *standing,
                       struct sm_verdict *out);

/* The same verdict, and what was looked at on the way there, passed or not. */
void sm_rules_explain(const struct sm_rules *r, struct sm_wall now,
                      const struct sm_subject *who, const struct sm_claims *claims,
                      const uint8_t *report_data, struct sm_standing *standing,
                      struct sm_verdict *out, struct sm_checks *checks);
