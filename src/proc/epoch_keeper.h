// SPDX-License-Identifier: Apache-2.0
#pragma once
/* epoch_keeper: evidence bound to an epoch, from a platform that need only be asked now and
 * then (attest/epoch.h).
 *
 * An epoch is good for ten minutes and replaced after three, and at once when a session's peer
 * would not believe it: a renewal must name the beacon of the lease before, or its own.  The
 * beacons of all sessions are in each new epoch, so however many neighbours there are, the
 * platform is asked about once in three minutes.
 *
 * Memory:  the key in secret memory, two buffers; sm_epoch_keeper_done() wipes.
 * Errors:  those of collect; while it fails, an epoch that is still good goes on.  BUSY: a new
 *          one is needed and the last is ten seconds young, for a peer may ask every second.
 */
#include "attest/epoch.h"
#include "base/bytes.h"
#include "base/time.h"

#define SM_EPOCH_RENEW SM_S(180)
#define SM_EPOCH_GAP   SM_S(10) /* however often peers ask for a new one */

struct sm_epoch_keeper {
    const struct sm_suite *suite;
    const struct sm_sign_pair *node;
    uint8_t boot_id[SM_BOOT_ID];
    /* An envelope of the platform over that report data. */
    enum sm_err (*collect)(void *ctx, const uint8_t report_data[static SM_REPORT_DATA],
                           struct sm_wr *w);
    void *ctx;

    struct sm_sign_pair *pair; /* of the epoch; NULL: there is none */
    struct sm_mono made;
    struct sm_wall expires;
    uint8_t statement[SM_STATEMENT_MAX];
    size_t statement_n;
    struct sm_buf platform; /* its envelope */
    struct sm_keeper_session {
        uint8_t h[32];
        uint8_t role;
        uint8_t beacon[SM_BEACON]; /* of its last request */
        uint64_t used;             /* 0: free; else when, in requests */
    } sessions[SM_BEACONS_MAX];
    uint64_t requests, epochs;
};

/* suite, node, boot_id, collect and ctx are set by the caller, the rest zero. */
void sm_epoch_keeper_init(struct sm_epoch_keeper *k);
void sm_epoch_keeper_done(struct sm_epoch_keeper *k);

/* Append an envelope for this session. */
enum sm_err sm_epoch_keeper_sign(struct sm_epoch_keeper *k, struct sm_mono now,
                                 struct sm_wall wall, const struct sm_binding *b,
                                 struct sm_wr *w) SM_MUST;
