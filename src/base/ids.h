// SPDX-License-Identifier: Apache-2.0
#pragma once
/* ids: the names of things in the mesh, each a type of its own. */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* A node: hash of its platform identity, an index below 4 and the mesh (DESIGN 2). */
struct sm_node_id {
    uint8_t b[32];
};

/* Data id: hash that names an object's manifest, a module or a task. */
struct sm_data_id {
    uint8_t b[32];
};

/* The first eight bytes of a node id, as packets carry it. */
struct sm_hop {
    uint64_t v;
};

/* Where a session ends: a node and an endpoint of it.  Endpoint 0 is the node itself. */
struct sm_addr {
    struct sm_hop node;
    uint32_t ep;
};
#define SM_EP_NODE 0u

static inline bool sm_node_id_eq(const struct sm_node_id *a, const struct sm_node_id *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

static inline bool sm_data_id_eq(const struct sm_data_id *a, const struct sm_data_id *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

static inline bool sm_addr_eq(struct sm_addr a, struct sm_addr b)
{
    return a.node.v == b.node.v && a.ep == b.ep;
}

static inline struct sm_hop sm_hop_of(const struct sm_node_id *id)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++) {
        v |= (uint64_t)id->b[i] << (8 * i);
    }
    return (struct sm_hop){v};
}
