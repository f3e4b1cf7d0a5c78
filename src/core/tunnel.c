// SPDX-License-Identifier: Apache-2.0
#include "core/tunnel.h"

#include "core/channel.h"
#include "core/handshake.h"
#include "core/lease.h"
#include "core/outq.h"
#include "wire/datagram.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(SM_DGRAM_PACKET_MAX == SM_TFRAME_PAYLOAD_MAX, "either carrier takes it");
_Static_assert(SM_HANDSHAKE_OUT <= SM_DGRAM_CLEAR_MAX, "a flight fits a datagram");

#define PINGS_KEPT   4u
#define DOUBT_WAIT   SM_MS(100) /* for the answer to a ping of one that may be gone */
#define PINGS_MISSED 3u
#define KEY_STOP     2u /* times the limit of a key at which its receiver gives up */
#define REKEY_LATE   3u /* times the interval without REKEY: likewise */
#define PROVING_CONTROL                                                                        \
    (SM_TFRAME_EVIDENCE_MAX + 8192u) /* control that may wait before the tunnel is up */

enum state {
    NEW,
    HANDSHAKE,
    PEER_EVIDENCE, /* the peer's record and evidence are next */
    OWN_EVIDENCE,  /* the keys process signs ours */
    PEER_ACCEPT,   /* the peer looks at ours */
    UP,
    DOWN,
};

/* What only the time before UP needs. */
struct proving {
    struct sm_handshake hand;
    uint8_t peer_bytes[SM_NODE_RECORD_MAX]; /* its record as it came, signature and all */
    size_t peer_bytes_n;
    uint8_t clear[2 * SM_HANDSHAKE_OUT]; /* handshake bytes to send */
    size_t clear_n;
};

struct ping {
    uint64_t next;                   /* number of the next ping */
    struct sm_mono sent[PINGS_KEPT]; /* NEVER once answered */
    struct sm_mono last;             /* when the last one went */
    struct sm_mono at;               /* when to look again */
    unsigned missed;
    bool is_unheard; /* nothing has come since the last one */
    bool is_doubted; /* no ping from number doubt_from on has been answered */
    uint64_t doubt_from;
};

struct sm_tunnel {
    struct sm_tunnel_cfg cfg; /* its pointers to keys and record are cleared */
    enum state state;
    struct sm_rng rng;
    struct sm_mono now;
    struct sm_wall wall;
    struct proving *prove;
    struct sm_lease lease;
    struct sm_reasons *told; /* why the peer refused us */

    enum sm_aead_kind cipher;
    bool is_pq;
    bool has_keys;
    struct sm_channel out, in;

    struct sm_outq control, data; /* composed */
    struct sm_outq ready;         /* sealed: goes before all else */
    size_t in_carrier;
    struct sm_dgram *dgram; /* NULL: the carrier is a stream */
    uint8_t rekey_frame[SM_TFRAME_HEAD + SM_TFRAME_TAG];

    uint8_t *stream; /* the caller's bytes still to read */
    size_t stream_n;
    struct sm_buf part; /* the beginning of a message whose rest has not come */
    bool is_part_read;

    struct ping ping;
    struct sm_mono handshake_by, rekey_at, peer_rekey_by;
    bool is_signing;   /* keys were asked, with token */
    bool is_rekey_due; /* by time; the carrier may have to take more first */
    uint64_t token;
    uint8_t request[SM_SIGN_EVIDENCE_MAX];
    size_t request_n;
    struct sm_dur rtt;
    bool has_sign, has_up, has_rtt, has_down; /* to be told */
    enum sm_err err;
    char why[SM_CLOSE_TEXT_MAX + 80];
};

/* -- life -------------------------------------------------------------------------------- */

static void set_defaults(struct sm_tunnel_cfg *c)
{
    c->data_bytes = c->data_bytes != 0 ? c->data_bytes : 256u << 10;
    c->control_bytes = c->control_bytes != 0 ? c->control_bytes : 2u << 20;
    c->carrier_bytes = c->carrier_bytes != 0 ? c->carrier_bytes : 256u << 10;
    c->handshake = c->handshake.ns != 0 ? c->handshake : SM_S(10);
    c->ping = c->ping.ns != 0 ? c->ping : SM_S(2);
    c->lease = c->lease.ns != 0 ? c->lease : SM_S(3600);
    c->rekey = c->rekey.ns != 0 ? c->rekey : SM_S(120);
    c->rekey_frames = c->rekey_frames != 0 ? c->rekey_frames : (uint64_t)1 << 20;
    c->rekey_bytes = c->rekey_bytes != 0 ? c->rekey_bytes : (uint64_t)1 << 36;
}

static struct sm_dgram *new_dgram(const struct sm_tunnel_cfg *cfg)
{
    struct sm_dgram_cfg c = *cfg->datagrams;
    struct sm_rng rng;
    c.suite = cfg->suite;
    c.is_dialer = cfg->is_dialer;
    c.queue_bytes = cfg->data_bytes;
    sm_rng_init(&rng, cfg->seed, "tunnel-dgram");
    sm_rng_bytes(&rng, c.seed, sizeof c.seed);
    sm_rng_wipe(&rng);
    return sm_dgram_new(&c);
}

struct sm_tunnel *sm_tunnel_new(const struct sm_tunnel_cfg *cfg)
{
    struct sm_tunnel *t = calloc(1, sizeof *t);
    struct proving *p = calloc(1, sizeof *p);
    struct sm_dgram *d = cfg->datagrams != NULL ? new_dgram(cfg) : NULL;
    if (t == NULL || p == NULL || (cfg->datagrams != NULL && d == NULL)) {
        free(t);
        free(p);
        sm_dgram_free(d);
        return NULL;
    }
    t->prove = p;
    t->dgram = d;
    t->cfg = *cfg;
    t->cfg.datagrams = NULL;
    set_defaults(&t->cfg);
    sm_handshake_init(&p->hand, cfg->suite, cfg->anchor, cfg->is_dialer, cfg->faster, cfg->dh,
                      cfg->is_dialer ? cfg->peer : NULL, cfg->known);
    sm_handshake_pq(&p->hand, cfg->pq);
    sm_lease_init(&t->lease, cfg->suite, cfg->anchor, cfg->is_dialer, t->cfg.lease,
                  &cfg->dh->pub, cfg->record, cfg->is_dialer ? cfg->want : NULL);
    t->cfg.dh = NULL;
    t->cfg.peer = NULL;
    t->cfg.want = NULL;
    t->cfg.record = (struct sm_view){0};
    sm_rng_init(&t->rng, cfg->seed, "tunnel");
    sm_wipe(t->cfg.seed, sizeof t->cfg.seed);
    sm_outq_init(&t->control, PROVING_CONTROL);
    sm_outq_init(&t->data, t->cfg.data_bytes);
    sm_outq_init(&t->ready, t->cfg.carrier_bytes + SM_TFRAME_MAX);
    t->part = SM_BUF(SM_TFRAME_MAX);
    t->handshake_by = SM_NEVER;
    t->rekey_at = SM_NEVER;
    t->peer_rekey_by = SM_NEVER;
    t->ping.at = SM_NEVER;
    return t;
}

static void end_proving(struct sm_tunnel *t)
{
    if (t->prove != NULL) {
        sm_handshake_wipe(&t->prove->hand);
        sm_wipe(t->prove, sizeof *t->prove);
        free(t->prove);
        t->prove = NULL;
    }
}

void sm_tunnel_free(struct sm_tunnel *t)
{
    if (t == NULL) {
        return;
    }
    end_proving(t);
    if (t->has_keys) {
        sm_channel_done(&t->out);
        sm_channel_done(&t->in);
    }
    sm_outq_done(&t->control);
    sm_outq_done(&t->data);
    sm_outq_done(&t->ready);
    sm_buf_done(&t->part);
    sm_dgram_free(t->dgram);
    sm_lease_done(&t->lease);
    free(t->told);
    sm_wipe(t, sizeof *t);
    free(t);
}

/* -- going down --------------------------------------------------------------------------- */

static void queue_close(struct sm_tunnel *t, enum sm_err err, const char *why)
{
    static_assert(SM_REASONS_BYTES <= SM_CLOSE_REASONS_MAX, "the frame has room");
    uint8_t buf[SM_CLOSE_FRAME_MAX], reasons[SM_REASONS_BYTES];
    struct sm_wr w = sm_wr_init(buf, sizeof buf), r = sm_wr_init(reasons, sizeof reasons);
    if (t->lease.refused != NULL) {
        sm_reasons_write(t->lease.refused, &r);
    }
    sm_close_frame_write(
        &(struct sm_close_frame){err, sm_view_str(why), sm_view_of(reasons, r.n)}, &w);
    sm_outq_clear(&t->control);
    /* Best effort: a peer that is not told notices by the carrier. */
    (void)!sm_outq_push(&t->control, SM_TFRAME_CLOSE, sm_view_of(buf, w.n));
}

/* The tunnel ends here, without a word to the peer. */
__attribute__((format(printf, 3, 4))) static void go_down(struct sm_tunnel *t, enum sm_err err,
                                                          const char *fmt, ...)
{
    if (t->state == DOWN) {
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(t->why, sizeof t->why, fmt, ap);
    va_end(ap);
    t->state = DOWN;
    t->err = err;
    t->has_down = true;
    t->has_sign = false;
    t->has_up = false;
    t->has_rtt = false;
    t->handshake_by = SM_NEVER;
    sm_outq_clear(&t->control);
    sm_outq_clear(&t->data); /* what is ready has its place in the stream */
}

/* The peer is told too, when there is a channel to tell it by. */
__attribute__((format(printf, 3, 4))) static void fail(struct sm_tunnel *t, enum sm_err err,
                                                       const char *fmt, ...)
{
    char why[sizeof t->why];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    if (t->state == DOWN) {
        return;
    }
    go_down(t, err, "%s", why);
    if (t->has_keys) {
        queue_close(t, err, why);
    }
    if (t->dgram != NULL) {
        sm_dgram_hurry(t->dgram);
    }
}

void sm_tunnel_close(struct sm_tunnel *t, enum sm_err err, const char *why)
{
    fail(t, err, "%s", why);
}

/* -- proving each other ------------------------------------------------------------------- */

static void push_proof(struct sm_tunnel *t, uint8_t type, struct sm_view payload)
{
    enum sm_err e = sm_outq_push(&t->control, type, payload);
    if (e != SM_OK) {
        go_down(t, e, "queueing the handshake: %s", sm_err_words(e));
    }
}

static void send_accept(struct sm_tunnel *t)
{
    const uint8_t one = 1;
    push_proof(t, SM_TFRAME_ACCEPT, sm_view_of(&one, 1));
}

/* For the handshake, or for the challenge that is open. */
static void ask_own_evidence(struct sm_tunnel *t)
{
    struct sm_binding b = sm_lease_own_binding(&t->lease);
    struct sm_wr w = sm_wr_init(t->request, sizeof t->request);
    sm_sign_evidence_write(&b, &w);
    assert(!w.full);
    t->request_n = w.n;
    t->token++;
    t->has_sign = true;
    t->is_signing = true;
    sm_lease_signing(&t->lease, t->now);
}

/* The first evidence is wanted now; a later one may be asked for again while its lease
 * lasts. */
static void on_not_signed(struct sm_tunnel *t, enum sm_err err)
{
    if (t->state == UP) {
        sm_lease_not_signed(&t->lease, t->now);
    } else {
        fail(t, err, "no evidence of our own: %s", sm_err_words(err));
    }
}

void sm_tunnel_signed(struct sm_tunnel *t, struct sm_mono now, uint64_t token, enum sm_err err,
                      struct sm_view bytes)
{
    bool is_asked = t->state == OWN_EVIDENCE || (t->state == UP && t->is_signing);
    t->now = now;
    if (!is_asked || token != t->token) {
        return;
    }
    t->is_signing = false;
    if (err != SM_OK) {
        on_not_signed(t, err);
        return;
    }
    uint8_t buf[SM_TFRAME_EVIDENCE_MAX];
    struct sm_wr w = sm_wr_init(buf, sizeof buf);
    if (sm_lease_answer(&t->lease, now, bytes, &w) != SM_OK) {
        fail(t, SM_E_LIMIT, "our own evidence is too long");
        return;
    }
    if (t->state == OWN_EVIDENCE) {
        t->state = PEER_ACCEPT;
    }
    push_proof(t, SM_TFRAME_EVIDENCE, sm_view_of(buf, w.n));
}

static void plan_rekey(struct sm_tunnel *t)
{
    uint64_t jitter = sm_rng_below(&t->rng, t->cfg.rekey.ns / 10 + 1);
    t->rekey_at = sm_after(t->now, (struct sm_dur){t->cfg.rekey.ns - jitter});
    t->is_rekey_due = false;
}

static void go_up(struct sm_tunnel *t)
{
    sm_noise_remember(&t->prove->hand.noise, &t->lease.pk_self);
    t->state = UP;
    t->has_up = true;
    t->control.max = t->cfg.control_bytes;
    t->handshake_by = SM_NEVER;
    plan_rekey(t);
    t->peer_rekey_by = sm_after(t->now, (struct sm_dur){t->cfg.rekey.ns * REKEY_LATE});
    t->ping.at = t->now;
}

/* SPEC wire.4: the dialer shows first; then ACCEPT and the responder's; then ACCEPT. */
static void on_first_evidence(struct sm_tunnel *t, struct sm_view record)
{
    memcpy(t->prove->peer_bytes, record.p,
           record.n); /* verified: no longer than a NODE record */
    t->prove->peer_bytes_n = record.n;
    send_accept(t);
    if (t->state == DOWN) {
        return;
    }
    if (t->cfg.is_dialer) {
        go_up(t);
    } else {
        t->state = OWN_EVIDENCE;
        ask_own_evidence(t);
    }
}

static void on_evidence(struct sm_tunnel *t, struct sm_view payload)
{
    char why[SM_LEASE_WHY];
    struct sm_view record;
    enum sm_err e = sm_lease_prove(&t->lease, t->now, t->wall, &t->rng, payload, &record, why);
    if (e != SM_OK) {
        fail(t, e, "%s", why);
    } else if (t->state == PEER_EVIDENCE) {
        on_first_evidence(t, record);
    }
}

static void expire(struct sm_tunnel *t)
{
    char why[SM_LEASE_WHY];
    enum sm_err e = sm_lease_ended(&t->lease, why);
    fail(t, e, "%s", why);
}

static void on_challenge(struct sm_tunnel *t, struct sm_view payload)
{
    char why[SM_LEASE_WHY];
    enum sm_err e = sm_lease_challenged(&t->lease, t->now, payload, why);
    if (e != SM_OK) {
        fail(t, e, "%s", why);
    } else if (sm_lease_wants_sign(&t->lease, t->now)) {
        ask_own_evidence(t);
    }
}

static void on_accept(struct sm_tunnel *t, struct sm_view payload)
{
    if (payload.n != 1 || payload.p[0] != 1) {
        fail(t, SM_E_MALFORMED, "the peer's ACCEPT is malformed");
    } else if (t->cfg.is_dialer) {
        t->state = PEER_EVIDENCE;
    } else {
        go_up(t);
    }
}

/* -- the handshake in clear ---------------------------------------------------------------- */

/* Datagrams have keys of their own beside those of the stream they carry. */
static enum sm_err give_datagram_keys(struct sm_tunnel *t)
{
    struct sm_secret32 k_out, k_in;
    if (t->dgram == NULL) {
        return SM_OK;
    }
    SM_TRY(sm_noise_export(&t->prove->hand.noise, "seemesh/datagrams/1", &k_out, &k_in));
    enum sm_err e = sm_dgram_keys(t->dgram, t->now, t->cipher, &k_out, &k_in);
    sm_wipe(&k_out, sizeof k_out);
    sm_wipe(&k_in, sizeof k_in);
    return e;
}

static enum sm_err take_keys(struct sm_tunnel *t)
{
    struct proving *p = t->prove;
    struct sm_noise *n = &p->hand.noise;
    struct sm_secret32 k_out, k_in;
    struct sm_dh_pub pk_peer;
    SM_TRY(sm_noise_remote(n, &pk_peer));
    struct sm_view h = sm_noise_hash(n);
    assert(h.n == sizeof t->lease.h);
    sm_lease_bind(&t->lease, h.p, &pk_peer);
    t->cipher = p->hand.cipher;
    t->is_pq = p->hand.is_pq;
    SM_TRY(give_datagram_keys(t));
    SM_TRY(sm_noise_split(n, &k_out, &k_in));
    enum sm_err e = sm_channel_init(&t->out, t->cfg.suite, t->cipher, &k_out);
    if (e == SM_OK) {
        e = sm_channel_init(&t->in, t->cfg.suite, t->cipher, &k_in);
        if (e != SM_OK) {
            sm_channel_done(&t->out);
        }
    }
    t->has_keys = e == SM_OK;
    sm_wipe(&k_out, sizeof k_out);
    sm_wipe(&k_in, sizeof k_in);
    return e;
}

static void after_handshake(struct sm_tunnel *t)
{
    enum sm_err e = take_keys(t);
    if (e != SM_OK) {
        go_down(t, e, "keys of the channel: %s", sm_err_words(e));
    } else if (sm_secret_eq(t->lease.pk_peer.b, t->lease.pk_self.b, 32)) {
        fail(t, SM_E_AUTH, "the peer holds our own key: connected to ourselves");
    } else if (t->cfg.is_dialer) {
        t->state = OWN_EVIDENCE;
        ask_own_evidence(t);
    } else {
        t->state = PEER_EVIDENCE;
    }
}

static void handshake_failed(struct sm_tunnel *t, enum sm_err e)
{
    go_down(t, e, "handshake: %s",
            e == SM_E_UNSUPPORTED ? "no ML-KEM-768 at one end, and pq = require"
                                  : sm_err_words(e));
}

static void on_handshake(struct sm_tunnel *t, const uint8_t *p, size_t n)
{
    struct proving *pr = t->prove;
    struct sm_wr w = sm_wr_init(pr->clear, sizeof pr->clear);
    struct sm_view body = sm_view_of(p + SM_HAND_HEAD, n - SM_HAND_HEAD);
    enum sm_err e = sm_handshake_read(&pr->hand, &t->rng, p, body, &w);
    pr->clear_n = w.n;
    if (e == SM_E_REFUSED) {
        enum sm_err why = sm_err_from_i32(-(int)p[7]);
        go_down(t, e, "the peer refused the handshake: %s",
                why == SM_E_UNSUPPORTED ? "it wants ML-KEM-768 mixed in (pq = require)"
                                        : sm_err_words(why));
    } else if (e != SM_OK) {
        handshake_failed(t, e);
    } else if (sm_handshake_is_done(&pr->hand)) {
        after_handshake(t);
    }
}

void sm_tunnel_open(struct sm_tunnel *t, struct sm_mono now)
{
    assert(t->state == NEW);
    t->now = now;
    t->state = HANDSHAKE;
    t->handshake_by = sm_after(now, t->cfg.handshake);
    if (!t->cfg.is_dialer) {
        return;
    }
    struct sm_wr w = sm_wr_init(t->prove->clear, sizeof t->prove->clear);
    enum sm_err e = sm_handshake_start(&t->prove->hand, &t->rng, &w);
    t->prove->clear_n = w.n;
    if (e != SM_OK) {
        handshake_failed(t, e);
    }
}

/* -- frames -------------------------------------------------------------------------------- */

static void send_ping(struct sm_tunnel *t)
{
    uint8_t b[8];
    struct ping *p = &t->ping;
    sm_put_le64(b, p->next);
    p->sent[p->next % PINGS_KEPT] = t->now;
    p->last = t->now;
    p->next++;
    p->is_unheard = true;
    p->at = sm_after(t->now, p->is_doubted ? DOUBT_WAIT : (struct sm_dur){t->cfg.ping.ns / 2});
    /* A full queue means the carrier is stuck: then pings go missing, as they should. */
    (void)!sm_outq_push(&t->control, SM_TFRAME_PING, sm_view_of(b, sizeof b));
}

static void on_ping(struct sm_tunnel *t, struct sm_view payload)
{
    if (payload.n != 8) {
        fail(t, SM_E_MALFORMED, "the peer's PING is malformed");
        return;
    }
    (void)!sm_outq_push(&t->control, SM_TFRAME_PONG, payload); /* as for send_ping */
}

static void on_pong(struct sm_tunnel *t, struct sm_view payload)
{
    struct ping *p = &t->ping;
    uint64_t number = payload.n == 8 ? sm_le64(payload.p) : UINT64_MAX;
    if (number >= p->next) {
        fail(t, SM_E_MALFORMED, "the peer answers a PING that was never sent");
        return;
    }
    p->is_doubted = p->is_doubted && number < p->doubt_from;
    struct sm_mono *sent = &p->sent[number % PINGS_KEPT];
    if (p->next - number <= PINGS_KEPT && sent->ns != SM_NEVER.ns) {
        t->rtt = sm_between(*sent, t->now);
        t->has_rtt = true;
        *sent = SM_NEVER;
    }
}

static void on_rekey(struct sm_tunnel *t, struct sm_view payload)
{
    enum sm_err e = payload.n == 0 ? sm_channel_rekey(&t->in) : SM_E_MALFORMED;
    if (e != SM_OK) {
        fail(t, e, "the peer's REKEY: %s", sm_err_words(e));
        return;
    }
    t->peer_rekey_by = sm_after(t->now, (struct sm_dur){t->cfg.rekey.ns * REKEY_LATE});
}

static void on_close(struct sm_tunnel *t, struct sm_view payload)
{
    struct sm_close_frame f;
    if (sm_close_frame_read(payload, &f) != SM_OK) {
        fail(t, SM_E_MALFORMED, "the peer's CLOSE is malformed");
        return;
    }
    bool is_refusal = t->state != UP;
    struct sm_reasons *told = f.reasons.n > 0 ? malloc(sizeof *told) : NULL;
    if (told != NULL && sm_reasons_read(f.reasons, told) != SM_OK) {
        free(told);
        fail(t, SM_E_MALFORMED, "the peer's CLOSE is malformed");
        return;
    }
    t->told = told;
    go_down(t, is_refusal ? SM_E_REFUSED : SM_E_CLOSED, "%s: %s: %.*s",
            is_refusal ? "the peer refused us" : "closed by the peer", sm_err_words(f.err),
            (int)f.text.n, f.text.n > 0 ? (const char *)f.text.p : "");
}

static bool is_expected(const struct sm_tunnel *t, uint8_t type)
{
    switch ((enum sm_tframe_type)type) {
    case SM_TFRAME_EVIDENCE:
        return t->state == PEER_EVIDENCE || t->state == UP;
    case SM_TFRAME_ACCEPT:
        return t->state == PEER_ACCEPT;
    case SM_TFRAME_CLOSE:
        return true;
    case SM_TFRAME_PING:
    case SM_TFRAME_PONG:
    case SM_TFRAME_CONTROL:
    case SM_TFRAME_PACKET:
    case SM_TFRAME_REKEY:
    case SM_TFRAME_CHALLENGE:
        return t->state == UP;
    }
    return false;
}

/* True when the frame is a message for the owner. */
static bool on_payload(struct sm_tunnel *t, uint8_t type, struct sm_view payload,
                       struct sm_tunnel_out *out)
{
    t->ping.is_unheard = false;
    t->ping.missed = 0;
    switch ((enum sm_tframe_type)type) {
    case SM_TFRAME_EVIDENCE:
        on_evidence(t, payload);
        return false;
    case SM_TFRAME_ACCEPT:
        on_accept(t, payload);
        return false;
    case SM_TFRAME_PING:
        on_ping(t, payload);
        return false;
    case SM_TFRAME_PONG:
        on_pong(t, payload);
        return false;
    case SM_TFRAME_REKEY:
        on_rekey(t, payload);
        return false;
    case SM_TFRAME_CHALLENGE:
        on_challenge(t, payload);
        return false;
    case SM_TFRAME_CLOSE:
        on_close(t, payload);
        return false;
    case SM_TFRAME_CONTROL:
    case SM_TFRAME_PACKET:
        *out = (struct sm_tunnel_out){.kind = SM_TUNNEL_MESSAGE,
                                      .message = type == SM_TFRAME_CONTROL ? SM_TUNNEL_CONTROL
                                                                           : SM_TUNNEL_PACKET,
                                      .bytes = payload};
        return true;
    }
    return false;
}

static bool on_frame(struct sm_tunnel *t, uint8_t *p, struct sm_tunnel_out *out)
{
    struct sm_tframe f;
    struct sm_view payload;
    enum sm_err e = sm_tframe_read(p, SM_TFRAME_PAYLOAD_MAX, &f);
    assert(e == SM_OK); /* next_message has read it */
    if (!is_expected(t, f.type)) {
        fail(t, SM_E_STATE, "the peer sent a frame of type %u out of turn", (unsigned)f.type);
        return false;
    }
    e = sm_channel_open(&t->in, &f, p, &payload);
    if (e != SM_OK) {
        fail(t, e, "a frame from the peer: %s", sm_err_words(e));
        return false;
    }
    if (t->in.frames > KEY_STOP * t->cfg.rekey_frames ||
        t->in.bytes > KEY_STOP * t->cfg.rekey_bytes) {
        fail(t, SM_E_LIMIT, "the peer has used its key for too long");
        return false;
    }
    return on_payload(t, f.type, payload, out);
}

/* -- the stream ---------------------------------------------------------------------------- */

static size_t head_bytes(const struct sm_tunnel *t)
{
    return t->state == HANDSHAKE ? SM_HAND_HEAD : SM_TFRAME_HEAD;
}

/* Only evidence may be long before the peer is proven. */
static size_t payload_max(const struct sm_tunnel *t, const uint8_t *head)
{
    if (t->state == UP) {
        return SM_TFRAME_PAYLOAD_MAX;
    }
    return t->state == PEER_EVIDENCE && head[SM_TFRAME_TYPE_AT] == SM_TFRAME_EVIDENCE
               ? SM_TFRAME_EVIDENCE_MAX
               : SM_TFRAME_PROVING_MAX;
}

/* How long the message is whose whole head is at p. */
static enum sm_err message_bytes(const struct sm_tunnel *t, const uint8_t *p, size_t *out)
{
    if (t->state == HANDSHAKE) {
        struct sm_hand h;
        SM_TRY(sm_hand_read(p, &h));
        *out = SM_HAND_HEAD + h.n;
        return SM_OK;
    }
    struct sm_tframe f;
    SM_TRY(sm_tframe_read(p, payload_max(t, p), &f));
    *out = SM_TFRAME_HEAD + f.n;
    return SM_OK;
}

/* Move bytes of the stream to the part until it has n. */
static enum sm_err fill_part(struct sm_tunnel *t, size_t n, bool *is_full)
{
    size_t missing = n - t->part.n;
    size_t take = missing < t->stream_n ? missing : t->stream_n;
    if (take > 0) {
        SM_TRY(sm_buf_add(&t->part, t->stream, take));
        t->stream += take;
        t->stream_n -= take;
    }
    *is_full = take == missing;
    return SM_OK;
}

/* The next whole message, where it lies if it lies in one piece; NULL when its rest has not
 * come yet. */
static enum sm_err next_message(struct sm_tunnel *t, uint8_t **p, size_t *n)
{
    size_t head = head_bytes(t);
    bool is_full;
    *p = NULL;
    if (t->is_part_read) {
        sm_buf_clear(&t->part);
        t->is_part_read = false;
    }
    if (t->part.n == 0 && t->stream_n >= head) {
        SM_TRY(message_bytes(t, t->stream, n));
        if (t->stream_n >= *n) {
            *p = t->stream;
            t->stream += *n;
            t->stream_n -= *n;
            return SM_OK;
        }
    }
    if (t->part.n < head) {
        SM_TRY(fill_part(t, head, &is_full));
        if (!is_full) {
            return SM_OK;
        }
    }
    SM_TRY(message_bytes(t, t->part.p, n));
    SM_TRY(fill_part(t, *n, &is_full));
    if (is_full) {
        *p = t->part.p;
        t->is_part_read = true;
    }
    return SM_OK;
}

static void refuse_version(struct sm_tunnel *t)
{
    if (t->state == HANDSHAKE && !t->cfg.is_dialer) {
        struct sm_wr w = sm_wr_init(t->prove->clear, sizeof t->prove->clear);
        sm_handshake_refuse(SM_E_VERSION, &w);
        t->prove->clear_n = w.n;
    }
}

/* A packet that came beside the stream.  It may be ahead of the ACCEPT that lets it in, or come
 * after the end: then it is lost, as packets may be. */
static bool on_datagram_packet(struct sm_tunnel *t, struct sm_view packet,
                               struct sm_tunnel_out *out)
{
    if (t->state != UP) {
        return false;
    }
    t->ping.is_unheard = false;
    t->ping.missed = 0;
    *out = (struct sm_tunnel_out){
        .kind = SM_TUNNEL_MESSAGE, .message = SM_TUNNEL_PACKET, .bytes = packet};
    return true;
}

/* More of the stream from the datagrams, or a packet.  False when there is nothing. */
static bool read_datagrams(struct sm_tunnel *t, struct sm_tunnel_out *out, bool *is_out)
{
    struct sm_dgram_in in;
    *is_out = false;
    bool was_reading = sm_dgram_is_reading(t->dgram);
    if (!sm_dgram_next(t->dgram, &in)) {
        return was_reading; /* there may be something to answer now */
    }
    switch (in.kind) {
    case SM_DGRAM_IN_STREAM:
        t->stream = in.p;
        t->stream_n = t->state != DOWN ? in.n : 0;
        return true;
    case SM_DGRAM_IN_PACKET:
        *is_out = on_datagram_packet(t, sm_view_of(in.p, in.n), out);
        return true;
    case SM_DGRAM_IN_FAILED:
        go_down(t, in.err, "the peer's datagrams: %s", sm_err_words(in.err));
        return true;
    }
    return false;
}

/* Read one message.  False when there is none; *is_out when it gave something to tell. */
static bool read_one(struct sm_tunnel *t, struct sm_tunnel_out *out, bool *is_out)
{
    uint8_t *p;
    size_t n;
    *is_out = false;
    if (t->state == NEW || t->state == DOWN) {
        return false;
    }
    if (t->dgram != NULL && t->stream_n == 0) {
        return read_datagrams(t, out, is_out);
    }
    enum sm_err e = next_message(t, &p, &n);
    if (e != SM_OK) {
        if (e == SM_E_VERSION) {
            refuse_version(t);
        }
        fail(t, e, "what the peer sent: %s", sm_err_words(e));
        return true;
    }
    if (p == NULL) {
        return t->dgram != NULL; /* there may be another datagram */
    }
    if (t->state == HANDSHAKE) {
        on_handshake(t, p, n);
    } else {
        *is_out = on_frame(t, p, out);
    }
    return true;
}

static void begin_input(struct sm_tunnel *t, struct sm_mono now, struct sm_wall wall)
{
    assert(t->state != NEW);
    assert(t->stream_n == 0); /* the caller drains between inputs */
    t->now = now;
    t->wall = wall;
    if (t->state == UP && sm_is_due(sm_lease_end(&t->lease), now)) {
        expire(t); /* nothing is taken after the end, however late the tick is */
    }
}

void sm_tunnel_datagrams(struct sm_tunnel *t, struct sm_mono now, struct sm_wall wall,
                         const struct sm_path *from, uint8_t *p, size_t n, size_t segment)
{
    assert(t->dgram != NULL);
    begin_input(t, now, wall);
    if (t->state != DOWN) {
        sm_dgram_input(t->dgram, now, from, p, n, segment);
    }
}

void sm_tunnel_input(struct sm_tunnel *t, struct sm_mono now, struct sm_wall wall, uint8_t *p,
                     size_t n)
{
    assert(t->dgram == NULL);
    begin_input(t, now, wall);
    if (t->state != DOWN) {
        t->stream = p;
        t->stream_n = n;
    }
}

/* -- sending ------------------------------------------------------------------------------- */

static bool is_key_used_up(const struct sm_tunnel *t)
{
    return t->state == UP && (t->is_rekey_due || t->out.frames >= t->cfg.rekey_frames ||
                              t->out.bytes >= t->cfg.rekey_bytes);
}

/* Bytes the carrier may still be given; the last frame may be longer. */
static size_t carrier_room(const struct sm_tunnel *t)
{
    if (t->dgram != NULL) {
        size_t room = sm_dgram_room(t->dgram);
        return room > SM_TFRAME_MAX ? room - SM_TFRAME_MAX : 0;
    }
    size_t taken = t->in_carrier + sm_outq_bytes(&t->ready);
    return taken < t->cfg.carrier_bytes ? t->cfg.carrier_bytes - taken : 0;
}

size_t sm_tunnel_room(const struct sm_tunnel *t)
{
    if (t->dgram != NULL) {
        size_t most = t->cfg.data_bytes / 2, queued = sm_tunnel_queued(t);
        return t->state == UP && queued < most ? most - queued : 0;
    }
    bool is_empty = sm_outq_bytes(&t->control) == 0 && sm_outq_bytes(&t->data) == 0;
    return t->state == UP && is_empty && !is_key_used_up(t) ? carrier_room(t) : 0;
}

/* Nothing goes before it: seal it on its way to the carrier, which is the only copy. */
static enum sm_err seal_now(struct sm_tunnel *t, struct sm_view a, struct sm_view b)
{
    uint8_t *p;
    SM_TRY(sm_outq_reserve(&t->ready, sm_tframe_bytes(a.n + b.n), &p));
    enum sm_err e = sm_channel_seal_from(&t->out, SM_TFRAME_PACKET, a, b, p);
    if (e != SM_OK) {
        sm_outq_clear(&t->ready); /* nothing can follow what is missing in it */
        go_down(t, e, "sealing: %s", sm_err_words(e));
    }
    return e;
}

enum sm_err sm_tunnel_send2(struct sm_tunnel *t, enum sm_tunnel_kind kind, struct sm_view a,
                            struct sm_view b)
{
    if (t->state != UP) {
        return SM_E_STATE;
    }
    if (a.n > SM_TFRAME_PAYLOAD_MAX || b.n > SM_TFRAME_PAYLOAD_MAX - a.n) {
        return SM_E_LIMIT;
    }
    if (t->dgram != NULL && kind == SM_TUNNEL_PACKET) {
        return sm_dgram_is_risky(t->dgram, a.n + b.n)
                   ? sm_outq_push2(&t->data, SM_TFRAME_PACKET, a, b)
                   : sm_dgram_packet2(t->dgram, a, b);
    }
    if (kind == SM_TUNNEL_CONTROL) {
        return sm_outq_push2(&t->control, SM_TFRAME_CONTROL, a, b);
    }
    return sm_tunnel_room(t) > 0 ? seal_now(t, a, b)
                                 : sm_outq_push2(&t->data, SM_TFRAME_PACKET, a, b);
}

enum sm_err sm_tunnel_send(struct sm_tunnel *t, enum sm_tunnel_kind kind, struct sm_view bytes)
{
    return sm_tunnel_send2(t, kind, bytes, (struct sm_view){0});
}

/* The stream is in order: what follows this frame is under the next key. */
static enum sm_err send_rekey(struct sm_tunnel *t, struct sm_view *out)
{
    sm_channel_compose(t->rekey_frame, SM_TFRAME_REKEY, (struct sm_view){0});
    SM_TRY(sm_channel_seal(&t->out, t->rekey_frame));
    SM_TRY(sm_channel_rekey(&t->out));
    plan_rekey(t);
    *out = sm_view_of(t->rekey_frame, sizeof t->rekey_frame);
    return SM_OK;
}

static enum sm_err send_queue(struct sm_tunnel *t, struct sm_outq *q, size_t room,
                              struct sm_view *out)
{
    uint8_t *first = sm_outq_front(q), *p = first;
    size_t total = 0;
    while (p != NULL && total < room && (total == 0 || !is_key_used_up(t))) {
        size_t n = sm_channel_composed(p);
        SM_TRY(sm_channel_seal(&t->out, p));
        total += n;
        sm_outq_take(q, n);
        p = sm_outq_front(q);
    }
    *out = sm_view_of(first, total);
    return SM_OK;
}

static enum sm_err send_sealed(struct sm_tunnel *t, struct sm_view *out)
{
    if (sm_outq_bytes(&t->ready) > 0) {
        *out = sm_view_of(sm_outq_front(&t->ready), sm_outq_bytes(&t->ready));
        sm_outq_take(&t->ready, out->n);
        return SM_OK;
    }
    size_t room = t->state == DOWN ? SM_TFRAME_MAX : carrier_room(t); /* last words go always */
    if (!t->has_keys || room == 0) {
        return SM_OK;
    }
    if (is_key_used_up(t)) {
        return send_rekey(t, out);
    }
    bool has_control = sm_outq_front(&t->control) != NULL;
    return send_queue(t, has_control ? &t->control : &t->data, room, out);
}

/* Move what the stream has to say into the datagrams' stream, as far as there is room. */
static enum sm_err fill_datagrams(struct sm_tunnel *t)
{
    struct sm_view bytes;
    if (t->prove != NULL && t->prove->clear_n > 0) {
        sm_dgram_hand(t->dgram, sm_view_of(t->prove->clear, t->prove->clear_n));
        t->prove->clear_n = 0;
    }
    do {
        bytes = (struct sm_view){0};
        SM_TRY(send_sealed(t, &bytes));
        SM_TRY(sm_dgram_stream(t->dgram, bytes));
    } while (bytes.n > 0);
    return SM_OK;
}

static bool next_datagrams(struct sm_tunnel *t, struct sm_tunnel_out *out)
{
    struct sm_dgram_batch b;
    enum sm_err e = fill_datagrams(t);
    if (e != SM_OK) {
        go_down(t, e, "sealing: %s", sm_err_words(e));
    }
    if (t->state == NEW || !sm_dgram_send(t->dgram, t->now, &b)) {
        return false;
    }
    *out = (struct sm_tunnel_out){
        .kind = SM_TUNNEL_SEND, .bytes = b.bytes, .segment = b.segment, .to = b.to};
    return true;
}

static bool next_send(struct sm_tunnel *t, struct sm_tunnel_out *out)
{
    if (t->dgram != NULL) {
        return next_datagrams(t, out);
    }
    struct sm_view bytes = {0};
    if (t->prove != NULL && t->prove->clear_n > 0) {
        bytes = sm_view_of(t->prove->clear, t->prove->clear_n);
        t->prove->clear_n = 0;
    } else {
        enum sm_err e = send_sealed(t, &bytes);
        if (e != SM_OK) {
            go_down(t, e, "sealing: %s", sm_err_words(e));
            return false;
        }
    }
    if (bytes.n == 0) {
        return false;
    }
    t->in_carrier += bytes.n;
    *out = (struct sm_tunnel_out){.kind = SM_TUNNEL_SEND, .bytes = bytes};
    return true;
}

void sm_tunnel_written(struct sm_tunnel *t, size_t n)
{
    assert(n <= t->in_carrier);
    t->in_carrier -= n;
}

/* -- outs ---------------------------------------------------------------------------------- */

static bool next_event(struct sm_tunnel *t, struct sm_tunnel_out *out)
{
    if (t->has_sign) {
        t->has_sign = false;
        *out = (struct sm_tunnel_out){.kind = SM_TUNNEL_SIGN,
                                      .token = t->token,
                                      .bytes = sm_view_of(t->request, t->request_n)};
        return true;
    }
    if (t->has_up) {
        t->has_up = false;
        *out = (struct sm_tunnel_out){
            .kind = SM_TUNNEL_UP,
            .peer = &t->lease.peer,
            .bytes = sm_view_of(t->prove->peer_bytes, t->prove->peer_bytes_n)};
        return true;
    }
    if (t->has_rtt) {
        t->has_rtt = false;
        *out = (struct sm_tunnel_out){.kind = SM_TUNNEL_RTT, .rtt = t->rtt};
        return true;
    }
    if (t->state == UP && t->lease.has_news) {
        t->lease.has_news = false;
        *out = (struct sm_tunnel_out){
            .kind = SM_TUNNEL_VERDICT, .verdict = t->lease.verdict, .reason = t->lease.said};
        return true;
    }
    return false;
}

bool sm_tunnel_next(struct sm_tunnel *t, struct sm_mono now, struct sm_tunnel_out *out)
{
    t->now = now;
    if (t->state == UP && !t->has_up) {
        end_proving(t);
    }
    bool is_out;
    do {
        if (next_event(t, out) || next_send(t, out)) {
            return true;
        }
    } while (read_one(t, out, &is_out) && !is_out);
    if (is_out) {
        return true;
    }
    if (t->has_down) {
        t->has_down = false;
        bool is_by_peer = t->told != NULL;
        *out = (struct sm_tunnel_out){.kind = SM_TUNNEL_DOWN,
                                      .err = t->err,
                                      .reason = t->why,
                                      .is_by_peer = is_by_peer,
                                      .refused = is_by_peer ? t->told : t->lease.refused,
                                      .platform = is_by_peer ? SM_PLATFORMS
                                                             : t->lease.refused_platform};
        return true;
    }
    t->stream_n = 0; /* only after DOWN is anything left of it */
    return false;
}

/* -- time ---------------------------------------------------------------------------------- */

/* A ping every interval; asked again after half of it as long as nothing at all comes. */
static void tick_ping(struct sm_tunnel *t)
{
    struct ping *p = &t->ping;
    struct sm_mono next = sm_after(p->last, t->cfg.ping);
    bool is_silent = p->is_unheard || p->is_doubted;
    if (!is_silent && p->next > 0 && !sm_is_due(next, t->now)) {
        p->at = next;
    } else if (is_silent && ++p->missed == PINGS_MISSED) {
        fail(t, SM_E_TIMEOUT, "the peer was silent for %u pings", PINGS_MISSED);
    } else {
        send_ping(t);
    }
}

/* The responder wants to see some work before it does any. */
static void work(struct sm_tunnel *t)
{
    struct proving *p = t->prove;
    if (t->state != HANDSHAKE || !sm_handshake_has_work(&p->hand)) {
        return;
    }
    struct sm_wr w = sm_wr_init(p->clear, sizeof p->clear);
    enum sm_err e = sm_handshake_work(&p->hand, &w);
    p->clear_n = w.n;
    if (e != SM_OK) {
        go_down(t, e, "handshake: %s", sm_err_words(e));
    }
}

static void judge(struct sm_tunnel *t)
{
    char why[SM_LEASE_WHY];
    enum sm_err e = sm_lease_judge(&t->lease, t->now, t->wall, why);
    if (e != SM_OK) {
        fail(t, e, "%s", why);
    }
}

void sm_tunnel_judge(struct sm_tunnel *t, struct sm_mono now, struct sm_wall wall)
{
    t->now = now;
    t->wall = wall;
    if (t->state == UP) {
        judge(t);
    }
}

static void tick_lease(struct sm_tunnel *t)
{
    if (sm_lease_wants_sign(&t->lease, t->now)) {
        ask_own_evidence(t);
    }
    if (sm_lease_wants_ask(&t->lease, t->now)) {
        uint8_t buf[sizeof(uint64_t) + SM_CHALLENGE_BYTES];
        struct sm_wr w = sm_wr_init(buf, sizeof buf);
        sm_lease_ask(&t->lease, &t->rng, &w);
        push_proof(t, SM_TFRAME_CHALLENGE, sm_view_of(buf, w.n));
    }
}

void sm_tunnel_tick(struct sm_tunnel *t, struct sm_mono now)
{
    t->now = now;
    if (t->dgram != NULL) {
        sm_dgram_tick(t->dgram, now);
    }
    if (sm_is_due(t->handshake_by, now)) {
        fail(t, SM_E_TIMEOUT, "the handshake took too long");
        return;
    }
    if (t->state != UP) {
        work(t);
        return;
    }
    if (sm_is_due(sm_lease_end(&t->lease), now)) {
        expire(t);
        return;
    }
    if (sm_is_due(t->lease.judge_at, now)) {
        judge(t); /* the time as of the last input: a second ago at most, or none matters */
    }
    if (t->state != UP) {
        return;
    }
    tick_lease(t);
    if (sm_is_due(t->peer_rekey_by, now)) {
        fail(t, SM_E_EXPIRED, "the peer has not changed its key in time");
        return;
    }
    if (sm_is_due(t->rekey_at, now)) {
        t->is_rekey_due = true;
        t->rekey_at = SM_NEVER;
    }
    if (sm_is_due(t->ping.at, now)) {
        tick_ping(t);
    }
}

static struct sm_mono own_deadline(const struct sm_tunnel *t)
{
    if (t->state == HANDSHAKE && sm_handshake_has_work(&t->prove->hand)) {
        return t->now;
    }
    if (t->state != UP) {
        return t->handshake_by;
    }
    struct sm_mono keys = sm_earlier(t->rekey_at, t->peer_rekey_by);
    return sm_earlier(sm_earlier(t->ping.at, keys), sm_lease_deadline(&t->lease));
}

struct sm_mono sm_tunnel_deadline(const struct sm_tunnel *t)
{
    struct sm_mono own = own_deadline(t);
    bool has_dgram = t->dgram != NULL && t->state != DOWN;
    return has_dgram ? sm_earlier(own, sm_dgram_deadline(t->dgram)) : own;
}

/* -- records and leases -------------------------------------------------------------------- */

void sm_tunnel_record(struct sm_tunnel *t, struct sm_view record)
{
    sm_lease_own_record(&t->lease, record);
}

void sm_tunnel_peer_record(struct sm_tunnel *t, struct sm_mono now, struct sm_wall wall,
                           const struct sm_node_record *rec)
{
    char why[SM_LEASE_WHY];
    t->now = now;
    t->wall = wall;
    if (t->state != UP) {
        return;
    }
    enum sm_err e = sm_lease_peer_record(&t->lease, now, wall, rec, why);
    if (e != SM_OK) {
        fail(t, e, "%s", why);
    }
}

struct sm_tunnel_lease sm_tunnel_lease(const struct sm_tunnel *t)
{
    return (struct sm_tunnel_lease){.seq = t->lease.seq,
                                    .since = t->lease.proven_at,
                                    .end = sm_lease_end(&t->lease),
                                    .verdict = t->lease.verdict,
                                    .judge_at = t->lease.judge_at,
                                    .said = t->lease.said,
                                    .claims = &t->lease.claims};
}

/* -- what it is ---------------------------------------------------------------------------- */

bool sm_tunnel_is_up(const struct sm_tunnel *t)
{
    return t->state == UP;
}

size_t sm_tunnel_queued(const struct sm_tunnel *t)
{
    return t->dgram != NULL
               ? sm_dgram_queued(t->dgram) + sm_outq_bytes(&t->data)
               : sm_outq_bytes(&t->data) + sm_outq_bytes(&t->ready) + t->in_carrier;
}

void sm_tunnel_doubt(struct sm_tunnel *t, struct sm_mono now)
{
    struct ping *p = &t->ping;
    t->now = now;
    if (t->state == UP && !p->is_doubted) {
        p->is_doubted = true;
        p->doubt_from = p->next;
        p->missed = 0;
        send_ping(t);
    }
}

bool sm_tunnel_is_quiet(const struct sm_tunnel *t)
{
    return t->ping.is_unheard && t->ping.missed > 0;
}

const struct sm_dgram *sm_tunnel_dgram(const struct sm_tunnel *t)
{
    return t->dgram;
}

enum sm_aead_kind sm_tunnel_cipher(const struct sm_tunnel *t)
{
    return t->cipher;
}

bool sm_tunnel_is_pq(const struct sm_tunnel *t)
{
    return t->is_pq;
}
