// SPDX-License-Identifier: Apache-2.0
/* seemesh-net: the program that strangers talk to.
 *
 * It runs the node core (core/node.h) over real connections and holds only keys made at this
 * boot: the node's long-term key is in seemesh-keys, data in seemesh-store, guests in
 * seemesh-run.  It opens no file, and after its start it can open none. */
#include "attest/cache.h"
#include "crypto/known.h"
#include "os/random.h"
#include "os/secretmem.h"
#include "proc/log.h"
#include "proc/net_int.h"
#include "seemesh/version.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONN_QUEUE = 8 << 20 }; /* far above what the tunnels hand out unasked */
#define START_LIMIT SM_S(18)   /* of a SEE instance; who asked waits for 20 s */

/* -- connections ------------------------------------------------------------------------- */

static struct conn *conn_of(struct net *n, uint32_t id)
{
    for (unsigned i = 0; i < NET_CONNS; i++) {
        if (n->conns[i].id == id) {
            return &n->conns[i];
        }
    }
    return NULL;
}

static void conn_free(struct conn *c)
{
    sm_stream_free(c->stream);
    *c = (struct conn){0};
}

/* What the kernel took since the last time goes to the tunnel, whose window it opens. */
static void report_written(struct conn *c)
{
    uint64_t written = c->handed - sm_stream_queued(c->stream);
    if (written > c->told) {
        struct sm_event ev = {
            .kind = SM_EV_WRITTEN, .conn = c->id, .written = (size_t)(written - c->told)};
        c->told = written;
        net_step(c->net, &ev);
    }
}

static void on_conn_read(void *ctx, struct sm_view bytes)
{
    struct conn *c = ctx;
    net_step(c->net, &(struct sm_event){.kind = SM_EV_BYTES,
                                        .conn = c->id,
                                        .input = (uint8_t *)(uintptr_t)bytes.p,
                                        .input_n = bytes.n});
}

static void on_conn_closed(void *ctx, enum sm_err why)
{
    struct conn *c = ctx;
    struct net *n = c->net;
    struct sm_event ev = {.kind = c->is_dialling ? SM_EV_DIALLED : SM_EV_CLOSED,
                          .conn = c->id,
                          .err = why != SM_OK ? why : SM_E_CLOSED};
    conn_free(c);
    net_step(n, &ev);
}

static void on_conn_connected(void *ctx)
{
    struct conn *c = ctx;
    if (!c->is_dialling) {
        return; /* an accepted one: it was connected before */
    }
    c->is_dialling = false;
    net_step(c->net, &(struct sm_event){.kind = SM_EV_DIALLED, .conn = c->id});
}

static void on_conn_drained(void *ctx)
{
    report_written(ctx);
}

/* Takes over fd when it succeeds. */
static enum sm_err conn_new(struct net *n, uint32_t id, int fd, bool is_dialling,
                            struct conn **out)
{
    static const struct sm_stream_ops ops = {.read = on_conn_read,
                                             .closed = on_conn_closed,
                                             .connected = on_conn_connected,
                                             .drained = on_conn_drained};
    struct conn *c = conn_of(n, 0);
    if (c == NULL) {
        return SM_E_LIMIT;
    }
    *c = (struct conn){.net = n, .id = id, .is_dialling = is_dialling};
    enum sm_err e = sm_stream_new(n->loop, fd, &ops, c, CONN_QUEUE, &c->stream);
    if (e != SM_OK) {
        *c = (struct conn){0};
        return e;
    }
    *out = c;
    return SM_OK;
}

static void dial(struct net *n, const struct sm_action *a)
{
    struct sm_inet to = {.family = a->addr.family, .port = a->addr.port};
    memcpy(to.ip, a->addr.ip, sizeof to.ip);
    int fd = -1;
    struct conn *c;
    enum sm_err e = sm_tcp_connect(&to, &fd);
    if (e == SM_OK) {
        e = conn_new(n, a->conn, fd, true, &c);
        if (e != SM_OK) {
            close(fd);
        }
    }
    if (e != SM_OK) {
        net_step(n, &(struct sm_event){.kind = SM_EV_DIALLED, .conn = a->conn, .err = e});
    }
}

static void on_datagrams(void *ctx, const struct sm_inet *from, uint8_t *p, size_t len,
                         size_t segment)
{
    struct net_udp *u = ctx;
    struct sm_event ev = {.kind = SM_EV_DATAGRAMS,
                          .from = {.family = from->family, .port = from->port},
                          .sock = (uint8_t)(u - u->net->udp),
                          .input = p,
                          .input_n = len,
                          .segment = segment};
    memcpy(ev.from.ip, from->ip, sizeof ev.from.ip);
    net_step(u->net, &ev);
}

static void on_tcp_accepted(void *ctx, int fd)
{
    struct net *n = ctx;
    uint32_t id = SM_CONN_ACCEPTED | (n->next_accepted++ & (SM_CONN_ACCEPTED - 1));
    struct sm_event ev = {.kind = SM_EV_ACCEPTED, .conn = id};
    struct sm_inet from;
    struct conn *c;
    if (n->node == NULL || conn_new(n, id, fd, false, &c) != SM_OK) {
        close(fd);
        return;
    }
    if (sm_tcp_remote(fd, &from) == SM_OK) {
        ev.from.family = from.family;
        memcpy(ev.from.ip, from.ip, sizeof ev.from.ip);
    }
    net_step(n, &ev);
}

/* -- what the core asks of others --------------------------------------------------------- */

static void serve_answer(struct net *n, uint64_t handle, enum sm_err err, struct sm_view body)
{
    net_step(n, &(struct sm_event){
                    .kind = SM_EV_SERVED, .token = handle, .err = err, .bytes = body});
}

static enum sm_err see_start(struct net *n, const struct sm_action *a,
                             const struct sm_see_start *start)
{
    struct see_start *s = NULL;
    unsigned busy = ep_count(n, SM_CTL_SEE);
    for (unsigned i = 0; i < NET_STARTS; i++) {
        if (n->starts[i].is_used) {
            busy += n->starts[i].instance == 0;
        } else if (s == NULL) {
            s = &n->starts[i];
        }
    }
    if ((n->config->node.roles & SM_NODE_SEE) == 0) {
        return SM_E_UNSUPPORTED;
    }
    if (s == NULL || busy >= n->config->see.slots) {
        return SM_E_BUSY;
    }
    /* A client names its own session key, so nobody can start a SEE for another. */
    if (memcmp(start->client_dh, a->peer->dh_key, sizeof start->client_dh) != 0) {
        return SM_E_REFUSED;
    }
    uint8_t body[128];
    struct sm_wr w = sm_wr_init(body, sizeof body);
    sm_see_start_write(&w, start);
    SM_TRY(sm_ipc_send(sm_self_main(n->self), SM_IPC_SEE_SPAWN, a->token, sm_view_of(body, w.n),
                       -1));
    *s = (struct see_start){.is_used = true, .handle = a->token, .since = sm_clock_mono()};
    memcpy(s->client_dh, start->client_dh, sizeof s->client_dh);
    return SM_OK;
}

static enum sm_err stop_instance(struct net *n, uint64_t instance)
{
    uint8_t body[8];
    sm_put_le64(body, instance);
    return sm_ipc_send(sm_self_main(n->self), SM_IPC_SEE_STOP, 0, sm_view_of(body, 8), -1);
}

/* Nobody waits for an instance that is not there by now; it must not keep a slot. */
static void expire_starts(struct net *n)
{
    struct sm_mono now = sm_clock_mono();
    for (unsigned i = 0; i < NET_STARTS; i++) {
        struct see_start s = n->starts[i];
        if (!s.is_used || !sm_is_due(sm_after(s.since, START_LIMIT), now)) {
            continue;
        }
        n->starts[i].is_used = false;
        serve_answer(n, s.handle, SM_E_TIMEOUT, (struct sm_view){0});
        if (s.instance != 0 && stop_instance(n, s.instance) != SM_OK) {
            return; /* main is gone, and we with it */
        }
    }
}

static enum sm_err see_stop(struct net *n, const struct sm_action *a, uint32_t ep_id)
{
    struct ep *ep = ep_of_instance(n, ep_id);
    if (ep == NULL) {
        return SM_E_NOTFOUND;
    }
    if (memcmp(ep->owner_dh, a->peer->dh_key, sizeof ep->owner_dh) != 0) {
        return SM_E_REFUSED;
    }
    return stop_instance(n, ep->instance);
}

static void serve_see(struct net *n, const struct sm_action *a)
{
    struct sm_see_request req;
    enum sm_err e = sm_see_request_read(a->bytes, &req);
    if (e == SM_OK && req.op == SM_SEE_START) {
        e = see_start(n, a, &req.start);
        if (e == SM_OK) {
            return; /* answered when the instance has attached */
        }
    } else if (e == SM_OK) {
        e = see_stop(n, a, req.stop_ep);
    }
    serve_answer(n, a->token, e, (struct sm_view){0});
}

static void sign(struct net *n, const struct sm_action *a)
{
    struct sm_ipc *keys = sm_self_peer(n->self, SM_PROG_KEYS);
    if (keys == NULL || sm_ipc_send(keys, SM_IPC_SIGN, a->token, a->bytes, -1) != SM_OK) {
        net_step(n,
                 &(struct sm_event){.kind = SM_EV_SIGNED, .token = a->token, .err = SM_E_BUSY});
    }
}

/* A line for each reason, with what would mend it; the peer's texts are printable. */
static void trace_refusal(struct net *n, const struct sm_refusal *r)
{
    struct sm_inet at = {.family = r->peer.family, .port = r->peer.port};
    char address[SM_INET_TEXT] = "-", node[SM_B32_LEN(10) + 1] = "-";
    memcpy(at.ip, r->peer.ip, sizeof at.ip);
    if (at.family != 0) {
        sm_inet_print(&at, address);
    }
    if (r->has_node) {
        sm_b32(r->node.b, 10, node);
    }
    for (size_t i = 0; i < r->why.n && i < SM_REASONS_TOLD; i++) {
        const struct sm_reason *why = &r->why.r[i];
        char fix[SM_FIX_TEXT], got[SM_LOG_QUOTED(SM_REASON_TEXT)],
            want[SM_LOG_QUOTED(SM_REASON_TEXT)], mend[SM_LOG_QUOTED(SM_FIX_TEXT)];
        sm_reason_fix(why, r->platform, fix);
        sm_log_quote(sm_view_str(why->got), got);
        sm_log_quote(sm_view_str(why->want), want);
        sm_log_quote(sm_view_str(fix), mend);
        sm_child_log(
            n->self, SM_LOG_WARN, r->is_by_peer ? "refused-by-peer" : "refused",
            "node=%s peer=%s count=%" PRIu64 " reason=%s field=\"%s\" got=%s want=%s fix=%s",
            node, address, r->count, sm_reason_name(why->code), why->field, got, want, mend);
    }
}

static void trace(struct net *n, const struct sm_action *a)
{
    const struct sm_trace *t = &a->trace;
    static const struct {
        enum sm_log_level level;
        const char *event;
    } words[] = {
        [SM_TRACE_TUNNEL_UP] = {SM_LOG_NOTICE, "tunnel-up"},
        [SM_TRACE_TUNNEL_DOWN] = {SM_LOG_NOTICE, "tunnel-down"},
        [SM_TRACE_NODE_LEARNED] = {SM_LOG_INFO, "node-learned"},
        [SM_TRACE_NODE_GONE] = {SM_LOG_NOTICE, "node-gone"},
        [SM_TRACE_SIGN_FAILED] = {SM_LOG_WARN, "sign-failed"},
        [SM_TRACE_DOCUMENT] = {SM_LOG_NOTICE, "document"},
        [SM_TRACE_REVOKED] = {SM_LOG_NOTICE, "node-revoked"},
        [SM_TRACE_GRACE] = {SM_LOG_WARN, "in-grace"},
        [SM_TRACE_REFUSED] = {SM_LOG_WARN, "refused"},
        [SM_TRACE_DEPRECATED] = {SM_LOG_WARN, "deprecated"},
        [SM_TRACE_OBSERVED] = {SM_LOG_WARN, "would-refuse"},
    };
    if (t->kind == SM_TRACE_REFUSED) {
        trace_refusal(n, t->refusal);
        return;
    }
    char node[SM_B32_LEN(10) + 1] = "-", quoted[SM_LOG_QUOTED(sizeof t->text)];
    if (t->has_node) {
        sm_b32(t->node.b, 10, node);
    }
    sm_log_quote(sm_view_str(t->text), quoted);
    sm_child_log(n->self, words[t->kind].level, words[t->kind].event, "node=%s err=%s text=%s",
                 node, sm_err_name(t->err), quoted);
}

/* -- driving the core --------------------------------------------------------------------- */

static void send_datagrams(struct net *n, const struct sm_action *a)
{
    struct sm_inet to = {.family = a->addr.family, .port = a->addr.port};
    memcpy(to.ip, a->addr.ip, sizeof to.ip);
    for (unsigned i = 0; i < n->n_udp; i++) {
        if (a->sock == i ||
            (a->sock == SM_SOCK_ANY && sm_udp_family(n->udp[i].socket) == to.family)) {
            sm_udp_send(n->udp[i].socket, &to, a->bytes, a->segment);
            return;
        }
    }
}

static void send_bytes(struct net *n, const struct sm_action *a)
{
    if (a->segment > 0) {
        send_datagrams(n, a);
        return;
    }
    struct conn *c = conn_of(n, a->conn);
    if (c == NULL) {
        return;
    }
    if (sm_stream_write(c->stream, a->bytes) == SM_OK) {
        c->handed += a->bytes.n;
        return;
    }
    /* The tunnel hands out no more than its window, so this connection is ending. */
    sm_child_log(n->self, SM_LOG_DEBUG, "write-failed", "conn=%u", c->id);
}

static void act(struct net *n, const struct sm_action *a)
{
    switch (a->kind) {
    case SM_ACT_DIAL:
        dial(n, a);
        break;
    case SM_ACT_SEND:
        send_bytes(n, a);
        break;
    case SM_ACT_CLOSE: {
        struct conn *c = conn_of(n, a->conn);
        if (c != NULL) {
            conn_free(c);
        }
        break;
    }
    case SM_ACT_SIGN:
        sign(n, a);
        break;
    case SM_ACT_SERVE:
        if (a->service == SM_SERVICE_STORE) {
            store_ask(n, a);
        } else {
            serve_see(n, a);
        }
        break;
    case SM_ACT_EP_PACKET:
        ep_packet(n, a);
        break;
    case SM_ACT_EP_FAIL:
        ep_fail(n, a);
        break;
    case SM_ACT_EP_PATHS:
        ep_paths(n, a);
        break;
    case SM_ACT_FOUND:
        ep_found(n, a);
        break;
    case SM_ACT_TUN:
        net_tun_packet(n, a);
        break;
    case SM_ACT_TRACE:
        trace(n, a);
        break;
    case SM_ACT_KEEP:
        docs_keep(n, a);
        break;
    }
}

static void drain(struct net *n)
{
    struct sm_action a;
    if (n->is_draining) {
        return; /* an action led to an event: the outer call goes on */
    }
    n->is_draining = true;
    while (sm_node_next(n->node, &a)) {
        act(n, &a);
    }
    n->is_draining = false;
    ep_pause_all(n, sm_node_is_congested(n->node));
    sm_timer_at(n->timer, sm_node_deadline(n->node));
}

enum sm_err net_step(struct net *n, struct sm_event *ev)
{
    if (n->node == NULL) {
        return SM_E_STATE;
    }
    ev->now = sm_clock_mono();
    ev->wall = sm_clock_wall();
    enum sm_err e = sm_node_step(n->node, ev);
    if (e != SM_OK) {
        sm_child_log(n->self, SM_LOG_DEBUG, "step", "event=%d err=%s", (int)ev->kind,
                     sm_err_name(e));
    }
    drain(n);
    return e;
}

static void on_timer(void *ctx)
{
    net_step(ctx, &(struct sm_event){.kind = SM_EV_TIMER});
}

static void on_turn(void *ctx)
{
    struct net *n = ctx;
    if (n->node == NULL) {
        return;
    }
    for (unsigned i = 0; i < NET_CONNS; i++) {
        struct conn *c = &n->conns[i];
        if (c->id == 0 || c->is_dialling) {
            continue;
        }
        report_written(c);
        if (c->seen != c->handed) {
            /* New bytes leave after this hook; look again at how many did.  If the socket is
             * full, `drained` tells instead, and there is no spinning. */
            c->seen = c->handed;
            sm_loop_again(n->loop);
        }
    }
    ep_renew_passports(n);
    expire_starts(n);
}

/* -- messages of the other programs ------------------------------------------------------- */

/* Main listens on both, or says why not. */
static bool has_udp(const struct sm_config *c)
{
    return c->listen.udp == SM_UDP_SAME && c->listen.n_tcp > 0;
}

static void fill_self(struct net *n, const struct sm_ipc_identity *id,
                      struct sm_node_record *out)
{
    const struct sm_config *c = n->config;
    *out = (struct sm_node_record){.node_id = id->node_id,
                                   .index = id->index,
                                   .platform = id->platform,
                                   .flags = c->node.roles,
                                   .area = c->node.area};
    memcpy(out->sign_key, id->sign_key, sizeof out->sign_key);
    memcpy(out->measurement, id->measurement, sizeof out->measurement);
    memcpy(out->owner, c->node.owner, sizeof out->owner);
    if (has_udp(c)) {
        out->flags |= SM_NODE_UDP;
    }
    for (size_t i = 0; i < c->listen.n_tcp; i++) {
        struct sm_net_addr *a = &out->addrs[out->n_addrs++];
        a->family = c->listen.tcp[i].family;
        a->port = c->listen.tcp[i].port;
        memcpy(a->ip, c->listen.tcp[i].ip, sizeof a->ip);
    }
    memcpy(out->endorsement, id->endorsement.p, id->endorsement.n);
    out->endorsement_n = (uint16_t)id->endorsement.n;
}

static uint64_t now_ns(void)
{
    return sm_clock_mono().ns;
}

static void start_node(struct net *n, const struct sm_ipc_identity *id)
{
    if (n->node != NULL) {
        return; /* keys was restarted; the identity is the same */
    }
    struct sm_node_cfg *cfg = calloc(1, sizeof *cfg);
    if (cfg == NULL) {
        sm_child_fail(n->self);
        return;
    }
    cfg->suite = sm_suite_real();
    cfg->anchor = n->anchor;
    cfg->known = n->known;
    cfg->now = sm_clock_mono();
    cfg->wall = sm_clock_wall();
    cfg->cipher = sm_aead_fastest(now_ns);
    cfg->pq = sm_suite_has_kem(cfg->suite) ? (enum sm_pq)n->config->tunnel.pq : SM_PQ_OFF;
    cfg->knocks_max = NET_KNOCKS;
    cfg->strangers_max = NET_STRANGERS;
    cfg->of_source_max = NET_OF_SOURCE;
    cfg->tunnels_max = 2 * n->config->limits.tunnels + NET_KNOCKS + NET_STRANGERS;
    cfg->queue_bytes = (size_t)n->config->limits.queue;
    cfg->sessions_max = n->config->limits.sessions;
    sm_rng_bytes(&n->rng, cfg->seed, sizeof cfg->seed);
    fill_self(n, id, &cfg->self);
    cfg->has_udp = has_udp(n->config);
    for (size_t i = 0; i < n->config->n_peers; i++) {
        cfg->carriers[i] = (enum sm_carrier)n->config->peers[i].carrier;
        const struct sm_inet *a = &n->config->peers[i].address;
        struct sm_net_addr *to = &cfg->peers[cfg->n_peers++];
        to->family = a->family;
        to->port = a->port;
        memcpy(to->ip, a->ip, sizeof to->ip);
    }
    n->node = sm_node_new(cfg);
    sm_wipe(cfg, sizeof *cfg);
    free(cfg);
    if (n->node == NULL) {
        sm_child_log(n->self, SM_LOG_ERROR, "no-memory", "what=node");
        sm_child_fail(n->self);
        return;
    }
    docs_node_made(n);
    store_publish_kept(n);
    net_step(n, &(struct sm_event){.kind = SM_EV_TIMER});
}

static void add_udp(struct net *n, int fd)
{
    struct net_udp *u = &n->udp[n->n_udp];
    if (n->n_udp == SM_COUNT(n->udp) ||
        sm_udp_new(n->loop, fd, on_datagrams, u, &u->socket) != SM_OK) {
        close(fd);
        return;
    }
    u->net = n;
    n->n_udp++;
}

static void add_listener(struct net *n, const struct sm_ipc_msg *m)
{
    enum sm_ipc_listener kind;
    struct sm_view address;
    struct sm_listener **at = &n->listeners[n->n_listeners];
    enum sm_err e = sm_ipc_listener_read(m->body, &kind, &address);
    if (e == SM_OK && kind == SM_LISTENER_UDP) {
        add_udp(n, m->fd);
        return;
    }
    if (e != SM_OK || n->n_listeners == SM_COUNT(n->listeners) ||
        sm_listener_new(n->loop, m->fd, kind == SM_LISTENER_TCP ? on_tcp_accepted : ep_accepted,
                        n, at) != SM_OK) {
        close(m->fd);
        return;
    }
    n->n_listeners++;
}

static struct see_start *start_of(struct net *n, uint64_t instance)
{
    for (unsigned i = 0; i < NET_STARTS; i++) {
        if (n->starts[i].is_used && n->starts[i].instance == instance) {
            return &n->starts[i];
        }
    }
    return NULL;
}

static void see_spawned(struct net *n, const struct sm_ipc_msg *m)
{
    enum sm_err err;
    struct sm_view rest;
    uint64_t instance = 0;
    enum sm_err e = sm_ipc_answer_read(m->body, &err, &rest);
    if (e == SM_OK && err == SM_OK) {
        e = sm_ipc_u64_read(rest, &instance);
    }
    err = e != SM_OK ? e : err;
    for (unsigned i = 0; i < NET_STARTS; i++) {
        struct see_start *s = &n->starts[i];
        if (!s->is_used || s->instance != 0 || s->handle != m->id) {
            continue;
        }
        struct ep *ep = err == SM_OK ? ep_of_instance(n, instance) : NULL;
        if (ep == NULL) {
            s->is_used = false;
            serve_answer(n, s->handle, err != SM_OK ? err : SM_E_FAILED, (struct sm_view){0});
            return;
        }
        s->instance = instance;
        memcpy(ep->owner_dh, s->client_dh, sizeof ep->owner_dh);
        if (ep->is_ready) {
            net_see_attached(n, ep);
        }
        return;
    }
    if (err == SM_OK && stop_instance(n, instance) != SM_OK) {
        return; /* its start has expired, and main is gone */
    }
}

void net_see_attached(struct net *n, struct ep *ep)
{
    struct see_start *s = start_of(n, ep->instance);
    uint8_t passport[SM_PASSPORT_MAX], body[SM_PASSPORT_MAX + 16];
    struct sm_wr p = sm_wr_init(passport, sizeof passport);
    if (s == NULL || ep->instance == 0 || !ep_passport(n, ep, &p)) {
        return;
    }
    struct sm_wr w = sm_wr_init(body, sizeof body);
    sm_see_started_write(
        &w, &(struct sm_see_started){.ep = ep->id, .passport = sm_view_of(passport, p.n)});
    s->is_used = false;
    serve_answer(n, s->handle, SM_OK, sm_view_of(body, w.n));
}

static void see_exit(struct net *n, const struct sm_ipc_msg *m)
{
    struct sm_ipc_exit x;
    if (sm_ipc_exit_read(m->body, &x) != SM_OK) {
        return;
    }
    struct see_start *s = start_of(n, x.instance);
    if (s != NULL) {
        s->is_used = false;
        serve_answer(n, s->handle, SM_E_FAILED, (struct sm_view){0});
    }
    ep_see_gone(n, x.instance);
}

enum sm_err net_certify(struct net *n, struct ep *ep)
{
    struct sm_ipc *keys = sm_self_peer(n->self, SM_PROG_KEYS);
    if (keys == NULL) {
        return SM_OK; /* it will be asked when it is back */
    }
    struct sm_ipc_certify c = {.ep = ep->id, .kind = SM_ENDPOINT_CLIENT};
    memcpy(c.sign_key, ep->sign_key, sizeof c.sign_key);
    memcpy(c.dh_key, ep->dh_key, sizeof c.dh_key);
    uint8_t body[SM_IPC_SMALL];
    struct sm_wr w = sm_wr_init(body, sizeof body);
    sm_ipc_certify_write(&c, &w);
    return sm_ipc_send(keys, SM_IPC_CERTIFY, ep->id, sm_view_of(body, w.n), -1);
}

static void from_keys(struct net *n, const struct sm_ipc_msg *m)
{
    enum sm_err err;
    struct sm_view rest;
    if (m->type == SM_IPC_IDENTITY) {
        struct sm_ipc_identity id;
        if (sm_ipc_identity_read(m->body, &id) == SM_OK) {
            start_node(n, &id);
        }
        return;
    }
    if (sm_ipc_answer_read(m->body, &err, &rest) != SM_OK) {
        return;
    }
    if (m->type == SM_IPC_SIGNED && m->id == NET_USER_TOKEN) {
        ep_evidence(n, err, rest);
    } else if (m->type == SM_IPC_SIGNED) {
        net_step(n, &(struct sm_event){
                        .kind = SM_EV_SIGNED, .token = m->id, .err = err, .bytes = rest});
    } else if (m->type == SM_IPC_CERTIFIED) {
        ep_certified(n, m->id, err, rest);
    }
}

static void from_main(struct net *n, const struct sm_ipc_msg *m)
{
    uint64_t instance;
    if (m->type == SM_IPC_DOCUMENT) {
        docs_from_main(n, m->body);
    } else if (m->type == SM_IPC_LISTENER) {
        add_listener(n, m);
    } else if (m->type == SM_IPC_ENDPOINT) {
        if (sm_ipc_u64_read(m->body, &instance) == SM_OK) {
            ep_add_see(n, instance, m->fd);
        } else {
            close(m->fd);
        }
    } else if (m->type == SM_IPC_SEE_SPAWNED) {
        see_spawned(n, m);
    } else if (m->type == SM_IPC_SEE_EXIT) {
        see_exit(n, m);
    }
}

static void on_message(void *ctx, struct sm_ipc *ch, const struct sm_ipc_msg *m)
{
    struct net *n = ctx;
    switch (sm_ipc_peer(ch)) {
    case SM_PROG_MAIN:
        from_main(n, m);
        break;
    case SM_PROG_KEYS:
        from_keys(n, m);
        break;
    case SM_PROG_STORE:
        store_message(n, m);
        break;
    case SM_PROG_NET:
    case SM_PROG_RUN:
    case SM_PROGS:
        break;
    }
}

/* A program that died took our questions with it; ask again, or let the askers do so. */
static void on_peer(void *ctx, enum sm_prog peer, struct sm_ipc *ch)
{
    struct net *n = ctx;
    if (ch == NULL) {
        sm_child_log(n->self, SM_LOG_WARN, "program-lost", "name=%s", sm_prog_name(peer));
    }
    if (ch == NULL && peer == SM_PROG_STORE) {
        store_lost(n);
    } else if (ch == NULL && peer == SM_PROG_KEYS) {
        net_step(n, &(struct sm_event){.kind = SM_EV_UNSIGNED});
        ep_evidence(n, SM_E_BUSY, (struct sm_view){0});
    } else if (peer == SM_PROG_KEYS) {
        docs_to_keys(n);
        ep_certify_again(n);
    }
}

/* -- life --------------------------------------------------------------------------------- */

static enum sm_err start(void *ctx, struct sm_self *self)
{
    struct net *n = ctx;
    uint8_t seed[32];
    n->self = self;
    n->loop = sm_self_loop(self);
    n->config = sm_self_config(self);
    n->started = sm_clock_mono();
    n->next_client = 1;
    (void)sm_suite_real(); /* initialises what must be before confinement */
    SM_TRY(sm_random_bytes(seed, sizeof seed));
    sm_rng_init(&n->rng, seed, "net");
    sm_wipe(seed, sizeof seed);
    SM_TRY(sm_config_anchor(n->config, &n->anchor));
    sm_loop_patience(n->loop, SM_LOOP_PATIENCE);
    n->known = sm_secret_new(sizeof *n->known);
    n->anchor.known = calloc(1, sizeof *n->anchor.known);
    n->anchor.cache = sm_attest_cache_new();
    if (n->known == NULL || n->anchor.known == NULL || n->anchor.cache == NULL) {
        return SM_E_NOMEM;
    }
    SM_TRY(sm_timer_new(n->loop, on_timer, n, &n->timer));
    return sm_child_confine(self, NULL, 0, SM_CONFINE_SCOPED, SM_CALLS_CONNECT);
}

static void stop(void *ctx)
{
    struct net *n = ctx;
    for (unsigned i = 0; i < n->n_listeners; i++) {
        sm_listener_free(n->listeners[i]);
    }
    for (unsigned i = 0; i < n->n_udp; i++) {
        sm_udp_free(n->udp[i].socket);
    }
    for (unsigned i = 0; i < NET_CONNS; i++) {
        if (n->conns[i].id != 0) {
            conn_free(&n->conns[i]);
        }
    }
    (void)net_tun_down(n);
    ep_free_all(n);
    sm_timer_free(n->timer);
    sm_node_free(n->node);
    sm_secret_free(n->known);
    free(n->anchor.known);
    sm_attest_cache_free(n->anchor.cache);
    free(n->waiting);
    sm_wipe(n, sizeof *n);
}

int main(int argc, char **argv)
{
    static const struct sm_child_ops ops = {
        .start = start, .peer = on_peer, .message = on_message, .turn = on_turn, .stop = stop};
    static struct net net;
    return sm_child_main(SM_PROG_NET, &ops, &net, argc, argv);
}
