// SPDX-License-Identifier: Apache-2.0
#include "bench/bench_spf.h"

#include "core/spf.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* -- the graph --------------------------------------------------------------------------- */

struct edge {
    uint32_t from, to, cost;
};

static int edge_order(const void *a, const void *b)
{
    const struct edge *x = a, *y = b;
    if (x->from != y->from) {
        return x->from < y->from ? -1 : 1;
    }
    return x->to < y->to ? -1 : x->to > y->to;
}

/* A random tree, so that all is connected, and random edges; both directions of each.  An edge
 * drawn twice is kept once. */
static uint32_t edges_draw(struct edge *e, uint32_t nodes, uint32_t edges, uint64_t seed)
{
    uint32_t n = 0;
    for (uint32_t i = 1; i <= edges; i++) {
        uint32_t a = i < nodes ? i : (uint32_t)(next_random(&seed) % nodes);
        uint32_t b = (uint32_t)(next_random(&seed) % (i < nodes ? i : nodes));
        uint32_t cost = 1 + (uint32_t)(next_random(&seed) % 1600); /* up to 100 ms */
        if (a != b) {
            e[n++] = (struct edge){a, b, cost};
            e[n++] = (struct edge){b, a, cost};
        }
    }
    qsort(e, n, sizeof *e, edge_order);
    return n;
}

static enum sm_err graph_fill(struct sm_graph *g, uint32_t nodes, const struct edge *e,
                              uint32_t n)
{
    sm_graph_begin(g, nodes);
    for (uint32_t u = 0, i = 0; u < nodes; u++) {
        for (; i < n && e[i].from == u; i++) {
            if (i == 0 || e[i - 1].from != u || e[i - 1].to != e[i].to) {
                SM_TRY(sm_graph_arc(g, e[i].to, e[i].cost));
            }
        }
        sm_graph_node_end(g);
    }
    return SM_OK;
}

static enum sm_err graph_make(struct sm_graph *g, uint32_t nodes, uint32_t edges, uint64_t seed)
{
    struct edge *e = calloc(edges, 2 * sizeof *e);
    if (e == NULL) {
        return SM_E_NOMEM;
    }
    uint32_t n = edges_draw(e, nodes, edges, seed);
    enum sm_err err = sm_graph_init(g, nodes, n);
    if (err == SM_OK) {
        err = graph_fill(g, nodes, e, n);
    }
    free(e);
    return err;
}

/* -- the bare reference ------------------------------------------------------------------ */

struct bare {
    uint64_t *dist;
    uint32_t *parent, *heap, *at;
};

static void bare_dijkstra(const struct sm_graph *g, uint32_t source, struct bare *b)
{
    uint32_t heap_n = 1;
    for (uint32_t i = 0; i < g->n; i++) {
        b->dist[i] = UINT64_MAX;
        b->at[i] = UINT32_MAX;
    }
    b->dist[source] = 0;
    b->parent[source] = UINT32_MAX;
    b->heap[0] = source;
    b->at[source] = 0;
    while (heap_n > 0) {
        uint32_t u = b->heap[0], last = b->heap[--heap_n], i = 0;
        for (uint32_t c = 1; c < heap_n; c = 2 * i + 1) {
            c += c + 1 < heap_n && b->dist[b->heap[c + 1]] < b->dist[b->heap[c]];
            if (b->dist[b->heap[c]] >= b->dist[last]) {
                break;
            }
            b->heap[i] = b->heap[c];
            b->at[b->heap[i]] = i;
            i = c;
        }
        b->heap[i] = last;
        b->at[last] = i;
        for (uint32_t k = g->first[u]; k < g->first[u + 1]; k++) {
            uint32_t v = g->arc[k].to;
            uint64_t d = b->dist[u] + g->arc[k].cost;
            if (d >= b->dist[v]) {
                continue;
            }
            b->dist[v] = d;
            b->parent[v] = u;
            i = b->at[v] == UINT32_MAX ? heap_n++ : b->at[v];
            while (i > 0 && b->dist[b->heap[(i - 1) / 2]] > d) {
                b->heap[i] = b->heap[(i - 1) / 2];
                b->at[b->heap[i]] = i;
                i = (i - 1) / 2;
            }
            b->heap[i] = v;
            b->at[v] = i;
        }
    }
}

/* -- the run ----------------------------------------------------------------------------- */

struct work {
    struct sm_graph g;
    struct sm_spf *spf;
    struct bare bare;
    uint64_t *times[3];
};

static void work_done(struct work *w)
{
    sm_graph_done(&w->g);
    sm_spf_free(w->spf);
    free(w->bare.dist);
    free(w->bare.parent);
    free(w->bare.heap);
    free(w->bare.at);
    for (unsigned i = 0; i < 3; i++) {
        free(w->times[i]);
    }
}

static enum sm_err work_make(struct work *w, uint32_t nodes, uint32_t edges, uint64_t seed,
                             unsigned rounds)
{
    SM_TRY(graph_make(&w->g, nodes, edges, seed));
    w->spf = sm_spf_new(nodes);
    w->bare = (struct bare){calloc(nodes, sizeof(uint64_t)), calloc(nodes, sizeof(uint32_t)),
                            calloc(nodes, sizeof(uint32_t)), calloc(nodes, sizeof(uint32_t))};
    bool is_short = w->spf == NULL || w->bare.dist == NULL || w->bare.parent == NULL ||
                    w->bare.heap == NULL || w->bare.at == NULL;
    for (unsigned i = 0; i < 3; i++) {
        w->times[i] = calloc(rounds, sizeof(uint64_t));
        is_short = is_short || w->times[i] == NULL;
    }
    return is_short ? SM_E_NOMEM : SM_OK;
}

static int u64_order(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static uint64_t median(uint64_t *times, unsigned n)
{
    qsort(times, n, sizeof *times, u64_order);
    return times[n / 2];
}

/* One round from one source; FAILED when a distance differs. */
static enum sm_err round_run(struct work *w, unsigned round, uint32_t source,
                             uint64_t *checksum)
{
    struct sm_spf_path paths[SM_SPF_PATHS_MAX];
    uint32_t target = (source + w->g.n / 2) % w->g.n;
    uint64_t t0 = now_ns();
    bare_dijkstra(&w->g, source, &w->bare);
    uint64_t t1 = now_ns();
    sm_spf_run(w->spf, &w->g, source);
    uint64_t t2 = now_ns();
    for (uint32_t v = 0; v < w->g.n; v++) {
        if (sm_spf_cost(w->spf, v) != w->bare.dist[v]) {
            return SM_E_FAILED;
        }
        *checksum = *checksum * 31 + w->bare.dist[v];
    }
    uint64_t t3 = now_ns();
    if (source != target) {
        *checksum += sm_spf_disjoint(w->spf, &w->g, source, target, SM_SPF_PATHS_MAX, paths);
    }
    w->times[0][round] = t2 - t1;
    w->times[1][round] = t1 - t0;
    w->times[2][round] = now_ns() - t3;
    return SM_OK;
}

enum sm_err bench_spf_run(uint32_t nodes, uint32_t edges, uint64_t seed, unsigned rounds,
                          struct bench_spf *out)
{
    if (nodes < 2 || edges < nodes - 1 || edges > UINT32_MAX / 2 || rounds == 0) {
        return SM_E_INVALID;
    }
    struct work w = {0};
    enum sm_err err = work_make(&w, nodes, edges, seed, rounds);
    struct bench_spf b = {.nodes = nodes, .edges = edges};
    for (unsigned i = 0; err == SM_OK && i < rounds; i++) {
        err = round_run(&w, i, (uint32_t)(next_random(&seed) % nodes), &b.checksum);
    }
    if (err == SM_OK) {
        b.spf_ns = median(w.times[0], rounds);
        b.bare_ns = median(w.times[1], rounds);
        b.disjoint_ns = median(w.times[2], rounds);
        *out = b;
    }
    work_done(&w);
    return err;
}
