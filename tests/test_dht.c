// SPDX-License-Identifier: Apache-2.0
/* A mesh of DHT machines in virtual time: every message takes its time, nothing is real. */
#include "t.h"
#include "core/dht.h"
#include "crypto/hash.h"
#include "crypto/suite_sim.h"

#define NODES_MAX   256
#define RESULTS_MAX 1024
#define START_S     1800000000u
#define HOUR        3600u

struct event {
    uint64_t at, order;
    unsigned from, to;
    bool is_reply;
    uint64_t rpc;
    enum sm_err err;
    uint8_t *body;
    size_t n;
};

struct result {
    bool is_done;
    enum sm_err err;
    unsigned records, asked, answered, paths, stored;
    uint64_t map, fence, at;
};

struct node {
    struct sm_dht *d;
    struct sm_node_id id;
    struct sm_sign_pair key;
    uint64_t deadline;
    bool is_dead, is_liar;
};

struct world {
    struct node node[NODES_MAX];
    unsigned n;
    struct sm_anchor anchor;
    struct sm_map by_id;
    struct sm_rng rng;
    struct sm_mono now;
    struct event *heap;
    size_t heap_n, heap_cap;
    uint64_t order;
    struct result result[RESULTS_MAX];
    uint64_t trace; /* of every message and when it came */
    unsigned seen[8], published, signs;
    uint64_t messages;
};

static struct sm_wall wall_of(const struct world *w)
{
    return (struct sm_wall){START_S + w->now.ns / 1000000000u};
}

/* -- the world ---------------------------------------------------------------------------- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void push(struct world *w, struct event ev)
{
    if (w->heap_n == w->heap_cap) {
        w->heap_cap = w->heap_cap * 2 + 64;
        w->heap = realloc(w->heap, w->heap_cap * sizeof *w->heap);
        T_TRUE(w->heap != NULL);
    }
    ev.order = w->order++;
    size_t i = w->heap_n++;
    for (; i > 0 && is_before(&ev, &w->heap[(i - 1) / 2]); i = (i - 1) / 2) {
        w->heap[i] = w->heap[(i - 1) / 2];
    }
    w->heap[i] = ev;
}

static struct event pop(struct world *w)
{
    struct event top = w->heap[0], last = w->heap[--w->heap_n];
    size_t i = 0;
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= w->heap_n) {
            break;
        }
        c += c + 1 < w->heap_n && is_before(&w->heap[c + 1], &w->heap[c]);
        if (!is_before(&w->heap[c], &last)) {
            break;
        }
        w->heap[i] = w->heap[c];
        i = c;
    }
    w->heap[i] = last;
    return top;
}

static const uint8_t *key_of(void *ctx, const struct sm_node_id *id)
{
    struct world *w = ctx;
    uint32_t i;
    return sm_map_get(&w->by_id, id->b, &i) ? w->node[i].key.pub.b : NULL;
}

/* 3 to 40 ms one way, by the pair, and up to a tenth more by chance. */
static uint64_t latency(struct world *w, unsigned a, unsigned b)
{
    unsigned low = a < b ? a : b, high = a < b ? b : a;
    uint64_t pair[2] = {low, high};
    uint64_t us = 3000 + sm_siphash(pair, sizeof pair, 1, 2) % 37000;
    return (us + sm_rng_below(&w->rng, us / 10 + 1)) * 1000;
}

static void send(struct world *w, unsigned from, unsigned to, bool is_reply, uint64_t rpc,
                 enum sm_err err, struct sm_view body)
{
    struct event ev = {w->now.ns + latency(w, from, to),
                       0,
                       from,
                       to,
                       is_reply,
                       rpc,
                       err,
                       malloc(body.n + 1),
                       body.n};
    T_TRUE(ev.body != NULL);
    if (body.n > 0) {
        memcpy(ev.body, body.p, body.n);
    }
    w->messages++;
    push(w, ev);
}

static void sign_bytes(struct world *w, unsigned who, struct sm_view body, uint8_t out[64])
{
    uint8_t buf[512];
    struct sm_wr wr = sm_wr_init(buf, sizeof buf);
    struct sm_view msg;
    struct sm_sig sig;
    sm_record_to_sign(body, &wr);
    T_OK(sm_wr_done(&wr, &msg));
    sm_suite_sim()->sign(&w->node[who].key, msg, &sig);
    memcpy(out, sig.b, 64);
}

static void note_result(struct world *w, const struct sm_dht_out *out)
{
    T_TRUE(out->token < RESULTS_MAX);
    struct result *r = &w->result[out->token];
    T_TRUE(!r->is_done);
    *r = (struct result){.is_done = true,
                         .err = out->err,
                         .records = out->n_records,
                         .asked = out->nodes_asked,
                         .answered = out->nodes_answered,
                         .paths = out->paths,
                         .stored = out->stored,
                         .at = w->now.ns};
    for (unsigned i = 0; i < out->n_records; i++) {
        struct sm_provider p;
        struct sm_task t;
        if (out->type == SM_RECORD_PROVIDER) {
            T_OK(sm_provider_read(out->records[i], &p));
            r->map |= p.frag_map;
        } else {
            T_OK(sm_task_read(out->records[i], &t));
            r->fence = t.fence;
        }
    }
}

static void drain(struct world *w, unsigned i)
{
    struct node *n = &w->node[i];
    struct sm_dht_out out;
    while (sm_dht_next(n->d, &out)) {
        uint32_t to;
        uint8_t sig[64];
        switch (out.kind) {
        case SM_DHT_OUT_REQUEST:
            T_TRUE(sm_map_get(&w->by_id, out.node.b, &to));
            T_TRUE(out.body.n <= SM_DHT_BODY_MAX);
            send(w, i, to, false, out.rpc, SM_OK, out.body);
            break;
        case SM_DHT_OUT_RESULT:
            note_result(w, &out);
            break;
        case SM_DHT_OUT_PUBLISHED:
            w->published++;
            break;
        case SM_DHT_OUT_SIGN:
            w->signs++;
            T_EQ(out.body.p[0], 1);
            sign_bytes(w, i, sm_view_sub(out.body, 1, out.body.n), sig);
            sm_dht_signed(n->d, w->now, wall_of(w), out.token, SM_OK, sm_view_of(sig, 64));
            break;
        case SM_DHT_OUT_OBSERVE:
            w->seen[out.seen]++;
            break;
        }
    }
    n->deadline = sm_dht_deadline(n->d).ns;
}

/* A node of the adversary answers at once, knows nothing and names only its friends. */
static struct sm_view lie(struct world *w, const uint8_t *key, uint8_t *buf)
{
    struct sm_data_id k;
    memcpy(k.b, key, 32);
    struct sm_node_id best[SM_DHT_CONTACTS_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < w->n; i++) {
        if (!w->node[i].is_liar) {
            continue;
        }
        unsigned at = n;
        while (at > 0 && sm_dht_closer(&k, &w->node[i].id, &best[at - 1]) < 0) {
            at--;
        }
        if (at == SM_DHT_CONTACTS_MAX) {
            continue;
        }
        n += n < SM_DHT_CONTACTS_MAX;
        memmove(&best[at + 1], &best[at], (n - at - 1) * sizeof *best);
        best[at] = w->node[i].id;
    }
    buf[0] = (uint8_t)n;
    buf[1] = 0;
    memcpy(buf + 2, best, n * 32);
    return sm_view_of(buf, 2 + n * 32);
}

static void deliver(struct world *w, struct event *ev)
{
    struct node *to = &w->node[ev->to];
    struct sm_view body = {ev->body, ev->n}, reply = {0};
    w->trace = sm_siphash(ev->body, ev->n, w->trace, ev->at);
    if (to->is_dead) {
        return;
    }
    if (ev->is_reply) {
        sm_dht_reply(to->d, w->now, wall_of(w), ev->rpc, ev->err, body);
    } else if (to->is_liar && ev->body[0] == SM_DHT_FIND) {
        uint8_t buf[2 + SM_DHT_CONTACTS_MAX * 32];
        send(w, ev->to, ev->from, true, ev->rpc, SM_OK, lie(w, ev->body + 4, buf));
    } else {
        const struct sm_node_id *from = &w->node[ev->from].id;
        enum sm_err e = sm_dht_request(to->d, w->now, wall_of(w), from, body, &reply);
        T_TRUE(reply.n <= SM_DHT_BODY_MAX);
        send(w, ev->to, ev->from, true, ev->rpc, e, reply);
    }
    drain(w, ev->to);
}

/* The next thing that happens, if it does before `end`. */
static bool step(struct world *w, uint64_t end)
{
    unsigned who = 0;
    uint64_t due = UINT64_MAX;
    for (unsigned i = 0; i < w->n; i++) {
        if (!w->node[i].is_dead && w->node[i].deadline < due) {
            due = w->node[i].deadline;
            who = i;
        }
    }
    bool is_event = w->heap_n > 0 && w->heap[0].at <= due;
    uint64_t at = is_event ? w->heap[0].at : due;
    if (at > end) {
        return false;
    }
    w->now.ns = at > w->now.ns ? at : w->now.ns;
    if (is_event) {
        struct event ev = pop(w);
        deliver(w, &ev);
        free(ev.body);
    } else {
        sm_dht_tick(w->node[who].d, w->now, wall_of(w));
        drain(w, who);
        T_TRUE(w->node[who].deadline > w->now.ns);
    }
    return true;
}

static void run_for(struct world *w, struct sm_dur d)
{
    uint64_t end = w->now.ns + d.ns;
    while (step(w, end)) {
    }
    w->now.ns = end;
}

static const struct result *run_until(struct world *w, unsigned token)
{
    uint64_t end = w->now.ns + SM_S(30).ns;
    while (!w->result[token].is_done && step(w, end)) {
    }
    T_TRUE(w->result[token].is_done);
    return &w->result[token];
}

static void node_new(struct world *w, const struct sm_dht_cfg *like)
{
    unsigned i = w->n++;
    struct node *n = &w->node[i];
    struct sm_dht_cfg cfg = *like;
    sm_rng_bytes(&w->rng, n->id.b, sizeof n->id.b);
    sm_rng_bytes(&w->rng, cfg.seed, sizeof cfg.seed);
    sm_sign_pair_make(sm_suite_sim(), &w->rng, &n->key);
    T_OK(sm_map_put(&w->by_id, n->id.b, i));
    cfg.suite = sm_suite_sim();
    cfg.anchor = &w->anchor;
    cfg.self = n->id;
    cfg.sign_key = key_of;
    cfg.ctx = w;
    n->d = sm_dht_new(&cfg, w->now, wall_of(w));
    T_TRUE(n->d != NULL);
    n->deadline = sm_dht_deadline(n->d).ns;
}

static void meet(struct world *w, unsigned a, unsigned b)
{
    if (a != b) {
        sm_dht_contact(w->node[a].d, w->now, &w->node[b].id, 200);
        drain(w, a);
    }
}

static const struct sm_dht_cfg small = {.max_lookups = 4,
                                        .max_found = 64,
                                        .max_contacts = 256,
                                        .max_records = 1024,
                                        .max_published = 512};

/* n nodes; each has met `known` others by chance, and all of them when known is 0. */
static struct world *world_new(unsigned n, unsigned known, const struct sm_dht_cfg *cfg)
{
    struct world *w = calloc(1, sizeof *w);
    T_TRUE(w != NULL);
    uint8_t seed[32] = {0};
    sm_put_le64(seed, t_seed());
    sm_rng_init(&w->rng, seed, "test");
    w->anchor.network = 7;
    T_OK(sm_map_init(&w->by_id, 32, NODES_MAX, 1, 2));
    for (unsigned i = 0; i < n; i++) {
        node_new(w, cfg);
    }
    for (unsigned i = 0; i < n; i++) {
        for (unsigned j = 0; j < (known == 0 ? n : known); j++) {
            meet(w, i, known == 0 ? j : (unsigned)sm_rng_below(&w->rng, n));
        }
    }
    run_for(w, SM_S(10)); /* the first refresh */
    return w;
}

static void world_free(struct world *w)
{
    while (w->heap_n > 0) {
        free(pop(w).body);
    }
    for (unsigned i = 0; i < w->n; i++) {
        sm_dht_free(w->node[i].d);
    }
    sm_map_done(&w->by_id);
    free(w->heap);
    free(w);
}

/* -- what tests do ------------------------------------------------------------------------ */

static struct sm_data_id key_n(unsigned i)
{
    struct sm_data_id k;
    uint8_t text[8] = {'k', 'e', 'y', (uint8_t)i, (uint8_t)(i >> 8)};
    sm_sha256(sm_view_of(text, sizeof text), k.b);
    return k;
}

static void get_q(struct world *w, unsigned who, struct sm_dht_query q)
{
    T_OK(sm_dht_get(w->node[who].d, w->now, wall_of(w), &q));
    drain(w, who);
}

static const struct result *get(struct world *w, unsigned who, struct sm_data_id key,
                                uint8_t type, unsigned token)
{
    w->result[token].is_done = false;
    get_q(w, who, (struct sm_dht_query){.key = key, .type = type, .token = token});
    return run_until(w, token);
}

static void publish(struct world *w, unsigned who, struct sm_data_id key, uint64_t map)
{
    struct sm_dht_item item = {
        .key = key, .kind = SM_PROVIDER_SHARDS, .frag_map = map, .bytes = 1000};
    T_OK(sm_dht_publish(w->node[who].d, w->now, wall_of(w), &item));
    drain(w, who);
}

static size_t provider_make(struct world *w, unsigned who, struct sm_data_id key, uint64_t seq,
                            uint64_t life, uint8_t out[256])
{
    struct sm_provider p = {.head = {.network = w->anchor.network,
                                     .seq = seq,
                                     .not_before = wall_of(w),
                                     .expires = {wall_of(w).s + life}},
                            .key = key,
                            .node_id = w->node[who].id,
                            .kind = SM_PROVIDER_SHARDS,
                            .frag_map = 1,
                            .bytes = seq};
    struct sm_wr wr = sm_wr_init(out, 256);
    sm_provider_write(&p, &wr);
    sign_bytes(w, who, sm_view_of(out, wr.n), out + wr.n);
    return wr.n + 64;
}

static size_t task_make(struct world *w, unsigned who, struct sm_data_id id, uint64_t fence,
                        uint64_t seq, uint8_t out[256])
{
    struct sm_task t = {.head = {.network = w->anchor.network,
                                 .seq = seq,
                                 .not_before = wall_of(w),
                                 .expires = {wall_of(w).s + 120}},
                        .task_id = id,
                        .holder = w->node[who].id,
                        .fence = fence,
                        .lease_ms = 120000,
                        .state = SM_TASK_RUNNING,
                        .signer = w->node[who].id};
    struct sm_wr wr = sm_wr_init(out, 256);
    sm_task_write(&t, &wr);
    sign_bytes(w, who, sm_view_of(out, wr.n), out + wr.n);
    return wr.n + 64;
}

static const struct result *put(struct world *w, unsigned who, const uint8_t *p, size_t n,
                                unsigned token)
{
    w->result[token].is_done = false;
    T_OK(sm_dht_put(w->node[who].d, w->now, wall_of(w), sm_view_of(p, n), token));
    drain(w, who);
    return run_until(w, token);
}

/* Hand a node one STORE with these records; the status of the first comes back. */
static enum sm_dht_status store_one(struct world *w, unsigned at, unsigned from,
                                    const uint8_t *p, size_t n)
{
    uint8_t body[512];
    struct sm_wr wr = sm_wr_init(body, sizeof body);
    sm_dht_store_begin(&wr, 1);
    sm_dht_record_write(&wr, sm_view_of(p, n));
    struct sm_view reply, status;
    T_OK(sm_dht_request(w->node[at].d, w->now, wall_of(w), &w->node[from].id,
                        sm_view_of(body, wr.n), &reply));
    T_OK(sm_dht_stored_read(reply, 1, &status));
    enum sm_dht_status s = status.p[0];
    drain(w, at);
    return s;
}

static struct sm_dht_stats stats(const struct world *w, unsigned i)
{
    struct sm_dht_stats s;
    sm_dht_stats(w->node[i].d, &s);
    return s;
}

/* -- records ------------------------------------------------------------------------------ */

static void what_a_record_decodes_to_encodes_to_the_same_bytes(void)
{
    struct world *w = world_new(1, 0, &small);
    uint8_t b[256], again[256];
    size_t n = provider_make(w, 0, key_n(1), 5, 100, b);
    T_EQ(n, SM_PROVIDER_BYTES);
    struct sm_provider p;
    T_OK(sm_provider_read(sm_view_of(b, n), &p));
    struct sm_wr wr = sm_wr_init(again, sizeof again);
    sm_provider_write(&p, &wr);
    T_MEM(again, wr.n, b, n - 64);
    T_ERR(sm_provider_read(sm_view_of(b, n - 1), &p), SM_E_TRUNCATED);
    n = task_make(w, 0, key_n(1), 5, 100, b);
    T_EQ(n, SM_TASK_BYTES);
    T_EQ(n, SM_DHT_RECORD_MAX);
    struct sm_task t;
    T_OK(sm_task_read(sm_view_of(b, n), &t));
    wr = sm_wr_init(again, sizeof again);
    sm_task_write(&t, &wr);
    T_MEM(again, wr.n, b, n - 64);
    T_ERR(sm_provider_read(sm_view_of(b, n), &p), SM_E_MALFORMED);
    world_free(w);
}

static void only_valid_records_are_kept(void)
{
    struct world *w = world_new(2, 0, &small);
    uint8_t b[256];
    size_t n = provider_make(w, 1, key_n(1), 5, HOUR, b);
    b[n - 1] ^= 1;
    T_EQ(store_one(w, 0, 1, b, n), SM_DHT_REFUSED);
    T_EQ(stats(w, 0).forged, 1);
    b[n - 1] ^= 1;
    T_EQ(store_one(w, 0, 1, b, n), SM_DHT_STORED);
    T_EQ(store_one(w, 0, 1, b, n), SM_DHT_HAVE);
    n = provider_make(w, 1, key_n(1), 4, HOUR, b);
    T_EQ(store_one(w, 0, 1, b, n), SM_DHT_STALE);
    n = provider_make(w, 1, key_n(2), 4, 40 * 24 * HOUR, b); /* a life without end */
    T_EQ(store_one(w, 0, 1, b, n), SM_DHT_REFUSED);
    w->anchor.network = 8;
    n = provider_make(w, 1, key_n(2), 4, HOUR, b);
    w->anchor.network = 7;
    T_EQ(store_one(w, 0, 1, b, n), SM_DHT_REFUSED);
    n = provider_make(w, 1, key_n(2), 4, HOUR, b);
    (void)sm_map_del(&w->by_id, w->node[1].id.b); /* nobody vouches for the signer any more */
    T_EQ(store_one(w, 0, 1, b, n), SM_DHT_REFUSED);
    T_EQ(stats(w, 0).records, 1);
    world_free(w);
}

static void a_higher_fence_beats_a_higher_sequence(void)
{
    struct world *w = world_new(2, 0, &small);
    uint8_t b[256];
    size_t n = task_make(w, 1, key_n(1), 2, 1, b);
    T_EQ(store_one(w, 0, 1, b, n), SM_DHT_STORED);
    n = task_make(w, 1, key_n(1), 1, 9, b);
    T_EQ(store_one(w, 0, 1, b, n), SM_DHT_STALE);
    n = task_make(w, 1, key_n(1), 3, 1, b);
    T_EQ(store_one(w, 0, 1, b, n), SM_DHT_STORED);
    world_free(w);
}

/* -- finding ------------------------------------------------------------------------------ */

static void a_put_is_found_from_everywhere(void)
{
    struct world *w = world_new(64, 24, &small);
    uint8_t b[256];
    size_t n = task_make(w, 3, key_n(1), 7, 1, b);
    const struct result *r = put(w, 3, b, n, 0);
    T_OK(r->err);
    T_TRUE(r->stored >= 8);
    for (unsigned i = 0; i < w->n; i++) {
        r = get(w, i, key_n(1), SM_RECORD_TASK, 1);
        T_OK(r->err);
        T_EQ(r->records, 1);
        T_EQ(r->fence, 7);
    }
    world_free(w);
}

static void few_contacts_are_enough_to_find_anything(void)
{
    struct world *w = world_new(256, 6, &small);
    for (unsigned i = 0; i < 20; i++) {
        publish(w, i * 11, key_n(i), 1);
    }
    run_for(w, SM_S(5));
    unsigned found = 0, asked = 0;
    for (unsigned i = 0; i < w->n; i++) {
        const struct result *r = get(w, i, key_n(i % 20), SM_RECORD_PROVIDER, 1);
        found += r->err == SM_OK;
        asked += r->asked;
    }
    printf("# 256 nodes that met 6 others: %u of 256 found, %u asked each\n", found,
           asked / 256);
    T_EQ(found, 256);
    world_free(w);
}

static void the_newest_task_wins_over_what_old_holders_say(void)
{
    struct world *w = world_new(64, 24, &small);
    uint8_t b[256];
    size_t n = task_make(w, 3, key_n(1), 1, 1, b);
    T_OK(put(w, 3, b, n, 0)->err);
    run_for(w, SM_S(1));
    n = task_make(w, 3, key_n(1), 2, 2, b);
    T_OK(put(w, 3, b, n, 0)->err);
    run_for(w, SM_S(1));
    T_EQ(get(w, 40, key_n(1), SM_RECORD_TASK, 1)->fence, 2);
    n = task_make(w, 3, key_n(1), 1, 3, b);
    T_ERR(put(w, 3, b, n, 0)->err, SM_E_STALE);
    world_free(w);
}

static void a_get_brings_all_holders_or_as_many_as_wanted(void)
{
    struct world *w = world_new(64, 24, &small);
    for (unsigned i = 0; i < 16; i++) {
        publish(w, i, key_n(1), UINT64_C(1) << i);
    }
    run_for(w, SM_S(5));
    T_EQ(w->published, 16);
    for (unsigned i = 0; i < w->n; i++) {
        const struct result *r = get(w, i, key_n(1), SM_RECORD_PROVIDER, 1);
        T_OK(r->err);
        T_EQ(r->records, 16);
        T_EQ(r->map, 0xffff);
    }
    unsigned all = w->result[1].asked;
    w->result[1].is_done = false;
    get_q(w, 63,
          (struct sm_dht_query){
              .key = key_n(1), .type = SM_RECORD_PROVIDER, .want_frags = 10, .token = 1});
    const struct result *r = run_until(w, 1);
    T_TRUE(__builtin_popcountll(r->map) >= 10);
    T_TRUE(r->answered <= all);
    world_free(w);
}

static void dead_nodes_cost_neither_the_record_nor_a_second(void)
{
    struct world *w = world_new(128, 40, &small);
    for (unsigned i = 0; i < 20; i++) {
        publish(w, i, key_n(i), 1);
    }
    run_for(w, SM_S(5));
    T_EQ(w->published, 20);
    for (unsigned i = 0; i < w->n / 5; i++) {
        w->node[20 + i * 4].is_dead = true;
    }
    uint64_t slowest = 0, sum = 0;
    for (unsigned i = 0; i < 60; i++) {
        uint64_t from = w->now.ns;
        const struct result *r = get(w, i % 20, key_n((i * 7 + 1) % 20), SM_RECORD_PROVIDER, 1);
        T_OK(r->err);
        T_EQ(r->records, 1);
        uint64_t took = r->at - from;
        slowest = took > slowest ? took : slowest;
        sum += took;
    }
    printf("# 128 nodes, a fifth dead: whole get %" PRIu64 " ms mean, %" PRIu64 " ms worst\n",
           sum / 60 / 1000000, slowest / 1000000);
    T_TRUE(slowest < SM_MS(1200).ns);
    world_free(w);
}

static void liars_cannot_hide_a_record(void)
{
    struct world *w = world_new(200, 60, &small);
    for (unsigned i = 0; i < w->n; i += 5) {
        w->node[i].is_liar = true;
    }
    for (unsigned i = 0; i < 50; i++) {
        publish(w, 1 + i % 4, key_n(i), 1);
    }
    run_for(w, SM_S(20));
    unsigned found = 0;
    for (unsigned i = 0; i < 200; i++) {
        found += get(w, 6 + i % 4 + 5 * (i % 30), key_n(i % 50), SM_RECORD_PROVIDER, 1)->err ==
                 SM_OK;
    }
    printf("# 200 nodes, a fifth lie: %u of 200 found\n", found);
    T_TRUE(found >= 199);
    world_free(w);
}

static void nothing_found_says_who_was_asked(void)
{
    struct world *w = world_new(64, 24, &small);
    const struct result *r = get(w, 5, key_n(99), SM_RECORD_PROVIDER, 1);
    T_ERR(r->err, SM_E_NOTFOUND);
    /* The ten closest have answered; one slower than nine of ten holds up nobody. */
    T_TRUE(r->answered >= 10);
    T_TRUE(r->answered <= r->asked && r->asked <= r->answered + SM_DHT_ALPHA);
    T_EQ(r->paths, 4);
    T_EQ(r->records, 0);
    world_free(w);
}

static void a_mesh_that_keeps_silent_is_not_an_empty_one(void)
{
    struct world *w = world_new(8, 0, &small);
    for (unsigned i = 1; i < w->n; i++) {
        w->node[i].is_dead = true;
    }
    const struct result *r = get(w, 0, key_n(1), SM_RECORD_PROVIDER, 1);
    T_ERR(r->err, SM_E_TIMEOUT);
    T_EQ(r->asked, 7);
    T_EQ(r->answered, 0);
    uint8_t b[256];
    size_t n = task_make(w, 0, key_n(1), 7, 1, b);
    T_ERR(put(w, 0, b, n, 0)->err, SM_E_TIMEOUT);
    world_free(w);
}

static void a_node_alone_answers_from_itself(void)
{
    struct world *w = world_new(1, 0, &small);
    T_ERR(get(w, 0, key_n(1), SM_RECORD_PROVIDER, 1)->err, SM_E_NOTFOUND);
    uint8_t b[256];
    size_t n = task_make(w, 0, key_n(1), 7, 1, b);
    T_EQ(put(w, 0, b, n, 0)->stored, 1);
    T_EQ(get(w, 0, key_n(1), SM_RECORD_TASK, 1)->fence, 7);
    world_free(w);
}

static void expired_records_vanish(void)
{
    struct world *w = world_new(16, 0, &small);
    uint8_t b[256];
    size_t n = task_make(w, 3, key_n(1), 7, 1, b);
    T_OK(put(w, 3, b, n, 0)->err);
    run_for(w, SM_S(100));
    T_OK(get(w, 9, key_n(1), SM_RECORD_TASK, 1)->err);
    run_for(w, SM_S(81)); /* 120 s of life and a minute of patience with clocks */
    T_ERR(get(w, 9, key_n(1), SM_RECORD_TASK, 1)->err, SM_E_NOTFOUND);
    run_for(w, SM_S(70));
    for (unsigned i = 0; i < w->n; i++) {
        T_EQ(stats(w, i).records, 0);
    }
    world_free(w);
}

/* -- answers of the adversary ------------------------------------------------------------- */

/* One honest node whose single contact is ours to speak for. */
static void answer_with(struct world *w, const uint8_t *record, size_t n, enum sm_err want,
                        enum sm_dht_seen seen)
{
    struct sm_dht *d = w->node[0].d;
    struct sm_dht_query q = {.key = key_n(1), .type = SM_RECORD_PROVIDER};
    T_OK(sm_dht_get(d, w->now, wall_of(w), &q));
    struct sm_dht_out out;
    T_TRUE(sm_dht_next(d, &out));
    T_EQ(out.kind, SM_DHT_OUT_REQUEST);
    uint8_t body[512] = {0, 1};
    struct sm_wr wr = sm_wr_init(body + 2, sizeof body - 2);
    sm_dht_record_write(&wr, sm_view_of(record, n));
    sm_dht_reply(d, w->now, wall_of(w), out.rpc, SM_OK, sm_view_of(body, 2 + wr.n));
    bool is_seen = false, is_done = false;
    while (sm_dht_next(d, &out)) {
        if (out.kind == SM_DHT_OUT_OBSERVE) {
            is_seen |= out.seen == seen;
        } else {
            T_EQ(out.kind, SM_DHT_OUT_RESULT);
            T_ERR(out.err, want);
            is_done = true;
        }
    }
    T_TRUE(is_seen && is_done);
}

static void forged_records_are_dropped_and_told(void)
{
    struct world *w = world_new(2, 0, &small);
    uint8_t b[256];
    size_t n = provider_make(w, 1, key_n(1), 5, HOUR, b);
    answer_with(w, b, n, SM_OK, SM_DHT_SEEN_ANSWER);
    b[100] ^= 1;
    answer_with(w, b, n, SM_E_NOTFOUND, SM_DHT_SEEN_FORGERY);
    n = provider_make(w, 1, key_n(2), 5, HOUR, b);
    answer_with(w, b, n, SM_E_NOTFOUND, SM_DHT_SEEN_FORGERY);
    n = task_make(w, 1, key_n(1), 5, 1, b);
    answer_with(w, b, n, SM_E_NOTFOUND, SM_DHT_SEEN_FORGERY);
    n = provider_make(w, 1, key_n(1), 5, 10, b);
    w->now = sm_after(w->now, SM_S(71));
    answer_with(w, b, n, SM_E_NOTFOUND, SM_DHT_SEEN_STALE);
    answer_with(w, b, 1, SM_E_NOTFOUND, SM_DHT_SEEN_FORGERY);
    world_free(w);
}

static void answers_that_are_none_are_told(void)
{
    struct world *w = world_new(2, 0, &small);
    struct sm_dht *d = w->node[0].d;
    struct sm_dht_query q = {.key = key_n(1), .type = SM_RECORD_PROVIDER};
    T_OK(sm_dht_get(d, w->now, wall_of(w), &q));
    struct sm_dht_out out;
    T_TRUE(sm_dht_next(d, &out));
    sm_dht_reply(d, w->now, wall_of(w), out.rpc, SM_OK, sm_view_str("garbage"));
    sm_dht_reply(d, w->now, wall_of(w), out.rpc, SM_OK, sm_view_str("again"));
    sm_dht_reply(d, w->now, wall_of(w), 0xdeadbeef, SM_OK, sm_view_str("nobody asked"));
    drain(w, 0);
    T_EQ(w->seen[SM_DHT_SEEN_MALFORMED], 1);
    T_ERR(w->result[0].err, SM_E_TIMEOUT);
    struct sm_view reply;
    T_ERR(sm_dht_request(d, w->now, wall_of(w), &w->node[1].id, sm_view_str("\x07"), &reply),
          SM_E_MALFORMED);
    world_free(w);
}

static void a_flood_fills_no_more_than_its_share(void)
{
    struct sm_dht_cfg cfg = small;
    cfg.max_records = 100;
    cfg.max_per_signer = 20;
    struct world *w = world_new(16, 0, &cfg);
    uint8_t b[256];
    unsigned kept = 0;
    for (unsigned i = 0; i < 3000; i++) {
        unsigned who = 1 + i % 2;
        size_t n = provider_make(w, who, key_n(i), 1, HOUR, b);
        kept += store_one(w, 0, who, b, n) == SM_DHT_STORED;
    }
    T_EQ(kept, 40);
    for (unsigned i = 0; i < 3000; i++) {
        unsigned who = 1 + i % 15;
        size_t n = provider_make(w, who, key_n(5000 + i), 1, HOUR, b);
        kept += store_one(w, 0, who, b, n) == SM_DHT_STORED;
        T_TRUE(stats(w, 0).records <= 100);
    }
    T_EQ(stats(w, 0).records, 100);
    unsigned one_key = 0;
    for (unsigned i = 0; i < 200; i++) {
        struct sm_data_id near;
        memcpy(near.b, w->node[0].id.b, 32);
        near.b[31] ^= (uint8_t)i;
        size_t n = provider_make(w, 3 + i % 10, near, 1, HOUR, b);
        one_key += store_one(w, 0, 3, b, n) == SM_DHT_STORED;
    }
    T_TRUE(one_key > 0); /* what is near us still finds room */
    T_EQ(stats(w, 0).records, 100);
    world_free(w);
}

/* -- announcing --------------------------------------------------------------------------- */

static void the_sweep_announces_everything_evenly_within_its_interval(void)
{
    struct sm_dht_cfg cfg = small;
    cfg.announce_every = SM_S(1600);
    cfg.max_per_signer = 1024;
    struct world *w = world_new(24, 0, &cfg);
    enum { KEYS = 300 };
    for (unsigned i = 0; i < KEYS; i++) {
        publish(w, 0, key_n(i), 1);
    }
    run_for(w, SM_S(60));
    T_EQ(w->published, KEYS);
    T_EQ(stats(w, 0).due, 0);
    uint64_t before = stats(w, 0).announced, last = before, most = 0;
    for (unsigned i = 0; i < 16; i++) {
        run_for(w, SM_S(100));
        uint64_t now = stats(w, 0).announced;
        most = now - last > most ? now - last : most;
        last = now;
    }
    run_for(w, SM_S(5));
    T_TRUE(stats(w, 0).announced - before >= KEYS);
    T_TRUE(most <= 2 * KEYS / 16);
    printf("# sweep: at most %" PRIu64 " of %d keys in a sixteenth of the interval\n", most,
           KEYS);
    world_free(w);
}

static void records_outlive_a_day_because_they_are_announced_again(void)
{
    struct world *w = world_new(12, 0, &small);
    publish(w, 0, key_n(1), 3);
    run_for(w, SM_S(50 * HOUR));
    T_EQ(get(w, 7, key_n(1), SM_RECORD_PROVIDER, 1)->map, 3);
    world_free(w);
}

static void newcomers_learn_what_they_should_keep(void)
{
    struct world *w = world_new(6, 0, &small);
    for (unsigned i = 0; i < 200; i++) {
        publish(w, 0, key_n(i), 1);
    }
    run_for(w, SM_S(10));
    node_new(w, &small);
    for (unsigned i = 0; i < 6; i++) {
        meet(w, i, 6);
        meet(w, 6, i);
    }
    run_for(w, SM_S(5));
    T_EQ(stats(w, 6).records, 200);
    world_free(w);
}

static void newcomers_hear_of_what_was_being_announced_when_they_came(void)
{
    struct world *w = world_new(6, 0, &small);
    publish(w, 0, key_n(1), 1); /* its walk is under way, among the six */
    node_new(w, &small);
    meet(w, 0, 6);
    run_for(w, SM_S(20));
    T_EQ(stats(w, 6).records, 1);
    world_free(w);
}

static void newcomers_are_told_again_when_they_did_not_hear(void)
{
    struct world *w = world_new(6, 0, &small);
    publish(w, 0, key_n(1), 1);
    run_for(w, SM_S(10));
    node_new(w, &small);
    w->node[6].is_dead = true; /* not reachable yet */
    meet(w, 0, 6);
    run_for(w, SM_S(2));
    T_EQ(stats(w, 6).records, 0);
    w->node[6].is_dead = false;
    run_for(w, SM_S(20));
    T_EQ(stats(w, 6).records, 1);
    world_free(w);
}

static void who_comes_back_is_asked_again(void)
{
    struct world *w = world_new(8, 0, &small);
    w->node[3].is_dead = true;
    for (unsigned i = 0; i < 4; i++) {
        (void)get(w, 0, key_n(i), SM_RECORD_PROVIDER, 1);
    }
    T_EQ(stats(w, 0).silent, 1);
    T_EQ(get(w, 0, key_n(5), SM_RECORD_PROVIDER, 1)->asked, 6);
    w->node[3].is_dead = false;
    run_for(w, SM_S(120));
    T_EQ(stats(w, 0).silent, 0);
    T_EQ(get(w, 0, key_n(5), SM_RECORD_PROVIDER, 1)->asked, 7);
    world_free(w);
}

static void records_survive_the_loss_of_all_who_kept_them(void)
{
    struct world *w = world_new(40, 0, &small);
    publish(w, 0, key_n(1), 1);
    run_for(w, SM_S(5));
    unsigned lost = 0;
    for (unsigned i = 1; i < w->n; i++) {
        w->node[i].is_dead = stats(w, i).records > 0;
        lost += w->node[i].is_dead;
    }
    T_TRUE(lost >= 8);
    for (unsigned i = 0; i < w->n; i++) {
        for (unsigned j = 0; j < w->n; j++) {
            if (w->node[j].is_dead) {
                sm_dht_contact_gone(w->node[i].d, w->now, &w->node[j].id);
                drain(w, i);
            }
        }
    }
    run_for(w, SM_S(10));
    unsigned kept = 0;
    for (unsigned i = 1; i < w->n; i++) {
        kept += !w->node[i].is_dead && stats(w, i).records > 0;
    }
    T_TRUE(kept >= 8);
    world_free(w);
}

static void what_is_taken_back_is_not_found(void)
{
    struct world *w = world_new(24, 0, &small);
    struct sm_data_id key = key_n(1);
    publish(w, 0, key, 1);
    publish(w, 1, key, 2);
    run_for(w, SM_S(5));
    T_EQ(get(w, 9, key, SM_RECORD_PROVIDER, 1)->map, 3);
    sm_dht_unpublish(w->node[0].d, w->now, wall_of(w), &key);
    drain(w, 0);
    run_for(w, SM_S(5));
    T_EQ(get(w, 9, key, SM_RECORD_PROVIDER, 1)->map, 2);
    T_EQ(stats(w, 0).published, 0);
    publish(w, 0, key, 4);
    run_for(w, SM_S(5));
    T_EQ(get(w, 9, key, SM_RECORD_PROVIDER, 1)->map, 6);
    world_free(w);
}

static void a_change_while_announcing_is_announced_too(void)
{
    struct world *w = world_new(24, 0, &small);
    publish(w, 0, key_n(1), 1);
    run_for(w, SM_MS(60)); /* its walk is under way */
    publish(w, 0, key_n(1), 3);
    run_for(w, SM_S(10));
    T_EQ(get(w, 9, key_n(1), SM_RECORD_PROVIDER, 1)->map, 3);
    T_EQ(stats(w, 0).due, 0);
    world_free(w);
}

/* -- the machine -------------------------------------------------------------------------- */

static uint64_t trace_of_a_run(void)
{
    struct world *w = world_new(48, 20, &small);
    for (unsigned i = 0; i < 10; i++) {
        publish(w, i, key_n(i % 3), 1);
    }
    w->node[20].is_dead = true;
    run_for(w, SM_S(700));
    (void)get(w, 30, key_n(2), SM_RECORD_PROVIDER, 1);
    uint64_t trace = w->trace;
    world_free(w);
    return trace;
}

static void the_same_seed_gives_the_same_messages(void)
{
    uint64_t first = trace_of_a_run();
    T_TRUE(first == trace_of_a_run());
}

static void an_idle_node_fits_in_64_kib(void)
{
    struct sm_dht_cfg cfg = {.max_lookups = 2,
                             .max_found = 8,
                             .max_contacts = 128,
                             .max_records = 16,
                             .max_published = 32};
    printf("# footprint: %zu bytes small, %zu KiB by default\n", sm_dht_footprint(&cfg),
           sm_dht_footprint(&(struct sm_dht_cfg){0}) / 1024);
    T_TRUE(sm_dht_footprint(&cfg) <= 64 * 1024);
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(what_a_record_decodes_to_encodes_to_the_same_bytes),
        T_CASE(only_valid_records_are_kept),
        T_CASE(a_higher_fence_beats_a_higher_sequence),
        T_CASE(a_put_is_found_from_everywhere),
        T_CASE(few_contacts_are_enough_to_find_anything),
        T_CASE(the_newest_task_wins_over_what_old_holders_say),
        T_CASE(a_get_brings_all_holders_or_as_many_as_wanted),
        T_CASE(dead_nodes_cost_neither_the_record_nor_a_second),
        T_CASE(liars_cannot_hide_a_record),
        T_CASE(nothing_found_says_who_was_asked),
        T_CASE(a_mesh_that_keeps_silent_is_not_an_empty_one),
        T_CASE(a_node_alone_answers_from_itself),
        T_CASE(expired_records_vanish),
        T_CASE(forged_records_are_dropped_and_told),
        T_CASE(answers_that_are_none_are_told),
        T_CASE(a_flood_fills_no_more_than_its_share),
        T_CASE(the_sweep_announces_everything_evenly_within_its_interval),
        T_CASE(records_outlive_a_day_because_they_are_announced_again),
        T_CASE(newcomers_learn_what_they_should_keep),
        T_CASE(newcomers_hear_of_what_was_being_announced_when_they_came),
        T_CASE(newcomers_are_told_again_when_they_did_not_hear),
        T_CASE(who_comes_back_is_asked_again),
        T_CASE(records_survive_the_loss_of_all_who_kept_them),
        T_CASE(what_is_taken_back_is_not_found),
        T_CASE(a_change_while_announcing_is_announced_too),
        T_CASE(the_same_seed_gives_the_same_messages),
        T_CASE(an_idle_node_fits_in_64_kib),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}
