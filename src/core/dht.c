// SPDX-License-Identifier: Apache-2.0
#include "core/dht.h"

#include "wire/sign.h"

#include <assert.h>
#include <stdlib.h>

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
#define EMPTY_GRACE     SM_S(1)
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
    uint64_t last_seq;
    struct sm_mono refresh_at, expire_at, announce_at, greet_at, sweep_at;
    struct sm_data_id swept; /* the sweep has passed keys up to this one */
    struct sm_dht_stats stats;
};

static void work(struct sm_dht *d);
static void walk_pump(struct sm_dht *d, struct op *o);
static void store_pump(struct sm_dht *d, struct op *o);
static void sign_pump(struct sm_dht *d, struct op *o);

static void enter(struct sm_dht *d, struct sm_mono now)
{
    d->now = now;
    if (d->told != NULL) {
        d->told->kind = OP_FREE;
        d->told = NULL;
    }
}

static void observe(struct sm_dht *d, const struct sm_node_id *node, enum sm_dht_seen seen)
{
    if (d->seen_n < OBSERVED) {
        d->seen[(d->seen_at + d->seen_n++) % OBSERVED] = (struct observation){*node, seen};
    }
}

static struct sm_dur jitter(struct sm_dht *d, struct sm_dur most)
{
    uint64_t tenth = most.ns / 10;
    return (struct sm_dur){most.ns - (tenth > 0 ? sm_rng_below(&d->rng, tenth) : 0)};
}

static unsigned k_of(const struct sm_dht *d)
{
    if (d->cfg.k != 0) {
        return d->cfg.k;
    }
    return sm_dht_table_estimate(&d->table) < 500 ? 10 : 20;
}

/* -- records: what is believed ----------------------------------------------------------- */

/* All that can be told without a signature check: MALFORMED, REFUSED (other network or a life
 * too long), EXPIRED. */
static enum sm_err record_read(const struct sm_dht *d, struct sm_view bytes,
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

/* NOTFOUND when the signer is not known here, CRYPTO when it did not sign this. */
static enum sm_err record_verify(const struct sm_dht *d, const struct sm_dht_rec *r)
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

/* -- operations -------------------------------------------------------------------------- */

static struct op *op_new(struct sm_dht *d, enum op_kind kind, const struct sm_data_id *key)
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

static unsigned count_kind(const struct sm_dht *d, enum op_kind kind)
{
    unsigned n = 0;
    for (unsigned i = d->cfg.max_lookups; i < d->n_ops; i++) {
        n += d->op[i].kind == kind;
    }
    return n;
}

static uint64_t rpc_of(const struct sm_dht *d, const struct op *o, unsigned entry)
{
    return (uint64_t)o->gen << 32 | (o->phase == PH_STORE ? STORE_BIT : 0) |
           (uint64_t)(o - d->op) << 8 | entry;
}

static struct op *op_of(struct sm_dht *d, uint64_t rpc)
{
    unsigned i = (unsigned)(rpc >> 8 & 0xff);
    if (i >= d->n_ops || d->op[i].kind == OP_FREE || d->op[i].gen != rpc >> 32) {
        return NULL;
    }
    return &d->op[i];
}

static void entry_ready(struct op *o, struct entry *e, enum entry_state state)
{
    e->state = (uint8_t)state;
    o->n_ready++;
}

/* Put a node into the shortlist, at its distance, on a path.  It belongs to the path that met
 * it first, so no two paths share a node. */
static void entry_add(struct op *o, const struct sm_node_id *id, unsigned path)
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

static void walk_begin(struct sm_dht *d, struct op *o)
{
    struct sm_node_id seed[SM_DHT_BUCKET];
    o->k = k_of(d);
    unsigned n = sm_dht_table_closest(&d->table, &o->q.key, NULL, o->kind == OP_REFRESH,
                                      SM_DHT_BUCKET, seed);
    if (n == 0) {
        n = sm_dht_table_closest(&d->table, &o->q.key, NULL, true, SM_DHT_BUCKET, seed);
    }
    o->paths = n / SM_DHT_ALPHA < d->cfg.paths ? n / SM_DHT_ALPHA : d->cfg.paths;
    o->paths += o->paths == 0;
    for (unsigned i = 0; i < n; i++) {
        entry_add(o, &seed[i], i % o->paths);
    }
    walk_pump(d, o);
}

/* -- walking ----------------------------------------------------------------------------- */

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
        struct sm_mono end = sm_after(e->sent, EMPTY_GRACE);
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

static void store_begin(struct sm_dht *d, struct op *o);
static void announce_batch(struct sm_dht *d, struct op *o);

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
        store_begin(d, o);
        break;
    case OP_ANNOUNCE:
        announce_batch(d, o);
        break;
    case OP_REFRESH:
        o->kind = OP_FREE;
        break;
    case OP_FREE:
    case OP_GREET:
        assert(false);
    }
}

static struct sm_mono entry_due(const struct entry *e)
{
    if (e->state == E_ASKED || e->state == E_STORING) {
        return sm_after(e->sent, SM_US(e->is_slow ? e->timeout_us : e->hedge_us));
    }
    return SM_NEVER;
}

static void plan(struct op *o, struct sm_mono also)
{
    o->due = sm_earlier(also, sm_after(o->started, LIFE));
    for (unsigned i = 0; i < o->n; i++) {
        o->due = sm_earlier(o->due, entry_due(&o->e[i]));
    }
}

/* Ask whom the walk may ask now.  A node is asked when it is among the k closest of all that
 * may still answer, or among its path's share of k, so that each path gets on by itself.  A
 * node that is slow is passed over; its answer still counts. */
static void walk_pump(struct sm_dht *d, struct op *o)
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
            entry_ready(o, e, E_READY);
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
    plan(o, late);
}

/* Keep a verified record; older ones of the same source go.  Returns whether it is news. */
static bool found_add(const struct sm_dht *d, struct op *o, const struct sm_dht_rec *r)
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

static bool is_asked_for(const struct op *o, const struct sm_dht_rec *r)
{
    return r->type == o->q.type && memcmp(sm_dht_rec_key(r), o->q.key.b, 32) == 0;
}

static bool is_wanted_signer(const struct op *o, const struct sm_dht_rec *r)
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

static void forged(struct sm_dht *d, const struct sm_node_id *from, enum sm_dht_seen seen)
{
    *(seen == SM_DHT_SEEN_STALE ? &d->stats.stale : &d->stats.forged) += 1;
    observe(d, from, seen);
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
    enum sm_err err = record_read(d, bytes, &r);
    if (err == SM_E_EXPIRED) {
        forged(d, &e->id, SM_DHT_SEEN_STALE);
        return;
    }
    if (err != SM_OK || !is_asked_for(o, &r)) {
        forged(d, &e->id, SM_DHT_SEEN_FORGERY);
        return;
    }
    if (!is_wanted_signer(o, &r)) {
        return;
    }
    err = record_verify(d, &r);
    if (err == SM_E_NOTFOUND) {
        return; /* a signer we have not met is no fault of who passed it on */
    }
    if (err != SM_OK) {
        forged(d, &e->id, SM_DHT_SEEN_FORGERY);
        return;
    }
    if (found_add(d, o, &r)) {
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
        entry_add(o, id, path);
    }
}

static void find_answer(struct sm_dht *d, struct op *o, struct entry *e, struct sm_view body)
{
    struct sm_dht_found f;
    if (sm_dht_found_read(body, &f) != SM_OK) {
        e->state = E_FAILED;
        observe(d, &e->id, SM_DHT_SEEN_MALFORMED);
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

/* -- storing ----------------------------------------------------------------------------- */

/* What a shelf item says, unsigned. */
static void pub_write(const struct sm_dht *d, const struct sm_dht_pub *p, struct sm_wr *w)
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

static struct sm_view pub_record(const struct sm_dht *d, const struct sm_dht_pub *p,
                                 uint8_t out[static SM_PROVIDER_BYTES])
{
    struct sm_wr w = sm_wr_init(out, SM_PROVIDER_BYTES);
    pub_write(d, p, &w);
    sm_wr_bytes(&w, p->sig, sizeof p->sig);
    assert(!w.full && w.n == SM_PROVIDER_BYTES);
    return sm_view_of(out, SM_PROVIDER_BYTES);
}

static bool pub_is_valid(const struct sm_dht *d, const struct sm_dht_pub *p)
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

static void store_begin(struct sm_dht *d, struct op *o)
{
    o->phase = PH_STORE;
    const struct sm_node_id *last = &d->cfg.self;
    for (unsigned i = 0; i < o->n && o->n_targets < o->k; i++) {
        struct entry *e = &o->e[o->order[i]];
        if (e->state == E_ANSWERED) {
            entry_ready(o, e, E_STORE_READY);
            o->n_targets++;
            last = &e->id;
        }
    }
    keep_here(d, o, last);
    o->started = d->now;
    store_pump(d, o);
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

static void greet_done(struct sm_dht *d, struct op *o);

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

/* A put is done when three quarters keep it, every store when all have answered. */
static void store_pump(struct sm_dht *d, struct op *o)
{
    bool is_enough = o->kind == OP_PUT && o->n_targets > 0 && 4 * o->n_good >= 3 * o->n_targets;
    bool is_over = sm_is_due(sm_after(o->started, LIFE), d->now);
    if (o->n_done >= o->n_targets || is_enough || is_over) {
        store_done(d, o);
        return;
    }
    plan(o, SM_NEVER);
}

static void store_answer(struct sm_dht *d, struct op *o, struct entry *e, struct sm_view body)
{
    struct sm_view status;
    o->n_done += e->state == E_STORING;
    if (sm_dht_stored_read(body, (uint8_t)__builtin_popcountll(e->mask), &status) != SM_OK) {
        e->state = E_FAILED;
        observe(d, &e->id, SM_DHT_SEEN_MALFORMED);
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

/* -- announcing -------------------------------------------------------------------------- */

static void item_add(struct sm_dht *d, struct op *o, struct sm_dht_pub *p)
{
    struct item *it = &o->item[o->n_items++];
    *it = (struct item){.slot = (uint32_t)(p - d->shelf.pub), .seq = p->seq};
    uint64_t half = d->cfg.announce_every.ns / 1000000000u / 2;
    bool is_young = p->is_signed && d->wall.s < p->not_before + half;
    it->state = is_young ? I_READY : I_WANT_SIGN;
}

/* The k closest to our key are also near every key that shares one bit more with it than the
 * farthest of them does: those nodes are all in that half, and we know them all.  So one walk
 * serves a run of keys. */
static void announce_batch(struct sm_dht *d, struct op *o)
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
    sign_pump(d, o);
}

static void sign_pump(struct sm_dht *d, struct op *o)
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
        store_begin(d, o);
    }
}

static void announce_start(struct sm_dht *d)
{
    while (sm_is_due(d->announce_at, d->now) && d->table.n > 0 && d->shelf.queue_n > 0 &&
           count_kind(d, OP_ANNOUNCE) < ANNOUNCERS) {
        struct sm_dht_pub *p = sm_dht_shelf_next_due(&d->shelf);
        if (p == NULL) { /* the rest waits for the other announcer */
            d->announce_at = sm_after(d->now, ANNOUNCE_GAP);
            return;
        }
        struct op *o = op_new(d, OP_ANNOUNCE, &p->item.key);
        assert(o != NULL);
        p->is_due = false;
        p->is_busy = true;
        item_add(d, o, p);
        d->announce_at = sm_after(d->now, ANNOUNCE_GAP);
        walk_begin(d, o);
    }
}

/* -- the sweep --------------------------------------------------------------------------- */

static uint32_t sweep_step(const struct sm_dht *d)
{
    uint32_t n = d->shelf.n / 64;
    return n == 0 ? 1 : n > BATCH ? BATCH : n;
}

/* When the next step of the sweep is due, so that a round takes announce_every. */
static void sweep_plan(struct sm_dht *d, bool is_stepped)
{
    if (d->shelf.n == 0) {
        d->sweep_at = SM_NEVER;
        return;
    }
    struct sm_dur all = d->cfg.announce_every;
    struct sm_dur step = {all.ns / d->shelf.n * sweep_step(d)};
    struct sm_mono next = sm_after(d->now, jitter(d, step));
    d->sweep_at = is_stepped ? next : sm_earlier(d->sweep_at, next);
}

static void sweep(struct sm_dht *d)
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
    sweep_plan(d, true);
}

/* -- newcomers and leavers --------------------------------------------------------------- */

static void newcomer_add(struct sm_dht *d, struct newcomer c)
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

/* One step of telling a newcomer what it should keep, or of announcing again what a leaver
 * kept. */
static void greet(struct sm_dht *d)
{
    struct newcomer *c = &d->newcomer[d->newcomer_at];
    unsigned k = k_of(d);
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
        if (c->is_gone) {
            sm_dht_shelf_due(&d->shelf, p);
        } else if (pub_is_valid(d, p)) {
            o = o != NULL ? o : op_new(d, OP_GREET, &p->item.key);
            assert(o != NULL);
            o->item[o->n_items++] =
                (struct item){.slot = d->shelf.order[pos], .seq = p->seq, .state = I_READY};
        }
    }
    if (o != NULL) {
        o->phase = PH_STORE;
        o->paths = 1;
        entry_add(o, &c->id, 0);
        entry_ready(o, &o->e[0], E_STORE_READY);
        o->n_targets = 1;
        o->q.token = c->tries;
        plan(o, SM_NEVER);
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
        newcomer_add(d, (struct newcomer){.id = o->e[0].id,
                                          .tries = (uint8_t)(o->q.token + 1),
                                          .from = o->q.key});
        d->greet_at = sm_after(d->now, GREET_PAUSE);
    }
    o->kind = OP_FREE;
}

/* Refresh and greeting share one place. */
static bool has_guest(const struct sm_dht *d)
{
    return count_kind(d, OP_GREET) + count_kind(d, OP_REFRESH) > 0;
}

static bool may_greet(const struct sm_dht *d)
{
    return d->newcomer_n > 0 && !has_guest(d);
}

/* -- refresh ----------------------------------------------------------------------------- */

/* Walk to where contacts have fallen silent, else to ourselves or anywhere in turn. */
static void refresh(struct sm_dht *d)
{
    const struct sm_dht_contact *silent = sm_dht_table_most_silent(&d->table);
    d->refresh_at = sm_after(d->now, jitter(d, silent ? REFRESH_SILENT : REFRESH_EVERY));
    if (d->table.n == 0) {
        return;
    }
    if (has_guest(d)) {
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
    struct op *o = op_new(d, OP_REFRESH, &key);
    assert(o != NULL);
    walk_begin(d, o);
}

/* -- inputs ------------------------------------------------------------------------------ */

/* Start what has become possible. */
static void work(struct sm_dht *d)
{
    if (may_greet(d) && sm_is_due(d->greet_at, d->now)) {
        greet(d);
    }
    announce_start(d);
}

void sm_dht_contact(struct sm_dht *d, struct sm_mono now, const struct sm_node_id *id,
                    uint8_t grade)
{
    if (grade == 0) {
        sm_dht_contact_gone(d, now, id);
        return;
    }
    enter(d, now);
    if (sm_dht_table_add(&d->table, id, grade) == SM_DHT_NEW) {
        newcomer_add(d, (struct newcomer){.id = *id});
    }
    work(d);
}

void sm_dht_contact_gone(struct sm_dht *d, struct sm_mono now, const struct sm_node_id *id)
{
    enter(d, now);
    if (sm_dht_table_del(&d->table, id)) {
        newcomer_add(d, (struct newcomer){.id = *id, .is_gone = true});
    }
    work(d);
}

/* What is here already counts as found, on no path. */
static void found_here(struct sm_dht *d, struct op *o)
{
    uint32_t at = SM_DHT_FIRST;
    const struct sm_dht_rec *r;
    while ((r = sm_dht_store_next(&d->store, &o->q.key, d->wall, &at)) != NULL) {
        if (is_asked_for(o, r) && is_wanted_signer(o, r) && found_add(d, o, r)) {
            o->agree = 1;
        }
    }
    const struct sm_dht_pub *p = sm_dht_shelf_find(&d->shelf, &o->q.key);
    if (p != NULL && pub_is_valid(d, p) && o->q.type == SM_RECORD_PROVIDER) {
        uint8_t bytes[SM_PROVIDER_BYTES];
        struct sm_dht_rec own;
        enum sm_err e = sm_dht_rec_read(pub_record(d, p, bytes), &own);
        assert(e == SM_OK);
        if (e == SM_OK && is_wanted_signer(o, &own)) {
            (void)found_add(d, o, &own);
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
    struct op *o = op_new(d, OP_GET, &q->key);
    if (o == NULL) {
        return SM_E_BUSY;
    }
    o->q = *q;
    found_here(d, o);
    walk_begin(d, o);
    return SM_OK;
}

enum sm_err sm_dht_put(struct sm_dht *d, struct sm_mono now, struct sm_wall wall,
                       struct sm_view record, uint64_t token)
{
    enter(d, now);
    d->wall = wall;
    struct sm_dht_rec r;
    SM_TRY(record_read(d, record, &r));
    SM_TRY(record_verify(d, &r));
    struct sm_data_id key;
    memcpy(key.b, sm_dht_rec_key(&r), sizeof key.b);
    struct op *o = op_new(d, OP_PUT, &key);
    if (o == NULL) {
        return SM_E_BUSY;
    }
    o->q.token = token;
    o->found[0] = r;
    o->n_items = 1;
    o->item[0] = (struct item){.slot = NO_SLOT, .state = I_READY};
    walk_begin(d, o);
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
    sweep_plan(d, false);
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
    struct op *o = op_of(d, token);
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
    sign_pump(d, o);
    work(d);
}

/* -- serving ----------------------------------------------------------------------------- */

/* Records for a FIND, the nearest contacts first of all; the counts are filled in last. */
static void serve_find(struct sm_dht *d, const struct sm_node_id *from,
                       const struct sm_dht_find *f, struct sm_wr *w)
{
    struct sm_node_id near[SM_DHT_BUCKET];
    unsigned n = sm_dht_table_closest(&d->table, &f->key, from, false, k_of(d), near);
    sm_wr_u8(w, (uint8_t)n);
    size_t count_at = w->n;
    sm_wr_u8(w, 0);
    for (unsigned i = 0; i < n; i++) {
        sm_wr_bytes(w, near[i].b, sizeof near[i].b);
    }
    uint8_t records = 0;
    unsigned max = f->max < SM_DHT_RECORDS_MAX ? f->max : SM_DHT_RECORDS_MAX;
    const struct sm_dht_pub *p = sm_dht_shelf_find(&d->shelf, &f->key);
    if (p != NULL && f->type == SM_RECORD_PROVIDER && pub_is_valid(d, p) && max > 0) {
        uint8_t bytes[SM_PROVIDER_BYTES];
        sm_dht_record_write(w, pub_record(d, p, bytes));
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
    if (record_read(d, bytes, &r) != SM_OK) {
        return SM_DHT_REFUSED;
    }
    enum sm_dht_status s = sm_dht_store_ask(&d->store, &r);
    if (s != SM_DHT_STORED) {
        return s;
    }
    enum sm_err e = record_verify(d, &r);
    if (e != SM_OK) {
        if (e == SM_E_CRYPTO) {
            forged(d, from, SM_DHT_SEEN_FORGERY);
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
        newcomer_add(d, (struct newcomer){.id = *id});
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

/* -- answers and time -------------------------------------------------------------------- */

static void pump(struct sm_dht *d, struct op *o)
{
    switch (o->phase) {
    case PH_WALK:
        walk_pump(d, o);
        break;
    case PH_SIGN:
        sign_pump(d, o);
        break;
    case PH_STORE:
        store_pump(d, o);
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
    struct op *o = op_of(d, rpc);
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
        observe(d, &id, SM_DHT_SEEN_ANSWER);
        if (phase == PH_STORE) {
            store_answer(d, o, e, body);
        } else {
            find_answer(d, o, e, body);
        }
    }
    pump(d, o);
    work(d);
}

static void entry_late(struct sm_dht *d, struct op *o, struct entry *e)
{
    if (!sm_is_due(entry_due(e), d->now)) {
        return;
    }
    if (!e->is_slow) {
        e->is_slow = true;
        if (!sm_is_due(entry_due(e), d->now)) {
            return;
        }
    }
    o->n_done += e->state == E_STORING;
    e->state = E_SILENT;
    d->stats.timeouts++;
    sm_dht_table_missed(&d->table, &e->id);
    observe(d, &e->id, SM_DHT_SEEN_SILENCE);
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
        sweep(d);
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
    if (may_greet(d)) {
        due = sm_earlier(due, d->greet_at);
    }
    if (d->shelf.queue_n > 0 && d->table.n > 0 && count_kind(d, OP_ANNOUNCE) < ANNOUNCERS) {
        due = sm_earlier(due, d->announce_at);
    }
    return due;
}

/* -- outputs ----------------------------------------------------------------------------- */

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
    pub_write(d, p, &r);
    struct sm_wr w = sm_wr_init(d->scratch, SM_DHT_BODY_MAX);
    sm_sign_record_write(sm_view_of(record, r.n), &w);
    *out = (struct sm_dht_out){
        .kind = SM_DHT_OUT_SIGN, .token = rpc_of(d, o, i), .body = sm_view_of(d->scratch, w.n)};
}

static void store_write(struct sm_dht *d, struct op *o, struct entry *e, struct sm_wr *w)
{
    e->mask = items_to_send(d, o);
    sm_dht_store_begin(w, (uint8_t)__builtin_popcountll(e->mask));
    for (uint64_t left = e->mask; left != 0; left &= left - 1) {
        const struct item *it = &o->item[__builtin_ctzll(left)];
        uint8_t bytes[SM_PROVIDER_BYTES];
        sm_dht_record_write(w, it->slot == NO_SLOT
                                   ? sm_dht_rec_view(&o->found[0])
                                   : pub_record(d, &d->shelf.pub[it->slot], bytes));
    }
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
        store_write(d, o, e, &w);
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
    o->due = sm_earlier(o->due, entry_due(e));
    d->stats.requests++;
    *out = (struct sm_dht_out){.kind = SM_DHT_OUT_REQUEST,
                               .node = e->id,
                               .rpc = rpc_of(d, o, o->order[i]),
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

/* -- life -------------------------------------------------------------------------------- */

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
    d->refresh_at = sm_after(now, jitter(d, SM_S(5)));
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
