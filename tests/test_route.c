// SPDX-License-Identifier: Apache-2.0
#include "t.h"

#include "attest/dev.h"
#include "core/route.h"
#include "crypto/suite_sim.h"

#ifdef SM_DEV_ROOT

/* A mesh in memory: real route and trust instances, messages handed over in rounds of one
 * millisecond, signatures made at once.  Packets are walked along a path by hand. */
enum { NODES = 12, AREA = 7 };
#define WALL_0 1700000000u

struct host {
    bool is_running, is_silent; /* silent: takes part in everything but forwards nothing */
    struct sm_sign_pair key;
    uint8_t platform_id[32], index;
    struct sm_node_id id;
    uint64_t node_seq;
    uint8_t bytes[SM_NODE_RECORD_MAX];
    struct sm_view record;
    struct sm_trust *trust;
    struct sm_route *route;
    unsigned learned, gone;
    bool knows[NODES];
};

struct world {
    const struct sm_suite *suite;
    struct sm_rng rng;
    struct sm_sign_pair root;
    struct sm_anchor anchor;
    struct sm_mono now;
    struct host host[NODES];
    bool is_linked[NODES][NODES];
    uint64_t messages;
};

static struct world w;

static struct sm_wall wall(void)
{
    return (struct sm_wall){WALL_0 + w.now.ns / 1000000000u};
}

static struct sm_hop hop(unsigned i)
{
    return sm_hop_of(&w.host[i].id);
}

static unsigned host_of(struct sm_hop h)
{
    for (unsigned i = 0; i < NODES; i++) {
        if (hop(i).v == h.v) {
            return i;
        }
    }
    t_fail(__FILE__, __LINE__, "no such hop");
}

static void sign(const struct sm_sign_pair *key, struct sm_view unsigned_bytes,
                 struct sm_sig *out)
{
    uint8_t buf[SM_RECORD_TO_SIGN_MAX];
    struct sm_wr m = sm_wr_init(buf, sizeof buf);
    struct sm_view msg;
    sm_record_to_sign(unsigned_bytes, &m);
    T_OK(sm_wr_done(&m, &msg));
    w.suite->sign(key, msg, out);
}

static void record_make(struct host *h)
{
    struct sm_node_record rec = {.head = {.network = w.anchor.network,
                                          .seq = ++h->node_seq,
                                          .not_before = wall(),
                                          .expires = {wall().s + 4 * 3600}},
                                 .node_id = h->id,
                                 .index = h->index,
                                 .platform = SM_PLATFORM_SOFTWARE,
                                 .area = AREA};
    memcpy(rec.sign_key, h->key.pub.b, sizeof rec.sign_key);
    struct sm_dev_endorsement e = {.not_before = {WALL_0 - 10},
                                   .expires = {WALL_0 + 30 * 86400}};
    memcpy(e.platform_id, h->platform_id, sizeof e.platform_id);
    memcpy(e.sign_key, h->key.pub.b, sizeof e.sign_key);
    struct sm_wr o = sm_wr_init(rec.endorsement, sizeof rec.endorsement);
    T_OK(sm_dev_endorse(w.suite, &w.root, &w.anchor, &e, &o));
    rec.endorsement_n = (uint16_t)o.n;

    struct sm_wr out = sm_wr_init(h->bytes, sizeof h->bytes);
    struct sm_sig sig;
    sm_node_record_write(&rec, &out);
    sign(&h->key, sm_view_of(h->bytes, out.n), &sig);
    sm_wr_bytes(&out, sig.b, sizeof sig.b);
    T_OK(sm_wr_done(&out, &h->record));
}

static void host_start(struct host *h)
{
    struct sm_trust_cfg tc = {.nodes_max = 64};
    memcpy(tc.grade, w.anchor.grade, sizeof tc.grade);
    h->trust = sm_trust_new(&tc);
    T_TRUE(h->trust != NULL);
    struct sm_route_cfg rc = {.suite = w.suite,
                              .anchor = &w.anchor,
                              .pinned = &w.anchor,
                              .trust = h->trust,
                              .area = AREA,
                              .nodes_max = 32};
    sm_rng_bytes(&w.rng, rc.seed, sizeof rc.seed);
    h->route = sm_route_new(&rc);
    T_TRUE(h->route != NULL);
    record_make(h);
    T_OK(sm_route_self(h->route, w.now, wall(), h->record));
    h->is_running = true;
    memset(h->knows, 0, sizeof h->knows);
}

static void world_start(unsigned n)
{
    uint8_t seed[32] = {0};
    sm_put_le64(seed, t_seed());
    w = (struct world){.suite = sm_suite_sim(), .now = {1000000000u}};
    sm_rng_init(&w.rng, seed, "world");
    sm_sign_pair_make(w.suite, &w.rng, &w.root);
    T_OK(
        sm_anchor_make(SM_ENV_DEV, "clinic", (const uint8_t(*)[32])w.root.pub.b, 1, &w.anchor));
    for (unsigned i = 0; i < NODES; i++) {
        struct host *h = &w.host[i];
        sm_sign_pair_make(w.suite, &w.rng, &h->key);
        sm_rng_bytes(&w.rng, h->platform_id, sizeof h->platform_id);
        sm_node_id_make(h->platform_id, 0, w.anchor.network, &h->id);
        if (i < n) {
            host_start(h);
        }
    }
}

static void host_stop(unsigned i)
{
    struct host *h = &w.host[i];
    sm_route_free(h->route);
    sm_trust_free(h->trust);
    h->route = NULL;
    h->trust = NULL;
    h->is_running = false;
}

static void world_stop(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        if (w.host[i].is_running) {
            host_stop(i);
        }
    }
}

static void one_way_up(unsigned a, unsigned b, uint64_t rtt_us)
{
    struct sm_route *r = w.host[a].route;
    T_OK(sm_route_link_up(r, w.now, wall(), w.host[b].record));
    sm_route_link_sample(r, w.now, hop(b), SM_US(rtt_us), SM_US(0));
}

static void link_up(unsigned a, unsigned b, uint64_t rtt_us)
{
    one_way_up(a, b, rtt_us);
    one_way_up(b, a, rtt_us);
    w.is_linked[a][b] = w.is_linked[b][a] = true;
}

static void link_down(unsigned a, unsigned b)
{
    w.is_linked[a][b] = w.is_linked[b][a] = false;
    if (w.host[a].is_running) {
        sm_route_link_down(w.host[a].route, w.now, hop(b));
    }
    if (w.host[b].is_running) {
        sm_route_link_down(w.host[b].route, w.now, hop(a));
    }
}

/* kill -9: its neighbours notice when their connections break. */
static void kill_host(unsigned i)
{
    host_stop(i);
    for (unsigned j = 0; j < NODES; j++) {
        if (w.is_linked[i][j]) {
            link_down(i, j);
        }
    }
}

static void answer(unsigned i, const struct sm_route_out *out)
{
    struct sm_sig sig;
    struct host *h = &w.host[i];
    switch (out->kind) {
    case SM_ROUTE_SIGN:
        T_EQ(out->bytes.p[0], 1);
        sign(&h->key, sm_view_sub(out->bytes, 1, out->bytes.n - 1), &sig);
        sm_route_signed(h->route, w.now, out->token, SM_OK, sm_view_of(sig.b, sizeof sig.b));
        break;
    case SM_ROUTE_FLOOD: {
        unsigned to = host_of(out->to);
        w.messages++;
        if (w.is_linked[i][to]) {
            enum sm_err err =
                sm_route_control(w.host[to].route, w.now, wall(), hop(i), out->bytes);
            T_TRUE(err == SM_OK || err == SM_E_EXISTS || err == SM_E_STALE);
        }
        break;
    }
    case SM_ROUTE_NODE_LEARNED:
        T_TRUE(sm_node_id_eq(&out->record->node_id, &out->id));
        h->knows[host_of(sm_hop_of(&out->id))] = true;
        h->learned++;
        break;
    case SM_ROUTE_NODE_GONE:
    case SM_ROUTE_NODE_REVOKED:
        h->knows[host_of(sm_hop_of(&out->id))] = false;
        h->gone++;
        break;
    case SM_ROUTE_SELF_STALE:
        h->node_seq = out->seq;
        record_make(h);
        T_OK(sm_route_self(h->route, w.now, wall(), h->record));
        break;
    case SM_ROUTE_CHANGED:
        break;
    }
}

/* Let so much time pass, in steps of `step` or whatever is due earlier. */
static void run(struct sm_dur dur)
{
    struct sm_mono end = sm_after(w.now, dur);
    for (;;) {
        struct sm_mono next = end;
        bool is_busy = false;
        for (unsigned i = 0; i < NODES; i++) {
            struct host *h = &w.host[i];
            if (!h->is_running) {
                continue;
            }
            if (sm_is_due(sm_route_deadline(h->route), w.now)) {
                sm_route_tick(h->route, w.now, wall());
                T_TRUE(!sm_is_due(sm_route_deadline(h->route), w.now));
            }
            struct sm_route_out out;
            if (sm_route_next(h->route, &out)) {
                answer(i, &out);
                is_busy = true;
            }
            next = sm_earlier(next, sm_route_deadline(h->route));
        }
        if (is_busy) {
            continue;
        }
        if (w.now.ns >= end.ns) {
            return;
        }
        w.now = next.ns > w.now.ns ? next : w.now;
    }
}

static unsigned paths(unsigned from, unsigned to, struct sm_route_path *out)
{
    return sm_route_paths(w.host[from].route, w.now, hop(to), SM_ROUTE_PATHS, out);
}

/* Every hop of the path is linked to the one before. */
static bool path_holds(unsigned from, unsigned to, const struct sm_route_path *p)
{
    unsigned at = from;
    for (unsigned i = 0; i < p->n; i++) {
        unsigned next = host_of(p->hops[i]);
        if (!w.is_linked[at][next] || !w.host[next].is_running ||
            (w.host[next].is_silent && i + 1 < p->n)) {
            return false;
        }
        at = next;
    }
    return at == to;
}

static void ring(unsigned n)
{
    world_start(n);
    for (unsigned i = 0; i < n; i++) {
        link_up(i, (i + 1) % n, 1000);
    }
}

static void a_ring_converges_to_two_disjoint_paths_each_way(void)
{
    ring(8);
    run(SM_S(3));
    for (unsigned a = 0; a < 8; a++) {
        for (unsigned b = 0; b < 8; b++) {
            struct sm_route_path p[SM_ROUTE_PATHS];
            unsigned n = a == b ? 0 : paths(a, b, p);
            T_TRUE(a == b || (n == 2 && path_holds(a, b, &p[0]) && path_holds(a, b, &p[1])));
            T_TRUE(a == b || p[0].cost <= p[1].cost);
            T_TRUE(a == b || p[0].n + p[1].n == 8);
            T_EQ(w.host[a].knows[b], a != b);
        }
    }
    world_stop();
}

static void a_quiet_mesh_is_quiet(void)
{
    ring(8);
    run(SM_S(20));
    w.messages = 0;
    run(SM_S(600));
    T_EQ(w.messages, 0);
    run(SM_S(3600)); /* each renews its LINKSTATE about twice an hour, to two neighbours */
    T_TRUE(w.messages >= 8 * 8);
    T_TRUE(w.messages <= 8 * 8 * 2 * 3);
    struct sm_route_path p[SM_ROUTE_PATHS];
    T_EQ(paths(0, 4, p), 2);
    world_stop();
}

static void a_killed_relay_is_left_within_a_second_and_its_node_is_gone(void)
{
    ring(6);
    run(SM_S(10));
    struct sm_route_path p[SM_ROUTE_PATHS];
    T_EQ(paths(0, 3, p), 2);
    kill_host(1);
    T_EQ(paths(0, 3, p), 1); /* our own link broke: known at once */
    T_TRUE(path_holds(0, 3, &p[0]));
    kill_host(2);
    run(SM_S(1));
    T_EQ(paths(0, 4, p), 1);
    T_TRUE(path_holds(0, 4, &p[0]));
    T_TRUE(!w.host[0].knows[1]);
    T_TRUE(!w.host[0].knows[2]);
    T_EQ(paths(0, 2, p), 0);
    world_stop();
}

static void a_restarted_node_is_believed_again_even_with_its_clock_behind(void)
{
    ring(5);
    run(SM_S(100));
    kill_host(2);
    run(SM_S(5));
    struct sm_mono later = w.now;
    w.host[2].node_seq = 0;          /* it has forgotten its numbers ... */
    w.now.ns -= 100 * 1000000000ull; /* ... and its clock is behind */
    host_start(&w.host[2]);
    w.now = later;
    T_OK(sm_route_link_up(w.host[2].route, w.now, wall(), w.host[1].record));
    T_OK(sm_route_link_up(w.host[2].route, w.now, wall(), w.host[3].record));
    T_OK(sm_route_link_up(w.host[1].route, w.now, wall(), w.host[2].record));
    T_OK(sm_route_link_up(w.host[3].route, w.now, wall(), w.host[2].record));
    w.is_linked[1][2] = w.is_linked[2][1] = w.is_linked[3][2] = w.is_linked[2][3] = true;
    run(SM_S(10));
    struct sm_route_path p[SM_ROUTE_PATHS];
    T_EQ(paths(0, 2, p), 2);
    T_EQ(paths(2, 0, p), 2);
    T_TRUE(w.host[0].knows[2]);
    T_MEM(sm_route_node_bytes(w.host[0].route, hop(2)).p, w.host[2].record.n,
          w.host[2].record.p, w.host[2].record.n);
    world_stop();
}

static void a_split_mesh_heals(void)
{
    world_start(8); /* two rings of four, joined by 0-4 and 2-6 */
    for (unsigned i = 0; i < 4; i++) {
        link_up(i, (i + 1) % 4, 500);
        link_up(4 + i, 4 + (i + 1) % 4, 500);
    }
    link_up(0, 4, 2000);
    link_up(2, 6, 2000);
    run(SM_S(10));
    struct sm_route_path p[SM_ROUTE_PATHS];
    T_EQ(paths(1, 5, p), 2);
    link_down(0, 4);
    link_down(2, 6);
    run(SM_S(2));
    T_EQ(paths(1, 5, p), 0);
    T_EQ(paths(1, 3, p), 2);
    T_TRUE(!w.host[1].knows[5]);
    link_down(4, 5); /* something changes while they are apart */
    run(SM_S(60));
    link_up(2, 6, 2000);
    run(SM_S(10));
    T_EQ(paths(1, 5, p), 1);
    T_TRUE(path_holds(1, 5, &p[0]));
    T_TRUE(w.host[1].knows[5]);
    world_stop();
}

static void a_link_that_one_end_denies_does_not_count(void)
{
    world_start(3);
    link_up(0, 1, 1000);
    one_way_up(1, 2, 1000); /* node 2 never says so */
    run(SM_S(5));
    struct sm_route_path p[SM_ROUTE_PATHS];
    T_EQ(paths(0, 1, p), 1);
    T_EQ(paths(0, 2, p), 0);
    world_stop();
}

static void a_silent_relay_is_avoided_after_reports_and_tried_again_later(void)
{
    world_start(4); /* 0 reaches 3 by 1, which is near, or by 2, which is far */
    link_up(0, 1, 1000);
    link_up(1, 3, 1000);
    link_up(0, 2, 40000);
    link_up(2, 3, 40000);
    run(SM_S(10));
    w.host[1].is_silent = true;
    struct sm_mono from = w.now;
    struct sm_route_path p[SM_ROUTE_PATHS];
    unsigned lost = 0;
    for (; sm_between(from, w.now).ns < SM_S(3).ns; run(SM_MS(50))) {
        T_EQ(sm_route_paths(w.host[0].route, w.now, hop(3), 1, p), 1);
        bool is_ok = path_holds(0, 3, &p[0]);
        lost += is_ok ? 0 : 1;
        sm_route_path_report(w.host[0].route, w.now, hop(3), 0, is_ok);
        T_TRUE(is_ok || sm_between(from, w.now).ns < SM_S(1).ns);
    }
    T_TRUE(lost > 0);
    struct sm_route_explain e;
    sm_route_explain(w.host[0].route, w.now, hop(3), &e);
    T_EQ(e.n_losses, 1);
    T_EQ(e.losses[0].why, SM_ROUTE_SILENT);
    w.host[1].is_silent = false;
    run(SM_S(60));
    T_EQ(sm_route_paths(w.host[0].route, w.now, hop(3), 1, p), 1);
    T_EQ(host_of(p[0].hops[0]), 1);
    world_stop();
}

static void a_second_path_over_a_silent_relay_is_not_used(void)
{
    ring(4);
    run(SM_S(10));
    struct sm_route *r = w.host[0].route;
    struct sm_route_path p[SM_ROUTE_PATHS];
    T_EQ(paths(0, 2, p), 2);
    unsigned silent = host_of(p[1].hops[0]);
    sm_route_path_report(r, w.now, hop(2), 1, false);
    T_EQ(paths(0, 2, p), 2); /* too early: it may be about the path before */
    run(SM_S(1));
    sm_route_path_report(r, w.now, hop(2), 0, true);
    sm_route_path_report(r, w.now, hop(2), 1, false);
    T_EQ(paths(0, 2, p), 1);
    T_TRUE(host_of(p[0].hops[0]) != silent);
    sm_route_path_report(r, w.now, hop(2), 1, false); /* late news of the old path */
    T_EQ(paths(0, 2, p), 1);
    T_TRUE(host_of(p[0].hops[0]) != silent);
    T_EQ(paths(0, silent, p), 2); /* itself it can be reached */
    run(SM_S(6));
    T_EQ(paths(0, 2, p), 2);
    world_stop();
}

static void a_paused_neighbour_gets_all_when_it_is_ready(void)
{
    ring(4);
    sm_route_link_pause(w.host[1].route, hop(2), true);
    sm_route_link_pause(w.host[3].route, hop(2), true);
    run(SM_S(5));
    struct sm_route_path p[SM_ROUTE_PATHS];
    T_EQ(paths(1, 3, p), 2); /* the others go on */
    T_EQ(paths(2, 0, p), 0);
    sm_route_link_pause(w.host[1].route, hop(2), false);
    run(SM_S(5));
    T_EQ(paths(2, 0, p), 2);
    world_stop();
}

static void an_excluded_node_carries_nothing_but_can_be_reached(void)
{
    ring(4);
    run(SM_S(10));
    struct sm_route_path p[SM_ROUTE_PATHS];
    T_EQ(paths(0, 2, p), 2);
    while (!sm_trust_observe(w.host[0].trust, w.now, &w.host[1].id, SM_TRUST_BAD_HASH)) {
    }
    sm_route_trust_changed(w.host[0].route, w.now, &w.host[1].id);
    T_EQ(paths(0, 2, p), 1);
    T_EQ(host_of(p[0].hops[0]), 3);
    T_EQ(paths(0, 1, p), 2);
    T_EQ(paths(3, 1, p), 2); /* others have their own view */
    world_stop();
}

/* One machine may run nodes under four ids; what one of them does is held against all. */
static void an_exclusion_follows_to_the_other_ids_of_the_machine(void)
{
    world_start(0);
    for (unsigned i = 1; i <= 4; i++) { /* hosts 1 to 4 are one machine */
        struct host *h = &w.host[i];
        memcpy(h->platform_id, w.host[1].platform_id, sizeof h->platform_id);
        h->index = (uint8_t)(i - 1);
        sm_node_id_make(h->platform_id, h->index, w.anchor.network, &h->id);
    }
    for (unsigned i = 0; i < 7; i++) {
        host_start(&w.host[i]);
    }
    for (unsigned i = 1; i <= 5; i++) { /* 0 - {1,2,3,4,5} - 6 */
        link_up(0, i, 1000);
        link_up(i, 6, 1000);
    }
    run(SM_S(10));
    struct sm_route_path p[SM_ROUTE_PATHS];
    T_EQ(paths(0, 6, p), 4);
    while (!sm_trust_observe(w.host[0].trust, w.now, &w.host[2].id, SM_TRUST_BAD_HASH)) {
    }
    sm_route_trust_changed(w.host[0].route, w.now, &w.host[2].id);
    T_EQ(paths(0, 6, p), 1); /* at once */
    T_EQ(host_of(p[0].hops[0]), 5);
    for (unsigned i = 1; i <= 4; i++) {
        T_EQ(sm_trust_score(w.host[0].trust, w.now, &w.host[i].id), 0);
    }
    T_TRUE(sm_trust_score(w.host[0].trust, w.now, &w.host[5].id) > SM_TRUST_MIN);
    /* A new start, with a new key and the last id, washes nothing off. */
    sm_sign_pair_make(w.suite, &w.rng, &w.host[4].key);
    record_make(&w.host[4]);
    T_OK(sm_route_self(w.host[4].route, w.now, wall(), w.host[4].record));
    run(SM_S(30));
    T_EQ(sm_trust_score(w.host[0].trust, w.now, &w.host[4].id), 0);
    world_stop();
}

static void small_changes_of_a_link_stay_silent_and_great_ones_are_told_at_once(void)
{
    ring(4);
    run(SM_S(20));
    w.messages = 0;
    for (unsigned i = 0; i < 200; i++) { /* 10 % up and down */
        sm_route_link_sample(w.host[0].route, w.now, hop(1), SM_US(i % 2 == 0 ? 1100 : 900),
                             SM_US(0));
        run(SM_MS(200));
    }
    T_EQ(w.messages, 0);
    sm_route_link_sample(w.host[0].route, w.now, hop(1), SM_MS(300), SM_MS(0));
    run(SM_S(1));
    sm_route_link_sample(w.host[0].route, w.now, hop(1), SM_MS(300), SM_MS(0));
    run(SM_S(1));
    T_TRUE(w.messages > 0);
    struct sm_route_path p[SM_ROUTE_PATHS];
    T_EQ(sm_route_paths(w.host[3].route, w.now, hop(1), 1, p), 1);
    T_EQ(host_of(p[0].hops[0]), 2); /* the dearer end decides, also for others */
    world_stop();
}

static void a_strangers_noise_changes_nothing(void)
{
    ring(4);
    run(SM_S(10));
    struct sm_route *r = w.host[0].route;
    struct sm_route_stats before = sm_route_stats(r);
    uint8_t noise[700];
    for (unsigned i = 0; i < 2000; i++) {
        size_t n = sm_rng_below(&w.rng, sizeof noise);
        sm_rng_bytes(&w.rng, noise, sizeof noise);
        noise[0] = 1;
        if (i % 2 == 0) { /* a neighbour's own record with one bit turned */
            struct sm_view v = w.host[2].record;
            n = v.n < sizeof noise ? v.n + 1 : sizeof noise;
            memcpy(noise + 1, v.p, n - 1);
            noise[1 + 8] ^= 0x40; /* newer */
            uint64_t bit = sm_rng_below(&w.rng, (n - 1) * 8);
            noise[1 + bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        T_TRUE(sm_route_control(r, w.now, wall(), hop(1), sm_view_of(noise, n)) != SM_OK);
    }
    struct sm_route_stats after = sm_route_stats(r);
    T_EQ(after.taken, before.taken);
    T_TRUE(after.limited > before.limited); /* forgeries for one origin are limited first */
    T_EQ(sm_route_count(r), 4);
    T_ERR(sm_route_control(r, w.now, wall(), hop(2), w.host[2].record), SM_E_STATE);
    world_stop();
}

static void explain_adds_up(void)
{
    ring(5);
    run(SM_S(10));
    struct sm_route_explain e;
    sm_route_explain(w.host[0].route, w.now, hop(2), &e);
    T_EQ(e.n_paths, 2);
    for (unsigned i = 0; i < e.n_paths; i++) {
        uint64_t sum = 0;
        for (unsigned h = 0; h < e.paths[i].n; h++) {
            const struct sm_route_hop_cost *c = &e.hops[i][h];
            T_TRUE(c->hop.v == e.paths[i].hops[h].v);
            T_TRUE(c->latency > 0);
            T_TRUE(c->trust > 0);
            sum += c->latency + c->queue + c->trust + c->penalty;
        }
        T_EQ(sum, e.paths[i].cost);
    }
    for (size_t i = 0; i < sm_route_count(w.host[0].route); i++) {
        struct sm_route_info info;
        sm_route_info(w.host[0].route, w.now, i, &info);
        T_TRUE(info.is_reachable);
        T_EQ(info.n_links, 2);
        T_TRUE(info.is_self || info.trust_q16 > SM_TRUST_MIN);
    }
    world_stop();
}

static void expired_records_leave_the_map(void)
{
    ring(3);
    run(SM_S(10));
    kill_host(1);
    for (unsigned i = 0; i < 4 * 60 + 10; i++) { /* the others renew themselves */
        run(SM_S(60));
        if (i % 60 == 0) {
            for (unsigned k = 0; k < 3; k += 2) {
                record_make(&w.host[k]);
                T_OK(sm_route_self(w.host[k].route, w.now, wall(), w.host[k].record));
            }
        }
    }
    T_EQ(sm_route_count(w.host[0].route), 2);
    T_TRUE(w.host[0].knows[2]);
    T_TRUE(sm_route_node(w.host[0].route, hop(1)) == NULL);
    world_stop();
}

static void random_meshes_with_random_faults_agree_with_what_is_up(void)
{
    for (unsigned round = 0; round < 20; round++) {
        world_start(NODES);
        for (unsigned step = 0; step < 40; step++) {
            unsigned a = (unsigned)sm_rng_below(&w.rng, NODES);
            unsigned b = (unsigned)sm_rng_below(&w.rng, NODES);
            if (a == b || !w.host[a].is_running || !w.host[b].is_running) {
                continue;
            }
            if (!w.is_linked[a][b]) {
                link_up(a, b, 200 + sm_rng_below(&w.rng, 20000));
            } else if (step % 3 == 0) {
                link_down(a, b);
            }
            run(SM_MS(sm_rng_below(&w.rng, 800)));
        }
        run(SM_S(15));
        for (unsigned a = 0; a < NODES; a++) {
            bool reached[NODES] = {false};
            reached[a] = true;
            for (unsigned k = 0; k < NODES; k++) {
                for (unsigned i = 0; i < NODES * NODES; i++) {
                    reached[i % NODES] |=
                        reached[i / NODES] && w.is_linked[i / NODES][i % NODES];
                }
            }
            for (unsigned b = 0; b < NODES; b++) {
                struct sm_route_path p[SM_ROUTE_PATHS];
                unsigned n = a == b ? 1 : paths(a, b, p);
                T_EQ(n > 0, reached[b]);
                for (unsigned i = 0; a != b && i < n; i++) {
                    T_TRUE(path_holds(a, b, &p[i]));
                }
            }
        }
        world_stop();
    }
}

int main(int argc, char **argv)
{
    static const struct t_case cases[] = {
        T_CASE(a_ring_converges_to_two_disjoint_paths_each_way),
        T_CASE(a_quiet_mesh_is_quiet),
        T_CASE(a_killed_relay_is_left_within_a_second_and_its_node_is_gone),
        T_CASE(a_restarted_node_is_believed_again_even_with_its_clock_behind),
        T_CASE(a_split_mesh_heals),
        T_CASE(a_link_that_one_end_denies_does_not_count),
        T_CASE(a_silent_relay_is_avoided_after_reports_and_tried_again_later),
        T_CASE(a_second_path_over_a_silent_relay_is_not_used),
        T_CASE(a_paused_neighbour_gets_all_when_it_is_ready),
        T_CASE(an_excluded_node_carries_nothing_but_can_be_reached),
        T_CASE(an_exclusion_follows_to_the_other_ids_of_the_machine),
        T_CASE(small_changes_of_a_link_stay_silent_and_great_ones_are_told_at_once),
        T_CASE(a_strangers_noise_changes_nothing),
        T_CASE(explain_adds_up),
        T_CASE(expired_records_leave_the_map),
        T_CASE(random_meshes_with_random_faults_agree_with_what_is_up),
    };
    return t_main(cases, SM_COUNT(cases), argc, argv);
}

#else

int main(void)
{
    printf("TAP version 13\n1..0 # SKIP built without the development root\n");
    return 0;
}

#endif
