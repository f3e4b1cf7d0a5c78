// SPDX-License-Identifier: Apache-2.0
#pragma once
/* bench_spf: full SPF as routes use it, beside a bare heap Dijkstra on the same graph.
 *
 * The reference is what one would write for this alone: one function, arrays on hand, an
 * indexed binary heap, no ties to decide and nothing checked.  Both run in turn, rounds times
 * each, from the same sources; the figures are medians.
 */
#include "base/err.h"

#include <stdint.h>

struct bench_spf {
    uint32_t nodes, edges;    /* of the graph: connected, both directions of each edge */
    uint64_t spf_ns, bare_ns; /* one run */
    uint64_t disjoint_ns;     /* four node-disjoint paths of one pair */
    uint64_t checksum;        /* of all distances: the same from both, or FAILED */
};

/* NOMEM; INVALID when edges < nodes - 1 or rounds is 0; FAILED when the two disagree. */
enum sm_err bench_spf_run(uint32_t nodes, uint32_t edges, uint64_t seed, unsigned rounds,
                          struct bench_spf *out) SM_MUST;
