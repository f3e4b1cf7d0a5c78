// SPDX-License-Identifier: Apache-2.0
#include "core/dht_store.h"

#include <assert.h>
#include <stdlib.h>

#define END             (UINT32_MAX - 1)
#define PROVIDER_SIGNER 64u
#define TASK_SIGNER     113u

/* -- records ----------------------------------------------------------------------------- */

static enum sm_err provider_read(struct sm_view bytes, struct sm_dht_rec *r)
{
    struct sm_provider p;
    SM_TRY(sm_provider_read(bytes, &p));
    r->frag_map = p.frag_map;
    r->is_withdrawn = sm_provider_is_withdrawn(&p);
    r->signer_at = PROVIDER_SIGNER;
    return SM_OK;
}

static enum sm_err task_read(struct sm_view bytes, struct sm_dht_rec *r)
{
    struct sm_task t;
    SM_TRY(sm_task_read(bytes, &t));
    r->fence = t.fence;
    r->signer_at = TASK_SIGNER;
    return SM_OK;
}

enum sm_err sm_dht_rec_read(struct sm_view bytes, struct sm_dht_rec *out)
{
    struct sm_record_head h;
    SM_TRY(sm_record_peek(bytes, &h));
    struct sm_dht_rec r = {.seq = h.seq,
                           .not_before = h.not_before.s,
                           .expires = h.expires.s,
                           .network = h.network,
                           .type = h.type};
    if (h.type == SM_RECORD_PROVIDER) {
        SM_TRY(provider_read(bytes, &r));
    } else if (h.type == SM_RECORD_TASK) {
        SM_TRY(task_read(bytes, &r));
    } else {
        return SM_E_MALFORMED;
    }
    assert(bytes.n <= sizeof r.bytes);
    memcpy(r.bytes, bytes.p, bytes.n);
    r.n = (uint8_t)bytes.n;
    *out = r;
    return SM_OK;
}

bool sm_dht_rec_is_newer(const struct sm_dht_rec *a, const struct sm_dht_rec *b)
{
    return a->fence != b->fence ? a->fence > b->fence : a->seq > b->seq;
}

bool sm_dht_rec_same_source(const struct sm_dht_rec *a, const struct sm_dht_rec *b)
{
    return a->type == b->type && memcmp(sm_dht_rec_key(a), sm_dht_rec_key(b), 32) == 0 &&
           memcmp(sm_dht_rec_signer(a), sm_dht_rec_signer(b), 32) == 0;
}

static bool is_expired(const struct sm_dht_rec *r, struct sm_wall now)
{
    return now.s >= r->expires && now.s - r->expires >= SM_RECORD_SKEW_S;
}

/* -- the table --------------------------------------------------------------------------- */

enum sm_err sm_dht_store_init(struct sm_dht_store *s, const struct sm_node_id *self,
                              uint32_t cap, uint32_t per_signer, uint64_t k0, uint64_t k1)
{
    *s = (struct sm_dht_store){
        .self = *self, .cap = cap, .per_signer = per_signer, .free_head = END};
    s->slot = calloc(cap, sizeof *s->slot);
    s->far = calloc(cap, sizeof *s->far);
    enum sm_err e = s->slot == NULL || s->far == NULL ? SM_E_NOMEM : SM_OK;
    if (e == SM_OK) {
        e = sm_map_init(&s->by_key, 32, cap, k0, k1);
    }
    if (e == SM_OK) {
        e = sm_map_init(&s->by_signer, 32, cap, k0, k1);
    }
    if (e != SM_OK) {
        sm_dht_store_done(s);
        return e;
    }
    return SM_OK;
}

void sm_dht_store_done(struct sm_dht_store *s)
{
    sm_map_done(&s->by_key);
    sm_map_done(&s->by_signer);
    free(s->slot);
    free(s->far);
    *s = (struct sm_dht_store){0};
}

static uint32_t head_of(const struct sm_dht_store *s, const uint8_t *key)
{
    uint32_t head;
    return sm_map_get(&s->by_key, key, &head) ? head : END;
}

static uint32_t count_of(const struct sm_dht_store *s, const uint8_t *signer)
{
    uint32_t n;
    return sm_map_get(&s->by_signer, signer, &n) ? n : 0;
}

/* The maps have room for as many keys and signers as there are slots. */
static void map_set(struct sm_map *m, const uint8_t *key, uint32_t v)
{
    enum sm_err e = sm_map_put(m, key, v);
    assert(e == SM_OK);
    (void)e;
}

static void signer_count(struct sm_dht_store *s, const uint8_t *signer, uint32_t n)
{
    if (n == 0) {
        (void)sm_map_del(&s->by_signer, signer);
    } else {
        map_set(&s->by_signer, signer, n);
    }
}

static void drop(struct sm_dht_store *s, uint32_t i)
{
    struct sm_dht_slot *slot = &s->slot[i];
    const uint8_t *key = sm_dht_rec_key(&slot->rec);
    uint32_t head = head_of(s, key);
    if (head == i && slot->next == END) {
        (void)sm_map_del(&s->by_key, key);
    } else if (head == i) {
        map_set(&s->by_key, key, slot->next);
    } else {
        while (s->slot[head].next != i) {
            head = s->slot[head].next;
        }
        s->slot[head].next = slot->next;
    }
    const uint8_t *signer = sm_dht_rec_signer(&slot->rec);
    signer_count(s, signer, count_of(s, signer) - 1);
    slot->is_used = false;
    s->far[i] = 0;
    slot->next = s->free_head;
    s->free_head = i;
    s->n--;
}

void sm_dht_store_expire(struct sm_dht_store *s, struct sm_wall now)
{
    for (uint32_t i = 0; i < s->top; i++) {
        if (s->slot[i].is_used && is_expired(&s->slot[i].rec, now)) {
            drop(s, i);
        }
    }
}

void sm_dht_store_forget(struct sm_dht_store *s, const struct sm_node_id *signer)
{
    for (uint32_t i = 0; i < s->top && count_of(s, signer->b) > 0; i++) {
        if (s->slot[i].is_used &&
            memcmp(sm_dht_rec_signer(&s->slot[i].rec), signer->b, sizeof signer->b) == 0) {
            drop(s, i);
        }
    }
}

static uint32_t farthest(const struct sm_dht_store *s)
{
    uint32_t at = 0;
    for (uint32_t i = 1; i < s->top; i++) {
        if (s->far[i] > s->far[at]) {
            at = i;
        }
    }
    return at;
}

struct place {
    enum sm_dht_status status;
    uint32_t old;   /* the slot it replaces, or END */
    uint32_t evict; /* the slot that makes room, or END */
};

static struct place place_of(const struct sm_dht_store *s, const struct sm_dht_rec *r)
{
    struct place p = {SM_DHT_REFUSED, END, END};
    unsigned of_key = 0;
    for (uint32_t i = head_of(s, sm_dht_rec_key(r)); i != END; i = s->slot[i].next) {
        const struct sm_dht_rec *have = &s->slot[i].rec;
        of_key++;
        if (!sm_dht_rec_same_source(have, r)) {
            continue;
        }
        if (sm_dht_rec_eq(have, r)) {
            p.status = SM_DHT_HAVE;
        } else if (sm_dht_rec_is_newer(r, have)) {
            p.status = SM_DHT_STORED;
            p.old = i;
        } else {
            p.status = SM_DHT_STALE;
        }
        return p;
    }
    if (of_key >= SM_DHT_PER_KEY || count_of(s, sm_dht_rec_signer(r)) >= s->per_signer) {
        return p;
    }
    if (s->n == s->cap) {
        uint32_t at = farthest(s);
        if (sm_dht_distance64(s->self.b, sm_dht_rec_key(r)) >= s->far[at]) {
            return p;
        }
        p.evict = at;
    }
    p.status = SM_DHT_STORED;
    return p;
}

enum sm_dht_status sm_dht_store_ask(const struct sm_dht_store *s, const struct sm_dht_rec *r)
{
    return s->cap == 0 ? SM_DHT_REFUSED : place_of(s, r).status;
}

static uint32_t slot_take(struct sm_dht_store *s)
{
    uint32_t i = s->free_head;
    if (i != END) {
        s->free_head = s->slot[i].next;
        return i;
    }
    assert(s->top < s->cap);
    return s->top++;
}

enum sm_dht_status sm_dht_store_add(struct sm_dht_store *s, const struct sm_dht_rec *r)
{
    if (s->cap == 0) {
        return SM_DHT_REFUSED;
    }
    struct place p = place_of(s, r);
    if (p.status != SM_DHT_STORED) {
        return p.status;
    }
    if (p.old != END) {
        s->slot[p.old].rec = *r;
        return SM_DHT_STORED;
    }
    if (p.evict != END) {
        drop(s, p.evict);
    }
    uint32_t i = slot_take(s);
    s->slot[i] =
        (struct sm_dht_slot){.rec = *r, .next = head_of(s, sm_dht_rec_key(r)), .is_used = true};
    s->far[i] = sm_dht_distance64(s->self.b, sm_dht_rec_key(r));
    map_set(&s->by_key, sm_dht_rec_key(r), i);
    signer_count(s, sm_dht_rec_signer(r), count_of(s, sm_dht_rec_signer(r)) + 1);
    s->n++;
    return SM_DHT_STORED;
}

const struct sm_dht_rec *sm_dht_store_next(const struct sm_dht_store *s,
                                           const struct sm_data_id *key, struct sm_wall now,
                                           uint32_t *at)
{
    uint32_t i = *at == SM_DHT_FIRST ? head_of(s, key->b) : *at;
    while (i != END && is_expired(&s->slot[i].rec, now)) {
        i = s->slot[i].next;
    }
    if (i == END) {
        *at = END;
        return NULL;
    }
    *at = s->slot[i].next;
    return &s->slot[i].rec;
}
