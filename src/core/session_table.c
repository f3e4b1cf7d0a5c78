// SPDX-License-Identifier: Apache-2.0
#include "core/session_int.h"

#include <assert.h>
#include <string.h>

enum {
    STRIDE = SM_FRAG_MSG_HEAD + SM_FRAG_DATA, /* of a fragment in a message's run */
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

LIST_FUNCTIONS(active, peer, peers, of_active)
LIST_FUNCTIONS(report, peer, peers, of_report)
LIST_FUNCTIONS(control, session, sessions, of_control)
LIST_FUNCTIONS(queue, message, messages, of_queue)
LIST_FUNCTIONS(peer_message, message, messages, of_peer)
LIST_FUNCTIONS(peer_asked, asked, asked, of_peer)
LIST_FUNCTIONS(ready, asked, asked, of_ready)

void sm_session_active_add(struct sm_host *h, struct peer *p)
{
    if (!p->of_active.is_in) {
        active_push(h, &h->active, p);
    }
}

void sm_session_report_drop(struct sm_host *h, struct peer *p)
{
    report_remove(h, &h->reports, p);
}

void sm_session_active_drop(struct sm_host *h, struct peer *p)
{
    active_remove(h, &h->active, p);
}

void sm_session_control_add(struct sm_host *h, struct session *s)
{
    if (!s->of_control.is_in) {
        control_push(h, &h->control, s);
    }
}

void sm_session_control_drop(struct sm_host *h, struct session *s)
{
    control_remove(h, &h->control, s);
}

void sm_session_report_add(struct sm_host *h, struct peer *p)
{
    if (!p->of_report.is_in) {
        report_push(h, &h->reports, p);
    }
}

/* Small messages do not wait behind large ones. */
static struct list *queue_of(struct sm_host *h, struct message *m)
{
    struct peer *p = &h->peers[m->peer];
    return m->frag_count == 1 ? &p->small : &p->bulk;
}

void sm_session_queue_add(struct sm_host *h, struct message *m)
{
    if (!m->of_queue.is_in) {
        queue_push(h, queue_of(h, m), m);
    }
}

void sm_session_queue_drop(struct sm_host *h, struct message *m)
{
    queue_remove(h, queue_of(h, m), m);
}

struct fragset sm_session_fragset_all(uint32_t count)
{
    assert(count > 0 && count <= SM_FRAG_COUNT_MAX);
    struct fragset f;
    f.w[0] = count >= 64 ? UINT64_MAX : ((uint64_t)1 << count) - 1;
    f.w[1] = count > 64 ? ((uint64_t)1 << (count - 64)) - 1 : 0;
    return f;
}

/* -- assemblies ---------------------------------------------------------------------------- */

enum sm_err sm_session_assembly_begin(struct sm_host *h, struct assembly *a, uint32_t total,
                                      size_t spare)
{
    struct sm_run run = sm_pool_take(&h->pool, total, spare);
    if (run.page_count == 0) {
        return SM_E_BUSY;
    }
    *a = (struct assembly){.run = run, .total = total, .frag_count = sm_frag_count(total)};
    return SM_OK;
}

void sm_session_assembly_end(struct sm_host *h, struct assembly *a)
{
    if (a->run.page_count > 0) {
        sm_pool_give(&h->pool, &a->run);
    }
    *a = (struct assembly){0};
}

bool sm_session_assembly_add(struct sm_host *h, struct assembly *a, uint32_t offset,
                             struct sm_view data)
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

bool sm_session_peer_has_work(const struct peer *p)
{
    return p->messages.head != SM_NONE || p->asked.head != SM_NONE;
}

static struct peer *peer_find(struct sm_host *h, struct sm_addr addr,
                              const uint8_t key[static 32])
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
            sm_session_free(h, &h->sessions[i]);
        }
    }
}

static void peer_clear(struct sm_host *h, struct peer *p)
{
    assert(!sm_session_peer_has_work(p));
    active_remove(h, &h->active, p);
    report_remove(h, &h->reports, p);
    p->is_used = false;
    while (h->peer_top > 0 && !h->peers[h->peer_top - 1].is_used) {
        h->peer_top--;
    }
    h->stats.peers--;
}

void sm_session_peer_free_if_unused(struct sm_host *h, struct peer *p)
{
    if (p->is_used && !sm_session_peer_has_work(p) && p->session_count == 0) {
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
        if (!sm_session_peer_has_work(p) &&
            (idle == NULL || p->last_used.ns < idle->last_used.ns)) {
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
struct peer *sm_session_peer_take(struct sm_host *h, struct sm_addr addr,
                                  const uint8_t key[static 32])
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
        .messages = NO_LIST,
        .asked = NO_LIST,
        .small = NO_LIST,
        .bulk = NO_LIST,
        .waiting_since = SM_NEVER,
        .all_absent = SM_NEVER,
        .last_used = h->now,
    };
    memcpy(p->dh_key, key, 32);
    uint32_t i = index_of_peer(h, p);
    h->peer_top = i < h->peer_top ? h->peer_top : i + 1;
    for (unsigned j = 0; j < SM_HOST_SLOTS; j++) {
        sm_session_slot_reset(&p->slot[j]);
    }
    h->stats.peers++;
    return p;
}

void sm_session_peer_fail(struct sm_host *h, struct peer *p, enum sm_err err)
{
    for (uint32_t i = p->messages.head, next; i != SM_NONE; i = next) {
        struct message *m = &h->messages[i];
        next = m->of_peer.next;
        if (m->state == MESSAGE_REQUEST) {
            sm_session_request_finish(h, m, err);
        } else if (m->state == MESSAGE_ANSWER) {
            sm_session_message_free(h, m);
        }
    }
}

void sm_session_peer_end(struct sm_host *h, struct peer *p, enum sm_err err)
{
    sm_session_peer_fail(h, p, err);
    while (p->asked.head != SM_NONE) {
        sm_session_asked_free(h, &h->asked[p->asked.head]);
    }
    peer_drop_sessions(h, p);
}

/* -- our messages -------------------------------------------------------------------------- */

struct message *sm_session_message_take(struct sm_host *h, struct peer *p)
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

void sm_session_message_free(struct sm_host *h, struct message *m)
{
    struct peer *p = &h->peers[m->peer];
    assert(m->state == MESSAGE_REQUEST || m->state == MESSAGE_ANSWER);
    message_uncount(h, m);
    sm_session_queue_drop(h, m);
    peer_message_remove(h, &p->messages, m);
    if (m->run.page_count > 0) {
        sm_pool_give(&h->pool, &m->run);
    }
    sm_session_assembly_end(h, &m->answer);
    m->state = MESSAGE_FREE;
    m->of_peer.next = h->free_message;
    h->free_message = index_of_message(h, m);
}

/* The request is over: its RESPONSE waits for sm_host_next, apart from its peer. */
void sm_session_request_finish(struct sm_host *h, struct message *m, enum sm_err err)
{
    assert(m->state == MESSAGE_REQUEST);
    struct peer *p = &h->peers[m->peer];
    message_uncount(h, m);
    sm_session_queue_drop(h, m);
    peer_message_remove(h, &p->messages, m);
    if (m->run.page_count > 0) {
        sm_pool_give(&h->pool, &m->run);
    }
    if (!assembly_is_whole(&m->answer)) {
        sm_session_assembly_end(h, &m->answer);
    }
    m->err = err;
    m->state = MESSAGE_FINISHED;
    queue_push(h, &h->finished, m);
}

/* Lay the body out as fragments, each with room for its head, and queue it. */
enum sm_err sm_session_message_fill(struct sm_host *h, struct message *m,
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
    m->todo = sm_session_fragset_all(count);
    return SM_OK;
}

void sm_session_message_undo(struct sm_host *h, struct peer *p, struct message *m)
{
    peer_message_remove(h, &p->messages, m);
    m->of_peer.next = h->free_message;
    h->free_message = index_of_message(h, m);
}

/* -- their requests ------------------------------------------------------------------------ */

struct asked *sm_session_asked_take(struct sm_host *h, struct peer *p)
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

void sm_session_asked_free(struct sm_host *h, struct asked *a)
{
    struct peer *p = &h->peers[a->peer];
    assert(a->state != ASKED_FREE);
    if (a->state == ASKED_COMING || a->state == ASKED_READY) {
        p->asked_bytes -= a->body.total;
    }
    ready_remove(h, &h->ready, a);
    peer_asked_remove(h, &p->asked, a);
    sm_session_assembly_end(h, &a->body);
    p->asked_count--;
    h->stats.requests_in--;
    a->state = ASKED_FREE;
    a->of_peer.next = h->free_asked;
    h->free_asked = index_of_asked(h, a);
}

void sm_session_asked_is_ready(struct sm_host *h, struct asked *a)
{
    assert(a->state == ASKED_COMING && assembly_is_whole(&a->body));
    a->state = ASKED_READY;
    ready_push(h, &h->ready, a);
}

/* -- what waits for the caller ---------------------------------------------------------------
 */

struct message *sm_session_finished_pop(struct sm_host *h)
{
    if (h->finished.head == SM_NONE) {
        return NULL;
    }
    struct message *m = &h->messages[h->finished.head];
    queue_remove(h, &h->finished, m);
    return m;
}

void sm_session_finished_free(struct sm_host *h, struct message *m)
{
    assert(m->state == MESSAGE_FINISHED && !m->of_queue.is_in);
    m->answer = (struct assembly){0}; /* its run is lent */
    m->state = MESSAGE_FREE;
    m->of_peer.next = h->free_message;
    h->free_message = index_of_message(h, m);
}

struct asked *sm_session_ready_pop(struct sm_host *h)
{
    if (h->ready.head == SM_NONE) {
        return NULL;
    }
    struct asked *a = &h->asked[h->ready.head];
    ready_remove(h, &h->ready, a);
    return a;
}
