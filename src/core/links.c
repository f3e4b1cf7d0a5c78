// SPDX-License-Identifier: Apache-2.0
/* The tunnels of a node: dialling, accepting, one per neighbour, and draining them.
 *
 * Two nodes that dial each other would have two tunnels.  Both ends keep the one dialled by
 * the smaller node id, so they agree without talking.  Only when the older one is a leftover
 * the newer tunnel always wins: the peer has a new key, and so was restarted, or the same end
 * dialled again, which it does when it has lost the older one.
 *
 * That is so for each carrier.  A neighbour may have a tunnel over TCP and one over UDP; which
 * of them is used says links_choose.c, and its route is up as long as one of them is. */
#include "core/node_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_MIN SM_MS(250)
#define BACKOFF_MAX SM_S(15)
#define DIAL_TIME   SM_S(10) /* a carrier may try for minutes to reach a machine that is off */
#define DOOR_TIME   SM_S(5)  /* from the connection to a HELLO that is let in */

/* -- table ------------------------------------------------------------------------------- */

struct link *links_find(struct sm_node *n, uint32_t conn)
{
    for (unsigned i = 0; i < n->links_top; i++) {
        if (n->links[i].is_used && n->links[i].conn == conn) {
            return &n->links[i];
        }
    }
    return NULL;
}

struct link *links_of_node(struct sm_node *n, struct sm_hop hop)
{
    for (unsigned i = 0; i < n->links_top; i++) {
        struct link *l = &n->links[i];
        if (l->is_used && l->is_chosen && sm_hop_of(&l->node).v == hop.v) {
            return l;
        }
    }
    return NULL;
}

struct link *links_new(struct sm_node *n, uint32_t conn, int peer_index, bool is_udp)
{
    for (unsigned i = 0; i < n->n_links; i++) {
        if (!n->links[i].is_used) {
            n->links[i] = (struct link){
                .is_used = true, .conn = conn, .peer_index = peer_index, .is_udp = is_udp};
            n->links_top = i + 1 > n->links_top ? i + 1 : n->links_top;
            return &n->links[i];
        }
    }
    return NULL;
}

static void link_free(struct sm_node *n, struct link *l)
{
    sm_tunnel_free(l->tunnel);
    free(l->knock.in);
    *l = (struct link){0};
    while (n->links_top > 0 && !n->links[n->links_top - 1].is_used) {
        n->links_top--;
    }
}

void links_free(struct sm_node *n)
{
    for (unsigned i = 0; i < n->links_top; i++) {
        link_free(n, &n->links[i]);
    }
}

static struct sm_dur jittered(struct sm_node *n, struct sm_dur d)
{
    return (struct sm_dur){d.ns - d.ns / 4 + sm_rng_below(&n->rng, d.ns / 2 + 1)};
}

static void dial_later(struct sm_node *n, int peer_index, bool is_udp)
{
    if (peer_index < 0) {
        return;
    }
    unsigned by = is_udp ? BY_UDP : BY_TCP;
    struct peer *p = &n->peers[peer_index];
    struct sm_dur wait = p->dial[by].backoff;
    p->dial[by].at = sm_after(n->now, jittered(n, wait));
    p->dial[by].backoff.ns = wait.ns * 2 > BACKOFF_MAX.ns ? BACKOFF_MAX.ns : wait.ns * 2;
    p->dial[by].has_failed = true;
}

/* -- coming up --------------------------------------------------------------------------- */

enum sm_err links_start(struct sm_node *n, struct link *l, const struct sm_dgram_cfg *datagrams)
{
    struct sm_tunnel_cfg cfg = {.suite = n->cfg.suite,
                                .anchor = sm_rules_anchor(n->rules),
                                .is_dialer = l->peer_index >= 0,
                                .faster = n->cfg.cipher,
                                .dh = &n->dh,
                                .known = n->cfg.known,
                                .datagrams = datagrams,
                                .data_bytes = n->cfg.queue_bytes,
                                .lease = n->cfg.lease,
                                .pq = n->cfg.pq,
                                .record = sm_view_of(n->self_record, n->self_record_n)};
    if (l->peer_index >= 0 && n->peers[l->peer_index].is_known) {
        cfg.peer = &n->peers[l->peer_index].dh_key;
    }
    sm_rng_bytes(&n->rng, cfg.seed, sizeof cfg.seed);
    l->tunnel = sm_tunnel_new(&cfg);
    if (l->tunnel == NULL) {
        return SM_E_NOMEM;
    }
    sm_tunnel_open(l->tunnel, n->now);
    return SM_OK;
}

static void close_conn(struct sm_node *n, uint32_t conn)
{
    node_push(n, (struct sm_action){.kind = SM_ACT_CLOSE, .conn = conn});
}

void links_dialled(struct sm_node *n, uint32_t conn, enum sm_err err)
{
    struct link *l = links_find(n, conn);
    if (l == NULL || l->peer_index < 0 || l->tunnel != NULL) {
        return;
    }
    if (err == SM_OK) {
        err = links_start(n, l, NULL);
        if (err != SM_OK) {
            close_conn(n, conn);
        }
    }
    if (err != SM_OK) {
        dial_later(n, l->peer_index, false);
        link_free(n, l);
    }
}

/* -- strangers --------------------------------------------------------------------------- */

static bool is_stranger(const struct link *l, bool is_at_door)
{
    return l->is_used && l->peer_index < 0 && !l->is_up && !l->is_ending &&
           l->is_at_door == is_at_door;
}

static uint64_t source_of(const struct sm_node *n, const struct sm_net_addr *from)
{
    uint8_t key[17] = {from->family};
    if (from->family == 0) {
        return 0;
    }
    memcpy(key + 1, from->ip, from->family == 6 ? 8 : 4);
    return sm_siphash(key, sizeof key, n->source_key[0], n->source_key[1]) | 1;
}

static unsigned count_strangers(const struct sm_node *n, bool is_at_door, uint64_t source)
{
    unsigned count = 0;
    for (unsigned i = 0; i < n->links_top; i++) {
        const struct link *l = &n->links[i];
        count += is_stranger(l, is_at_door) && (source == 0 || l->source == source);
    }
    return count;
}

/* The oldest of those who hold most places, so that who holds few keeps them. */
static struct link *worst_stranger(struct sm_node *n, bool is_at_door, uint64_t source)
{
    struct link *worst = NULL;
    unsigned most = 0;
    for (unsigned i = 0; i < n->links_top; i++) {
        struct link *l = &n->links[i];
        if (!is_stranger(l, is_at_door) || (source != 0 && l->source != source)) {
            continue;
        }
        unsigned holds = l->source != 0 ? count_strangers(n, is_at_door, l->source) : 1;
        if (worst == NULL || holds > most || (holds == most && l->since.ns < worst->since.ns)) {
            worst = l;
            most = holds;
        }
    }
    return worst;
}

static void push_out(struct sm_node *n, struct link *l)
{
    n->stats.strangers_pushed_out++;
    if (!l->is_udp) {
        close_conn(n, l->conn);
    }
    link_free(n, l);
}

/* Make room for one more from source, at the door or past it. */
static void make_room(struct sm_node *n, bool is_at_door, uint64_t source)
{
    unsigned max = is_at_door ? n->cfg.knocks_max : n->cfg.strangers_max;
    struct link *l = NULL;
    if (source != 0 && count_strangers(n, is_at_door, source) >= n->cfg.of_source_max) {
        l = worst_stranger(n, is_at_door, source);
    } else if (count_strangers(n, is_at_door, 0) >= max) {
        l = worst_stranger(n, is_at_door, 0);
    }
    if (l != NULL) {
        push_out(n, l);
    }
}

void links_accepted(struct sm_node *n, uint32_t conn, const struct sm_net_addr *from)
{
    uint64_t source = source_of(n, from);
    struct link *l = NULL;
    if (n->self_record_n > 0) {
        make_room(n, true, source);
        l = links_new(n, conn, -1, false);
    }
    if (l == NULL) {
        close_conn(n, conn);
        return;
    }
    l->is_at_door = true;
    l->source = source;
    l->from = *from;
    l->since = n->now;
}

unsigned links_strangers(const struct sm_node *n)
{
    return count_strangers(n, false, 0);
}

struct link *links_stranger(struct sm_node *n, const struct sm_net_addr *from)
{
    uint64_t source = source_of(n, from);
    make_room(n, false, source);
    struct link *l = links_new(n, SM_CONN_UDP | (++n->next_conn & (SM_CONN_UDP - 1)), -1, true);
    if (l != NULL) {
        l->source = source;
        l->from = *from;
        l->since = n->now;
    }
    return l;
}

void links_drop(struct sm_node *n, struct link *l)
{
    link_free(n, l);
}

static void let_in(struct sm_node *n, struct link *l)
{
    make_room(n, false, l->source);
    l->is_at_door = false;
    l->since = n->now;
    if (links_start(n, l, NULL) != SM_OK) {
        close_conn(n, l->conn);
        link_free(n, l);
        return;
    }
    sm_tunnel_input(l->tunnel, n->now, n->wall, l->knock.in + l->knock.hello_at,
                    l->knock.n - l->knock.hello_at);
}

static void knock(struct sm_node *n, struct link *l, struct sm_view bytes)
{
    uint8_t source[12];
    sm_put_le32(source, l->conn);
    sm_put_le64(source + 4, l->source);
    if (l->knock.in == NULL) { /* who says nothing costs nothing */
        l->knock.in = malloc(SM_KNOCK_MAX);
    }
    if (l->knock.in == NULL) {
        push_out(n, l);
        return;
    }
    struct sm_wr w = sm_wr_init(l->answer, sizeof l->answer);
    switch (sm_door_hear(&n->door, n->now, count_strangers(n, false, 0),
                         sm_view_of(source, sizeof source), bytes, &l->knock, &w)) {
    case SM_DOOR_WAIT:
        return;
    case SM_DOOR_ASK:
        l->answer_n = (uint8_t)w.n;
        return;
    case SM_DOOR_OPEN:
        let_in(n, l);
        return;
    case SM_DOOR_SHUT:
        l->answer_n = (uint8_t)w.n;
        l->is_shut = true;
        return;
    }
}

void links_input(struct sm_node *n, uint32_t conn, uint8_t *p, size_t len)
{
    struct link *l = links_find(n, conn);
    if (l == NULL) {
        return;
    }
    l->received_bytes += len;
    if (l->tunnel != NULL) {
        sm_tunnel_input(l->tunnel, n->now, n->wall, p, len);
    } else if (l->is_at_door && !l->is_shut) {
        knock(n, l, sm_view_of(p, len));
    }
}

/* The door's answer goes first, so it is written first. */
void links_written(struct sm_node *n, uint32_t conn, size_t len)
{
    struct link *l = links_find(n, conn);
    if (l == NULL) {
        return;
    }
    size_t own = len < l->answer_unwritten ? len : l->answer_unwritten;
    l->answer_unwritten -= own;
    if (l->tunnel != NULL) {
        sm_tunnel_written(l->tunnel, len - own);
    }
}

/* -- up ---------------------------------------------------------------------------------- */

/* Was this tunnel dialled by the end with the smaller node id? */
static bool is_preferred(const struct sm_node *n, const struct link *l)
{
    bool we_are_smaller = memcmp(n->cfg.self.node_id.b, l->node.b, sizeof l->node.b) < 0;
    return we_are_smaller == (l->peer_index >= 0);
}

static void end_link(struct link *l, enum sm_err err, const char *why)
{
    l->is_ending = true; /* its DOWN comes by draining */
    sm_tunnel_close(l->tunnel, err, why);
}

/* Of two tunnels to one node over one carrier, end one.  True when the new one stays. */
static bool settle_double(struct link *old, struct link *new, bool new_is_preferred)
{
    bool was_restarted = memcmp(old->peer_dh, new->peer_dh, sizeof old->peer_dh) != 0;
    bool is_redialled = (old->peer_index >= 0) == (new->peer_index >= 0);
    if (was_restarted || is_redialled || new_is_preferred) {
        end_link(old, SM_E_EXISTS, "a newer tunnel to this node is up");
        return true;
    }
    end_link(new, SM_E_EXISTS, "another tunnel to this node is up");
    return false;
}

/* A peer that was restarted knows nothing of its tunnels of before, over whatever they go. */
static void end_leftovers(struct sm_node *n, const struct link *new)
{
    for (unsigned i = 0; i < n->links_top; i++) {
        struct link *l = &n->links[i];
        if (l != new && l->is_used && l->is_up &&
            !l->is_ending &&sm_node_id_eq(&l->node, &new->node) &&
            memcmp(l->peer_dh, new->peer_dh, sizeof l->peer_dh) != 0) {
            end_link(l, SM_E_EXISTS, "the node was restarted");
        }
    }
}

static void note_peer(struct sm_node *n, const struct link *l, const struct sm_node_record *rec)
{
    if (l->peer_index < 0) {
        return;
    }
    struct peer *p = &n->peers[l->peer_index];
    unsigned by = l->is_udp ? BY_UDP : BY_TCP;
    p->is_known = true;
    p->node = l->node;
    p->speaks_udp = (rec->flags & SM_NODE_UDP) != 0;
    memcpy(p->dh_key.b, l->peer_dh, sizeof p->dh_key.b);
    p->dial[by].backoff = BACKOFF_MIN;
    p->dial[by].has_failed = false;
}

/* The first tunnel to this neighbour, or one in the place of the one before. */
static enum sm_err route_up(struct sm_node *n, struct link *l, struct sm_view record)
{
    SM_TRY(sm_route_link_up(n->route, n->now, n->wall, record));
    /* It has as many places as the map; while one that was revoked still has one, the last
     * newcomer may hear nothing until its tunnel comes up again. */
    (void)!sm_bulletin_link_up(n->bulletin, n->now, sm_hop_of(&l->node));
    return SM_OK;
}

static void tunnel_up(struct sm_node *n, struct link *l, const struct sm_tunnel_out *o)
{
    free(l->knock.in);
    l->knock.in = NULL;
    l->node = o->peer->node_id;
    memcpy(l->peer_dh, o->peer->dh_key, sizeof l->peer_dh);
    note_peer(n, l, o->peer);
    struct link *old = choose_twin(n, l, true);
    if (old != NULL && !settle_double(old, l, is_preferred(n, l))) {
        return;
    }
    end_leftovers(n, l);
    bool has_other = choose_twin(n, l, false) != NULL;
    if (old != NULL && !has_other) {
        sm_route_link_down(n->route, n->now, sm_hop_of(&l->node));
    }
    l->is_up = true;
    enum sm_err e = has_other ? SM_OK : route_up(n, l, o->bytes);
    if (e != SM_OK) {
        l->is_up = false;
        end_link(l, e, "the map of the mesh has no room for this neighbour");
        return;
    }
    choose_link(n, &l->node);
    node_trace(n, SM_TRACE_TUNNEL_UP, l->conn, &l->node, SM_OK, l->is_udp ? "udp" : "tcp");
}

/* -- going down -------------------------------------------------------------------------- */

static void link_down(struct sm_node *n, struct link *l, enum sm_err err, const char *why)
{
    bool has_node = l->is_up;
    struct sm_node_id node = l->node;
    int peer_index = l->peer_index;
    uint32_t conn = l->conn;
    bool is_udp = l->is_udp;
    if (l->is_up) {
        l->is_up = false;
        bool has_other = choose_twin(n, l, false) != NULL || choose_twin(n, l, true) != NULL;
        if (has_other) {
            choose_link(n, &node);
            struct link *twin = choose_twin(n, l, false);
            if (twin != NULL) {
                /* A connection ends when its process does; datagrams would not tell. */
                sm_tunnel_doubt(twin->tunnel, n->now);
            }
        } else {
            sm_route_link_down(n->route, n->now, sm_hop_of(&node));
            sm_bulletin_link_down(n->bulletin, n->now, sm_hop_of(&node));
        }
        if (err == SM_E_TIMEOUT && !has_other) {
            node_observe(n, &node, SM_TRUST_TIMEOUT);
        }
    }
    if (has_node || peer_index >= 0 || !sm_door_is_busy(&n->door)) { /* a flood fills no log */
        node_trace(n, SM_TRACE_TUNNEL_DOWN, conn, has_node ? &node : NULL, err, why);
    }
    link_free(n, l);
    dial_later(n, peer_index, is_udp);
}

/* Keep it for who asks why, and tell the log, less and less often when it comes again. */
static void note_refusal(struct sm_node *n, const struct link *l, const struct sm_tunnel_out *o)
{
    struct sm_refusal r = {.last = n->wall,
                           .peer = l->peer_index >= 0 ? n->peers[l->peer_index].addr : l->from,
                           .has_node = l->is_up,
                           .node = l->node,
                           .is_by_peer = o->is_by_peer,
                           .was_up = l->is_up,
                           .platform = o->is_by_peer ? n->cfg.self.platform : o->platform,
                           .lease_seq = sm_tunnel_lease(l->tunnel).seq,
                           .why = *o->refused};
    const struct sm_refusal *kept = sm_refusals_add(&n->refusals, &r);
    if (kept == NULL || (kept->count & (kept->count - 1)) != 0 ||
        n->queue_n >= NODE_QUEUE / 2) {
        return;
    }
    node_push(n, (struct sm_action){.kind = SM_ACT_TRACE,
                                    .conn = l->conn,
                                    .trace = {.kind = SM_TRACE_REFUSED,
                                              .refusal = kept,
                                              .has_node = kept->has_node,
                                              .node = kept->node,
                                              .err = o->err}});
}

void links_closed(struct sm_node *n, uint32_t conn)
{
    struct link *l = links_find(n, conn);
    if (l != NULL && l->is_at_door) {
        link_free(n, l);
    } else if (l != NULL) {
        link_down(n, l, SM_E_CLOSED, "the connection ended");
    }
}

/* -- records ----------------------------------------------------------------------------- */

void links_self_record(struct sm_node *n)
{
    for (unsigned i = 0; i < n->links_top; i++) {
        if (n->links[i].is_used && n->links[i].tunnel != NULL) {
            sm_tunnel_record(n->links[i].tunnel, sm_view_of(n->self_record, n->self_record_n));
        }
    }
}

void links_peer_record(struct sm_node *n, const struct sm_node_record *rec)
{
    for (unsigned i = 0; i < n->links_top; i++) {
        struct link *l = &n->links[i];
        if (l->is_used && l->is_up && sm_node_id_eq(&l->node, &rec->node_id)) {
            sm_tunnel_peer_record(l->tunnel, n->now, n->wall, rec);
        }
    }
}

void links_judge(struct sm_node *n)
{
    for (unsigned i = 0; i < n->links_top; i++) {
        if (n->links[i].is_used && n->links[i].is_up) {
            sm_tunnel_judge(n->links[i].tunnel, n->now, n->wall);
        }
    }
}

/* -- dialling ---------------------------------------------------------------------------- */

static bool is_dialled_already(struct sm_node *n, int peer_index, bool is_udp)
{
    const struct peer *p = &n->peers[peer_index];
    for (unsigned i = 0; i < n->links_top; i++) {
        const struct link *l = &n->links[i];
        bool is_it = l->peer_index == peer_index || (l->is_up && !l->is_ending && p->is_known &&
                                                     sm_node_id_eq(&l->node, &p->node));
        if (l->is_used && l->is_udp == is_udp && is_it) {
            return true;
        }
    }
    return false;
}

/* UDP is tried where the config says so, where the peer says it speaks it, and where TCP does
 * not come up. */
static bool may_dial(const struct sm_node *n, const struct peer *p, bool is_udp)
{
    if (!is_udp) {
        return p->carrier != SM_CARRIER_UDP;
    }
    bool is_hopeful = p->is_known ? p->speaks_udp : p->dial[BY_TCP].has_failed;
    return n->cfg.has_udp &&
           (p->carrier == SM_CARRIER_UDP || (p->carrier == SM_CARRIER_AUTO && is_hopeful));
}

static void dial(struct sm_node *n, int peer_index, bool is_udp)
{
    uint32_t conn = (++n->next_conn & (SM_CONN_UDP - 1)) | (is_udp ? SM_CONN_UDP : 0);
    struct peer *p = &n->peers[peer_index];
    struct link *l = links_new(n, conn, peer_index, is_udp);
    if (l == NULL) {
        dial_later(n, peer_index, is_udp);
        return;
    }
    l->since = n->now;
    p->dial[is_udp ? BY_UDP : BY_TCP].at = SM_NEVER;
    if (!is_udp) {
        node_push(n, (struct sm_action){.kind = SM_ACT_DIAL, .conn = conn, .addr = p->addr});
    } else if (udp_dial(n, l) != SM_OK) {
        link_free(n, l);
        dial_later(n, peer_index, true);
    }
}

/* A node's new record came by others: if we dial it, it is back, and the pause is over. */
void links_heard_of(struct sm_node *n, const struct sm_node_id *id)
{
    for (unsigned i = 0; i < n->cfg.n_peers * CARRIERS; i++) {
        struct peer *p = &n->peers[i / CARRIERS];
        bool is_udp = i % CARRIERS == BY_UDP;
        if (p->is_known && sm_node_id_eq(&p->node, id) && may_dial(n, p, is_udp) &&
            !is_dialled_already(n, (int)(i / CARRIERS), is_udp)) {
            struct sm_mono soon = sm_after(n->now, jittered(n, BACKOFF_MIN));
            p->dial[i % CARRIERS].at = sm_earlier(p->dial[i % CARRIERS].at, soon);
        }
    }
}

/* When to look at a link again. */
static struct sm_mono link_deadline(const struct link *l)
{
    if (!l->is_used) {
        return SM_NEVER;
    }
    return l->tunnel != NULL ? sm_tunnel_deadline(l->tunnel)
                             : sm_after(l->since, l->is_at_door ? DOOR_TIME : DIAL_TIME);
}

void links_tick(struct sm_node *n)
{
    for (unsigned i = 0; i < n->links_top; i++) {
        struct link *l = &n->links[i];
        if (!sm_is_due(link_deadline(l), n->now)) {
            continue;
        }
        if (l->tunnel != NULL) {
            sm_tunnel_tick(l->tunnel, n->now);
            if (l->is_up && sm_tunnel_is_quiet(l->tunnel)) {
                choose_link(n, &l->node);
            }
        } else {
            close_conn(n, l->conn);
            dial_later(n, l->peer_index, false);
            link_free(n, l);
        }
    }
    for (unsigned i = 0; i < n->cfg.n_peers * CARRIERS && n->self_record_n > 0; i++) {
        struct peer *p = &n->peers[i / CARRIERS];
        bool is_udp = i % CARRIERS == BY_UDP;
        if (!sm_is_due(p->dial[i % CARRIERS].at, n->now)) {
            continue;
        }
        if (!may_dial(n, p, is_udp) || is_dialled_already(n, (int)(i / CARRIERS), is_udp)) {
            p->dial[i % CARRIERS].at = sm_after(n->now, SM_S(1));
        } else {
            dial(n, (int)(i / CARRIERS), is_udp);
        }
    }
}

struct sm_mono links_deadline(const struct sm_node *n)
{
    struct sm_mono d = SM_NEVER;
    for (unsigned i = 0; i < n->links_top; i++) {
        d = sm_earlier(d, link_deadline(&n->links[i]));
    }
    for (unsigned i = 0; i < n->cfg.n_peers * CARRIERS && n->self_record_n > 0; i++) {
        const struct peer *p = &n->peers[i / CARRIERS];
        bool is_udp = i % CARRIERS == BY_UDP;
        d = may_dial(n, p, is_udp) ? sm_earlier(d, p->dial[i % CARRIERS].at) : d;
    }
    return d;
}

/* -- draining ---------------------------------------------------------------------------- */

static bool take_sign(struct sm_node *n, struct link *l, const struct sm_tunnel_out *o,
                      struct sm_action *out)
{
    uint64_t token;
    if (!node_sign(n, SIGN_TUNNEL, l->conn, o->token, &token)) {
        sm_tunnel_signed(l->tunnel, n->now, o->token, SM_E_BUSY, (struct sm_view){0});
        return false;
    }
    *out = (struct sm_action){.kind = SM_ACT_SIGN, .token = token, .bytes = o->bytes};
    return true;
}

static bool take_message(struct sm_node *n, struct link *l, const struct sm_tunnel_out *o,
                         struct sm_action *out)
{
    bool has_action = false;
    if (!l->is_up) {
        return false;
    }
    if (o->message == SM_TUNNEL_CONTROL && o->bytes.n > 0 &&
        o->bytes.p[0] == SM_BULLETIN_CONTROL) {
        sm_bulletin_message(n->bulletin, n->now, n->wall, sm_hop_of(&l->node), o->bytes);
    } else if (o->message == SM_TUNNEL_CONTROL) {
        enum sm_err e =
            sm_route_control(n->route, n->now, n->wall, sm_hop_of(&l->node), o->bytes);
        if (e == SM_E_CRYPTO || e == SM_E_MALFORMED) {
            node_observe(n, &l->node, SM_TRUST_WRONG);
        }
    } else {
        packets_arrived(n, sm_hop_of(&l->node), o->bytes, out, &has_action);
    }
    return has_action;
}

/* One output of one tunnel.  True when *out was set. */
static bool take(struct sm_node *n, struct link *l, const struct sm_tunnel_out *o,
                 struct sm_action *out)
{
    switch (o->kind) {
    case SM_TUNNEL_SEND:
        l->sent_bytes += o->bytes.n;
        *out = (struct sm_action){.kind = SM_ACT_SEND,
                                  .conn = l->conn,
                                  .bytes = o->bytes,
                                  .segment = o->segment,
                                  .addr = o->to.addr,
                                  .sock = o->to.sock};
        return true;
    case SM_TUNNEL_SIGN:
        return take_sign(n, l, o, out);
    case SM_TUNNEL_UP:
        tunnel_up(n, l, o);
        return false;
    case SM_TUNNEL_MESSAGE:
        return take_message(n, l, o, out);
    case SM_TUNNEL_RTT:
        if (l->is_up) {
            l->rtt = o->rtt;
            choose_measured(n, l);
            if (l->is_chosen) {
                sm_route_link_sample(n->route, n->now, sm_hop_of(&l->node), o->rtt, SM_US(0));
            }
            node_observe(n, &l->node, SM_TRUST_OK);
        }
        return false;
    case SM_TUNNEL_VERDICT:
        if (o->verdict != SM_VERDICT_OK || o->reason[0] != '\0') {
            node_trace(n,
                       o->verdict == SM_VERDICT_GRACE      ? SM_TRACE_GRACE
                       : o->verdict == SM_VERDICT_OBSERVED ? SM_TRACE_OBSERVED
                                                           : SM_TRACE_DEPRECATED,
                       l->conn, &l->node, SM_OK, o->reason);
        }
        return false;
    case SM_TUNNEL_DOWN: {
        uint32_t conn = l->conn;
        bool is_udp = l->is_udp;
        if (o->refused != NULL) {
            note_refusal(n, l, o);
        }
        link_down(n, l, o->err, o->reason);
        *out = (struct sm_action){.kind = SM_ACT_CLOSE, .conn = conn};
        return !is_udp;
    }
    }
    return false;
}

/* What the door has to say to a stranger. */
static bool door_next(struct sm_node *n, struct link *l, struct sm_action *out)
{
    if (l->answer_n > 0) {
        *out = (struct sm_action){
            .kind = SM_ACT_SEND, .conn = l->conn, .bytes = sm_view_of(l->answer, l->answer_n)};
        l->sent_bytes += l->answer_n;
        l->answer_unwritten += l->answer_n;
        l->answer_n = 0;
        return true;
    }
    if (l->is_shut) {
        *out = (struct sm_action){.kind = SM_ACT_CLOSE, .conn = l->conn};
        link_free(n, l);
        return true;
    }
    return false;
}

bool links_next(struct sm_node *n, struct sm_action *out, bool *progress)
{
    struct sm_tunnel_out o;
    unsigned top = n->links_top; /* it falls when a link ends meanwhile */
    for (unsigned step = 0; step < top; step++) {
        unsigned at = (n->drain_at + step) % top;
        struct link *l = &n->links[at];
        if (l->is_used && l->is_at_door && door_next(n, l, out)) {
            return true;
        }
        while (l->is_used && l->tunnel != NULL && sm_tunnel_next(l->tunnel, n->now, &o)) {
            *progress = true;
            if (take(n, l, &o, out)) {
                n->drain_at = at;
                return true;
            }
            if (o.kind == SM_TUNNEL_MESSAGE) {
                break; /* what was passed on leaves before more comes: its queue is short */
            }
        }
    }
    return false;
}
