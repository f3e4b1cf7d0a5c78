// SPDX-License-Identifier: Apache-2.0
#include "core/refusals.h"

#include <stdlib.h>
#include <string.h>

/* Ports of strangers differ each time; the machine is what counts. */
static bool is_same(const struct sm_refusal *a, const struct sm_refusal *b)
{
    return a->is_by_peer == b->is_by_peer && a->has_node == b->has_node &&
           (!a->has_node || sm_node_id_eq(&a->node, &b->node)) &&
           a->peer.family == b->peer.family &&
           memcmp(a->peer.ip, b->peer.ip, sizeof a->peer.ip) == 0 && a->why.n == b->why.n &&
           (a->why.n == 0 || a->why.r[0].code == b->why.r[0].code);
}

/* Its place: that of the same, a free one, or that of the oldest. */
static struct sm_refusal **place_for(struct sm_refusals *t, const struct sm_refusal *r)
{
    struct sm_refusal **best = &t->e[0];
    for (unsigned i = 0; i < SM_REFUSALS_MAX; i++) {
        if (t->e[i] != NULL && is_same(t->e[i], r)) {
            return &t->e[i];
        }
        if (*best != NULL && (t->e[i] == NULL || t->e[i]->last.s < (*best)->last.s)) {
            best = &t->e[i];
        }
    }
    return best;
}

const struct sm_refusal *sm_refusals_add(struct sm_refusals *t, const struct sm_refusal *r)
{
    struct sm_refusal **at = place_for(t, r);
    bool is_again = *at != NULL && is_same(*at, r);
    struct sm_wall first = is_again ? (*at)->first : r->last;
    uint64_t count = is_again ? (*at)->count + 1 : 1;
    if (*at == NULL) {
        *at = malloc(sizeof **at);
    }
    if (*at == NULL) {
        return NULL;
    }
    **at = *r;
    (*at)->first = first;
    (*at)->count = count;
    return *at;
}

static bool is_before(const struct sm_refusal *a, unsigned i, const struct sm_refusal *b,
                      unsigned k)
{
    return a->last.s > b->last.s || (a->last.s == b->last.s && i < k);
}

const struct sm_refusal *sm_refusals_at(const struct sm_refusals *t, unsigned want)
{
    for (unsigned i = 0; i < SM_REFUSALS_MAX; i++) {
        unsigned rank = 0;
        for (unsigned k = 0; t->e[i] != NULL && k < SM_REFUSALS_MAX; k++) {
            rank += t->e[k] != NULL && k != i && is_before(t->e[k], k, t->e[i], i);
        }
        if (t->e[i] != NULL && rank == want) {
            return t->e[i];
        }
    }
    return NULL;
}

void sm_refusals_done(struct sm_refusals *t)
{
    for (unsigned i = 0; i < SM_REFUSALS_MAX; i++) {
        free(t->e[i]);
    }
    *t = (struct sm_refusals){0};
}
