// SPDX-License-Identifier: Apache-2.0
#pragma once
/* spf: shortest paths over a graph in compact arrays.
 *
 * The graph is directed; its arcs lie sorted by head and then tail in two arrays (compressed
 * sparse rows).  An arc's cost is what it takes to enter the node it points to, so costs of
 * nodes and of links are one number.  All costs are at least 1, so sums are strictly isotone
 * and Dijkstra is right (DESIGN 9).
 *
 * Equal costs are decided by the lower node number: the same graph gives the same paths on
 * every machine, whatever the order in which it was built.
 *
 *     sm_graph_begin(g, n);
 *     for each node u in ascending order: sm_graph_arc(g, v, cost) ...; sm_graph_node_end(g);
 *     sm_spf_run(s, g, source);
 *     k = sm_spf_disjoint(s, g, source, target, 4, paths);
 *
 * Memory:  allocated in the two _new functions; running never allocates.
 * Threads: each object belongs to one caller.
 * Source:  notes on routing 3.2; Bhandari, "Survivable Networks", 1999, chapter 3.
 */
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SM_SPF_NODES_MAX = 1 << 20,
    SM_SPF_COST_MAX = 1 << 20, /* of one arc; with NODES_MAX, sums stay below 2^40 */
    SM_SPF_PATHS_MAX = 4,
    SM_SPF_HOPS_MAX = 16,
};
#define SM_SPF_UNREACHED UINT64_MAX
#define SM_SPF_NO_NODE   UINT32_MAX

struct sm_arc {
    uint32_t to, cost;
};

struct sm_graph {
    uint32_t n, nodes_max, arcs_max;
    uint32_t at;     /* the node whose arcs are being added; n when complete */
    uint32_t *first; /* n + 1: arcs of u are arc[first[u]] .. arc[first[u + 1]) */
    struct sm_arc *arc;
};

/* NOMEM; INVALID above the limits. */
enum sm_err sm_graph_init(struct sm_graph *g, uint32_t nodes_max, uint32_t arcs_max) SM_MUST;
void sm_graph_done(struct sm_graph *g);
void sm_graph_begin(struct sm_graph *g, uint32_t n); /* n <= nodes_max */
/* Add an arc of the current node; tails ascend strictly, cost 1..SM_SPF_COST_MAX.  LIMIT when
 * the graph has arcs_max arcs. */
enum sm_err sm_graph_arc(struct sm_graph *g, uint32_t to, uint32_t cost) SM_MUST;
void sm_graph_node_end(struct sm_graph *g);
/* The cost of an arc of a complete graph; 0 when there is none. */
uint32_t sm_graph_cost(const struct sm_graph *g, uint32_t from, uint32_t to);

struct sm_spf;                                 /* distances, tree and heap for one graph size */
struct sm_spf *sm_spf_new(uint32_t nodes_max); /* NULL: no memory, or above the limit */
void sm_spf_free(struct sm_spf *s);

/* The shortest-path tree from source, until the next run or disjoint call. */
void sm_spf_run(struct sm_spf *s, const struct sm_graph *g, uint32_t source);
uint64_t sm_spf_cost(const struct sm_spf *s, uint32_t node); /* SM_SPF_UNREACHED */
uint32_t sm_spf_parent(const struct sm_spf *s,
                       uint32_t node); /* SM_SPF_NO_NODE at the source */

struct sm_spf_path {
    uint64_t cost;
    uint8_t n;
    uint32_t node[SM_SPF_HOPS_MAX]; /* without the source, the target last */
};

/* Up to k paths that share no node but source and target, of least total cost together, the
 * cheapest first; returns how many.  A set of fewer paths is taken when a further one does
 * not exist or would need more than SM_SPF_HOPS_MAX hops.  source != target. */
unsigned sm_spf_disjoint(struct sm_spf *s, const struct sm_graph *g, uint32_t source,
                         uint32_t target, unsigned k,
                         struct sm_spf_path out[static SM_SPF_PATHS_MAX]);
