// SPDX-License-Identifier: Apache-2.0
#include "core/recovery.h"

#include "wire/datagram.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define RING_FIRST   64u
#define RING_MAX     4096u  /* in flight: 5.7 MB of 1,400 bytes, a Gbit/s over 46 ms */
#define WINDOW_FIRST 14720u /* RFC 9002, 7.2 */
#define WINDOW_LEAST (8u * SM_DGRAM_BASE)
#define REORDER      3u /* RFC 9002, 6.1.1 */
#define RTT_FIRST    SM_MS(150)
#define ACK_DELAY    SM_MS(8) /* the peer waits 5 ms at most, and its timers are coarse */
#define TIMEOUT_MIN  SM_MS(20)
#define TIMEOUT_MAX  SM_S(4)
#define BACKOFF_MAX  6u
#define QUEUE_LEAST  SM_MS(2) /* delay over the least that means a queue */

enum { DONE = 0, FLIES }; /* sm_sent.state */

void sm_recovery_new_path(struct sm_recovery *r)
{
    r->window = WINDOW_FIRST;
    r->threshold = UINT64_MAX;
    r->cut_at = r->next;
    r->rtt = RTT_FIRST;
    r->rtt_var = (struct sm_dur){RTT_FIRST.ns / 2};
    r->rtt_min = (struct sm_dur){0};
    r->has_rtt = false;
    r->backoff = 0;
}

void sm_recovery_init(struct sm_recovery *r, size_t window_max)
{
    *r = (struct sm_recovery){.window_max = window_max, .timeout_at = SM_NEVER};
    sm_recovery_new_path(r);
}

void sm_recovery_done(struct sm_recovery *r)
{
    free(r->ring);
    r->ring = NULL;
}

static struct sm_sent *at(const struct sm_recovery *r, uint64_t number)
{
    return &r->ring[number & (r->cap - 1)];
}

bool sm_recovery_has_room(const struct sm_recovery *r, size_t bytes)
{
    return r->in_flight + bytes <= r->window;
}

/* -- time -------------------------------------------------------------------------------- */

static struct sm_dur timeout_of(const struct sm_recovery *r)
{
    uint64_t ns = r->rtt.ns + 4 * r->rtt_var.ns + ACK_DELAY.ns;
    ns = ns < TIMEOUT_MIN.ns ? TIMEOUT_MIN.ns : ns;
    ns <<= r->backoff;
    return (struct sm_dur){ns < TIMEOUT_MAX.ns ? ns : TIMEOUT_MAX.ns};
}

static void plan_timeout(struct sm_recovery *r, struct sm_mono now)
{
    r->timeout_at = r->in_flight > 0 ? sm_after(now, timeout_of(r)) : SM_NEVER;
}

struct sm_mono sm_recovery_deadline(const struct sm_recovery *r)
{
    return r->timeout_at;
}

/* SPEC RFC 9002 5.3 */
static void take_rtt(struct sm_recovery *r, struct sm_dur sample)
{
    if (!r->has_rtt) {
        r->has_rtt = true;
        r->rtt = sample;
        r->rtt_var = (struct sm_dur){sample.ns / 2};
        r->rtt_min = sample;
        return;
    }
    uint64_t off = sample.ns > r->rtt.ns ? sample.ns - r->rtt.ns : r->rtt.ns - sample.ns;
    r->rtt_var.ns = (3 * r->rtt_var.ns + off) / 4;
    r->rtt.ns = (7 * r->rtt.ns + sample.ns) / 8;
    r->rtt_min.ns = sample.ns < r->rtt_min.ns ? sample.ns : r->rtt_min.ns;
}

/* -- the ring ---------------------------------------------------------------------------- */

static void forget_done(struct sm_recovery *r)
{
    while (r->low < r->next && at(r, r->low)->state == DONE) {
        r->low++;
    }
}

static void count_loss(struct sm_recovery *r, bool is_lost)
{
    r->loss = r->loss - r->loss / 64 + (is_lost ? 1024 : 0);
    if (is_lost) {
        r->n_lost++;
    } else {
        r->n_arrived++;
    }
}

static void lose(struct sm_recovery *r, uint64_t number, sm_recovery_told *told, void *ctx)
{
    struct sm_sent *s = at(r, number);
    s->state = DONE;
    r->in_flight -= s->bytes;
    if (!s->is_trial) {
        count_loss(r, true);
    }
    told(ctx, s, false);
}

static enum sm_err grow(struct sm_recovery *r)
{
    uint32_t cap = r->cap == 0 ? RING_FIRST : r->cap * 2;
    struct sm_sent *ring = calloc(cap, sizeof *ring);
    if (ring == NULL) {
        return SM_E_NOMEM;
    }
    for (uint64_t i = r->low; i < r->next; i++) {
        ring[i & (cap - 1)] = *at(r, i);
    }
    free(r->ring);
    r->ring = ring;
    r->cap = cap;
    return SM_OK;
}

enum sm_err sm_recovery_sent(struct sm_recovery *r, const struct sm_sent *s, bool wants_ack,
                             sm_recovery_told *told, void *ctx)
{
    if (r->next - r->low == r->cap && r->cap < RING_MAX) {
        SM_TRY(grow(r));
    }
    if (r->next - r->low == r->cap) {
        lose(r, r->low, told, ctx); /* so far behind all the others that it is lost */
        forget_done(r);
    }
    struct sm_sent *to = at(r, r->next);
    *to = *s;
    to->state = wants_ack ? FLIES : DONE;
    r->next++;
    if (wants_ack) {
        r->in_flight += s->bytes;
        plan_timeout(r, s->at);
    }
    forget_done(r);
    return SM_OK;
}

/* -- the window -------------------------------------------------------------------------- */

static void cut_window(struct sm_recovery *r, uint64_t lost_number)
{
    if (lost_number < r->cut_at) {
        return; /* of the same round trip as the loss before */
    }
    r->window = r->window / 10 * 7;
    r->window = r->window < WINDOW_LEAST ? WINDOW_LEAST : r->window;
    r->threshold = r->window;
    r->cut_at = r->next;
}

static void grow_window(struct sm_recovery *r, uint64_t bytes, uint64_t was_in_flight)
{
    if (was_in_flight < r->window / 2) {
        return; /* it was not the window that held us back */
    }
    uint64_t queue = r->rtt_min.ns / 2 > QUEUE_LEAST.ns ? r->rtt_min.ns / 2 : QUEUE_LEAST.ns;
    if (r->window < r->threshold && r->rtt.ns > r->rtt_min.ns + queue) {
        r->threshold = r->window;
    }
    r->window += r->window < r->threshold ? bytes : bytes * SM_DGRAM_BASE / r->window;
    r->window = r->window < r->window_max ? r->window : r->window_max;
}

/* -- acknowledgements -------------------------------------------------------------------- */

/* Adds to *bytes; *newest gets the latest time at which one of them was sent. */
static void take_range(struct sm_recovery *r, uint64_t low, uint64_t high, uint64_t *bytes,
                       struct sm_mono *newest, sm_recovery_told *told, void *ctx)
{
    for (uint64_t i = low > r->low ? low : r->low; i <= high; i++) {
        struct sm_sent *s = at(r, i);
        if (s->state == FLIES) {
            s->state = DONE;
            *bytes += s->bytes;
            newest->ns = s->at.ns > newest->ns ? s->at.ns : newest->ns;
            count_loss(r, false);
            told(ctx, s, true);
        }
    }
}

static void find_lost(struct sm_recovery *r, sm_recovery_told *told, void *ctx)
{
    for (uint64_t i = r->low; i + REORDER < r->acked_top; i++) {
        struct sm_sent *s = at(r, i);
        if (s->state == FLIES) {
            if (!s->is_trial) {
                cut_window(r, i);
            }
            lose(r, i, told, ctx);
        }
    }
}

enum sm_err sm_recovery_acked(struct sm_recovery *r, struct sm_mono now,
                              const struct sm_frame_ack *ack, sm_recovery_told *told, void *ctx)
{
    uint64_t top = ack->range[0].high, bytes = 0, was = r->in_flight;
    struct sm_mono newest = {0};
    if (top >= r->next) {
        return SM_E_MALFORMED;
    }
    for (uint32_t i = 0; i < ack->n && ack->range[i].high >= r->low; i++) {
        take_range(r, ack->range[i].low, ack->range[i].high, &bytes, &newest, told, ctx);
    }
    if (bytes == 0) {
        return SM_OK;
    }
    struct sm_dur sample = sm_between(newest, now), held = SM_US(ack->delay_us);
    take_rtt(r, held.ns < sample.ns ? (struct sm_dur){sample.ns - held.ns} : sample);
    r->in_flight -= bytes;
    r->acked_top = top + 1 > r->acked_top ? top + 1 : r->acked_top;
    r->backoff = 0;
    grow_window(r, bytes, was);
    find_lost(r, told, ctx);
    forget_done(r);
    plan_timeout(r, now);
    return SM_OK;
}

void sm_recovery_tick(struct sm_recovery *r, struct sm_mono now, sm_recovery_told *told,
                      void *ctx)
{
    if (!sm_is_due(r->timeout_at, now)) {
        return;
    }
    bool is_trial = true;
    for (uint64_t i = r->low; i < r->next; i++) {
        if (at(r, i)->state == FLIES) {
            is_trial = is_trial && at(r, i)->is_trial;
            lose(r, i, told, ctx);
        }
    }
    forget_done(r);
    assert(r->in_flight == 0);
    r->timeout_at = SM_NEVER;
    if (is_trial) {
        return;
    }
    cut_window(r, r->next);
    r->window = r->backoff > 0 ? WINDOW_LEAST : r->window;
    r->backoff += r->backoff < BACKOFF_MAX ? 1 : 0;
}
