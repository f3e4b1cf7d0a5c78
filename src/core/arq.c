// SPDX-License-Identifier: Apache-2.0
#include "core/arq.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* -- runs -------------------------------------------------------------------------------- */

static void runs_drop(struct sm_runs *r, unsigned i, unsigned count)
{
    memmove(&r->run[i], &r->run[i + count], (r->n - i - count) * sizeof r->run[0]);
    r->n -= count;
}

/* False when there is no place for one more run; then nothing has changed. */
static bool runs_add(struct sm_runs *r, uint64_t from, uint64_t to)
{
    unsigned i = 0, j;
    while (i < r->n && r->run[i].to < from) {
        i++;
    }
    for (j = i; j < r->n && r->run[j].from <= to; j++) {
        from = r->run[j].from < from ? r->run[j].from : from;
        to = r->run[j].to > to ? r->run[j].to : to;
    }
    if (i == j) {
        if (r->n == SM_ARQ_RUNS) {
            return false;
        }
        memmove(&r->run[i + 1], &r->run[i], (r->n - i) * sizeof r->run[0]);
        r->n++;
    } else {
        runs_drop(r, i + 1, j - i - 1);
    }
    r->run[i].from = from;
    r->run[i].to = to;
    return true;
}

/* Leave what is below and above [from, to).  False when a run was cut in two and there was no
 * place for its upper part, which is then missing. */
static bool runs_remove(struct sm_runs *r, uint64_t from, uint64_t to)
{
    bool is_all = true;
    for (unsigned i = 0; i < r->n;) {
        uint64_t a = r->run[i].from, b = r->run[i].to;
        if (b <= from || a >= to) {
            i++;
        } else if (a < from) {
            r->run[i++].to = from;
            is_all = b <= to || runs_add(r, to, b);
        } else if (b > to) {
            r->run[i++].from = to;
        } else {
            runs_drop(r, i, 1);
        }
    }
    return is_all;
}

/* -- sending ----------------------------------------------------------------------------- */

void sm_arq_tx_init(struct sm_arq_tx *tx, size_t max)
{
    *tx = (struct sm_arq_tx){.buf = SM_BUF(max)};
}

void sm_arq_tx_done(struct sm_arq_tx *tx)
{
    sm_buf_done(&tx->buf);
}

static uint64_t end_of(const struct sm_arq_tx *tx)
{
    return tx->start + tx->buf.n;
}

size_t sm_arq_room(const struct sm_arq_tx *tx)
{
    size_t waiting = (size_t)(end_of(tx) - tx->base);
    return tx->buf.max - waiting;
}

/* Forget what has arrived, when that is worth the move. */
static void forget(struct sm_arq_tx *tx, size_t wanted)
{
    size_t old = (size_t)(tx->base - tx->start);
    if (old == tx->buf.n || old > tx->buf.n / 2 || tx->buf.n + wanted > tx->buf.max) {
        sm_buf_drop(&tx->buf, old);
        tx->start = tx->base;
    }
}

enum sm_err sm_arq_push(struct sm_arq_tx *tx, struct sm_view bytes)
{
    if (bytes.n > sm_arq_room(tx)) {
        return SM_E_BUSY;
    }
    forget(tx, bytes.n);
    return sm_buf_add(&tx->buf, bytes.p, bytes.n);
}

/* What may go for the first time: up to the receiver's window. */
static uint64_t fresh_end(const struct sm_arq_tx *tx)
{
    uint64_t end = end_of(tx), window = tx->base + SM_ARQ_WINDOW;
    return end < window ? end : window;
}

bool sm_arq_is_waiting(const struct sm_arq_tx *tx)
{
    return tx->lost.n > 0 || tx->sent < fresh_end(tx);
}

bool sm_arq_next(struct sm_arq_tx *tx, size_t max, uint64_t *offset, struct sm_view *piece)
{
    uint64_t from = tx->sent, to = fresh_end(tx);
    bool is_again = tx->lost.n > 0;
    if (is_again) {
        from = tx->lost.run[0].from;
        to = tx->lost.run[0].to;
    }
    if (from >= to) {
        return false;
    }
    to = to - from > max ? from + max : to;
    if (is_again) {
        bool is_all = runs_remove(&tx->lost, from, to);
        assert(is_all); /* taken from its front */
    } else {
        tx->sent = to;
    }
    *offset = from;
    *piece = sm_view_of(tx->buf.p + (from - tx->start), (size_t)(to - from));
    return true;
}

/* More gaps than can be told apart: to send again what has arrived costs only time. */
static void send_all_again(struct sm_arq_tx *tx)
{
    tx->lost.n = tx->base < tx->sent ? 1 : 0;
    tx->lost.run[0].from = tx->base;
    tx->lost.run[0].to = tx->sent;
}

void sm_arq_arrived(struct sm_arq_tx *tx, uint64_t offset, size_t n)
{
    uint64_t from = offset < tx->base ? tx->base : offset, to = offset + n;
    if (from >= to) {
        return;
    }
    bool is_all = runs_add(&tx->has, from, to) && runs_remove(&tx->lost, from, to);
    if (tx->has.run[0].from == tx->base) {
        tx->base = tx->has.run[0].to;
        runs_drop(&tx->has, 0, 1);
        is_all = runs_remove(&tx->lost, 0, tx->base) && is_all;
    }
    if (!is_all) {
        send_all_again(tx);
    }
}

void sm_arq_lost(struct sm_arq_tx *tx, uint64_t offset, size_t n)
{
    uint64_t from = offset < tx->base ? tx->base : offset, to = offset + n;
    if (from >= to) {
        return;
    }
    bool is_all = runs_add(&tx->lost, from, to);
    for (unsigned i = 0; i < tx->has.n && is_all; i++) {
        is_all = runs_remove(&tx->lost, tx->has.run[i].from, tx->has.run[i].to);
    }
    if (!is_all) {
        send_all_again(tx);
    }
}

/* -- receiving --------------------------------------------------------------------------- */

void sm_arq_rx_init(struct sm_arq_rx *rx)
{
    *rx = (struct sm_arq_rx){0};
}

void sm_arq_rx_done(struct sm_arq_rx *rx)
{
    free(rx->p);
    rx->p = NULL;
}

static enum sm_err make_room(struct sm_arq_rx *rx)
{
    if (rx->p == NULL) {
        rx->p = malloc(SM_ARQ_WINDOW);
        if (rx->p == NULL) {
            return SM_E_NOMEM;
        }
    }
    if (rx->has.n == 0) {
        rx->start = rx->at; /* nothing waits: begin at the front again */
    }
    return SM_OK;
}

enum sm_err sm_arq_take(struct sm_arq_rx *rx, uint64_t offset, struct sm_view piece)
{
    if (offset > rx->at + SM_ARQ_WINDOW || piece.n > SM_ARQ_WINDOW ||
        offset + piece.n > rx->at + SM_ARQ_WINDOW) {
        return SM_E_LIMIT;
    }
    if (offset < rx->at) {
        piece = sm_view_sub(
            piece, (size_t)(rx->at - offset < piece.n ? rx->at - offset : piece.n), piece.n);
        offset = rx->at;
    }
    if (piece.n == 0) {
        return SM_OK; /* had it all */
    }
    SM_TRY(make_room(rx));
    if (!runs_add(&rx->has, offset, offset + piece.n)) {
        return SM_E_LIMIT;
    }
    for (size_t i = 0; i < piece.n;) { /* the window is a ring */
        size_t to = (size_t)(offset + i - rx->start) % SM_ARQ_WINDOW;
        size_t n = piece.n - i < SM_ARQ_WINDOW - to ? piece.n - i : SM_ARQ_WINDOW - to;
        memcpy(rx->p + to, piece.p + i, n);
        i += n;
    }
    return SM_OK;
}

bool sm_arq_give(struct sm_arq_rx *rx, uint8_t **p, size_t *n)
{
    if (rx->has.n == 0 || rx->has.run[0].from != rx->at) {
        return false;
    }
    size_t from = (size_t)(rx->at - rx->start) % SM_ARQ_WINDOW;
    uint64_t whole = rx->has.run[0].to - rx->at;
    *n = whole < SM_ARQ_WINDOW - from ? (size_t)whole : SM_ARQ_WINDOW - from;
    *p = rx->p + from;
    rx->at += *n;
    if (rx->at == rx->has.run[0].to) {
        runs_drop(&rx->has, 0, 1);
    } else {
        rx->has.run[0].from = rx->at;
    }
    return true;
}
