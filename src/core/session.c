// SPDX-License-Identifier: Apache-2.0
#include "core/session_int.h"

#include "crypto/secret.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(SM_HOST_BODY_MAX == SM_FRAG_MESSAGE_MAX, "the contract and the grammar agree");

enum {
    STRIDE = SM_FRAG_MSG_HEAD + SM_FRAG_DATA, /* of a fragment in a message's run */
    SPARE_SHARE = 4, /* a quarter of room is kept for answers, or nothing would complete */
};

/* -- lists -------------------------------------------------------------------------------- */

#define LIST_FUNCTIONS(name, type, table, member)                                              \
    static void name##_push(struct sm_host *h, struct list *l, struct type *x)                 \
    {                                                                                          \
        uint32_t i = (uint32_t)(x - h->table);                                                 \
        assert(!x->member.is_in);                                                              \
        x->member = (struct link){l->tail, SM_NONE, true};                                     \
        if (l->tail != SM_NONE) {                                                              \
            h->table[l->tail].member.next = i;                                                 \
        } else {                                                                               \
            l->head = i;                                                                       \
        }                                                                                      \
        l->tail = i;                                                                           \
    }                                                                                          \
    static void name##_remove(struct sm_host *h, struct list *l, struct type *x)               \
    {                                                                                          \
        if (!x->member.is_in) {                                                                \
            return;                                                                            \
        }                                                                                      \
        if (x->member.prev != SM_NONE) {                                                       \
            h->table[x->member.prev].member.next = x->member.next;                             \
        } else {                                                                               \
            l->head = x->member.next;                                                          \
        }                                                                                      \
        if (x->member.next != SM_NONE) {                                                       \
            h->table[x->member.next].member.prev = x->member.prev;                             \
        } else {                                                                               \
            l->tail = x->member.prev;                                                          \
        }                                                                                      \
        x->member = (struct link){SM_NONE, SM_NONE, false};                                    \
    }

static const struct list EMPTY = {SM_NONE, SM_NONE};

LIST_FUNCTIONS(active, peer, peers, of_active)
LIST_FUNCTIONS(report, peer, peers, of_report)
LIST_FUNCTIONS(control, session, sessions, of_control)
LIST_FUNCTIONS(queue, message, messages, of_queue)
LIST_FUNCTIONS(peer_message, message, messages, of_peer)
LIST_FUNCTIONS(peer_asked, asked, asked, of_peer)
LIST_FUNCTIONS(ready, asked, asked, of_ready)

void active_add(struct sm_host *h, struct peer *p)
{
    if (!p->of_active.is_in) {
        active_push(h, &h->active, p);
    }
}

void active_drop(struct sm_host *h, struct peer *p)
{
    active_remove(h, &h->active, p);
}

void control_add(struct sm_host *h, struct session *s)
{
    if (!s->of_control.is_in) {
        control_push(h, &h->control, s);
    }
}

void control_drop(struct sm_host *h, struct session *s)
{
    control_remove(h, &h->control, s);
}

void report_add(struct sm_host *h, struct peer *p)
{
    if (!p->of_report.is_in) {
        report_push(h, &h->reports, p);
    }
}

/* Small messages do not wait behind large ones. */
struct list *queue_of(struct sm_host *h, struct message *m)
{
    struct peer *p = &h->peers[m->peer];
    return m->frag_count == 1 ? &p->small : &p->bulk;
}

void queue_add(struct sm_host *h, struct message *m)
{
    if (!m->of_queue.is_in) {
        queue_push(h, queue_of(h, m), m);
    }
}

void queue_drop(struct sm_host *h, struct message *m)
{
    queue_remove(h, queue_of(h, m), m);
}

struct fragset fragset_all(uint32_t count)
{
    assert(count > 0 && count <= SM_FRAG_COUNT_MAX);
    struct fragset f;
    f.w[0] = count >= 64 ? UINT64_MAX : ((uint64_t)1 << count) - 1;
    f.w[1] = count > 64 ? ((uint64_t)1 << (count - 64)) - 1 : 0;
    return f;
}

/* -- assemblies ---------------------------------------------------------------------------- */

enum sm_err assembly_begin(struct sm_host *h, struct assembly *a, uint32_t total, size_t spare)
{
    struct sm_run run = sm_pool_take(&h->pool, total, spare);
    if (run.page_count == 0) {
        return SM_E_BUSY;
    }
    *a = (struct assembly){.run = run, .total = total, .frag_count = sm_frag_count(total)};
    return SM_OK;
}

void assembly_end(struct sm_host *h, struct assembly *a)
{
    if (a->run.page_count > 0) {
        sm_pool_give(&h->pool, &a->run);
    }
    *a = (struct assembly){0};
}

bool assembly_add(struct sm_host *h, struct assembly *a, uint32_t offset, struct sm_view data)
{
    uint32_t i = offset / SM_FRAG_DATA;
    assert(i < a->frag_count && offset + data.n <= a->total);
    if (fragset_has(&a->have, i)) {
        return false;
    }
    if (data.n > 0) {
        memcpy(sm_pool_at(&h->pool, a->run) + offset, data.p, data.n);
    }
    fragset_add(&a->have, i);
    a->have_count++;
    return true;
}

/* -- peers --------------------------------------------------------------------------------- */

bool peer_has_work(const struct peer *p)
{
    return p->messages.head != SM_NONE || p->asked.head != SM_NONE;
}

struct peer *peer_find(struct sm_host *h, struct sm_addr addr, const uint8_t key[static 32])
{
    for (uint32_t i = 0; i < h->peer_top; i++) {
        struct peer *p = &h->peers[i];
        if (p->is_used && sm_addr_eq(p->addr, addr) && memcmp(p->dh_key, key, 32) == 0) {
            return p;
        }
    }
    return NULL;
}

static void peer_drop_sessions(struct sm_host *h, struct peer *p)
{
    uint32_t self = index_of_peer(h, p);
    for (uint32_t i = 0; i < h->session_top; i++) {
        if (h->sessions[i].state != SESSION_FREE && h->sessions[i].peer == self) {
            session_free(h, &h->sessions[i]);
        }
    }
}

static void peer_clear(struct sm_host *h, struct peer *p)
{
    assert(!peer_has_work(p));
    active_remove(h, &h->active, p);
    report_remove(h, &h->reports, p);
    p->is_used = false;
    while (h->peer_top > 0 && !h->peers[h->peer_top - 1].is_used) {
        h->peer_top--;
    }
    h->stats.peers--;
}

void peer_free_if_unused(struct sm_host *h, struct peer *p)
{
    if (p->is_used && !peer_has_work(p) && p->session_count == 0) {
        peer_clear(h, p);
    }
}

/* A free place, or that of the peer without work that was used the longest ago. */
static struct peer *peer_place(struct sm_host *h)
{
    struct peer *idle = NULL;
    for (uint32_t i = 0; i < h->cfg.sessions; i++) {
        struct peer *p = &h->peers[i];
        if (!p->is_used) {
            return p;
        }
        if (!peer_has_work(p) && (idle == NULL || p->last_used.ns < idle->last_used.ns)) {
            idle = p;
        }
    }
    if (idle != NULL) {
        h->stats.evicted++;
        peer_drop_sessions(h, idle);
        if (idle->is_used) {
            peer_clear(h, idle);
        }
    }
    return idle;
}

/* Find or make; NULL when every place has work. */
struct peer *peer_take(struct sm_host *h, struct sm_addr addr, const uint8_t key[static 32])
{
    struct peer *p = peer_find(h, addr, key);
    if (p != NULL) {
        return p;
    }
    p = peer_place(h);
    if (p == NULL) {
        return NULL;
    }
    *p = (struct peer){
        .is_used = true,
        .addr = addr,
        .current = SM_NONE,
        .opening = SM_NONE,
        /* Ids rise for as long as this key lives, also when a peer is forgotten and comes
         * back: no host makes a request every nanosecond. */
        .next_id = h->now.ns + 1,
        .messages = EMPTY,
        .asked = EMPTY,
        .small = EMPTY,
        .bulk = EMPTY,
        .waiting_since = SM_NEVER,
        .all_absent = SM_NEVER,
        .last_used = h->now,
    };
    memcpy(p->dh_key, key, 32);
    uint32_t i = index_of_peer(h, p);
    h->peer_top = i < h->peer_top ? h->peer_top : i + 1;
    for (unsigned j = 0; j < SM_HOST_SLOTS; j++) {
        slot_reset(&p->slot[j]);
    }
    h->stats.peers++;
    return p;
}

void peer_fail(struct sm_host *h, struct peer *p, enum sm_err err)
{
    for (uint32_t i = p->messages.head, next; i != SM_NONE; i = next) {
        struct message *m = &h->messages[i];
        next = m->of_peer.next;
        if (m->state == MESSAGE_REQUEST) {
            request_finish(h, m, err);
        } else if (m->state == MESSAGE_ANSWER) {
            message_free(h, m);
        }
    }
}

/* -- our messages -------------------------------------------------------------------------- */

static struct message *message_take(struct sm_host *h, struct peer *p)
{
    uint32_t i = h->free_message;
    if (i == SM_NONE) {
        return NULL;
    }
    struct message *m = &h->messages[i];
    h->free_message = m->of_peer.next;
    *m = (struct message){.generation = m->generation + 1, .peer = index_of_peer(h, p)};
    memset(m->avoid, 0xff, sizeof m->avoid);
    peer_message_push(h, &p->messages, m);
    return m;
}

static void message_uncount(struct sm_host *h, struct message *m)
{
    struct peer *p = &h->peers[m->peer];
    if (m->state == MESSAGE_REQUEST) {
        p->request_count--;
        p->request_bytes -= m->total;
        h->stats.requests_out--;
    } else if (m->state == MESSAGE_ANSWER) {
        p->answer_count--;
        p->answer_bytes -= m->total;
    }
}

void message_free(struct sm_host *h, struct message *m)
{
    struct peer *p = &h->peers[m->peer];
    assert(m->state == MESSAGE_REQUEST || m->state == MESSAGE_ANSWER);
    message_uncount(h, m);
    queue_drop(h, m);
    peer_message_remove(h, &p->messages, m);
    if (m->run.page_count > 0) {
        sm_pool_give(&h->pool, &m->run);
    }
    assembly_end(h, &m->answer);
    m->state = MESSAGE_FREE;
    m->of_peer.next = h->free_message;
    h->free_message = index_of_message(h, m);
}

/* The request is over: its RESPONSE waits for sm_host_next, apart from its peer. */
void request_finish(struct sm_host *h, struct message *m, enum sm_err err)
{
    assert(m->state == MESSAGE_REQUEST);
    struct peer *p = &h->peers[m->peer];
    message_uncount(h, m);
    queue_drop(h, m);
    peer_message_remove(h, &p->messages, m);
    if (m->run.page_count > 0) {
        sm_pool_give(&h->pool, &m->run);
    }
    if (!assembly_is_whole(&m->answer)) {
        assembly_end(h, &m->answer);
    }
    m->err = err;
    m->state = MESSAGE_FINISHED;
    queue_push(h, &h->finished, m);
}

static uint64_t handle_make(uint32_t generation, uint32_t index)
{
    return (uint64_t)generation << 32 | index;
}

/* Lay the body out as fragments, each with room for its head, and queue it. */
static enum sm_err message_fill(struct sm_host *h, struct message *m,
                                const struct sm_frame_message *head, struct sm_view body,
                                size_t spare)
{
    uint32_t count = sm_frag_count((uint32_t)body.n);
    m->run = sm_pool_take(&h->pool, body.n + (size_t)count * SM_FRAG_MSG_HEAD, spare);
    if (m->run.page_count == 0) {
        return SM_E_BUSY;
    }
    struct sm_frame_message f = *head;
    f.total = (uint32_t)body.n;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *at = sm_pool_at(&h->pool, m->run) + (size_t)i * STRIDE;
        f.offset = i * SM_FRAG_DATA;
        struct sm_view part = sm_view_sub(body, f.offset, SM_FRAG_DATA);
        sm_frame_message_head(&f, at);
        if (part.n > 0) {
            memcpy(at + SM_FRAG_MSG_HEAD, part.p, part.n);
        }
    }
    m->wire_id = f.id;
    m->total = f.total;
    m->frag_count = count;
    m->todo = fragset_all(count);
    return SM_OK;
}

static void message_undo(struct sm_host *h, struct peer *p, struct message *m)
{
    peer_message_remove(h, &p->messages, m);
    m->of_peer.next = h->free_message;
    h->free_message = index_of_message(h, m);
}

static void message_go(struct sm_host *h, struct peer *p, struct message *m)
{
    queue_add(h, m);
    arm(h, m->deadline);
    p->last_used = h->now;
    active_add(h, p);
    if (p->current == SM_NONE) {
        session_want(h, p);
    }
}

static size_t pool_spare(const struct sm_host *h)
{
    return h->cfg.pool_bytes / SPARE_SHARE;
}

enum sm_err sm_host_request(struct sm_host *h, struct sm_mono now, struct sm_addr dst,
                            const uint8_t dh_key[static 32], uint8_t service,
                            struct sm_view body, struct sm_dur deadline, uint64_t *out)
{
    h->now = now;
    if (body.n > SM_HOST_BODY_MAX || deadline.ns == 0 || sm_addr_eq(dst, h->cfg.self)) {
        return SM_E_INVALID;
    }
    struct peer *p = peer_take(h, dst, dh_key);
    uint32_t most = h->cfg.messages - h->cfg.messages / SPARE_SHARE;
    if (p == NULL || h->stats.requests_out >= most ||
        p->request_count >= h->cfg.peer_requests ||
        (p->request_count > 0 && p->request_bytes + body.n > h->cfg.peer_bytes)) {
        return SM_E_BUSY;
    }
    struct message *m = message_take(h, p);
    if (m == NULL) {
        return SM_E_BUSY;
    }
    uint64_t ms = deadline.ns / 1000000u;
    struct sm_frame_message head = {
        .kind = SM_FRAME_REQUEST,
        .service = service,
        .id = p->next_id++,
        .word = ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms,
        .cookie = index_of_message(h, m),
    };
    enum sm_err err = message_fill(h, m, &head, body, pool_spare(h));
    if (err != SM_OK) {
        message_undo(h, p, m);
        return err;
    }
    m->state = MESSAGE_REQUEST;
    m->deadline = sm_after(now, deadline);
    p->request_count++;
    p->request_bytes += body.n;
    h->stats.requests_out++;
    message_go(h, p, m);
    *out = handle_make(m->generation, index_of_message(h, m));
    return SM_OK;
}

enum sm_err answer_send(struct sm_host *h, struct peer *p, uint64_t wire_id, uint32_t cookie,
                        struct sm_mono until, enum sm_err err, struct sm_view body)
{
    if (body.n > 0 && p->answer_count > 0 && p->answer_bytes + body.n > h->cfg.reply_bytes) {
        return SM_E_BUSY;
    }
    struct message *m = message_take(h, p);
    if (m == NULL) {
        return SM_E_BUSY;
    }
    struct sm_frame_message head = {
        .kind = SM_FRAME_RESPONSE, .id = wire_id, .word = (uint32_t)(int)err, .cookie = cookie};
    enum sm_err filled = message_fill(h, m, &head, body, body.n > 0 ? pool_spare(h) / 2 : 0);
    if (filled != SM_OK) {
        message_undo(h, p, m);
        return filled;
    }
    m->state = MESSAGE_ANSWER;
    m->deadline = until;
    p->answer_count++;
    p->answer_bytes += m->total;
    message_go(h, p, m);
    return SM_OK;
}

/* -- their requests ------------------------------------------------------------------------ */

struct asked *asked_take(struct sm_host *h, struct peer *p)
{
    uint32_t i = h->free_asked;
    if (i == SM_NONE || p->asked_count >= h->cfg.peer_requests) {
        return NULL;
    }
    struct asked *a = &h->asked[i];
    h->free_asked = a->of_peer.next;
    *a = (struct asked){.generation = a->generation + 1,
                        .peer = index_of_peer(h, p),
                        .state = ASKED_COMING,
                        .progress = h->now};
    peer_asked_push(h, &p->asked, a);
    p->asked_count++;
    p->last_used = h->now;
    h->stats.requests_in++;
    return a;
}

void asked_free(struct sm_host *h, struct asked *a)
{
    struct peer *p = &h->peers[a->peer];
    assert(a->state != ASKED_FREE);
    if (a->state == ASKED_COMING || a->state == ASKED_READY) {
        p->asked_bytes -= a->body.total;
    }
    ready_remove(h, &h->ready, a);
    peer_asked_remove(h, &p->asked, a);
    assembly_end(h, &a->body);
    p->asked_count--;
    h->stats.requests_in--;
    a->state = ASKED_FREE;
    a->of_peer.next = h->free_asked;
    h->free_asked = index_of_asked(h, a);
}

void asked_is_ready(struct sm_host *h, struct asked *a)
{
    assert(a->state == ASKED_COMING && assembly_is_whole(&a->body));
    a->state = ASKED_READY;
    ready_push(h, &h->ready, a);
}

enum sm_err sm_host_reply(struct sm_host *h, struct sm_mono now, uint64_t handle,
                          enum sm_err err, struct sm_view body)
{
    h->now = now;
    if (body.n > SM_HOST_BODY_MAX) {
        return SM_E_INVALID;
    }
    uint32_t i = (uint32_t)handle;
    if (i >= h->cfg.requests) {
        return SM_E_NOTFOUND;
    }
    struct asked *a = &h->asked[i];
    if (a->state != ASKED_WAITING || a->generation != (uint32_t)(handle >> 32)) {
        return SM_E_NOTFOUND;
    }
    struct peer *p = &h->peers[a->peer];
    enum sm_err sent = answer_send(h, p, a->wire_id, a->cookie, a->until, err, body);
    if (sent != SM_OK) {
        enum sm_err told =
            answer_send(h, p, a->wire_id, a->cookie, a->until, SM_E_BUSY, (struct sm_view){0});
        (void)told; /* no room even for that: the asker's deadline tells it */
    }
    asked_free(h, a);
    return sent;
}

/* -- out ------------------------------------------------------------------------------------
 */

/* The caller has seen what it was lent. */
static void take_back(struct sm_host *h)
{
    if (h->lent.page_count > 0) {
        sm_pool_give(&h->pool, &h->lent);
    }
}

static bool next_response(struct sm_host *h, struct sm_host_out *out)
{
    if (h->finished.head == SM_NONE) {
        return false;
    }
    struct message *m = &h->messages[h->finished.head];
    queue_remove(h, &h->finished, m);
    *out = (struct sm_host_out){.kind = SM_HOST_RESPONSE};
    out->response.id = handle_make(m->generation, index_of_message(h, m));
    out->response.err = m->err;
    if (assembly_is_whole(&m->answer)) {
        h->lent = m->answer.run;
        out->response.body = sm_view_of(sm_pool_at(&h->pool, h->lent), m->answer.total);
    }
    m->answer = (struct assembly){0};
    m->state = MESSAGE_FREE;
    m->of_peer.next = h->free_message;
    h->free_message = index_of_message(h, m);
    return true;
}

static bool next_request(struct sm_host *h, struct sm_host_out *out)
{
    if (h->ready.head == SM_NONE) {
        return false;
    }
    struct asked *a = &h->asked[h->ready.head];
    struct peer *p = &h->peers[a->peer];
    ready_remove(h, &h->ready, a);
    *out = (struct sm_host_out){.kind = SM_HOST_REQUEST};
    out->request.handle = handle_make(a->generation, index_of_asked(h, a));
    out->request.peer = &p->passport;
    out->request.service = a->service;
    out->request.time_left = sm_between(h->now, a->until);
    h->lent = a->body.run;
    out->request.body = sm_view_of(sm_pool_at(&h->pool, h->lent), a->body.total);
    p->asked_bytes -= a->body.total;
    a->body = (struct assembly){0};
    a->state = ASKED_WAITING;
    return true;
}

static bool next_report(struct sm_host *h, struct sm_host_out *out)
{
    if (h->reports.head == SM_NONE) {
        return false;
    }
    struct peer *p = &h->peers[h->reports.head];
    for (unsigned i = 0; i < SM_HOST_SLOTS; i++) {
        struct slot *t = &p->slot[i];
        if (t->wants_report) {
            t->wants_report = false;
            *out = (struct sm_host_out){.kind = SM_HOST_PATH_REPORT};
            out->path_report.dst = p->addr.node;
            out->path_report.slot = (uint8_t)i;
            out->path_report.is_ok = t->report_ok;
            out->path_report.rtt = t->report_ok ? SM_US(t->srtt_us) : (struct sm_dur){0};
            return true;
        }
    }
    report_remove(h, &h->reports, p);
    return next_report(h, out);
}

bool sm_host_next(struct sm_host *h, struct sm_host_out *out)
{
    take_back(h);
    return next_response(h, out) || next_request(h, out) || next_report(h, out) ||
           send_next(h, out);
}

/* -- in -------------------------------------------------------------------------------------
 */

void sm_host_packet(struct sm_host *h, struct sm_mono now, struct sm_wall wall,
                    struct sm_addr src, uint8_t slot, struct sm_view payload)
{
    take_back(h);
    h->now = now;
    struct sm_frag_head head;
    struct sm_view body;
    if (payload.n > SM_FRAG_PACKET_MAX || slot >= SM_HOST_SLOTS ||
        sm_frag_head_read(payload, &head, &body) != SM_OK) {
        h->stats.refused_packets++;
        return;
    }
    head.slot = slot;
    switch (head.type) {
    case SM_FRAG_INIT:
        hs_init(h, wall, src, slot, &head, body);
        break;
    case SM_FRAG_REPLY:
        hs_reply(h, wall, src, &head, body);
        break;
    case SM_FRAG_DATA_SEALED:
        recv_data(h, src, &head, payload);
        break;
    case SM_FRAG_RESET:
        recv_reset(h, src, &head);
        break;
    }
}

void sm_host_paths(struct sm_host *h, struct sm_mono now, struct sm_hop dst, unsigned n_slots)
{
    take_back(h);
    h->now = now;
    for (uint32_t i = 0; i < h->peer_top; i++) {
        struct peer *p = &h->peers[i];
        if (!p->is_used || p->addr.node.v != dst.v) {
            continue;
        }
        for (unsigned j = 0; j < SM_HOST_SLOTS; j++) {
            if (j >= n_slots) {
                p->slot[j].is_absent = true;
                slot_rest(h, p, j);
            } else if (p->slot[j].is_down) {
                uint32_t inflight = p->slot[j].inflight;
                slot_reset(&p->slot[j]);
                p->slot[j].inflight = inflight;
            }
        }
        if (n_slots > 0) {
            p->all_absent = SM_NEVER;
            active_add(h, p);
            if (p->current == SM_NONE && peer_has_work(p)) {
                session_want(h, p);
            }
        }
    }
}

void sm_host_unreachable(struct sm_host *h, struct sm_mono now, struct sm_addr dst,
                         uint8_t slot)
{
    take_back(h);
    h->now = now;
    for (uint32_t i = 0; slot < SM_HOST_SLOTS && i < h->peer_top; i++) {
        struct peer *p = &h->peers[i];
        if (p->is_used && sm_addr_eq(p->addr, dst)) {
            p->slot[slot].is_absent = true;
            slot_rest(h, p, slot);
        }
    }
}

/* -- time -----------------------------------------------------------------------------------
 */

static void messages_tick(struct sm_host *h, struct peer *p)
{
    for (uint32_t i = p->messages.head, next; i != SM_NONE; i = next) {
        struct message *m = &h->messages[i];
        next = m->of_peer.next;
        if (!is_time(h, m->deadline)) {
            continue;
        }
        if (m->state == MESSAGE_REQUEST) {
            request_finish(h, m, SM_E_TIMEOUT);
        } else {
            message_free(h, m);
        }
    }
    for (uint32_t i = p->asked.head, next; i != SM_NONE; i = next) {
        struct asked *a = &h->asked[i];
        next = a->of_peer.next;
        struct sm_mono stuck = sm_after(a->progress, ASSEMBLY_AGE);
        if (is_time(h, a->until) || (a->state == ASKED_COMING && is_time(h, stuck))) {
            asked_free(h, a);
        }
    }
}

static void peer_tick(struct sm_host *h, struct peer *p)
{
    messages_tick(h, p);
    slots_tick(h, p);
    if (p->all_absent.ns != SM_NEVER.ns &&
        is_time(h, sm_after(p->all_absent, UNREACHABLE_AFTER))) {
        p->all_absent = h->now;
        peer_fail(h, p, SM_E_UNREACHABLE);
    }
    if (p->current == SM_NONE && peer_has_work(p) && is_time(h, p->open_after)) {
        session_want(h, p);
    }
    peer_free_if_unused(h, p);
}

struct sm_mono sm_host_deadline(const struct sm_host *h)
{
    return h->due;
}

void sm_host_tick(struct sm_host *h, struct sm_mono now)
{
    take_back(h);
    h->now = now;
    if (!sm_is_due(h->due, now)) {
        return;
    }
    h->due = SM_NEVER;
    for (uint32_t i = 0; i < h->session_top; i++) {
        if (h->sessions[i].state != SESSION_FREE) {
            hs_tick(h, &h->sessions[i]);
        }
        if (h->sessions[i].state == SESSION_UP) {
            flight_tick(h, &h->sessions[i]);
        }
    }
    for (uint32_t i = 0; i < h->peer_top; i++) {
        if (h->peers[i].is_used) {
            peer_tick(h, &h->peers[i]);
        }
    }
}

/* -- life -----------------------------------------------------------------------------------
 */

static void defaults(struct sm_host_cfg *c)
{
#define DEFAULT(field, value) c->field = c->field != 0 ? c->field : (value)
    DEFAULT(sessions, 256);  /* neighbours in the DHT, holders of some objects, clients */
    DEFAULT(handshakes, 32); /* 32 x 0.5 ms of curve operations */
    DEFAULT(messages, 1024);
    DEFAULT(requests, 1024);
    DEFAULT(peer_requests, 128);
    DEFAULT(pool_bytes, (size_t)64 << 20);
    DEFAULT(peer_bytes, (size_t)4 << 20);
    DEFAULT(reply_bytes, (size_t)16 << 20);
    DEFAULT(inflight_bytes, (size_t)32 << 20);
    DEFAULT(idle.ns, SM_S(120).ns);
    DEFAULT(rekey.ns, SM_S(120).ns);
    DEFAULT(handshake.ns, SM_S(5).ns);
#undef DEFAULT
    c->cipher = c->cipher == SM_CHACHAPOLY ? SM_CHACHAPOLY : SM_AESGCM;
}

static enum sm_err tables_make(struct sm_host *h)
{
    const struct sm_host_cfg *c = &h->cfg;
    h->peers = calloc(c->sessions, sizeof *h->peers);
    h->sessions = calloc(c->sessions, sizeof *h->sessions);
    h->sent = calloc((size_t)c->sessions * RING, sizeof *h->sent);
    h->messages = calloc(c->messages, sizeof *h->messages);
    h->asked = calloc(c->requests, sizeof *h->asked);
    if (h->peers == NULL || h->sessions == NULL || h->sent == NULL || h->messages == NULL ||
        h->asked == NULL) {
        return SM_E_NOMEM;
    }
    for (uint32_t i = 0; i < c->messages; i++) {
        h->messages[i].of_peer.next = i + 1 < c->messages ? i + 1 : SM_NONE;
    }
    for (uint32_t i = 0; i < c->requests; i++) {
        h->asked[i].of_peer.next = i + 1 < c->requests ? i + 1 : SM_NONE;
    }
    return sm_pool_init(&h->pool, c->pool_bytes);
}

struct sm_host *sm_host_new(const struct sm_host_cfg *cfg)
{
    struct sm_host *h = calloc(1, sizeof *h);
    if (h == NULL) {
        return NULL;
    }
    h->cfg = *cfg;
    defaults(&h->cfg);
    sm_rng_init(&h->rng, cfg->seed, "session host");
    sm_wipe(h->cfg.seed, sizeof h->cfg.seed);
    h->active = h->control = h->finished = h->ready = h->reports = EMPTY;
    h->due = SM_NEVER;
    h->id_mask = 1;
    while (h->id_mask < h->cfg.sessions) {
        h->id_mask = h->id_mask << 1 | 1;
    }
    enum sm_err made = tables_make(h);
    if (made == SM_OK) {
        made = sm_host_passport(h, cfg->passport);
    }
    if (made != SM_OK) {
        sm_host_free(h);
        return NULL;
    }
    h->cfg.passport = (struct sm_view){0};
    return h;
}

void sm_host_free(struct sm_host *h)
{
    if (h == NULL) {
        return;
    }
    for (uint32_t i = 0; h->sessions != NULL && i < h->session_top; i++) {
        sm_aead_done(&h->sessions[i].tx);
        sm_aead_done(&h->sessions[i].rx);
        sm_noise_wipe(&h->sessions[i].noise);
    }
    sm_pool_done(&h->pool);
    free(h->peers);
    free(h->sessions);
    free(h->sent);
    free(h->messages);
    free(h->asked);
    sm_wipe(h, sizeof *h);
    free(h);
}

enum sm_err sm_host_passport(struct sm_host *h, struct sm_view passport)
{
    if (passport.n > sizeof h->passport) {
        return SM_E_LIMIT;
    }
    if (passport.n > 0) {
        memcpy(h->passport, passport.p, passport.n);
    }
    h->passport_n = passport.n;
    for (uint32_t i = 0; passport.n > 0 && i < h->peer_top; i++) {
        struct peer *p = &h->peers[i];
        if (p->is_used && p->current == SM_NONE && peer_has_work(p)) {
            session_want(h, p);
        }
    }
    return SM_OK;
}

void sm_host_stats(const struct sm_host *h, struct sm_host_stats *out)
{
    *out = h->stats;
    out->pool_free_bytes = sm_pool_free(&h->pool);
}
