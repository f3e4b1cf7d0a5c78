// SPDX-License-Identifier: Apache-2.0
#include "core/dht_in.h"
#include "wire/sign.h"

#include <assert.h>
#include <stdlib.h>

static void enter(struct sm_dht *d, struct sm_mono now)
{
    d->now = now;
    if (d->told != NULL) {
        d->told->kind = OP_FREE;
        d->told = NULL;
    }
}

/* -- refresh and what starts by itself ------------------------------------------------- */

/* Walk to where contacts have fallen silent, else to ourselves or anywhere in turn. */
static void refresh(struct sm_dht *d)
{
    const struct sm_dht_contact *silent = sm_dht_table_most_silent(&d->table);
    d->refresh_at = sm_after(d->now, sm_dht_jitter(d, silent ? REFRESH_SILENT : REFRESH_EVERY));
    if (d->table.n == 0) {
        return;
    }
    if (sm_dht_has_guest(d)) {
        d->refresh_at = sm_after(d->now, SM_S(1));
        return;
    }
    struct sm_data_id key;
    sm_rng_bytes(&d->rng, key.b, sizeof key.b);
    if (silent != NULL) {
        memcpy(key.b, silent->id.b, sizeof key.b);
    } else if ((key.b[0] & 1) != 0) {
        memcpy(key.b, d->cfg.self.b, sizeof key.b);
    }
    struct op *o = sm_dht_op_new(d, OP_REFRESH, &key);
    assert(o != NULL);
    sm_dht_walk_begin(d, o);
}

/* Start what has become possible. */
static void work(struct sm_dht *d)
{
    if (sm_dht_may_greet(d) && sm_is_due(d->greet_at, d->now)) {
        sm_dht_greet(d);
    }
    sm_dht_announce_start(d);
}

/* -- inputs ---------------------------------------------------------------------------- */

void sm_dht_contact(struct sm_dht *d, struct sm_mono now, const struct sm_node_id *id,
                    uint8_t grade)
{
    if (grade == 0) {
        sm_dht_contact_gone(d, now, id);
        return;
    }
    enter(d, now);
    if (sm_dht_table_add(&d->table, id, grade) == SM_DHT_NEW) {
        sm_dht_newcomer_add(d, (struct newcomer){.id = *id});
    }
    work(d);
}

void sm_dht_contact_gone(struct sm_dht *d, struct sm_mono now, const struct sm_node_id *id)
{
    enter(d, now);
    if (sm_dht_table_del(&d->table, id)) {
        sm_dht_newcomer_add(d, (struct newcomer){.id = *id, .is_gone = true});
    }
    work(d);
}

bool sm_dht_has_contact(const struct sm_dht *d, const struct sm_node_id *id)
{
    return sm_dht_table_find(&d->table, id) != NULL;
}

void sm_dht_revoked(struct sm_dht *d, struct sm_mono now, const struct sm_node_id *id)
{
    sm_dht_contact_gone(d, now, id);
    sm_dht_store_forget(&d->store, id);
}

/* What is here already counts as found, on no path. */
static void found_here(struct sm_dht *d, struct op *o)
{
    uint32_t at = SM_DHT_FIRST;
    const struct sm_dht_rec *r;
    while ((r = sm_dht_store_next(&d->store, &o->q.key, d->wall, &at)) != NULL) {
        if (sm_dht_is_asked_for(o, r) && sm_dht_is_wanted(o, r) && sm_dht_found_add(d, o, r)) {
            o->agree = 1;
        }
    }
    const struct sm_dht_pub *p = sm_dht_shelf_find(&d->shelf, &o->q.key);
    if (p != NULL && sm_dht_pub_is_valid(d, p) && o->q.type == SM_RECORD_PROVIDER) {
        uint8_t bytes[SM_PROVIDER_BYTES];
        struct sm_dht_rec own;
        enum sm_err e = sm_dht_rec_read(sm_dht_pub_record(d, p, bytes), &own);
        assert(e == SM_OK);
        if (e == SM_OK && sm_dht_is_wanted(o, &own)) {
            (void)sm_dht_found_add(d, o, &own);
        }
    }
}

enum sm_err sm_dht_get(struct sm_dht *d, struct sm_mono now, struct sm_wall wall,
                       const struct sm_dht_query *q)
{
    if (q->type != SM_RECORD_PROVIDER && q->type != SM_RECORD_TASK) {
        return SM_E_INVALID;
    }
    enter(d, now);
    d->wall = wall;
    struct op *o = sm_dht_op_new(d, OP_GET, &q->key);
    if (o == NULL) {
        return SM_E_BUSY;
    }
    o->q = *q;
    found_here(d, o);
    sm_dht_walk_begin(d, o);
    return SM_OK;
}

enum sm_err sm_dht_put(struct sm_dht *d, struct sm_mono now, struct sm_wall wall,
                       struct sm_view record, uint64_t token)
{
    enter(d, now);
    d->wall = wall;
    struct sm_dht_rec r;
    SM_TRY(sm_dht_check_read(d, record, &r));
    SM_TRY(sm_dht_check_signer(d, &r));
    struct sm_data_id key;
    memcpy(key.b, sm_dht_rec_key(&r), sizeof key.b);
    struct op *o = sm_dht_op_new(d, OP_PUT, &key);
    if (o == NULL) {
        return SM_E_BUSY;
    }
    o->q.token = token;
    o->found[0] = r;
    o->n_items = 1;
    o->item[0] = (struct item){.slot = NO_SLOT, .state = I_READY};
    sm_dht_walk_begin(d, o);
    return SM_OK;
}

void sm_dht_cancel(struct sm_dht *d, uint64_t token)
{
    for (unsigned i = 0; i < d->cfg.max_lookups; i++) {
        if (d->op[i].kind != OP_FREE && d->op[i].q.token == token) {
            d->op[i].kind = OP_FREE;
        }
    }
}

enum sm_err sm_dht_publish(struct sm_dht *d, struct sm_mono now, struct sm_wall wall,
                           const struct sm_dht_item *item)
{
    if (item->kind < SM_PROVIDER_SHARDS || item->kind > SM_PROVIDER_DATASET ||
        (item->frag_map == 0 && item->bytes == 0)) {
        return SM_E_INVALID;
    }
    enter(d, now);
    d->wall = wall;
    SM_TRY(sm_dht_shelf_put(&d->shelf, item));
    sm_dht_sweep_plan(d, false);
    work(d);
    return SM_OK;
}

void sm_dht_unpublish(struct sm_dht *d, struct sm_mono now, struct sm_wall wall,
                      const struct sm_data_id *key)
{
    enter(d, now);
    d->wall = wall;
    struct sm_dht_pub *p = sm_dht_shelf_find(&d->shelf, key);
    if (p == NULL) {
        return;
    }
    p->is_withdrawn = true;
    p->is_signed = false;
    p->is_fresh = false;
    p->seq = 0;
    sm_dht_shelf_due(&d->shelf, p);
    work(d);
}

void sm_dht_signed(struct sm_dht *d, struct sm_mono now, struct sm_wall wall, uint64_t token,
                   enum sm_err err, struct sm_view sig)
{
    enter(d, now);
    d->wall = wall;
    struct op *o = sm_dht_op_find(d, token);
    unsigned i = (unsigned)(token & 0xff);
    if (o == NULL || o->phase != PH_SIGN || i >= o->n_items || o->item[i].state != I_SIGNING) {
        return;
    }
    struct item *it = &o->item[i];
    struct sm_dht_pub *p = &d->shelf.pub[it->slot];
    bool is_good = err == SM_OK && sig.n == sizeof p->sig && p->seq == it->seq;
    it->state = is_good ? I_READY : I_DROPPED;
    if (is_good) {
        memcpy(p->sig, sig.p, sizeof p->sig);
        p->is_signed = true;
    }
    sm_dht_sign_pump(d, o);
    work(d);
}

/* -- serving --------------------------------------------------------------------------- */

/* Records for a FIND, the nearest contacts first of all; the counts are filled in last. */
static void serve_find(struct sm_dht *d, const struct sm_node_id *from,
                       const struct sm_dht_find *f, struct sm_wr *w)
{
    struct sm_node_id near[SM_DHT_BUCKET];
    unsigned n = sm_dht_table_closest(&d->table, &f->key, from, false, sm_dht_k(d), near);
    sm_wr_u8(w, (uint8_t)n);
    size_t count_at = w->n;
    sm_wr_u8(w, 0);
    for (unsigned i = 0; i < n; i++) {
        sm_wr_bytes(w, near[i].b, sizeof near[i].b);
    }
    uint8_t records = 0;
    unsigned max = f->max < SM_DHT_RECORDS_MAX ? f->max : SM_DHT_RECORDS_MAX;
    const struct sm_dht_pub *p = sm_dht_shelf_find(&d->shelf, &f->key);
    if (p != NULL && f->type == SM_RECORD_PROVIDER && sm_dht_pub_is_valid(d, p) && max > 0) {
        uint8_t bytes[SM_PROVIDER_BYTES];
        sm_dht_record_write(w, sm_dht_pub_record(d, p, bytes));
        records++;
    }
    uint32_t at = SM_DHT_FIRST;
    const struct sm_dht_rec *r;
    while (records < max && (r = sm_dht_store_next(&d->store, &f->key, d->wall, &at)) != NULL) {
        struct sm_node_id signer;
        memcpy(signer.b, sm_dht_rec_signer(r), sizeof signer.b);
        if (r->type == f->type && d->cfg.sign_key(d->cfg.ctx, &signer) != NULL) {
            sm_dht_record_write(w, sm_dht_rec_view(r));
            records++;
        }
    }
    d->scratch[count_at] = records;
    d->stats.served_finds++;
}

static enum sm_dht_status serve_record(struct sm_dht *d, const struct sm_node_id *from,
                                       struct sm_view bytes)
{
    struct sm_dht_rec r;
    if (sm_dht_check_read(d, bytes, &r) != SM_OK) {
        return SM_DHT_REFUSED;
    }
    enum sm_dht_status s = sm_dht_store_ask(&d->store, &r);
    if (s != SM_DHT_STORED) {
        return s;
    }
    enum sm_err e = sm_dht_check_signer(d, &r);
    if (e != SM_OK) {
        if (e == SM_E_CRYPTO) {
            sm_dht_lied(d, from, SM_DHT_SEEN_FORGERY);
        }
        return SM_DHT_REFUSED;
    }
    return sm_dht_store_add(&d->store, &r);
}

static void serve_store(struct sm_dht *d, const struct sm_node_id *from,
                        struct sm_dht_records *records, struct sm_wr *w)
{
    struct sm_view bytes;
    sm_wr_u8(w, records->n);
    while (sm_dht_record_next(records, &bytes)) {
        enum sm_dht_status s = serve_record(d, from, bytes);
        d->stats.stored += s == SM_DHT_STORED;
        d->stats.refused += s == SM_DHT_REFUSED;
        sm_wr_u8(w, (uint8_t)s);
    }
    d->stats.served_stores++;
}

/* Who asks us lives. */
static void heard_from(struct sm_dht *d, const struct sm_node_id *id)
{
    const struct sm_dht_contact *c = sm_dht_table_find(&d->table, id);
    if (c != NULL) {
        (void)sm_dht_table_add(&d->table, id, c->grade);
    } else if (d->cfg.sign_key(d->cfg.ctx, id) != NULL &&
               sm_dht_table_add(&d->table, id, 1) == SM_DHT_NEW) {
        sm_dht_newcomer_add(d, (struct newcomer){.id = *id});
    }
}

enum sm_err sm_dht_request(struct sm_dht *d, struct sm_mono now, struct sm_wall wall,
                           const struct sm_node_id *from, struct sm_view body,
                           struct sm_view *out_reply)
{
    enter(d, now);
    d->wall = wall;
    struct sm_dht_request q;
    SM_TRY(sm_dht_request_read(body, &q));
    heard_from(d, from);
    struct sm_wr w = sm_wr_init(d->scratch, SM_DHT_BODY_MAX);
    switch (q.op) {
    case SM_DHT_FIND:
        serve_find(d, from, &q.find, &w);
        break;
    case SM_DHT_STORE:
        serve_store(d, from, &q.records, &w);
        break;
    }
    work(d);
    return sm_wr_done(&w, out_reply);
}

/* -- answers and time ------------------------------------------------------------------ */

static void pump(struct sm_dht *d, struct op *o)
{
    switch (o->phase) {
    case PH_WALK:
        sm_dht_walk_pump(d, o);
        break;
    case PH_SIGN:
        sm_dht_sign_pump(d, o);
        break;
    case PH_STORE:
        sm_dht_spread_pump(d, o);
        break;
    case PH_REPORT:
        break;
    }
}

void sm_dht_reply(struct sm_dht *d, struct sm_mono now, struct sm_wall wall, uint64_t rpc,
                  enum sm_err err, struct sm_view body)
{
    enter(d, now);
    d->wall = wall;
    struct op *o = sm_dht_op_find(d, rpc);
    unsigned i = (unsigned)(rpc & 0xff);
    enum op_phase phase = (rpc & STORE_BIT) != 0 ? PH_STORE : PH_WALK;
    if (o == NULL || o->phase != phase || i >= o->n) {
        return;
    }
    struct entry *e = &o->e[i];
    if (e->state != E_ASKED && e->state != E_STORING && e->state != E_SILENT) {
        return;
    }
    if (err != SM_OK) {
        o->n_done += e->state == E_STORING;
        if (e->state != E_SILENT) {
            sm_dht_table_missed(&d->table, &e->id);
        }
        e->state = E_FAILED;
    } else {
        d->stats.answers++;
        d->stats.late_answers += e->state == E_SILENT;
        struct sm_node_id id = e->id;
        heard_from(d, &id);
        sm_dht_table_answered(&d->table, &id, sm_between(e->sent, now));
        sm_dht_observe(d, &id, SM_DHT_SEEN_ANSWER);
        if (phase == PH_STORE) {
            sm_dht_spread_answer(d, o, e, body);
        } else {
            sm_dht_walk_answer(d, o, e, body);
        }
    }
    pump(d, o);
    work(d);
}

static void entry_late(struct sm_dht *d, struct op *o, struct entry *e)
{
    if (!sm_is_due(sm_dht_entry_due(e), d->now)) {
        return;
    }
    if (!e->is_slow) {
        e->is_slow = true;
        if (!sm_is_due(sm_dht_entry_due(e), d->now)) {
            return;
        }
    }
    o->n_done += e->state == E_STORING;
    e->state = E_SILENT;
    d->stats.timeouts++;
    sm_dht_table_missed(&d->table, &e->id);
    sm_dht_observe(d, &e->id, SM_DHT_SEEN_SILENCE);
    if (sm_dht_table_is_silent(&d->table, &e->id)) {
        d->refresh_at = sm_earlier(d->refresh_at, sm_after(d->now, REFRESH_SILENT));
    }
}

void sm_dht_tick(struct sm_dht *d, struct sm_mono now, struct sm_wall wall)
{
    enter(d, now);
    d->wall = wall;
    for (unsigned i = 0; i < d->n_ops; i++) {
        struct op *o = &d->op[i];
        if (o->kind == OP_FREE || o->phase == PH_REPORT || !sm_is_due(o->due, now)) {
            continue;
        }
        for (unsigned j = 0; j < o->n; j++) {
            entry_late(d, o, &o->e[j]);
        }
        pump(d, o);
    }
    if (sm_is_due(d->expire_at, now)) {
        sm_dht_store_expire(&d->store, wall);
        d->expire_at = sm_after(now, EXPIRE_EVERY);
    }
    if (sm_is_due(d->sweep_at, now)) {
        sm_dht_sweep(d);
    }
    if (sm_is_due(d->refresh_at, now)) {
        refresh(d);
    }
    work(d);
}

struct sm_mono sm_dht_deadline(const struct sm_dht *d)
{
    struct sm_mono due = sm_earlier(d->refresh_at, sm_earlier(d->expire_at, d->sweep_at));
    for (unsigned i = 0; i < d->n_ops; i++) {
        if (d->op[i].kind != OP_FREE && d->op[i].phase != PH_REPORT) {
            due = sm_earlier(due, d->op[i].due);
        }
    }
    if (sm_dht_may_greet(d)) {
        due = sm_earlier(due, d->greet_at);
    }
    if (d->shelf.queue_n > 0 && d->table.n > 0 &&
        sm_dht_op_count(d, OP_ANNOUNCE) < ANNOUNCERS) {
        due = sm_earlier(due, d->announce_at);
    }
    return due;
}

/* -- outputs --------------------------------------------------------------------------- */

static enum sm_err get_err(const struct op *o)
{
    if (o->n_found > 0) {
        return SM_OK;
    }
    return o->asked > 0 && o->answered == 0 ? SM_E_TIMEOUT : SM_E_NOTFOUND;
}

static enum sm_err put_err(const struct op *o)
{
    if (o->item[0].acks > 0 || (o->kept_here && o->asked == 0)) {
        return SM_OK;
    }
    if (o->n_stale > 0) {
        return SM_E_STALE;
    }
    if (o->item[0].refusals > 0) {
        return SM_E_REFUSED;
    }
    return o->asked > 0 ? SM_E_TIMEOUT : SM_E_PEERS;
}

static void out_result(struct sm_dht *d, struct op *o, struct sm_dht_out *out)
{
    *out = (struct sm_dht_out){.kind = SM_DHT_OUT_RESULT,
                               .token = o->q.token,
                               .key = o->q.key,
                               .type = o->q.type,
                               .nodes_asked = o->asked,
                               .nodes_answered = o->answered,
                               .paths = (uint16_t)__builtin_popcount(o->path_used)};
    if (o->kind == OP_GET) {
        for (unsigned i = 0; i < o->n_found; i++) {
            d->views[i] = sm_dht_rec_view(&o->found[i]);
        }
        out->records = d->views;
        out->n_records = (uint16_t)o->n_found;
        out->err = get_err(o);
    } else {
        out->stored = (uint16_t)(o->item[0].acks + o->kept_here);
        out->err = put_err(o);
    }
    d->told = o;
}

static void out_published(struct sm_dht *d, struct op *o, struct sm_dht_out *out)
{
    unsigned i = (unsigned)__builtin_ctzll(o->report);
    o->report &= o->report - 1;
    *out = (struct sm_dht_out){.kind = SM_DHT_OUT_PUBLISHED,
                               .key = d->shelf.pub[o->item[i].slot].item.key,
                               .stored = o->item[i].acks};
    if (o->report == 0) {
        o->kind = OP_FREE;
    }
}

static void out_sign(struct sm_dht *d, struct op *o, struct sm_dht_out *out)
{
    unsigned i = 0;
    while (o->item[i].state != I_WANT_SIGN) {
        i++;
        assert(i < o->n_items);
    }
    struct item *it = &o->item[i];
    struct sm_dht_pub *p = &d->shelf.pub[it->slot];
    /* Above every earlier number, also of an earlier life: 65,536 a second may be signed. */
    uint64_t by_time = d->wall.s << 16;
    d->last_seq = by_time > d->last_seq ? by_time : d->last_seq + 1;
    p->seq = it->seq = d->last_seq;
    p->not_before = d->wall.s;
    p->is_signed = false;
    it->state = I_SIGNING;
    o->n_ready--;
    uint8_t record[SM_PROVIDER_BYTES];
    struct sm_wr r = sm_wr_init(record, sizeof record);
    sm_dht_pub_write(d, p, &r);
    struct sm_wr w = sm_wr_init(d->scratch, SM_DHT_BODY_MAX);
    sm_sign_record_write(sm_view_of(record, r.n), &w);
    *out = (struct sm_dht_out){.kind = SM_DHT_OUT_SIGN,
                               .token = sm_dht_op_rpc(d, o, i),
                               .body = sm_view_of(d->scratch, w.n)};
}

static void out_request(struct sm_dht *d, struct op *o, struct sm_dht_out *out)
{
    unsigned i = 0;
    while (o->e[o->order[i]].state != E_READY && o->e[o->order[i]].state != E_STORE_READY) {
        i++;
        assert(i < o->n);
    }
    struct entry *e = &o->e[o->order[i]];
    struct sm_wr w = sm_wr_init(d->scratch, SM_DHT_BODY_MAX);
    o->n_ready--;
    if (e->state == E_STORE_READY) {
        sm_dht_spread_write(d, o, e, &w);
        e->state = E_STORING;
    } else {
        bool is_get = o->kind == OP_GET;
        struct sm_dht_find f = {.key = o->q.key,
                                .type = is_get ? o->q.type : 0,
                                .max = is_get ? SM_DHT_RECORDS_MAX : 0};
        sm_dht_find_write(&f, &w);
        e->state = E_ASKED;
        o->asked++;
        o->path_used = (uint8_t)(o->path_used | 1u << e->path);
    }
    assert(!w.full);
    e->sent = d->now;
    e->is_slow = false;
    e->hedge_us = sm_dht_table_hedge_us(&d->table, &e->id);
    e->timeout_us = sm_dht_table_timeout_us(&d->table, &e->id);
    o->due = sm_earlier(o->due, sm_dht_entry_due(e));
    d->stats.requests++;
    *out = (struct sm_dht_out){.kind = SM_DHT_OUT_REQUEST,
                               .node = e->id,
                               .rpc = sm_dht_op_rpc(d, o, o->order[i]),
                               .body = sm_view_of(d->scratch, w.n)};
}

static void out_observe(struct sm_dht *d, struct sm_dht_out *out)
{
    const struct observation *s = &d->seen[d->seen_at];
    *out = (struct sm_dht_out){.kind = SM_DHT_OUT_OBSERVE, .node = s->node, .seen = s->seen};
    d->seen_at = (d->seen_at + 1) % OBSERVED;
    d->seen_n--;
}

static bool op_next(struct sm_dht *d, struct op *o, struct sm_dht_out *out)
{
    if (o->kind == OP_FREE) {
        return false;
    }
    if (o->phase == PH_REPORT) {
        if (o->kind == OP_ANNOUNCE) {
            out_published(d, o, out);
        } else {
            out_result(d, o, out);
        }
        return true;
    }
    if (o->n_ready == 0) {
        return false;
    }
    if (o->phase == PH_SIGN) {
        out_sign(d, o, out);
    } else {
        out_request(d, o, out);
    }
    return true;
}

bool sm_dht_next(struct sm_dht *d, struct sm_dht_out *out)
{
    enter(d, d->now);
    for (unsigned i = 0; i < d->n_ops; i++) {
        if (op_next(d, &d->op[i], out)) {
            return true;
        }
    }
    if (d->seen_n > 0) {
        out_observe(d, out);
        return true;
    }
    return false;
}

/* -- life ------------------------------------------------------------------------------ */

static void cfg_defaults(struct sm_dht_cfg *c)
{
    c->paths = c->paths == 0 ? 4 : c->paths > SM_DHT_PATHS_MAX ? SM_DHT_PATHS_MAX : c->paths;
    c->k = c->k > SM_DHT_BUCKET ? SM_DHT_BUCKET : c->k;
    c->max_lookups = c->max_lookups == 0 ? 16 : c->max_lookups;
    c->max_lookups = c->max_lookups > 255 - INTERNAL ? 255 - INTERNAL : c->max_lookups;
    c->max_found = c->max_found == 0 ? 64 : c->max_found;
    c->max_contacts = c->max_contacts == 0 ? 512 : c->max_contacts;
    c->max_records = c->max_records == 0 ? 65536 : c->max_records;
    c->max_per_signer = c->max_per_signer == 0 ? c->max_records / 4 + 1 : c->max_per_signer;
    c->max_published = c->max_published == 0 ? 65536 : c->max_published;
    c->announce_every = c->announce_every.ns == 0 ? SM_S(8 * 3600) : c->announce_every;
    c->provider_life_s = c->provider_life_s == 0 ? 24 * 3600 : c->provider_life_s;
}

/* Two maps of the store: at least twice as many slots as records, 37 bytes each. */
static size_t maps_bytes(size_t max)
{
    size_t slots = 8;
    while (slots < 2 * max) {
        slots *= 2;
    }
    return 2 * slots * (32 + 4 + 1);
}

size_t sm_dht_footprint(const struct sm_dht_cfg *cfg)
{
    struct sm_dht_cfg c = *cfg;
    cfg_defaults(&c);
    return sizeof(struct sm_dht) + SM_DHT_BODY_MAX + maps_bytes(c.max_records) +
           (c.max_lookups + INTERNAL) * sizeof(struct op) +
           (size_t)c.max_lookups * c.max_found * sizeof(struct sm_dht_rec) +
           c.max_found * sizeof(struct sm_view) +
           c.max_contacts * sizeof(struct sm_dht_contact) +
           c.max_records * (sizeof(struct sm_dht_slot) + sizeof(uint64_t)) +
           c.max_published * (sizeof(struct sm_dht_pub) + 3 * sizeof(uint32_t));
}

static enum sm_err parts_init(struct sm_dht *d)
{
    const struct sm_dht_cfg *c = &d->cfg;
    uint64_t k0 = sm_rng_u64(&d->rng), k1 = sm_rng_u64(&d->rng);
    SM_TRY(sm_dht_table_init(&d->table, &c->self, c->max_contacts));
    SM_TRY(sm_dht_store_init(&d->store, &c->self, c->max_records, c->max_per_signer, k0, k1));
    SM_TRY(sm_dht_shelf_init(&d->shelf, c->max_published));
    d->n_ops = c->max_lookups + INTERNAL;
    d->op = calloc(d->n_ops, sizeof *d->op);
    d->found = calloc((size_t)c->max_lookups * c->max_found, sizeof *d->found);
    d->views = calloc(c->max_found, sizeof *d->views);
    d->scratch = calloc(1, SM_DHT_BODY_MAX);
    if (d->op == NULL || d->found == NULL || d->views == NULL || d->scratch == NULL) {
        return SM_E_NOMEM;
    }
    for (unsigned i = 0; i < c->max_lookups; i++) {
        d->op[i].found = d->found + (size_t)i * c->max_found;
    }
    return SM_OK;
}

struct sm_dht *sm_dht_new(const struct sm_dht_cfg *cfg, struct sm_mono now, struct sm_wall wall)
{
    struct sm_dht *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return NULL;
    }
    d->cfg = *cfg;
    cfg_defaults(&d->cfg);
    sm_rng_init(&d->rng, d->cfg.seed, "dht");
    if (parts_init(d) != SM_OK) {
        sm_dht_free(d);
        return NULL;
    }
    d->now = now;
    d->wall = wall;
    d->refresh_at = sm_after(now, sm_dht_jitter(d, SM_S(5)));
    d->expire_at = sm_after(now, EXPIRE_EVERY);
    d->announce_at = now;
    d->greet_at = now;
    d->sweep_at = SM_NEVER;
    return d;
}

void sm_dht_free(struct sm_dht *d)
{
    if (d == NULL) {
        return;
    }
    sm_dht_table_done(&d->table);
    sm_dht_store_done(&d->store);
    sm_dht_shelf_done(&d->shelf);
    free(d->op);
    free(d->found);
    free(d->views);
    free(d->scratch);
    sm_rng_wipe(&d->rng);
    free(d);
}

void sm_dht_stats(const struct sm_dht *d, struct sm_dht_stats *out)
{
    struct sm_dht_stats s = d->stats;
    s.contacts = d->table.n;
    for (unsigned i = 0; i < d->table.cap; i++) {
        s.silent += d->table.c[i].is_used && d->table.c[i].missed >= SM_DHT_SILENT_AFTER;
    }
    s.records = d->store.n;
    s.published = d->shelf.n;
    for (uint32_t pos = 0; pos < d->shelf.n; pos++) {
        s.due += sm_dht_shelf_at(&d->shelf, pos)->is_due;
    }
    s.nodes_estimate = sm_dht_table_estimate(&d->table);
    *out = s;
}
