// SPDX-License-Identifier: Apache-2.0
#include "core/route.h"

#include "core/route_int.h"

#include <assert.h>
#include <string.h>

/* Costs are in 1/16 ms. */
#define MS 16u

/* What a lost fragment costs: a timeout and a resend (DESIGN 9). */
#define TRUST_WEIGHT (500u * MS)

/* The graph is built 50 ms after the first change of a quiet time, then at doubling gaps, so
 * that a storm of changes costs one run a second. */
#define SPF_FIRST   SM_MS(50)
#define SPF_GAP_MIN SM_MS(200)
#define SPF_GAP_MAX SM_S(1)
#define SPF_QUIET   SM_S(2)
#define PATHS_KEEP  SM_S(30) /* paths that got no worse stay, though better ones may exist */
#define PATHS_FEW   SM_S(5)  /* ... when there were fewer than asked for */
#define PATHS_WORSE 4u       /* no worse by more than a quarter, about a class */
#define TRUST_CHECK SM_S(30) /* scores also move by time alone */
#define TRUST_FRESH SM_S(5)  /* ... and so slowly that not each build looks at all */

/* A relay through which fragments get lost: the penalty doubles from 250 ms with each loss in
 * a row and lasts 5 s, doubling too; a report of success ends it. */
#define PENALTY_UNITS  (250u * MS)
#define PENALTY_TIME   SM_S(5)
#define LOSS_BURST     SM_MS(100) /* losses so close together are one event */
#define LOSS_FORGOTTEN SM_S(600)
#define REPORT_SETTLES SM_MS(250) /* later than that a report is about the present path */
#define ALIVE_FOR      SM_S(2)    /* a destination that answered is alive so long */
#define JUDGE_EVERY    SM_S(1)    /* one observation a second for each relay */
enum { LOSSES_MAX = 6 };

/* -- trust and penalties ----------------------------------------------------------------- */

static uint32_t trust_units(uint32_t t_q16)
{
    uint32_t t = t_q16 > SM_TRUST_MIN ? t_q16 : SM_TRUST_MIN;
    return (uint32_t)((uint64_t)TRUST_WEIGHT * sm_neg_ln_q16(t) >> 16);
}

bool sm_route_trust_follow(struct sm_route *r, struct sm_mono now, struct route_slot *s)
{
    uint8_t was_class = s->trust_class;
    bool was_pruned = s->is_pruned;
    s->trust_q16 = sm_trust_score(r->cfg.trust, now, &s->id);
    s->trust_class = sm_class_follow(s->trust_class, trust_units(s->trust_q16));
    s->is_pruned = s->trust_q16 < SM_TRUST_MIN;
    return s->trust_class != was_class || s->is_pruned != was_pruned;
}

void sm_route_trust_changed(struct sm_route *r, struct sm_mono now, const struct sm_node_id *id)
{
    uint32_t slot = sm_route_slot_of(r, sm_hop_of(id));
    if (slot != SM_ROUTE_NONE && sm_route_trust_follow(r, now, &r->slots[slot])) {
        r->is_urgent = true;
    }
}

static void penalty_follow(struct sm_route *r, struct sm_mono now, struct route_slot *s)
{
    s->penalty = 0;
    if (s->losses > 0 && !sm_is_due(s->avoid_until, now)) {
        s->penalty = PENALTY_UNITS << (s->losses - 1);
        r->penalty_at = sm_earlier(r->penalty_at, s->avoid_until);
    }
}

static uint32_t enter_cost(const struct route_slot *to, uint8_t link_class)
{
    uint32_t cost = sm_class_units(link_class) + sm_class_units(to->trust_class) + to->penalty;
    return cost < SM_SPF_COST_MAX ? cost : SM_SPF_COST_MAX;
}

/* -- the graph --------------------------------------------------------------------------- */

/* The graph's number of a hop; SM_ROUTE_NONE.  The numbering is that of the last build. */
static uint32_t node_of(const struct sm_route *r, struct sm_hop hop)
{
    uint32_t low = 0, high = r->graph.n;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (sm_hop_of(&r->slots[r->node_slot[mid]].id).v < hop.v) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    bool is_found = low < r->graph.n && sm_hop_of(&r->slots[r->node_slot[low]].id).v == hop.v;
    return is_found ? low : SM_ROUTE_NONE;
}

static void arc(struct sm_graph *g, uint32_t to, uint32_t cost)
{
    enum sm_err err = sm_graph_arc(g, to, cost);
    assert(err == SM_OK); /* there is room for SM_LINKS_MAX from every node */
}

/* What everybody claims. */
static void announcements_build(struct sm_route *r)
{
    struct sm_graph *g = &r->announcements;
    if (!r->is_retold) {
        return;
    }
    r->is_retold = false;
    sm_graph_begin(g, r->graph.n);
    for (uint32_t u = 0; u < g->n; u++) {
        struct sm_linkstate ls;
        struct sm_hop hop = sm_hop_of(&r->slots[r->node_slot[u]].id);
        if (sm_route_links(r, hop, &ls) != SM_OK) {
            ls.n = 0;
        }
        for (unsigned i = 0; i < ls.n; i++) {
            uint32_t v = sm_route_place_of(r, ls.links[i].hop); /* numbered alike now */
            if (v != SM_ROUTE_NONE) {
                arc(g, v, ls.links[i].cost_class + 1u);
            }
        }
        sm_graph_node_end(g);
    }
}

/* Our own links need no announcement: their tunnels are up. */
static void own_arcs(struct sm_route *r)
{
    for (uint32_t v = 0; v < r->graph.n; v++) {
        const struct route_slot *to = &r->slots[r->node_slot[v]];
        const struct route_link *l = sm_route_link_of(r, sm_hop_of(&to->id));
        if (l != NULL) {
            arc(&r->graph, v, enter_cost(to, l->class));
        }
    }
}

/* Links of others that both ends announce, at the dearer of the two. */
static void others_arcs(struct sm_route *r, uint32_t u)
{
    const struct sm_graph *a = &r->announcements;
    for (uint32_t i = a->first[u]; i < a->first[u + 1]; i++) {
        uint32_t v = a->arc[i].to, there = a->arc[i].cost, back = sm_graph_cost(a, v, u);
        if (back > 0 && r->node_slot[v] != r->self) {
            uint32_t class = (there > back ? there : back) - 1;
            arc(&r->graph, v, enter_cost(&r->slots[r->node_slot[v]], (uint8_t) class));
        }
    }
}

/* True when some class or pruning changed. */
static bool trust_follow_all(struct sm_route *r, struct sm_mono now)
{
    bool is_changed = false;
    for (uint32_t i = 0; i < r->order_n; i++) {
        is_changed |= sm_route_trust_follow(r, now, &r->slots[r->order[i]]);
    }
    r->followed_at = now;
    r->check_at = sm_after(now, TRUST_CHECK);
    return is_changed;
}

static void graph_build(struct sm_route *r, struct sm_mono now)
{
    r->graph.n = r->order_n;
    memcpy(r->node_slot, r->order, r->order_n * sizeof *r->order);
    r->penalty_at = SM_NEVER;
    if (r->is_urgent || sm_is_due(sm_after(r->followed_at, TRUST_FRESH), now)) {
        trust_follow_all(r, now);
    }
    for (uint32_t u = 0; u < r->order_n; u++) {
        penalty_follow(r, now, &r->slots[r->node_slot[u]]);
    }
    announcements_build(r);
    sm_graph_begin(&r->graph, r->order_n);
    for (uint32_t u = 0; u < r->order_n; u++) {
        if (r->node_slot[u] == r->self) {
            own_arcs(r);
        } else if (!r->slots[r->node_slot[u]].is_pruned) {
            others_arcs(r, u);
        }
        sm_graph_node_end(&r->graph);
    }
}

static void reach_follow(struct sm_route *r, struct route_slot *s, uint64_t cost)
{
    s->is_reachable = cost != SM_SPF_UNREACHED;
    s->cost = s->is_reachable ? cost : 0;
    enum route_event event = s->event;
    if (s->is_reachable && !s->is_told) {
        event = EVENT_LEARNED;
    } else if (!s->is_reachable) {
        event = s->is_told ? EVENT_GONE : EVENT_NONE;
    } else if (event == EVENT_GONE) {
        event = EVENT_NONE;
    }
    r->events -= s->event != EVENT_NONE ? 1 : 0;
    r->events += event != EVENT_NONE ? 1 : 0;
    s->event = event;
}

static void rebuild(struct sm_route *r, struct sm_mono now)
{
    graph_build(r, now);
    r->graph_id++;
    r->is_dirty = r->is_urgent = false;
    r->is_changed = true;
    r->spf_ran_at = now;
    r->stats.spf_runs++;
    if (r->self == SM_ROUTE_NONE) {
        return;
    }
    sm_spf_run(r->spf, &r->graph, node_of(r, sm_hop_of(&r->slots[r->self].id)));
    for (uint32_t u = 0; u < r->graph.n; u++) {
        if (r->node_slot[u] != r->self) {
            reach_follow(r, &r->slots[r->node_slot[u]], sm_spf_cost(r->spf, u));
        }
    }
}

void sm_route_graph_dirty(struct sm_route *r, struct sm_mono now)
{
    if (r->is_dirty) {
        return;
    }
    bool is_quiet = sm_between(r->spf_ran_at, now).ns > SPF_QUIET.ns || r->graph_id == 0;
    struct sm_dur gap = SPF_FIRST;
    if (!is_quiet) {
        gap = r->spf_gap.ns < SPF_GAP_MIN.ns ? SPF_GAP_MIN : (struct sm_dur){r->spf_gap.ns * 2};
        gap = gap.ns < SPF_GAP_MAX.ns ? gap : SPF_GAP_MAX;
    }
    r->spf_gap = gap;
    r->is_dirty = true;
    r->spf_at = sm_after(is_quiet ? now : r->spf_ran_at, gap);
}

/* Build the graph when a question meets news that must not wait, or that waited enough. */
static void ensure(struct sm_route *r, struct sm_mono now)
{
    if (r->is_urgent || (r->is_dirty && sm_is_due(r->spf_at, now))) {
        rebuild(r, now);
    }
}

struct sm_mono sm_route_graph_deadline(const struct sm_route *r)
{
    if (r->is_urgent) {
        return (struct sm_mono){0};
    }
    struct sm_mono at = sm_earlier(r->check_at, r->penalty_at);
    return r->is_dirty ? sm_earlier(at, r->spf_at) : at;
}

void sm_route_graph_tick(struct sm_route *r, struct sm_mono now)
{
    if (sm_is_due(r->penalty_at, now)) {
        r->is_urgent = true;
    }
    if (sm_is_due(r->check_at, now)) {
        r->is_urgent |= trust_follow_all(r, now);
    }
    ensure(r, now);
}

/* -- paths ------------------------------------------------------------------------------- */

static bool path_eq(const struct sm_route_path *a, const struct sm_route_path *b)
{
    return a->n == b->n && memcmp(a->hops, b->hops, a->n * sizeof a->hops[0]) == 0;
}

static struct sm_route_path path_of(const struct sm_route *r, const struct sm_spf_path *p)
{
    struct sm_route_path out = {.cost = (uint32_t)p->cost, .n = p->n};
    for (unsigned i = 0; i < p->n; i++) {
        out.hops[i] = sm_hop_of(&r->slots[r->node_slot[p->node[i]]].id);
    }
    return out;
}

static bool is_clean(const struct sm_route *r, const struct sm_spf_path *p)
{
    for (unsigned i = 0; i + 1 < p->n; i++) {
        if (r->slots[r->node_slot[p->node[i]]].penalty > 0) {
            return false;
        }
    }
    return true;
}

/* Drop paths over silent relays, unless all are such: being one of k disjoint paths is no
 * reason to lose what goes there. */
static unsigned keep_clean(const struct sm_route *r, struct sm_spf_path *paths, unsigned n)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < n; i++) {
        if (is_clean(r, &paths[i])) {
            paths[kept++] = paths[i];
        }
    }
    return kept > 0 ? kept : n;
}

/* *is_all: none was left out for a silent relay. */
static unsigned paths_find(struct sm_route *r, const struct route_slot *dst, unsigned k,
                           struct sm_route_path out[static SM_ROUTE_PATHS], bool *is_all)
{
    struct sm_spf_path found[SM_ROUTE_PATHS];
    uint32_t from = node_of(r, sm_hop_of(&r->slots[r->self].id));
    uint32_t to = node_of(r, sm_hop_of(&dst->id));
    if (to == SM_ROUTE_NONE || from == SM_ROUTE_NONE || !dst->is_reachable) {
        return 0;
    }
    unsigned all = sm_spf_disjoint(r->spf, &r->graph, from, to, k, found);
    unsigned n = keep_clean(r, found, all);
    *is_all = n == all;
    for (unsigned i = 0; i < n; i++) {
        out[i] = path_of(r, &found[i]);
    }
    return n;
}

/* What the path costs in the present graph; 0: it is broken, or over a silent relay. */
static uint64_t path_cost(const struct sm_route *r, const struct sm_route_path *p)
{
    uint32_t from = node_of(r, sm_hop_of(&r->slots[r->self].id));
    uint64_t cost = 0;
    for (unsigned i = 0; i < p->n; i++) {
        uint32_t to = node_of(r, p->hops[i]);
        uint32_t c = to != SM_ROUTE_NONE ? sm_graph_cost(&r->graph, from, to) : 0;
        if (c == 0 || (i + 1 < p->n && r->slots[r->node_slot[to]].penalty > 0)) {
            return 0;
        }
        cost += c;
        from = to;
    }
    return cost;
}

/* Paths that were searched lately stay as long as none got much worse: the search costs far
 * more than looking at them, and the graph changes often while a mesh grows. */
static bool paths_hold(const struct sm_route *r, struct sm_mono now, struct route_slot *dst,
                       unsigned k)
{
    uint32_t cost[SM_ROUTE_PATHS];
    if (dst->paths_n == 0 || dst->paths_k != k || sm_is_due(dst->paths_until, now)) {
        return false;
    }
    for (unsigned i = 0; i < dst->paths_n; i++) {
        cost[i] = (uint32_t)path_cost(r, &dst->paths[i]);
        uint32_t found = dst->paths_found[i];
        if (cost[i] == 0 || cost[i] > found + found / PATHS_WORSE) {
            return false;
        }
    }
    for (unsigned i = 0; i < dst->paths_n; i++) {
        dst->paths[i].cost = cost[i];
    }
    dst->paths_of = r->graph_id;
    return true;
}

static void paths_compute(struct sm_route *r, struct sm_mono now, struct route_slot *dst,
                          unsigned k)
{
    struct sm_route_path paths[SM_ROUTE_PATHS];
    bool is_all = true;
    unsigned n = paths_find(r, dst, k, paths, &is_all), was = dst->paths_n;
    for (unsigned i = 0; i < SM_ROUTE_PATHS; i++) {
        bool is_same = n > 0 && was > 0 && path_eq(&paths[i % n], &dst->paths[i % was]);
        dst->paths_since[i] = is_same ? dst->paths_since[i] : now;
    }
    for (unsigned i = 0; i < n; i++) {
        dst->paths[i] = paths[i];
        dst->paths_found[i] = paths[i].cost;
    }
    dst->paths_n = (uint8_t)n;
    dst->paths_k = (uint8_t)k;
    dst->paths_of = r->graph_id;
    dst->paths_until = !is_all ? now : sm_after(now, n < k ? PATHS_FEW : PATHS_KEEP);
    r->stats.path_runs++;
}

unsigned sm_route_paths(struct sm_route *r, struct sm_mono now, struct sm_hop dst, unsigned k,
                        struct sm_route_path out[static SM_ROUTE_PATHS])
{
    assert(k >= 1);
    assert(k <= SM_ROUTE_PATHS);
    ensure(r, now);
    uint32_t slot = sm_route_slot_of(r, dst);
    if (slot == SM_ROUTE_NONE || r->self == SM_ROUTE_NONE) {
        return 0;
    }
    if (slot == r->self) {
        out[0] = (struct sm_route_path){.n = 1, .hops = {dst}};
        return 1;
    }
    struct route_slot *s = &r->slots[slot];
    bool is_present = s->paths_of == r->graph_id && s->paths_k == k;
    if (!is_present && !paths_hold(r, now, s, k)) {
        paths_compute(r, now, s, k);
    }
    memcpy(out, s->paths, s->paths_n * sizeof *out);
    return s->paths_n;
}

/* -- what paths showed ------------------------------------------------------------------- */

static void judge(struct sm_route *r, struct sm_mono now, struct route_slot *s,
                  enum sm_trust_kind kind)
{
    if (sm_between(s->judged_at, now).ns < JUDGE_EVERY.ns) {
        return;
    }
    s->judged_at = now;
    if (sm_trust_observe(r->cfg.trust, now, &s->id, kind)) {
        r->is_urgent = true;
    }
}

static void relay_ok(struct sm_route *r, struct sm_mono now, struct route_slot *s)
{
    s->losses = 0;
    r->is_urgent = r->is_urgent || s->penalty > 0;
    judge(r, now, s, SM_TRUST_OK);
}

static void relay_lost(struct sm_route *r, struct sm_mono now, struct route_slot *s)
{
    uint64_t since = sm_between(s->lost_at, now).ns;
    if (s->losses > 0 && since < LOSS_BURST.ns) {
        return;
    }
    if (since > LOSS_FORGOTTEN.ns) {
        s->losses = 0;
    }
    s->losses = (uint8_t)(s->losses < LOSSES_MAX ? s->losses + 1 : LOSSES_MAX);
    s->lost_at = now;
    s->avoid_until = sm_after(now, (struct sm_dur){PENALTY_TIME.ns << (s->losses - 1)});
    r->is_urgent = true;
}

void sm_route_path_report(struct sm_route *r, struct sm_mono now, struct sm_hop dst,
                          uint8_t slot, bool is_ok)
{
    uint32_t to = sm_route_slot_of(r, dst);
    if (to == SM_ROUTE_NONE || r->slots[to].paths_n == 0) {
        return;
    }
    struct route_slot *d = &r->slots[to];
    struct sm_mono since = d->paths_since[slot % SM_ROUTE_PATHS];
    if (!is_ok && sm_between(since, now).ns < REPORT_SETTLES.ns) {
        return; /* it may be about the path that had this slot before */
    }
    bool is_alive = sm_between(d->paths_ok_at, now).ns < ALIVE_FOR.ns;
    r->stats.losses += is_ok ? 0 : 1;
    if (is_ok) {
        d->paths_ok_at = now;
    }
    const struct sm_route_path *p = &d->paths[slot % d->paths_n];
    for (unsigned h = 0; h + 1 < p->n; h++) {
        uint32_t relay = sm_route_slot_of(r, p->hops[h]);
        if (relay == SM_ROUTE_NONE) {
            continue;
        }
        if (is_ok) {
            relay_ok(r, now, &r->slots[relay]);
            continue;
        }
        relay_lost(r, now, &r->slots[relay]);
        if (p->n == 2 && is_alive) { /* nobody else can have lost it */
            judge(r, now, &r->slots[relay], SM_TRUST_TIMEOUT);
        }
    }
}

/* -- words for people -------------------------------------------------------------------- */

void sm_route_info(struct sm_route *r, struct sm_mono now, size_t i, struct sm_route_info *out)
{
    assert(i < r->order_n);
    ensure(r, now);
    const struct route_slot *s = &r->slots[r->order[i]];
    struct sm_linkstate ls;
    if (sm_route_links(r, sm_hop_of(&s->id), &ls) != SM_OK) {
        ls.n = 0;
    }
    *out = (struct sm_route_info){
        .id = s->id,
        .is_self = r->order[i] == r->self,
        .is_neighbour = sm_route_is_neighbour(r, sm_hop_of(&s->id)),
        .is_reachable = r->order[i] == r->self || s->is_reachable,
        .cost = s->cost,
        .trust_q16 = sm_trust_score(r->cfg.trust, now, &s->id),
        .n_links = ls.n,
    };
}

static uint32_t above(uint32_t a, uint32_t b)
{
    return a > b ? a - b : 0;
}

static struct sm_route_hop_cost hop_cost(struct sm_route *r, struct sm_hop from,
                                         struct sm_hop to)
{
    const struct route_slot *s = &r->slots[sm_route_slot_of(r, to)];
    uint32_t all = sm_graph_cost(&r->graph, node_of(r, from), node_of(r, to));
    struct sm_route_hop_cost c = {.hop = to,
                                  .trust = sm_class_units(s->trust_class),
                                  .penalty = s->penalty,
                                  .trust_q16 = s->trust_q16};
    c.latency = above(all, c.trust + c.penalty);
    const struct route_link *l = sm_route_link_of(r, to);
    if (l != NULL && from.v == sm_hop_of(&r->slots[r->self].id).v) {
        c.queue = (uint32_t)(l->queue_ns / SM_ROUTE_UNIT_NS);
        c.queue = c.queue < c.latency ? c.queue : c.latency;
        c.latency -= c.queue;
    }
    return c;
}

static bool loss_of(const struct sm_route *r, uint32_t node, struct sm_route_loss *out)
{
    const struct route_slot *s = &r->slots[r->node_slot[node]];
    *out =
        (struct sm_route_loss){sm_hop_of(&s->id), SM_ROUTE_LOW_TRUST, s->trust_q16, s->penalty};
    if (s->is_pruned) {
        return true;
    }
    if (s->penalty > 0) {
        out->why = SM_ROUTE_SILENT;
        return true;
    }
    out->why = SM_ROUTE_NO_LINK;
    return !s->is_reachable;
}

void sm_route_explain(struct sm_route *r, struct sm_mono now, struct sm_hop dst,
                      struct sm_route_explain *out)
{
    memset(out, 0, sizeof *out);
    out->n_paths = sm_route_paths(r, now, dst, SM_ROUTE_PATHS, out->paths);
    if (r->self == SM_ROUTE_NONE) {
        return;
    }
    struct sm_hop self = sm_hop_of(&r->slots[r->self].id);
    for (unsigned i = 0; i < out->n_paths && dst.v != self.v; i++) {
        struct sm_hop from = self;
        for (unsigned h = 0; h < out->paths[i].n; h++) {
            out->hops[i][h] = hop_cost(r, from, out->paths[i].hops[h]);
            from = out->paths[i].hops[h];
        }
    }
    for (uint32_t u = 0; u < r->graph.n && out->n_losses < SM_ROUTE_LOSSES_MAX; u++) {
        if (r->node_slot[u] != r->self && loss_of(r, u, &out->losses[out->n_losses])) {
            out->n_losses++;
        }
    }
}
