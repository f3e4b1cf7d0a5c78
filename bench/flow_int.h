// SPDX-License-Identifier: Apache-2.0
#pragma once
/* flow_int: the two ways of a flow: blocking calls on a socket, or stations on a loop. */
#include "bench/flow.h"
#include "os/net.h"

#include <openssl/ssl.h>

/* -- blocking ---------------------------------------------------------------------------- */

struct bare {
    int fd;
    SSL *ssl;       /* NULL for bare TCP, and UDP */
    size_t segment; /* UDP: bytes of a datagram */
    uint32_t run;   /* UDP: number of the present one */
};
/* Take the descriptor, also on failure; ctx is NULL for bare TCP.  The TLS handshake happens
 * here. */
enum sm_err bare_open(int fd, SSL_CTX *ctx, bool is_server, struct bare *out) SM_MUST;
void bare_done(struct bare *b);
/* Message and answer share their memory. */
enum sm_err bare_pass(struct bare *b, const struct flow_cfg *cfg, uint8_t *message) SM_MUST;
/* Answer runs until the other end is gone. */
void bare_serve(struct bare *b, const struct flow_cfg *cfg);

/* -- the same over UDP --------------------------------------------------------------------- */

/* Two sockets, each of them connected to the other. */
enum sm_err flow_udp_pair(int out[static 2]) SM_MUST;
enum sm_err bare_udp_open(int fd, const struct flow_cfg *cfg, bool is_server,
                          struct bare *out) SM_MUST;
enum sm_err bare_udp_pass(struct bare *b, const struct flow_cfg *cfg, uint8_t *message) SM_MUST;
void bare_udp_serve(struct bare *b, const struct flow_cfg *cfg);

/* -- stations ---------------------------------------------------------------------------- */

#define STATIONS_MAX 3u

struct mesh; /* what all stations share: a root, identities */
struct station;
enum sm_err mesh_new(const struct flow_cfg *cfg, struct mesh **out) SM_MUST;
void mesh_free(struct mesh *m);

/* Station `self` of the chain 0, 1 (, 2): 0 sends, the last answers.  up: a connected socket
 * to the one before, down: to the one behind, or -1; taken, also on failure. */
enum sm_err station_new(struct mesh *m, unsigned self, int up, int down,
                        struct station **out) SM_MUST;
void station_free(struct station *s);
enum sm_err station_pass(struct station *s) SM_MUST; /* of station 0 */
/* The same, with probes. */
enum sm_err station_probe(struct station *s, uint64_t *out_trips, unsigned max,
                          unsigned *out_n) SM_MUST;
void station_serve(struct station *s); /* until a neighbour is gone */
