// SPDX-License-Identifier: Apache-2.0
#pragma once
/* arq: one direction of a stream of bytes over datagrams that may be lost, doubled or late.
 *
 * The sender keeps what has not arrived and hands out pieces of it: first what was lost, then
 * what was never sent.  It is told of each piece whether it arrived (core/recovery.h decides).
 * Pieces are runs of bytes, not messages: what is sent again may be cut in another way.
 *
 *     sm_arq_push(&tx, bytes);
 *     while (sm_arq_next(&tx, 1152, &offset, &piece)) { send it }
 *     sm_arq_arrived(&tx, offset, n) or sm_arq_lost(&tx, offset, n)
 *
 * The receiver puts pieces in order and gives out the bytes that follow each other.
 *
 * Memory:  a sender at most what cfg says, a receiver SM_ARQ_WINDOW; both on demand.
 * Errors:  push: BUSY when full, NOMEM.  take: LIMIT when the piece lies too far ahead or
 * leaves too many gaps: then it must not be acknowledged; NOMEM likewise.
 */
#include "base/bytes.h"

#include <stdint.h>

#define SM_ARQ_WINDOW 65536u /* bytes beyond the last that arrived in order */
#define SM_ARQ_RUNS   64u    /* gaps: half of the window's datagrams lost, every second one */

/* Runs of numbers, apart from each other and ascending. */
struct sm_runs {
    unsigned n;
    struct {
        uint64_t from, to;
    } run[SM_ARQ_RUNS];
};

struct sm_arq_tx {
    struct sm_buf buf;   /* bytes [start, end) of the stream */
    uint64_t start;      /* of buf */
    uint64_t base;       /* all below have arrived */
    uint64_t sent;       /* all from here on have never gone */
    struct sm_runs has;  /* above base: what has arrived */
    struct sm_runs lost; /* to be sent again */
};

struct sm_arq_rx {
    uint8_t *p; /* SM_ARQ_WINDOW bytes from offset start */
    uint64_t start;
    uint64_t at;        /* all below have been given out */
    struct sm_runs has; /* above at */
};

void sm_arq_tx_init(struct sm_arq_tx *tx, size_t max);
void sm_arq_tx_done(struct sm_arq_tx *tx);
enum sm_err sm_arq_push(struct sm_arq_tx *tx, struct sm_view bytes) SM_MUST;
size_t sm_arq_room(const struct sm_arq_tx *tx);
bool sm_arq_is_waiting(const struct sm_arq_tx *tx); /* next() would give something */
/* The next piece of at most max bytes; it lives until the next push. */
bool sm_arq_next(struct sm_arq_tx *tx, size_t max, uint64_t *offset, struct sm_view *piece);
void sm_arq_arrived(struct sm_arq_tx *tx, uint64_t offset, size_t n);
void sm_arq_lost(struct sm_arq_tx *tx, uint64_t offset, size_t n);

void sm_arq_rx_init(struct sm_arq_rx *rx);
void sm_arq_rx_done(struct sm_arq_rx *rx);
enum sm_err sm_arq_take(struct sm_arq_rx *rx, uint64_t offset, struct sm_view piece) SM_MUST;
/* The bytes that follow what was given out so far: the caller's to change, until the next
 * take().  False when there are none. */
bool sm_arq_give(struct sm_arq_rx *rx, uint8_t **p, size_t *n);
