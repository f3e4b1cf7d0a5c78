// SPDX-License-Identifier: Apache-2.0
#pragma once
/* dgram_rig: two tunnels over datagrams and a network between them that loses, doubles, delays
 * and cuts, in virtual time, for tests and the fuzzer. */
#include "core/dgram.h"
#include "tunnel_rig.h"
#include "wire/datagram.h"

#define NET_MAX 8192u /* datagrams under way */

struct net_datagram {
    bool is_used;
    struct sm_mono at;
    unsigned to;         /* end */
    struct sm_path from; /* as the receiver sees it */
    uint8_t *p;
    size_t n;
};

struct net {
    struct rig_mesh m;
    struct rig_node node[2];
    struct rig_end end[2];
    struct sm_path addr[2]; /* where each end is; the other may think it elsewhere */
    struct sm_rng rng;
    struct sm_mono now;
    struct sm_dur delay, jitter;
    unsigned loss, doubled; /* of 1,000 */
    size_t mtu;             /* longer ones vanish */
    bool is_cut[2];         /* nothing from this end arrives */
    uint64_t carried[2], lost, bytes[2];
    struct net_datagram *wire;
    struct sm_dgram_cfg like;                                          /* of both ends */
    void (*tap)(struct net *n, unsigned from, struct net_datagram *d); /* may change it */
};

static inline struct sm_path net_addr(uint8_t host, uint16_t port)
{
    return (struct sm_path){.addr = {.family = 4, .ip = {10, 0, 0, host}, .port = port}};
}

static inline void net_put(struct net *n, const struct net_datagram *d)
{
    for (unsigned i = 0; i < NET_MAX; i++) {
        if (!n->wire[i].is_used) {
            n->wire[i] = *d;
            n->wire[i].is_used = true;
            n->wire[i].p = malloc(d->n);
            T_TRUE(n->wire[i].p != NULL);
            memcpy(n->wire[i].p, d->p, d->n);
            return;
        }
    }
    n->lost++; /* the queue of a router */
}

static inline void net_carry(struct net *n, unsigned from, const struct sm_path *to, uint8_t *p,
                             size_t len)
{
    struct net_datagram d = {.to = 1 - from, .from = n->addr[from], .p = p, .n = len};
    n->carried[from]++;
    n->bytes[from] += len;
    if (n->is_cut[from] || len > n->mtu || !sm_path_eq(to, &n->addr[1 - from]) ||
        sm_rng_below(&n->rng, 1000) < n->loss) {
        n->lost++;
        return;
    }
    unsigned copies = sm_rng_below(&n->rng, 1000) < n->doubled ? 2 : 1;
    for (unsigned i = 0; i < copies; i++) {
        uint64_t late = n->jitter.ns > 0 ? sm_rng_below(&n->rng, n->jitter.ns) : 0;
        d.at = sm_after(n->now, (struct sm_dur){n->delay.ns + late});
        if (n->tap != NULL) {
            n->tap(n, from, &d);
        }
        net_put(n, &d);
    }
}

static inline void net_out(struct net *n, unsigned i, const struct sm_tunnel_out *o)
{
    if (o->kind != SM_TUNNEL_SEND) {
        rig_out(&n->end[i], o, n->now);
        return;
    }
    T_TRUE(o->segment > 0 && o->bytes.n <= 64900 && o->bytes.n <= 64 * o->segment);
    for (size_t at = 0; at < o->bytes.n; at += o->segment) {
        size_t len = o->bytes.n - at < o->segment ? o->bytes.n - at : o->segment;
        net_carry(n, i, &o->to, (uint8_t *)(uintptr_t)o->bytes.p + at, len);
    }
}

static inline void net_drain(struct net *n, unsigned i)
{
    struct sm_tunnel_out o;
    while (!n->end[i].is_down && sm_tunnel_next(n->end[i].t, n->now, &o)) {
        net_out(n, i, &o);
    }
}

static inline void net_give(struct net *n, unsigned to, const struct sm_path *from, uint8_t *p,
                            size_t len, size_t segment)
{
    if (!n->end[to].is_down && n->end[to].t != NULL) {
        sm_tunnel_datagrams(n->end[to].t, n->now, rig_wall(n->now), from, p, len, segment);
        net_drain(n, to);
    }
}

static inline struct net *net_new(const struct sm_suite *suite, uint64_t seed)
{
    struct net *n = calloc(1, sizeof *n);
    uint8_t s[32] = {0};
    T_TRUE(n != NULL);
    sm_put_le64(s, seed);
    sm_rng_init(&n->rng, s, "net");
    rig_mesh_make(&n->m, suite, seed);
    rig_node_make(&n->m, &n->node[0]);
    rig_node_make(&n->m, &n->node[1]);
    n->addr[0] = net_addr(1, 1111);
    n->addr[1] = net_addr(2, 2222);
    n->now = RIG_T0;
    n->delay = SM_MS(5);
    n->mtu = 1472;
    n->wire = calloc(NET_MAX, sizeof *n->wire);
    T_TRUE(n->wire != NULL);
    return n;
}

static inline void net_free(struct net *n)
{
    for (unsigned i = 0; i < NET_MAX; i++) {
        if (n->wire[i].is_used) {
            free(n->wire[i].p);
        }
    }
    rig_end_free(&n->end[0]);
    rig_end_free(&n->end[1]);
    free(n->wire);
    free(n);
}

/* End 0 dials end 1; end 1 begins with the first datagram, as a node would. */
static inline void net_open(struct net *n, unsigned i, struct sm_tunnel_cfg *cfg,
                            struct sm_dgram_cfg *d)
{
    cfg->datagrams = d;
    d->path = n->addr[1 - i];
    d->own_id = 0x1000 + i;
    rig_end_open(&n->end[i], &n->node[i], cfg, n->now);
    cfg->datagrams = NULL;
}

static inline void net_dial(struct net *n, const struct sm_dgram_cfg *like,
                            const struct sm_dh_pub *peer)
{
    n->like = *like;
    struct sm_tunnel_cfg c = rig_cfg(&n->m, &n->node[0], true);
    struct sm_dgram_cfg d = *like;
    c.peer = peer;
    net_open(n, 0, &c, &d);
    net_drain(n, 0);
}

static inline void net_answer(struct net *n, const struct net_datagram *first)
{
    struct sm_dgram_clear c;
    if (sm_dgram_clear_read(sm_view_of(first->p, first->n), &c) != SM_OK) {
        return;
    }
    struct sm_tunnel_cfg cfg = rig_cfg(&n->m, &n->node[1], false);
    struct sm_dgram_cfg d = n->like;
    d.peer_id = c.from;
    d.flight = c.flight;
    net_open(n, 1, &cfg, &d);
}

static inline struct net_datagram *net_first(struct net *n)
{
    struct net_datagram *best = NULL;
    for (unsigned i = 0; i < NET_MAX; i++) {
        struct net_datagram *d = &n->wire[i];
        if (d->is_used && (best == NULL || d->at.ns < best->at.ns)) {
            best = d;
        }
    }
    return best;
}

static inline struct sm_mono net_deadline(struct net *n)
{
    struct sm_mono t = SM_NEVER;
    for (unsigned i = 0; i < 2; i++) {
        if (n->end[i].t != NULL && !n->end[i].is_down) {
            t = sm_earlier(t, sm_tunnel_deadline(n->end[i].t));
        }
    }
    return t;
}

/* One event.  False when there is none before `until`. */
static inline bool net_step(struct net *n, struct sm_mono until)
{
    struct net_datagram *d = net_first(n);
    struct sm_mono t = net_deadline(n);
    if (d != NULL && d->at.ns <= t.ns) {
        if (d->at.ns > until.ns) {
            return false;
        }
        n->now = d->at.ns > n->now.ns ? d->at : n->now;
        struct net_datagram got = *d;
        d->is_used = false;
        if (n->end[got.to].t == NULL && got.to == 1) {
            net_answer(n, &got);
        }
        net_give(n, got.to, &got.from, got.p, got.n, got.n);
        free(got.p);
        return true;
    }
    if (t.ns > until.ns || t.ns == SM_NEVER.ns) {
        return false;
    }
    n->now = t.ns > n->now.ns ? t : n->now;
    for (unsigned i = 0; i < 2; i++) {
        if (n->end[i].t != NULL && !n->end[i].is_down) {
            sm_tunnel_tick(n->end[i].t, n->now);
            net_drain(n, i);
        }
    }
    return true;
}

static inline void net_run(struct net *n, struct sm_dur how_long)
{
    struct sm_mono until = sm_after(n->now, how_long);
    while (net_step(n, until)) {
    }
    n->now = until;
}

static inline bool net_is_up(const struct net *n)
{
    return n->end[0].is_up && n->end[1].is_up && !n->end[0].is_down && !n->end[1].is_down;
}
