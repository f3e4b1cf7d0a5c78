// SPDX-License-Identifier: Apache-2.0
#pragma once
/* packet: what a relay sees: the path, whose turn it is, and sealed bytes.
 *
 * The sender names the whole path (source routing, DESIGN 6), so private views of trust
 * cannot make loops.  A relay moves one index forward in place and passes the same bytes on;
 * nothing is copied.
 *
 *     u8 version = 1, u8 kind, u8 n_hops 1..16, u8 at     at: index of the hop that is
 *     u32 src_ep, u64 src                                     to receive the packet
 *     u32 dst_ep, u8 hop_limit, u8 path_slot 0..3, u16 payload offset
 *     n_hops x u64 hops (the last is the destination), zeros up to a multiple of 16
 *     payload, at most SM_PACKET_PAYLOAD_MAX bytes
 *
 * No hop may be named twice, and the source only as the single hop of a packet that one
 * endpoint of a node sends to another of the same node.  There is one encoding.
 *
 * Memory:  never allocates; views point into the caller's bytes.
 * Errors:  TRUNCATED, MALFORMED, VERSION.
 * Source:  doc/wire.md, section 8.
 */
#include "base/bytes.h"
#include "base/ids.h"

enum {
    SM_PACKET_VERSION = 1,
    SM_PACKET_SESSION = 1, /* the one kind so far: a session's message or fragment */
    SM_PACKET_HOPS_MAX = 16,
    SM_PACKET_SLOTS = 4,           /* disjoint paths a sender spreads over */
    SM_PACKET_FIXED = 24,          /* bytes before the hops */
    SM_PACKET_HEADER_MAX = 160,    /* with 16 hops, padded */
    SM_PACKET_PAYLOAD_MAX = 65632, /* the longest datagram with its head and tag */
    SM_PACKET_MAX = SM_PACKET_HEADER_MAX + SM_PACKET_PAYLOAD_MAX,
};

struct sm_packet {
    uint8_t kind, n_hops, at, hop_limit, path_slot;
    struct sm_hop src;
    uint32_t src_ep, dst_ep;
    struct sm_hop hops[SM_PACKET_HOPS_MAX];
    struct sm_view payload;
};

/* Bytes of the header with so many hops. */
size_t sm_packet_header_len(unsigned n_hops);

/* Write the header of p for its first hop: `at` is taken as 0, hop_limit as n_hops.  The
 * payload is not written: it follows, and the caller usually has it in place.  INVALID when p
 * breaks a rule above; what does not fit makes w fail. */
enum sm_err sm_packet_head_write(const struct sm_packet *p, struct sm_wr *w) SM_MUST;

/* Read a whole packet; out->payload points into bytes. */
enum sm_err sm_packet_read(struct sm_view bytes, struct sm_packet *out) SM_MUST;

/* Where the packet began and where it is to end. */
struct sm_addr sm_packet_src(const struct sm_packet *p);
struct sm_addr sm_packet_dst(const struct sm_packet *p);

/* What to do with a packet that arrived. */
enum sm_packet_fate {
    SM_PACKET_DELIVER,    /* it has reached its destination node */
    SM_PACKET_FORWARD,    /* advanced in place; pass it to *next */
    SM_PACKET_BAD,        /* breaks the grammar, or names a hop twice */
    SM_PACKET_NOT_OURS,   /* another hop was to receive it */
    SM_PACKET_WRONG_FROM, /* came from a neighbour the path does not have before us */
    SM_PACKET_LIMIT,      /* its hop limit is used up */
};
const char *sm_packet_fate_words(enum sm_packet_fate fate);

/* Decide what becomes of the n bytes at p, which the neighbour `from` handed to us.  Only
 * SM_PACKET_FORWARD changes them: `at` moves to *next and the hop limit falls.  Whether *next
 * is a neighbour is for the caller to see. */
enum sm_packet_fate sm_packet_forward(uint8_t *p, size_t n, struct sm_hop self,
                                      struct sm_hop from, struct sm_hop *next);
