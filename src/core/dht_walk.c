// SPDX-License-Identifier: Apache-2.0
#include "core/dht_in.h"

#include <assert.h>

/* -- what is believed ------------------------------------------------------------------ */

void sm_dht_observe(struct sm_dht *d, const struct sm_node_id *node, enum sm_dht_seen seen)
{
    if (d->seen_n < OBSERVED) {
        d->seen[(d->seen_at + d->seen_n++) % OBSERVED] = (struct observation){*node, seen};
    }
}

void sm_dht_lied(struct sm_dht *d, const struct sm_node_id *from, enum sm_dht_seen seen)
{
    *(seen == SM_DHT_SEEN_STALE ? &d->stats.stale : &d->stats.forged) += 1;
    sm_dht_observe(d, from, seen);
}

enum sm_err sm_dht_check_read(const struct sm_dht *d, struct sm_view bytes,
                              struct sm_dht_rec *out)
{
    struct sm_dht_rec r;
    SM_TRY(sm_dht_rec_read(bytes, &r));
    uint64_t life = r.type == SM_RECORD_TASK ? TASK_LIFE_S : PROVIDER_LIFE_S;
    if (r.network != d->cfg.anchor->network || r.expires - r.not_before > life) {
        return SM_E_REFUSED;
    }
    struct sm_record_head times = {.not_before = {r.not_before}, .expires = {r.expires}};
    SM_TRY(sm_record_times(&times, d->wall));
    *out = r;
    return SM_OK;
}

enum sm_err sm_dht_check_signer(const struct sm_dht *d, const struct sm_dht_rec *r)
{
    struct sm_node_id signer;
    memcpy(signer.b, sm_dht_rec_signer(r), sizeof signer.b);
    const uint8_t *key = d->cfg.sign_key(d->cfg.ctx, &signer);
    if (key == NULL) {
        return SM_E_NOTFOUND;
    }
    return sm_record_verify(d->cfg.suite, d->cfg.anchor, d->wall, sm_dht_rec_view(r), r->type,
                            key);
}

/* -- operations ------------------------------------------------------------------------ */

struct sm_dur sm_dht_jitter(struct sm_dht *d, struct sm_dur most)
{
    uint64_t tenth = most.ns / 10;
    return (struct sm_dur){most.ns - (tenth > 0 ? sm_rng_below(&d->rng, tenth) : 0)};
}

unsigned sm_dht_k(const struct sm_dht *d)
{
    if (d->cfg.k != 0) {
        return d->cfg.k;
    }
    return sm_dht_table_estimate(&d->table) < 500 ? 10 : 20;
}

struct op *sm_dht_op_new(struct sm_dht *d, enum op_kind kind, const struct sm_data_id *key)
{
    bool is_internal = kind == OP_ANNOUNCE || kind == OP_REFRESH || kind == OP_GREET;
    unsigned from = is_internal ? d->cfg.max_lookups : 0;
    unsigned to = is_internal ? d->n_ops : d->cfg.max_lookups;
    for (unsigned i = from; i < to; i++) {
        struct op *o = &d->op[i];
        if (o->kind != OP_FREE) {
            continue;
        }
        struct sm_dht_rec *found = o->found;
        memset(o, 0, sizeof *o);
        o->found = found;
        o->kind = kind;
        o->gen = ++d->gen;
        o->q.key = *key;
        o->started = d->now;
        o->due = sm_after(d->now, LIFE);
        d->stats.lookups++;
        return o;
    }
    return NULL;
}

unsigned sm_dht_op_count(const struct sm_dht *d, enum op_kind kind)
{
    unsigned n = 0;
    for (unsigned i = d->cfg.max_lookups; i < d->n_ops; i++) {
        n += d->op[i].kind == kind;
    }
    return n;
}

uint64_t sm_dht_op_rpc(const struct sm_dht *d, const struct op *o, unsigned entry)
{
    return (uint64_t)o->gen << 32 | (o->phase == PH_STORE ? STORE_BIT : 0) |
           (uint64_t)(o - d->op) << 8 | entry;
}

struct op *sm_dht_op_find(struct sm_dht *d, uint64_t rpc)
{
    unsigned i = (unsigned)(rpc >> 8 & 0xff);
    if (i >= d->n_ops || d->op[i].kind == OP_FREE || d->op[i].gen != rpc >> 32) {
        return NULL;
    }
    return &d->op[i];
}

void sm_dht_entry_ready(struct op *o, struct entry *e, enum entry_state state)
{
    e->state = (uint8_t)state;
    o->n_ready++;
}

void sm_dht_entry_add(struct op *o, const struct sm_node_id *id, unsigned path)
{
    unsigned at = o->n;
    while (at > 0) {
        const struct sm_node_id *there = &o->e[o->order[at - 1]].id;
        int c = sm_dht_closer(&o->q.key, id, there);
        if (c == 0) {
            return;
        }
        if (c > 0) {
            break;
        }
        at--;
    }
    unsigned slot = o->n, last = o->n;
    if (o->n == SHORTLIST) { /* the farthest that was not asked yet makes room */
        while (last > at && o->e[o->order[last - 1]].state != E_NEW) {
            last--;
        }
        if (last == at) {
            return;
        }
        last--;
        slot = o->order[last];
    } else {
        o->n++;
    }
    memmove(&o->order[at + 1], &o->order[at], last - at);
    o->order[at] = (uint8_t)slot;
    o->e[slot] = (struct entry){.id = *id, .path = (uint8_t)path};
}

struct sm_mono sm_dht_entry_due(const struct entry *e)
{
    if (e->state == E_ASKED || e->state == E_STORING) {
        return sm_after(e->sent, SM_US(e->is_slow ? e->timeout_us : e->hedge_us));
    }
    return SM_NEVER;
}

void sm_dht_op_plan(struct op *o, struct sm_mono also)
{
    o->due = sm_earlier(also, sm_after(o->started, LIFE));
    for (unsigned i = 0; i < o->n; i++) {
        o->due = sm_earlier(o->due, sm_dht_entry_due(&o->e[i]));
    }
}

/* -- walking --------------------------------------------------------------------------- */

static bool has_enough(const struct op *o)
{
    if (o->kind != OP_GET) {
        return false;
    }
    if (o->q.type == SM_RECORD_TASK) {
        bool is_wide = o->paths < 2 || (o->agree_paths & (o->agree_paths - 1)) != 0;
        return o->agree >= AGREE && is_wide;
    }
    unsigned n = 0;
    uint64_t map = 0;
    for (unsigned i = 0; i < o->n_found; i++) {
        n += !o->found[i].is_withdrawn;
        map |= o->found[i].frag_map;
    }
    unsigned frags = (unsigned)__builtin_popcountll(map);
    return (o->q.want_records > 0 && n >= o->q.want_records) ||
           (o->q.want_frags > 0 && frags >= o->q.want_frags);
}

/* An empty result waits for contacts that kept silent for the first time. */
static bool waits_for_late(const struct sm_dht *d, const struct op *o, struct sm_mono *until)
{
    if (o->kind != OP_GET || o->n_found > 0) {
        return false;
    }
    bool waits = false;
    for (unsigned i = 0; i < o->n; i++) {
        const struct entry *e = &o->e[i];
        const struct sm_dht_contact *c = sm_dht_table_find(&d->table, &e->id);
        struct sm_mono end = sm_after(e->sent, SM_US(sm_dht_table_patience_us(&d->table)));
        if (e->state == E_SILENT && (c == NULL || c->missed <= 1) && !sm_is_due(end, d->now)) {
            waits = true;
            *until = sm_earlier(*until, end);
        }
    }
    return waits;
}

static unsigned drop_withdrawn(struct op *o)
{
    unsigned n = 0;
    for (unsigned i = 0; i < o->n_found; i++) {
        if (!o->found[i].is_withdrawn) {
            o->found[n++] = o->found[i];
        }
    }
    return n;
}

static void walk_done(struct sm_dht *d, struct op *o)
{
    for (unsigned i = 0; i < o->n && o->n_ready > 0; i++) {
        o->n_ready -= o->e[i].state == E_READY;
        o->e[i].state = o->e[i].state == E_READY ? E_NEW : o->e[i].state;
    }
    switch (o->kind) {
    case OP_GET:
        o->n_found = drop_withdrawn(o);
        o->phase = PH_REPORT;
        break;
    case OP_PUT:
        sm_dht_spread_begin(d, o);
        break;
    case OP_ANNOUNCE:
        sm_dht_announce_batch(d, o);
        break;
    case OP_REFRESH:
        o->kind = OP_FREE;
        break;
    case OP_FREE:
    case OP_GREET:
        assert(false);
    }
}

void sm_dht_walk_pump(struct sm_dht *d, struct op *o)
{
    if (has_enough(o) || sm_is_due(sm_after(o->started, LIFE), d->now)) {
        walk_done(d, o);
        return;
    }
    unsigned busy[SM_DHT_PATHS_MAX] = {0}, rank[SM_DHT_PATHS_MAX] = {0}, all = 0;
    for (unsigned i = 0; i < o->n; i++) {
        const struct entry *e = &o->e[i];
        busy[e->path] += e->state == E_READY || (e->state == E_ASKED && !e->is_slow);
    }
    bool is_open = false, is_slow = false;
    unsigned share = (o->k + o->paths - 1) / o->paths;
    for (unsigned i = 0; i < o->n; i++) {
        struct entry *e = &o->e[o->order[i]];
        bool is_late = e->state == E_ASKED && e->is_slow;
        is_slow |= is_late;
        if (is_late || e->state == E_SILENT || e->state == E_FAILED) {
            continue;
        }
        bool is_near = all++ < o->k;
        if (!is_near && rank[e->path] >= share) {
            continue;
        }
        rank[e->path]++;
        if (e->state == E_NEW && busy[e->path] < SM_DHT_ALPHA) {
            busy[e->path]++;
            sm_dht_entry_ready(o, e, E_READY);
        }
        is_open |= e->state != E_ANSWERED;
    }
    /* k others answered: what the slow ones would say is known, unless it is nothing. */
    is_open |= is_slow && (all < o->k || (o->kind == OP_GET && o->n_found == 0));
    struct sm_mono late = SM_NEVER;
    if (!is_open && !waits_for_late(d, o, &late)) {
        walk_done(d, o);
        return;
    }
    sm_dht_op_plan(o, late);
}

void sm_dht_walk_begin(struct sm_dht *d, struct op *o)
{
    struct sm_node_id seed[SM_DHT_BUCKET];
    o->k = sm_dht_k(d);
    unsigned n = sm_dht_table_closest(&d->table, &o->q.key, NULL, o->kind == OP_REFRESH,
                                      SM_DHT_BUCKET, seed);
    if (n == 0) {
        n = sm_dht_table_closest(&d->table, &o->q.key, NULL, true, SM_DHT_BUCKET, seed);
    }
    o->paths = n / SM_DHT_ALPHA < d->cfg.paths ? n / SM_DHT_ALPHA : d->cfg.paths;
    o->paths += o->paths == 0;
    for (unsigned i = 0; i < n; i++) {
        sm_dht_entry_add(o, &seed[i], i % o->paths);
    }
    sm_dht_walk_pump(d, o);
}

/* -- answers --------------------------------------------------------------------------- */

bool sm_dht_found_add(const struct sm_dht *d, struct op *o, const struct sm_dht_rec *r)
{
    bool is_task = r->type == SM_RECORD_TASK;
    for (unsigned i = 0; i < o->n_found; i++) {
        struct sm_dht_rec *have = &o->found[i];
        if (is_task || sm_dht_rec_same_source(have, r)) {
            bool is_news = sm_dht_rec_is_newer(r, have);
            if (is_news) {
                *have = *r;
            }
            return is_news;
        }
    }
    if (o->n_found == d->cfg.max_found) {
        return false;
    }
    o->found[o->n_found++] = *r;
    return true;
}

static const struct sm_dht_rec *found_same(const struct op *o, struct sm_view bytes)
{
    for (unsigned i = 0; i < o->n_found; i++) {
        if (sm_view_eq(sm_dht_rec_view(&o->found[i]), bytes)) {
            return &o->found[i];
        }
    }
    return NULL;
}

bool sm_dht_is_asked_for(const struct op *o, const struct sm_dht_rec *r)
{
    return r->type == o->q.type && memcmp(sm_dht_rec_key(r), o->q.key.b, 32) == 0;
}

bool sm_dht_is_wanted(const struct op *o, const struct sm_dht_rec *r)
{
    return !o->q.by_signer || memcmp(sm_dht_rec_signer(r), o->q.signer.b, 32) == 0;
}

/* Count answers that carry the very record we believe in. */
static void agree_with(struct op *o, bool is_news, unsigned path)
{
    if (is_news) {
        o->agree = 0;
        o->agree_paths = 0;
    }
    o->agree++;
    o->agree_paths |= 1u << path;
}

/* A record in an answer: verify it, and only then use it. */
static void found_bytes(struct sm_dht *d, struct op *o, const struct entry *e,
                        struct sm_view bytes)
{
    if (found_same(o, bytes) != NULL) {
        agree_with(o, false, e->path);
        return;
    }
    struct sm_dht_rec r;
    enum sm_err err = sm_dht_check_read(d, bytes, &r);
    if (err == SM_E_EXPIRED) {
        sm_dht_lied(d, &e->id, SM_DHT_SEEN_STALE);
        return;
    }
    if (err != SM_OK || !sm_dht_is_asked_for(o, &r)) {
        sm_dht_lied(d, &e->id, SM_DHT_SEEN_FORGERY);
        return;
    }
    if (!sm_dht_is_wanted(o, &r)) {
        return;
    }
    err = sm_dht_check_signer(d, &r);
    if (err == SM_E_NOTFOUND) {
        return; /* a signer we have not met is no fault of who passed it on */
    }
    if (err != SM_OK) {
        sm_dht_lied(d, &e->id, SM_DHT_SEEN_FORGERY);
        return;
    }
    if (sm_dht_found_add(d, o, &r)) {
        agree_with(o, true, e->path);
    }
}

/* A contact in an answer: only a node whose identity was verified is ever asked. */
static void learn(struct sm_dht *d, struct op *o, const struct sm_node_id *id, unsigned path)
{
    if (sm_node_id_eq(id, &d->cfg.self)) {
        return;
    }
    if (d->cfg.sign_key(d->cfg.ctx, id) == NULL) {
        d->stats.unverified_contacts++;
        return;
    }
    if (o->kind == OP_REFRESH || !sm_dht_table_is_silent(&d->table, id)) {
        sm_dht_entry_add(o, id, path);
    }
}

void sm_dht_walk_answer(struct sm_dht *d, struct op *o, struct entry *e, struct sm_view body)
{
    struct sm_dht_found f;
    if (sm_dht_found_read(body, &f) != SM_OK) {
        e->state = E_FAILED;
        sm_dht_observe(d, &e->id, SM_DHT_SEEN_MALFORMED);
        return;
    }
    e->state = E_ANSWERED;
    o->answered++;
    struct sm_view record;
    while (o->kind == OP_GET && sm_dht_record_next(&f.records, &record)) {
        found_bytes(d, o, e, record);
    }
    unsigned path = e->path;
    for (uint8_t i = 0; i < f.n_contacts; i++) {
        struct sm_node_id id = sm_dht_found_contact(&f, i);
        learn(d, o, &id, path);
    }
}
