// SPDX-License-Identifier: Apache-2.0
#include "core/session_int.h"

#include <assert.h>
#include <string.h>

enum {
    STRIDE = SM_FRAG_MSG_HEAD + SM_FRAG_DATA,
    NO_SLOT = SM_HOST_SLOTS,
};

/* -- slots ----------------------------------------------------------------------------------
 */

void sm_session_slot_reset(struct slot *t)
{
    *t = (struct slot){
        .cwnd = CWND_START,
        .threshold = CWND_MAX,
        .min_us = UINT64_MAX,
        .min_old_us = UINT64_MAX,
        .probe_gap = PROBE_FIRST,
    };
}

static uint64_t slot_min_us(const struct slot *t)
{
    return t->min_us < t->min_old_us ? t->min_us : t->min_old_us;
}

static struct sm_dur slot_rto(const struct slot *t)
{
    uint64_t ns = RTO_FIRST.ns;
    if (t->has_rtt) {
        uint64_t var_ns = t->var_us * 4000u;
        ns = t->srtt_us * 1000u + (var_ns > QUEUE_TARGET.ns ? var_ns : QUEUE_TARGET.ns) +
             ACK_DELAY.ns;
    }
    ns = ns < RTO_MIN.ns ? RTO_MIN.ns : ns;
    ns = ns > RTO_MAX.ns ? RTO_MAX.ns : ns << t->backoff;
    return (struct sm_dur){ns > RTO_MAX.ns ? RTO_MAX.ns : ns};
}

void sm_session_slot_report(struct sm_host *h, struct peer *p, unsigned slot, bool is_ok)
{
    struct slot *t = &p->slot[slot];
    struct sm_mono *next = is_ok ? &t->reported_ok : &t->reported_lost;
    if (!sm_is_due(*next, h->now)) {
        return;
    }
    *next = sm_after(h->now, is_ok ? REPORT_OK_GAP : REPORT_LOST_GAP);
    t->wants_report = true;
    t->report_ok = is_ok;
    sm_session_report_add(h, p);
}

/* Something came back over the slot. */
static void slot_up(struct sm_host *h, struct peer *p, unsigned slot)
{
    struct slot *t = &p->slot[slot];
    t->timeouts = 0;
    t->backoff = 0;
    if (t->is_down) {
        t->is_down = false;
        t->is_absent = false;
        t->probe_gap = PROBE_FIRST;
        t->cwnd = CWND_MIN;
        t->reported_ok = h->now; /* news */
        p->all_absent = SM_NEVER;
        sm_session_active_add(h, p);
    }
    sm_session_slot_report(h, p, slot, true);
}

/* RFC 6298, and the least of the last one or two spans. */
void sm_session_slot_sample(struct sm_host *h, struct peer *p, unsigned slot, uint64_t us)
{
    struct slot *t = &p->slot[slot];
    if (!t->has_rtt) {
        t->srtt_us = us;
        t->var_us = us / 2;
        t->has_rtt = true;
    } else {
        uint64_t off = us > t->srtt_us ? us - t->srtt_us : t->srtt_us - us;
        t->var_us = (t->var_us * 3 + off) / 4;
        t->srtt_us = (t->srtt_us * 7 + us) / 8;
    }
    if (sm_is_due(sm_after(t->min_since, MIN_RTT_AGE), h->now)) {
        t->min_old_us = t->min_us;
        t->min_us = us;
        t->min_since = h->now;
    }
    t->min_us = us < t->min_us ? us : t->min_us;
    slot_up(h, p, slot);
}

/* The next slot after `from` that works; else the next the caller has not ruled out. */
unsigned sm_session_slot_next_usable(const struct peer *p, unsigned from)
{
    unsigned second = (from + 1) % SM_HOST_SLOTS;
    for (unsigned i = SM_HOST_SLOTS; i > 0; i--) {
        unsigned j = (from + i) % SM_HOST_SLOTS;
        second = p->slot[j].is_absent ? second : j;
    }
    for (unsigned i = 1; i <= SM_HOST_SLOTS; i++) {
        unsigned j = (from + i) % SM_HOST_SLOTS;
        if (!p->slot[j].is_down) {
            return j;
        }
    }
    return second;
}

static bool other_works(const struct peer *p, unsigned slot)
{
    for (unsigned i = 0; i < SM_HOST_SLOTS; i++) {
        if (i != slot && !p->slot[i].is_down) {
            return true;
        }
    }
    return false;
}

/* The slot rests until it is probed; what was in flight there goes over the others. */
static void slot_down(struct sm_host *h, struct peer *p, unsigned slot)
{
    struct slot *t = &p->slot[slot];
    t->is_down = true;
    t->probe = sm_after(h->now, t->probe_gap);
    arm(h, t->probe);
    for (uint32_t i = 0; i < h->session_top; i++) {
        struct session *s = &h->sessions[i];
        if (s->state == SESSION_UP && s->peer == index_of_peer(h, p)) {
            sm_session_flight_requeue(h, s, slot);
        }
    }
}

void sm_session_slot_rest(struct sm_host *h, struct peer *p, unsigned slot)
{
    slot_down(h, p, slot);
    bool all = true;
    for (unsigned i = 0; i < SM_HOST_SLOTS; i++) {
        all = all && p->slot[i].is_absent;
    }
    if (all && p->all_absent.ns == SM_NEVER.ns) {
        p->all_absent = h->now;
        arm(h, sm_after(h->now, UNREACHABLE_AFTER));
    }
    if (p->opening == SM_NONE) {
        return;
    }
    struct session *s = &h->sessions[p->opening];
    unsigned next = sm_session_slot_next_usable(p, slot);
    if (s->hs_slot == slot && !p->slot[next].is_down) { /* else the timer tries again */
        s->hs_slot = (uint8_t)next;
        s->wants_first = true;
        sm_session_control_add(h, s);
    }
}

void sm_session_slots_tick(struct sm_host *h, struct peer *p)
{
    if (p->current == SM_NONE || !sm_session_peer_has_work(p)) {
        return;
    }
    struct session *s = &h->sessions[p->current];
    for (unsigned i = 0; i < SM_HOST_SLOTS; i++) {
        struct slot *t = &p->slot[i];
        if (!t->is_down || !is_time(h, t->probe)) {
            continue;
        }
        t->probe_gap.ns =
            t->probe_gap.ns * 2 < PROBE_MAX.ns ? t->probe_gap.ns * 2 : PROBE_MAX.ns;
        t->probe = sm_after(h->now, t->probe_gap);
        arm(h, t->probe);
        s->wants_ping |= (uint8_t)(1u << i);
        sm_session_control_add(h, s);
    }
}

/* The working slot on which `bytes` are likely there first; NO_SLOT when the windows are full.
 * A fragment that was lost on `avoid` takes another, if another works. */
static unsigned slot_pick(const struct peer *p, uint32_t bytes, unsigned avoid)
{
    uint64_t known = UINT64_MAX;
    for (unsigned i = 0; i < SM_HOST_SLOTS; i++) {
        const struct slot *t = &p->slot[i];
        if (!t->is_down && t->has_rtt && t->srtt_us < known) {
            known = t->srtt_us;
        }
    }
    if (known == UINT64_MAX) {
        known = 1;
    }
    unsigned best = NO_SLOT;
    uint64_t best_score = UINT64_MAX;
    for (unsigned i = 0; i < SM_HOST_SLOTS; i++) {
        const struct slot *t = &p->slot[i];
        uint32_t window = t->has_rtt || t->cwnd < CWND_UNPROVEN ? t->cwnd : CWND_UNPROVEN;
        if (t->is_down || (t->inflight > 0 && t->inflight + bytes > window) ||
            (i == avoid && other_works(p, i))) {
            continue;
        }
        uint64_t us = t->has_rtt ? t->srtt_us + 1 : known;
        uint64_t score = us * (window + t->inflight) / window;
        if (score < best_score) {
            best = i;
            best_score = score;
        }
    }
    return best;
}

/* -- fragments in flight --------------------------------------------------------------------
 */

static struct sent *ring(struct sm_host *h, const struct session *s)
{
    return h->sent + (size_t)index_of_session(h, s) * RING;
}

void sm_session_flight_init(struct session *s)
{
    for (unsigned i = 0; i < SM_HOST_SLOTS; i++) {
        s->flight[i] = (struct flight){.head = RING, .tail = RING};
    }
}

static void sent_drop(struct sm_host *h, struct session *s, struct sent *e)
{
    struct sent *r = ring(h, s);
    struct flight *f = &s->flight[e->slot];
    struct slot *t = &h->peers[s->peer].slot[e->slot];
    assert(e->state != SENT_FREE && t->inflight >= e->bytes && h->inflight >= e->bytes);
    if (e->prev != RING) {
        r[e->prev].next = e->next;
    } else {
        f->head = e->next;
    }
    if (e->next != RING) {
        r[e->next].prev = e->prev;
    } else {
        f->tail = e->prev;
    }
    t->inflight -= e->bytes;
    h->inflight -= e->bytes;
    e->state = SENT_FREE;
}

static struct message *sent_message(struct sm_host *h, const struct sent *e)
{
    if (e->message == SM_NONE) {
        return NULL;
    }
    struct message *m = &h->messages[e->message];
    bool is_it = m->generation == e->generation &&
                 (m->state == MESSAGE_REQUEST || m->state == MESSAGE_ANSWER);
    return is_it ? m : NULL;
}

/* Not acknowledged: send it again under a new number, on another slot. */
static void sent_lose(struct sm_host *h, struct session *s, struct sent *e)
{
    struct message *m = sent_message(h, e);
    sent_drop(h, s, e);
    if (m == NULL || fragset_has(&m->acked, e->frag)) {
        return;
    }
    fragset_add(&m->todo, e->frag);
    m->avoid[e->frag] = e->slot;
    h->stats.resent++;
    sm_session_queue_add(h, m);
    sm_session_active_add(h, &h->peers[s->peer]);
}

static void sent_add(struct sm_host *h, struct session *s, uint64_t number, struct sent in)
{
    struct sent *r = ring(h, s);
    uint16_t i = (uint16_t)(number % RING);
    if (r[i].state != SENT_FREE) {
        sent_lose(h, s, &r[i]); /* a thousand numbers old */
    }
    struct flight *f = &s->flight[in.slot];
    struct peer *p = &h->peers[s->peer];
    in.number = number;
    in.slot_seq = f->seq_next++;
    in.at = h->now;
    in.prev = f->tail;
    in.next = RING;
    r[i] = in;
    if (f->tail != RING) {
        r[f->tail].next = i;
    } else {
        f->head = i;
    }
    f->tail = i;
    p->slot[in.slot].inflight += in.bytes;
    h->inflight += in.bytes;
    if (p->waiting_since.ns == SM_NEVER.ns) {
        p->waiting_since = h->now;
    }
    arm(h, sm_after(h->now, slot_rto(&p->slot[in.slot])));
}

void sm_session_flight_requeue(struct sm_host *h, struct session *s, unsigned slot)
{
    while (s->flight[slot].head != RING) {
        sent_lose(h, s, &ring(h, s)[s->flight[slot].head]);
    }
}

/* Halve the window once for all that was in flight when the loss was seen. */
static void window_shrink(struct sm_host *h, struct slot *t, struct sm_mono sent_at)
{
    if (sent_at.ns < t->recovery.ns) {
        return;
    }
    t->cwnd = t->cwnd / 2 > CWND_MIN ? t->cwnd / 2 : CWND_MIN;
    t->threshold = t->cwnd;
    t->recovery = sm_after(h->now, (struct sm_dur){1});
}

/* Grow while the path's queue is short: the window is used up and the round trip near its
 * least. */
static void window_grow(struct slot *t, uint32_t bytes, uint32_t inflight_before)
{
    uint64_t least = slot_min_us(t);
    bool is_short = t->srtt_us < least * 2 || t->srtt_us < least + QUEUE_TARGET.ns / 1000u;
    if (!is_short || inflight_before < t->cwnd / 2) {
        return;
    }
    uint64_t more = t->cwnd < t->threshold ? bytes : (uint64_t)bytes * SM_FRAG_DATA / t->cwnd;
    uint64_t cwnd = t->cwnd + more;
    t->cwnd = cwnd < CWND_MAX ? (uint32_t)cwnd : CWND_MAX;
}

/* Lost by gap: later ones of the same slot have arrived, and a round trip is over. */
static void gaps_find(struct sm_host *h, struct session *s, unsigned slot)
{
    struct slot *t = &h->peers[s->peer].slot[slot];
    struct flight *f = &s->flight[slot];
    struct sm_dur patience = {t->srtt_us * 1125u};
    while (f->head != RING) {
        struct sent *e = &ring(h, s)[f->head];
        if (f->seq_acked < e->slot_seq + 1 + GAP || !is_time(h, sm_after(e->at, patience))) {
            return;
        }
        window_shrink(h, t, e->at);
        sent_lose(h, s, e);
    }
}

/* Lost by time. */
static void timeouts_find(struct sm_host *h, struct session *s, unsigned slot)
{
    struct peer *p = &h->peers[s->peer];
    struct slot *t = &p->slot[slot];
    struct flight *f = &s->flight[slot];
    struct sm_dur rto = slot_rto(t);
    bool any = false;
    while (f->head != RING) {
        struct sent *e = &ring(h, s)[f->head];
        if (!is_time(h, sm_after(e->at, rto))) {
            break;
        }
        any = true;
        window_shrink(h, t, e->at);
        sent_lose(h, s, e);
    }
    if (!any) {
        return;
    }
    t->timeouts = (uint8_t)(t->timeouts + (t->timeouts < UINT8_MAX));
    t->backoff = (uint8_t)(t->backoff + (t->backoff < 5));
    sm_session_slot_report(h, p, slot, false);
    if (t->timeouts >= DOWN_AFTER && !t->is_down) {
        if (other_works(p, slot)) {
            slot_down(h, p, slot);
        } else { /* the last that seemed to work: look again whether another does */
            for (unsigned i = 0; i < SM_HOST_SLOTS; i++) {
                p->slot[i].probe = h->now;
            }
        }
    }
}

void sm_session_flight_tick(struct sm_host *h, struct session *s)
{
    for (unsigned i = 0; i < SM_HOST_SLOTS; i++) {
        gaps_find(h, s, i);
        timeouts_find(h, s, i);
    }
}

/* -- acknowledgements -----------------------------------------------------------------------
 */

static void message_acked(struct sm_host *h, struct message *m, uint32_t frag)
{
    if (fragset_has(&m->acked, frag)) {
        return;
    }
    fragset_add(&m->acked, frag);
    fragset_drop(&m->todo, frag);
    m->acked_count++;
    if (fragset_is_empty(&m->todo)) {
        sm_session_queue_drop(h, m);
    }
    if (m->acked_count == m->frag_count && m->state == MESSAGE_ANSWER) {
        sm_session_message_free(h, m);
    }
}

static void sent_acked(struct sm_host *h, struct session *s, struct sent *e)
{
    struct peer *p = &h->peers[s->peer];
    struct slot *t = &p->slot[e->slot];
    struct flight *f = &s->flight[e->slot];
    struct message *m = sent_message(h, e);
    uint32_t before = t->inflight;
    sent_drop(h, s, e);
    if (f->seq_acked < e->slot_seq + 1) {
        f->seq_acked = e->slot_seq + 1;
    }
    slot_up(h, p, e->slot);
    window_grow(t, e->bytes, before);
    if (m != NULL) {
        message_acked(h, m, e->frag);
    }
}

/* The round trip of the highest that is newly acknowledged, less what the peer held it back:
 * the delay an ACK names is that of its largest number.  Any other out of order was answered
 * at once. */
static void ack_sample(struct sm_host *h, struct session *s, const struct sent *e,
                       uint32_t delay_us)
{
    uint64_t us = sm_between(e->at, h->now).ns / 1000u;
    uint64_t held = delay_us < ACK_DELAY.ns / 1000u ? delay_us : ACK_DELAY.ns / 1000u;
    sm_session_slot_sample(h, &h->peers[s->peer], e->slot, us > held ? us - held : 0);
}

enum sm_err sm_session_ack_apply(struct sm_host *h, struct session *s,
                                 const struct sm_frame_ack *ack)
{
    if (ack->range[0].high >= s->tx_number) {
        return SM_E_MALFORMED; /* never sent */
    }
    struct sent *r = ring(h, s);
    uint64_t low = s->tx_number > RING ? s->tx_number - RING : 0;
    low = low > s->settled ? low : s->settled;
    bool is_highest = true;
    for (uint32_t i = 0; i < ack->n; i++) {
        for (uint64_t n = ack->range[i].high + 1; n > ack->range[i].low && n > low; n--) {
            struct sent *e = &r[(n - 1) % RING];
            if (e->state == SENT_FREE || e->number != n - 1) {
                continue;
            }
            if (is_highest) {
                ack_sample(h, s, e, n - 1 == ack->range[0].high ? ack->delay_us : 0);
                is_highest = false;
            }
            sent_acked(h, s, e);
        }
    }
    while (s->settled < s->tx_number) {
        const struct sent *e = &r[s->settled % RING];
        if (e->state != SENT_FREE && e->number == s->settled) {
            break;
        }
        s->settled++;
    }
    for (unsigned i = 0; i < SM_HOST_SLOTS; i++) {
        gaps_find(h, s, i);
    }
    sm_session_active_add(h, &h->peers[s->peer]);
    return SM_OK;
}

/* -- what goes out --------------------------------------------------------------------------
 */

/* Seal a frame into h->out; false when the session can carry no more. */
static bool seal(struct sm_host *h, struct session *s, unsigned slot, uint8_t flags,
                 struct sm_view plain, struct sm_host_out *out)
{
    struct sm_frag_head head = {
        .type = SM_FRAG_DATA_SEALED,
        .flags = flags,
        .slot = (uint8_t)slot,
        .session = s->remote_id,
        .number = s->tx_number,
    };
    assert(plain.n <= SM_FRAG_PLAIN_MAX);
    sm_frag_head_write(&head, h->out);
    if (sealed_count(s) >= HARD_COUNT ||
        sm_aead_seal(&s->tx, s->tx_number, sm_view_of(h->out, SM_FRAG_HEAD), plain,
                     h->out + SM_FRAG_HEAD) != SM_OK) {
        return false;
    }
    s->tx_number++;
    s->last_tx = h->now;
    *out = (struct sm_host_out){.kind = SM_HOST_PACKET};
    out->packet.dst = h->peers[s->peer].addr;
    out->packet.slot = (uint8_t)slot;
    out->packet.bytes = sm_view_of(h->out, SM_FRAG_HEAD + plain.n + SM_FRAG_TAG);
    return true;
}

static bool ack_send(struct sm_host *h, struct session *s, struct sm_host_out *out)
{
    if (s->wants_ack == 0) {
        return false;
    }
    unsigned slot = (unsigned)__builtin_ctz(s->wants_ack);
    s->wants_ack &= (uint8_t)(s->wants_ack - 1);
    s->owed[slot].n = 0;
    uint64_t us = sm_between(s->largest_at, h->now).ns / 1000u;
    struct sm_frame_ack ack = {.delay_us = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us};
    uint64_t from = UINT64_MAX, low = 0, high = 0;
    while (ack.n < SM_FRAG_RANGES && sm_window_run(&s->seen, from, &low, &high)) {
        ack.range[ack.n++] = (struct sm_frame_range){low, high};
        if (low == 0) {
            break;
        }
        from = low - 1;
    }
    if (ack.n == 0) {
        return false;
    }
    uint8_t room[16 + SM_FRAG_RANGES * 8];
    struct sm_wr w = sm_wr_init(room, sizeof room);
    enum sm_err err = sm_frame_ack_write(&ack, &w);
    assert(err == SM_OK);
    const struct peer *p = &h->peers[s->peer];
    slot = p->slot[slot].is_absent ? sm_session_slot_next_usable(p, slot) : slot;
    return seal(h, s, slot, 0, sm_view_of(room, w.n), out);
}

static bool ping_send(struct sm_host *h, struct session *s, struct sm_host_out *out)
{
    if (s->wants_ping == 0) {
        return false;
    }
    unsigned slot = (unsigned)__builtin_ctz(s->wants_ping);
    s->wants_ping &= (uint8_t)(s->wants_ping - 1);
    uint64_t number = s->tx_number;
    uint8_t ping = SM_FRAME_PING;
    if (!seal(h, s, slot, SM_FRAG_ACK_NOW, sm_view_of(&ping, 1), out)) {
        return false;
    }
    sent_add(h, s, number,
             (struct sent){.state = SENT_PING,
                           .message = SM_NONE,
                           .bytes = SM_FRAG_HEAD + 1 + SM_FRAG_TAG,
                           .slot = (uint8_t)slot});
    return true;
}

static bool close_send(struct sm_host *h, struct session *s, struct sm_host_out *out)
{
    if (!s->wants_close) {
        return false;
    }
    uint8_t frame = SM_FRAME_CLOSE;
    unsigned slot = sm_session_slot_next_usable(&h->peers[s->peer], SM_HOST_SLOTS - 1);
    bool is_sent = seal(h, s, slot, 0, sm_view_of(&frame, 1), out);
    sm_session_free(h, s);
    return is_sent;
}

static bool control_send(struct sm_host *h, struct sm_host_out *out)
{
    while (h->control.head != SM_NONE) {
        struct session *s = &h->sessions[h->control.head];
        bool is_up = s->state == SESSION_UP;
        if (sm_session_hs_next(h, s, out) ||
            (is_up && (ack_send(h, s, out) || ping_send(h, s, out))) || close_send(h, s, out)) {
            return true;
        }
        sm_session_control_drop(h, s);
    }
    return false;
}

static bool reset_send(struct sm_host *h, struct sm_host_out *out)
{
    if (h->reset_count == 0) {
        return false;
    }
    h->reset_count--;
    struct sm_frag_head head = {
        .type = SM_FRAG_RESET,
        .session = h->reset[h->reset_count].session,
        .number = h->reset[h->reset_count].number,
    };
    sm_frag_head_write(&head, h->out);
    *out = (struct sm_host_out){.kind = SM_HOST_PACKET};
    out->packet.dst = h->reset[h->reset_count].dst;
    out->packet.slot = h->reset[h->reset_count].slot;
    out->packet.bytes = sm_view_of(h->out, SM_FRAG_HEAD);
    return true;
}

/* A new key after so many fragments or so much time; the opener is a little earlier, so that
 * the two sides seldom open at once. */
void sm_session_rekey_if_due(struct sm_host *h, struct peer *p, const struct session *s)
{
    struct sm_dur age = {h->cfg.rekey.ns + (s->is_opener ? 0 : h->cfg.rekey.ns / 4)};
    if (sealed_count(s) >= REKEY_COUNT || sm_is_due(sm_after(s->up, age), h->now)) {
        sm_session_want(h, p);
    }
}

static bool fragment_send(struct sm_host *h, struct peer *p, struct sm_host_out *out)
{
    uint32_t i = p->small.head != SM_NONE ? p->small.head : p->bulk.head;
    if (p->current == SM_NONE || i == SM_NONE) {
        return false;
    }
    struct session *s = &h->sessions[p->current];
    struct message *m = &h->messages[i];
    sm_session_rekey_if_due(h, p, s);
    uint32_t frag = fragset_first(&m->todo);
    uint32_t left = m->total - frag * SM_FRAG_DATA;
    uint32_t len = SM_FRAG_MSG_HEAD + (left < SM_FRAG_DATA ? left : SM_FRAG_DATA);
    unsigned slot = slot_pick(p, len, m->avoid[frag]);
    if (slot == NO_SLOT) {
        return false;
    }
    struct slot *t = &p->slot[slot];
    bool is_tail = m->frag_count > 1 && frag + 1 == m->frag_count;
    bool waits = !t->has_rtt || is_tail || t->inflight + 2 * len > t->cwnd;
    uint64_t number = s->tx_number;
    struct sm_view plain =
        sm_view_of(sm_pool_at(&h->pool, m->run) + (size_t)frag * STRIDE, len);
    if (!seal(h, s, slot, waits ? SM_FRAG_ACK_NOW : 0, plain, out)) {
        sm_session_want(h, p);
        return false;
    }
    fragset_drop(&m->todo, frag);
    if (fragset_is_empty(&m->todo)) {
        sm_session_queue_drop(h, m);
    }
    sent_add(h, s, number,
             (struct sent){.state = SENT_FRAGMENT,
                           .message = i,
                           .generation = m->generation,
                           .frag = (uint8_t)frag,
                           .bytes = len,
                           .slot = (uint8_t)slot});
    h->stats.sent++;
    return true;
}

bool sm_session_send_next(struct sm_host *h, struct sm_host_out *out)
{
    if (reset_send(h, out) || control_send(h, out)) {
        return true;
    }
    while (h->active.head != SM_NONE && h->inflight < h->cfg.inflight_bytes) {
        struct peer *p = &h->peers[h->active.head];
        sm_session_active_drop(h, p);
        if (fragment_send(h, p, out)) {
            sm_session_active_add(h, p); /* at the end: peers take turns */
            return true;
        }
    }
    return false;
}
