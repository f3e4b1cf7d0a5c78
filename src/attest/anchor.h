// SPDX-License-Identifier: Apache-2.0
#pragma once
/* anchor: what a node believes from its configuration alone, and how records earn belief.
 *
 * An anchor names one mesh in one environment and pins the public keys that may endorse a
 * node.  Everything else follows: mesh id and network from the names and the first root, node
 * ids from endorsed platform identities, and the Noise prologue, which keeps development and
 * production nodes from finishing a handshake at all.
 *
 * A NODE record is believed when a pinned root endorsed its sign_key for a platform, its
 * node id follows from that platform, sign_key signed it, and neither the node, nor its
 * platform, nor its measurement is revoked.  An ENDPOINT record is believed
 * when the believed node signed it.
 *
 * Memory:  never allocates; results hold no pointers.
 * Errors:  TRUNCATED, MALFORMED, LIMIT (grammar); AUTH (another network or node id);
 *          EXPIRED; CRYPTO (a signature); REFUSED (revoked, or a platform this anchor does
 *          not take).
 * Source:  doc/wire.md, section 2; doc/attestation.md.
 */
#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"
#include "wire/record.h"

struct sm_reasons;
struct sm_attest_cache;
struct sm_rules;
struct sm_suite;
struct sm_known_sigs;
struct sm_makers;

enum sm_env {
    SM_ENV_DEV = 1,
    SM_ENV_PROD = 2,
};
const char *sm_env_name(enum sm_env env); /* "dev", "prod" */

#define SM_ANCHOR_ROOTS_MAX 4u /* one in use, one to come, one to go, one spare */
#define SM_MESH_NAME_MAX    64u
#define SM_PROLOGUE_MAX     64u

struct sm_anchor {
    enum sm_env env;
    uint8_t mesh_id[32];
    uint32_t network;
    uint8_t n_roots;
    uint8_t roots[SM_ANCHOR_ROOTS_MAX][32]; /* Ed25519 public keys */
    /* How much an appraised platform is worth as the grade A of trust, in thousandths;
     * 0 refuses the platform. */
    uint16_t grade[SM_PLATFORMS];
    /* The hardware makers' roots (attest/roots.h).  NULL: the pinned ones, as always outside of
     * tests; no configuration sets this. */
    const struct sm_makers *trust;
    /* Where the signatures under endorsements and records that have held are remembered, so
     * that a record seen before costs a hash; NULL: nowhere.  Outlives the anchor's users. */
    struct sm_known_sigs *known;
    struct sm_attest_cache *cache; /* the same for hardware's evidence (attest/cache.h) */
    const struct sm_rules *rules;  /* who is revoked (attest/rules.h); NULL: nobody is */
};

/* Derive mesh id and network, and set the environment's grades: both take the hardware
 * platforms, development takes software too and production never.  INVALID without a root,
 * with more than SM_ANCHOR_ROOTS_MAX, or with a name that is empty or too long. */
enum sm_err sm_anchor_make(enum sm_env env, const char *mesh_name, const uint8_t (*roots)[32],
                           size_t n_roots, struct sm_anchor *out) SM_MUST;

/* "seemesh/1/dev" or "seemesh/1/prod", then the mesh id. */
void sm_anchor_prologue(const struct sm_anchor *a, struct sm_wr *w);

/* SHA-256("seemesh-id-1" || platform_id || index || network). */
void sm_node_id_make(const uint8_t platform_id[static 32], uint8_t index, uint32_t network,
                     struct sm_node_id *out);

/* Check network, times and signature of a whole record of any type.  The grammar of its body
 * is the caller's.  Its signature is not remembered: most are seen once. */
enum sm_err sm_record_verify(const struct sm_suite *suite, const struct sm_anchor *a,
                             struct sm_wall now, struct sm_view record, uint8_t type,
                             const uint8_t sign_key[static 32]) SM_MUST;

/* Everything: grammar, network, times, endorsement by a pinned root for this environment, node
 * id, signature.  Sets out->platform_id. */
enum sm_err sm_node_record_verify(const struct sm_suite *suite, const struct sm_anchor *a,
                                  struct sm_wall now, struct sm_view record,
                                  struct sm_node_record *out) SM_MUST;

/* Who holds the other end of a session. */
struct sm_passport {
    struct sm_addr addr;
    uint8_t kind; /* enum sm_endpoint_kind */
    uint8_t sign_key[32];
    uint8_t dh_key[32];
    uint8_t measurement[48];
    struct sm_wall expires; /* the earlier of its records */
    struct sm_node_record node;
};

/* Is whoever was believed before revoked by now?  Of an endpoint, its measurement counts too.
 * why may be NULL; it is added to. */
bool sm_node_is_revoked(const struct sm_anchor *a, const struct sm_node_record *rec,
                        struct sm_reasons *why);
bool sm_passport_is_revoked(const struct sm_anchor *a, const struct sm_passport *p);

enum sm_err sm_passport_verify(const struct sm_suite *suite, const struct sm_anchor *a,
                               struct sm_wall now, struct sm_view passport,
                               struct sm_passport *out) SM_MUST;
