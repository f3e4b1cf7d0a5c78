// SPDX-License-Identifier: Apache-2.0
#pragma once
/* known: results of public-key operations that are asked for again: the shared secret of our
 * static key with that of a neighbour who reconnects, and that a signature holds.
 *
 * Both are facts about the bytes alone.  They do not age, and no revocation, policy or clock
 * makes them wrong: who asks still checks all of those each time.  So nothing here needs to
 * be forgotten for safety, only for room; the oldest entries go first.
 *
 * Only what is not to be had for the asking goes in, else strangers would push out what is of
 * use: a shared secret when its peer has been proven, a signature when its signer has been
 * endorsed.
 *
 * Memory:  all in the structs; zeroed is empty.  sm_known_dh holds secrets: it belongs in
 *          secret memory, and is wiped with it.
 * Errors:  none; what is not known is NOTFOUND, or computed.
 */
#include "crypto/suite.h"

/* Neighbours of a node, and ends of its sessions: 64 tunnels and as many again. */
#define SM_KNOWN_DH 128u

struct sm_known_dh {
    struct sm_dh_pub own; /* all the secrets are of this key */
    struct {
        struct sm_dh_pub peer;
        struct sm_secret32 shared;
        uint64_t used; /* 0: empty */
    } at[SM_KNOWN_DH];
    uint64_t clock, hits;
};

/* NOTFOUND: not of this pair of keys. */
enum sm_err sm_known_dh_find(struct sm_known_dh *k, const struct sm_dh_pub *own,
                             const struct sm_dh_pub *peer, struct sm_secret32 *out) SM_MUST;
/* The peer is proven.  Another own key than before empties the table first. */
void sm_known_dh_add(struct sm_known_dh *k, const struct sm_dh_pub *own,
                     const struct sm_dh_pub *peer, const struct sm_secret32 *shared);
void sm_known_dh_wipe(struct sm_known_dh *k);

/* Two a node: a mesh of 1,000 nodes needs 2,000; 64 KiB. */
#define SM_KNOWN_SIG_SETS 512u
#define SM_KNOWN_SIG_WAYS 4u

struct sm_known_sigs {
    uint8_t at[SM_KNOWN_SIG_SETS][SM_KNOWN_SIG_WAYS][32];
    uint8_t next[SM_KNOWN_SIG_SETS]; /* the way that is overwritten next */
    uint64_t hits;
};

/* suite->verify, but for a signature that is known.  k may be NULL. */
enum sm_err sm_known_verify(struct sm_known_sigs *k, const struct sm_suite *suite,
                            const struct sm_sign_pub *key, struct sm_view msg,
                            const struct sm_sig *sig) SM_MUST;
