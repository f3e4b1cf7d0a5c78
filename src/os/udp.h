// SPDX-License-Identifier: Apache-2.0
#pragma once
/* udp: datagrams in batches.
 *
 * A batch is a run of datagrams of one length, of which the last may be shorter, from or to one
 * address.  The kernel cuts and joins it where it can (UDP_SEGMENT, UDP_GRO): one call for 64
 * KB instead of 45.  Where it cannot, datagrams go one by one.  No router may cut a datagram of
 * ours (DF is set), and the kernel's own idea of the path's MTU is not asked: core/dgram.h
 * finds it.
 *
 * What the socket does not take waits in a short queue; what does not fit there is dropped, as
 * the network does.
 *
 * Memory:  512 KiB to receive into, at most UDP_QUEUE to send.
 * Errors:  as os/net.h and os/loop.h.
 * Source:  udp(7); the traps are in the notes of udp.c.
 */
#include "base/bytes.h"
#include "os/loop.h"

/* A bound UDP socket.  Port 0 takes a free one: ask sm_tcp_local(). */
enum sm_err sm_udp_bind(const struct sm_inet *at, int *out_fd) SM_MUST;

struct sm_udp;
/* Call `got` for every batch that comes; the bytes live until it returns and are the callee's
 * to change.  Owns fd when it succeeds. */
enum sm_err sm_udp_new(struct sm_loop *l, int fd,
                       void (*got)(void *ctx, const struct sm_inet *from, uint8_t *p, size_t n,
                                   size_t segment),
                       void *ctx, struct sm_udp **out) SM_MUST;
void sm_udp_free(struct sm_udp *u); /* NULL is fine */

/* At most 64 datagrams and 64,900 bytes.  Copied when they have to wait. */
void sm_udp_send(struct sm_udp *u, const struct sm_inet *to, struct sm_view bytes,
                 size_t segment);

struct sm_udp_stats {
    uint64_t sent, calls, dropped; /* datagrams; calls that sent them; datagrams */
    uint64_t got, reads;
    bool has_segments; /* the kernel cuts batches */
};
struct sm_udp_stats sm_udp_stats(const struct sm_udp *u);
uint8_t sm_udp_family(const struct sm_udp *u); /* 4 or 6 */
