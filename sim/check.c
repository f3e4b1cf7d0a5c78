// SPDX-License-Identifier: Apache-2.0
/* What must hold at all times, and what must hold at the end (doc/simulation.md). */
#include "wire/provider.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EVENTS_PER_NODE = 20000,               /* in the queue, for one node */
    WAY_BYTES_MAX = (1 << 20) + (4 << 20), /* window and what a tunnel hands out */
};
#define CHECK_EVERY SM_S(1)
#define POLL_EVERY  SM_MS(250)

/* H1: a tunnel that is up leads to the machine its identity belongs to. */
void sim_check_trace(struct sim_world *w, struct sim_machine *m, const struct sm_trace *t)
{
    switch (t->kind) {
    case SM_TRACE_TUNNEL_UP: {
        const struct sim_machine *peer = sim_machine_of(w, sm_hop_of(&t->node));
        w->stats.tunnels_up++;
        if (peer == NULL || !sim_is_connected(w, m->i, peer->i)) {
            sim_trouble(w, SIM_SAFETY, "H: node %u has a tunnel to somebody not there", m->i);
        }
        break;
    }
    case SM_TRACE_TUNNEL_DOWN:
        w->stats.tunnels_down++;
        sim_say(w, "node %u: tunnel down: %s: %s", m->i, sm_err_name(t->err), t->text);
        break;
    case SM_TRACE_SIGN_FAILED:
        sim_trouble(w, SIM_SAFETY, "node %u: %s: %s", m->i, t->text, sm_err_name(t->err));
        break;
    case SM_TRACE_NODE_LEARNED:
    case SM_TRACE_NODE_GONE:
    case SM_TRACE_DOCUMENT:
    case SM_TRACE_REVOKED:
    case SM_TRACE_GRACE:
    case SM_TRACE_REFUSED:
    case SM_TRACE_DEPRECATED:
    case SM_TRACE_OBSERVED:
        break;
    }
}

/* D1: what a lookup returns was signed by whom it names, for this key, and is in time. */
unsigned sim_check_records(struct sim_world *w, const struct sm_data_id *key,
                           struct sm_view records, unsigned n, uint32_t want_machine,
                           bool *out_has)
{
    struct sm_rd r = sm_rd_init(records);
    for (unsigned i = 0; i < n; i++) {
        struct sm_view rec = sm_rd_blob(&r, SM_RECORD_MAX);
        struct sm_provider p;
        const struct sim_machine *m = NULL;
        enum sm_err e = sm_provider_read(rec, &p);
        if (e == SM_OK) {
            m = sim_machine_of(w, sm_hop_of(&p.node_id));
            e = m == NULL ? SM_E_AUTH
                          : sm_record_verify(w->suite, &w->anchor, sim_wall(w, m), rec,
                                             SM_RECORD_PROVIDER, m->sign.pub.b);
        }
        w->stats.records_checked++;
        if (e != SM_OK || !sm_data_id_eq(&p.key, key)) {
            sim_trouble(w, SIM_SAFETY, "D1: a lookup returned a record that is not good: %s",
                        sm_err_name(e));
            return i;
        }
        if (out_has != NULL && m->i == want_machine) {
            *out_has = true;
        }
    }
    return n;
}

/* R1: paths end where they should, name nobody twice, and share no relay. */
static void check_paths(struct sim_world *w, struct sim_machine *m,
                        const struct sim_machine *to)
{
    struct sm_route_path paths[SM_ROUTE_PATHS];
    struct sm_hop seen[SM_ROUTE_PATHS * SM_ROUTE_HOPS_MAX];
    unsigned n_seen = 0;
    unsigned n = sm_route_paths(sm_node_route(m->node), w->now, to->hop, SM_ROUTE_PATHS, paths);
    w->stats.paths_checked += n;
    for (unsigned i = 0; i < n; i++) {
        const struct sm_route_path *p = &paths[i];
        bool is_bad = p->n == 0 || p->n > SM_ROUTE_HOPS_MAX || p->hops[p->n - 1].v != to->hop.v;
        for (unsigned at = 0; !is_bad && at + 1 < p->n; at++) {
            is_bad = p->hops[at].v == m->hop.v || p->hops[at].v == to->hop.v;
            for (unsigned k = 0; k < n_seen; k++) {
                is_bad = is_bad || seen[k].v == p->hops[at].v;
            }
            seen[n_seen++] = p->hops[at];
        }
        if (is_bad) {
            sim_trouble(w, SIM_SAFETY, "R1: node %u has a bad path to node %u", m->i, to->i);
        }
    }
}

void sim_check_machine(struct sim_world *w, struct sim_machine *m)
{
    struct sm_node_stats s = sm_node_stats(m->node);
    if (s.dropped_loop > 0 || s.dropped_malformed > 0) {
        sim_trouble(w, SIM_SAFETY, "R1: node %u dropped %llu looping and %llu bad packets",
                    m->i, (unsigned long long)s.dropped_loop,
                    (unsigned long long)s.dropped_malformed);
    }
    check_paths(w, m, &w->machines[sm_rng_below(&w->work, w->opts.nodes)]);
    for (unsigned i = 0; i < m->n_conns; i++) {
        const struct sim_conn *c = &w->conns[m->conns[i]];
        for (unsigned end = 0; end < 2; end++) {
            if (c->way[end].waiting > WAY_BYTES_MAX) {
                sim_trouble(w, SIM_SAFETY, "B: node %u handed out %zu bytes unasked", m->i,
                            c->way[end].waiting);
            }
        }
    }
}

/* Why a node has no path to another, in what it believes of the nodes it avoids. */
static void explain(struct sim_world *w, struct sim_machine *m, struct sm_hop to)
{
    struct sm_route_explain x;
    sm_route_explain(sm_node_route(m->node), w->now, to, &x);
    for (unsigned i = 0; i < x.n_losses; i++) {
        const struct sm_route_loss *l = &x.losses[i];
        const struct sim_machine *of = sim_machine_of(w, l->hop);
        struct sm_trust_explain t = {0};
        if (of == NULL ||
            sm_trust_explain(sm_node_trust(m->node), w->now, &of->self.node_id, &t) != SM_OK) {
            continue;
        }
        sim_say(w,
                "  node %u of node %u: why %d, trust %u, penalty %u, strikes %u, seen %llu ok "
                "%llu late %llu wrong",
                m->i, of->i, (int)l->why, l->trust_q16, l->penalty, t.strikes,
                (unsigned long long)t.seen[SM_TRUST_OK],
                (unsigned long long)t.seen[SM_TRUST_TIMEOUT],
                (unsigned long long)t.seen[SM_TRUST_WRONG]);
    }
}

/* What a node believes another one announced, beside the tunnels that one has. */
static void compare_links(struct sim_world *w, struct sim_machine *m, struct sm_hop to)
{
    struct sim_machine *of = sim_machine_of(w, to);
    struct sm_linkstate ls;
    struct sm_node_tunnel t;
    enum sm_err e = sm_route_links(sm_node_route(m->node), to, &ls);
    if (of == NULL || of->node == NULL || e != SM_OK) {
        sim_say(w, "  node %u: links: %s", m->i, sm_err_name(e));
        return;
    }
    sim_say(w, "  node %u: links of node %u, number %llu:", m->i, of->i,
            (unsigned long long)ls.head.seq);
    for (unsigned i = 0; i < ls.n; i++) {
        const struct sim_machine *peer = sim_machine_of(w, ls.links[i].hop);
        sim_say(w, "    node %u", peer != NULL ? peer->i : UINT32_MAX);
    }
    for (unsigned i = 0; sm_node_tunnel(of->node, i, &t); i++) {
        sim_say(w, "    tunnel to node %u", sim_machine_of(w, sm_hop_of(&t.node))->i);
    }
}

static unsigned staying(const struct sim_world *w)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < w->opts.nodes; i++) {
        n += !sim_is_revoked(&w->machines[i]);
    }
    return n;
}

/* Name one node that does not reach another, for the one line of a failure. */
static bool all_reach_all(struct sim_world *w)
{
    bool is_revoking = sim_revoke_has_begun(w);
    unsigned wanted = is_revoking ? staying(w) : w->opts.nodes;
    for (uint32_t i = 0; i < w->opts.nodes; i++) {
        struct sim_machine *m = &w->machines[i];
        if (is_revoking && sim_is_revoked(m)) {
            continue;
        }
        if (m->node == NULL) {
            return false;
        }
        struct sm_route *r = sm_node_route(m->node);
        if (sm_route_count(r) < wanted) {
            (void)snprintf(w->unreached, sizeof w->unreached, "node %u knows %zu nodes", i,
                           sm_route_count(r));
            return false;
        }
        unsigned reached = 0;
        for (size_t k = 0; k < sm_route_count(r); k++) {
            struct sm_route_info info;
            sm_route_info(r, w->now, k, &info);
            reached += info.is_self || info.is_reachable;
            if (!info.is_self && !info.is_reachable) {
                const struct sim_machine *to = sim_machine_of(w, sm_hop_of(&info.id));
                w->unreached_from = i;
                w->unreached_to = sm_hop_of(&info.id);
                (void)snprintf(w->unreached, sizeof w->unreached,
                               "node %u does not reach node %u", i,
                               to != NULL ? to->i : UINT32_MAX);
            }
        }
        if (reached < wanted) {
            return false;
        }
    }
    return true;
}

static void on_check(struct sim_world *w, struct sim_event *ev)
{
    for (uint32_t i = 0; i < w->opts.nodes; i++) {
        if (w->machines[i].node != NULL) {
            sim_check_machine(w, &w->machines[i]);
        }
    }
    if (w->queue.n > (size_t)w->opts.nodes * EVENTS_PER_NODE) {
        sim_trouble(w, SIM_SAFETY, "B: %zu events wait", w->queue.n);
    }
    sim_push(w, CHECK_EVERY, ev);
}

/* Until all nodes reach all others again: after the start, after a split, at the end. */
static void on_poll(struct sim_world *w, struct sim_event *ev)
{
    bool is_waited_for = w->booted_at.ns == 0 || w->split_healed_at.ns > 0 ||
                         (w->is_quiet && w->converged_at.ns == 0);
    if (is_waited_for && all_reach_all(w)) {
        if (w->booted_at.ns == 0) {
            w->booted_at = w->now;
            sim_say(w, "all nodes reach all others");
        }
        if (w->split_healed_at.ns > 0) {
            sim_samples_add(&w->heal, sm_between(w->split_healed_at, w->now));
            w->split_healed_at = (struct sm_mono){0};
            sim_say(w, "all nodes reach all others again");
        }
        if (w->is_quiet && w->converged_at.ns == 0) {
            w->converged_at = w->now;
        }
    }
    sim_push(w, POLL_EVERY, ev);
}

void sim_check_start(struct sim_world *w)
{
    sim_push(w, CHECK_EVERY, &(struct sim_event){.fn = on_check, .kind = SIM_CHECK});
    sim_push(w, POLL_EVERY, &(struct sim_event){.fn = on_poll, .kind = SIM_CHECK});
}

void sim_check_end(struct sim_world *w)
{
    if (w->converged_at.ns == 0) {
        explain(w, &w->machines[w->unreached_from], w->unreached_to);
        compare_links(w, &w->machines[w->unreached_from], w->unreached_to);
        compare_links(w, sim_machine_of(w, w->unreached_to), w->unreached_to);
        compare_links(w, &w->machines[w->unreached_from], w->machines[w->unreached_from].hop);
        sim_trouble(w, SIM_LIVENESS, "%llu s after the faults %s",
                    (unsigned long long)(w->opts.quiet.ns / 1000000000u), w->unreached);
    }
    if (w->stats.final_finds_ok < w->stats.final_finds_wanted) {
        sim_trouble(w, SIM_LIVENESS, "%llu of %llu last lookups succeeded",
                    (unsigned long long)w->stats.final_finds_ok,
                    (unsigned long long)w->stats.final_finds_wanted);
    }
    for (uint32_t o = 0; o < w->n_objects; o++) {
        const struct sim_object *obj = &w->objects[o];
        w->stats.final_gets_ok += obj->is_acked && obj->is_read;
        if (obj->is_acked && !obj->is_read) {
            sim_trouble(w, SIM_LIVENESS, "acknowledged object %u cannot be read back", o);
        }
    }
}
