// SPDX-License-Identifier: Apache-2.0
#pragma once
/* flowq: the short queue between a fast source of packets and a tunnel that is at times slower.
 *
 * Packets of one flow stay in order; flows take turns, and one that sends little goes ahead of
 * those that always have more, so that a ping or a key stroke does not wait behind a bulk
 * transfer.  A flow whose packets stay longer than 2 ms for 100 ms loses one now and then
 * (CoDel, RFC 8289), which tells its sender to slow down; when memory is short, the flow that
 * holds the most loses its oldest.
 *
 * The source writes where the packet will lie, the owner seals it there:
 *
 *     p = sm_flowq_room(q);  n = read(fd, p, SM_FLOWQ_PACKET);  sm_flowq_add(q, now, flow, dst,
 * n); while (sm_flowq_next(q, now, &packet)) { if (the way to packet.dst is free) { send
 * packet; sm_flowq_take(q); } else { sm_flowq_skip(q); }
 *     }
 *
 * sm_flowq_next says false when there is nothing, or when all that there is was skipped since
 * the last sm_flowq_again().
 *
 * Memory:  everything in sm_flowq_new.
 * Threads: one caller.
 * Source:  RFC 8290 (FQ-CoDel), with bytes of packets of up to 64 KiB in place of its MTU.
 */
#include "base/ids.h"
#include "base/time.h"
#include "core/pool.h"

#include <stdbool.h>

enum {
    SM_FLOWQ_FRONT = 64, /* free before each packet, for what seals it; the packet is 16-byte
                            aligned but for SM_FLOWQ_SHIFT */
    SM_FLOWQ_SHIFT = 6,
    SM_FLOWQ_BACK = 16,
    SM_FLOWQ_PACKET = 65594,
};

struct sm_flowq;
struct sm_flowq *sm_flowq_new(size_t bytes); /* NULL: out of memory */
void sm_flowq_free(struct sm_flowq *q);      /* NULL is fine */

/* Where the next packet is to be written, SM_FLOWQ_PACKET bytes; never NULL. */
uint8_t *sm_flowq_room(struct sm_flowq *q);
/* The n > 0 bytes there are a packet of this flow, which any 32 bits that differ tell apart. */
void sm_flowq_add(struct sm_flowq *q, struct sm_mono now, uint32_t flow, struct sm_hop dst,
                  size_t n);

struct sm_flowq_packet {
    uint8_t *p; /* the caller's to change, with FRONT before and BACK behind */
    size_t n;
    uint32_t flow;
    struct sm_hop dst;
    struct sm_mono since;
};
bool sm_flowq_next(struct sm_flowq *q, struct sm_mono now, struct sm_flowq_packet *out);
void sm_flowq_take(struct sm_flowq *q); /* the packet of the last next() is gone */
void sm_flowq_skip(struct sm_flowq *q); /* its flow waits until again() */
void sm_flowq_again(struct sm_flowq *q);

struct sm_flowq_stats {
    uint32_t packets, flows;
    uint64_t bytes;
    uint64_t dropped_full, dropped_late;
};
struct sm_flowq_stats sm_flowq_stats(const struct sm_flowq *q);
