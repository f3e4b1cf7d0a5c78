// SPDX-License-Identifier: Apache-2.0
#pragma once
/* refusals: who was refused lately, by us or us by whom, and why.
 *
 * For the operator at either end.  The same from the same source is one entry that counts; when
 * the table is full the one that was last seen longest ago goes, so a crowd can push out what
 * is old and no more.
 *
 * Memory:  SM_REFUSALS_MAX entries, made when they are needed; sm_refusals_done() frees them.
 * Errors:  none: out of memory forgets.
 */
#include "attest/reason.h"
#include "base/ids.h"
#include "base/time.h"
#include "wire/record.h"

#define SM_REFUSALS_MAX 32u /* what a person reads; 70 KB when full */

struct sm_refusal {
    struct sm_wall first, last;
    uint64_t count;
    struct sm_net_addr peer; /* family 0: not known */
    bool has_node;
    struct sm_node_id node;
    bool is_by_peer;    /* it refused us */
    bool was_up;        /* a tunnel that was up, not a handshake */
    uint8_t platform;   /* of who was refused; SM_PLATFORMS: not known */
    uint64_t lease_seq; /* of the proof that was refused */
    struct sm_reasons why;
};

struct sm_refusals {
    struct sm_refusal *e[SM_REFUSALS_MAX];
};

/* Take one in; what is kept of it, or NULL. */
const struct sm_refusal *sm_refusals_add(struct sm_refusals *t, const struct sm_refusal *r);
/* The i-th, the latest first; NULL behind the last. */
const struct sm_refusal *sm_refusals_at(const struct sm_refusals *t, unsigned i);
void sm_refusals_done(struct sm_refusals *t);
