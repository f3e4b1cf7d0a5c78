// SPDX-License-Identifier: Apache-2.0
/* The local endpoints of a node: clients on the control socket, and SEE supervisors on
 * channels that main made.  Their bytes are read with wire/ctl.h and believed no further. */
#include "proc/net_int.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    NODES_REPLY = 1 << 20,
    QUERY_REPLY = 1 << 20,
    CLIENT_EP_MAX = FIRST_SEE_EP - 1,
    LOSSES_MAX = 32,   /* of one destination in a window: enough to leave a silent relay ... */
    OBSERVED_MAX = 64, /* ... and to judge a holder, too few to ruin either at will */
};
#define SENT_WINDOW   SM_S(10)
#define CERTIFY_AFTER SM_S(6 * 3600) /* half of a record's life */

/* -- table ------------------------------------------------------------------------------- */

static struct ep *ep_of(struct net *n, uint32_t id)
{
    for (unsigned i = 0; i < NET_ENDPOINTS; i++) {
        if (n->eps[i].is_used && n->eps[i].id == id && id != 0) {
            return &n->eps[i];
        }
    }
    return NULL;
}

struct ep *ep_of_instance(struct net *n, uint64_t instance)
{
    for (unsigned i = 0; i < NET_ENDPOINTS; i++) {
        if (n->eps[i].is_used && n->eps[i].instance == instance && instance != 0) {
            return &n->eps[i];
        }
    }
    return NULL;
}

unsigned ep_count(const struct net *n, uint8_t kind)
{
    unsigned count = 0;
    for (unsigned i = 0; i < NET_ENDPOINTS; i++) {
        count += n->eps[i].is_used && n->eps[i].kind == kind;
    }
    return count;
}

static void ep_free(struct ep *ep)
{
    sm_stream_free(ep->stream);
    if (ep->fd >= 0) {
        (void)close(ep->fd);
    }
    sm_buf_done(&ep->in);
    *ep = (struct ep){0};
}

void ep_free_all(struct net *n)
{
    for (unsigned i = 0; i < NET_ENDPOINTS; i++) {
        if (n->eps[i].is_used) {
            ep_free(&n->eps[i]);
        }
    }
}

void ep_pause_all(struct net *n, bool is_paused)
{
    if (n->are_eps_paused == is_paused) {
        return;
    }
    n->are_eps_paused = is_paused;
    for (unsigned i = 0; i < NET_ENDPOINTS; i++) {
        if (n->eps[i].is_used) {
            sm_stream_pause(n->eps[i].stream, is_paused);
        }
    }
}

void ep_see_gone(struct net *n, uint64_t instance)
{
    struct ep *ep = ep_of_instance(n, instance);
    if (ep != NULL) {
        ep_free(ep);
    }
}

/* A number no endpoint has. */
static uint32_t new_client_id(struct net *n)
{
    do {
        n->next_client = n->next_client % CLIENT_EP_MAX + 1;
    } while (ep_of(n, n->next_client) != NULL);
    return n->next_client;
}

/* -- to the endpoint --------------------------------------------------------------------- */

static bool send_ctl(struct ep *ep, uint16_t type, uint16_t flags, uint64_t id,
                     struct sm_view body)
{
    uint8_t head[SM_CTL_HEAD];
    sm_ctl_head_write(
        &(struct sm_ctl_head){
            .body_n = (uint32_t)body.n, .type = type, .flags = flags, .id = id},
        head);
    return sm_stream_write2(ep->stream, sm_view_of(head, sizeof head), body) == SM_OK;
}

static void reply(struct ep *ep, uint16_t type, uint64_t id, enum sm_err err,
                  struct sm_view body)
{
    uint8_t *whole = malloc(4 + body.n);
    if (whole == NULL) {
        return; /* the endpoint waits in vain, as it would for a lost node */
    }
    sm_put_le32(whole, (uint32_t)err);
    if (body.n > 0) {
        memcpy(whole + 4, body.p, body.n);
    }
    (void)send_ctl(ep, type, SM_CTL_REPLY, id, sm_view_of(whole, 4 + body.n));
    free(whole);
}

void ep_packet(struct net *n, const struct sm_action *a)
{
    struct ep *ep = ep_of(n, a->ep);
    uint8_t body[16 + SM_FRAG_PACKET_MAX + 64];
    struct sm_wr w = sm_wr_init(body, sizeof body);
    struct sm_view view;
    if (ep == NULL || !ep->is_ready || sm_stream_queued(ep->stream) > EP_QUEUE) {
        return; /* gone, or does not read: its peers resend or give up */
    }
    sm_ctl_packet_write(&w, &(struct sm_ctl_packet){
                                .peer = a->addr_from, .slot = a->slot, .payload = a->bytes});
    if (sm_wr_done(&w, &view) == SM_OK) {
        (void)send_ctl(ep, SM_CTL_PACKET, 0, 0, view);
    }
}

void ep_fail(struct net *n, const struct sm_action *a)
{
    struct ep *ep = ep_of(n, a->ep);
    uint8_t body[16];
    struct sm_wr w = sm_wr_init(body, sizeof body);
    if (ep != NULL) {
        sm_ctl_fail_write(&w, &(struct sm_ctl_fail){.peer = a->addr_from, .slot = a->slot});
        (void)send_ctl(ep, SM_CTL_FAIL, 0, 0, sm_view_of(body, w.n));
    }
}

bool ep_send(struct ep *ep, uint16_t type, struct sm_view body)
{
    return send_ctl(ep, type, 0, 0, body);
}

void ep_paths(struct net *n, const struct sm_action *a)
{
    struct ep *ep = ep_of(n, a->ep);
    uint8_t body[16];
    struct sm_wr w = sm_wr_init(body, sizeof body);
    if (ep != NULL) {
        sm_wr_u64(&w, a->addr_from.node.v);
        sm_wr_u8(&w, a->n_slots);
        (void)send_ctl(ep, SM_CTL_PATHS, 0, 0, sm_view_of(body, w.n));
    }
}

/* -- passports --------------------------------------------------------------------------- */

bool ep_passport(const struct net *n, const struct ep *ep, struct sm_wr *w)
{
    struct sm_view node = sm_node_self_record(n->node), view;
    if (node.n == 0 || ep->record_n == 0) {
        return false;
    }
    sm_passport_write(node, sm_view_of(ep->record, ep->record_n), w);
    return sm_wr_done(w, &view) == SM_OK;
}

static void welcome(struct net *n, struct ep *ep)
{
    uint8_t passport[SM_PASSPORT_MAX], body[SM_PASSPORT_MAX + 128];
    struct sm_wr p = sm_wr_init(passport, sizeof passport);
    if (!ep_passport(n, ep, &p)) {
        return; /* again when the node has its record */
    }
    struct sm_ctl_welcome m = {.self = {.node = sm_node_hop(n->node), .ep = ep->id},
                               .passport = sm_view_of(passport, p.n)};
    memcpy(m.mesh_id, n->anchor.mesh_id, sizeof m.mesh_id);
    struct sm_wr w = sm_wr_init(body, sizeof body);
    sm_ctl_welcome_write(&w, &m);
    ep->is_ready = true;
    ep->since = sm_clock_wall();
    docs_to_endpoint(n, ep); /* first: it judges by them who it talks to */
    reply(ep, SM_CTL_HELLO, ep->hello_id, SM_OK, sm_view_of(body, w.n));
    if (ep->kind == SM_CTL_SEE) {
        net_see_attached(n, ep);
    }
}

static void send_passport(struct net *n, struct ep *ep)
{
    uint8_t passport[SM_PASSPORT_MAX];
    struct sm_wr p = sm_wr_init(passport, sizeof passport);
    if (ep_passport(n, ep, &p)) {
        (void)send_ctl(ep, SM_CTL_PASSPORT, 0, 0, sm_view_of(passport, p.n));
    }
}

/* Clients' records are ours to renew; SEEs bring theirs. */
static void certify_when_old(struct net *n, struct ep *ep)
{
    struct sm_mono now = sm_clock_mono();
    if (ep->kind != SM_CTL_SEE && sm_is_due(sm_after(ep->certified, CERTIFY_AFTER), now)) {
        enum sm_err e = net_certify(n, ep);
        (void)e; /* the old one is good for as long again; asked again with the next record */
    }
}

void ep_renew_passports(struct net *n)
{
    struct sm_record_head head;
    struct sm_view self = sm_node_self_record(n->node);
    if (self.n == 0 || sm_record_peek(self, &head) != SM_OK || head.seq == n->passport_seq) {
        return;
    }
    n->passport_seq = head.seq;
    for (unsigned i = 0; i < NET_ENDPOINTS; i++) {
        struct ep *ep = &n->eps[i];
        if (ep->is_used && !ep->is_ready && ep->record_n > 0) {
            welcome(n, ep);
        } else if (ep->is_used && ep->is_ready) {
            send_passport(n, ep);
            certify_when_old(n, ep);
        }
    }
}

void ep_certify_again(struct net *n)
{
    for (unsigned i = 0; i < NET_ENDPOINTS; i++) {
        struct ep *ep = &n->eps[i];
        if (ep->is_used && ep->has_hello && ep->record_n == 0 && ep->kind != SM_CTL_SEE &&
            net_certify(n, ep) != SM_OK) {
            reply(ep, SM_CTL_HELLO, ep->hello_id, SM_E_BUSY, (struct sm_view){0});
        }
    }
}

void ep_certified(struct net *n, uint64_t id, enum sm_err err, struct sm_view record)
{
    struct ep *ep = ep_of(n, (uint32_t)id);
    if (ep == NULL || ep->kind == SM_CTL_SEE || (ep->is_ready && err != SM_OK)) {
        return;
    }
    if (err != SM_OK || record.n > sizeof ep->record) {
        reply(ep, SM_CTL_HELLO, ep->hello_id, err != SM_OK ? err : SM_E_LIMIT,
              (struct sm_view){0});
        return;
    }
    memcpy(ep->record, record.p, record.n);
    ep->record_n = record.n;
    ep->certified = sm_clock_mono();
    if (ep->is_ready) {
        send_passport(n, ep);
    } else {
        welcome(n, ep);
    }
}

/* -- from the endpoint ------------------------------------------------------------------- */

/* A SEE brings the record that main had signed for it; nobody else has its channel. */
static enum sm_err take_see_record(struct ep *ep, struct sm_view record)
{
    struct sm_endpoint_record rec;
    SM_TRY(sm_endpoint_record_read(record, &rec));
    if (ep->kind != SM_CTL_SEE || rec.kind != SM_ENDPOINT_SEE || rec.ep != ep->id ||
        record.n > sizeof ep->record ||
        memcmp(rec.dh_key, ep->dh_key, sizeof rec.dh_key) != 0) {
        return SM_E_REFUSED;
    }
    memcpy(ep->record, record.p, record.n);
    ep->record_n = record.n;
    return SM_OK;
}

static enum sm_err take_hello(struct net *n, struct ep *ep, uint64_t id, struct sm_view body)
{
    struct sm_ctl_hello h;
    SM_TRY(sm_ctl_hello_read(body, &h));
    if (ep->has_hello || (h.kind == SM_CTL_SEE) != (ep->kind == SM_CTL_SEE)) {
        return SM_E_STATE;
    }
    ep->has_hello = true;
    ep->hello_id = id;
    memcpy(ep->dh_key, h.dh_key, sizeof ep->dh_key);
    memcpy(ep->sign_key, h.sign_key, sizeof ep->sign_key);
    if (ep->kind == SM_CTL_SEE) {
        SM_TRY(take_see_record(ep, h.endpoint));
        welcome(n, ep);
        return SM_OK;
    }
    ep->id = new_client_id(n);
    enum sm_err e = net_certify(n, ep);
    if (e != SM_OK) {
        reply(ep, SM_CTL_HELLO, id, e, (struct sm_view){0});
    }
    return SM_OK;
}

/* The note of a destination; NULL when the endpoint has not sent there, unless one is made.
 * Beyond EP_SENT destinations the oldest places are taken over. */
static struct sent *sent_to(struct ep *ep, struct sm_hop dst, bool may_make)
{
    enum { LOOK = 8 };
    size_t at = (size_t)((dst.v * 0x9e3779b97f4a7c15u) >> 32), oldest = at % EP_SENT;
    for (size_t i = 0; i < LOOK; i++) {
        struct sent *s = &ep->sent[(at + i) % EP_SENT];
        if (s->hop == dst.v && dst.v != 0) {
            return s;
        }
        if (s->hop == 0 || s->since.ns < ep->sent[oldest].since.ns) {
            oldest = (at + i) % EP_SENT;
        }
        if (s->hop == 0) {
            break;
        }
    }
    if (!may_make) {
        return NULL;
    }
    ep->sent[oldest] = (struct sent){.hop = dst.v, .since = sm_clock_mono()};
    return &ep->sent[oldest];
}

/* One more of a kind, if it still counts. */
static bool sent_counts(struct ep *ep, struct sm_hop dst, bool is_observed)
{
    struct sent *s = sent_to(ep, dst, false);
    struct sm_mono now = sm_clock_mono();
    if (s == NULL) {
        return false;
    }
    if (sm_is_due(sm_after(s->since, SENT_WINDOW), now)) {
        s->since = now;
        s->losses = s->observed = 0;
    }
    uint16_t *used = is_observed ? &s->observed : &s->losses;
    if (*used == (is_observed ? OBSERVED_MAX : LOSSES_MAX)) {
        return false;
    }
    (*used)++;
    return true;
}

static enum sm_err take_packet(struct net *n, struct ep *ep, struct sm_view body)
{
    struct sm_ctl_packet p;
    SM_TRY(sm_ctl_packet_read(body, &p));
    (void)sent_to(ep, p.peer.node, true);
    net_step(n, &(struct sm_event){.kind = SM_EV_EP_PACKET,
                                   .ep = ep->id,
                                   .peer = p.peer,
                                   .slot = p.slot,
                                   .bytes = p.payload});
    return SM_OK;
}

static enum sm_err take_report(struct net *n, struct ep *ep, struct sm_view body)
{
    struct sm_ctl_report r;
    SM_TRY(sm_ctl_report_read(body, &r));
    if (r.is_ok ? sent_to(ep, r.dst, false) == NULL : !sent_counts(ep, r.dst, false)) {
        return SM_OK;
    }
    net_step(n, &(struct sm_event){.kind = SM_EV_EP_REPORT,
                                   .peer = {.node = r.dst},
                                   .slot = r.slot,
                                   .is_ok = r.is_ok,
                                   .rtt = {r.rtt_ns}});
    return SM_OK;
}

static enum sm_err take_observe(struct net *n, struct ep *ep, struct sm_view body)
{
    struct sm_rd r = sm_rd_init(body);
    struct sm_event ev = {.kind = SM_EV_OBSERVE};
    ev.peer.node.v = sm_rd_u64(&r);
    ev.observed = sm_rd_u8(&r);
    SM_TRY(sm_rd_done(&r));
    if (sent_counts(ep, ev.peer.node, true)) {
        net_step(n, &ev);
    }
    return SM_OK;
}

static struct find *find_new(struct net *n, const struct ep *ep, uint16_t type, uint64_t ctl_id,
                             uint64_t *out_token)
{
    unsigned own = 0, free_at = NET_FINDS;
    for (unsigned i = 0; i < NET_FINDS; i++) {
        const struct find *f = &n->finds[i];
        own += f->is_used && f->ep == ep->id && f->type == type;
        free_at = !f->is_used && free_at == NET_FINDS ? i : free_at;
    }
    if (own >= FINDS_OF_EP || free_at == NET_FINDS) {
        return NULL;
    }
    struct find *f = &n->finds[free_at];
    *f = (struct find){true, f->generation + 1, ep->id, ctl_id, type};
    *out_token = (uint64_t)f->generation << 16 | free_at;
    return f;
}

static enum sm_err take_find(struct net *n, struct ep *ep, uint64_t id, struct sm_view body)
{
    struct sm_ctl_find q;
    struct sm_event ev = {.kind = SM_EV_FIND};
    SM_TRY(sm_ctl_find_read(body, &q));
    if (find_new(n, ep, SM_CTL_FIND, id, &ev.token) == NULL) {
        reply(ep, SM_CTL_FIND, id, SM_E_BUSY, (struct sm_view){0});
        return SM_OK;
    }
    memcpy(ev.key, q.key, sizeof ev.key);
    ev.record_type = q.type;
    ev.want = q.want;
    net_step(n, &ev);
    return SM_OK;
}

static enum sm_err take_task(struct net *n, struct ep *ep, uint64_t id, struct sm_view body)
{
    struct sm_ctl_task t;
    struct sm_event ev = {.kind = SM_EV_TASK};
    SM_TRY(sm_ctl_task_read(body, &t));
    if (find_new(n, ep, SM_CTL_TASK, id, &ev.token) == NULL) {
        reply(ep, SM_CTL_TASK, id, SM_E_BUSY, (struct sm_view){0});
        return SM_OK;
    }
    memcpy(ev.task.task_id, t.task_id, sizeof ev.task.task_id);
    ev.task.holder = t.holder;
    ev.task.fence = t.fence;
    ev.task.lease_ms = t.lease_ms;
    ev.task.state = t.state;
    net_step(n, &ev);
    return SM_OK;
}

void ep_found(struct net *n, const struct sm_action *a)
{
    uint64_t i = a->token & 0xffff;
    if (i >= NET_FINDS || !n->finds[i].is_used || n->finds[i].generation != a->token >> 16) {
        return;
    }
    struct find f = n->finds[i];
    n->finds[i].is_used = false;
    struct ep *ep = ep_of(n, f.ep);
    uint8_t *body = ep != NULL ? malloc(8 + a->found.records.n) : NULL;
    if (body == NULL) {
        return;
    }
    struct sm_wr w = sm_wr_init(body, 8 + a->found.records.n);
    sm_wr_u16(&w, a->found.asked);
    sm_wr_u8(&w, a->found.paths);
    sm_wr_u16(&w, a->found.n);
    sm_wr_view(&w, a->found.records);
    reply(ep, f.type, f.ctl_id, a->err, sm_view_of(body, w.n));
    free(body);
}

static void write_node(struct net *n, size_t i, struct sm_wr *w)
{
    struct sm_route *route = sm_node_route(n->node);
    struct sm_mono now = sm_clock_mono();
    struct sm_route_info info;
    struct sm_route_path paths[SM_ROUTE_PATHS];
    sm_route_info(route, now, i, &info);
    struct sm_hop hop = sm_hop_of(&info.id);
    struct sm_ctl_node m = {
        .record = info.is_self ? sm_node_self_record(n->node) : sm_route_node_bytes(route, hop),
        .trust_q16 = info.is_self ? 65536 : info.trust_q16,
        .path_cost_16 = (uint32_t)(info.cost < UINT32_MAX ? info.cost : UINT32_MAX - 1)};
    m.n_slots =
        info.is_self ? 1 : (uint8_t)sm_route_paths(route, now, hop, SM_ROUTE_PATHS, paths);
    if (m.n_slots == 0) {
        m.path_cost_16 = UINT32_MAX;
    }
    if (m.record.n > 0) {
        sm_ctl_node_write(w, &m);
    }
}

static void take_nodes(struct net *n, struct ep *ep, uint64_t id)
{
    uint8_t *body = malloc(NODES_REPLY);
    if (body == NULL) {
        reply(ep, SM_CTL_NODES, id, SM_E_NOMEM, (struct sm_view){0});
        return;
    }
    struct sm_wr w = sm_wr_init(body, NODES_REPLY);
    size_t count = sm_route_count(sm_node_route(n->node));
    for (size_t i = 0; i < count && !w.full; i++) {
        struct sm_wr before = w;
        write_node(n, i, &w);
        if (w.full) {
            w = before; /* whole entries only */
            break;
        }
    }
    reply(ep, SM_CTL_NODES, id, SM_OK, sm_view_of(body, w.n));
    free(body);
}

static void take_query(struct net *n, struct ep *ep, uint64_t id, struct sm_view text)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf out = SM_BUF(QUERY_REPLY);
    enum sm_err e = net_query(n, text, &out);
    reply(ep, SM_CTL_QUERY, id, e, sm_buf_view(&out));
}

/* Evidence for people, of what they choose; one at a time.  Not for SEEs: their evidence is
 * their certificate. */
static void take_evidence(struct net *n, struct ep *ep, uint64_t id, struct sm_view data)
{
    uint8_t bytes[1 + SM_USER_DATA_MAX];
    struct sm_wr w = sm_wr_init(bytes, sizeof bytes);
    struct sm_ipc *keys = sm_self_peer(n->self, SM_PROG_KEYS);
    struct sm_sign_request req;
    enum sm_err e = ep->kind == SM_CTL_SEE ? SM_E_REFUSED : SM_OK;
    sm_sign_user_write(data, &w);
    if (e == SM_OK && (w.full || sm_sign_request_read(sm_view_of(w.p, w.n), &req) != SM_OK)) {
        e = SM_E_INVALID;
    }
    if (e == SM_OK && (n->user_ask.is_used || keys == NULL)) {
        e = SM_E_BUSY;
    }
    if (e == SM_OK) {
        e = sm_ipc_send(keys, SM_IPC_SIGN, NET_USER_TOKEN, sm_view_of(w.p, w.n), -1);
    }
    if (e != SM_OK) {
        reply(ep, SM_CTL_EVIDENCE, id, e, (struct sm_view){0});
        return;
    }
    n->user_ask = (struct user_ask){.is_used = true, .ep = ep->id, .id = id};
}

void ep_evidence(struct net *n, enum sm_err err, struct sm_view envelope)
{
    struct user_ask ask = n->user_ask;
    n->user_ask = (struct user_ask){0};
    for (unsigned i = 0; ask.is_used && i < NET_ENDPOINTS; i++) {
        struct ep *ep = &n->eps[i];
        if (ep->is_used && ep->id == ask.ep) {
            reply(ep, SM_CTL_EVIDENCE, ask.id, err, envelope);
            return;
        }
    }
}

/* The operator's: a SEE has nothing to say about what its node believes. */
static void take_offer(struct net *n, struct ep *ep, uint64_t id, struct sm_view body)
{
    SM_CLEANUP(sm_buf_done) struct sm_buf why = SM_BUF(4096);
    enum sm_err e = ep->kind == SM_CTL_SEE ? SM_E_REFUSED : docs_offer(n, body, &why);
    reply(ep, SM_CTL_OFFER, id, e, sm_buf_view(&why));
}

/* What changes the node is for whoever runs it. */
static bool may_steer(const struct ep *ep)
{
    return ep->kind == SM_CTL_CLIENT && sm_unix_is_own(sm_stream_fd(ep->stream));
}

/* The descriptor came with the bytes or before them. */
static enum sm_err take_tun_up(struct net *n, struct ep *ep, struct sm_view body)
{
    struct sm_ctl_tun t;
    SM_TRY(sm_ctl_tun_read(body, &t));
    if (!may_steer(ep)) {
        return SM_E_REFUSED;
    }
    if (ep->fd < 0) {
        return SM_E_INVALID;
    }
    SM_TRY(net_tun_up(n, &t, ep->fd));
    ep->fd = -1;
    return SM_OK;
}

static enum sm_err take_tun_down(struct net *n, const struct ep *ep)
{
    return may_steer(ep) ? net_tun_down(n) : SM_E_REFUSED;
}

static enum sm_err take(struct net *n, struct ep *ep, const struct sm_ctl_head *h,
                        struct sm_view body)
{
    if (h->type == SM_CTL_HELLO) {
        return take_hello(n, ep, h->id, body);
    }
    if (!ep->is_ready) {
        return SM_E_STATE;
    }
    switch (h->type) {
    case SM_CTL_PACKET:
        return take_packet(n, ep, body);
    case SM_CTL_REPORT:
        return take_report(n, ep, body);
    case SM_CTL_OBSERVE:
        return take_observe(n, ep, body);
    case SM_CTL_ENDPOINT:
        SM_TRY(take_see_record(ep, body));
        send_passport(n, ep);
        return SM_OK;
    case SM_CTL_FIND:
        return take_find(n, ep, h->id, body);
    case SM_CTL_TASK:
        return take_task(n, ep, h->id, body);
    case SM_CTL_NODES:
        take_nodes(n, ep, h->id);
        return SM_OK;
    case SM_CTL_OFFER:
        take_offer(n, ep, h->id, body);
        return SM_OK;
    case SM_CTL_QUERY:
        take_query(n, ep, h->id, body);
        return SM_OK;
    case SM_CTL_EVIDENCE:
        take_evidence(n, ep, h->id, body);
        return SM_OK;
    case SM_CTL_TUN_UP:
        reply(ep, SM_CTL_TUN_UP, h->id, take_tun_up(n, ep, body), (struct sm_view){0});
        return SM_OK;
    case SM_CTL_TUN_DOWN:
        reply(ep, SM_CTL_TUN_DOWN, h->id, take_tun_down(n, ep), (struct sm_view){0});
        return SM_OK;
    default: /* a number from outside, not one of ours */
        return SM_E_UNSUPPORTED;
    }
}

static void on_read(void *ctx, struct sm_view bytes)
{
    struct ep *ep = ctx;
    struct net *n = ep->net;
    enum sm_err e = n->node == NULL ? SM_E_STATE : sm_buf_add(&ep->in, bytes.p, bytes.n);
    size_t at = 0;
    while (e == SM_OK && ep->in.n - at >= SM_CTL_HEAD) {
        struct sm_ctl_head h;
        e = sm_ctl_head_read(sm_view_of(ep->in.p + at, SM_CTL_HEAD), &h);
        if (e != SM_OK || ep->in.n - at < SM_CTL_HEAD + h.body_n) {
            break;
        }
        e = take(n, ep, &h, sm_view_of(ep->in.p + at + SM_CTL_HEAD, h.body_n));
        at += SM_CTL_HEAD + h.body_n;
        if (!ep->is_used) {
            return; /* ended by what it asked for */
        }
    }
    sm_buf_drop(&ep->in, at);
    if (e != SM_OK) {
        sm_child_log(n->self, SM_LOG_WARN, "endpoint-closed", "ep=%u err=%s", ep->id,
                     sm_err_name(e));
        ep_free(ep);
    }
}

static void on_fd(void *ctx, int fd)
{
    struct ep *ep = ctx;
    if (ep->fd >= 0) {
        (void)close(ep->fd); /* one at a time */
    }
    ep->fd = fd;
}

static void on_closed(void *ctx, enum sm_err why)
{
    (void)why;
    ep_free(ctx);
}

static struct ep *ep_new(struct net *n, int fd, uint8_t kind)
{
    static const struct sm_stream_ops ops = {
        .read = on_read, .closed = on_closed, .got_fd = on_fd};
    for (unsigned i = 0; i < NET_ENDPOINTS; i++) {
        struct ep *ep = &n->eps[i];
        if (ep->is_used) {
            continue;
        }
        *ep = (struct ep){.net = n, .is_used = true, .kind = kind, .fd = -1};
        ep->in = SM_BUF(2 * (SM_CTL_HEAD + SM_CTL_BODY_MAX));
        if (sm_stream_new(n->loop, fd, &ops, ep, EP_QUEUE * 2, &ep->stream) == SM_OK) {
            sm_stream_pause(ep->stream, n->are_eps_paused);
            return ep;
        }
        ep->is_used = false;
        break;
    }
    close(fd);
    return NULL;
}

void ep_accepted(void *ctx, int fd)
{
    struct net *n = ctx;
    if (ep_count(n, SM_CTL_CLIENT) >= n->config->limits.clients) {
        close(fd);
        return;
    }
    (void)ep_new(n, fd, SM_CTL_CLIENT);
}

void ep_add_see(struct net *n, uint64_t instance, int fd)
{
    struct ep *ep = ep_new(n, fd, SM_CTL_SEE);
    if (ep != NULL) {
        ep->instance = instance;
        ep->id = (uint32_t)instance;
    }
}
