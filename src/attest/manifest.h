// SPDX-License-Identifier: Apache-2.0
#pragma once
/* manifest: what a mesh takes, as its owners signed it.
 *
 * One document for the whole mesh: which platforms, which programs on them, how new their
 * firmware must be, for how long a proof holds, and whether all that is enforced or only
 * watched.  It is COSE_Sign1 by a pinned root over deterministic CBOR, with external data
 * "seemesh/manifest/1" || mesh id, so a root that serves two meshes cannot mix them up.  Its
 * version only ever rises (attest/rules.h keeps it so).
 *
 *     payload  {1: 1 (format), 2: mesh id, 3: environment, 4: version, 5: issued, 6: not_after,
 *               7: mode, 8: binding, 9: lease_max_s, 10: grace_s, 11: epoch_max_s,
 *               12: [[platform, grade, any measurement], ...]       ascending
 *               13: [[label, platform, kind, register, value, state, until, min_svn], ...]
 *               14: [[label, platform id], ...]
 *               15: [[floors of milan], [genoa], [turin], min_abi, vmpl, must, must_not,
 *                    policy_must_not, vlek]
 *               16: [[until of each status], min_tcb_date, min_tcb_eval, [advisories],
 *                    attributes, sept_ve, service_td]
 *               17: [debug, migration, unknown bits, needs_crl, max_age_s, replayed]
 *               18: [t, n, per vendor, per operator, per site]}
 *
 * All keys are there, in this order, and nothing else; what reads here writes to the same
 * bytes.  People write the text form: attest/manifest_text.h.
 *
 * A reference value is `active`, `deprecated` until a time, after which it counts no more, or
 * `revoked`, which refuses whoever shows it even where any measurement is taken.  A list
 * without a value that counts matches nothing; to take any measurement is a flag, and only
 * the development environment knows it.
 *
 * Memory:  the lists are allocated, exactly as long as they are; sm_mesh_manifest_done().
 * Errors:  read: TRUNCATED, MALFORMED, LIMIT, VERSION (a later format), NOMEM; verify: those,
 *          AUTH (another mesh or environment), CRYPTO (no pinned root signed it).
 * Source:  doc/manifest.md; doc/wire.md.
 */
#include "attest/policy.h"

/* A document fits a message of gossip in a few pieces and a COSE_Sign1 of ours. */
#define SM_MESH_MANIFEST_MAX (48u << 10)

#define SM_REFVALS_MAX     256u /* with 8 platforms: 4 programs in 8 versions each */
#define SM_ALLOWED_MAX     256u /* who lists machines by hand has no more of them */
#define SM_LABEL_MAX       32u  /* as a section's name in the text form */
#define SM_ADVISORY_TEXT   20u  /* as in struct sm_claims */
#define SM_LEASE_MAX_S     86400u
#define SM_LEASE_MIN_S     60u
#define SM_GRACE_MAX_S     (7u * 86400u)
#define SM_EPOCH_MAX_S     600u /* a leaked epoch key is good for no longer */
#define SM_COMMITTEE_MAX   64u
#define SM_MANIFEST_LIFE_S (5ull * 366u * 86400u)

enum sm_refval_kind {
    SM_REFVAL_MEASUREMENT = 1,
    SM_REFVAL_SIGNER = 2, /* with min_svn */
    SM_REFVAL_REGISTER = 3,
    SM_REFVAL_HOST_DATA = 4,
};
enum sm_refval_state {
    SM_REFVAL_ACTIVE = 1,
    SM_REFVAL_DEPRECATED = 2, /* counts before `until` */
    SM_REFVAL_REVOKED = 3,
};

struct sm_refval {
    char label[SM_LABEL_MAX + 1]; /* [a-z0-9_-], its own in this manifest */
    uint8_t platform;             /* enum sm_platform */
    uint8_t kind, state;
    uint8_t reg; /* SM_REFVAL_REGISTER */
    struct sm_value value;
    struct sm_wall until; /* SM_REFVAL_DEPRECATED */
    uint32_t min_svn;     /* SM_REFVAL_SIGNER */
};

/* A machine that is let in; once there is one, only those listed are.  Either the platform id
 * of NODE records (32 bytes) or what the hardware says (CHIP_ID, PPID, ...). */
struct sm_allowed {
    char label[SM_LABEL_MAX + 1];
    struct sm_value id;
};

enum sm_manifest_mode { SM_MODE_ENFORCE = 1, SM_MODE_OBSERVE = 2 };
enum sm_manifest_binding { SM_BINDING_SESSION = 1, SM_BINDING_EPOCH = 2 };

/* Who may hold shares of the mesh's keys together.  All zero: no committee is named. */
struct sm_committee_rule {
    uint8_t t, n;
    uint8_t max_vendor, max_operator, max_site; /* members of one; each below t */
};

struct sm_sign_pair;

struct sm_mesh_manifest {
    uint8_t mesh_id[32];
    uint8_t env; /* enum sm_env */
    uint64_t version;
    struct sm_wall issued, not_after;
    uint8_t mode;    /* enum sm_manifest_mode */
    uint8_t binding; /* enum sm_manifest_binding */
    uint32_t lease_max_s, grace_s, epoch_max_s;

    uint16_t grade[SM_PLATFORMS]; /* in thousandths; 0: not taken */
    uint32_t any_measurement;     /* bit per platform; development only */

    /* Floors and flags; its lists are empty but for the advisories. */
    struct sm_hw_policy hw;
    uint8_t n_advisories;
    char advisories[SM_ADVISORIES][SM_ADVISORY_TEXT];

    struct sm_committee_rule committee;

    size_t n_refs;
    struct sm_refval *refs;
    size_t n_allowed;
    struct sm_allowed *allowed;
};

/* sm_hw_policy_default(), no platform, no reference value; a lease of one hour, no grace,
 * binding to the session, enforcing; version 0, which is none. */
void sm_mesh_manifest_default(struct sm_mesh_manifest *out);
void sm_mesh_manifest_done(struct sm_mesh_manifest *m); /* frees the lists */

/* Append a copy.  LIMIT, NOMEM; EXISTS when the label or the same value is there. */
enum sm_err sm_mesh_manifest_add(struct sm_mesh_manifest *m, const struct sm_refval *v) SM_MUST;
enum sm_err sm_mesh_manifest_allow(struct sm_mesh_manifest *m,
                                   const struct sm_allowed *id) SM_MUST;

/* Every rule that is not one of encoding; INVALID, and `why` names the field (may be NULL). */
enum sm_err sm_mesh_manifest_check(const struct sm_mesh_manifest *m, const char **why) SM_MUST;

/* The payload.  write: LIMIT through w; the manifest must pass sm_mesh_manifest_check. */
enum sm_err sm_mesh_manifest_read(struct sm_view payload, struct sm_mesh_manifest *out) SM_MUST;
void sm_mesh_manifest_write(const struct sm_mesh_manifest *m, struct sm_wr *w);

/* The signed document.  sign: INVALID, LIMIT.  verify: by any root of the anchor, whose index
 * is out_root (may be NULL).  open: what the document says, whoever signed it: to show only. */
enum sm_err sm_mesh_manifest_sign(const struct sm_suite *suite, const struct sm_sign_pair *root,
                                  const struct sm_mesh_manifest *m, struct sm_buf *out) SM_MUST;
enum sm_err sm_mesh_manifest_verify(const struct sm_suite *suite, const struct sm_anchor *a,
                                    struct sm_view doc, struct sm_mesh_manifest *out,
                                    unsigned *out_root) SM_MUST;
enum sm_err sm_mesh_manifest_open(struct sm_view doc, struct sm_mesh_manifest *out) SM_MUST;

/* The words of the text form; NULL for numbers that are none. */
const char *sm_refval_kind_name(uint8_t kind);
const char *sm_refval_state_name(uint8_t state);
