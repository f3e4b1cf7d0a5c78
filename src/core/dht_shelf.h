// SPDX-License-Identifier: Apache-2.0
#pragma once
/* dht_shelf: what this node announces, in the order of keys, with the signatures it has.
 *
 * Slots stay where they are; `order` lists them by key.  A slot that is to be announced is
 * `is_due` and stands in one queue, at most once, so that due work costs nothing to find.
 *
 * Memory:  four arrays of `cap`, made at init.
 */
#include "core/dht_store.h"

struct sm_dht_item {
    struct sm_data_id key;
    uint8_t kind; /* enum sm_provider_kind */
    uint64_t frag_map, bytes;
};

struct sm_dht_pub {
    struct sm_dht_item item;
    uint64_t seq, not_before; /* of the record that was last given to sign */
    uint8_t sig[64];
    bool is_due, is_queued;
    bool is_signed;
    bool is_busy;      /* an announcement of it is under way */
    bool is_fresh;     /* its first announcement is not done */
    bool is_withdrawn; /* to be forgotten once announced */
};

struct sm_dht_shelf {
    struct sm_dht_pub *pub;
    uint32_t *order; /* n slots by key */
    uint32_t *queue; /* ring of slots */
    uint32_t *free;  /* top - n slots */
    uint32_t top;    /* slots ever used; memory above it was never touched */
    uint32_t cap, n, queue_at, queue_n;
};

enum sm_err sm_dht_shelf_init(struct sm_dht_shelf *s, uint32_t cap) SM_MUST;
void sm_dht_shelf_done(struct sm_dht_shelf *s);

/* Where the first key >= this one stands in the order; s->n when there is none. */
uint32_t sm_dht_shelf_seek(const struct sm_dht_shelf *s, const struct sm_data_id *key);
struct sm_dht_pub *sm_dht_shelf_find(const struct sm_dht_shelf *s,
                                     const struct sm_data_id *key);
static inline struct sm_dht_pub *sm_dht_shelf_at(const struct sm_dht_shelf *s, uint32_t pos)
{
    return &s->pub[s->order[pos]];
}

/* Add or change; the item becomes due.  LIMIT when full. */
enum sm_err sm_dht_shelf_put(struct sm_dht_shelf *s, const struct sm_dht_item *item) SM_MUST;
void sm_dht_shelf_del(struct sm_dht_shelf *s, struct sm_dht_pub *p);

void sm_dht_shelf_due(struct sm_dht_shelf *s, struct sm_dht_pub *p);
/* The next due item that is not busy; NULL when there is none.  It stays due. */
struct sm_dht_pub *sm_dht_shelf_next_due(struct sm_dht_shelf *s);
