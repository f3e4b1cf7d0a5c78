// SPDX-License-Identifier: Apache-2.0
#pragma once
/* node: the whole of a node's protocols as one state machine without I/O.
 *
 * It joins the tunnels to the neighbours, the routes, the trust in others, the DHT and the
 * node's own sessions, and forwards packets between tunnels and local endpoints.  An event
 * and the time go in, actions come out, and it tells when it wants to be called:
 *
 *     SM_TRY(sm_node_step(node, &ev));
 *     while (sm_node_next(node, &act)) { do it }
 *     arm a timer for sm_node_deadline(node)
 *
 * The same code runs in the daemon (src/proc/net.c) and in the simulator (sim/).
 *
 * Connections are numbered: those it asks for by DIAL get numbers below SM_CONN_ACCEPTED from
 * the node; those the driver accepted get numbers from there on from the driver.  Endpoints
 * (clients, SEE supervisors) are numbered by the driver, from 1.
 *
 * Memory:  caps of sm_node_cfg; views in events are borrowed for the call, views in actions
 *          live until the next call of sm_node_next or sm_node_step.
 * Errors:  sm_node_step fails only for a wrong call or a limit; never for what a peer sent.
 * Source:  DESIGN 4, 5, 6.
 */
#include "attest/rules.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"
#include "core/bulletin.h"
#include "core/dgram.h"
#include "core/dht.h"
#include "core/refusals.h"
#include "core/route.h"
#include "core/session.h"
#include "core/trust.h"
#include "crypto/suite.h"
#include "wire/tun.h"

#define SM_CONN_ACCEPTED  0x80000000u
#define SM_CONN_UDP       0x40000000u /* tunnels over datagrams: the node numbers them all */
#define SM_SOCK_ANY       0xffu       /* whichever socket fits the address */
#define SM_NODE_PEERS_MAX 64u         /* neighbours dialled by configuration */

/* By what a neighbour is reached.  AUTO: TCP, and UDP beside it where the neighbour speaks it,
 * or where TCP does not come up. */
enum sm_carrier { SM_CARRIER_AUTO, SM_CARRIER_TCP, SM_CARRIER_UDP };

struct sm_node_cfg {
    const struct sm_suite *suite;
    struct sm_anchor anchor;
    uint8_t seed[32];
    struct sm_mono now; /* at creation */
    struct sm_wall wall;
    /* What the NODE record will say; head, dh_key and signature are filled in here. */
    struct sm_node_record self;
    enum sm_aead_kind cipher;  /* the faster one here */
    struct sm_known_dh *known; /* in secret memory; outlives the node; NULL: none is kept */
    enum sm_pq pq;             /* ML-KEM in tunnels */
    struct sm_net_addr peers[SM_NODE_PEERS_MAX];
    enum sm_carrier carriers[SM_NODE_PEERS_MAX];
    unsigned n_peers;
    bool has_udp;         /* the driver can send and receive datagrams */
    unsigned tunnels_max; /* carriers, those of strangers included; 0: 128 */
    size_t queue_bytes;   /* data that may wait for one neighbour; 0: 256 KiB */
    struct sm_dur lease;  /* a neighbour's proof holds so long at most; 0: 1 h */
    /* Strangers: at the door, and past it in a handshake; of each, from one address (/64 for
     * IPv6).  At a limit the oldest makes room.  0: 128, 64 and 24. */
    unsigned knocks_max, strangers_max, of_source_max;
    uint32_t handshakes_per_s; /* let in without a question; 0: the door's default */
    unsigned nodes_max;        /* 0: 1,024, one area */
    unsigned sessions_max;     /* 0: the session host's default */
    size_t session_bytes;      /* 0: the session host's default */
    unsigned records_max;      /* kept for others by the DHT; 0: its default */
    unsigned published_max;    /* announced by the DHT; 0: its default */
};

enum sm_event_kind {
    SM_EV_TIMER = 1,
    SM_EV_DIALLED,    /* conn; err */
    SM_EV_ACCEPTED,   /* conn; from */
    SM_EV_BYTES,      /* conn; input, input_n: from the carrier; overwritten; to stay until
                         sm_node_next() has said false */
    SM_EV_DATAGRAMS,  /* from; sock; input, input_n, segment: likewise, each `segment` bytes but
                         the last */
    SM_EV_WRITTEN,    /* conn; written: bytes the carrier has taken of what SEND gave */
    SM_EV_CLOSED,     /* conn */
    SM_EV_SIGNED,     /* token; err; bytes */
    SM_EV_UNSIGNED,   /* who signs has died: no SIGN of before will be answered */
    SM_EV_SERVED,     /* token; err; bytes: the answer to SERVE */
    SM_EV_EP_PACKET,  /* ep; peer; slot; bytes: an endpoint sends to peer */
    SM_EV_EP_REPORT,  /* peer.node; slot; is_ok; rtt: how an endpoint's path did */
    SM_EV_OBSERVE,    /* peer.node; observed: behaviour the driver saw */
    SM_EV_FIND,       /* token; key; record_type; want */
    SM_EV_PUBLISH,    /* item: announce, and again before it expires */
    SM_EV_UNPUBLISH,  /* item.key */
    SM_EV_TASK,       /* token; task: sign and announce */
    SM_EV_TUN_ON,     /* there is a TUN interface; NOMEM: no memory for its queue */
    SM_EV_TUN_OFF,    /* it is gone */
    SM_EV_TUN_PACKET, /* input_n: bytes of a packet from the kernel in sm_node_tun_room() */
};

struct sm_event_task {
    uint8_t task_id[32];
    struct sm_addr holder;
    uint64_t fence;
    uint32_t lease_ms;
    uint8_t state;
};

struct sm_event {
    enum sm_event_kind kind;
    struct sm_mono now;
    struct sm_wall wall;
    uint32_t conn;
    struct sm_net_addr from; /* family 0: not known, and no limit by source */
    uint64_t token;
    enum sm_err err;
    struct sm_view bytes;
    uint8_t *input;
    size_t input_n, written, segment;
    uint8_t sock; /* the driver's number of a socket for datagrams */
    uint32_t ep;
    struct sm_addr peer;
    uint8_t slot;
    bool is_ok;
    struct sm_dur rtt;
    uint8_t observed; /* enum sm_trust_kind */
    uint8_t key[32];
    uint8_t record_type;
    uint16_t want;
    struct sm_dht_item item;
    struct sm_event_task task;
};

enum sm_action_kind {
    SM_ACT_DIAL = 1,  /* conn; addr */
    SM_ACT_SEND,      /* conn; bytes.  With a segment other than 0: datagrams of that length,
                         the last may be shorter, from sock to addr */
    SM_ACT_CLOSE,     /* conn: forget it */
    SM_ACT_SIGN,      /* token; bytes = a request of wire/sign.h */
    SM_ACT_SERVE,     /* token; service; peer; bytes: a request for the store or for SEEs */
    SM_ACT_EP_PACKET, /* ep; addr_from; slot; bytes: a packet for an endpoint */
    SM_ACT_EP_FAIL,   /* ep; addr_from; slot: its packet found no path */
    SM_ACT_EP_PATHS,  /* ep; addr_from.node; n_slots: how many paths it may use */
    SM_ACT_FOUND,     /* token; err; found: the answer to FIND, or to TASK */
    SM_ACT_TUN,       /* bytes: a packet for the kernel, with its struct virtio_net_hdr */
    SM_ACT_TRACE,     /* trace, conn: something an operator may want to know */
    SM_ACT_KEEP,      /* doc: believed now; keep it over restarts, and offer it again then */
};

struct sm_found {
    struct sm_view records; /* blobs: u32 length, bytes */
    uint16_t n, asked;
    uint8_t paths;
};

enum sm_trace_kind {
    SM_TRACE_TUNNEL_UP = 1, /* conn; node */
    SM_TRACE_TUNNEL_DOWN,   /* conn; node when known; err; text = why */
    SM_TRACE_NODE_LEARNED,  /* node */
    SM_TRACE_NODE_GONE,     /* node */
    SM_TRACE_SIGN_FAILED,   /* err */
    SM_TRACE_DOCUMENT,      /* text: kind, version, what it replaces */
    SM_TRACE_REVOKED,       /* node, by what the rules say now; ourselves perhaps; text = why */
    SM_TRACE_GRACE,         /* conn, node: text = why it will be refused */
    SM_TRACE_REFUSED,       /* conn; refusal: new, or again and its count is a power of two */
    SM_TRACE_DEPRECATED,    /* conn, node: text = by which reference value, and until when */
    SM_TRACE_OBSERVED,      /* conn, node: text = why it would be refused, were the rules
                               enforced */
};
#define SM_TRACE_TEXT 160u
struct sm_trace {
    enum sm_trace_kind kind;
    const struct sm_refusal *refusal; /* until the next step */
    struct sm_node_id node;
    bool has_node;
    enum sm_err err;
    char text[SM_TRACE_TEXT];
};

struct sm_action {
    enum sm_action_kind kind;
    uint32_t conn, ep;
    uint64_t token;
    struct sm_net_addr addr;
    struct sm_view bytes;
    size_t segment;
    uint8_t sock;
    uint8_t service;
    const struct sm_passport *peer;
    struct sm_addr addr_from;
    uint8_t slot, n_slots;
    enum sm_err err;
    struct sm_found found;
    struct sm_trace trace;
    struct sm_doc doc;
};

struct sm_node_stats {
    uint64_t packets_forwarded, packets_delivered, packets_sent;
    uint64_t dropped_queue, dropped_no_route, dropped_loop, dropped_malformed;
    uint32_t tunnels_up; /* neighbours that have one */
    uint64_t strangers_let_in, strangers_asked, strangers_shut, strangers_pushed_out;
};

/* One neighbour whose tunnel is up. */
struct sm_node_tunnel {
    struct sm_node_id node;
    struct sm_dur rtt;
    bool is_outbound;
    bool is_udp, is_chosen; /* chosen: what carries packets to this neighbour */
    struct sm_dgram_info udp;
    uint64_t sent_bytes, received_bytes;
    enum sm_aead_kind cipher;
    bool is_pq;
    uint64_t lease_seq; /* of the proof that holds; 1 is the handshake's */
    struct sm_dur lease_age, lease_left;
    enum sm_verdict_kind verdict;
    struct sm_dur verdict_left;     /* until it is judged again by itself; 0: no end is known */
    const char *said;               /* why not OK; until the next step */
    const struct sm_claims *claims; /* likewise */
};

struct sm_node *sm_node_new(const struct sm_node_cfg *cfg); /* NULL: out of memory, bad caps */
void sm_node_free(struct sm_node *n);

enum sm_err sm_node_step(struct sm_node *n, const struct sm_event *ev) SM_MUST;
bool sm_node_next(struct sm_node *n, struct sm_action *out);
struct sm_mono sm_node_deadline(const struct sm_node *n);

/* Offer a signed document, from disk at the start (is_kept: no KEEP will come of it) or by the
 * operator.  Errors and reasons are those of sm_rules_offer.  What it leads to comes out of
 * sm_node_next: tunnels close, KEEP, neighbours are told. */
enum sm_err sm_node_offer(struct sm_node *n, struct sm_mono now, struct sm_wall wall,
                          uint8_t kind, struct sm_view doc, bool is_kept,
                          struct sm_reasons *why) SM_MUST;

/* A neighbour's queue is nearly full: the driver should take no more packets from endpoints
 * until it is not.  The node's own sessions wait by themselves. */
bool sm_node_is_congested(const struct sm_node *n);

/* -- the TUN interface ------------------------------------------------------------------- */

/* Where the driver writes the next packet from the kernel, SM_TUN_PACKET_MAX bytes; NULL while
 * there is no interface.  What lies there is of no use until SM_EV_TUN_PACKET. */
uint8_t *sm_node_tun_room(struct sm_node *n);
/* This node's address there, also while there is no interface. */
struct sm_tun_ip sm_node_tun_ip(const struct sm_node *n);

struct sm_node_tun_stats {
    bool is_on;
    uint64_t sent, sent_bytes, received, received_bytes;
    uint64_t unreachable;     /* from here, answered */
    uint64_t refused_out;     /* from here: multicast, a source that is not ours */
    uint64_t refused_in;      /* from peers: malformed, or nothing a mesh carries */
    uint64_t refused_sources; /* from peers: an address that is not theirs */
    uint64_t dropped;         /* by the queue, which was full, or for waiting too long */
    uint32_t waiting, flows;
    uint64_t waiting_bytes;
};
struct sm_node_tun_stats sm_node_tun_stats(const struct sm_node *n);

/* -- queries ----------------------------------------------------------------------------- */

/* The node's own NODE record; empty until it has been signed once. */
struct sm_view sm_node_self_record(const struct sm_node *n);
struct sm_hop sm_node_hop(const struct sm_node *n);
const struct sm_node_record *sm_node_self(const struct sm_node *n); /* unsigned form */
const struct sm_rules *sm_node_rules(const struct sm_node *n);
struct sm_bulletin_stats sm_node_bulletin_stats(const struct sm_node *n);
struct sm_route *sm_node_route(struct sm_node *n);
struct sm_trust *sm_node_trust(struct sm_node *n);
struct sm_dht *sm_node_dht(struct sm_node *n);
struct sm_host *sm_node_host(struct sm_node *n);
/* The i-th neighbour: the tunnel to it that is used. */
bool sm_node_tunnel(const struct sm_node *n, unsigned i, struct sm_node_tunnel *out);
/* The tunnel to it over this carrier, when there is one. */
bool sm_node_carrier(const struct sm_node *n, const struct sm_node_id *node, bool is_udp,
                     struct sm_node_tunnel *out);
struct sm_node_stats sm_node_stats(const struct sm_node *n);
/* The i-th that was refused, by us or us by whom; the latest first.  NULL behind the last. */
const struct sm_refusal *sm_node_refusal(const struct sm_node *n, unsigned i);
