// SPDX-License-Identifier: Apache-2.0
#pragma once
/* dht: who holds what.  Kademlia between nodes whose identity was verified, over sessions.
 *
 * Four things in one machine without I/O:
 *   - a table of contacts (core/dht_table.h); the route layer brings them, lookups meet them;
 *   - walks towards a key: alpha = 3 requests at once on each of up to 4 paths that share no
 *     node.  A request that is slower than 9 of 10 no longer holds up its path (the hedge),
 *     and one that is twice as slow as 99 of 100 is given up, though its answer still counts;
 *   - records kept for the mesh (core/dht_store.h);
 *   - what this node announces (core/dht_shelf.h): at once when published, again by one sweep
 *     over the keys spread over `announce_every`, and to contacts that come near a key.
 *
 * Records are verified before they are kept, passed on or used: grammar, network, times,
 * signer known, signature.  A get never ends because of an answer that was not verified:
 *   PROVIDER  wants all holders: ends when the k closest that live have answered, or earlier
 *             when it has want_records of them or their frag_maps cover want_frags shards.
 *   TASK      the higher fence, then seq, wins: ends when 3 nodes on 2 paths agree, or as
 *             above.
 * Nothing found: NOTFOUND; nobody answered: TIMEOUT.  An empty result waits as long as the
 * table has patience (1 to 4 s, by what it measures) for contacts that were never silent
 * before, so a slow mesh is not an empty one.
 *
 *     sm_dht_get(d, now, wall, &(struct sm_dht_query){.key = id, .type = SM_RECORD_PROVIDER});
 *     while (sm_dht_next(d, &out)) { ... }      SM_DHT_OUT_REQUEST: send it, later sm_dht_reply
 *
 * Every input may make outputs; drain them with sm_dht_next after each.  Views in an output
 * live until the next call.
 *
 * Memory:  everything in sm_dht_new, by the caps; sm_dht_footprint tells how much.
 * Errors:  inputs from the network never fail; they are counted and OBSERVEd.
 * Threads: one caller.
 * Source:  DESIGN 7; doc/wire.md, section 5;
 *          Baumgart, Mies, "S/Kademlia", 2007 (disjoint paths).
 */
#include "attest/anchor.h"
#include "core/dht_shelf.h"
#include "crypto/suite.h"

#define SM_DHT_PATHS_MAX 8u
#define SM_DHT_ALPHA     3u

struct sm_dht_cfg {
    const struct sm_suite *suite;
    uint8_t seed[32];
    const struct sm_anchor *anchor; /* outlives the machine */
    struct sm_node_id self;
    /* The sign_key (32 bytes) of a node whose NODE record is verified and valid, also of
     * ourselves; NULL for others.  The pointer is used before the call returns. */
    const uint8_t *(*sign_key)(void *ctx, const struct sm_node_id *id);
    void *ctx;
    /* Zero takes the number in brackets. */
    uint8_t k;               /* [10 below 500 nodes, 20 above] at most 20 */
    uint8_t paths;           /* [4] at most 8 */
    uint8_t max_lookups;     /* [16] gets and puts at once; 4.4 KiB and max_found each */
    uint8_t max_found;       /* [64] records of one result, 256 B each */
    uint16_t max_contacts;   /* [512] 20 a bucket reach to 10^6 nodes with 340; 48 B each */
    uint32_t max_records;    /* [65,536] kept for others, 290 B each, touched when used */
    uint32_t max_per_signer; /* [max_records / 4] no node fills the table alone */
    uint32_t max_published;  /* [65,536] 150 B each, touched when used */
    struct sm_dur announce_every; /* [8 h] */
    uint32_t provider_life_s;     /* [24 h] three sweeps, so one may be missed */
};

struct sm_dht_query {
    struct sm_data_id key;
    uint8_t type;          /* SM_RECORD_PROVIDER or SM_RECORD_TASK */
    uint16_t want_records; /* enough holders; 0: all */
    uint8_t want_frags;    /* enough different shards; 0: all */
    bool by_signer;        /* believe only this signer: for TASK, who hands it out */
    struct sm_node_id signer;
    uint64_t token; /* comes back in the RESULT */
};

enum sm_dht_out_kind {
    SM_DHT_OUT_REQUEST, /* send body to node, service 1; sm_dht_reply(rpc, ...) when it ends */
    SM_DHT_OUT_RESULT,  /* of a get or put */
    SM_DHT_OUT_PUBLISHED, /* the first announcement of a key is done; stored may be 0 */
    SM_DHT_OUT_SIGN,      /* have body signed (kind RECORD); sm_dht_signed(token, ...) */
    SM_DHT_OUT_OBSERVE,   /* what a node did, for trust */
};

enum sm_dht_seen {
    SM_DHT_SEEN_ANSWER,
    SM_DHT_SEEN_SILENCE,   /* no answer in time */
    SM_DHT_SEEN_FORGERY,   /* a record with a wrong key, network or signature: a lie */
    SM_DHT_SEEN_STALE,     /* a record out of its time */
    SM_DHT_SEEN_MALFORMED, /* an answer that is none */
};

struct sm_dht_out {
    enum sm_dht_out_kind kind;
    struct sm_node_id node; /* REQUEST, OBSERVE */
    uint64_t rpc;           /* REQUEST */
    uint64_t token;         /* RESULT, SIGN */
    struct sm_view body;    /* REQUEST, SIGN */
    enum sm_dht_seen seen;  /* OBSERVE */
    struct sm_data_id key;  /* RESULT, PUBLISHED */
    enum sm_err err;        /* RESULT: OK; get: NOTFOUND, TIMEOUT; put: PEERS, TIMEOUT, STALE,
                               REFUSED */
    uint8_t type;           /* RESULT of a get: of the records; of a put: 0 */
    const struct sm_view *records; /* RESULT of a get: n_records, verified, one per signer */
    uint16_t n_records;
    uint16_t nodes_asked, nodes_answered, paths; /* RESULT */
    uint16_t stored; /* RESULT of a put, PUBLISHED: nodes that keep it, ourselves included */
};

struct sm_dht_stats {
    uint64_t lookups, requests, answers, timeouts, late_answers;
    uint64_t served_finds, served_stores, stored, refused, forged, stale, unverified_contacts;
    uint64_t announced, announce_failed, newcomers, newcomers_dropped;
    uint32_t contacts, silent, records, published, due; /* now */
    uint64_t nodes_estimate;
};

struct sm_dht;

struct sm_dht *sm_dht_new(const struct sm_dht_cfg *cfg, struct sm_mono now,
                          struct sm_wall wall);
void sm_dht_free(struct sm_dht *d);

/* The NODE record of this node was verified (again); grade 0 takes it out like _gone. */
void sm_dht_contact(struct sm_dht *d, struct sm_mono now, const struct sm_node_id *id,
                    uint8_t grade);
void sm_dht_contact_gone(struct sm_dht *d, struct sm_mono now, const struct sm_node_id *id);
bool sm_dht_has_contact(const struct sm_dht *d, const struct sm_node_id *id);
/* This node is revoked: gone, and nothing it signed is kept or answered any more. */
void sm_dht_revoked(struct sm_dht *d, struct sm_mono now, const struct sm_node_id *id);

/* Look for records.  BUSY when max_lookups run; INVALID for another type. */
enum sm_err sm_dht_get(struct sm_dht *d, struct sm_mono now, struct sm_wall wall,
                       const struct sm_dht_query *q) SM_MUST;
/* Keep a signed record on the k nodes closest to its key; RESULT when three quarters have it
 * or all have answered.  Errors are those of a record that no peer would take, or BUSY. */
enum sm_err sm_dht_put(struct sm_dht *d, struct sm_mono now, struct sm_wall wall,
                       struct sm_view record, uint64_t token) SM_MUST;
/* Forget a get or put: no RESULT will come. */
void sm_dht_cancel(struct sm_dht *d, uint64_t token);

/* Announce that this node holds something, from now on until it is taken back.  The same key
 * again replaces.  LIMIT when max_published are announced, INVALID for nothing held. */
enum sm_err sm_dht_publish(struct sm_dht *d, struct sm_mono now, struct sm_wall wall,
                           const struct sm_dht_item *item) SM_MUST;
void sm_dht_unpublish(struct sm_dht *d, struct sm_mono now, struct sm_wall wall,
                      const struct sm_data_id *key);
/* The answer to a SIGN: 64 bytes when err is OK. */
void sm_dht_signed(struct sm_dht *d, struct sm_mono now, struct sm_wall wall, uint64_t token,
                   enum sm_err err, struct sm_view sig);

/* A request of a node whose session was verified: answered at once.  OK with a body to send
 * back, valid until the next call, or the error to send instead. */
enum sm_err sm_dht_request(struct sm_dht *d, struct sm_mono now, struct sm_wall wall,
                           const struct sm_node_id *from, struct sm_view body,
                           struct sm_view *out_reply) SM_MUST;
/* A REQUEST ended: with a body, or with an error. */
void sm_dht_reply(struct sm_dht *d, struct sm_mono now, struct sm_wall wall, uint64_t rpc,
                  enum sm_err err, struct sm_view body);

void sm_dht_tick(struct sm_dht *d, struct sm_mono now, struct sm_wall wall);
struct sm_mono sm_dht_deadline(const struct sm_dht *d);
bool sm_dht_next(struct sm_dht *d, struct sm_dht_out *out);

void sm_dht_stats(const struct sm_dht *d, struct sm_dht_stats *out);
/* Bytes that sm_dht_new takes for this configuration. */
size_t sm_dht_footprint(const struct sm_dht_cfg *cfg);
