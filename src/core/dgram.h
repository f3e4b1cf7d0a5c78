// SPDX-License-Identifier: Apache-2.0
#pragma once
/* dgram: a carrier for one tunnel over datagrams.
 *
 * A tunnel wants a stream for its handshake and its control, and something quick for packets.
 * Over datagrams:
 *
 *   - handshake messages go in clear, one flight a datagram; the dialer sends its flight again
 *     until an answer comes, the answerer only answers, and never with more than it got;
 *   - then the tunnel's stream of sealed frames goes in sealed datagrams, reliably and in order
 *     (core/arq.h), and packets go unreliably, cut to the path's MTU, each piece sealed by
 * itself with an explicit counter.
 *
 * The keys are the tunnel's handshake's, but others than its stream has.  Each direction goes
 * to a next key by count and by time; the phase in the head says which one, and the receiver
 * has three, so that what is late still opens.  A window over the counters refuses what came
 * before.
 *
 * How much goes is decided by core/recovery.h; the MTU of the path by padded probes (RFC 8899);
 * where to, by the newest counter: when that comes from a new address, the address is asked to
 * send a token back, and only then does traffic move there.
 *
 *     sm_dgram_input(d, now, &from, p, n, segment);  while (sm_dgram_next(d, &in)) { ... }
 *     sm_dgram_stream(d, bytes), sm_dgram_packet(d, bytes);
 *     while (sm_dgram_send(d, now, &batch)) { ... }
 *     sm_dgram_tick(d, now) at sm_dgram_deadline(d)
 *
 * Memory:  queue_bytes of packets, twice SM_ARQ_WINDOW of stream, SM_PIECES_OPEN packets in
 *          pieces; all on demand.
 * Errors:  what is wrong with a datagram that does not open is counted and drops it; what the
 *          peer says under its key is its own doing and ends the carrier: FAILED.
 * Source:  doc/wire.md, section 4; RFC 8899; RFC 9000, sections 8 and 9; RFC 9002.
 */
#include "base/bytes.h"
#include "base/time.h"
#include "crypto/suite.h"
#include "wire/record.h"

#include <stdint.h>

struct sm_dgram;

/* Where datagrams go to and come from: the far address, and which of our sockets. */
struct sm_path {
    struct sm_net_addr addr;
    uint8_t sock;
};
bool sm_path_eq(const struct sm_path *a, const struct sm_path *b);

struct sm_dgram_cfg {
    const struct sm_suite *suite;
    uint8_t seed[32];
    bool is_dialer;
    uint32_t own_id;       /* not 0; what the peer is to write into datagrams to us */
    uint32_t peer_id;      /* answerer: what the first datagram says of its sender */
    uint8_t flight;        /* answerer: the flight that came first, to be given by input() */
    struct sm_path path;   /* to the peer, as far as known */
    size_t queue_bytes;    /* packets that may wait; 0: 256 KiB */
    size_t window_max;     /* bytes in flight; 0: 4 MiB */
    struct sm_dur rekey;   /* 0: 120 s */
    uint64_t rekey_frames; /* 0: 2^22, half of what RFC 9001 allows AES-GCM */
};

/* NULL: out of memory. */
struct sm_dgram *sm_dgram_new(const struct sm_dgram_cfg *cfg);
void sm_dgram_free(struct sm_dgram *d); /* NULL is fine; wipes */

/* -- receiving --------------------------------------------------------------------------- */

/* Datagrams that came together: each `segment` bytes but the last.  They are opened where they
 * lie and must stay until next() says false. */
void sm_dgram_input(struct sm_dgram *d, struct sm_mono now, const struct sm_path *from,
                    uint8_t *p, size_t n, size_t segment);

enum sm_dgram_in_kind {
    SM_DGRAM_IN_STREAM, /* bytes of the stream, in order; the caller's to change */
    SM_DGRAM_IN_PACKET, /* a packet; likewise */
    SM_DGRAM_IN_FAILED, /* the end: err */
};
struct sm_dgram_in {
    enum sm_dgram_in_kind kind;
    uint8_t *p;
    size_t n;
    enum sm_err err;
};
bool sm_dgram_next(struct sm_dgram *d, struct sm_dgram_in *out);
/* Some of the input is still to be read: what it asks for is answered when all is. */
bool sm_dgram_is_reading(const struct sm_dgram *d);

/* -- sending ----------------------------------------------------------------------------- */

/* Handshake messages, before keys(): they make the next flight. */
void sm_dgram_hand(struct sm_dgram *d, struct sm_view messages);
enum sm_err sm_dgram_keys(struct sm_dgram *d, struct sm_mono now, enum sm_aead_kind cipher,
                          const struct sm_secret32 *send,
                          const struct sm_secret32 *recv) SM_MUST;

/* Bytes that stream() would take. */
size_t sm_dgram_room(const struct sm_dgram *d);
enum sm_err sm_dgram_stream(struct sm_dgram *d, struct sm_view bytes) SM_MUST;
/* BUSY: the queue is full, nothing was taken.  LIMIT: longer than SM_DGRAM_PACKET_MAX. */
enum sm_err sm_dgram_packet2(struct sm_dgram *d, struct sm_view a,
                             struct sm_view b) SM_MUST; /* one packet of two parts */
static inline enum sm_err sm_dgram_packet(struct sm_dgram *d, struct sm_view bytes)
{
    return sm_dgram_packet2(d, bytes, (struct sm_view){0});
}
/* A packet of so many bytes has several pieces, and the path loses so many datagrams that it
 * had better go in the stream: one piece in twenty lost is every second packet of 17. */
bool sm_dgram_is_risky(const struct sm_dgram *d, size_t bytes);
size_t sm_dgram_queued(const struct sm_dgram *d); /* bytes of packets that wait */

/* Datagrams to send now, each `segment` bytes but the last, which may be shorter; at most 64,
 * and 64,900 bytes.  They live until the next call.  False when there is nothing, or when it
 * has to wait. */
struct sm_dgram_batch {
    struct sm_view bytes;
    size_t segment;
    struct sm_path to;
};
bool sm_dgram_send(struct sm_dgram *d, struct sm_mono now, struct sm_dgram_batch *out);

/* What the stream still holds goes once, whether there is room for it or not: last words. */
void sm_dgram_hurry(struct sm_dgram *d);

/* -- time, and what it is ---------------------------------------------------------------- */

void sm_dgram_tick(struct sm_dgram *d, struct sm_mono now);
struct sm_mono sm_dgram_deadline(const struct sm_dgram *d);

struct sm_dgram_info {
    struct sm_path path;
    uint32_t mtu;  /* bytes of a datagram */
    uint32_t loss; /* of the latest datagrams, 65,536 = all */
    struct sm_dur rtt;
    uint64_t n_lost, n_arrived, n_dropped; /* dropped: did not open, or came before */
    uint32_t moves;                        /* the peer's address has changed */
};
struct sm_dgram_info sm_dgram_info(const struct sm_dgram *d);
uint32_t sm_dgram_peer_id(const struct sm_dgram *d);
