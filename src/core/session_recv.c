// SPDX-License-Identifier: Apache-2.0
#include "core/session_int.h"

#include <string.h>

#define RESET_GAP SM_MS(5) /* between hints; they are cheaper than what caused them */

/* -- messages -------------------------------------------------------------------------------
 */

/* What becomes of a frame that was opened: only what was TAKEN is acknowledged. */
enum fate { TAKEN, NO_ROOM, BROKEN };

static struct asked *asked_find(struct sm_host *h, const struct peer *p, uint64_t wire_id)
{
    for (uint32_t i = p->asked.head; i != SM_NONE; i = h->asked[i].of_peer.next) {
        if (h->asked[i].wire_id == wire_id) {
            return &h->asked[i];
        }
    }
    return NULL;
}

/* Say no and remember the id, so that the rest of the message is dropped. */
static enum fate request_refuse(struct sm_host *h, struct peer *p,
                                const struct sm_frame_message *m, enum sm_err err)
{
    struct sm_mono until = sm_after(h->now, SM_S(10));
    if (sm_session_answer_send(h, p, m->id, m->cookie, until, err, (struct sm_view){0}) !=
        SM_OK) {
        return NO_ROOM;
    }
    sm_window_mark(&p->ids, m->id);
    return TAKEN;
}

static enum fate request_begin(struct sm_host *h, struct peer *p,
                               const struct sm_frame_message *m, struct asked **out)
{
    if (h->cfg.may_open != NULL && !h->cfg.may_open(h->cfg.ctx, p->dh_key)) {
        return request_refuse(h, p, m, SM_E_REFUSED); /* we opened the session, not they */
    }
    bool is_over = p->asked_bytes > 0 && p->asked_bytes + m->total > h->cfg.peer_bytes;
    struct assembly body = {0};
    if (is_over ||
        sm_session_assembly_begin(h, &body, m->total, h->cfg.pool_bytes / 4) != SM_OK) {
        return request_refuse(h, p, m, SM_E_BUSY);
    }
    struct asked *a = sm_session_asked_take(h, p);
    if (a == NULL) {
        sm_session_assembly_end(h, &body);
        return request_refuse(h, p, m, SM_E_BUSY);
    }
    sm_window_mark(&p->ids, m->id);
    a->body = body;
    a->wire_id = m->id;
    a->cookie = m->cookie;
    a->service = m->service;
    a->until = sm_after(h->now, SM_MS(m->word));
    p->asked_bytes += m->total;
    arm(h, a->until);
    arm(h, sm_after(h->now, ASSEMBLY_AGE));
    *out = a;
    return TAKEN;
}

static enum fate request_fragment(struct sm_host *h, struct peer *p,
                                  const struct sm_frame_message *m)
{
    struct asked *a = asked_find(h, p, m->id);
    if (a == NULL) {
        if (!sm_window_is_new(&p->ids, m->id)) {
            h->stats.duplicates++;
            return TAKEN;
        }
        enum fate fate = request_begin(h, p, m, &a);
        if (a == NULL) {
            return fate;
        }
    }
    if (a->state != ASKED_COMING) {
        h->stats.duplicates++;
        return TAKEN;
    }
    if (m->total != a->body.total) {
        return BROKEN;
    }
    if (sm_session_assembly_add(h, &a->body, m->offset, m->data)) {
        a->progress = h->now;
    } else {
        h->stats.duplicates++;
    }
    if (assembly_is_whole(&a->body)) {
        sm_session_asked_is_ready(h, a);
    }
    return TAKEN;
}

static enum fate response_fragment(struct sm_host *h, struct peer *p,
                                   const struct sm_frame_message *m)
{
    if (m->cookie >= h->cfg.messages) {
        return BROKEN;
    }
    struct message *q = &h->messages[m->cookie];
    if (q->state != MESSAGE_REQUEST || q->peer != index_of_peer(h, p) || q->wire_id != m->id) {
        h->stats.duplicates++; /* answered before, or given up */
        return TAKEN;
    }
    if (q->answer.frag_count > 0 && q->answer.total != m->total) {
        sm_session_assembly_end(
            h, &q->answer); /* asked again of a peer that forgot: another answer */
    }
    if (q->answer.frag_count == 0 &&
        sm_session_assembly_begin(h, &q->answer, m->total, 0) != SM_OK) {
        return NO_ROOM;
    }
    if (!sm_session_assembly_add(h, &q->answer, m->offset, m->data)) {
        h->stats.duplicates++;
    }
    if (assembly_is_whole(&q->answer)) {
        sm_session_request_finish(h, q, sm_err_from_i32((int)m->word));
    }
    return TAKEN;
}

/* -- frames ---------------------------------------------------------------------------------
 */

static enum fate frame_take(struct sm_host *h, struct session *s, const struct sm_frame *f)
{
    struct peer *p = &h->peers[s->peer];
    switch (f->kind) {
    case SM_FRAME_REQUEST:
        return request_fragment(h, p, &f->message);
    case SM_FRAME_RESPONSE:
        return response_fragment(h, p, &f->message);
    case SM_FRAME_ACK:
        return sm_session_ack_apply(h, s, &f->ack) == SM_OK ? TAKEN : BROKEN;
    case SM_FRAME_PING:
    case SM_FRAME_CLOSE:
        break;
    }
    return TAKEN;
}

/* An acknowledgement is owed: at once when the sender waits or something seems missing. */
static void ack_owe(struct sm_host *h, struct session *s, const struct sm_frag_head *head,
                    bool is_gap)
{
    struct owed *o = &s->owed[head->slot];
    if (o->n++ == 0) {
        o->at = sm_after(h->now, ACK_DELAY);
        arm(h, o->at);
    }
    if ((head->flags & SM_FRAG_ACK_NOW) != 0 || o->n >= ACK_EVERY || is_gap) {
        s->wants_ack |= (uint8_t)(1u << head->slot);
        sm_session_control_add(h, s);
    }
}

/* Remember the number, which is new and proven. */
static void number_take(struct sm_host *h, struct session *s, const struct sm_frag_head *head,
                        bool is_asking)
{
    bool is_gap = head->number != s->seen.top;
    if (head->number >= s->seen.top) {
        s->largest_at = h->now;
    }
    sm_window_mark(&s->seen, head->number);
    if (is_asking) {
        ack_owe(h, s, head, is_gap);
    }
}

void sm_session_heard(struct sm_host *h, struct session *s)
{
    struct peer *p = &h->peers[s->peer];
    bool is_waiting = false;
    for (unsigned i = 0; i < SM_HOST_SLOTS; i++) {
        is_waiting = is_waiting || p->slot[i].inflight > 0;
    }
    p->waiting_since = is_waiting ? h->now : SM_NEVER;
    if (is_waiting) {
        arm(h, sm_after(h->now, SUSPECT_AFTER));
    }
    s->last_rx = h->now;
    p->last_used = h->now;
}

static void frame_in(struct sm_host *h, struct session *s, const struct sm_frag_head *head,
                     struct sm_view plain)
{
    if (s->state == SESSION_HALF) {
        sm_session_up(h, s); /* the opener has our message 2: nobody else could seal this */
    }
    struct sm_frame f;
    enum fate fate = sm_frame_read(plain, &f) == SM_OK ? frame_take(h, s, &f) : BROKEN;
    if (fate == BROKEN) {
        h->stats.refused_packets++;
        return;
    }
    sm_session_heard(h, s);
    if (fate == NO_ROOM) {
        return;
    }
    h->stats.received += f.kind == SM_FRAME_REQUEST || f.kind == SM_FRAME_RESPONSE;
    number_take(h, s, head, f.kind != SM_FRAME_ACK && f.kind != SM_FRAME_CLOSE);
    if (f.kind == SM_FRAME_CLOSE) {
        sm_session_free(h, s);
    }
}

/* A sealed packet for a session we do not know: hint at it, but not often. */
static void reset_hint(struct sm_host *h, struct sm_addr src, const struct sm_frag_head *head)
{
    h->stats.refused_packets++;
    if (h->reset_count == RESETS || !sm_is_due(h->reset_after, h->now)) {
        return;
    }
    h->reset_after = sm_after(h->now, RESET_GAP);
    h->reset[h->reset_count].dst = src;
    h->reset[h->reset_count].session = head->session;
    h->reset[h->reset_count].number = head->number;
    h->reset[h->reset_count].slot = head->slot;
    h->reset_count++;
}

struct session *sm_session_recv_find(struct sm_host *h, struct sm_addr src,
                                     const struct sm_frag_head *head, size_t packet_n)
{
    struct session *s = sm_session_by_id(h, head->session);
    if (s == NULL) {
        reset_hint(h, src, head);
        return NULL;
    }
    if (s->state == SESSION_OPENING || s->state == SESSION_CLOSING ||
        !sm_addr_eq(h->peers[s->peer].addr, src) || packet_n < SM_FRAG_HEAD + SM_FRAG_TAG) {
        h->stats.refused_packets++;
        return NULL;
    }
    return s;
}

void sm_session_recv_data(struct sm_host *h, struct sm_addr src,
                          const struct sm_frag_head *head, struct sm_view packet)
{
    struct session *s = sm_session_recv_find(h, src, head, packet.n);
    if (s == NULL) {
        return;
    }
    if (!sm_window_is_new(&s->seen, head->number)) {
        h->stats.refused_replays++;
        return;
    }
    struct sm_view ad = sm_view_sub(packet, 0, SM_FRAG_HEAD);
    struct sm_view sealed = sm_view_sub(packet, SM_FRAG_HEAD, packet.n);
    if (sm_aead_open(&s->rx, head->number, ad, sealed, h->plain) != SM_OK) {
        h->stats.refused_sealed++;
        return;
    }
    frame_in(h, s, head, sm_view_of(h->plain, sealed.n - SM_FRAG_TAG));
}

/* Only who sees our packets knows the peer's number for the session and a number in flight.
 * Even so it proves nothing: the old session stays until a new one is up. */
void sm_session_recv_reset(struct sm_host *h, struct sm_addr src,
                           const struct sm_frag_head *head)
{
    for (uint32_t i = 0; i < h->session_top; i++) {
        struct session *s = &h->sessions[i];
        if (s->state != SESSION_UP || s->remote_id != head->session ||
            !sm_addr_eq(h->peers[s->peer].addr, src) || head->number >= s->tx_number ||
            s->tx_number - head->number > RING) {
            continue;
        }
        if (h->peers[s->peer].current == i) {
            sm_session_doubt(h, s);
        }
        return;
    }
    h->stats.refused_packets++;
}
