// SPDX-License-Identifier: Apache-2.0
#pragma once
/* flow: bytes from this process to another over loopback TCP, timed.
 *
 * A run passes cfg.bytes in messages of cfg.size and ends when the answer has come, FLOW_ANSWER
 * bytes that the other end sends once it has them all.  With bytes = size = FLOW_ANSWER a run
 * is one round trip.
 *
 *     FLOW_TCP     write() of each message; the bare primitive
 *     FLOW_TLS     SSL_write() of each message: TLS 1.3, AES-256-GCM, OpenSSL
 *     FLOW_TUNNEL  sm_tunnel_send() of each, by the loop and the tunnel a node has
 *     FLOW_RELAY   the same through a third process, which opens each packet, moves it on by
 *                  its header and seals it again
 *
 * Flows that lie open together and run in turn can be compared.
 *
 * Memory:  a flow is an object and its processes; they end with it or with this process.
 * Errors:  UNSUPPORTED: tunnels in a build without the development root, which makes the
 *          nodes' records.  TIMEOUT, NOMEM, IO, CLOSED: the other end is gone.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOW_ANSWER 64u

enum flow_kind { FLOW_TCP, FLOW_TLS, FLOW_TUNNEL, FLOW_RELAY };

struct flow_cfg {
    enum flow_kind kind;
    size_t size;    /* at most 64 KiB; a relay's with its header at most SM_PACKET_MAX */
    uint64_t bytes; /* a multiple of size */
    /* 0: where the kernel likes.  1: all on one processor, so that none has to wake up.  2:
     * each on another than its neighbours. */
    unsigned cores;
};

struct flow;
enum sm_err flow_open(const struct flow_cfg *cfg, struct flow **out) SM_MUST;
enum sm_err flow_run(struct flow *f, uint64_t *out_ns) SM_MUST;
/* Processor time of all its processes so far, this one included: what it costs, also when
 * others use the machine. */
uint64_t flow_cpu_ns(const struct flow *f);
void flow_close(struct flow *f); /* NULL is fine */
