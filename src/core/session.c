// SPDX-License-Identifier: Apache-2.0
#include "core/session_int.h"

#include "crypto/secret.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(SM_HOST_BODY_MAX == SM_FRAG_MESSAGE_MAX, "the contract and the grammar agree");

enum {
    SPARE_SHARE = 4, /* a quarter of room is kept for answers, or nothing would complete */
};

/* -- our messages -------------------------------------------------------------------------- */

static uint64_t handle_make(uint32_t generation, uint32_t index)
{
    return (uint64_t)generation << 32 | index;
}

static void message_go(struct sm_host *h, struct peer *p, struct message *m)
{
    sm_session_queue_add(h, m);
    arm(h, m->deadline);
    p->last_used = h->now;
    sm_session_active_add(h, p);
    if (p->current == SM_NONE) {
        sm_session_want(h, p);
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
    struct peer *p = sm_session_peer_take(h, dst, dh_key);
    uint32_t most = h->cfg.messages - h->cfg.messages / SPARE_SHARE;
    if (p == NULL || h->stats.requests_out >= most ||
        p->request_count >= h->cfg.peer_requests ||
        (p->request_count > 0 && p->request_bytes + body.n > h->cfg.peer_bytes)) {
        return SM_E_BUSY;
    }
    struct message *m = sm_session_message_take(h, p);
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
    enum sm_err err = sm_session_message_fill(h, m, &head, body, pool_spare(h));
    if (err != SM_OK) {
        sm_session_message_undo(h, p, m);
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

enum sm_err sm_session_answer_send(struct sm_host *h, struct peer *p, uint64_t wire_id,
                                   uint32_t cookie, struct sm_mono until, enum sm_err err,
                                   struct sm_view body)
{
    if (body.n > 0 && p->answer_count > 0 && p->answer_bytes + body.n > h->cfg.reply_bytes) {
        return SM_E_BUSY;
    }
    struct message *m = sm_session_message_take(h, p);
    if (m == NULL) {
        return SM_E_BUSY;
    }
    struct sm_frame_message head = {
        .kind = SM_FRAME_RESPONSE, .id = wire_id, .word = (uint32_t)(int)err, .cookie = cookie};
    enum sm_err filled =
        sm_session_message_fill(h, m, &head, body, body.n > 0 ? pool_spare(h) / 2 : 0);
    if (filled != SM_OK) {
        sm_session_message_undo(h, p, m);
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
    enum sm_err sent = sm_session_answer_send(h, p, a->wire_id, a->cookie, a->until, err, body);
    if (sent != SM_OK) {
        enum sm_err told = sm_session_answer_send(h, p, a->wire_id, a->cookie, a->until,
                                                  SM_E_BUSY, (struct sm_view){0});
        (void)told; /* no room even for that: the asker's deadline tells it */
    }
    sm_session_asked_free(h, a);
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
    struct message *m = sm_session_finished_pop(h);
    if (m == NULL) {
        return false;
    }
    *out = (struct sm_host_out){.kind = SM_HOST_RESPONSE};
    out->response.id = handle_make(m->generation, index_of_message(h, m));
    out->response.err = m->err;
    if (assembly_is_whole(&m->answer)) {
        h->lent = m->answer.run;
        out->response.body = sm_view_of(sm_pool_at(&h->pool, h->lent), m->answer.total);
    }
    sm_session_finished_free(h, m);
    return true;
}

static bool next_request(struct sm_host *h, struct sm_host_out *out)
{
    struct asked *a = sm_session_ready_pop(h);
    if (a == NULL) {
        return false;
    }
    struct peer *p = &h->peers[a->peer];
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
    sm_session_report_drop(h, p);
    return next_report(h, out);
}

bool sm_host_next(struct sm_host *h, struct sm_host_out *out)
{
    take_back(h);
    return next_response(h, out) || next_request(h, out) || next_report(h, out) ||
           sm_session_send_next(h, out);
}

/* -- in -------------------------------------------------------------------------------------
 */

void sm_host_packet(struct sm_host *h, struct sm_mono now, struct sm_wall wall,
                    struct sm_addr src, uint8_t slot, struct sm_view payload)
{
    take_back(h);
    h->now = now;
    h->datagram.p = NULL;
    struct sm_frag_head head;
    struct sm_view body;
    if (slot >= SM_HOST_SLOTS || sm_frag_head_read(payload, &head, &body) != SM_OK ||
        payload.n > (head.type == SM_FRAG_DATAGRAM ? (size_t)SM_FRAG_DATAGRAM_PACKET_MAX
                                                   : (size_t)SM_FRAG_PACKET_MAX)) {
        h->stats.refused_packets++;
        return;
    }
    head.slot = slot;
    switch (head.type) {
    case SM_FRAG_INIT:
        sm_session_hs_init(h, wall, src, slot, &head, body);
        break;
    case SM_FRAG_REPLY:
        sm_session_hs_reply(h, wall, src, &head, body);
        break;
    case SM_FRAG_DATA_SEALED:
        sm_session_recv_data(h, src, &head, payload);
        break;
    case SM_FRAG_DATAGRAM:
        sm_session_recv_datagram(h, src, &head, payload);
        break;
    case SM_FRAG_RESET:
        sm_session_recv_reset(h, src, &head);
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
                sm_session_slot_rest(h, p, j);
            } else if (p->slot[j].is_down) {
                uint32_t inflight = p->slot[j].inflight;
                sm_session_slot_reset(&p->slot[j]);
                p->slot[j].inflight = inflight;
            }
        }
        if (n_slots > 0) {
            p->all_absent = SM_NEVER;
            sm_session_active_add(h, p);
            if (p->current == SM_NONE && sm_session_peer_has_work(p)) {
                sm_session_want(h, p);
            }
        }
    }
}

void sm_host_rules_changed(struct sm_host *h, struct sm_mono now)
{
    take_back(h);
    h->now = now;
    for (uint32_t i = 0; i < h->peer_top; i++) {
        struct peer *p = &h->peers[i];
        if (p->is_used && p->current != SM_NONE &&
            sm_passport_is_revoked(h->cfg.anchor, &p->passport)) {
            sm_session_peer_end(h, p, SM_E_REFUSED);
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
            sm_session_slot_rest(h, p, slot);
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
            sm_session_request_finish(h, m, SM_E_TIMEOUT);
        } else {
            sm_session_message_free(h, m);
        }
    }
    for (uint32_t i = p->asked.head, next; i != SM_NONE; i = next) {
        struct asked *a = &h->asked[i];
        next = a->of_peer.next;
        struct sm_mono stuck = sm_after(a->progress, ASSEMBLY_AGE);
        if (is_time(h, a->until) || (a->state == ASKED_COMING && is_time(h, stuck))) {
            sm_session_asked_free(h, a);
        }
    }
}

static void peer_tick(struct sm_host *h, struct peer *p)
{
    messages_tick(h, p);
    sm_session_slots_tick(h, p);
    if (p->all_absent.ns != SM_NEVER.ns &&
        is_time(h, sm_after(p->all_absent, UNREACHABLE_AFTER))) {
        p->all_absent = h->now;
        sm_session_peer_fail(h, p, SM_E_UNREACHABLE);
    }
    if (p->current == SM_NONE && sm_session_peer_has_work(p) && is_time(h, p->open_after)) {
        sm_session_want(h, p);
    }
    sm_session_peer_free_if_unused(h, p);
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
            sm_session_hs_tick(h, &h->sessions[i]);
        }
        if (h->sessions[i].state == SESSION_UP) {
            sm_session_flight_tick(h, &h->sessions[i]);
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
    h->datagrams_seen = calloc(c->sessions, sizeof *h->datagrams_seen);
    h->messages = calloc(c->messages, sizeof *h->messages);
    h->asked = calloc(c->requests, sizeof *h->asked);
    if (h->peers == NULL || h->sessions == NULL || h->sent == NULL || h->messages == NULL ||
        h->asked == NULL || h->datagrams_seen == NULL) {
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
    h->active = h->control = h->finished = h->ready = h->reports = NO_LIST;
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
    free(h->datagrams_seen);
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
        if (p->is_used && p->current == SM_NONE && sm_session_peer_has_work(p)) {
            sm_session_want(h, p);
        }
    }
    return SM_OK;
}

void sm_host_stats(const struct sm_host *h, struct sm_host_stats *out)
{
    *out = h->stats;
    out->pool_free_bytes = sm_pool_free(&h->pool);
}
