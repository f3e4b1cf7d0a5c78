// SPDX-License-Identifier: Apache-2.0
#pragma once
/* route: the map of the mesh and the paths over it, as this node sees them.
 *
 * Every node signs who its neighbours are and what the links cost (wire/linkstate.h); these
 * records and the NODE records flood over the tunnels, newest sequence number wins.  From them
 * and from its own trust scores a node computes its paths:
 *
 *     cost of entering v = latency + queue + 500 ms * -ln T(v)  [+ penalty while v is silent]
 *
 * in 1/16 ms, each link at least 1.  A link counts only when both ends announce it, at the
 * dearer of the two costs.  A node below SM_TRUST_MIN carries nothing for others, but can be
 * reached: whether to talk to it is for whoever asks.  Latency, queue and trust move in
 * classes of 19 % with one class of hysteresis, so routes do not flap.
 *
 * Flooding keeps no queue of bytes: for each neighbour one bit a record says "still to send",
 * so it is bounded, and a newer record replaces an unsent older one.  When a neighbour's
 * tunnel cannot take more, sm_route_link_pause; nothing is lost and the others go on.
 *
 *     r = sm_route_new(&cfg);
 *     sm_route_self(r, now, wall, node_record);
 *     sm_route_link_up(r, now, wall, peer_record);  ... sm_route_control(...) ...
 *     while (sm_route_next(r, &out)) { send, sign, tell }
 *     sm_route_tick(r, now, wall) when sm_route_deadline(r) is due
 *
 * Memory:  allocated in sm_route_new for cfg.nodes_max; never later.  Views and pointers that
 *          come out live until the next call into r.
 * Errors:  a peer's mistakes are counted in sm_route_stats; nothing else happens.
 * Threads: one caller.
 * Source:  doc/routing.md.
 */
#include "attest/anchor.h"
#include "base/time.h"
#include "core/spf.h"
#include "core/trust.h"
#include "wire/linkstate.h"

struct sm_suite;
struct sm_route;

enum {
    SM_ROUTE_NODES_MAX = 1024, /* one area: full SPF stays near a millisecond (DESIGN 9) */
    SM_ROUTE_PATHS = SM_SPF_PATHS_MAX,
    SM_ROUTE_HOPS_MAX = SM_SPF_HOPS_MAX,
    SM_ROUTE_CONTROL_RECORD = 1, /* first byte of a CONTROL message: a record follows */
};

struct sm_route_cfg {
    const struct sm_suite *suite;
    const struct sm_anchor *anchor;
    const struct sm_anchor *pinned; /* for our own record, which nobody revokes: an operator
                                       must be able to talk to a node that was */
    struct sm_trust *trust;         /* borrowed; appraised from NODE records here */
    uint8_t seed[32];
    uint32_t area;
    size_t nodes_max; /* 2..SM_ROUTE_NODES_MAX, this node included */
};

struct sm_route *sm_route_new(const struct sm_route_cfg *cfg); /* NULL: no memory, bad cfg */
void sm_route_free(struct sm_route *r);

/* -- inputs ------------------------------------------------------------------------------ */

/* This node's own signed NODE record, first of all and again whenever it is renewed.  Errors
 * of sm_node_record_verify; INVALID for another node id or area; STALE for an older one. */
enum sm_err sm_route_self(struct sm_route *r, struct sm_mono now, struct sm_wall wall,
                          struct sm_view node_record) SM_MUST;

/* A tunnel is up; peer_record is the NODE record it proved.  LIMIT when there are
 * SM_LINKS_MAX already or the area is full: close the tunnel.  STATE before sm_route_self. */
enum sm_err sm_route_link_up(struct sm_route *r, struct sm_mono now, struct sm_wall wall,
                             struct sm_view peer_record) SM_MUST;
void sm_route_link_down(struct sm_route *r, struct sm_mono now, struct sm_hop peer);
/* The neighbour may have missed what was sent so far: tell it all again. */
void sm_route_link_again(struct sm_route *r, struct sm_hop peer);
/* Hold this neighbour's FLOOD back, or let it flow again. */
void sm_route_link_pause(struct sm_route *r, struct sm_hop peer, bool is_paused);
/* A measured round trip, and how long the tunnel's queue takes to drain. */
void sm_route_link_sample(struct sm_route *r, struct sm_mono now, struct sm_hop peer,
                          struct sm_dur rtt, struct sm_dur queue);

/* A CONTROL message from a neighbour.  The error says why it was not taken: STALE and EXISTS
 * are ordinary; all are counted already. */
enum sm_err sm_route_control(struct sm_route *r, struct sm_mono now, struct sm_wall wall,
                             struct sm_hop from, struct sm_view message) SM_MUST;

/* The answer to SM_ROUTE_SIGN: 64 bytes when err is SM_OK. */
void sm_route_signed(struct sm_route *r, struct sm_mono now, uint64_t token, enum sm_err err,
                     struct sm_view sig);

/* What a session saw on a path slot of sm_route_paths: acknowledged, or lost. */
void sm_route_path_report(struct sm_route *r, struct sm_mono now, struct sm_hop dst,
                          uint8_t slot, bool is_ok);

/* The trust of a node may have changed (sm_trust_observe was told something bad). */
void sm_route_trust_changed(struct sm_route *r, struct sm_mono now,
                            const struct sm_node_id *id);

/* What the anchor believes has changed: forget who is revoked, together with its links, and
 * follow everybody's trust.  With is_anchor_new, endorsements and platforms are checked again
 * too: two signatures a node, a tenth of a second for a full area. */
void sm_route_rules_changed(struct sm_route *r, struct sm_mono now, struct sm_wall wall,
                            bool is_anchor_new);

struct sm_mono sm_route_deadline(const struct sm_route *r);
void sm_route_tick(struct sm_route *r, struct sm_mono now, struct sm_wall wall);

/* -- outputs ----------------------------------------------------------------------------- */

enum sm_route_out_kind {
    SM_ROUTE_SIGN,         /* bytes: sign request for token; answer with sm_route_signed */
    SM_ROUTE_NODE_GONE,    /* id: can no longer be reached, or its record expired */
    SM_ROUTE_NODE_REVOKED, /* id, record: gone, and believed no more */
    SM_ROUTE_NODE_LEARNED, /* id, record: can be reached; again when its record changes */
    SM_ROUTE_FLOOD,        /* to, bytes: a CONTROL message for this neighbour */
    SM_ROUTE_SELF_STALE,   /* seq: the mesh holds a NODE record of ours with this number;
                              make one with a higher number and call sm_route_self */
    SM_ROUTE_CHANGED,      /* paths may differ from before */
};

struct sm_route_out {
    enum sm_route_out_kind kind;
    struct sm_hop to;
    struct sm_view bytes;
    uint64_t token, seq;
    struct sm_node_id id;
    const struct sm_node_record *record;
};
bool sm_route_next(struct sm_route *r, struct sm_route_out *out);

/* -- queries ----------------------------------------------------------------------------- */

struct sm_route_path {
    uint32_t cost; /* 1/16 ms, trust and penalties included */
    uint8_t n;
    struct sm_hop hops[SM_ROUTE_HOPS_MAX]; /* as a packet names them: the last is dst */
};

/* Up to k node-disjoint paths, the cheapest first, none over a relay that lost something
 * lately unless all are; slot i of the session's packets is out[i % n].  Ask with the same k
 * for one dst.  Returns n; 0: unreachable or unknown.  For dst = this node, one path of one
 * hop.  Kept until something changes, so asking for each packet is cheap. */
unsigned sm_route_paths(struct sm_route *r, struct sm_mono now, struct sm_hop dst, unsigned k,
                        struct sm_route_path out[static SM_ROUTE_PATHS]);

/* The verified record of a node by its hop id; NULL when unknown. */
const struct sm_node_record *sm_route_node(struct sm_route *r, struct sm_hop hop);
/* The signed bytes of it, as others need them for a passport; empty when unknown. */
struct sm_view sm_route_node_bytes(const struct sm_route *r, struct sm_hop hop);
/* The key that signs the node's records: for dht's cfg.sign_key; NULL when unknown. */
const uint8_t *sm_route_sign_key(const struct sm_route *r, const struct sm_node_id *id);
bool sm_route_is_neighbour(const struct sm_route *r, struct sm_hop hop);

/* One node of the map, for lists and graphs. */
struct sm_route_info {
    struct sm_node_id id;
    bool is_self, is_neighbour, is_reachable;
    uint64_t cost; /* of the cheapest path, 1/16 ms; 0 when unreachable */
    uint32_t trust_q16;
    uint16_t n_links; /* as it announces them */
};
/* Nodes of the map in order of their hop ids. */
size_t sm_route_count(const struct sm_route *r);
void sm_route_info(struct sm_route *r, struct sm_mono now, size_t i, struct sm_route_info *out);
/* What a node announced; NOTFOUND without a valid LINKSTATE of it. */
enum sm_err sm_route_links(const struct sm_route *r, struct sm_hop hop,
                           struct sm_linkstate *out) SM_MUST;

/* What entering one hop of a path costs, in 1/16 ms.  Others announce latency and queue as
 * one number, so queue is known only for this node's own links. */
struct sm_route_hop_cost {
    struct sm_hop hop;
    uint32_t latency, queue, trust, penalty;
    uint32_t trust_q16;
};

enum sm_route_loss_why {
    SM_ROUTE_LOW_TRUST, /* below SM_TRUST_MIN: carries nothing */
    SM_ROUTE_SILENT,    /* fragments through it were lost lately */
    SM_ROUTE_NO_LINK,   /* no link that both ends announce */
};
struct sm_route_loss {
    struct sm_hop hop;
    enum sm_route_loss_why why;
    uint32_t trust_q16, penalty;
};

enum { SM_ROUTE_LOSSES_MAX = 16 };
struct sm_route_explain {
    unsigned n_paths;
    struct sm_route_path paths[SM_ROUTE_PATHS];
    struct sm_route_hop_cost hops[SM_ROUTE_PATHS][SM_ROUTE_HOPS_MAX];
    unsigned n_losses; /* nodes that paths avoid, the first SM_ROUTE_LOSSES_MAX */
    struct sm_route_loss losses[SM_ROUTE_LOSSES_MAX];
};
void sm_route_explain(struct sm_route *r, struct sm_mono now, struct sm_hop dst,
                      struct sm_route_explain *out);

struct sm_route_stats {
    uint64_t taken, same, stale, limited, refused; /* records from neighbours */
    uint64_t spf_runs, path_runs, originated, losses;
};
struct sm_route_stats sm_route_stats(const struct sm_route *r);
