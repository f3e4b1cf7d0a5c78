// SPDX-License-Identifier: Apache-2.0
/* The TUN interface of a node: between the kernel's IPv6 packets and datagrams to other nodes.
 *
 * Packets from the kernel wait in a queue by flow (core/flowq.h) and leave it when the first
 * tunnel of their path has room and there is a session; so nothing else in the node holds many
 * of them.  A flow keeps one path, chosen by its hash among those that are about as good as the
 * best: packets on paths of different length would overtake each other. */
#include "core/node_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUEUE_BYTES = 8 << 20, /* 8 ms at 1 GB/s: CoDel acts first; touched only as needed */
    AHEAD = 128 << 10,     /* two of the largest packets: what a tunnel's next write needs */
};
#define PATIENCE SM_S(3) /* for a session or a tunnel that is not there yet */
#define RETRY    SM_MS(50)

_Static_assert(SM_FLOWQ_FRONT + SM_FLOWQ_SHIFT >= SM_HOST_DATAGRAM_FRONT &&
                   SM_FLOWQ_BACK >= SM_HOST_DATAGRAM_BACK &&
                   (size_t)SM_FLOWQ_PACKET >= (size_t)SM_TUN_PACKET_MAX &&
                   SM_HOST_DATAGRAM_MAX >= (size_t)SM_TUN_PACKET_MAX,
               "a packet can be sealed where it lies in the queue");

/* -- addresses ----------------------------------------------------------------------------- */

struct sm_tun_ip sm_node_tun_ip(const struct sm_node *n)
{
    return sm_tun_ip_of(n->cfg.anchor.mesh_id, n->cfg.self.area, n->hop);
}

/* The node whose address it is; NULL when the mesh has none. */
static const struct sm_node_record *node_of(struct sm_node *n, const struct sm_tun_ip *ip)
{
    const struct sm_node_record *rec = sm_route_node(n->route, sm_tun_ip_hop(ip));
    if (rec == NULL) {
        return NULL;
    }
    struct sm_tun_ip is =
        sm_tun_ip_of(n->cfg.anchor.mesh_id, rec->area, sm_hop_of(&rec->node_id));
    return sm_tun_ip_eq(ip, &is) ? rec : NULL;
}

/* -- life ---------------------------------------------------------------------------------- */

enum sm_err tun_on(struct sm_node *n)
{
    if (n->tun != NULL) {
        return SM_E_EXISTS;
    }
    struct node_tun *t = calloc(1, sizeof *t);
    struct sm_flowq *q = sm_flowq_new(QUEUE_BYTES);
    if (t == NULL || q == NULL) {
        free(t);
        sm_flowq_free(q);
        return SM_E_NOMEM;
    }
    t->queue = q;
    t->again_at = SM_NEVER;
    n->tun = t;
    n->tun_stats = (struct sm_node_tun_stats){.is_on = true};
    return SM_OK;
}

void tun_off(struct sm_node *n)
{
    if (n->tun != NULL) {
        sm_flowq_free(n->tun->queue);
        free(n->tun);
        n->tun = NULL;
        n->tun_stats.is_on = false;
    }
}

uint8_t *sm_node_tun_room(struct sm_node *n)
{
    return n->tun != NULL ? sm_flowq_room(n->tun->queue) : NULL;
}

struct sm_node_tun_stats sm_node_tun_stats(const struct sm_node *n)
{
    struct sm_node_tun_stats s = n->tun_stats;
    if (n->tun != NULL) {
        struct sm_flowq_stats q = sm_flowq_stats(n->tun->queue);
        s.dropped += q.dropped_full + q.dropped_late;
        s.waiting = q.packets;
        s.waiting_bytes = q.bytes;
        s.flows = q.flows;
    }
    return s;
}

/* -- from the kernel ----------------------------------------------------------------------- */

static bool answer(struct sm_node *n, enum sm_tun_unreachable code, const uint8_t *p,
                   size_t len, struct sm_action *out)
{
    struct sm_tun_ip self = sm_node_tun_ip(n);
    size_t answer_n = sm_tun_answer(p, len, code, &self, n->tun->answer);
    n->tun_stats.unreachable++;
    *out =
        (struct sm_action){.kind = SM_ACT_TUN, .bytes = sm_view_of(n->tun->answer, answer_n)};
    return answer_n > 0;
}

static uint32_t flow_of(const struct sm_node *n, const struct sm_tun_packet *t)
{
    uint8_t key[16 + 1 + 4];
    memcpy(key, t->dst.b, 16);
    key[16] = t->proto;
    memcpy(key + 17, t->ports, 4);
    return (uint32_t)sm_siphash(key, sizeof key, n->source_key[0], n->source_key[1]);
}

bool tun_packet(struct sm_node *n, size_t len, struct sm_action *out)
{
    struct sm_tun_ip self = sm_node_tun_ip(n);
    struct sm_tun_packet t;
    struct sm_route_path paths[SM_ROUTE_PATHS];
    if (n->tun == NULL || len > SM_TUN_PACKET_MAX) {
        return false;
    }
    uint8_t *p = sm_flowq_room(n->tun->queue);
    if (sm_tun_read(p, len, &t) != SM_OK || !sm_tun_ip_eq(&t.src, &self)) {
        n->tun_stats.refused_out++;
        return false;
    }
    if (!sm_tun_ip_is_of(&t.dst, n->cfg.anchor.mesh_id)) {
        return answer(n, SM_TUN_NO_ROUTE, p, len, out);
    }
    struct sm_hop dst = sm_tun_ip_hop(&t.dst);
    if (node_of(n, &t.dst) == NULL || dst.v == n->hop.v ||
        sm_route_paths(n->route, n->now, dst, SM_ROUTE_PATHS, paths) == 0) {
        return answer(n, SM_TUN_ADDRESS, p, len, out);
    }
    sm_flowq_add(n->tun->queue, n->now, flow_of(n, &t), dst, len);
    return false;
}

/* -- to a peer ----------------------------------------------------------------------------- */

enum fate { SENT, WAITS, LOST, NOT_YET }; /* NOT_YET: waits, but not for ever */

/* The path of the flow: one of those whose cost is within a quarter of the best. */
static uint8_t pick(const struct sm_route_path *paths, unsigned count, uint32_t flow)
{
    unsigned good = 1;
    while (good < count && paths[good].cost <= paths[0].cost + paths[0].cost / 4) {
        good++;
    }
    return (uint8_t)((flow >> 16) % good); /* the queue's rows use the low bits */
}

static enum fate send_one(struct sm_node *n, const struct sm_flowq_packet *k)
{
    struct sm_route_path paths[SM_ROUTE_PATHS];
    struct sm_addr dst = {.node = k->dst, .ep = SM_EP_NODE};
    struct sm_view packet;
    unsigned count = sm_route_paths(n->route, n->now, k->dst, SM_ROUTE_PATHS, paths);
    const struct sm_node_record *rec = sm_route_node(n->route, k->dst);
    packets_tell_paths(n, SM_EP_NODE, k->dst, count);
    if (count == 0 || rec == NULL) {
        return LOST;
    }
    uint8_t slot = pick(paths, count, k->flow);
    const struct link *l = links_of_node(n, paths[slot].hops[0]);
    if (l == NULL) {
        return NOT_YET;
    }
    if (sm_tunnel_queued(l->tunnel) >= AHEAD) {
        return WAITS;
    }
    if (sm_host_datagram(n->host, n->now, dst, rec->dh_key, slot, SM_SERVICE_TUN, k->p, k->n,
                         &packet) != SM_OK) {
        return NOT_YET;
    }
    if (packets_send_over(n, SM_EP_NODE, dst, slot, &paths[slot], packet)) {
        n->tun_stats.sent++;
        n->tun_stats.sent_bytes += k->n - SM_TUN_VNET;
    } else {
        n->tun_stats.dropped++;
    }
    return SENT;
}

bool tun_next(struct sm_node *n, struct sm_action *out, bool *progress)
{
    struct sm_flowq *q = n->tun->queue;
    struct sm_flowq_packet k;
    while (sm_flowq_next(q, n->now, &k)) {
        enum fate fate = send_one(n, &k);
        if (fate == NOT_YET && sm_is_due(sm_after(k.since, PATIENCE), n->now)) {
            fate = LOST;
        }
        if (fate == WAITS || fate == NOT_YET) {
            sm_flowq_skip(q);
            if (fate == NOT_YET) {
                n->tun->again_at = sm_after(n->now, RETRY);
                *progress = true; /* a handshake may have begun */
            }
            continue;
        }
        bool has_answer = fate == LOST && answer(n, SM_TUN_ADDRESS, k.p, k.n, out);
        sm_flowq_take(q);
        *progress = true;
        if (has_answer) {
            return true;
        }
    }
    return false;
}

void tun_begin(struct sm_node *n)
{
    sm_flowq_again(n->tun->queue);
    n->tun->again_at = SM_NEVER;
}

struct sm_mono tun_deadline(const struct sm_node *n)
{
    return n->tun != NULL ? n->tun->again_at : SM_NEVER;
}

/* -- from a peer --------------------------------------------------------------------------- */

bool tun_arrived(struct sm_node *n, const struct sm_host_datagram *d, struct sm_action *out)
{
    struct sm_tun_ip self = sm_node_tun_ip(n);
    struct sm_tun_packet t;
    if (n->tun == NULL || d->service != SM_SERVICE_TUN || d->n > SM_TUN_PACKET_MAX ||
        sm_tun_read(d->p, d->n, &t) != SM_OK || !sm_tun_ip_eq(&t.dst, &self)) {
        n->tun_stats.refused_in++;
        return false;
    }
    /* The session proves a node; what it writes as its address must be that node's.  A node
     * whose record is not believed any more has none. */
    const struct sm_node_record *rec = node_of(n, &t.src);
    if (rec == NULL || d->peer->kind != SM_ENDPOINT_NODE ||
        !sm_node_id_eq(&rec->node_id, &d->peer->node.node_id)) {
        n->tun_stats.refused_sources++;
        return false;
    }
    n->tun_stats.received++;
    n->tun_stats.received_bytes += d->n - SM_TUN_VNET;
    *out = (struct sm_action){.kind = SM_ACT_TUN, .bytes = sm_view_of(d->p, d->n)};
    return true;
}
