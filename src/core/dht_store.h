// SPDX-License-Identifier: Apache-2.0
#pragma once
/* dht_store: the records a node keeps for the mesh, one for each (key, type, signer).
 *
 * Everything here was verified by the owner before it came in.  A record replaces only an
 * older one of its signer: higher fence, then higher seq.  Caps: records of one key, of one
 * signer, and in all.  At the last, the record whose key is farthest from our own id goes, if
 * the new one is nearer; else the new one is refused.  A signer at its cap is refused until its
 * records expire.  Expired records are never seen; the owner clears them out by the minute,
 * because looking for them on each refusal would be work that strangers can order.
 *
 * Memory:  arrays of `cap` slots and two maps, made at init.
 */
#include "base/map.h"
#include "core/dht_table.h"
#include "wire/dht_rpc.h"
#include "wire/provider.h"
#include "wire/task.h"

#define SM_DHT_PER_KEY SM_DHT_RECORDS_MAX /* all of them fit one reply */

/* A record with the fields that decide about it. */
struct sm_dht_rec {
    uint64_t fence, seq, not_before, expires, frag_map;
    uint32_t network;
    uint8_t type, n;
    uint8_t signer_at;
    bool is_withdrawn;
    uint8_t bytes[SM_DHT_RECORD_MAX];
};

/* Parse a PROVIDER or a TASK; MALFORMED for other types. */
enum sm_err sm_dht_rec_read(struct sm_view bytes, struct sm_dht_rec *out) SM_MUST;
static inline const uint8_t *sm_dht_rec_key(const struct sm_dht_rec *r)
{
    return r->bytes + SM_RECORD_HEAD;
}
static inline const uint8_t *sm_dht_rec_signer(const struct sm_dht_rec *r)
{
    return r->bytes + r->signer_at;
}
static inline struct sm_view sm_dht_rec_view(const struct sm_dht_rec *r)
{
    return sm_view_of(r->bytes, r->n);
}
bool sm_dht_rec_is_newer(const struct sm_dht_rec *a, const struct sm_dht_rec *b);
bool sm_dht_rec_same_source(const struct sm_dht_rec *a, const struct sm_dht_rec *b);
static inline bool sm_dht_rec_eq(const struct sm_dht_rec *a, const struct sm_dht_rec *b)
{
    return sm_view_eq(sm_dht_rec_view(a), sm_dht_rec_view(b));
}

struct sm_dht_slot {
    struct sm_dht_rec rec;
    uint32_t next; /* in the chain of its key, or of free slots */
    bool is_used;
};

struct sm_dht_store {
    struct sm_node_id self;
    struct sm_dht_slot *slot;
    uint64_t *far; /* distance of the slot's key, apart so that finding the farthest is quick */
    uint32_t cap, n, per_signer;
    uint32_t top;            /* slots ever used; memory above it was never touched */
    uint32_t free_head;      /* slots below top that are free again */
    struct sm_map by_key;    /* data id -> head of chain */
    struct sm_map by_signer; /* node id -> how many */
};

enum sm_err sm_dht_store_init(struct sm_dht_store *s, const struct sm_node_id *self,
                              uint32_t cap, uint32_t per_signer, uint64_t k0,
                              uint64_t k1) SM_MUST;
void sm_dht_store_done(struct sm_dht_store *s);

/* What sm_dht_store_add would answer: asked first, because verifying costs more. */
enum sm_dht_status sm_dht_store_ask(const struct sm_dht_store *s, const struct sm_dht_rec *r);
enum sm_dht_status sm_dht_store_add(struct sm_dht_store *s, const struct sm_dht_rec *r);
/* Drop all records of a signer who is believed no more. */
void sm_dht_store_forget(struct sm_dht_store *s, const struct sm_node_id *signer);
void sm_dht_store_expire(struct sm_dht_store *s, struct sm_wall now);

/* Walk the records of a key: *at starts as SM_DHT_FIRST; NULL at the end.  Expired ones are
 * skipped. */
#define SM_DHT_FIRST UINT32_MAX
const struct sm_dht_rec *sm_dht_store_next(const struct sm_dht_store *s,
                                           const struct sm_data_id *key, struct sm_wall now,
                                           uint32_t *at);
