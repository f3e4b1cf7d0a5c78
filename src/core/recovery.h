// SPDX-License-Identifier: Apache-2.0
#pragma once
/* recovery: which numbered datagrams have arrived, and how many more may be on their way.
 *
 * The owner numbers its datagrams 0, 1, 2 ... and tells of each when it goes; the peer's
 * acknowledgements come back as ranges.  Of every datagram that wants one, the owner is told
 * once: arrived or lost.  It is lost when one sent three later has arrived, or when nothing has
 * been heard for the time that an answer takes.  What is to be sent again is the owner's affair
 * and goes under a new number.
 *
 * Bytes in flight stay below a window that doubles each round trip until something is lost or
 * the path begins to queue, then grows by a datagram a round trip and falls by three tenths
 * when something is lost (RFC 9002, RFC 9406 in simpler form).
 *
 * Memory:  a ring that grows with what is in flight, to 4,096 datagrams of 24 bytes.
 * Errors:  sent: NOMEM.  acked: MALFORMED, when a number was never sent.
 */
#include "base/bytes.h"
#include "base/time.h"
#include "wire/fragment.h"

#include <stdbool.h>
#include <stdint.h>

/* One datagram.  kind, offset and n are the owner's. */
struct sm_sent {
    struct sm_mono at;
    uint64_t offset;
    uint16_t n;
    uint16_t bytes;
    uint8_t kind;
    uint8_t state;
    bool is_trial; /* may well be lost: that says nothing of the path's load */
};

struct sm_recovery {
    struct sm_sent *ring;
    uint32_t cap;
    uint64_t low, next; /* numbers [low, next) are in the ring */
    uint64_t acked_top; /* one above the highest that has arrived */
    uint64_t cut_at;    /* the window was cut for all numbers below */
    uint64_t in_flight, window, threshold, window_max;
    struct sm_dur rtt, rtt_var, rtt_min;
    bool has_rtt;
    unsigned backoff;
    struct sm_mono timeout_at;
    uint64_t n_arrived, n_lost;
    uint32_t loss; /* of the latest, 65,536 = all */
};

typedef void sm_recovery_told(void *ctx, const struct sm_sent *s, bool has_arrived);

void sm_recovery_init(struct sm_recovery *r, size_t window_max);
void sm_recovery_done(struct sm_recovery *r);

/* May a datagram go out now that wants to be acknowledged? */
bool sm_recovery_has_room(const struct sm_recovery *r, size_t bytes);

/* The datagram with number r->next goes.  wants_ack: it counts as in flight, and the owner will
 * be told of it. */
enum sm_err sm_recovery_sent(struct sm_recovery *r, const struct sm_sent *s, bool wants_ack,
                             sm_recovery_told *told, void *ctx) SM_MUST;
enum sm_err sm_recovery_acked(struct sm_recovery *r, struct sm_mono now,
                              const struct sm_frame_ack *ack, sm_recovery_told *told,
                              void *ctx) SM_MUST;

/* When nothing was heard in time, all that is in flight is lost. */
void sm_recovery_tick(struct sm_recovery *r, struct sm_mono now, sm_recovery_told *told,
                      void *ctx);
struct sm_mono sm_recovery_deadline(const struct sm_recovery *r);

/* The way to the peer has changed: nothing is known of the new one. */
void sm_recovery_new_path(struct sm_recovery *r);
