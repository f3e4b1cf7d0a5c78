// SPDX-License-Identifier: Apache-2.0
/* Stations: what a node does with a tunnel, and nothing else: the loop, streams and tunnels are
 * a node's.  They stand in a chain; 0 sends, the last answers, one in between forwards.
 *
 * Nothing is lost over TCP: a station that is asked to forward more than the next tunnel takes
 * stops reading, and TCP holds the sender back.  Over UDP a message says of which run it is,
 * and for each datagram that was lost the sender sends one message more. */
#include "bench/flow_int.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef SM_DEV_ROOT
#include "core/session.h"
#include "core/tunnel.h"
#include "os/clock.h"
#include "os/loop.h"
#include "os/udp.h"
#include "tests/passport_kit.h"
#include "wire/packet.h"
#include "wire/sign.h"

#define PASS_LIMIT   SM_S(30)
#define STREAM_QUEUE ((size_t)1 << 20)
#define WAIT_BYTES   ((size_t)256 << 10) /* waiting at a relay that makes it stop reading */
#define DATA_BYTES   ((size_t)768 << 10) /* that, and what one read may add */

struct mesh {
    struct flow_cfg cfg;
    struct kit kit;
    struct kit_id id[STATIONS_MAX];
    enum sm_aead_kind cipher;
    struct sm_buf forth, back; /* a message, an answer; a relay's with their heads */
};

struct end {
    struct station *st;
    unsigned peer;
    struct sm_tunnel *t; /* NULL: there is no such neighbour */
    struct sm_stream *stream;
    struct sm_udp *udp;              /* in its place; nothing of below is counted then */
    uint64_t lost;                   /* datagrams, of which we know */
    uint64_t handed, told;           /* to the stream; of it to the tunnel as written */
    uint64_t last_handed, last_told; /* at the end of the last turn */
    bool is_up, is_paused;
};

struct station {
    struct mesh *mesh;
    unsigned self;
    struct sm_loop *loop;
    struct sm_timer *limit;
    struct end up, down; /* to the one before, to the one behind */
    struct sm_mono now;
    uint64_t left, got;     /* to send; received of this run */
    enum sm_err err;        /* other than OK: it is over */
    struct sm_host *host;   /* of sessions; NULL: there are none */
    struct sm_timer *timer; /* of sessions, or of the tunnel over UDP; NULL: there is none */
    uint32_t run;           /* over UDP: number of the present one */
    bool has_answered;      /* likewise */
    uint64_t *trips;        /* NULL: no probes */
    unsigned trips_n, trips_max;
    struct sm_mono probe_at; /* when the one under way went */
};

static uint64_t clock_ns(void)
{
    return sm_clock_mono().ns;
}

/* -- the mesh ----------------------------------------------------------------------------- */

/* What the message from one end of a relay's chain to the other starts with. */
static enum sm_err add_head(struct mesh *m, unsigned from, unsigned to, struct sm_buf *out)
{
    uint8_t room[SM_PACKET_HEADER_MAX];
    struct sm_wr w = sm_wr_init(room, sizeof room);
    struct sm_packet p = {.kind = SM_PACKET_SESSION,
                          .n_hops = 2,
                          .src = m->id[from].addr.node,
                          .hops = {m->id[1].addr.node, m->id[to].addr.node}};
    SM_TRY(sm_packet_head_write(&p, &w));
    return sm_buf_add(out, room, w.n);
}

static enum sm_err add_zeros(size_t n, struct sm_buf *out)
{
    static const uint8_t zeros[64];
    while (n > 0) {
        size_t part = n < sizeof zeros ? n : sizeof zeros;
        SM_TRY(sm_buf_add(out, zeros, part));
        n -= part;
    }
    return SM_OK;
}

static enum sm_err fill_messages(struct mesh *m)
{
    m->forth = SM_BUF(SM_PACKET_HEADER_MAX + SM_TFRAME_PAYLOAD_MAX);
    m->back = SM_BUF(SM_PACKET_HEADER_MAX + SM_TFRAME_PAYLOAD_MAX);
    if (m->cfg.kind == FLOW_RELAY) {
        SM_TRY(add_head(m, 0, 2, &m->forth));
        SM_TRY(add_head(m, 2, 0, &m->back));
    }
    SM_TRY(add_zeros(m->cfg.size, &m->forth));
    return add_zeros(m->cfg.answer, &m->back);
}

enum sm_err mesh_new(const struct flow_cfg *cfg, struct mesh **out)
{
    struct mesh *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return SM_E_NOMEM;
    }
    m->cfg = *cfg;
    kit_make(&m->kit, sm_suite_real(), 1);
    for (unsigned i = 0; i < STATIONS_MAX; i++) {
        kit_identity(&m->kit, (uint8_t)(i + 1), SM_EP_NODE, &m->id[i]);
    }
    m->cipher = sm_aead_fastest(clock_ns);
    enum sm_err e = fill_messages(m);
    if (e != SM_OK) {
        mesh_free(m);
        return e;
    }
    *out = m;
    return SM_OK;
}

void mesh_free(struct mesh *m)
{
    if (m != NULL) {
        sm_buf_done(&m->forth);
        sm_buf_done(&m->back);
        sm_wipe(m, sizeof *m);
        free(m);
    }
}

/* -- tunnels ------------------------------------------------------------------------------ */

static void fail(struct station *s, enum sm_err e)
{
    s->err = s->err == SM_OK ? e : s->err;
    sm_loop_stop(s->loop);
}

/* The passport of a node is its record behind a u16. */
static struct sm_view record_of(const struct kit_id *id)
{
    struct sm_rd r = sm_rd_init(sm_view_of(id->passport, id->passport_n));
    return sm_rd_view(&r, sm_rd_u16(&r));
}

static void answer_sign(struct end *e, const struct sm_tunnel_out *o)
{
    const struct mesh *m = e->st->mesh;
    const struct sm_dev_platform platform = {0};
    uint8_t room[SM_EVIDENCE_MAX];
    struct sm_wr w = sm_wr_init(room, sizeof room);
    struct sm_sign_request q;
    enum sm_err err = sm_sign_request_read(o->bytes, &q);
    if (err == SM_OK) {
        err = sm_attest_collect_dev(m->kit.suite, &m->id[e->st->self].sign, &platform, KIT_NOW,
                                    &q.binding, &w);
    }
    sm_tunnel_signed(e->t, e->st->now, o->token, err, sm_view_of(w.p, w.n));
}

/* Payload that ends here. */
static void arrived(struct station *s, size_t n)
{
    s->got += n;
    if (s->self > 0 && s->got >= s->mesh->cfg.bytes) {
        s->got = 0;
        enum sm_err e = sm_tunnel_send(s->up.t, SM_TUNNEL_PACKET,
                                       sm_view_of(s->mesh->back.p, s->mesh->back.n));
        if (e != SM_OK) {
            fail(s, e);
        }
    }
}

static void take_packet(struct end *from, struct sm_view bytes)
{
    struct station *s = from->st;
    uint8_t *p = (uint8_t *)(uintptr_t)bytes.p; /* opened in place: ours to change */
    struct sm_hop next, self = s->mesh->id[s->self].addr.node;
    struct sm_packet head;
    switch (sm_packet_forward(p, bytes.n, self, s->mesh->id[from->peer].addr.node, &next)) {
    case SM_PACKET_DELIVER:
        if (sm_packet_read(bytes, &head) == SM_OK) {
            arrived(s, head.payload.n);
        }
        return;
    case SM_PACKET_FORWARD: {
        struct end *to = from == &s->up ? &s->down : &s->up;
        enum sm_err e = to->is_up ? sm_tunnel_send(to->t, SM_TUNNEL_PACKET, bytes) : SM_E_STATE;
        if (e != SM_OK) {
            fail(s, e);
        }
        return;
    }
    case SM_PACKET_BAD:
    case SM_PACKET_NOT_OURS:
    case SM_PACKET_WRONG_FROM:
    case SM_PACKET_LIMIT:
        fail(s, SM_E_MALFORMED);
    }
}

/* -- sessions ----------------------------------------------------------------------------- */

/* Packets go to the one neighbour there is. */
static void send_packet(struct station *s, struct sm_view payload)
{
    struct end *e = s->self == 0 ? &s->down : &s->up;
    struct sm_packet p = {.kind = SM_PACKET_SESSION,
                          .n_hops = 1,
                          .src = s->mesh->id[s->self].addr.node,
                          .hops = {s->mesh->id[e->peer].addr.node}};
    uint8_t head[SM_PACKET_HEADER_MAX];
    struct sm_wr w = sm_wr_init(head, sizeof head);
    enum sm_err err = sm_packet_head_write(&p, &w);
    err = err == SM_OK ? sm_tunnel_send2(e->t, SM_TUNNEL_PACKET, sm_view_of(w.p, w.n), payload)
                       : err;
    if (err != SM_OK) {
        fail(s, err);
    }
}

static void drain_host(struct station *s)
{
    struct sm_host_out o;
    struct sm_view answer = sm_view_of(s->mesh->back.p, s->mesh->back.n);
    while (s->host != NULL && sm_host_next(s->host, &o)) {
        enum sm_err e = SM_OK;
        switch (o.kind) {
        case SM_HOST_PACKET:
            send_packet(s, o.packet.bytes);
            break;
        case SM_HOST_REQUEST:
            e = sm_host_reply(s->host, s->now, o.request.handle, SM_OK, answer);
            break;
        case SM_HOST_RESPONSE:
            e = o.response.err;
            s->got += o.response.body.n;
            break;
        case SM_HOST_PATH_REPORT:
            break;
        }
        if (e != SM_OK) {
            fail(s, e);
        }
    }
}

static void take_session(struct end *e, struct sm_view bytes)
{
    struct station *s = e->st;
    struct sm_packet p;
    if (sm_packet_read(bytes, &p) != SM_OK) {
        fail(s, SM_E_MALFORMED);
        return;
    }
    sm_host_packet(s->host, s->now, KIT_NOW, sm_packet_src(&p), p.path_slot, p.payload);
    drain_host(s);
}

static void ask(struct station *s)
{
    const struct mesh *m = s->mesh;
    uint64_t id;
    enum sm_err e =
        sm_host_request(s->host, s->now, m->id[1].addr, m->id[1].dh.pub.b, SM_SERVICE_STORE,
                        sm_view_of(m->forth.p, m->forth.n), PASS_LIMIT, &id);
    if (e != SM_OK) {
        fail(s, e);
    }
    s->left = 0;
}

static void tick_host(struct station *s)
{
    if (s->host != NULL) {
        if (sm_is_due(sm_host_deadline(s->host), s->now)) {
            sm_host_tick(s->host, s->now);
        }
        drain_host(s);
        sm_timer_at(s->timer, sm_host_deadline(s->host));
    }
}

/* -- probes ------------------------------------------------------------------------------- */

static void probe(struct station *s)
{
    static const uint8_t zeros[FLOW_ANSWER];
    if (s->trips != NULL && s->trips_n < s->trips_max && s->probe_at.ns == SM_NEVER.ns) {
        s->probe_at = sm_clock_mono();
        enum sm_err e =
            sm_tunnel_send(s->down.t, SM_TUNNEL_CONTROL, sm_view_of(zeros, sizeof zeros));
        if (e != SM_OK) {
            fail(s, e);
        }
    }
}

static void take_control(struct end *e, struct sm_view bytes)
{
    struct station *s = e->st;
    if (s->self > 0) {
        enum sm_err err = sm_tunnel_send(e->t, SM_TUNNEL_CONTROL, bytes);
        if (err != SM_OK) {
            fail(s, err);
        }
    } else if (s->trips != NULL) {
        s->trips[s->trips_n++] = sm_between(s->probe_at, sm_clock_mono()).ns;
        s->probe_at = SM_NEVER;
    }
}

/* -- over UDP ----------------------------------------------------------------------------- */

static void begin_run(struct station *s, uint32_t run)
{
    s->run = run;
    s->got = 0;
    s->has_answered = false;
}

static void take_from_udp(struct end *e, const struct sm_tunnel_out *o)
{
    struct station *s = e->st;
    uint32_t run = o->bytes.n >= 4 ? sm_le32(o->bytes.p) : 0;
    if (s->self == 0) {
        s->got = run == s->run ? s->mesh->cfg.answer : s->got;
        return;
    }
    if (run != s->run) {
        begin_run(s, run);
    }
    s->got += o->bytes.n;
    if (s->got >= s->mesh->cfg.bytes && !s->has_answered) {
        s->has_answered = true;
        sm_put_le32(s->mesh->back.p, run);
        enum sm_err err = sm_tunnel_send(e->t, SM_TUNNEL_CONTROL,
                                         sm_view_of(s->mesh->back.p, s->mesh->back.n));
        if (err != SM_OK) {
            fail(s, err);
        }
    }
}

static void count_lost(struct station *s)
{
    uint64_t lost = sm_dgram_info(sm_tunnel_dgram(s->down.t)).n_lost;
    s->left += (lost - s->down.lost) * s->mesh->cfg.size;
    s->down.lost = lost;
}

static struct sm_path path_of(const struct sm_inet *a)
{
    struct sm_path p = {.addr = {.family = a->family, .port = a->port}};
    memcpy(p.addr.ip, a->ip, sizeof p.addr.ip);
    return p;
}

static void send_datagrams(struct end *e, const struct sm_tunnel_out *o)
{
    struct sm_inet to = {.family = o->to.addr.family, .port = o->to.addr.port};
    memcpy(to.ip, o->to.addr.ip, sizeof to.ip);
    sm_udp_send(e->udp, &to, o->bytes, o->segment);
    e->handed += o->bytes.n;
}

static void take_message(struct end *e, const struct sm_tunnel_out *o)
{
    if (e->udp != NULL) {
        take_from_udp(e, o);
    } else if (o->message == SM_TUNNEL_CONTROL) {
        take_control(e, o->bytes);
    } else if (e->st->host != NULL) {
        take_session(e, o->bytes);
    } else if (e->st->mesh->cfg.kind == FLOW_RELAY) {
        take_packet(e, o->bytes);
    } else {
        arrived(e->st, o->bytes.n);
    }
}

/* -- what tunnels tell -------------------------------------------------------------------- */

static void take(struct end *e, const struct sm_tunnel_out *o)
{
    switch (o->kind) {
    case SM_TUNNEL_SEND:
        if (e->udp != NULL) {
            send_datagrams(e, o);
            break;
        }
        if (sm_stream_write(e->stream, o->bytes) != SM_OK) {
            fail(e->st, SM_E_CLOSED);
        }
        e->handed += o->bytes.n;
        break;
    case SM_TUNNEL_SIGN:
        answer_sign(e, o);
        break;
    case SM_TUNNEL_UP:
        e->is_up = true;
        break;
    case SM_TUNNEL_MESSAGE:
        take_message(e, o);
        break;
    case SM_TUNNEL_RTT:
    case SM_TUNNEL_VERDICT:
        break;
    case SM_TUNNEL_DOWN:
        fail(e->st, o->err);
        break;
    }
}

static void pump(struct station *s)
{
    const struct mesh *m = s->mesh;
    struct sm_view message = sm_view_of(m->forth.p, m->forth.n);
    if (s->down.udp != NULL) {
        count_lost(s);
    }
    while (s->left > 0 && s->down.is_up && sm_tunnel_room(s->down.t) > 0) {
        enum sm_err e = sm_tunnel_send(s->down.t, SM_TUNNEL_PACKET, message);
        if (e != SM_OK) {
            fail(s, e);
            return;
        }
        s->left -= m->cfg.size;
    }
}

static void drain(struct end *e)
{
    struct sm_tunnel_out o;
    while (sm_tunnel_next(e->t, e->st->now, &o)) {
        take(e, &o);
        if (e->udp != NULL && o.kind == SM_TUNNEL_SEND && e->st->left > 0) {
            pump(e->st); /* so that no batch is short because the source came late */
        }
    }
}

/* -- driving ------------------------------------------------------------------------------ */

static void report_written(struct end *e)
{
    if (e->udp != NULL) {
        e->told = e->handed;
        return;
    }
    uint64_t written = e->handed - sm_stream_queued(e->stream);
    sm_tunnel_written(e->t, (size_t)(written - e->told));
    e->told = written;
}

/* Bytes in the tunnel that wait for their turn to be sealed. */
static size_t waiting(const struct end *e)
{
    return sm_tunnel_queued(e->t) - (size_t)(e->handed - e->told);
}

/* Read from `from` as long as what it forwards finds room at `to`. */
static void hold_back(struct end *from, const struct end *to)
{
    bool is_full = waiting(to) > WAIT_BYTES;
    if (is_full != from->is_paused) {
        from->is_paused = is_full;
        sm_stream_pause(from->stream, is_full);
    }
}

/* True when something moved and there is more to send: nothing but us may begin the next turn.
 * When nothing moves the socket is full, and the stream will tell. */
static bool turn_end(struct end *e)
{
    if (e->t == NULL) {
        return false;
    }
    if (sm_is_due(sm_tunnel_deadline(e->t), e->st->now)) {
        sm_tunnel_tick(e->t, e->st->now);
    }
    drain(e);
    report_written(e);
    bool has_moved = e->handed != e->last_handed || e->told != e->last_told;
    e->last_handed = e->handed;
    e->last_told = e->told;
    return has_moved && (waiting(e) > 0 || e->st->left > 0);
}

static void on_turn(void *ctx)
{
    struct station *s = ctx;
    s->now = sm_clock_mono();
    if (s->self == 0 && s->host == NULL) {
        pump(s);
        probe(s); /* behind: while control waits, there is no room */
    } else if (s->self == 0 && s->left > 0) {
        ask(s);
    }
    tick_host(s);
    bool has_more = turn_end(&s->up);
    has_more = turn_end(&s->down) || has_more;
    if (s->up.t != NULL && s->down.t != NULL) {
        hold_back(&s->up, &s->down);
        hold_back(&s->down, &s->up);
    }
    const struct end *own = s->self == 0 ? &s->down : &s->up;
    if (own->udp != NULL) {
        sm_timer_at(s->timer, sm_tunnel_deadline(own->t));
    }
    if (has_more) {
        sm_loop_again(s->loop);
    }
}

static void on_datagrams(void *ctx, const struct sm_inet *from, uint8_t *p, size_t n,
                         size_t segment)
{
    struct end *e = ctx;
    struct sm_path path = path_of(from);
    e->st->now = sm_clock_mono();
    sm_tunnel_datagrams(e->t, e->st->now, KIT_NOW, &path, p, n, segment);
    drain(e);
}

static void on_read(void *ctx, struct sm_view bytes)
{
    struct end *e = ctx;
    struct station *s = e->st;
    s->now = sm_clock_mono();
    sm_tunnel_input(e->t, s->now, KIT_NOW, (uint8_t *)(uintptr_t)bytes.p, bytes.n);
    drain(e);
    if (s->up.t != NULL && s->down.t != NULL) {
        struct end *to = e == &s->up ? &s->down : &s->up;
        drain(to); /* what was read in one piece goes on in one piece */
        report_written(to);
        hold_back(e, to);
    }
}

static void on_closed(void *ctx, enum sm_err why)
{
    struct end *e = ctx;
    fail(e->st, why);
}

static void on_wake(void *ctx)
{
    (void)ctx; /* the hook at the end of the turn does what there is to do */
}

static void on_limit(void *ctx)
{
    fail(ctx, SM_E_TIMEOUT);
}

/* -- life --------------------------------------------------------------------------------- */

/* The carrier: takes fd when it succeeds. */
static enum sm_err carrier_open(struct end *e, bool is_dialer, int fd)
{
    static const struct sm_stream_ops ops = {
        .read = on_read, .closed = on_closed, .connected = on_wake, .drained = on_wake};
    struct sm_stream_ops o = ops;
    struct station *s = e->st;
    if (s->mesh->cfg.kind == FLOW_UDP_TUNNEL) {
        SM_TRY(sm_timer_new(s->loop, on_wake, s, &s->timer));
        return sm_udp_new(s->loop, fd, on_datagrams, e, &e->udp);
    }
    if (!is_dialer) {
        o.connected = NULL; /* it is, already */
    }
    return sm_stream_new(s->loop, fd, &o, e, STREAM_QUEUE, &e->stream);
}

static enum sm_err end_open(struct station *s, struct end *e, unsigned peer, int fd)
{
    const struct mesh *m = s->mesh;
    bool is_udp = m->cfg.kind == FLOW_UDP_TUNNEL;
    struct sm_inet at = {0};
    e->st = s;
    e->peer = peer;
    enum sm_err err = is_udp ? sm_tcp_remote(fd, &at) : SM_OK;
    err = err == SM_OK ? carrier_open(e, peer > s->self, fd) : err;
    if (err != SM_OK) {
        (void)close(fd);
        return err;
    }
    /* The ids are known: nobody else is here. */
    const struct sm_dgram_cfg datagrams = {
        .own_id = s->self + 1, .peer_id = peer > s->self ? 0 : peer + 1, .path = path_of(&at)};
    struct sm_tunnel_cfg cfg = {.suite = m->kit.suite,
                                .anchor = &m->kit.anchor,
                                .seed = {(uint8_t)s->self, (uint8_t)peer},
                                .is_dialer = peer > s->self,
                                .faster = m->cipher,
                                .dh = &m->id[s->self].dh,
                                .record = record_of(&m->id[s->self]),
                                .peer = &m->id[peer].dh.pub,
                                .datagrams = is_udp ? &datagrams : NULL,
                                .data_bytes = m->cfg.kind == FLOW_RELAY ? DATA_BYTES : 0};
    e->t = sm_tunnel_new(&cfg);
    if (e->t == NULL) {
        return SM_E_NOMEM;
    }
    sm_tunnel_open(e->t, sm_clock_mono());
    return SM_OK;
}

/* Turn until the tunnel is up. */
static enum sm_err await_up(struct station *s, const struct end *e)
{
    sm_timer_at(s->limit, sm_after(sm_clock_mono(), PASS_LIMIT));
    while (!e->is_up && s->err == SM_OK) {
        sm_loop_turn(s->loop, true);
    }
    sm_timer_at(s->limit, SM_NEVER);
    return s->err;
}

static enum sm_err open_host(struct station *s)
{
    const struct mesh *m = s->mesh;
    const struct kit_id *id = &m->id[s->self];
    struct sm_host_cfg cfg = {.suite = m->kit.suite,
                              .anchor = &m->kit.anchor,
                              .seed = {(uint8_t)(s->self + 1)},
                              .self = id->addr,
                              .dh = id->dh,
                              .cipher = m->cipher,
                              .passport = sm_view_of(id->passport, id->passport_n),
                              .sessions = 4};
    SM_TRY(sm_timer_new(s->loop, on_wake, s, &s->timer));
    s->host = sm_host_new(&cfg);
    return s->host != NULL ? SM_OK : SM_E_NOMEM;
}

static enum sm_err open_ends(struct station *s, int up, int down)
{
    SM_TRY(sm_loop_new(&s->loop));
    sm_loop_on_turn(s->loop, on_turn, s);
    sm_loop_patience(s->loop, SM_LOOP_PATIENCE);
    SM_TRY(sm_timer_new(s->loop, on_limit, s, &s->limit));
    if (s->mesh->cfg.kind == FLOW_SESSION) {
        SM_TRY(open_host(s));
    }
    if (down >= 0) {
        SM_TRY(end_open(s, &s->down, s->self + 1, down));
        SM_TRY(await_up(s, &s->down)); /* so that all that comes can be passed on */
    }
    return up >= 0 ? end_open(s, &s->up, s->self - 1, up) : SM_OK;
}

enum sm_err station_new(struct mesh *m, unsigned self, int up, int down, struct station **out)
{
    struct station *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return SM_E_NOMEM;
    }
    s->mesh = m;
    s->self = self;
    enum sm_err e = open_ends(s, up, down);
    if (e != SM_OK) {
        station_free(s);
        return e;
    }
    *out = s;
    return SM_OK;
}

void station_free(struct station *s)
{
    if (s == NULL) {
        return;
    }
    sm_stream_free(s->up.stream);
    sm_stream_free(s->down.stream);
    sm_udp_free(s->up.udp);
    sm_udp_free(s->down.udp);
    sm_timer_free(s->limit);
    sm_timer_free(s->timer);
    sm_loop_free(s->loop);
    sm_host_free(s->host);
    sm_tunnel_free(s->up.t);
    sm_tunnel_free(s->down.t);
    free(s);
}

enum sm_err station_pass(struct station *s)
{
    s->left = s->mesh->cfg.bytes;
    s->got = 0;
    if (s->mesh->cfg.kind == FLOW_UDP_TUNNEL) {
        begin_run(s, s->run + 1);
        sm_put_le32(s->mesh->forth.p, s->run);
    }
    sm_timer_at(s->limit, sm_after(sm_clock_mono(), PASS_LIMIT));
    sm_loop_again(s->loop); /* there is something to begin with */
    while (s->got < s->mesh->cfg.answer && s->err == SM_OK) {
        sm_loop_turn(s->loop, true);
    }
    sm_timer_at(s->limit, SM_NEVER);
    return s->err;
}

enum sm_err station_probe(struct station *s, uint64_t *out_trips, unsigned max, unsigned *out_n)
{
    s->trips = out_trips;
    s->trips_n = 0;
    s->trips_max = max;
    s->probe_at = SM_NEVER;
    enum sm_err e = station_pass(s);
    *out_n = s->trips_n;
    s->trips = NULL;
    return e;
}

void station_serve(struct station *s)
{
    sm_loop_run(s->loop);
    station_free(s);
}
#else
enum sm_err mesh_new(const struct flow_cfg *cfg, struct mesh **out)
{
    (void)cfg;
    (void)out;
    return SM_E_UNSUPPORTED;
}

void mesh_free(struct mesh *m)
{
    (void)m;
}

enum sm_err station_new(struct mesh *m, unsigned self, int up, int down, struct station **out)
{
    (void)m;
    (void)self;
    (void)up;
    (void)down;
    (void)out;
    return SM_E_UNSUPPORTED;
}

void station_free(struct station *s)
{
    (void)s;
}

enum sm_err station_pass(struct station *s)
{
    (void)s;
    return SM_E_UNSUPPORTED;
}

enum sm_err station_probe(struct station *s, uint64_t *out_trips, unsigned max, unsigned *out_n)
{
    (void)s;
    (void)out_trips;
    (void)max;
    (void)out_n;
    return SM_E_UNSUPPORTED;
}

void station_serve(struct station *s)
{
    (void)s;
}
#endif
