// SPDX-License-Identifier: Apache-2.0
#include "core/dht_shelf.h"

#include <assert.h>
#include <stdlib.h>

enum sm_err sm_dht_shelf_init(struct sm_dht_shelf *s, uint32_t cap)
{
    *s = (struct sm_dht_shelf){.cap = cap};
    if (cap == 0) {
        return SM_OK;
    }
    s->pub = calloc(cap, sizeof *s->pub);
    s->order = calloc(cap, sizeof *s->order);
    s->queue = calloc(cap, sizeof *s->queue);
    s->free = calloc(cap, sizeof *s->free);
    if (s->pub == NULL || s->order == NULL || s->queue == NULL || s->free == NULL) {
        sm_dht_shelf_done(s);
        return SM_E_NOMEM;
    }
    return SM_OK;
}

void sm_dht_shelf_done(struct sm_dht_shelf *s)
{
    free(s->pub);
    free(s->order);
    free(s->queue);
    free(s->free);
    *s = (struct sm_dht_shelf){0};
}

uint32_t sm_dht_shelf_seek(const struct sm_dht_shelf *s, const struct sm_data_id *key)
{
    uint32_t low = 0, high = s->n;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (memcmp(sm_dht_shelf_at(s, mid)->item.key.b, key->b, sizeof key->b) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct sm_dht_pub *sm_dht_shelf_find(const struct sm_dht_shelf *s, const struct sm_data_id *key)
{
    uint32_t pos = sm_dht_shelf_seek(s, key);
    if (pos == s->n || !sm_data_id_eq(&sm_dht_shelf_at(s, pos)->item.key, key)) {
        return NULL;
    }
    return sm_dht_shelf_at(s, pos);
}

enum sm_err sm_dht_shelf_put(struct sm_dht_shelf *s, const struct sm_dht_item *item)
{
    struct sm_dht_pub *p = sm_dht_shelf_find(s, &item->key);
    if (p == NULL) {
        if (s->n == s->cap) {
            return SM_E_LIMIT;
        }
        uint32_t pos = sm_dht_shelf_seek(s, &item->key);
        uint32_t slot = s->top > s->n ? s->free[s->top - s->n - 1] : s->top++;
        memmove(&s->order[pos + 1], &s->order[pos], (s->n - pos) * sizeof *s->order);
        s->order[pos] = slot;
        s->n++;
        p = &s->pub[slot];
        bool is_queued = p->is_queued; /* a slot used before may still stand in the queue */
        *p = (struct sm_dht_pub){.is_queued = is_queued};
    }
    p->item = *item;
    p->seq = 0; /* a record under way is not this one */
    p->is_signed = false;
    p->is_fresh = true;
    p->is_withdrawn = false;
    sm_dht_shelf_due(s, p);
    return SM_OK;
}

void sm_dht_shelf_del(struct sm_dht_shelf *s, struct sm_dht_pub *p)
{
    uint32_t pos = sm_dht_shelf_seek(s, &p->item.key);
    assert(pos < s->n && sm_dht_shelf_at(s, pos) == p);
    memmove(&s->order[pos], &s->order[pos + 1], (s->n - pos - 1) * sizeof *s->order);
    s->n--;
    s->free[s->top - s->n - 1] = (uint32_t)(p - s->pub);
    *p = (struct sm_dht_pub){.is_queued = p->is_queued};
}

void sm_dht_shelf_due(struct sm_dht_shelf *s, struct sm_dht_pub *p)
{
    p->is_due = true;
    if (!p->is_queued) {
        assert(s->queue_n < s->cap);
        s->queue[(s->queue_at + s->queue_n) % s->cap] = (uint32_t)(p - s->pub);
        s->queue_n++;
        p->is_queued = true;
    }
}

struct sm_dht_pub *sm_dht_shelf_next_due(struct sm_dht_shelf *s)
{
    for (uint32_t i = 0, n = s->queue_n; i < n; i++) {
        struct sm_dht_pub *p = &s->pub[s->queue[s->queue_at]];
        if (p->is_due && !p->is_busy) {
            return p;
        }
        s->queue_at = (s->queue_at + 1) % s->cap;
        s->queue_n--;
        p->is_queued = false;
        if (p->is_due) {
            sm_dht_shelf_due(s, p); /* changed while it was announced: again, later */
        }
    }
    return NULL;
}
