// SPDX-License-Identifier: Apache-2.0
#pragma once
/* node_int: what the files of the node share.  node.c has life, events and actions, links.c
 * the tunnels and who is dialled, packets.c the way of packets, documents.c what is believed,
 * tun.c the TUN interface. */
#include "base/map.h"
#include "core/bulletin.h"
#include "core/door.h"
#include "core/flowq.h"
#include "core/node.h"
#include "core/tunnel.h"
#include "crypto/rng.h"
#include "wire/datagram.h"
#include "wire/packet.h"

enum {
    NODE_TUNNELS = 128,  /* default: neighbours beyond this make no mesh better */
    NODE_KNOCKS = 128,   /* at the door: an address and 150 bytes each */
    NODE_STRANGERS = 64, /* past it and not yet proven; a handshake has 10 s */
    NODE_OF_SOURCE = 24, /* one machine cannot take every place */
    NODE_SIGNS = 256,    /* requests at the keys process; handshakes are bounded by tunnels */
    NODE_TASKS = 64,     /* TASK records being signed */
    NODE_QUEUE = 256,    /* actions that carry no views */
    NODE_RPCS = 1024,    /* DHT requests under way; as many as the session host takes */
    NODE_SEEN = 1024,    /* endpoint and path notes; a lost one costs a message, no more */
};

enum sign_owner { SIGN_FREE = 0, SIGN_SELF, SIGN_TUNNEL, SIGN_ROUTE, SIGN_DHT, SIGN_TASK };

struct pending_sign {
    enum sign_owner owner;
    uint32_t conn;  /* TUNNEL; slot of TASK */
    uint64_t inner; /* the asker's own token */
    uint32_t generation;
};

struct pending_task {
    bool is_used, is_to_sign;
    uint64_t token, sign_token;
    uint8_t bytes[256];
    size_t n;
};

struct link {
    bool is_used;
    uint32_t conn;
    int peer_index;           /* of cfg.peers; -1 for accepted ones */
    struct sm_tunnel *tunnel; /* NULL while the carrier is being dialled, and at the door */
    bool is_at_door;
    uint64_t source;         /* of accepted ones, hashed; 0: unknown */
    struct sm_net_addr from; /* of accepted ones */
    struct sm_mono since;    /* dialled, or accepted, then let in */
    struct sm_knock knock;   /* at the door, and until the tunnel is up; in is owned */
    uint8_t answer[SM_HAND_HEAD + SM_COOKIE_BYTES]; /* of the door */
    uint8_t answer_n;
    bool is_shut;            /* close it when the answer is out */
    size_t answer_unwritten; /* what the carrier has of it */
    bool is_up, is_ending;
    bool is_udp;
    bool is_chosen;      /* of the tunnels to its node that are up, the one that is used */
    uint32_t own_id;     /* over UDP: what the peer writes into datagrams to us */
    uint32_t peer_id;    /* of one who dialled us over UDP, from its first datagram */
    struct sm_path path; /* UDP: where the peer was at first */
    struct sm_dur rtt_smooth;
    struct sm_node_id node;
    uint8_t peer_dh[32];
    struct sm_dur rtt;
    uint64_t sent_bytes, received_bytes;
};

enum { BY_TCP, BY_UDP, CARRIERS };

struct peer {
    struct sm_net_addr addr;
    enum sm_carrier carrier;
    struct {
        struct sm_mono at; /* NEVER while it is dialled */
        struct sm_dur backoff;
        bool has_failed; /* the last time */
    } dial[CARRIERS];
    bool speaks_udp; /* says its record */
    bool is_known;   /* node and dh_key are from its last tunnel */
    struct sm_node_id node;
    struct sm_dh_pub dh_key;
};

/* What an endpoint was last told about the paths to a node. */
struct paths_note {
    uint32_t ep;
    struct sm_hop dst;
    uint8_t n;
    bool is_used;
};

/* When a path slot last delivered: to tell a dead relay from a dead destination. */
struct slot_note {
    struct sm_hop dst;
    struct sm_mono ok_at[SM_PACKET_SLOTS];
    bool is_used;
};

/* When a node was last held to be silent: one outage is one failing, however many requests
 * ran into it. */
struct silence_note {
    struct sm_hop node;
    struct sm_mono at;
    bool is_used;
};

struct doc_name {
    uint8_t kind, name[SM_DOC_NAME];
};

/* The TUN interface; tun.c. */
struct node_tun {
    struct sm_flowq *queue;
    struct sm_mono again_at; /* something waits for a session or a tunnel: look again */
    uint8_t answer[SM_TUN_ANSWER_MAX];
};

struct sm_node {
    struct sm_node_cfg cfg;
    struct sm_rng rng;
    struct sm_mono now;
    struct sm_wall wall;
    struct sm_hop hop;
    struct sm_dh_pair dh;

    struct sm_rules *rules;
    struct sm_bulletin *bulletin;
    struct doc_name keep[SM_DOCS_MAX]; /* taken, and still to be given out */
    unsigned n_keep;

    struct sm_trust *trust;
    struct sm_route *route;
    struct sm_dht *dht;
    struct sm_host *host;

    uint8_t self_record[SM_NODE_RECORD_MAX];
    size_t self_record_n;
    uint8_t self_unsigned[SM_NODE_RECORD_MAX];
    size_t self_unsigned_n;
    uint64_t self_seq;
    bool self_is_pending;
    struct sm_mono self_renew_at;

    size_t congested_bytes; /* queued for one neighbour: local senders wait above it */
    struct sm_door door;
    uint64_t source_key[2];
    struct sm_refusals refusals;
    struct link *links;
    unsigned n_links;   /* slots */
    unsigned links_top; /* no used slot at or behind it */
    unsigned drain_at;
    uint32_t next_conn;
    /* Datagrams that came together and are still to be given to their tunnels, and what the
     * door has to say to one of them. */
    struct {
        uint8_t *p;
        size_t n, segment;
        struct sm_path from;
        uint8_t knock[SM_KNOCK_MAX], hello[SM_DGRAM_BASE + SM_DGRAM_CLEAR_MAX];
        uint8_t answer[128];
        size_t answer_n;
    } udp;
    struct peer peers[SM_NODE_PEERS_MAX];

    struct pending_sign signs[NODE_SIGNS];
    struct pending_task tasks[NODE_TASKS];

    struct sm_map rpcs; /* session request id -> slot of rpc_ids */
    uint64_t rpc_ids[NODE_RPCS];
    bool rpc_used[NODE_RPCS];
    unsigned rpc_at;

    struct sm_action queue[NODE_QUEUE];
    unsigned queue_from, queue_n;
    struct sm_action direct; /* made by the event itself; comes first */
    bool has_direct;
    /* Records and sign requests handed out in an action. */
    struct sm_buf out;
    uint8_t request[SM_NODE_RECORD_MAX + 16]; /* to sign one of our records */

    struct node_tun *tun; /* NULL: there is none */
    struct sm_node_tun_stats tun_stats;

    struct paths_note paths[NODE_SEEN];
    struct slot_note slots[NODE_SEEN];
    struct silence_note silences[NODE_SEEN];
    struct sm_node_stats stats;
};

/* node.c */
void node_push(struct sm_node *n, struct sm_action a); /* dropped when the queue is full */
void node_trace(struct sm_node *n, enum sm_trace_kind kind, uint32_t conn,
                const struct sm_node_id *node, enum sm_err err, const char *text);
/* Remember who asked for a signature; false at the cap. */
bool node_sign(struct sm_node *n, enum sign_owner owner, uint32_t conn, uint64_t inner,
               uint64_t *out_token);
void node_observe(struct sm_node *n, const struct sm_node_id *id, enum sm_trust_kind kind);

/* links.c */
void links_dialled(struct sm_node *n, uint32_t conn, enum sm_err err);
void links_accepted(struct sm_node *n, uint32_t conn, const struct sm_net_addr *from);
void links_input(struct sm_node *n, uint32_t conn, uint8_t *p, size_t len);
void links_written(struct sm_node *n, uint32_t conn, size_t len);
void links_closed(struct sm_node *n, uint32_t conn);
struct link *links_find(struct sm_node *n, uint32_t conn);
struct link *links_of_node(struct sm_node *n, struct sm_hop hop); /* chosen, or NULL */
void links_self_record(struct sm_node *n);                        /* it was renewed */
void links_peer_record(struct sm_node *n, const struct sm_node_record *rec); /* verified */
void links_heard_of(struct sm_node *n, const struct sm_node_id *id);
void links_judge(struct sm_node *n); /* the rules have changed */
void links_tick(struct sm_node *n);
struct sm_mono links_deadline(const struct sm_node *n);
/* One step of draining the tunnels; true with *out set when it made an action, true in
 * *progress when it did something else. */
bool links_next(struct sm_node *n, struct sm_action *out, bool *progress);
void links_free(struct sm_node *n);
struct link *links_new(struct sm_node *n, uint32_t conn, int peer_index, bool is_udp);
void links_drop(struct sm_node *n, struct link *l); /* at once, without a word */
/* datagrams: NULL for a stream. */
enum sm_err links_start(struct sm_node *n, struct link *l,
                        const struct sm_dgram_cfg *datagrams) SM_MUST;
/* How many handshakes strangers have under way. */
unsigned links_strangers(const struct sm_node *n);
/* A stranger's place past the door, if need be in the place of another; NULL: none. */
struct link *links_stranger(struct sm_node *n, const struct sm_net_addr *from);

/* links_udp.c */
void udp_input(struct sm_node *n, const struct sm_path *from, uint8_t *p, size_t len,
               size_t segment);
/* Give the next of them to whom it is for; true with *out set when that made an action, true in
 * *progress when there was one. */
bool udp_next(struct sm_node *n, struct sm_action *out, bool *progress);
enum sm_err udp_dial(struct sm_node *n, struct link *l);

/* links_choose.c */
/* Another tunnel to the same node that is up; NULL when there is none. */
struct link *choose_twin(struct sm_node *n, const struct link *l, bool is_same_carrier);
/* Decide again which of the tunnels to this node carries what goes there. */
void choose_link(struct sm_node *n, const struct sm_node_id *node);
void choose_measured(struct sm_node *n, struct link *l); /* l->rtt is new */

/* packets.c */
size_t node_note_slot(uint64_t hop, uint32_t ep); /* where a note about it is kept */
void packets_arrived(struct sm_node *n, struct sm_hop from, struct sm_view bytes,
                     struct sm_action *out, bool *has_action);
/* Send a payload from a local endpoint (0: the node's own host). */
void packets_send(struct sm_node *n, uint32_t ep, struct sm_addr dst, uint8_t slot,
                  struct sm_view payload, struct sm_action *out, bool *has_action);
void packets_report(struct sm_node *n, struct sm_hop dst, uint8_t slot, bool is_ok);

/* documents.c */
enum sm_err documents_new(struct sm_node *n) SM_MUST;
void documents_free(struct sm_node *n);
/* Trace that the rules revoke this node, with the reason. */
void documents_tell_revoked(struct sm_node *n, const struct sm_node_record *rec);
/* As links_next. */
void documents_digest(struct sm_node *n, struct sm_wr *w); /* what is in force, for who asks */
bool documents_next(struct sm_node *n, struct sm_action *out, bool *progress);

/* Send a payload of the node itself over this path, which is that of the slot.  False when it
 * did not go. */
bool packets_send_over(struct sm_node *n, uint32_t ep, struct sm_addr dst, uint8_t slot,
                       const struct sm_route_path *path, struct sm_view payload);
void packets_tell_paths(struct sm_node *n, uint32_t ep, struct sm_hop dst, unsigned n_paths);

/* tun.c */
enum sm_err tun_on(struct sm_node *n) SM_MUST;
void tun_off(struct sm_node *n);
void tun_begin(struct sm_node *n); /* an event: what packets wait for may be there */
struct sm_mono tun_deadline(const struct sm_node *n);
/* A packet from the kernel; true with *out set when there is something to tell it. */
bool tun_packet(struct sm_node *n, size_t len, struct sm_action *out);
/* A datagram from a peer; true with *out set when the kernel gets it. */
bool tun_arrived(struct sm_node *n, const struct sm_host_datagram *d, struct sm_action *out);
/* Let one packet of the queue go, or find that it must wait.  True with *out set when there is
 * something to tell the kernel; *progress when something was done. */
bool tun_next(struct sm_node *n, struct sm_action *out, bool *progress);
