// SPDX-License-Identifier: Apache-2.0
#pragma once
/* flow: bytes from this process to another over loopback, timed.
 *
 * A run passes cfg.bytes in messages of cfg.size and ends when the answer has come, cfg.answer
 * bytes that the other end sends once it has them all.  With bytes = size = answer a run is
 * one round trip.
 *
 *     FLOW_TCP      write() of each message; the bare primitive
 *     FLOW_TLS      SSL_write() of each message: TLS 1.3, AES-256-GCM, OpenSSL
 *     FLOW_TUNNEL   sm_tunnel_send() of each, by the loop and the tunnel a node has
 *     FLOW_RELAY    the same through a third process, which opens each packet, moves it on by
 *                   its header and seals it again
 *     FLOW_SESSION  one request and its response a run, between session hosts at both ends of
 *                   a tunnel: bytes = size
 *     FLOW_UDP      bare UDP: segments that the kernel cuts and joins (UDP_SEGMENT, UDP_GRO),
 *                   and a credit window
 *     FLOW_UDP_TUNNEL  sm_tunnel_send() of each message, the tunnel's carrier being UDP
 *
 * Over UDP datagrams may be lost.  A run then ends when so much of it has arrived, and what it
 * takes to send more is in its time.
 *
 * Flows that lie open together and run in turn can be compared.
 *
 * Memory:  a flow is an object and its processes; they end with it or with this process.
 * Errors:  UNSUPPORTED: tunnels in a build without the development root, which makes the
 *          nodes' records.  LIMIT: fewer processors than cfg.cores.  TIMEOUT, NOMEM, IO,
 * CLOSED: the other end is gone.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOW_ANSWER 64u

enum flow_kind {
    FLOW_TCP,
    FLOW_TLS,
    FLOW_TUNNEL,
    FLOW_RELAY,
    FLOW_SESSION,
    FLOW_UDP,
    FLOW_UDP_TUNNEL
};

/* The datagrams that a message goes in over bare UDP: as long as a tunnel's, less what it adds.
 */
#define FLOW_SEGMENT_MAX 8896u

struct flow_cfg {
    enum flow_kind kind;
    /* At most 64 KiB; a relay's with its header at most SM_PACKET_MAX; over UDP a multiple of
     * the segments it needs. */
    size_t size;
    uint64_t bytes; /* a multiple of size */
    size_t answer;  /* at most 64 KiB; 0: FLOW_ANSWER */
    /* 0: where the kernel likes.  1: all on one processor, so that none has to wake up.  2:
     * each on another than its neighbours. */
    unsigned cores;
};

/* Bytes of a message in each of its datagrams over bare UDP. */
size_t flow_udp_segment(size_t message);

struct flow;
enum sm_err flow_open(const struct flow_cfg *cfg, struct flow **out) SM_MUST;
enum sm_err flow_run(struct flow *f, uint64_t *out_ns) SM_MUST;
/* Processor time of all its processes so far, this one included: what it costs, also when
 * others use the machine. */
uint64_t flow_cpu_ns(const struct flow *f);
/* A run of a tunnel's flow during which a control message of 64 B goes to the other end and
 * back all the time: their round trips, at most max. */
enum sm_err flow_run_probed(struct flow *f, uint64_t *out_trips, unsigned max,
                            unsigned *out_n) SM_MUST;
void flow_close(struct flow *f); /* NULL is fine */
