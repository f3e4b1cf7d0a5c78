// SPDX-License-Identifier: Apache-2.0
/* The way of packets through a node: from a tunnel to a tunnel or an endpoint, and from an
 * endpoint to a tunnel or another endpoint. */
#include "core/node_int.h"

#include <assert.h>
#include <string.h>

/* Fragments lost on a path that delivered so lately were dropped by a full queue, which is no
 * relay's fault; sessions report deliveries every half second. */
#define SLOT_ALIVE SM_MS(800)

size_t node_note_slot(uint64_t hop, uint32_t ep)
{
    uint64_t mixed = (hop ^ (uint64_t)ep * 0x9e3779b97f4a7c15u) * 0x9e3779b97f4a7c15u;
    return (size_t)(mixed >> 32) % NODE_SEEN;
}

/* -- delivery ---------------------------------------------------------------------------- */

static void deliver(struct sm_node *n, uint32_t ep, struct sm_addr src, uint8_t slot,
                    struct sm_view payload, struct sm_action *out, bool *has_action)
{
    n->stats.packets_delivered++;
    if (ep == SM_EP_NODE) {
        struct sm_host_datagram d;
        sm_host_packet(n->host, n->now, n->wall, src, slot, payload);
        if (sm_host_datagram_take(n->host, &d) && tun_arrived(n, &d, out)) {
            *has_action = true;
        }
        return;
    }
    *out = (struct sm_action){
        .kind = SM_ACT_EP_PACKET, .ep = ep, .addr_from = src, .slot = slot, .bytes = payload};
    *has_action = true;
}

/* The tunnel opened the frame in place, in memory the driver gave us to overwrite. */
static uint8_t *writable(struct sm_view v)
{
    return (uint8_t *)(uintptr_t)v.p;
}

static void forward(struct sm_node *n, struct sm_hop next, struct sm_view bytes)
{
    struct link *l = links_of_node(n, next);
    if (l == NULL) {
        n->stats.dropped_no_route++;
        return;
    }
    if (sm_tunnel_send(l->tunnel, SM_TUNNEL_PACKET, bytes) != SM_OK) {
        n->stats.dropped_queue++; /* never waits: other tunnels are not held up */
        return;
    }
    n->stats.packets_forwarded++;
}

void packets_arrived(struct sm_node *n, struct sm_hop from, struct sm_view bytes,
                     struct sm_action *out, bool *has_action)
{
    struct sm_hop next;
    struct sm_packet p;
    switch (sm_packet_forward(writable(bytes), bytes.n, n->hop, from, &next)) {
    case SM_PACKET_DELIVER:
        if (sm_packet_read(bytes, &p) == SM_OK) {
            deliver(n, p.dst_ep, sm_packet_src(&p), p.path_slot, p.payload, out, has_action);
        }
        return;
    case SM_PACKET_FORWARD:
        forward(n, next, bytes);
        return;
    case SM_PACKET_LIMIT:
        n->stats.dropped_loop++;
        return;
    case SM_PACKET_BAD:
    case SM_PACKET_NOT_OURS:
    case SM_PACKET_WRONG_FROM:
        n->stats.dropped_malformed++;
        return;
    }
}

/* -- sending ----------------------------------------------------------------------------- */

static void fail(struct sm_node *n, uint32_t ep, struct sm_addr dst, uint8_t slot)
{
    n->stats.dropped_no_route++;
    if (ep == SM_EP_NODE) {
        sm_host_unreachable(n->host, n->now, dst, slot);
        return;
    }
    node_push(n, (struct sm_action){
                     .kind = SM_ACT_EP_FAIL, .ep = ep, .addr_from = dst, .slot = slot});
}

/* Tell the sender how many paths there are, when that is news to it. */
void packets_tell_paths(struct sm_node *n, uint32_t ep, struct sm_hop dst, unsigned n_paths)
{
    struct paths_note *note = &n->paths[node_note_slot(dst.v, ep)];
    if (note->is_used && note->ep == ep && note->dst.v == dst.v && note->n == n_paths) {
        return;
    }
    *note = (struct paths_note){ep, dst, (uint8_t)n_paths, true};
    if (ep == SM_EP_NODE) {
        sm_host_paths(n->host, n->now, dst, n_paths);
        return;
    }
    node_push(n, (struct sm_action){.kind = SM_ACT_EP_PATHS,
                                    .ep = ep,
                                    .addr_from = {.node = dst},
                                    .n_slots = (uint8_t)n_paths});
}

bool packets_send_over(struct sm_node *n, uint32_t ep, struct sm_addr dst, uint8_t slot,
                       const struct sm_route_path *path, struct sm_view payload)
{
    struct link *l = links_of_node(n, path->hops[0]);
    struct sm_packet p = {.kind = SM_PACKET_SESSION,
                          .n_hops = path->n,
                          .path_slot = slot,
                          .src = n->hop,
                          .src_ep = ep,
                          .dst_ep = dst.ep};
    memcpy(p.hops, path->hops, path->n * sizeof p.hops[0]);
    uint8_t head[SM_PACKET_HEADER_MAX];
    struct sm_wr w = sm_wr_init(head, sizeof head);
    if (l == NULL || sm_packet_head_write(&p, &w) != SM_OK) {
        fail(n, ep, dst, slot);
        return false;
    }
    if (payload.n > SM_PACKET_PAYLOAD_MAX) {
        n->stats.dropped_malformed++;
        return false;
    }
    if (sm_tunnel_send2(l->tunnel, SM_TUNNEL_PACKET, sm_view_of(head, w.n), payload) != SM_OK) {
        n->stats.dropped_queue++;
        return false;
    }
    n->stats.packets_sent++;
    return true;
}

void packets_send(struct sm_node *n, uint32_t ep, struct sm_addr dst, uint8_t slot,
                  struct sm_view payload, struct sm_action *out, bool *has_action)
{
    struct sm_route_path paths[SM_ROUTE_PATHS];
    if (dst.node.v == n->hop.v) {
        deliver(n, dst.ep, (struct sm_addr){n->hop, ep}, slot, payload, out, has_action);
        return;
    }
    unsigned count = sm_route_paths(n->route, n->now, dst.node, SM_ROUTE_PATHS, paths);
    packets_tell_paths(n, ep, dst.node, count);
    if (count == 0) {
        fail(n, ep, dst, slot);
        return;
    }
    (void)packets_send_over(n, ep, dst, slot, &paths[slot % count], payload);
}

/* -- what paths did ---------------------------------------------------------------------- */

void packets_report(struct sm_node *n, struct sm_hop dst, uint8_t slot, bool is_ok)
{
    if (slot >= SM_PACKET_SLOTS || dst.v == n->hop.v) {
        return;
    }
    struct slot_note *note = &n->slots[node_note_slot(dst.v, 0)];
    if (!note->is_used || note->dst.v != dst.v) {
        *note = (struct slot_note){.dst = dst, .is_used = true};
    }
    if (!is_ok && note->ok_at[slot].ns > 0 &&
        sm_between(note->ok_at[slot], n->now).ns < SLOT_ALIVE.ns) {
        return;
    }
    note->ok_at[slot] = is_ok ? n->now : note->ok_at[slot];
    sm_route_path_report(n->route, n->now, dst, slot, is_ok);
}
