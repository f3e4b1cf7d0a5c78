// SPDX-License-Identifier: Apache-2.0
#include "core/dht_in.h"

#include <assert.h>

/* -- shelf items as records ------------------------------------------------------------ */

void sm_dht_pub_write(const struct sm_dht *d, const struct sm_dht_pub *p, struct sm_wr *w)
{
    struct sm_provider rec = {
        .head = {.network = d->cfg.anchor->network,
                 .seq = p->seq,
                 .not_before = {p->not_before},
                 .expires = {p->not_before + d->cfg.provider_life_s}},
        .key = p->item.key,
        .node_id = d->cfg.self,
        .kind = p->item.kind,
        .frag_map = p->is_withdrawn ? 0 : p->item.frag_map,
        .bytes = p->is_withdrawn ? 0 : p->item.bytes,
    };
    sm_provider_write(&rec, w);
}

struct sm_view sm_dht_pub_record(const struct sm_dht *d, const struct sm_dht_pub *p,
                                 uint8_t out[static SM_PROVIDER_BYTES])
{
    struct sm_wr w = sm_wr_init(out, SM_PROVIDER_BYTES);
    sm_dht_pub_write(d, p, &w);
    sm_wr_bytes(&w, p->sig, sizeof p->sig);
    assert(!w.full && w.n == SM_PROVIDER_BYTES);
    return sm_view_of(out, SM_PROVIDER_BYTES);
}

bool sm_dht_pub_is_valid(const struct sm_dht *d, const struct sm_dht_pub *p)
{
    return p->is_signed && d->wall.s < p->not_before + d->cfg.provider_life_s;
}

/* The shelf item still is what this batch item meant. */
static bool item_holds(const struct sm_dht *d, const struct item *it)
{
    if (it->slot == NO_SLOT) {
        return true;
    }
    const struct sm_dht_pub *p = &d->shelf.pub[it->slot];
    return it->state == I_READY && p->is_signed && p->seq == it->seq;
}

static uint64_t items_to_send(const struct sm_dht *d, const struct op *o)
{
    uint64_t mask = 0;
    for (unsigned i = 0; i < o->n_items; i++) {
        mask |= item_holds(d, &o->item[i]) ? UINT64_C(1) << i : 0;
    }
    return mask;
}

/* -- newcomers and leavers ------------------------------------------------------------- */

void sm_dht_newcomer_add(struct sm_dht *d, struct newcomer c)
{
    if (d->shelf.n == 0) {
        return;
    }
    if (d->newcomer_n == NEWCOMERS) {
        d->stats.newcomers_dropped++;
        for (uint32_t pos = 0; pos < d->shelf.n; pos++) {
            sm_dht_shelf_due(&d->shelf, sm_dht_shelf_at(&d->shelf, pos));
        }
        d->newcomer_n = 0; /* the whole shelf covers them all */
        return;
    }
    d->stats.newcomers++;
    d->newcomer[(d->newcomer_at + d->newcomer_n++) % NEWCOMERS] = c;
}

/* Near the key by all we know of its region, and by how dense the mesh is: far regions we
 * know by a few contacts only. */
static bool comes_near(const struct sm_dht *d, const struct sm_data_id *key,
                       const struct sm_node_id *id, unsigned k, uint64_t radius)
{
    return sm_dht_distance64(key->b, id->b) <= radius &&
           sm_dht_table_is_among(&d->table, key, id, k);
}

bool sm_dht_has_guest(const struct sm_dht *d)
{
    return sm_dht_op_count(d, OP_GREET) + sm_dht_op_count(d, OP_REFRESH) > 0;
}

bool sm_dht_may_greet(const struct sm_dht *d)
{
    return d->newcomer_n > 0 && !sm_dht_has_guest(d);
}

void sm_dht_greet(struct sm_dht *d)
{
    struct newcomer *c = &d->newcomer[d->newcomer_at];
    unsigned k = sm_dht_k(d);
    uint64_t n = sm_dht_table_estimate(&d->table);
    uint64_t radius = n <= 2 * k ? UINT64_MAX : UINT64_MAX / n * 2 * k;
    struct op *o = NULL;
    uint32_t pos = sm_dht_shelf_seek(&d->shelf, &c->from);
    uint32_t end = d->shelf.n - pos > GREET_SCAN ? pos + GREET_SCAN : d->shelf.n;
    for (; pos < end && (o == NULL || o->n_items < BATCH); pos++) {
        struct sm_dht_pub *p = sm_dht_shelf_at(&d->shelf, pos);
        if (!comes_near(d, &p->item.key, &c->id, k, radius)) {
            continue;
        }
        if (c->is_gone || !sm_dht_pub_is_valid(d, p)) {
            sm_dht_shelf_due(&d->shelf, p); /* one under way may have set out before c came */
        } else {
            o = o != NULL ? o : sm_dht_op_new(d, OP_GREET, &p->item.key);
            assert(o != NULL);
            o->item[o->n_items++] =
                (struct item){.slot = d->shelf.order[pos], .seq = p->seq, .state = I_READY};
        }
    }
    if (o != NULL) {
        o->phase = PH_STORE;
        o->paths = 1;
        sm_dht_entry_add(o, &c->id, 0);
        sm_dht_entry_ready(o, &o->e[0], E_STORE_READY);
        o->n_targets = 1;
        o->q.token = c->tries;
        sm_dht_op_plan(o, SM_NEVER);
    }
    if (pos < d->shelf.n) {
        c->from = sm_dht_shelf_at(&d->shelf, pos)->item.key;
    } else {
        d->newcomer_at = (d->newcomer_at + 1) % NEWCOMERS;
        d->newcomer_n--;
    }
    d->greet_at = sm_after(d->now, GREET_GAP);
}

/* Who did not hear it is told again a little later: it may have a route by then. */
static void greet_done(struct sm_dht *d, struct op *o)
{
    bool is_heard = o->e[0].state == E_STORED;
    if (!is_heard && o->q.token < GREET_TRIES - 1) {
        sm_dht_newcomer_add(d, (struct newcomer){.id = o->e[0].id,
                                                 .tries = (uint8_t)(o->q.token + 1),
                                                 .from = o->q.key});
        d->greet_at = sm_after(d->now, GREET_PAUSE);
    }
    o->kind = OP_FREE;
}

/* -- storing --------------------------------------------------------------------------- */

/* Keep the record of a put here too when we are nearer to its key than some target. */
static void keep_here(struct sm_dht *d, struct op *o, const struct sm_node_id *last)
{
    if (o->kind != OP_PUT ||
        (o->n_targets >= o->k && sm_dht_closer(&o->q.key, &d->cfg.self, last) > 0)) {
        return;
    }
    enum sm_dht_status s = sm_dht_store_add(&d->store, &o->found[0]);
    o->kept_here = s == SM_DHT_STORED || s == SM_DHT_HAVE;
    o->n_stale += s == SM_DHT_STALE;
}

/* What nobody heard is due again after a pause; what all refused waits for the sweep. */
static void announce_done(struct sm_dht *d, struct op *o)
{
    for (unsigned i = 0; i < o->n_items; i++) {
        const struct item *it = &o->item[i];
        struct sm_dht_pub *p = &d->shelf.pub[it->slot];
        p->is_busy = false;
        if (p->seq != it->seq) {
            continue; /* changed meanwhile, and due again for it */
        }
        bool is_heard = it->acks > 0 || it->refusals > 0;
        *(it->acks > 0 ? &d->stats.announced : &d->stats.announce_failed) += 1;
        if (!is_heard) {
            sm_dht_shelf_due(&d->shelf, p);
            d->announce_at = sm_after(d->now, ANNOUNCE_PAUSE);
        } else if (p->is_withdrawn && !p->is_due) {
            sm_dht_shelf_del(&d->shelf, p);
        } else if (p->is_fresh) {
            p->is_fresh = false;
            o->report |= UINT64_C(1) << i;
        }
    }
    o->phase = PH_REPORT;
    if (o->report == 0) {
        o->kind = OP_FREE;
    }
}

static void store_done(struct sm_dht *d, struct op *o)
{
    o->n_ready = 0;
    if (o->kind == OP_ANNOUNCE) {
        announce_done(d, o);
    } else if (o->kind == OP_GREET) {
        greet_done(d, o);
    } else {
        o->phase = PH_REPORT;
    }
}

void sm_dht_spread_pump(struct sm_dht *d, struct op *o)
{
    bool is_enough = o->kind == OP_PUT && o->n_targets > 0 && 4 * o->n_good >= 3 * o->n_targets;
    bool is_over = sm_is_due(sm_after(o->started, LIFE), d->now);
    if (o->n_done >= o->n_targets || is_enough || is_over) {
        store_done(d, o);
        return;
    }
    sm_dht_op_plan(o, SM_NEVER);
}

void sm_dht_spread_begin(struct sm_dht *d, struct op *o)
{
    o->phase = PH_STORE;
    const struct sm_node_id *last = &d->cfg.self;
    for (unsigned i = 0; i < o->n && o->n_targets < o->k; i++) {
        struct entry *e = &o->e[o->order[i]];
        if (e->state == E_ANSWERED) {
            sm_dht_entry_ready(o, e, E_STORE_READY);
            o->n_targets++;
            last = &e->id;
        }
    }
    keep_here(d, o, last);
    o->started = d->now;
    sm_dht_spread_pump(d, o);
}

void sm_dht_spread_write(struct sm_dht *d, struct op *o, struct entry *e, struct sm_wr *w)
{
    e->mask = items_to_send(d, o);
    sm_dht_store_begin(w, (uint8_t)__builtin_popcountll(e->mask));
    for (uint64_t left = e->mask; left != 0; left &= left - 1) {
        const struct item *it = &o->item[__builtin_ctzll(left)];
        uint8_t bytes[SM_PROVIDER_BYTES];
        sm_dht_record_write(w, it->slot == NO_SLOT
                                   ? sm_dht_rec_view(&o->found[0])
                                   : sm_dht_pub_record(d, &d->shelf.pub[it->slot], bytes));
    }
}

void sm_dht_spread_answer(struct sm_dht *d, struct op *o, struct entry *e, struct sm_view body)
{
    struct sm_view status;
    o->n_done += e->state == E_STORING;
    if (sm_dht_stored_read(body, (uint8_t)__builtin_popcountll(e->mask), &status) != SM_OK) {
        e->state = E_FAILED;
        sm_dht_observe(d, &e->id, SM_DHT_SEEN_MALFORMED);
        return;
    }
    e->state = E_STORED;
    unsigned good = 0, at = 0;
    for (unsigned i = 0; i < o->n_items; i++) {
        if ((e->mask >> i & 1) == 0) {
            continue;
        }
        uint8_t s = status.p[at++];
        bool is_kept = s == SM_DHT_STORED || s == SM_DHT_HAVE;
        good += is_kept;
        o->item[i].acks = (uint8_t)(o->item[i].acks + is_kept);
        o->n_stale += s == SM_DHT_STALE;
        o->item[i].refusals = (uint8_t)(o->item[i].refusals + (s == SM_DHT_REFUSED));
    }
    o->n_good += good > 0;
}

/* -- announcing ------------------------------------------------------------------------ */

static void item_add(struct sm_dht *d, struct op *o, struct sm_dht_pub *p)
{
    struct item *it = &o->item[o->n_items++];
    *it = (struct item){.slot = (uint32_t)(p - d->shelf.pub), .seq = p->seq};
    uint64_t half = d->cfg.announce_every.ns / 1000000000u / 2;
    bool is_young = p->is_signed && d->wall.s < p->not_before + half;
    it->state = is_young ? I_READY : I_WANT_SIGN;
}

void sm_dht_announce_batch(struct sm_dht *d, struct op *o)
{
    unsigned bits = 0, answered = 0;
    for (unsigned i = 0; i < o->n && answered < o->k; i++) {
        const struct entry *e = &o->e[o->order[i]];
        if (e->state == E_ANSWERED && ++answered == o->k) {
            bits = sm_dht_shared_bits(o->q.key.b, e->id.b) + 1;
        }
    }
    uint32_t pos = sm_dht_shelf_seek(&d->shelf, &o->q.key) + 1;
    for (unsigned i = 0; i < REGION_SCAN && pos < d->shelf.n && o->n_items < BATCH;
         i++, pos++) {
        struct sm_dht_pub *p = sm_dht_shelf_at(&d->shelf, pos);
        if (sm_dht_shared_bits(p->item.key.b, o->q.key.b) < bits) {
            break;
        }
        if (p->is_due && !p->is_busy) {
            p->is_due = false;
            p->is_busy = true;
            item_add(d, o, p);
        }
    }
    o->phase = PH_SIGN;
    o->started = d->now;
    sm_dht_sign_pump(d, o);
}

void sm_dht_sign_pump(struct sm_dht *d, struct op *o)
{
    bool is_over = sm_is_due(sm_after(o->started, SIGN_WITHIN), d->now);
    unsigned open = 0;
    o->n_ready = 0;
    for (unsigned i = 0; i < o->n_items; i++) {
        struct item *it = &o->item[i];
        if (is_over && it->state != I_READY) {
            it->state = I_DROPPED;
        }
        o->n_ready += it->state == I_WANT_SIGN;
        open += it->state == I_WANT_SIGN || it->state == I_SIGNING;
    }
    o->due = sm_after(o->started, SIGN_WITHIN);
    if (open == 0) {
        sm_dht_spread_begin(d, o);
    }
}

void sm_dht_announce_start(struct sm_dht *d)
{
    while (sm_is_due(d->announce_at, d->now) && d->table.n > 0 && d->shelf.queue_n > 0 &&
           sm_dht_op_count(d, OP_ANNOUNCE) < ANNOUNCERS) {
        struct sm_dht_pub *p = sm_dht_shelf_next_due(&d->shelf);
        if (p == NULL) { /* the rest waits for the other announcer */
            d->announce_at = sm_after(d->now, ANNOUNCE_GAP);
            return;
        }
        struct op *o = sm_dht_op_new(d, OP_ANNOUNCE, &p->item.key);
        assert(o != NULL);
        p->is_due = false;
        p->is_busy = true;
        item_add(d, o, p);
        d->announce_at = sm_after(d->now, ANNOUNCE_GAP);
        sm_dht_walk_begin(d, o);
    }
}

/* -- the sweep ------------------------------------------------------------------------- */

static uint32_t sweep_step(const struct sm_dht *d)
{
    uint32_t n = d->shelf.n / 64;
    return n == 0 ? 1 : n > BATCH ? BATCH : n;
}

void sm_dht_sweep_plan(struct sm_dht *d, bool is_stepped)
{
    if (d->shelf.n == 0) {
        d->sweep_at = SM_NEVER;
        return;
    }
    struct sm_dur all = d->cfg.announce_every;
    struct sm_dur step = {all.ns / d->shelf.n * sweep_step(d)};
    struct sm_mono next = sm_after(d->now, sm_dht_jitter(d, step));
    d->sweep_at = is_stepped ? next : sm_earlier(d->sweep_at, next);
}

void sm_dht_sweep(struct sm_dht *d)
{
    uint32_t step = sweep_step(d);
    uint32_t pos = sm_dht_shelf_seek(&d->shelf, &d->swept);
    if (pos < d->shelf.n &&
        sm_data_id_eq(&sm_dht_shelf_at(&d->shelf, pos)->item.key, &d->swept)) {
        pos++;
    }
    for (uint32_t i = 0; i < step && d->shelf.n > 0; i++, pos++) {
        pos = pos >= d->shelf.n ? 0 : pos;
        struct sm_dht_pub *p = sm_dht_shelf_at(&d->shelf, pos);
        d->swept = p->item.key;
        sm_dht_shelf_due(&d->shelf, p);
    }
    sm_dht_sweep_plan(d, true);
}
