// SPDX-License-Identifier: Apache-2.0
#include "client/mesh.h"

#include "os/clock.h"
#include "wire/fragment.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUEUE_MAX = 4 << 20,  /* bytes waiting for the node */
    QUEUE_HIGH = 1 << 20, /* above it the sessions wait */
    ASK = 0,              /* a call to our node, found by its ctl id */
    REQUEST = 1,          /* a call to another endpoint, found by its session request id */
    PACKET_HEAD = 16,     /* of sm_ctl_packet */
};
#define ASK_DEADLINE SM_S(30) /* above what a lookup takes when every node is silent */

struct call {
    bool is_used;
    uint8_t what;
    uint64_t id;
    struct sm_mono due; /* of an ASK; the host knows when a REQUEST ends */
    sm_mesh_done_fn *done;
    void *ctx;
};

struct sm_mesh {
    struct sm_mesh_cfg cfg;
    struct sm_stream *stream;
    struct sm_timer *timer;
    struct sm_host *host;
    struct sm_rules *rules;
    struct sm_buf in; /* a message of the node that has not come whole */
    struct sm_addr self;
    uint8_t passport[SM_PASSPORT_MAX];
    size_t passport_n;
    uint64_t next_id;
    struct call *calls;
    size_t calls_n;         /* no used slot at or behind it */
    struct sm_mono ask_due; /* no question is due before; SM_NEVER: none is open */
    enum sm_err end;
    bool is_ready, is_ended;
};

static void drain(struct sm_mesh *m);

/* Wake when the sessions or a question want it; soon, when packets are held back. */
static void arm(struct sm_mesh *m)
{
    struct sm_mono now = sm_clock_mono(), due = m->ask_due;
    if (m->host != NULL) {
        due = sm_earlier(due, sm_host_deadline(m->host));
        if (sm_stream_queued(m->stream) >= QUEUE_HIGH) {
            due = sm_earlier(due, sm_after(now, SM_MS(1)));
        }
    }
    sm_timer_at(m->timer, due);
}

/* -- calls ------------------------------------------------------------------------------- */

static enum sm_err call_new(struct sm_mesh *m, struct call **out)
{
    size_t i = 0;
    while (i < m->calls_n && m->calls[i].is_used) {
        i++;
    }
    if (i == SM_MESH_CALLS_MAX) {
        return SM_E_BUSY;
    }
    if (i == m->calls_n) {
        m->calls_n++;
    }
    *out = &m->calls[i];
    return SM_OK;
}

static void call_end(struct sm_mesh *m, uint8_t what, uint64_t id, enum sm_err err,
                     struct sm_view body)
{
    for (size_t i = 0; i < m->calls_n; i++) {
        struct call *c = &m->calls[i];
        if (!c->is_used || c->what != what || c->id != id) {
            continue;
        }
        struct call done = *c;
        c->is_used = false;
        if (done.done != NULL) {
            done.done(done.ctx, err, body);
        }
        return;
    }
}

static void end_all_calls(struct sm_mesh *m, enum sm_err err)
{
    for (size_t i = 0; i < m->calls_n; i++) {
        struct call c = m->calls[i];
        m->calls[i].is_used = false;
        if (c.is_used && c.done != NULL) {
            c.done(c.ctx, err, (struct sm_view){0});
        }
    }
}

/* Our node does not answer: end the questions that have waited too long. */
static void expire_asks(struct sm_mesh *m, struct sm_mono now)
{
    if (!sm_is_due(m->ask_due, now)) {
        return;
    }
    m->ask_due = SM_NEVER;
    for (size_t i = 0; i < m->calls_n; i++) {
        struct call c = m->calls[i];
        if (!c.is_used || c.what != ASK) {
            continue;
        }
        if (!sm_is_due(c.due, now)) {
            m->ask_due = sm_earlier(m->ask_due, c.due);
            continue;
        }
        m->calls[i].is_used = false;
        if (c.done != NULL) {
            c.done(c.ctx, SM_E_TIMEOUT, (struct sm_view){0});
        }
    }
}

void sm_mesh_forget(struct sm_mesh *m, const void *ctx)
{
    for (size_t i = 0; i < m->calls_n; i++) {
        if (m->calls[i].is_used && m->calls[i].ctx == ctx) {
            m->calls[i].done = NULL;
        }
    }
}

/* -- to the node ------------------------------------------------------------------------- */

static enum sm_err send_ctl_fd(struct sm_mesh *m, enum sm_ctl_type type, uint64_t id,
                               struct sm_view body, int fd)
{
    uint8_t head[SM_CTL_HEAD];
    if (m->is_ended) {
        return SM_E_CLOSED;
    }
    sm_ctl_head_write(
        &(struct sm_ctl_head){.body_n = (uint32_t)body.n, .type = (uint16_t)type, .id = id},
        head);
    struct sm_view v = sm_view_of(head, sizeof head);
    return fd >= 0 ? sm_stream_write_fd(m->stream, v, body, fd)
                   : sm_stream_write2(m->stream, v, body);
}

static enum sm_err send_ctl(struct sm_mesh *m, enum sm_ctl_type type, uint64_t id,
                            struct sm_view body)
{
    return send_ctl_fd(m, type, id, body, -1);
}

enum sm_err sm_mesh_ask_fd(struct sm_mesh *m, enum sm_ctl_type type, struct sm_view body,
                           int fd, sm_mesh_done_fn *done, void *ctx)
{
    struct call *c;
    SM_TRY(call_new(m, &c));
    uint64_t id = ++m->next_id;
    SM_TRY(send_ctl_fd(m, type, id, body, fd));
    struct sm_mono due = sm_after(sm_clock_mono(), ASK_DEADLINE);
    *c = (struct call){
        .is_used = true, .what = ASK, .id = id, .due = due, .done = done, .ctx = ctx};
    if (due.ns < m->ask_due.ns) {
        m->ask_due = due;
        arm(m);
    }
    return SM_OK;
}

enum sm_err sm_mesh_ask(struct sm_mesh *m, enum sm_ctl_type type, struct sm_view body,
                        sm_mesh_done_fn *done, void *ctx)
{
    return sm_mesh_ask_fd(m, type, body, -1, done, ctx);
}

enum sm_err sm_mesh_renew(struct sm_mesh *m, struct sm_view endpoint)
{
    return send_ctl(m, SM_CTL_ENDPOINT, 0, endpoint);
}

void sm_mesh_observe(struct sm_mesh *m, struct sm_hop node, uint8_t kind)
{
    uint8_t body[9];
    struct sm_wr w = sm_wr_init(body, sizeof body);
    sm_wr_u64(&w, node.v);
    sm_wr_u8(&w, kind);
    if (send_ctl(m, SM_CTL_OBSERVE, 0, sm_view_of(body, w.n)) != SM_OK) {
        return; /* the link ended: closed() says so */
    }
}

static void send_packet(struct sm_mesh *m, const struct sm_host_out *o)
{
    uint8_t body[PACKET_HEAD + SM_FRAG_PACKET_MAX];
    struct sm_wr w = sm_wr_init(body, sizeof body);
    sm_ctl_packet_write(&w, &(struct sm_ctl_packet){.peer = o->packet.dst,
                                                    .slot = o->packet.slot,
                                                    .payload = o->packet.bytes});
    struct sm_view view;
    if (sm_wr_done(&w, &view) != SM_OK || send_ctl(m, SM_CTL_PACKET, 0, view) != SM_OK) {
        sm_host_unreachable(m->host, sm_clock_mono(), o->packet.dst, o->packet.slot);
    }
}

static void send_report(struct sm_mesh *m, const struct sm_host_out *o)
{
    uint8_t body[32];
    struct sm_wr w = sm_wr_init(body, sizeof body);
    sm_ctl_report_write(&w, &(struct sm_ctl_report){.dst = o->path_report.dst,
                                                    .slot = o->path_report.slot,
                                                    .is_ok = o->path_report.is_ok,
                                                    .rtt_ns = o->path_report.rtt.ns});
    if (send_ctl(m, SM_CTL_REPORT, 0, sm_view_of(body, w.n)) != SM_OK) {
        return;
    }
}

/* -- the session host -------------------------------------------------------------------- */

enum sm_err sm_mesh_request(struct sm_mesh *m, struct sm_addr dst,
                            const uint8_t dh_key[static 32], uint8_t service,
                            struct sm_view body, struct sm_dur deadline, sm_mesh_done_fn *done,
                            void *ctx)
{
    struct call *c;
    uint64_t id;
    if (!m->is_ready || m->is_ended) {
        return SM_E_CLOSED;
    }
    SM_TRY(call_new(m, &c));
    SM_TRY(
        sm_host_request(m->host, sm_clock_mono(), dst, dh_key, service, body, deadline, &id));
    *c = (struct call){.is_used = true, .what = REQUEST, .id = id, .done = done, .ctx = ctx};
    sm_timer_at(m->timer, sm_clock_mono());
    return SM_OK;
}

void sm_mesh_reply(struct sm_mesh *m, uint64_t handle, enum sm_err err, struct sm_view body)
{
    enum sm_err e = sm_host_reply(m->host, sm_clock_mono(), handle, err, body);
    if (e == SM_E_INVALID) { /* too long: our own doing, but the asker must hear something */
        e = sm_host_reply(m->host, sm_clock_mono(), handle, SM_E_LIMIT, (struct sm_view){0});
    }
    (void)e; /* the asker may be gone by now */
    sm_timer_at(m->timer, sm_clock_mono());
}

static void take_request(struct sm_mesh *m, const struct sm_host_out *o)
{
    if (m->cfg.request == NULL) {
        sm_mesh_reply(m, o->request.handle, SM_E_REFUSED, (struct sm_view){0});
        return;
    }
    m->cfg.request(m->cfg.ctx, o->request.handle, o->request.peer, o->request.service,
                   o->request.body);
}

static void drain(struct sm_mesh *m)
{
    struct sm_host_out o;
    while (!m->is_ended && m->host != NULL && sm_stream_queued(m->stream) < QUEUE_HIGH &&
           sm_host_next(m->host, &o)) {
        switch (o.kind) {
        case SM_HOST_PACKET:
            send_packet(m, &o);
            break;
        case SM_HOST_REQUEST:
            take_request(m, &o);
            break;
        case SM_HOST_RESPONSE:
            call_end(m, REQUEST, o.response.id, o.response.err, o.response.body);
            break;
        case SM_HOST_PATH_REPORT:
            send_report(m, &o);
            break;
        }
    }
    if (!m->is_ended) {
        arm(m);
    }
}

static void on_timer(void *ctx)
{
    struct sm_mesh *m = ctx;
    if (m->is_ended) {
        m->cfg.closed(m->cfg.ctx, m->end);
        return;
    }
    if (m->host != NULL) {
        sm_host_tick(m->host, sm_clock_mono());
    }
    expire_asks(m, sm_clock_mono());
    drain(m);
}

/* -- from the node ----------------------------------------------------------------------- */

static bool nobody_may_open(void *ctx, const uint8_t dh_key[static 32])
{
    (void)ctx;
    (void)dh_key;
    return false;
}

static enum sm_err take_welcome(struct sm_mesh *m, struct sm_view body)
{
    struct sm_ctl_welcome w;
    SM_TRY(sm_ctl_welcome_read(body, &w));
    if (memcmp(w.mesh_id, m->cfg.anchor->mesh_id, sizeof w.mesh_id) != 0) {
        return SM_E_AUTH; /* the node is of another mesh than our configuration */
    }
    if (w.passport.n > sizeof m->passport) {
        return SM_E_LIMIT;
    }
    struct sm_passport mine;
    SM_TRY(
        sm_passport_verify(sm_suite_real(), m->cfg.anchor, sm_clock_wall(), w.passport, &mine));
    if (memcmp(mine.dh_key, m->cfg.dh.pub.b, sizeof mine.dh_key) != 0 ||
        !sm_addr_eq(mine.addr, w.self)) {
        return SM_E_AUTH;
    }
    memcpy(m->passport, w.passport.p, w.passport.n);
    m->passport_n = w.passport.n;
    m->self = w.self;
    struct sm_host_cfg cfg = {
        .suite = sm_suite_real(),
        .anchor = sm_rules_anchor(m->rules),
        .self = w.self,
        .dh = m->cfg.dh,
        .cipher = m->cfg.cipher,
        .passport = sm_mesh_passport(m),
        .may_open = m->cfg.may_open != NULL ? m->cfg.may_open : nobody_may_open,
        .ctx = m->cfg.ctx,
    };
    memcpy(cfg.seed, m->cfg.seed, sizeof cfg.seed);
    if (m->host == NULL) {
        m->host = sm_host_new(&cfg);
    }
    return m->host == NULL ? SM_E_NOMEM : SM_OK;
}

static void end_mesh(struct sm_mesh *m, enum sm_err why)
{
    if (!m->is_ended) {
        m->is_ended = true;
        m->end = why;
        end_all_calls(m, why);
        sm_timer_at(m->timer, sm_clock_mono()); /* closed() comes from the loop */
    }
}

static void on_welcome(void *ctx, enum sm_err err, struct sm_view body)
{
    struct sm_mesh *m = ctx;
    enum sm_err e = err != SM_OK ? err : take_welcome(m, body);
    if (e != SM_OK) {
        end_mesh(m, e);
        return;
    }
    m->is_ready = true;
    m->cfg.ready(m->cfg.ctx);
}

static enum sm_err take_packet(struct sm_mesh *m, struct sm_view body)
{
    struct sm_ctl_packet p;
    SM_TRY(sm_ctl_packet_read(body, &p));
    if (m->host != NULL) {
        sm_host_packet(m->host, sm_clock_mono(), sm_clock_wall(), p.peer, p.slot, p.payload);
    }
    return SM_OK;
}

static enum sm_err take_fail(struct sm_mesh *m, struct sm_view body)
{
    struct sm_ctl_fail f;
    SM_TRY(sm_ctl_fail_read(body, &f));
    if (m->host != NULL && f.slot < SM_HOST_SLOTS) {
        sm_host_unreachable(m->host, sm_clock_mono(), f.peer, f.slot);
    }
    return SM_OK;
}

static enum sm_err take_paths(struct sm_mesh *m, struct sm_view body)
{
    struct sm_rd r = sm_rd_init(body);
    struct sm_hop dst = {sm_rd_u64(&r)};
    uint8_t n = sm_rd_u8(&r);
    SM_TRY(sm_rd_done(&r));
    if (m->host != NULL) {
        sm_host_paths(m->host, sm_clock_mono(), dst, n < SM_HOST_SLOTS ? n : SM_HOST_SLOTS);
    }
    return SM_OK;
}

static enum sm_err take_passport(struct sm_mesh *m, struct sm_view body)
{
    if (m->host == NULL || body.n > sizeof m->passport) {
        return SM_E_STATE;
    }
    memcpy(m->passport, body.p, body.n);
    m->passport_n = body.n;
    return sm_host_passport(m->host, sm_mesh_passport(m));
}

/* The manifest or the revocation list: verified here, by what we pinned.  What we cannot take
 * changes nothing; that the node is ahead of our clock or roots is no reason to leave it. */
static enum sm_err take_doc(struct sm_mesh *m, struct sm_view body)
{
    struct sm_ctl_doc d;
    struct sm_rules_change change;
    struct sm_reasons why;
    SM_TRY(sm_ctl_doc_read(body, &d));
    if (sm_rules_offer(m->rules, sm_clock_wall(), d.kind, d.bytes, &change, &why) == SM_OK &&
        m->host != NULL) {
        sm_host_rules_changed(m->host, sm_clock_mono());
    }
    return SM_OK;
}

static enum sm_err take_reply(struct sm_mesh *m, uint64_t id, struct sm_view body)
{
    struct sm_rd r = sm_rd_init(body);
    enum sm_err err = sm_err_from_i32((int)(int32_t)sm_rd_u32(&r));
    struct sm_view rest = sm_rd_rest(&r);
    SM_TRY(sm_rd_done(&r));
    call_end(m, ASK, id, err, rest);
    return SM_OK;
}

static enum sm_err take(struct sm_mesh *m, const struct sm_ctl_head *h, struct sm_view body)
{
    if ((h->flags & SM_CTL_REPLY) != 0) {
        return take_reply(m, h->id, body);
    }
    if (h->type == SM_CTL_PACKET) {
        return take_packet(m, body);
    }
    if (h->type == SM_CTL_FAIL) {
        return take_fail(m, body);
    }
    if (h->type == SM_CTL_PATHS) {
        return take_paths(m, body);
    }
    if (h->type == SM_CTL_PASSPORT) {
        return take_passport(m, body);
    }
    if (h->type == SM_CTL_DOC) {
        return take_doc(m, body);
    }
    return SM_E_MALFORMED;
}

static void on_read(void *ctx, struct sm_view bytes)
{
    struct sm_mesh *m = ctx;
    enum sm_err e = sm_buf_add(&m->in, bytes.p, bytes.n);
    size_t at = 0;
    while (e == SM_OK && !m->is_ended && m->in.n - at >= SM_CTL_HEAD) {
        struct sm_ctl_head h;
        e = sm_ctl_head_read(sm_view_of(m->in.p + at, SM_CTL_HEAD), &h);
        if (e != SM_OK || m->in.n - at < SM_CTL_HEAD + h.body_n) {
            break;
        }
        e = take(m, &h, sm_view_of(m->in.p + at + SM_CTL_HEAD, h.body_n));
        at += SM_CTL_HEAD + h.body_n;
    }
    sm_buf_drop(&m->in, at);
    if (e != SM_OK) {
        end_mesh(m, e);
    }
    drain(m);
}

static void on_drained(void *ctx)
{
    drain(ctx);
}

static void on_closed(void *ctx, enum sm_err why)
{
    end_mesh(ctx, why == SM_OK ? SM_E_CLOSED : why);
}

/* -- life -------------------------------------------------------------------------------- */

static enum sm_err start(struct sm_mesh *m)
{
    static const struct sm_stream_ops ops = {
        .read = on_read, .closed = on_closed, .drained = on_drained};
    SM_TRY(sm_timer_new(m->cfg.loop, on_timer, m, &m->timer));
    SM_TRY(sm_stream_new(m->cfg.loop, m->cfg.fd, &ops, m, QUEUE_MAX, &m->stream));
    struct sm_ctl_hello hello = {
        .version = SM_CTL_VERSION, .kind = m->cfg.kind, .endpoint = m->cfg.endpoint};
    memcpy(hello.dh_key, m->cfg.dh.pub.b, sizeof hello.dh_key);
    memcpy(hello.sign_key, m->cfg.sign.pub.b, sizeof hello.sign_key);
    uint8_t body[1024];
    struct sm_wr w = sm_wr_init(body, sizeof body);
    sm_ctl_hello_write(&w, &hello);
    return sm_mesh_ask(m, SM_CTL_HELLO, sm_view_of(body, w.n), on_welcome, m);
}

enum sm_err sm_mesh_new(const struct sm_mesh_cfg *cfg, struct sm_mesh **out)
{
    struct sm_mesh *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return SM_E_NOMEM;
    }
    m->cfg = *cfg;
    m->in = SM_BUF(2 * (SM_CTL_HEAD + SM_CTL_BODY_MAX));
    m->ask_due = SM_NEVER;
    m->calls = calloc(SM_MESH_CALLS_MAX, sizeof *m->calls);
    enum sm_err e =
        m->calls == NULL ? SM_E_NOMEM : sm_rules_new(sm_suite_real(), cfg->anchor, &m->rules);
    e = e == SM_OK ? start(m) : e;
    if (e != SM_OK) {
        m->is_ended = true;
        sm_mesh_free(m);
        return e;
    }
    *out = m;
    return SM_OK;
}

void sm_mesh_free(struct sm_mesh *m)
{
    if (m == NULL) {
        return;
    }
    m->is_ended = true;
    if (m->calls != NULL) {
        end_all_calls(m, SM_E_CANCELLED);
    }
    sm_stream_free(m->stream);
    sm_timer_free(m->timer);
    sm_host_free(m->host);
    sm_rules_free(m->rules);
    sm_buf_done(&m->in);
    free(m->calls);
    sm_wipe(m, sizeof *m);
    free(m);
}

struct sm_addr sm_mesh_self(const struct sm_mesh *m)
{
    return m->self;
}

struct sm_view sm_mesh_passport(const struct sm_mesh *m)
{
    return sm_view_of(m->passport, m->passport_n);
}

const uint8_t *sm_mesh_dh_key(const struct sm_mesh *m)
{
    return m->cfg.dh.pub.b;
}

const struct sm_anchor *sm_mesh_anchor(const struct sm_mesh *m)
{
    return sm_rules_anchor(m->rules);
}

const struct sm_rules *sm_mesh_rules(const struct sm_mesh *m)
{
    return m->rules;
}

struct sm_loop *sm_mesh_loop(const struct sm_mesh *m)
{
    return m->cfg.loop;
}

struct sm_mono sm_mesh_now(const struct sm_mesh *m)
{
    (void)m;
    return sm_clock_mono();
}

static bool is_listed(const struct sm_mesh_node *list, size_t n, struct sm_hop hop)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i].hop.v == hop.v) {
            return true;
        }
    }
    return false;
}

size_t sm_mesh_read_nodes(struct sm_mesh *m, struct sm_view body, struct sm_mesh_node *out,
                          size_t max)
{
    struct sm_rd r = sm_rd_init(body);
    size_t n = 0;
    while (r.left.n > 0 && !r.failed && n < max) {
        struct sm_ctl_node node;
        sm_ctl_node_next(&r, &node);
        struct sm_mesh_node *o = &out[n];
        if (r.failed ||
            sm_node_record_verify(sm_suite_real(), sm_mesh_anchor(m), sm_clock_wall(),
                                  node.record, &o->record) != SM_OK) {
            continue;
        }
        o->hop = sm_hop_of(&o->record.node_id);
        if (is_listed(out, n, o->hop)) {
            continue; /* one machine must not pass for many */
        }
        o->trust_q16 = node.trust_q16;
        o->path_cost_16 = node.path_cost_16;
        o->n_slots = node.n_slots;
        o->is_self = o->hop.v == m->self.node.v;
        n++;
    }
    return n;
}
