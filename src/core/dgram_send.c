// SPDX-License-Identifier: Apache-2.0
#include "core/dgram_int.h"

#include <assert.h>
#include <string.h>

#define ALIGN        16u
#define SEGMENTS_MAX 64u /* of one call: the kernel's limit */
#define BATCH_MAX                                                                              \
    64900u /* above it the kernel cuts the batch itself, at four times the cost                \
            */
#define FLIGHT_AGAIN  SM_MS(250)
#define STREAM_PIECE  (SM_DGRAM_BASE - SM_DGRAM_OVERHEAD)
#define RISKY_LOSS    655u /* of 65,536: one in a hundred */
#define AMPLIFICATION 3u   /* RFC 9000, 8: before the address is proven */

/* -- what is taken ----------------------------------------------------------------------- */

void sm_dgram_hand(struct sm_dgram *d, struct sm_view messages)
{
    struct flights *f = &d->flights;
    assert(messages.n <= sizeof f->messages);
    memcpy(f->messages, messages.p, messages.n);
    f->n = messages.n;
    f->out = f->has_in ? (uint8_t)(f->in + 1) : f->has_out ? (uint8_t)(f->out + 1) : 0;
    f->has_out = true;
    f->is_due = true;
    if (d->cfg.is_dialer) {
        f->has_in = false;
        f->again = FLIGHT_AGAIN;
    }
}

size_t sm_dgram_room(const struct sm_dgram *d)
{
    return sm_arq_room(&d->tx);
}

enum sm_err sm_dgram_stream(struct sm_dgram *d, struct sm_view bytes)
{
    return sm_arq_push(&d->tx, bytes);
}

size_t sm_dgram_queued(const struct sm_dgram *d)
{
    return sm_outq_bytes(&d->packets);
}

void dgram_drop_packets(struct sm_dgram *d)
{
    sm_outq_clear(&d->packets);
}

/* n bytes from `from` on of what a and b make together. */
static void copy_part(struct sm_view a, struct sm_view b, size_t from, size_t n, uint8_t *to)
{
    struct sm_view x = sm_view_sub(a, from, n);
    struct sm_view y = sm_view_sub(b, from > a.n ? from - a.n : 0, n - x.n);
    if (x.n > 0) {
        memcpy(to, x.p, x.n);
    }
    if (y.n > 0) {
        memcpy(to + x.n, y.p, y.n);
    }
}

enum sm_err sm_dgram_packet2(struct sm_dgram *d, struct sm_view a, struct sm_view b)
{
    if (a.n > SM_DGRAM_PACKET_MAX || b.n > SM_DGRAM_PACKET_MAX - a.n || a.n + b.n == 0) {
        return SM_E_LIMIT;
    }
    uint32_t total = (uint32_t)(a.n + b.n), most = d->mtu.now - SM_DGRAM_OVERHEAD;
    uint32_t n = (total + most - 1) / most, each = sm_dgram_piece(total, n);
    assert(each > 0 && each <= most); /* both are multiples of 16, and most >= 1,152 */
    size_t whole = SM_DGRAM_OVERHEAD + each;
    uint8_t *p;
    SM_TRY(sm_outq_reserve(&d->packets, n * whole, &p));
    struct sm_dgram_frame f = {
        .type = SM_DGRAM_PIECE, .n = (uint8_t)n, .number = d->packet_number++, .total = total};
    for (uint32_t from = 0; from < total; from += each, f.index++, p += whole) {
        uint32_t part = total - from < each ? total - from : each;
        uint8_t *body = p + SM_DGRAM_HEAD + SM_DGRAM_FRAME_HEAD;
        sm_put_le64(p + 8, whole);
        sm_dgram_frame_head(&f, p + SM_DGRAM_HEAD);
        copy_part(a, b, from, part, body);
        memset(body + part, 0, each - part);
    }
    return SM_OK;
}

bool sm_dgram_is_risky(const struct sm_dgram *d, size_t bytes)
{
    return bytes > d->mtu.now - SM_DGRAM_OVERHEAD && d->recovery.loss > RISKY_LOSS;
}

void sm_dgram_hurry(struct sm_dgram *d)
{
    d->is_hurried = true;
}

/* -- sealing ----------------------------------------------------------------------------- */

/* Seal the datagram of n bytes at p, whose frame is in place, under the next counter. */
static enum sm_err seal(struct sm_dgram *d, uint8_t *p, size_t n, uint8_t padding,
                        const struct sm_sent *what, bool wants_ack)
{
    struct sm_dgram_head h = {.phase = d->send.phase,
                              .padding = padding,
                              .to = d->peer_id,
                              .counter = d->recovery.next};
    struct sm_sent s = *what;
    s.at = d->now;
    s.bytes = (uint16_t)n;
    sm_dgram_head_write(&h, p);
    SM_TRY(sm_aead_seal(&d->send.aead, h.counter, sm_view_of(p, SM_DGRAM_HEAD),
                        sm_view_of(p + SM_DGRAM_HEAD, n - SM_DGRAM_HEAD - SM_DGRAM_TAG),
                        p + SM_DGRAM_HEAD));
    d->send.frames++;
    return sm_recovery_sent(&d->recovery, &s, wants_ack, dgram_told, d);
}

static bool is_key_old(const struct sm_dgram *d)
{
    return d->send.frames >= d->cfg.rekey_frames || sm_is_due(d->send.next_at, d->now);
}

/* Has the peer seen the present key?  Before, there may be no next one. */
static bool is_key_known(const struct sm_dgram *d)
{
    return d->recovery.acked_top > d->send.first;
}

/* Seal the frame of n bytes in the scratch behind its head, and make a batch of it. */
static enum sm_err send_frame(struct sm_dgram *d, size_t n, const struct sm_sent *what,
                              bool wants_ack, const struct sm_path *to,
                              struct sm_dgram_batch *out)
{
    size_t padded = (n + ALIGN - 1) / ALIGN * ALIGN;
    size_t whole = SM_DGRAM_HEAD + padded + SM_DGRAM_TAG;
    assert(whole <= sizeof d->scratch);
    memset(d->scratch + SM_DGRAM_HEAD + n, 0, padded - n);
    SM_TRY(seal(d, d->scratch, whole, (uint8_t)(padded - n), what, wants_ack));
    *out = (struct sm_dgram_batch){
        .bytes = sm_view_of(d->scratch, whole), .segment = whole, .to = *to};
    return SM_OK;
}

/* -- what goes --------------------------------------------------------------------------- */

static bool send_flight(struct sm_dgram *d, struct sm_dgram_batch *out)
{
    struct flights *f = &d->flights;
    if (!f->is_due) {
        return false;
    }
    struct sm_dgram_clear c = {.flight = f->out,
                               .to = d->peer_id,
                               .from = d->cfg.own_id,
                               .messages = sm_view_of(f->messages, f->n)};
    struct sm_wr w = sm_wr_init(d->scratch, sizeof d->scratch);
    sm_dgram_clear_write(&c, d->cfg.is_dialer ? SM_DGRAM_BASE : 0, &w);
    assert(!w.full);
    f->is_due = false;
    if (d->cfg.is_dialer) {
        f->again_at = sm_after(d->now, f->again);
    }
    *out = (struct sm_dgram_batch){
        .bytes = sm_view_of(d->scratch, w.n), .segment = w.n, .to = d->path};
    return true;
}

static enum sm_err send_token(struct sm_dgram *d, enum sm_dgram_type type, uint64_t token,
                              const struct sm_path *to, struct sm_dgram_batch *out)
{
    sm_dgram_frame_head(&(struct sm_dgram_frame){.type = type, .word = token},
                        d->scratch + SM_DGRAM_HEAD);
    return send_frame(d, SM_DGRAM_FRAME_HEAD, &(struct sm_sent){0}, false, to, out);
}

static enum sm_err send_ack(struct sm_dgram *d, struct sm_dgram_batch *out)
{
    struct acks *a = &d->acks;
    struct sm_frame_ack ack = {.delay_us = (uint32_t)(sm_between(a->top_at, d->now).ns / 1000)};
    uint64_t from = a->seen.top;
    struct sm_wr w = sm_wr_init(d->scratch + SM_DGRAM_HEAD, sizeof d->scratch - SM_DGRAM_HEAD);
    while (ack.n < SM_FRAG_RANGES &&
           sm_window_run(&a->seen, from, &ack.range[ack.n].low, &ack.range[ack.n].high)) {
        from = ack.range[ack.n++].low;
        if (from-- == 0) {
            break;
        }
    }
    a->pending = 0;
    a->is_due = false;
    a->at = SM_NEVER;
    SM_TRY(sm_frame_ack_write(&ack, &w));
    return send_frame(d, w.n, &(struct sm_sent){0}, false, &d->path, out);
}

static enum sm_err send_stream(struct sm_dgram *d, struct sm_dgram_batch *out)
{
    struct sm_dgram_frame f = {.type = SM_DGRAM_STREAM};
    uint8_t *p = d->scratch + SM_DGRAM_HEAD;
    bool is_some = sm_arq_next(&d->tx, STREAM_PIECE, &f.word, &f.bytes);
    assert(is_some); /* asked before */
    sm_dgram_frame_head(&f, p);
    memcpy(p + SM_DGRAM_FRAME_HEAD, f.bytes.p, f.bytes.n);
    struct sm_sent s = {.kind = SENT_STREAM, .offset = f.word, .n = (uint16_t)f.bytes.n};
    return send_frame(d, SM_DGRAM_FRAME_HEAD + f.bytes.n, &s, true, &d->path, out);
}

static enum sm_err send_probe(struct sm_dgram *d, uint32_t size, struct sm_dgram_batch *out)
{
    size_t n = size - SM_DGRAM_HEAD - SM_DGRAM_TAG;
    memset(d->scratch + SM_DGRAM_HEAD, 0, n);
    d->scratch[SM_DGRAM_HEAD] = SM_DGRAM_PROBE;
    d->mtu.flies = size;
    return send_frame(d, n, &(struct sm_sent){.kind = SENT_PROBE, .is_trial = true}, true,
                      &d->path, out);
}

/* Something to be acknowledged: who only acknowledges never learns that it was heard. */
static enum sm_err send_nothing(struct sm_dgram *d, struct sm_dgram_batch *out)
{
    sm_dgram_frame_head(&(struct sm_dgram_frame){.type = SM_DGRAM_PROBE},
                        d->scratch + SM_DGRAM_HEAD);
    return send_frame(d, SM_DGRAM_FRAME_HEAD, &(struct sm_sent){.kind = SENT_NOTHING}, true,
                      &d->path, out);
}

/* A run of datagrams of one length, sealed where they lie; a shorter one may end it. */
static enum sm_err send_packets(struct sm_dgram *d, struct sm_dgram_batch *out)
{
    uint8_t *first = sm_outq_front(&d->packets), *p = first;
    size_t segment = sm_le64(p + 8), n = segment, total = 0;
    for (unsigned i = 0; i < SEGMENTS_MAX && p != NULL; i++) {
        n = sm_le64(p + 8);
        if (n > segment || total + n > BATCH_MAX ||
            (total > 0 && !sm_recovery_has_room(&d->recovery, n))) {
            break;
        }
        SM_TRY(seal(d, p, n, 0, &(struct sm_sent){.kind = SENT_PACKET}, true));
        total += n;
        sm_outq_take(&d->packets, n);
        p = sm_outq_front(&d->packets);
        if (n < segment) {
            break;
        }
    }
    *out = (struct sm_dgram_batch){
        .bytes = sm_view_of(first, total), .segment = segment, .to = d->path};
    return SM_OK;
}

/* Is there room for a batch worth a call?  When acknowledgements open the window a little at a
 * time, what waits goes together all the same: by the quarter of the window.  Something is in
 * flight then, so there will be more room. */
static bool has_room_for_batch(const struct sm_dgram *d)
{
    const uint8_t *next = sm_outq_front(&d->packets);
    if (next == NULL) {
        return false;
    }
    uint64_t one = sm_le64(next + 8), most = d->recovery.window / 4;
    most = most < BATCH_MAX ? most : BATCH_MAX;
    uint64_t waiting = sm_outq_bytes(&d->packets), want = waiting < most ? waiting : most;
    return sm_recovery_has_room(&d->recovery, (size_t)(want > one ? want : one));
}

/* OK with an empty batch when there is nothing to send. */
static enum sm_err send_sealed(struct sm_dgram *d, struct sm_dgram_batch *out)
{
    uint32_t size;
    if (is_key_old(d) && is_key_known(d)) {
        SM_TRY(dgram_next_send_key(d));
    }
    if (path_wants_challenge(d)) {
        return send_token(d, SM_DGRAM_CHALLENGE, d->move.token, &d->move.to, out);
    }
    if (d->owes_response) {
        d->owes_response = false;
        return send_token(d, SM_DGRAM_RESPONSE, d->response, &d->response_to, out);
    }
    if (d->acks.is_due && d->acks.seen.top > 0 && !sm_dgram_is_reading(d)) {
        return send_ack(d, out);
    }
    bool has_room = sm_recovery_has_room(&d->recovery, SM_DGRAM_BASE);
    if (sm_arq_is_waiting(&d->tx) && (has_room || d->is_hurried)) {
        return send_stream(d, out);
    }
    if (path_wants_probe(d, &size)) {
        return send_probe(d, size, out);
    }
    if (is_key_old(d) && d->recovery.in_flight == 0) {
        return send_nothing(d, out);
    }
    return has_room_for_batch(d) ? send_packets(d, out) : SM_OK;
}

/* Nobody gets more from us than three times what came from its address, until it is proven that
 * it is there. */
static bool may_send(struct sm_dgram *d, size_t n)
{
    if (d->is_proven || d->cfg.is_dialer) {
        return true;
    }
    d->given += n;
    return d->given <= AMPLIFICATION * d->got;
}

bool sm_dgram_send(struct sm_dgram *d, struct sm_mono now, struct sm_dgram_batch *out)
{
    struct sm_dgram_batch b = {0};
    d->now = now;
    if (d->err != SM_OK) {
        return false;
    }
    if (!send_flight(d, &b) && d->has_keys) {
        enum sm_err e = send_sealed(d, &b);
        if (e != SM_OK) {
            dgram_fail(d, e);
            return false;
        }
    }
    if (b.bytes.n == 0 || !may_send(d, b.bytes.n)) {
        return false;
    }
    *out = b;
    return true;
}
