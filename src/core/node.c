// SPDX-License-Identifier: Apache-2.0
#include "core/node.h"

#include "core/node_int.h"
#include "wire/sign.h"
#include "wire/task.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECORD_LIFE_S = 3600,
    QUEUE_BYTES = 256 << 10,   /* default: about 1 ms at 2 GB/s */
    CARRIER_BYTES = 256 << 10, /* what a tunnel hands to its carrier at most, by default */
    DHT_GRADE = 1,             /* the DHT has one class of contact: verified */
};
#define RECORD_RENEW SM_S(1200)
#define RECORD_RETRY SM_S(1)
#define DHT_DEADLINE SM_S(5) /* the DHT itself gives up earlier, by what it measures */
#define SILENCE      SM_S(2) /* timeouts of a node closer together are one */

/* -- small things ------------------------------------------------------------------------ */

void node_push(struct sm_node *n, struct sm_action a)
{
    if (n->queue_n < NODE_QUEUE) {
        n->queue[(n->queue_from + n->queue_n) % NODE_QUEUE] = a;
        n->queue_n++;
    }
}

void node_trace(struct sm_node *n, enum sm_trace_kind kind, uint32_t conn,
                const struct sm_node_id *node, enum sm_err err, const char *text)
{
    struct sm_action a = {.kind = SM_ACT_TRACE,
                          .conn = conn,
                          .trace = {.kind = kind, .has_node = node != NULL, .err = err}};
    if (node != NULL) {
        a.trace.node = *node;
    }
    size_t len = strnlen(text, sizeof a.trace.text - 1);
    memcpy(a.trace.text, text, len);
    if (n->queue_n < NODE_QUEUE / 2) { /* traces never push out what must be done */
        node_push(n, a);
    }
}

bool node_sign(struct sm_node *n, enum sign_owner owner, uint32_t conn, uint64_t inner,
               uint64_t *out_token)
{
    for (unsigned i = 0; i < NODE_SIGNS; i++) {
        struct pending_sign *s = &n->signs[i];
        if (s->owner == SIGN_FREE) {
            *s = (struct pending_sign){owner, conn, inner, s->generation + 1};
            *out_token = (uint64_t)s->generation << 16 | i;
            return true;
        }
    }
    return false;
}

/* Was this node not found silent a moment ago?  Notes that. */
static bool is_new_silence(struct sm_node *n, const struct sm_node_id *id)
{
    struct sm_hop hop = sm_hop_of(id);
    struct silence_note *note = &n->silences[node_note_slot(hop.v, 0)];
    bool is_old =
        note->is_used && note->node.v == hop.v && sm_between(note->at, n->now).ns < SILENCE.ns;
    if (!is_old) {
        *note = (struct silence_note){hop, n->now, true};
    }
    return !is_old;
}

void node_observe(struct sm_node *n, const struct sm_node_id *id, enum sm_trust_kind kind)
{
    if (kind == SM_TRUST_TIMEOUT && !is_new_silence(n, id)) {
        return;
    }
    bool is_excluded = sm_trust_observe(n->trust, n->now, id, kind);
    if (is_excluded || kind != SM_TRUST_OK) {
        sm_route_trust_changed(n->route, n->now, id);
    }
}

static const uint8_t *sign_key_of(void *ctx, const struct sm_node_id *id)
{
    struct sm_node *n = ctx;
    if (sm_node_id_eq(id, &n->cfg.self.node_id)) {
        return n->cfg.self.sign_key;
    }
    return sm_route_sign_key(n->route, id);
}

/* -- life -------------------------------------------------------------------------------- */

static struct sm_route *new_route(struct sm_node *n)
{
    struct sm_route_cfg cfg = {.suite = n->cfg.suite,
                               .anchor = sm_rules_anchor(n->rules),
                               .pinned = &n->cfg.anchor,
                               .trust = n->trust,
                               .area = n->cfg.self.area,
                               .nodes_max = n->cfg.nodes_max};
    sm_rng_bytes(&n->rng, cfg.seed, sizeof cfg.seed);
    return sm_route_new(&cfg);
}

static struct sm_trust *new_trust(struct sm_node *n)
{
    struct sm_trust_cfg cfg = {.nodes_max = n->cfg.nodes_max * 2,
                               .map_key = {sm_rng_u64(&n->rng), sm_rng_u64(&n->rng)}};
    memcpy(cfg.grade, n->cfg.anchor.grade, sizeof cfg.grade);
    return sm_trust_new(&cfg);
}

static struct sm_dht *new_dht(struct sm_node *n)
{
    struct sm_dht_cfg cfg = {.suite = n->cfg.suite,
                             .anchor = sm_rules_anchor(n->rules),
                             .self = n->cfg.self.node_id,
                             .sign_key = sign_key_of,
                             .ctx = n,
                             .max_records = n->cfg.records_max,
                             .max_published = n->cfg.published_max};
    sm_rng_bytes(&n->rng, cfg.seed, sizeof cfg.seed);
    return sm_dht_new(&cfg, n->now, n->wall);
}

static struct sm_host *new_host(struct sm_node *n)
{
    struct sm_host_cfg cfg = {.suite = n->cfg.suite,
                              .anchor = sm_rules_anchor(n->rules),
                              .self = {.node = n->hop, .ep = SM_EP_NODE},
                              .dh = n->dh,
                              .known = n->cfg.known,
                              .cipher = n->cfg.cipher,
                              .sessions = n->cfg.sessions_max,
                              .pool_bytes = n->cfg.session_bytes};
    sm_rng_bytes(&n->rng, cfg.seed, sizeof cfg.seed);
    return sm_host_new(&cfg);
}

static void make_door(struct sm_node *n)
{
    struct sm_door_cfg cfg = {.rate_per_s = n->cfg.handshakes_per_s};
    sm_rng_bytes(&n->rng, cfg.seed, sizeof cfg.seed);
    sm_door_init(&n->door, &cfg, n->now);
    n->source_key[0] = sm_rng_u64(&n->rng);
    n->source_key[1] = sm_rng_u64(&n->rng);
}

struct sm_node *sm_node_new(const struct sm_node_cfg *cfg)
{
    if (cfg->n_peers > SM_NODE_PEERS_MAX) {
        return NULL;
    }
    struct sm_node *n = calloc(1, sizeof *n);
    if (n == NULL) {
        return NULL;
    }
    n->cfg = *cfg;
    n->now = cfg->now;
    n->wall = cfg->wall;
    n->cfg.nodes_max = cfg->nodes_max > 0 ? cfg->nodes_max : SM_ROUTE_NODES_MAX;
    n->cfg.queue_bytes = cfg->queue_bytes > 0 ? cfg->queue_bytes : QUEUE_BYTES;
    n->congested_bytes = (n->cfg.queue_bytes + CARRIER_BYTES) / 2;
    n->n_links = cfg->tunnels_max > 0 ? cfg->tunnels_max : NODE_TUNNELS;
    n->hop = sm_hop_of(&cfg->self.node_id);
    n->out = SM_BUF(1 << 20);
    n->cfg.knocks_max = cfg->knocks_max > 0 ? cfg->knocks_max : NODE_KNOCKS;
    n->cfg.strangers_max = cfg->strangers_max > 0 ? cfg->strangers_max : NODE_STRANGERS;
    n->cfg.of_source_max = cfg->of_source_max > 0 ? cfg->of_source_max : NODE_OF_SOURCE;
    sm_rng_init(&n->rng, cfg->seed, "node");
    sm_dh_pair_make(cfg->suite, &n->rng, &n->dh);
    make_door(n);
    memcpy(n->cfg.self.dh_key, n->dh.pub.b, sizeof n->cfg.self.dh_key);
    for (unsigned i = 0; i < cfg->n_peers; i++) {
        n->peers[i] = (struct peer){.addr = cfg->peers[i],
                                    .carrier = cfg->carriers[i],
                                    .dial = {{.backoff = SM_MS(250)}, {.backoff = SM_MS(250)}}};
    }
    n->links = calloc(n->n_links, sizeof *n->links);
    n->trust = documents_new(n) == SM_OK ? new_trust(n) : NULL;
    n->route = n->trust != NULL ? new_route(n) : NULL;
    n->dht = n->route != NULL ? new_dht(n) : NULL;
    n->host = n->dht != NULL ? new_host(n) : NULL;
    uint64_t k0 = sm_rng_u64(&n->rng), k1 = sm_rng_u64(&n->rng);
    enum sm_err e = sm_map_init(&n->rpcs, sizeof(uint64_t), NODE_RPCS, k0, k1);
    if (n->links == NULL || n->host == NULL || e != SM_OK) {
        sm_node_free(n);
        return NULL;
    }
    return n;
}

void sm_node_free(struct sm_node *n)
{
    if (n == NULL) {
        return;
    }
    tun_off(n);
    if (n->links != NULL) {
        links_free(n);
    }
    sm_refusals_done(&n->refusals);
    sm_host_free(n->host);
    sm_dht_free(n->dht);
    sm_route_free(n->route);
    sm_trust_free(n->trust);
    documents_free(n);
    sm_buf_done(&n->out);
    sm_map_done(&n->rpcs);
    free(n->links);
    sm_wipe(n, sizeof *n);
    free(n);
}

/* -- the node's own record --------------------------------------------------------------- */

static void renew_self(struct sm_node *n)
{
    struct sm_node_record *rec = &n->cfg.self;
    uint64_t by_clock = n->wall.s << 16; /* a restarted node goes on above its past */
    n->self_seq = n->self_seq + 1 > by_clock ? n->self_seq + 1 : by_clock;
    rec->head = (struct sm_record_head){.network = n->cfg.anchor.network,
                                        .seq = n->self_seq,
                                        .not_before = n->wall,
                                        .expires = {n->wall.s + RECORD_LIFE_S}};
    struct sm_wr w = sm_wr_init(n->self_unsigned, sizeof n->self_unsigned);
    sm_node_record_write(rec, &w);
    struct sm_view bytes;
    n->self_renew_at = sm_after(n->now, RECORD_RETRY);
    if (sm_wr_done(&w, &bytes) == SM_OK) {
        n->self_unsigned_n = bytes.n;
        n->self_is_pending = true;
    }
}

static void self_signed(struct sm_node *n, enum sm_err err, struct sm_view sig)
{
    if (err != SM_OK || sig.n != SM_RECORD_SIG) {
        node_trace(n, SM_TRACE_SIGN_FAILED, 0, NULL, err != SM_OK ? err : SM_E_MALFORMED,
                   "the node's own record");
        return; /* asked again when self_renew_at is due */
    }
    memcpy(n->self_record, n->self_unsigned, n->self_unsigned_n);
    memcpy(n->self_record + n->self_unsigned_n, sig.p, sig.n);
    size_t len = n->self_unsigned_n + sig.n;
    enum sm_err e = sm_route_self(n->route, n->now, n->wall, sm_view_of(n->self_record, len));
    if (e != SM_OK) {
        node_trace(n, SM_TRACE_SIGN_FAILED, 0, NULL, e,
                   "the node's own record was not accepted");
        return;
    }
    n->self_record_n = len;
    links_self_record(n);
    n->self_renew_at = sm_after(n->now, RECORD_RENEW);
    uint8_t passport[SM_PASSPORT_MAX];
    struct sm_wr w = sm_wr_init(passport, sizeof passport);
    sm_passport_write(sm_node_self_record(n), (struct sm_view){0}, &w);
    struct sm_view view;
    if (sm_wr_done(&w, &view) != SM_OK || sm_host_passport(n->host, view) != SM_OK) {
        node_trace(n, SM_TRACE_SIGN_FAILED, 0, NULL, SM_E_LIMIT, "the node's own passport");
    }
}

/* -- TASK records ------------------------------------------------------------------------ */

static void fail_found(struct sm_node *n, uint64_t token, enum sm_err err)
{
    node_push(n, (struct sm_action){.kind = SM_ACT_FOUND, .token = token, .err = err});
}

static struct sm_node_id holder_id(struct sm_node *n, struct sm_hop hop)
{
    const struct sm_node_record *rec = sm_route_node(n->route, hop);
    return rec != NULL ? rec->node_id : n->cfg.self.node_id;
}

static void start_task(struct sm_node *n, uint64_t token, const struct sm_event_task *t)
{
    for (unsigned i = 0; i < NODE_TASKS; i++) {
        struct pending_task *p = &n->tasks[i];
        if (p->is_used) {
            continue;
        }
        struct sm_task rec = {.head = {.network = n->cfg.anchor.network,
                                       .seq = t->fence << 4 | t->state,
                                       .not_before = n->wall,
                                       .expires = {n->wall.s + 1 + t->lease_ms / 1000}},
                              .holder = holder_id(n, t->holder.node),
                              .holder_ep = t->holder.ep,
                              .fence = t->fence,
                              .lease_ms = t->lease_ms,
                              .state = t->state,
                              .signer = n->cfg.self.node_id};
        memcpy(rec.task_id.b, t->task_id, sizeof rec.task_id.b);
        struct sm_wr w = sm_wr_init(p->bytes, sizeof p->bytes - SM_RECORD_SIG);
        sm_task_write(&rec, &w);
        struct sm_view bytes;
        uint64_t sign_token;
        if (sm_wr_done(&w, &bytes) != SM_OK || !node_sign(n, SIGN_TASK, i, 0, &sign_token)) {
            break;
        }
        p->is_used = true;
        p->token = token;
        p->n = bytes.n;
        p->sign_token = sign_token;
        p->is_to_sign = true;
        return;
    }
    fail_found(n, token, SM_E_BUSY);
}

static void task_signed(struct sm_node *n, uint32_t i, enum sm_err err, struct sm_view sig)
{
    struct pending_task *p = &n->tasks[i];
    uint64_t token = p->token;
    p->is_used = false;
    if (err == SM_OK && sig.n == SM_RECORD_SIG) {
        memcpy(p->bytes + p->n, sig.p, sig.n);
        err = sm_dht_put(n->dht, n->now, n->wall, sm_view_of(p->bytes, p->n + sig.n), token);
    }
    if (err != SM_OK) {
        fail_found(n, token, err);
    }
}

/* -- events ------------------------------------------------------------------------------ */

static void take_signed(struct sm_node *n, const struct sm_event *ev)
{
    uint64_t i = ev->token & 0xffff;
    if (i >= NODE_SIGNS || n->signs[i].owner == SIGN_FREE ||
        ev->token >> 16 != n->signs[i].generation) {
        return;
    }
    struct pending_sign s = n->signs[i];
    n->signs[i].owner = SIGN_FREE;
    switch (s.owner) {
    case SIGN_SELF:
        self_signed(n, ev->err, ev->bytes);
        break;
    case SIGN_TUNNEL: {
        struct link *l = links_find(n, s.conn);
        if (l != NULL && l->tunnel != NULL) {
            sm_tunnel_signed(l->tunnel, n->now, s.inner, ev->err, ev->bytes);
        }
        break;
    }
    case SIGN_ROUTE:
        sm_route_signed(n->route, n->now, s.inner, ev->err, ev->bytes);
        break;
    case SIGN_DHT:
        sm_dht_signed(n->dht, n->now, n->wall, s.inner, ev->err, ev->bytes);
        break;
    case SIGN_TASK:
        task_signed(n, s.conn, ev->err, ev->bytes);
        break;
    case SIGN_FREE:
        break;
    }
}

/* Every request for a signature fails; each asker asks again by its own rule. */
static void unsign(struct sm_node *n)
{
    for (unsigned i = 0; i < NODE_SIGNS; i++) {
        const struct sm_event failed = {.token = (uint64_t)n->signs[i].generation << 16 | i,
                                        .err = SM_E_BUSY};
        take_signed(n, &failed);
    }
}

static void tick(struct sm_node *n)
{
    if (!n->self_is_pending && sm_is_due(n->self_renew_at, n->now)) {
        renew_self(n);
    }
    links_tick(n);
    if (sm_is_due(sm_bulletin_deadline(n->bulletin), n->now)) {
        sm_bulletin_tick(n->bulletin, n->now);
    }
    if (sm_is_due(sm_route_deadline(n->route), n->now)) {
        sm_route_tick(n->route, n->now, n->wall);
    }
    if (sm_is_due(sm_dht_deadline(n->dht), n->now)) {
        sm_dht_tick(n->dht, n->now, n->wall);
    }
    if (sm_is_due(sm_host_deadline(n->host), n->now)) {
        sm_host_tick(n->host, n->now);
    }
}

static enum sm_err find(struct sm_node *n, const struct sm_event *ev)
{
    struct sm_dht_query q = {
        .type = ev->record_type, .want_records = ev->want, .token = ev->token};
    memcpy(q.key.b, ev->key, sizeof q.key.b);
    enum sm_err e = sm_dht_get(n->dht, n->now, n->wall, &q);
    if (e != SM_OK) {
        fail_found(n, ev->token, e);
    }
    return SM_OK;
}

static void observed(struct sm_node *n, const struct sm_event *ev)
{
    const struct sm_node_record *rec = sm_route_node(n->route, ev->peer.node);
    if (rec != NULL && ev->observed < SM_TRUST_FORGED) { /* others' word never closes a gate */
        struct sm_node_id id = rec->node_id;
        node_observe(n, &id, (enum sm_trust_kind)ev->observed);
    }
}

enum sm_err sm_node_step(struct sm_node *n, const struct sm_event *ev)
{
    n->now = ev->now;
    n->wall = ev->wall;
    n->has_direct = false;
    if (n->tun != NULL) {
        tun_begin(n);
    }
    switch (ev->kind) {
    case SM_EV_TIMER:
        tick(n);
        return SM_OK;
    case SM_EV_DIALLED:
        links_dialled(n, ev->conn, ev->err);
        return SM_OK;
    case SM_EV_ACCEPTED:
        links_accepted(n, ev->conn, &ev->from);
        return SM_OK;
    case SM_EV_BYTES:
        links_input(n, ev->conn, ev->input, ev->input_n);
        return SM_OK;
    case SM_EV_DATAGRAMS: {
        struct sm_path from = {ev->from, ev->sock};
        udp_input(n, &from, ev->input, ev->input_n, ev->segment);
        return SM_OK;
    }
    case SM_EV_WRITTEN:
        links_written(n, ev->conn, ev->written);
        return SM_OK;
    case SM_EV_CLOSED:
        links_closed(n, ev->conn);
        return SM_OK;
    case SM_EV_SIGNED:
        take_signed(n, ev);
        return SM_OK;
    case SM_EV_UNSIGNED:
        unsign(n);
        return SM_OK;
    case SM_EV_SERVED:
        /* NOTFOUND: the asker has given up. */
        return sm_host_reply(n->host, n->now, ev->token, ev->err, ev->bytes) == SM_E_INVALID
                   ? SM_E_INVALID
                   : SM_OK;
    case SM_EV_EP_PACKET:
        packets_send(n, ev->ep, ev->peer, ev->slot, ev->bytes, &n->direct, &n->has_direct);
        return SM_OK;
    case SM_EV_EP_REPORT:
        packets_report(n, ev->peer.node, ev->slot, ev->is_ok);
        return SM_OK;
    case SM_EV_OBSERVE:
        observed(n, ev);
        return SM_OK;
    case SM_EV_FIND:
        return find(n, ev);
    case SM_EV_PUBLISH:
        return sm_dht_publish(n->dht, n->now, n->wall, &ev->item);
    case SM_EV_UNPUBLISH:
        sm_dht_unpublish(n->dht, n->now, n->wall, &ev->item.key);
        return SM_OK;
    case SM_EV_TASK:
        start_task(n, ev->token, &ev->task);
        return SM_OK;
    case SM_EV_TUN_ON:
        return tun_on(n);
    case SM_EV_TUN_OFF:
        tun_off(n);
        return SM_OK;
    case SM_EV_TUN_PACKET:
        n->has_direct = tun_packet(n, ev->input_n, &n->direct);
        return SM_OK;
    }
    return SM_E_INVALID;
}

/* -- DHT requests under way -------------------------------------------------------------- */

static bool rpcs_add(struct sm_node *n, uint64_t id, uint64_t rpc)
{
    for (unsigned step = 0; step < NODE_RPCS; step++) {
        unsigned at = (n->rpc_at + step) % NODE_RPCS;
        if (!n->rpc_used[at] && sm_map_put(&n->rpcs, &id, at) == SM_OK) {
            n->rpc_used[at] = true;
            n->rpc_ids[at] = rpc;
            n->rpc_at = at + 1;
            return true;
        }
    }
    return false;
}

static bool rpcs_take(struct sm_node *n, uint64_t id, uint64_t *out_rpc)
{
    uint32_t at;
    if (!sm_map_get(&n->rpcs, &id, &at)) {
        return false;
    }
    sm_map_del(&n->rpcs, &id);
    n->rpc_used[at] = false;
    *out_rpc = n->rpc_ids[at];
    return true;
}

/* -- actions ----------------------------------------------------------------------------- */

/* Ask the keys process for a signature under one of our own records. */
static bool next_own_sign(struct sm_node *n, struct sm_action *out)
{
    uint64_t token = 0;
    struct sm_view body = {0};
    if (n->self_is_pending) {
        n->self_is_pending = false;
        if (!node_sign(n, SIGN_SELF, 0, 0, &token)) {
            return false; /* again when self_renew_at is due */
        }
        body = sm_view_of(n->self_unsigned, n->self_unsigned_n);
    }
    for (unsigned i = 0; i < NODE_TASKS && body.n == 0; i++) {
        if (n->tasks[i].is_used && n->tasks[i].is_to_sign) {
            n->tasks[i].is_to_sign = false;
            token = n->tasks[i].sign_token;
            body = sm_view_of(n->tasks[i].bytes, n->tasks[i].n);
        }
    }
    if (body.n == 0) {
        return false;
    }
    struct sm_wr w = sm_wr_init(n->request, sizeof n->request);
    sm_sign_record_write(body, &w);
    *out = (struct sm_action){
        .kind = SM_ACT_SIGN, .token = token, .bytes = sm_view_of(n->request, w.n)};
    return true;
}

static bool asked_to_sign(struct sm_node *n, enum sign_owner owner, uint64_t inner,
                          struct sm_view request, struct sm_action *out)
{
    uint64_t token;
    if (!node_sign(n, owner, 0, inner, &token)) {
        return false;
    }
    *out = (struct sm_action){.kind = SM_ACT_SIGN, .token = token, .bytes = request};
    return true;
}

static void flood(struct sm_node *n, const struct sm_route_out *o)
{
    struct link *l = links_of_node(n, o->to);
    if (l == NULL) {
        return;
    }
    if (sm_tunnel_send(l->tunnel, SM_TUNNEL_CONTROL, o->bytes) != SM_OK) {
        /* Its queue holds a whole area's map: it has stopped reading. */
        sm_tunnel_close(l->tunnel, SM_E_LIMIT,
                        "the neighbour does not take its control traffic");
    }
}

static bool take_route(struct sm_node *n, const struct sm_route_out *o, struct sm_action *out)
{
    switch (o->kind) {
    case SM_ROUTE_SIGN:
        if (!asked_to_sign(n, SIGN_ROUTE, o->token, o->bytes, out)) {
            sm_route_signed(n->route, n->now, o->token, SM_E_BUSY, (struct sm_view){0});
            return false;
        }
        return true;
    case SM_ROUTE_NODE_GONE:
        sm_dht_contact_gone(n->dht, n->now, &o->id);
        node_trace(n, SM_TRACE_NODE_GONE, 0, &o->id, SM_OK, "");
        return false;
    case SM_ROUTE_NODE_REVOKED:
        sm_dht_revoked(n->dht, n->now, &o->id);
        documents_tell_revoked(n, o->record);
        return false;
    case SM_ROUTE_NODE_LEARNED:
        sm_dht_contact(n->dht, n->now, &o->id, DHT_GRADE);
        links_peer_record(n, o->record);
        links_heard_of(n, &o->id);
        node_trace(n, SM_TRACE_NODE_LEARNED, 0, &o->id, SM_OK, o->record->owner);
        return false;
    case SM_ROUTE_FLOOD:
        flood(n, o);
        return false;
    case SM_ROUTE_SELF_STALE:
        n->self_seq = o->seq > n->self_seq ? o->seq : n->self_seq;
        renew_self(n);
        return false;
    case SM_ROUTE_CHANGED:
        return false; /* paths are asked for packet by packet */
    }
    return false;
}

static void dht_request(struct sm_node *n, const struct sm_dht_out *o)
{
    const struct sm_node_record *rec = sm_route_node(n->route, sm_hop_of(&o->node));
    uint64_t id = 0;
    enum sm_err e = SM_E_UNREACHABLE;
    if (rec != NULL && sm_node_id_eq(&rec->node_id, &o->node)) {
        e = sm_host_request(n->host, n->now, (struct sm_addr){sm_hop_of(&o->node), SM_EP_NODE},
                            rec->dh_key, SM_SERVICE_DHT, o->body, DHT_DEADLINE, &id);
    }
    if (e == SM_OK && !rpcs_add(n, id, o->rpc)) {
        e = SM_E_BUSY; /* its answer will find nobody */
    }
    if (e != SM_OK) {
        sm_dht_reply(n->dht, n->now, n->wall, o->rpc, e, (struct sm_view){0});
    }
}

static void dht_result(struct sm_node *n, const struct sm_dht_out *o, struct sm_action *out)
{
    sm_buf_clear(&n->out);
    *out = (struct sm_action){.kind = SM_ACT_FOUND,
                              .token = o->token,
                              .err = o->err,
                              .found = {.asked = o->nodes_asked, .paths = (uint8_t)o->paths}};
    for (unsigned i = 0; o->records != NULL && i < o->n_records; i++) {
        uint8_t len[4];
        sm_put_le32(len, (uint32_t)o->records[i].n);
        if (sm_buf_add(&n->out, len, sizeof len) != SM_OK ||
            sm_buf_add(&n->out, o->records[i].p, o->records[i].n) != SM_OK) {
            out->err = SM_E_NOMEM;
            break;
        }
        out->found.n++;
    }
    out->found.records = sm_buf_view(&n->out);
}

static bool take_dht(struct sm_node *n, const struct sm_dht_out *o, struct sm_action *out)
{
    static const enum sm_trust_kind seen[] = {
        [SM_DHT_SEEN_ANSWER] = SM_TRUST_OK,       [SM_DHT_SEEN_SILENCE] = SM_TRUST_TIMEOUT,
        [SM_DHT_SEEN_FORGERY] = SM_TRUST_FORGED,  [SM_DHT_SEEN_STALE] = SM_TRUST_WRONG,
        [SM_DHT_SEEN_MALFORMED] = SM_TRUST_WRONG,
    };
    switch (o->kind) {
    case SM_DHT_OUT_REQUEST:
        dht_request(n, o);
        return false;
    case SM_DHT_OUT_RESULT:
        dht_result(n, o, out);
        return true;
    case SM_DHT_OUT_PUBLISHED:
        return false;
    case SM_DHT_OUT_SIGN:
        if (!asked_to_sign(n, SIGN_DHT, o->token, o->body, out)) {
            sm_dht_signed(n->dht, n->now, n->wall, o->token, SM_E_BUSY, (struct sm_view){0});
            return false;
        }
        return true;
    case SM_DHT_OUT_OBSERVE: {
        struct sm_node_id id = o->node;
        node_observe(n, &id, seen[o->seen]);
        return false;
    }
    }
    return false;
}

static bool host_request(struct sm_node *n, const struct sm_host_out *o, struct sm_action *out)
{
    if (o->request.service == SM_SERVICE_DHT) {
        struct sm_view reply = {0};
        enum sm_err e = SM_E_REFUSED; /* clients ask their own node */
        if (o->request.peer->kind == SM_ENDPOINT_NODE) {
            e = sm_dht_request(n->dht, n->now, n->wall, &o->request.peer->node.node_id,
                               o->request.body, &reply);
        }
        e = sm_host_reply(n->host, n->now, o->request.handle, e, reply);
        (void)e; /* the asker may be gone */
        return false;
    }
    if (o->request.service == SM_SERVICE_DOCS) {
        uint8_t buf[SM_BULLETIN_DIGEST_MAX];
        struct sm_wr w = sm_wr_init(buf, sizeof buf);
        documents_digest(n, &w);
        enum sm_err e =
            sm_host_reply(n->host, n->now, o->request.handle, SM_OK, sm_view_of(w.p, w.n));
        (void)e; /* the asker may be gone */
        return false;
    }
    if (o->request.service != SM_SERVICE_STORE && o->request.service != SM_SERVICE_SEE) {
        enum sm_err e = sm_host_reply(n->host, n->now, o->request.handle, SM_E_UNSUPPORTED,
                                      (struct sm_view){0});
        (void)e;
        return false;
    }
    *out = (struct sm_action){.kind = SM_ACT_SERVE,
                              .token = o->request.handle,
                              .service = o->request.service,
                              .peer = o->request.peer,
                              .bytes = o->request.body};
    return true;
}

static bool take_host(struct sm_node *n, const struct sm_host_out *o, struct sm_action *out)
{
    bool has_action = false;
    switch (o->kind) {
    case SM_HOST_PACKET:
        packets_send(n, SM_EP_NODE, o->packet.dst, o->packet.slot, o->packet.bytes, out,
                     &has_action);
        return has_action;
    case SM_HOST_REQUEST:
        return host_request(n, o, out);
    case SM_HOST_RESPONSE: {
        uint64_t rpc;
        if (rpcs_take(n, o->response.id, &rpc)) {
            sm_dht_reply(n->dht, n->now, n->wall, rpc, o->response.err, o->response.body);
        }
        return false;
    }
    case SM_HOST_PATH_REPORT:
        packets_report(n, o->path_report.dst, o->path_report.slot, o->path_report.is_ok);
        return false;
    }
    return false;
}

bool sm_node_is_congested(const struct sm_node *n)
{
    for (unsigned i = 0; i < n->links_top; i++) {
        const struct link *l = &n->links[i];
        if (l->is_used && l->is_chosen && sm_tunnel_queued(l->tunnel) > n->congested_bytes) {
            return true;
        }
    }
    return false;
}

bool sm_node_next(struct sm_node *n, struct sm_action *out)
{
    struct sm_route_out route;
    struct sm_dht_out dht;
    struct sm_host_out host;
    bool progress = true;
    if (n->has_direct) {
        n->has_direct = false;
        *out = n->direct;
        return true;
    }
    while (progress) {
        progress = false;
        if (n->queue_n > 0) {
            *out = n->queue[n->queue_from];
            n->queue_from = (n->queue_from + 1) % NODE_QUEUE;
            n->queue_n--;
            return true;
        }
        if (next_own_sign(n, out) || links_next(n, out, &progress) ||
            documents_next(n, out, &progress)) {
            return true;
        }
        while (sm_route_next(n->route, &route)) {
            progress = true;
            if (take_route(n, &route, out)) {
                return true;
            }
        }
        while (sm_dht_next(n->dht, &dht)) {
            progress = true;
            if (take_dht(n, &dht, out)) {
                return true;
            }
        }
        while (!sm_node_is_congested(n) && sm_host_next(n->host, &host)) {
            progress = true;
            if (take_host(n, &host, out)) {
                return true;
            }
        }
        if (n->tun != NULL && tun_next(n, out, &progress)) {
            return true;
        }
        progress = progress || n->queue_n > 0;
        if (!progress && udp_next(n, out, &progress)) {
            return true;
        }
    }
    return false;
}

struct sm_mono sm_node_deadline(const struct sm_node *n)
{
    struct sm_mono d = n->self_is_pending ? (struct sm_mono){0} : n->self_renew_at;
    d = sm_earlier(d, links_deadline(n));
    d = sm_earlier(d, sm_bulletin_deadline(n->bulletin));
    d = sm_earlier(d, sm_route_deadline(n->route));
    d = sm_earlier(d, sm_dht_deadline(n->dht));
    d = sm_earlier(d, tun_deadline(n));
    return sm_earlier(d, sm_host_deadline(n->host));
}

/* -- queries ----------------------------------------------------------------------------- */

struct sm_view sm_node_self_record(const struct sm_node *n)
{
    return sm_view_of(n->self_record, n->self_record_n);
}

struct sm_hop sm_node_hop(const struct sm_node *n)
{
    return n->hop;
}

const struct sm_node_record *sm_node_self(const struct sm_node *n)
{
    return &n->cfg.self;
}

const struct sm_rules *sm_node_rules(const struct sm_node *n)
{
    return n->rules;
}

struct sm_bulletin_stats sm_node_bulletin_stats(const struct sm_node *n)
{
    return sm_bulletin_stats(n->bulletin);
}

struct sm_route *sm_node_route(struct sm_node *n)
{
    return n->route;
}

struct sm_trust *sm_node_trust(struct sm_node *n)
{
    return n->trust;
}

struct sm_dht *sm_node_dht(struct sm_node *n)
{
    return n->dht;
}

struct sm_host *sm_node_host(struct sm_node *n)
{
    return n->host;
}

static void describe(const struct sm_node *n, const struct link *l, struct sm_node_tunnel *out)
{
    struct sm_tunnel_lease lease = sm_tunnel_lease(l->tunnel);
    *out = (struct sm_node_tunnel){.node = l->node,
                                   .rtt = l->rtt,
                                   .is_outbound = l->peer_index >= 0,
                                   .is_udp = l->is_udp,
                                   .is_chosen = l->is_chosen,
                                   .sent_bytes = l->sent_bytes,
                                   .received_bytes = l->received_bytes,
                                   .cipher = sm_tunnel_cipher(l->tunnel),
                                   .is_pq = sm_tunnel_is_pq(l->tunnel),
                                   .lease_seq = lease.seq,
                                   .lease_age = sm_between(lease.since, n->now),
                                   .lease_left = sm_between(n->now, lease.end),
                                   .verdict = lease.verdict,
                                   .verdict_left = lease.judge_at.ns != SM_NEVER.ns
                                                       ? sm_between(n->now, lease.judge_at)
                                                       : (struct sm_dur){0},
                                   .said = lease.said,
                                   .claims = lease.claims};
    if (l->is_udp) {
        out->udp = sm_dgram_info(sm_tunnel_dgram(l->tunnel));
    }
}

bool sm_node_tunnel(const struct sm_node *n, unsigned i, struct sm_node_tunnel *out)
{
    for (unsigned at = 0; at < n->links_top; at++) {
        const struct link *l = &n->links[at];
        if (l->is_used && l->is_up && !l->is_ending && l->is_chosen && i-- == 0) {
            describe(n, l, out);
            return true;
        }
    }
    return false;
}

bool sm_node_carrier(const struct sm_node *n, const struct sm_node_id *node, bool is_udp,
                     struct sm_node_tunnel *out)
{
    for (unsigned at = 0; at < n->links_top; at++) {
        const struct link *l = &n->links[at];
        if (l->is_used && l->is_up && !l->is_ending && l->is_udp == is_udp &&
            sm_node_id_eq(&l->node, node)) {
            describe(n, l, out);
            return true;
        }
    }
    return false;
}

struct sm_node_stats sm_node_stats(const struct sm_node *n)
{
    struct sm_node_stats s = n->stats;
    for (unsigned i = 0; i < n->links_top; i++) {
        s.tunnels_up += n->links[i].is_used && n->links[i].is_chosen;
    }
    s.strangers_let_in = n->door.n_let_in;
    s.strangers_asked = n->door.n_asked;
    s.strangers_shut = n->door.n_shut;
    return s;
}

const struct sm_refusal *sm_node_refusal(const struct sm_node *n, unsigned i)
{
    return sm_refusals_at(&n->refusals, i);
}
