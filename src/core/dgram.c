// SPDX-License-Identifier: Apache-2.0
#include "core/dgram_int.h"

#include "core/channel.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_BYTES                                                                           \
    (4u * SM_ARQ_WINDOW)    /* the window, and a batch of the tunnel behind it                 \
                             */
#define KEY_STOP    2u      /* times the limit of a key at which its receiver gives up */
#define KEY_LATE    3u      /* times the interval without a new one: likewise */
#define KEY_OVERLAP SM_S(3) /* datagrams are not as late as this */
#define ACK_EVERY   2u      /* datagrams, or all that came together */
#define ACK_WAIT    SM_MS(5)

/* -- life -------------------------------------------------------------------------------- */

bool sm_path_eq(const struct sm_path *a, const struct sm_path *b)
{
    size_t n = a->addr.family == 6 ? 16 : 4;
    return a->sock == b->sock && a->addr.family == b->addr.family &&
           a->addr.port == b->addr.port && memcmp(a->addr.ip, b->addr.ip, n) == 0;
}

struct sm_dgram *sm_dgram_new(const struct sm_dgram_cfg *cfg)
{
    struct sm_dgram *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return NULL;
    }
    assert(cfg->own_id != 0);
    d->cfg = *cfg;
    d->cfg.queue_bytes = cfg->queue_bytes != 0 ? cfg->queue_bytes : 256u << 10;
    d->cfg.window_max = cfg->window_max != 0 ? cfg->window_max : 4u << 20;
    d->cfg.rekey = cfg->rekey.ns != 0 ? cfg->rekey : SM_S(120);
    d->cfg.rekey_frames = cfg->rekey_frames != 0 ? cfg->rekey_frames : (uint64_t)1 << 22;
    sm_rng_init(&d->rng, cfg->seed, "dgram");
    sm_wipe(d->cfg.seed, sizeof d->cfg.seed);
    d->path = cfg->path;
    d->peer_id = cfg->peer_id;
    d->flights.in = (uint8_t)(cfg->flight - 2); /* so that the first one is the next */
    d->flights.again_at = SM_NEVER;
    d->acks.at = SM_NEVER;
    d->recv.late_at = SM_NEVER;
    sm_recovery_init(&d->recovery, d->cfg.window_max);
    sm_arq_tx_init(&d->tx, STREAM_BYTES);
    sm_arq_rx_init(&d->rx);
    sm_outq_init(&d->packets, d->cfg.queue_bytes);
    path_init(d);
    return d;
}

void sm_dgram_free(struct sm_dgram *d)
{
    if (d == NULL) {
        return;
    }
    if (d->has_keys) {
        sm_aead_done(&d->send.aead);
        for (unsigned i = 0; i < RECV_KEYS; i++) {
            sm_aead_done(&d->recv.aead[i]);
        }
    }
    sm_recovery_done(&d->recovery);
    sm_arq_tx_done(&d->tx);
    sm_arq_rx_done(&d->rx);
    sm_outq_done(&d->packets);
    sm_pieces_done(&d->pieces);
    sm_rng_wipe(&d->rng);
    sm_wipe(d, sizeof *d);
    free(d);
}

void dgram_fail(struct sm_dgram *d, enum sm_err err)
{
    if (d->err == SM_OK) {
        d->err = err;
        d->has_failed = true;
    }
}

/* -- keys -------------------------------------------------------------------------------- */

static void plan_send_key(struct sm_dgram *d)
{
    uint64_t jitter = sm_rng_below(&d->rng, d->cfg.rekey.ns / 10 + 1);
    d->send.next_at = sm_after(d->now, (struct sm_dur){d->cfg.rekey.ns - jitter});
    d->send.first = d->recovery.next;
    d->send.frames = 0;
}

enum sm_err dgram_next_send_key(struct sm_dgram *d)
{
    struct sm_secret32 next;
    struct sm_aead *a = &d->send.aead;
    SM_TRY(sm_channel_next_key(a, &next));
    enum sm_err e = sm_aead_init(a, a->suite, a->kind, &next);
    sm_wipe(&next, sizeof next);
    d->send.phase++;
    plan_send_key(d);
    return e;
}

static void expect_next_recv_key(struct sm_dgram *d)
{
    d->recv.frames = 0;
    d->recv.late_at = sm_after(d->now, (struct sm_dur){d->cfg.rekey.ns * KEY_LATE});
}

/* Make NEXT from CUR, in the place of the oldest. */
static enum sm_err make_next(struct sm_dgram *d)
{
    struct sm_aead *cur = &d->recv.aead[CUR];
    struct sm_secret32 next;
    SM_TRY(sm_channel_next_key(cur, &next));
    enum sm_err e = sm_aead_init(&d->recv.aead[NEXT], cur->suite, cur->kind, &next);
    sm_wipe(&next, sizeof next);
    return e;
}

enum sm_err sm_dgram_keys(struct sm_dgram *d, struct sm_mono now, enum sm_aead_kind cipher,
                          const struct sm_secret32 *send, const struct sm_secret32 *recv)
{
    assert(!d->has_keys);
    d->now = now;
    d->has_keys = true; /* what was made is freed, also after a failure */
    SM_TRY(sm_aead_init(&d->send.aead, d->cfg.suite, cipher, send));
    SM_TRY(sm_aead_init(&d->recv.aead[CUR], d->cfg.suite, cipher, recv));
    SM_TRY(make_next(d));
    plan_send_key(d);
    expect_next_recv_key(d);
    return SM_OK;
}

/* The peer has gone to its next key. */
static void advance_recv_key(struct sm_dgram *d)
{
    struct sm_aead oldest = d->recv.aead[PREV];
    d->recv.aead[PREV] = d->recv.aead[CUR];
    d->recv.aead[CUR] = d->recv.aead[NEXT];
    d->recv.aead[NEXT] = oldest;
    d->recv.has_prev = true;
    d->recv.prev_until = sm_after(d->now, KEY_OVERLAP);
    d->recv.phase++;
    expect_next_recv_key(d);
    enum sm_err e = make_next(d);
    if (e != SM_OK) {
        dgram_fail(d, e);
    }
}

/* Which key a datagram says it is under; NULL when we have none such. */
static struct sm_aead *key_of_phase(struct sm_dgram *d, uint8_t phase)
{
    if (phase == d->recv.phase) {
        return &d->recv.aead[CUR];
    }
    if (phase == (uint8_t)(d->recv.phase + 1)) {
        return &d->recv.aead[NEXT];
    }
    bool is_prev = phase == (uint8_t)(d->recv.phase - 1) && d->recv.has_prev &&
                   !sm_is_due(d->recv.prev_until, d->now);
    return is_prev ? &d->recv.aead[PREV] : NULL;
}

/* -- flights ----------------------------------------------------------------------------- */

/* True when it gave handshake messages. */
static bool on_clear(struct sm_dgram *d, struct sm_view datagram, struct sm_dgram_in *out)
{
    struct sm_dgram_clear c;
    struct flights *f = &d->flights;
    if (d->has_keys && d->is_proven) {
        return false;
    }
    if (sm_dgram_clear_read(datagram, &c) != SM_OK ||
        (!d->cfg.is_dialer && datagram.n < SM_DGRAM_BASE) ||
        (d->peer_id != 0 && c.from != d->peer_id)) {
        d->n_dropped++;
        return false;
    }
    if (!d->is_proven && sm_path_eq(&d->from, &d->path)) {
        d->got += datagram.n;
    }
    uint8_t next = d->cfg.is_dialer ? (uint8_t)(f->out + 1) : (uint8_t)(f->in + 2);
    bool is_next = c.flight == next && (!d->cfg.is_dialer || (f->has_out && !f->has_in));
    if (is_next && !d->has_keys) {
        f->in = c.flight;
        f->has_in = true;
        f->again_at = SM_NEVER;
        d->peer_id = c.from;
        if (memcmp(&d->from.addr, &d->path.addr, sizeof d->path.addr) == 0) {
            d->path.sock = d->from.sock; /* which of ours the answer came to */
        }
        *out = (struct sm_dgram_in){.kind = SM_DGRAM_IN_STREAM,
                                    .p = (uint8_t *)(uintptr_t)c.messages.p,
                                    .n = c.messages.n};
        return true;
    }
    if (!d->cfg.is_dialer && f->has_in && c.flight == f->in && f->has_out) {
        f->is_due = true; /* it has not heard our answer */
    }
    return false;
}

/* -- sealed ------------------------------------------------------------------------------ */

void dgram_told(void *ctx, const struct sm_sent *s, bool has_arrived)
{
    struct sm_dgram *d = ctx;
    if (s->kind == SENT_STREAM && has_arrived) {
        sm_arq_arrived(&d->tx, s->offset, s->n);
    } else if (s->kind == SENT_STREAM) {
        sm_arq_lost(&d->tx, s->offset, s->n);
    } else if (s->kind == SENT_PROBE) {
        path_probe_told(d, s->bytes, has_arrived);
    } else if (s->bytes > SM_DGRAM_BASE) {
        path_big_told(d, has_arrived);
    }
}

/* A datagram has opened: remember its number, and that it wants an acknowledgement. */
static void note(struct sm_dgram *d, const struct sm_dgram_head *h, bool wants_ack)
{
    struct acks *a = &d->acks;
    bool is_in_order = h->counter == a->seen.top, is_top = h->counter >= a->seen.top;
    sm_window_mark(&a->seen, h->counter);
    if (!wants_ack) {
        return;
    }
    a->top_at = is_top ? d->now : a->top_at;
    a->pending++;
    a->is_due = a->is_due || a->pending >= ACK_EVERY || !is_in_order;
    a->at = sm_earlier(a->at, sm_after(d->now, ACK_WAIT));
}

/* True when the packet is whole. */
static bool on_piece(struct sm_dgram *d, const struct sm_dgram_frame *f,
                     struct sm_dgram_in *out)
{
    struct sm_view whole = f->bytes;
    if (f->n > 1 && !sm_pieces_add(&d->pieces, d->now, f, &whole)) {
        return false;
    }
    *out = (struct sm_dgram_in){
        .kind = SM_DGRAM_IN_PACKET, .p = (uint8_t *)(uintptr_t)whole.p, .n = whole.n};
    return true;
}

static void on_ack(struct sm_dgram *d, const struct sm_dgram_frame *f)
{
    enum sm_err e = sm_recovery_acked(&d->recovery, d->now, &f->ack, dgram_told, d);
    if (e != SM_OK) {
        dgram_fail(d, e);
    }
}

static bool on_frame(struct sm_dgram *d, const struct sm_dgram_frame *f,
                     struct sm_dgram_in *out)
{
    switch (f->type) {
    case SM_DGRAM_PIECE:
        return on_piece(d, f, out);
    case SM_DGRAM_STREAM:
        if (!sm_arq_give(&d->rx, &out->p, &out->n)) {
            return false;
        }
        out->kind = SM_DGRAM_IN_STREAM;
        return true;
    case SM_DGRAM_ACK:
        on_ack(d, f);
        return false;
    case SM_DGRAM_CHALLENGE:
        d->owes_response = true;
        d->response = f->word;
        d->response_to = d->from;
        return false;
    case SM_DGRAM_RESPONSE:
        path_responded(d, f->word);
        return false;
    case SM_DGRAM_PROBE:
        return false;
    }
    return false;
}

/* Open the datagram where it lies.  OK: *plain is what it says, and h its head. */
static enum sm_err open_datagram(struct sm_dgram *d, uint8_t *p, size_t n,
                                 struct sm_dgram_head *h, struct sm_view *plain)
{
    SM_TRY(sm_dgram_head_read(sm_view_of(p, n), h));
    struct sm_aead *key = key_of_phase(d, h->phase);
    if (h->to != d->cfg.own_id || key == NULL) {
        return SM_E_NOTFOUND;
    }
    if (!sm_window_is_new(&d->acks.seen, h->counter)) {
        return SM_E_REPLAY;
    }
    uint8_t *body = p + SM_DGRAM_HEAD;
    SM_TRY(sm_aead_open(key, h->counter, sm_view_of(p, SM_DGRAM_HEAD),
                        sm_view_of(body, n - SM_DGRAM_HEAD), body));
    if (key == &d->recv.aead[NEXT]) {
        advance_recv_key(d);
    }
    d->recv.frames++;
    *plain = sm_view_of(body, n - SM_DGRAM_HEAD - SM_DGRAM_TAG);
    return SM_OK;
}

static enum sm_err read_plain(struct sm_dgram *d, const struct sm_dgram_head *h,
                              struct sm_view plain, struct sm_dgram_frame *f)
{
    uint8_t any = 0;
    if (d->recv.frames > KEY_STOP * d->cfg.rekey_frames) {
        return SM_E_LIMIT;
    }
    for (unsigned i = 0; i < h->padding; i++) {
        any |= plain.p[plain.n - 1 - i];
    }
    if (any != 0) {
        return SM_E_MALFORMED;
    }
    return sm_dgram_frame_read(sm_view_of(plain.p, plain.n - h->padding), f);
}

/* True when it gave something. */
static bool on_sealed(struct sm_dgram *d, uint8_t *p, size_t n, struct sm_dgram_in *out)
{
    struct sm_dgram_head h;
    struct sm_view plain;
    struct sm_dgram_frame f;
    if (!d->has_keys || open_datagram(d, p, n, &h, &plain) != SM_OK) {
        d->n_dropped++;
        return false;
    }
    enum sm_err e = read_plain(d, &h, plain, &f);
    if (e != SM_OK) {
        dgram_fail(d, e);
        return false;
    }
    if (f.type == SM_DGRAM_STREAM && sm_arq_take(&d->rx, f.word, f.bytes) != SM_OK) {
        return false; /* as if it had not come: it will come again */
    }
    bool is_newest = h.counter >= d->acks.seen.top;
    note(d, &h,
         f.type == SM_DGRAM_PIECE || f.type == SM_DGRAM_STREAM || f.type == SM_DGRAM_PROBE);
    d->flights.again_at = SM_NEVER;
    d->flights.is_due = false;
    path_heard(d, is_newest);
    return on_frame(d, &f, out);
}

void sm_dgram_input(struct sm_dgram *d, struct sm_mono now, const struct sm_path *from,
                    uint8_t *p, size_t n, size_t segment)
{
    assert(d->in_n == 0); /* the caller drains between inputs */
    d->now = now;
    d->from = *from;
    d->in = p;
    d->in_n = n;
    d->in_segment = segment > 0 ? segment : n;
}

static bool read_one(struct sm_dgram *d, struct sm_dgram_in *out)
{
    uint8_t *p = d->in;
    size_t n = d->in_n < d->in_segment ? d->in_n : d->in_segment;
    d->in += n;
    d->in_n -= n;
    return p[0] == SM_DGRAM_CLEAR ? on_clear(d, sm_view_of(p, n), out)
                                  : on_sealed(d, p, n, out);
}

bool sm_dgram_next(struct sm_dgram *d, struct sm_dgram_in *out)
{
    /* What waited behind a gap, or beyond the end of the ring. */
    if (d->err == SM_OK && sm_arq_give(&d->rx, &out->p, &out->n)) {
        out->kind = SM_DGRAM_IN_STREAM;
        return true;
    }
    while (d->in_n > 0 && d->err == SM_OK) {
        if (read_one(d, out)) {
            return true;
        }
    }
    d->in_n = 0;
    if (d->has_failed) {
        d->has_failed = false;
        *out = (struct sm_dgram_in){.kind = SM_DGRAM_IN_FAILED, .err = d->err};
        return true;
    }
    return false;
}

bool sm_dgram_is_reading(const struct sm_dgram *d)
{
    return d->in_n > 0;
}

/* -- time, and what it is ---------------------------------------------------------------- */

void sm_dgram_tick(struct sm_dgram *d, struct sm_mono now)
{
    d->now = now;
    struct flights *f = &d->flights;
    if (sm_is_due(f->again_at, now)) {
        f->is_due = true;
        f->again.ns = f->again.ns < SM_S(1).ns ? f->again.ns * 2 : f->again.ns;
        f->again_at = sm_after(now, f->again);
    }
    if (sm_is_due(d->recv.late_at, now)) {
        dgram_fail(d, SM_E_EXPIRED);
    }
    d->acks.is_due = d->acks.is_due || sm_is_due(d->acks.at, now);
    sm_recovery_tick(&d->recovery, now, dgram_told, d);
    sm_pieces_tick(&d->pieces, now);
    path_tick(d);
}

struct sm_mono sm_dgram_deadline(const struct sm_dgram *d)
{
    struct sm_mono t = sm_earlier(d->flights.again_at, d->acks.at);
    t = sm_earlier(t, sm_recovery_deadline(&d->recovery));
    t = sm_earlier(t, d->recv.late_at);
    return sm_earlier(t, path_deadline(d));
}

struct sm_dgram_info sm_dgram_info(const struct sm_dgram *d)
{
    return (struct sm_dgram_info){.path = d->path,
                                  .mtu = d->mtu.now,
                                  .loss = d->recovery.loss,
                                  .rtt = d->recovery.rtt,
                                  .n_lost = d->recovery.n_lost,
                                  .n_arrived = d->recovery.n_arrived,
                                  .n_dropped = d->n_dropped,
                                  .moves = d->n_moves};
}

uint32_t sm_dgram_peer_id(const struct sm_dgram *d)
{
    return d->peer_id;
}
