// SPDX-License-Identifier: Apache-2.0
/* Which of a neighbour's tunnels is used.
 *
 * One over TCP, when it is well: it loses nothing, and the kernel paces it.  One over UDP when
 * there is no other, when the other has fallen quiet, or when round trips over it are so much
 * shorter that TCP must be waiting for what was lost.  Round trips are those of pings, which
 * stand in the queue of their carrier.  All control goes where packets go; when the choice
 * changes, what was on its way over the other may be lost, so the neighbour is told again. */
#include "core/node_int.h"

#define RTT_LEAST SM_MS(5) /* gained by a change */
#define RTT_STAY  SM_MS(1) /* gained by no change back */

struct link *choose_twin(struct sm_node *n, const struct link *l, bool is_same_carrier)
{
    for (unsigned i = 0; i < n->links_top; i++) {
        struct link *t = &n->links[i];
        if (t != l && t->is_used && t->is_up && !t->is_ending &&
            (t->is_udp == l->is_udp) == is_same_carrier && sm_node_id_eq(&t->node, &l->node)) {
            return t;
        }
    }
    return NULL;
}

/* To go over, it must be clearly better; to stay, a little. */
static bool is_udp_better(const struct link *udp, const struct link *tcp)
{
    uint64_t u = udp->rtt_smooth.ns, t = tcp->rtt_smooth.ns;
    if (u == 0 || t == 0) {
        return false;
    }
    return udp->is_chosen ? t > u + u / 2 + RTT_STAY.ns : t > 2 * u + RTT_LEAST.ns;
}

/* Is a, over TCP, to be used rather than b, over UDP? */
static bool is_better(const struct link *tcp, const struct link *udp)
{
    bool is_tcp_quiet = sm_tunnel_is_quiet(tcp->tunnel);
    bool is_udp_quiet = sm_tunnel_is_quiet(udp->tunnel);
    if (is_tcp_quiet != is_udp_quiet) {
        return is_udp_quiet;
    }
    return !is_udp_better(udp, tcp);
}

void choose_link(struct sm_node *n, const struct sm_node_id *node)
{
    struct link *of[CARRIERS] = {NULL, NULL}, *was = NULL, *best;
    for (unsigned i = 0; i < n->links_top; i++) {
        struct link *l = &n->links[i];
        if (!l->is_used || !sm_node_id_eq(&l->node, node)) {
            continue;
        }
        was = l->is_chosen ? l : was;
        if (l->is_up && !l->is_ending) {
            of[l->is_udp ? BY_UDP : BY_TCP] = l;
        }
    }
    best = of[BY_TCP] == NULL ? of[BY_UDP] : of[BY_TCP];
    if (of[BY_TCP] != NULL && of[BY_UDP] != NULL && !is_better(of[BY_TCP], of[BY_UDP])) {
        best = of[BY_UDP];
    }
    if (best == was) {
        return;
    }
    if (was != NULL) {
        was->is_chosen = false;
    }
    if (best != NULL) {
        best->is_chosen = true;
    }
    if (best != NULL && was != NULL && best->is_udp != was->is_udp) {
        sm_route_link_again(n->route, sm_hop_of(node));
        if (sm_bulletin_link_up(n->bulletin, n->now, sm_hop_of(node)) != SM_OK) {
            return; /* it never had a place there */
        }
    }
}

void choose_measured(struct sm_node *n, struct link *l)
{
    uint64_t was = l->rtt_smooth.ns;
    l->rtt_smooth.ns = was == 0 ? l->rtt.ns : (3 * was + l->rtt.ns) / 4;
    choose_link(n, &l->node);
}
