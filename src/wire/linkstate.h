// SPDX-License-Identifier: Apache-2.0
#pragma once
/* linkstate: the signed record in which a node names its neighbours.
 *
 *     head (type 3), node_id 32, area u32, n u16 <= 64,
 *     n x {neighbour u64, cost class u8, trust class u8}, signature 64 by the node's sign_key
 *
 * Neighbours ascend strictly, so there is one encoding.  Classes are steps of 2^(1/4)
 * (core/fixed.h) in units of 1/16 ms: of latency and queue towards the neighbour, and of what
 * the neighbour's trust costs in the eyes of the announcer, which others may show but do not
 * add up: trust is each node's own view.
 *
 * Memory:  never allocates; the parsed form holds no pointers.
 * Errors:  TRUNCATED, MALFORMED, VERSION.  The signature is checked by attest/anchor.h.
 * Source:  doc/wire.md, section 2.
 */
#include "wire/record.h"

enum {
    SM_LINKS_MAX = 64, /* neighbours of a node: more tunnels than a small host should hold */
    SM_LINK_CLASS_MAX = 80,
    SM_LINKSTATE_RECORD_MAX = 32 + 32 + 4 + 2 + SM_LINKS_MAX * 10 + 64,
};

struct sm_link {
    struct sm_hop hop;
    uint8_t cost_class, trust_class; /* at most SM_LINK_CLASS_MAX */
};

struct sm_linkstate {
    struct sm_record_head head;
    struct sm_node_id node_id;
    uint32_t area;
    uint16_t n;
    struct sm_link links[SM_LINKS_MAX];
};

/* Parse a whole record; the signature is present but not checked. */
enum sm_err sm_linkstate_read(struct sm_view record, struct sm_linkstate *out) SM_MUST;

/* Everything before the signature.  Fills head.type itself; links must ascend. */
void sm_linkstate_write(const struct sm_linkstate *ls, struct sm_wr *w);

/* The link to a neighbour; NULL when it is not named. */
const struct sm_link *sm_linkstate_find(const struct sm_linkstate *ls, struct sm_hop hop);
