// SPDX-License-Identifier: Apache-2.0
#pragma once
/* route_int: what route.c (records, flooding, links) and route_path.c (graph, paths) share.
 *
 * Invariants: order[0 .. order_n) names the used slots with ascending hop ids; the graph's
 * node i was order[i] when it was built, and order only changes together with is_urgent or
 * is_dirty, so node_slot[] keeps the old numbering until the next build.
 */
#include "core/route.h"

#include "crypto/rng.h"

#define SM_ROUTE_NONE    UINT32_MAX
#define SM_ROUTE_UNIT_NS 62500u /* costs are in 1/16 ms */

/* The two kinds of record that flood, as indexes. */
enum flooded { FLOODED_NODE, FLOODED_LINKS, FLOODED_KINDS };

/* A CONTROL message: SM_ROUTE_CONTROL_RECORD, then the record.  n == 0: none. */
enum { ROUTE_MESSAGE_MAX = 1 + SM_NODE_RECORD_MAX };
_Static_assert(SM_NODE_RECORD_MAX >= SM_LINKSTATE_RECORD_MAX, "one size fits both");

struct route_record {
    uint64_t seq;
    struct sm_mono expires, rate; /* rate: see may_take() */
    uint16_t n;
    uint8_t message[ROUTE_MESSAGE_MAX];
};

enum route_event { EVENT_NONE, EVENT_LEARNED, EVENT_GONE, EVENT_REVOKED };

struct route_slot {
    bool is_used;   /* in order[] */
    bool is_told;   /* NODE_LEARNED was the last word about it */
    bool is_pruned; /* carries nothing for others */
    bool is_reachable;
    enum route_event event;
    struct sm_node_id id;
    uint8_t sign_key[32], platform_id[32];
    struct route_record record[FLOODED_KINDS];

    uint8_t trust_class, losses;
    uint32_t trust_q16, penalty;         /* as in the present graph; penalty in 1/16 ms */
    struct sm_mono lost_at, avoid_until; /* the latest loss through it, and what follows */
    struct sm_mono judged_at;            /* when a path last told the trust table of it */
    uint64_t cost;                       /* of the cheapest path */

    /* Paths to it, as they were last handed out. */
    uint64_t paths_of; /* the graph they belong to; 0: none */
    uint8_t paths_k, paths_n;
    struct sm_mono paths_until;                 /* they may be kept, if they get no worse */
    struct sm_mono paths_since[SM_ROUTE_PATHS]; /* by the slots of the session's packets */
    struct sm_mono paths_ok_at;
    uint32_t paths_found[SM_ROUTE_PATHS]; /* their costs at that time */
    struct sm_route_path paths[SM_ROUTE_PATHS];
};

struct route_link {
    bool is_up, is_measured, is_paused;
    uint8_t class;
    struct sm_hop hop;
    uint64_t rtt_ns, queue_ns; /* smoothed */
    struct sm_mono sampled_at, rate;
    uint64_t *pending[FLOODED_KINDS]; /* a bit a slot: still to send */
    uint32_t pending_n;
};

struct sm_route {
    struct sm_route_cfg cfg;
    struct sm_rng rng;
    struct sm_route_stats stats;

    uint32_t self; /* slot, or SM_ROUTE_NONE */
    struct route_slot *slots;
    uint32_t *order, order_n;
    uint64_t *order_hop; /* of order[], side by side for the search */
    struct route_link links[SM_LINKS_MAX];
    uint64_t *pending_words;
    struct sm_mono expire_at;

    struct sm_linkstate announced; /* the latest content of our own LINKSTATE */
    uint64_t links_seq;
    struct sm_mono originate_at, originated_at, refresh_at, own_rate;
    struct {
        bool is_asked, is_to_send;
        uint64_t token;
        struct sm_mono give_up;
        size_t n;
        uint8_t request[1 + SM_LINKSTATE_RECORD_MAX];
    } sign;
    uint64_t stale_seq, told_stale_seq; /* of our NODE record in others' hands */

    uint32_t events;
    bool is_changed;
    struct sm_node_record parsed; /* what the last output or query showed */

    bool is_retold; /* announcements are behind: a LINKSTATE or who is there has changed */
    bool is_dirty;  /* the graph is behind: build it at spf_at */
    bool is_urgent; /* ... or at the next question */
    struct sm_mono spf_at, spf_ran_at, followed_at, check_at, penalty_at;
    struct sm_dur spf_gap;
    uint64_t graph_id;
    uint32_t *node_slot;
    struct sm_graph announcements; /* arc cost = class + 1, as each node claims */
    struct sm_graph graph;
    struct sm_spf *spf;
};

/* Where a hop is in order[], and its slot; SM_ROUTE_NONE. */
uint32_t sm_route_place_of(const struct sm_route *r, struct sm_hop hop);
uint32_t sm_route_slot_of(const struct sm_route *r, struct sm_hop hop);
struct route_link *sm_route_link_of(struct sm_route *r, struct sm_hop hop);
uint32_t sm_route_link_units(const struct route_link *l);

/* route_path.c */
void sm_route_graph_dirty(struct sm_route *r, struct sm_mono now);
/* Follow T of a node; true when its class or its pruning changed. */
bool sm_route_trust_follow(struct sm_route *r, struct sm_mono now, struct route_slot *s);
/* Bring the graph up to date when that is due. */
void sm_route_graph_tick(struct sm_route *r, struct sm_mono now);
struct sm_mono sm_route_graph_deadline(const struct sm_route *r);
