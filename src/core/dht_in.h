// SPDX-License-Identifier: Apache-2.0
#pragma once
/* dht_in: the inside of the DHT machine, shared by the three files that make it.
 *
 *   dht_walk.c    operations, walks towards a key, what is believed of answers
 *   dht_spread.c  records onto nodes: puts, announcements, the sweep, newcomers
 *   dht.c         inputs, serving, time, outputs, life
 *
 * An operation is a slot of d->op: it walks, may have records signed, stores them, reports.
 * What it wants to send is the state of its entries and items, so no queue can overflow.
 */
#include "core/dht.h"

#define SHORTLIST       48u /* nodes one walk remembers: k, a share for each path, some more */
#define BATCH           64u /* records of one STORE; bits of a mask */
#define ANNOUNCERS      2u  /* announcements at once: steady work must leave room for lookups */
#define INTERNAL        (ANNOUNCERS + 1u) /* and one refresh or greeting */
#define OBSERVED        32u   /* waiting observations; more are dropped, they are statistics */
#define NEWCOMERS       32u   /* waiting to be greeted; more make the whole shelf due */
#define GREET_SCAN      128u  /* keys looked at in one step of greeting: below a millisecond */
#define REGION_SCAN     1024u /* keys looked at for one batch */
#define AGREE           3u    /* equal answers that settle a TASK */
#define LIFE            SM_S(10)
#define SIGN_WITHIN     SM_S(5)
#define ANNOUNCE_GAP    SM_MS(50) /* at most 20 batches a second */
#define ANNOUNCE_PAUSE  SM_S(5)   /* after nobody took it */
#define GREET_GAP       SM_MS(20)
#define GREET_PAUSE     SM_S(5)
#define GREET_TRIES     4u
#define REFRESH_EVERY   SM_S(600)
#define REFRESH_SILENT  SM_S(60) /* while contacts are silent */
#define EXPIRE_EVERY    SM_S(60)
#define PROVIDER_LIFE_S 172800u /* longest life accepted: twice what we make */
#define TASK_LIFE_S     3600u
#define STORE_BIT       (UINT64_C(1) << 16)
#define NO_SLOT         UINT32_MAX

enum op_kind { OP_FREE, OP_GET, OP_PUT, OP_ANNOUNCE, OP_REFRESH, OP_GREET };
enum op_phase { PH_WALK, PH_SIGN, PH_STORE, PH_REPORT };

enum entry_state {
    E_NEW,
    E_READY, /* to be asked */
    E_ASKED,
    E_SILENT, /* not in time; an answer still counts */
    E_FAILED,
    E_ANSWERED,
    E_STORE_READY,
    E_STORING,
    E_STORED, /* told us what became of the records */
};

/* A node that a walk knows. */
struct entry {
    struct sm_node_id id;
    struct sm_mono sent;
    uint32_t hedge_us, timeout_us;
    uint64_t mask; /* the records of the batch that were sent to it */
    uint8_t state, path;
    bool is_slow;
};

enum item_state { I_WANT_SIGN, I_SIGNING, I_READY, I_DROPPED };

/* A record to store: of the shelf, or the one of a put (found[0], slot NO_SLOT). */
struct item {
    uint64_t seq; /* of the record meant; the shelf may have moved on */
    uint32_t slot;
    uint8_t state, acks, refusals;
};

struct op {
    enum op_kind kind;
    enum op_phase phase;
    uint32_t gen;
    struct sm_dht_query q;
    struct sm_mono started, due;
    unsigned k, paths;
    struct entry e[SHORTLIST];
    uint8_t order[SHORTLIST]; /* entries, nearest first */
    unsigned n, n_ready;
    uint16_t asked, answered;
    uint8_t path_used;
    struct sm_dht_rec *found; /* room for cfg.max_found; NULL for internal ones */
    unsigned n_found;
    unsigned agree, agree_paths;
    struct item item[BATCH];
    unsigned n_items, n_targets, n_done, n_good, n_stale;
    bool kept_here;
    uint64_t report; /* items whose announcement is to be told */
};

struct newcomer {
    struct sm_node_id id;
    bool is_gone;
    uint8_t tries;
    struct sm_data_id from; /* keys below are done */
};

struct observation {
    struct sm_node_id node;
    enum sm_dht_seen seen;
};

struct sm_dht {
    struct sm_dht_cfg cfg;
    struct sm_mono now;
    struct sm_wall wall;
    struct sm_rng rng;
    struct sm_dht_table table;
    struct sm_dht_store store;
    struct sm_dht_shelf shelf;
    struct op *op;
    unsigned n_ops;
    struct sm_dht_rec *found;
    struct sm_view *views;
    uint8_t *scratch;
    struct op *told; /* its RESULT is with the caller; freed by the next call */
    struct observation seen[OBSERVED];
    unsigned seen_at, seen_n;
    struct newcomer newcomer[NEWCOMERS];
    unsigned newcomer_at, newcomer_n;
    uint32_t gen;
    uint64_t last_seq; /* of a record of ours */
    struct sm_mono refresh_at, expire_at, announce_at, greet_at, sweep_at;
    struct sm_data_id swept; /* the sweep has passed keys up to this one */
    struct sm_dht_stats stats;
};

/* -- dht_walk.c ------------------------------------------------------------------------ */

void sm_dht_observe(struct sm_dht *d, const struct sm_node_id *node, enum sm_dht_seen seen);
void sm_dht_lied(struct sm_dht *d, const struct sm_node_id *from, enum sm_dht_seen seen);

/* All that can be told without a signature check: MALFORMED, REFUSED (other network or a life
 * too long), EXPIRED. */
enum sm_err sm_dht_check_read(const struct sm_dht *d, struct sm_view bytes,
                              struct sm_dht_rec *out) SM_MUST;

/* NOTFOUND when the signer is not known here, CRYPTO when it did not sign this. */
enum sm_err sm_dht_check_signer(const struct sm_dht *d, const struct sm_dht_rec *r) SM_MUST;

/* Up to a tenth less than this. */
struct sm_dur sm_dht_jitter(struct sm_dht *d, struct sm_dur most);

/* How many nodes keep a record. */
unsigned sm_dht_k(const struct sm_dht *d);

/* A free slot for an operation; NULL when all are taken, which only users' can be. */
struct op *sm_dht_op_new(struct sm_dht *d, enum op_kind kind, const struct sm_data_id *key);
unsigned sm_dht_op_count(const struct sm_dht *d, enum op_kind kind);

/* The name of what an entry or item of an operation waits for, and back. */
uint64_t sm_dht_op_rpc(const struct sm_dht *d, const struct op *o, unsigned entry);
struct op *sm_dht_op_find(struct sm_dht *d, uint64_t rpc);
void sm_dht_entry_ready(struct op *o, struct entry *e, enum entry_state state);

/* Put a node into the shortlist, at its distance, on a path.  It belongs to the path that met
 * it first, so no two paths share a node. */
void sm_dht_entry_add(struct op *o, const struct sm_node_id *id, unsigned path);
struct sm_mono sm_dht_entry_due(const struct entry *e);

/* Find when the operation is due next, at the latest at `also`. */
void sm_dht_op_plan(struct op *o, struct sm_mono also);

/* Ask whom the walk may ask now.  A node is asked when it is among the k closest of all that
 * may still answer, or among its path's share of k, so that each path gets on by itself.  A
 * node that is slow is passed over; its answer still counts. */
void sm_dht_walk_pump(struct sm_dht *d, struct op *o);
void sm_dht_walk_begin(struct sm_dht *d, struct op *o);

/* Keep a verified record; older ones of the same source go.  Returns whether it is news. */
bool sm_dht_found_add(const struct sm_dht *d, struct op *o, const struct sm_dht_rec *r);
bool sm_dht_is_asked_for(const struct op *o, const struct sm_dht_rec *r);
/* Of a signer that the query believes. */
bool sm_dht_is_wanted(const struct op *o, const struct sm_dht_rec *r);
/* The answer to a FIND. */
void sm_dht_walk_answer(struct sm_dht *d, struct op *o, struct entry *e, struct sm_view body);

/* -- dht_spread.c ---------------------------------------------------------------------- */

/* What a shelf item says, unsigned. */
void sm_dht_pub_write(const struct sm_dht *d, const struct sm_dht_pub *p, struct sm_wr *w);
struct sm_view sm_dht_pub_record(const struct sm_dht *d, const struct sm_dht_pub *p,
                                 uint8_t out[static SM_PROVIDER_BYTES]);
bool sm_dht_pub_is_valid(const struct sm_dht *d, const struct sm_dht_pub *p);
void sm_dht_newcomer_add(struct sm_dht *d, struct newcomer c);

/* Refresh and greeting share one place. */
bool sm_dht_has_guest(const struct sm_dht *d);
bool sm_dht_may_greet(const struct sm_dht *d);

/* One step of telling a newcomer what it should keep, or of announcing again what a leaver
 * kept. */
void sm_dht_greet(struct sm_dht *d);

/* A put is done when three quarters keep it, every store when all have answered. */
void sm_dht_spread_pump(struct sm_dht *d, struct op *o);
/* From the end of a walk to storing on the k closest that answered. */
void sm_dht_spread_begin(struct sm_dht *d, struct op *o);
void sm_dht_spread_write(struct sm_dht *d, struct op *o, struct entry *e, struct sm_wr *w);
void sm_dht_spread_answer(struct sm_dht *d, struct op *o, struct entry *e, struct sm_view body);

/* The k closest to our key are also near every key that shares one bit more with it than the
 * farthest of them does: those nodes are all in that half, and we know them all.  So one walk
 * serves a run of keys. */
void sm_dht_announce_batch(struct sm_dht *d, struct op *o);
/* Store once all signatures are there, or without those that did not come in time. */
void sm_dht_sign_pump(struct sm_dht *d, struct op *o);
void sm_dht_announce_start(struct sm_dht *d);

/* When the next step of the sweep is due, so that a round takes announce_every. */
void sm_dht_sweep_plan(struct sm_dht *d, bool is_stepped);
/* One step: the next keys become due. */
void sm_dht_sweep(struct sm_dht *d);
