// SPDX-License-Identifier: Apache-2.0
#include "core/spf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* -- graph ------------------------------------------------------------------------------- */

enum sm_err sm_graph_init(struct sm_graph *g, uint32_t nodes_max, uint32_t arcs_max)
{
    if (nodes_max < 1 || nodes_max > SM_SPF_NODES_MAX) {
        return SM_E_INVALID;
    }
    struct sm_graph n = {.nodes_max = nodes_max, .arcs_max = arcs_max};
    n.first = calloc((size_t)nodes_max + 1, sizeof *n.first);
    n.arc = calloc((size_t)arcs_max + 1, sizeof *n.arc);
    if (n.first == NULL || n.arc == NULL) {
        sm_graph_done(&n);
        return SM_E_NOMEM;
    }
    *g = n;
    return SM_OK;
}

void sm_graph_done(struct sm_graph *g)
{
    free(g->first);
    free(g->arc);
    *g = (struct sm_graph){0};
}

void sm_graph_begin(struct sm_graph *g, uint32_t n)
{
    assert(n <= g->nodes_max);
    g->n = n;
    g->at = 0;
    g->first[0] = 0;
    g->first[n > 0 ? 1 : 0] = 0;
}

enum sm_err sm_graph_arc(struct sm_graph *g, uint32_t to, uint32_t cost)
{
    assert(g->at < g->n);
    assert(to < g->n);
    assert(cost >= 1);
    assert(cost <= SM_SPF_COST_MAX);
    uint32_t end = g->first[g->at + 1];
    assert(end == g->first[g->at] || g->arc[end - 1].to < to);
    if (end == g->arcs_max) {
        return SM_E_LIMIT;
    }
    g->arc[end] = (struct sm_arc){to, cost};
    g->first[g->at + 1] = end + 1;
    return SM_OK;
}

void sm_graph_node_end(struct sm_graph *g)
{
    assert(g->at < g->n);
    g->at++;
    if (g->at < g->n) {
        g->first[g->at + 1] = g->first[g->at];
    }
}

uint32_t sm_graph_cost(const struct sm_graph *g, uint32_t from, uint32_t to)
{
    uint32_t low = g->first[from], high = g->first[from + 1];
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (g->arc[mid].to < to) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < g->first[from + 1] && g->arc[low].to == to ? g->arc[low].cost : 0;
}

/* -- heap -------------------------------------------------------------------------------- */

/* A heap of states with their distances, four children to a node, that knows where each state
 * lies.  Distance and state are one number, so that a comparison also decides ties. */
enum { ARITY = 4, STATE_BITS = 21 };
#define STATE_MASK (((uint64_t)1 << STATE_BITS) - 1)
#define NOWHERE    UINT32_MAX

struct sm_spf {
    uint32_t nodes_max, n; /* n: nodes of the graph of the last run */
    uint32_t heap_n;
    uint64_t *heap;                    /* distance << STATE_BITS | state */
    uint32_t *at;                      /* per state: index in the heap, or NOWHERE */
    uint64_t *dist;                    /* per state */
    uint32_t *parent;                  /* per state */
    uint64_t *potential;               /* per state: distances of the rounds before */
    uint32_t *pred, *succ, *pred_cost; /* per node: its neighbours on a path of the flow */
    bool is_direct;                    /* source -> target is itself a path of the flow */
};

static inline uint32_t state_of(uint64_t key)
{
    return (uint32_t)(key & STATE_MASK);
}

static inline void heap_place(struct sm_spf *s, uint32_t i, uint64_t key)
{
    s->heap[i] = key;
    s->at[state_of(key)] = i;
}

static inline void heap_rise(struct sm_spf *s, uint32_t i, uint64_t key)
{
    while (i > 0) {
        uint32_t up = (i - 1) / ARITY;
        if (s->heap[up] <= key) {
            break;
        }
        heap_place(s, i, s->heap[up]);
        i = up;
    }
    heap_place(s, i, key);
}

static inline void heap_sink(struct sm_spf *s, uint64_t key)
{
    uint32_t i = 0, n = s->heap_n;
    for (;;) {
        uint32_t child = i * ARITY + 1;
        if (child >= n) {
            break;
        }
        uint32_t end = child + ARITY < n ? child + ARITY : n, least = child;
        for (uint32_t c = child + 1; c < end; c++) {
            least = s->heap[c] < s->heap[least] ? c : least;
        }
        if (s->heap[least] >= key) {
            break;
        }
        heap_place(s, i, s->heap[least]);
        i = least;
    }
    heap_place(s, i, key);
}

static inline uint64_t heap_pop(struct sm_spf *s)
{
    uint64_t top = s->heap[0];
    s->heap_n--;
    if (s->heap_n > 0) {
        heap_sink(s, s->heap[s->heap_n]);
    }
    return top;
}

/* The state is now at distance d, less than before. */
static inline void reach(struct sm_spf *s, uint32_t state, uint64_t d, uint32_t parent)
{
    s->dist[state] = d;
    s->parent[state] = parent;
    uint32_t i = s->at[state];
    heap_rise(s, i == NOWHERE ? s->heap_n++ : i, d << STATE_BITS | state);
}

static void start(struct sm_spf *s, uint32_t states, uint32_t source)
{
    memset(s->dist, 0xff, states * sizeof *s->dist); /* SM_SPF_UNREACHED */
    memset(s->parent, 0xff, states * sizeof *s->parent);
    memset(s->at, 0xff, states * sizeof *s->at);
    s->heap_n = 0;
    reach(s, source, 0, SM_SPF_NO_NODE);
}

/* -- the tree ---------------------------------------------------------------------------- */

struct sm_spf *sm_spf_new(uint32_t nodes_max)
{
    if (nodes_max < 1 || nodes_max > SM_SPF_NODES_MAX) {
        return NULL;
    }
    struct sm_spf *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    size_t states = 2 * (size_t)nodes_max;
    s->nodes_max = nodes_max;
    s->heap = calloc(states, sizeof *s->heap);
    s->at = calloc(states, sizeof *s->at);
    s->dist = calloc(states, sizeof *s->dist);
    s->parent = calloc(states, sizeof *s->parent);
    s->potential = calloc(states, sizeof *s->potential);
    s->pred = calloc(nodes_max, sizeof *s->pred);
    s->succ = calloc(nodes_max, sizeof *s->succ);
    s->pred_cost = calloc(nodes_max, sizeof *s->pred_cost);
    if (s->heap == NULL || s->at == NULL || s->dist == NULL || s->parent == NULL ||
        s->potential == NULL || s->pred == NULL || s->succ == NULL || s->pred_cost == NULL) {
        sm_spf_free(s);
        return NULL;
    }
    return s;
}

void sm_spf_free(struct sm_spf *s)
{
    if (s == NULL) {
        return;
    }
    free(s->heap);
    free(s->at);
    free(s->dist);
    free(s->parent);
    free(s->potential);
    free(s->pred);
    free(s->succ);
    free(s->pred_cost);
    free(s);
}

void sm_spf_run(struct sm_spf *s, const struct sm_graph *g, uint32_t source)
{
    assert(g->n <= s->nodes_max);
    assert(g->at == g->n);
    assert(source < g->n);
    s->n = g->n;
    start(s, g->n, source);
    while (s->heap_n > 0) {
        uint64_t key = heap_pop(s);
        uint64_t d = key >> STATE_BITS;
        uint32_t u = state_of(key);
        for (uint32_t i = g->first[u]; i < g->first[u + 1]; i++) {
            uint32_t v = g->arc[i].to;
            uint64_t via = d + g->arc[i].cost;
            if (via < s->dist[v]) {
                reach(s, v, via, u);
            } else if (via == s->dist[v] && u < s->parent[v]) {
                s->parent[v] = u;
            }
        }
    }
}

uint64_t sm_spf_cost(const struct sm_spf *s, uint32_t node)
{
    assert(node < s->n);
    return s->dist[node];
}

uint32_t sm_spf_parent(const struct sm_spf *s, uint32_t node)
{
    assert(node < s->n);
    return s->parent[node];
}

/* -- disjoint paths ---------------------------------------------------------------------- */

/* Each node v is split in two states, in(v) -> out(v), so that a flow of unit paths passes it
 * once.  Paths are found one by one in the residual graph of those found so far: an arc of the
 * flow may be walked backwards at its negative cost.  Potentials keep all costs at or above
 * zero (Bhandari with the reduced costs of Suurballe). */
static inline uint32_t in_of(uint32_t v)
{
    return 2 * v;
}

static inline uint32_t out_of(uint32_t v)
{
    return 2 * v + 1;
}

static inline bool is_out(uint32_t state)
{
    return (state & 1) != 0;
}

static inline bool is_on_flow(const struct sm_spf *s, uint32_t v)
{
    return s->pred[v] != SM_SPF_NO_NODE;
}

struct ends {
    uint32_t source, target;
};

static inline void relax(struct sm_spf *s, uint32_t from, uint32_t to, int64_t cost)
{
    int64_t reduced = cost + (int64_t)s->potential[from] - (int64_t)s->potential[to];
    assert(reduced >= 0);
    uint64_t via = s->dist[from] + (uint64_t)reduced;
    if (via < s->dist[to]) {
        reach(s, to, via, from);
    }
}

static void relax_in(struct sm_spf *s, uint32_t v)
{
    if (is_on_flow(s, v)) {
        relax(s, in_of(v), out_of(s->pred[v]), -(int64_t)s->pred_cost[v]);
    } else {
        relax(s, in_of(v), out_of(v), 0);
    }
}

static bool arc_is_on_flow(const struct sm_spf *s, const struct ends *e, uint32_t v, uint32_t w)
{
    if (w != e->target) {
        return s->pred[w] == v;
    }
    return v == e->source ? s->is_direct : is_on_flow(s, v) && s->succ[v] == w;
}

static void relax_out(struct sm_spf *s, const struct sm_graph *g, const struct ends *e,
                      uint32_t v)
{
    for (uint32_t i = g->first[v]; i < g->first[v + 1]; i++) {
        uint32_t w = g->arc[i].to;
        if (w != e->source && !arc_is_on_flow(s, e, v, w)) {
            relax(s, out_of(v), in_of(w), g->arc[i].cost);
        }
    }
    if (is_on_flow(s, v)) {
        relax(s, out_of(v), in_of(v), 0);
    }
}

/* Find the cheapest way to add one path; false when there is none. */
static bool augmenting_path(struct sm_spf *s, const struct sm_graph *g, const struct ends *e)
{
    start(s, 2 * g->n, out_of(e->source));
    while (s->heap_n > 0) {
        uint64_t key = heap_pop(s);
        uint32_t state = state_of(key);
        if (state == in_of(e->target)) {
            uint64_t most = key >> STATE_BITS;
            for (uint32_t i = 0; i < 2 * g->n; i++) {
                s->potential[i] += s->dist[i] < most ? s->dist[i] : most;
            }
            return true;
        }
        if (is_out(state)) {
            relax_out(s, g, e, state / 2);
        } else {
            relax_in(s, state / 2);
        }
    }
    return false;
}

/* Take back the arcs that the new path walks backwards. */
static void flow_remove(struct sm_spf *s, const struct ends *e)
{
    for (uint32_t x = in_of(e->target); x != out_of(e->source); x = s->parent[x]) {
        uint32_t y = s->parent[x];
        if (is_out(x) && !is_out(y) && x / 2 != y / 2) {
            s->pred[y / 2] = SM_SPF_NO_NODE;
            s->succ[x / 2] = SM_SPF_NO_NODE;
        }
    }
}

static void flow_add(struct sm_spf *s, const struct sm_graph *g, const struct ends *e)
{
    for (uint32_t x = in_of(e->target); x != out_of(e->source); x = s->parent[x]) {
        uint32_t w = x / 2, v = s->parent[x] / 2;
        if (is_out(x) || v == w) {
            continue;
        }
        if (w != e->target) {
            s->pred[w] = v;
            s->pred_cost[w] = sm_graph_cost(g, v, w);
        }
        if (v != e->source) {
            s->succ[v] = w;
        } else if (w == e->target) {
            s->is_direct = true;
        }
    }
}

/* Follow one path of the flow that begins with source -> v; false when it is too long. */
static bool path_follow(const struct sm_spf *s, const struct sm_graph *g, const struct ends *e,
                        uint32_t v, struct sm_spf_path *out)
{
    struct sm_spf_path p = {0};
    for (uint32_t u = e->source;; u = v, v = s->succ[v]) {
        if (p.n == SM_SPF_HOPS_MAX) {
            return false;
        }
        p.cost += sm_graph_cost(g, u, v);
        p.node[p.n++] = v;
        if (v == e->target) {
            break;
        }
    }
    *out = p;
    return true;
}

static void path_insert(struct sm_spf_path *paths, unsigned n, const struct sm_spf_path *p)
{
    unsigned i = n;
    while (i > 0 && paths[i - 1].cost > p->cost) {
        paths[i] = paths[i - 1];
        i--;
    }
    paths[i] = *p;
}

/* All paths of the flow, the cheapest first; false when one is too long. */
static bool flow_paths(const struct sm_spf *s, const struct sm_graph *g, const struct ends *e,
                       struct sm_spf_path out[static SM_SPF_PATHS_MAX])
{
    unsigned n = 0;
    for (uint32_t i = g->first[e->source]; i < g->first[e->source + 1]; i++) {
        uint32_t v = g->arc[i].to;
        if (!arc_is_on_flow(s, e, e->source, v)) {
            continue;
        }
        struct sm_spf_path p;
        if (!path_follow(s, g, e, v, &p)) {
            return false;
        }
        assert(n < SM_SPF_PATHS_MAX);
        path_insert(out, n++, &p);
    }
    return true;
}

/* More disjoint paths than arcs leave the source or enter the target there cannot be: to find
 * that out by searching is to walk the whole graph. */
static unsigned paths_most(const struct sm_graph *g, const struct ends *e, unsigned k)
{
    uint32_t leave = g->first[e->source + 1] - g->first[e->source], enter = 0;
    for (uint32_t i = 0; i < g->first[g->n]; i++) {
        enter += g->arc[i].to == e->target;
    }
    uint32_t most = leave < enter ? leave : enter;
    return most < k ? most : k;
}

unsigned sm_spf_disjoint(struct sm_spf *s, const struct sm_graph *g, uint32_t source,
                         uint32_t target, unsigned k,
                         struct sm_spf_path out[static SM_SPF_PATHS_MAX])
{
    assert(g->n <= s->nodes_max);
    assert(g->at == g->n);
    assert(source < g->n);
    assert(target < g->n);
    assert(source != target);
    assert(k <= SM_SPF_PATHS_MAX);
    const struct ends e = {source, target};
    k = paths_most(g, &e, k);
    s->n = g->n;
    s->is_direct = false;
    memset(s->potential, 0, 2 * (size_t)g->n * sizeof *s->potential);
    memset(s->pred, 0xff, g->n * sizeof *s->pred); /* SM_SPF_NO_NODE */
    memset(s->succ, 0xff, g->n * sizeof *s->succ);

    for (unsigned n = 0; n < k; n++) {
        struct sm_spf_path set[SM_SPF_PATHS_MAX];
        if (!augmenting_path(s, g, &e)) {
            return n;
        }
        flow_remove(s, &e);
        flow_add(s, g, &e);
        if (!flow_paths(s, g, &e, set)) {
            return n;
        }
        memcpy(out, set, (n + 1) * sizeof *out);
    }
    return k;
}
