// SPDX-License-Identifier: Apache-2.0
#pragma once
/* revocation: who and what is believed no more, as the mesh's owners signed it.
 *
 * One list for the whole mesh, COSE_Sign1 by a pinned root over deterministic CBOR, with
 * external data "seemesh/revocation/1" || mesh id.  Its version only ever rises; a newer list
 * replaces the older one, so to take an entry back is to sign a list without it.  An entry
 * counts from the moment the list is believed; `since` says from when on the thing was not to
 * be trusted, for those who judge what it signed.
 *
 *     payload  {1: 1 (format), 2: mesh id, 3: environment, 4: version, 5: issued,
 *               6: [[kind, id, since, reason], ...]}      ascending by kind, then id; each once
 *
 * Memory:  entries are allocated; sm_revocations_done().
 * Errors:  as in attest/manifest.h.
 * Source:  doc/manifest.md; doc/wire.md.
 */
#include "attest/policy.h"

#define SM_REVOCATION_MAX   (60u << 10) /* bytes signed: 1,024 entries with short reasons */
#define SM_REVOKED_MAX      1024u /* more is a reason to make new keys, not a longer list */
#define SM_REVOKED_TEXT_MAX 64u

enum sm_revoked_kind {
    SM_REVOKED_NODE = 1,        /* node id, 32 */
    SM_REVOKED_PLATFORM = 2,    /* platform id of NODE records (32), or CHIP_ID, PPID, ... */
    SM_REVOKED_MEASUREMENT = 3, /* 32 to 64 */
    SM_REVOKED_ROOT = 4,        /* a root's public key, 32: it endorses and signs no more */
};

struct sm_revoked {
    uint8_t kind;
    struct sm_value id;
    struct sm_wall since;
    char reason[SM_REVOKED_TEXT_MAX + 1]; /* printable ASCII, for people */
};

struct sm_sign_pair;

struct sm_revocations {
    uint8_t mesh_id[32];
    uint8_t env;
    uint64_t version;
    struct sm_wall issued;
    size_t n;
    struct sm_revoked *e; /* ascending */
};

void sm_revocations_done(struct sm_revocations *l);

/* Insert in its place.  EXISTS, LIMIT, NOMEM, INVALID (kind, length, letters). */
enum sm_err sm_revocations_add(struct sm_revocations *l, const struct sm_revoked *e) SM_MUST;
/* NOTFOUND. */
enum sm_err sm_revocations_remove(struct sm_revocations *l, uint8_t kind,
                                  struct sm_view id) SM_MUST;
/* The entry, or NULL.  An empty id is never revoked.  Logarithmic. */
const struct sm_revoked *sm_revocations_find(const struct sm_revocations *l, uint8_t kind,
                                             struct sm_view id);

enum sm_err sm_revocations_read(struct sm_view payload, struct sm_revocations *out) SM_MUST;
void sm_revocations_write(const struct sm_revocations *l, struct sm_wr *w);

/* As for manifests.  A list that revokes the root which signed it is INVALID. */
enum sm_err sm_revocations_sign(const struct sm_suite *suite, const struct sm_sign_pair *root,
                                const struct sm_revocations *l, struct sm_buf *out) SM_MUST;
enum sm_err sm_revocations_verify(const struct sm_suite *suite, const struct sm_anchor *a,
                                  struct sm_view doc, struct sm_revocations *out,
                                  unsigned *out_root) SM_MUST;
enum sm_err sm_revocations_open(struct sm_view doc, struct sm_revocations *out) SM_MUST;

const char *sm_revoked_kind_name(uint8_t kind); /* "node"; NULL for no kind */
