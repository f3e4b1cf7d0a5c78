// SPDX-License-Identifier: Apache-2.0
#include "core/session_int.h"

#include "crypto/secret.h"

#include <assert.h>
#include <string.h>

enum {
    MSG1_MIN = 32 + 48 + 16, /* e, s, and the tag of an empty payload */
    PROLOGUE_MAX = SM_PROLOGUE_MAX + 48,
};
_Static_assert(MSG1_MIN + SM_PASSPORT_MAX + 4 <= SM_POOL_PAGE, "a first message fits a page");

#define HALF_SAFE SM_S(1) /* a half-open session this young is not thrown out for another */
#define DOUBT_GAP SM_S(1)

static const char *protocol_of(enum sm_aead_kind cipher)
{
    return cipher == SM_CHACHAPOLY ? "Noise_IK_25519_ChaChaPoly_SHA256"
                                   : "Noise_IK_25519_AESGCM_SHA256";
}

/* What both sides know before the first byte: the mesh, that this is a session and no tunnel,
 * the cipher, who opens it under which number, and with whom. */
static struct sm_view prologue_write(const struct sm_host *h, enum sm_aead_kind cipher,
                                     uint32_t opener_id, struct sm_addr from, struct sm_addr to,
                                     uint8_t out[static PROLOGUE_MAX])
{
    struct sm_wr w = sm_wr_init(out, PROLOGUE_MAX);
    sm_anchor_prologue(h->cfg.anchor, &w);
    sm_wr_view(&w, sm_view_str("session"));
    sm_wr_u8(&w, (uint8_t)cipher);
    sm_wr_u32(&w, opener_id);
    sm_wr_u64(&w, from.node.v);
    sm_wr_u32(&w, from.ep);
    sm_wr_u64(&w, to.node.v);
    sm_wr_u32(&w, to.ep);
    assert(!w.full);
    return sm_view_of(out, w.n);
}

struct session *sm_session_by_id(struct sm_host *h, uint32_t id)
{
    uint32_t i = id & h->id_mask;
    if (i >= h->cfg.sessions) {
        return NULL;
    }
    struct session *s = &h->sessions[i];
    return s->state != SESSION_FREE && s->local_id == id ? s : NULL;
}

/* -- making and ending ----------------------------------------------------------------------
 */

/* The newest session we may send in; one that is to retire only when there is no other. */
static uint32_t current_of(const struct sm_host *h, uint32_t peer)
{
    const struct session *best = NULL;
    for (uint32_t i = 0; i < h->session_top; i++) {
        const struct session *s = &h->sessions[i];
        if (s->state != SESSION_UP || s->peer != peer) {
            continue;
        }
        bool stays = s->retire.ns == SM_NEVER.ns;
        bool best_stays = best != NULL && best->retire.ns == SM_NEVER.ns;
        if (best == NULL || (stays && !best_stays) ||
            (stays == best_stays && s->age > best->age)) {
            best = s;
        }
    }
    return best != NULL ? index_of_session(h, best) : SM_NONE;
}

static void state_uncount(struct sm_host *h, struct session *s)
{
    if (s->state == SESSION_OPENING) {
        h->opening_count--;
        h->peers[s->peer].opening = SM_NONE;
    } else if (s->state == SESSION_HALF) {
        h->half_count--;
    }
}

static void first_drop(struct sm_host *h, struct session *s)
{
    if (s->first.page_count > 0) {
        sm_pool_give(&h->pool, &s->first);
    }
    sm_noise_wipe(&s->noise);
    s->wants_first = false;
}

static void peer_lost_session(struct sm_host *h, struct peer *p, const struct session *s)
{
    if (p->current != index_of_session(h, s)) {
        return;
    }
    p->current = current_of(h, index_of_peer(h, p));
    p->waiting_since = SM_NEVER;
    if (sm_session_peer_has_work(p)) {
        sm_session_active_add(h, p);
        if (p->current == SM_NONE) {
            sm_session_want(h, p);
        }
    }
}

void sm_session_free(struct sm_host *h, struct session *s)
{
    assert(s->state != SESSION_FREE);
    struct peer *p = &h->peers[s->peer];
    state_uncount(h, s);
    if (s->state == SESSION_UP) {
        for (unsigned i = 0; i < SM_HOST_SLOTS; i++) {
            sm_session_flight_requeue(h, s, i);
        }
    }
    s->state = SESSION_FREE;
    sm_session_control_drop(h, s);
    first_drop(h, s);
    sm_aead_done(&s->tx);
    sm_aead_done(&s->rx);
    p->session_count--;
    h->stats.sessions--;
    while (h->session_top > 0 && h->sessions[h->session_top - 1].state == SESSION_FREE) {
        h->session_top--;
    }
    arm(h, h->now); /* the tick that follows sees whether the peer is still needed */
    peer_lost_session(h, p, s);
}

static void session_close(struct sm_host *h, struct session *s)
{
    assert(s->state == SESSION_UP);
    for (unsigned i = 0; i < SM_HOST_SLOTS; i++) {
        sm_session_flight_requeue(h, s, i);
    }
    s->state = SESSION_CLOSING;
    s->wants_close = true;
    sm_session_control_add(h, s);
    peer_lost_session(h, &h->peers[s->peer], s);
}

/* A free place, or that of the longest idle session of a peer without work. */
static struct session *session_place(struct sm_host *h)
{
    struct session *idle = NULL;
    for (uint32_t i = 0; i < h->cfg.sessions; i++) {
        struct session *s = &h->sessions[i];
        if (s->state == SESSION_FREE) {
            return s;
        }
        bool may_go = s->state == SESSION_UP && !sm_session_peer_has_work(&h->peers[s->peer]);
        if (may_go && (idle == NULL || s->last_rx.ns < idle->last_rx.ns)) {
            idle = s;
        }
    }
    if (idle != NULL) {
        h->stats.evicted++;
        sm_session_free(h, idle);
    }
    return idle;
}

/* Begin a session in its place; what it needs beyond is set by the caller. */
static struct session *session_begin(struct sm_host *h, struct peer *p, bool is_opener,
                                     enum sm_aead_kind cipher)
{
    struct session *s = session_place(h);
    if (s == NULL) {
        return NULL;
    }
    struct sm_run first = sm_pool_take(&h->pool, SM_POOL_PAGE, 0);
    if (first.page_count == 0) {
        return NULL;
    }
    uint32_t i = index_of_session(h, s);
    uint32_t id = ((uint32_t)sm_rng_u64(&h->rng) & ~h->id_mask) | i;
    *s = (struct session){
        .state = is_opener ? SESSION_OPENING : SESSION_HALF,
        .is_opener = is_opener,
        .local_id = id,
        .peer = index_of_peer(h, p),
        .begun = h->now,
        .last_rx = h->now,
        .last_tx = h->now,
        .retire = SM_NEVER,
        .again = SM_NEVER,
        .age = ++h->age,
        .first = first,
        .cipher = cipher,
        .of_control = {SM_NONE, SM_NONE, false},
    };
    sm_session_flight_init(s);
    h->session_top = i < h->session_top ? h->session_top : i + 1;
    p->session_count++;
    h->stats.sessions++;
    return s;
}

/* Put head and handshake message into the session's page, to be sent as often as needed. */
static void first_store(struct sm_host *h, struct session *s, enum sm_frag_type type,
                        uint32_t id, size_t message_n)
{
    struct sm_frag_head head = {
        .type = type,
        .cipher = type == SM_FRAG_INIT ? (uint8_t)s->cipher : 0,
        .session = id,
    };
    sm_frag_head_write(&head, sm_pool_at(&h->pool, s->first));
    s->first_n = (uint32_t)(SM_FRAG_HEAD + message_n);
    s->wants_first = true;
    sm_session_control_add(h, s);
}

/* -- opening --------------------------------------------------------------------------------
 */

static enum sm_err message1_write(struct sm_host *h, struct session *s)
{
    struct peer *p = &h->peers[s->peer];
    uint8_t room[PROLOGUE_MAX];
    struct sm_view prologue =
        prologue_write(h, s->cipher, s->local_id, h->cfg.self, p->addr, room);
    struct sm_dh_pub peer_key;
    memcpy(peer_key.b, p->dh_key, sizeof peer_key.b);
    SM_TRY(sm_noise_init(
        &s->noise, h->cfg.suite, protocol_of(s->cipher), true, prologue,
        &(struct sm_noise_keys){.s = &h->cfg.dh, .rs = &peer_key, .known = h->cfg.known}));
    size_t n = 0;
    SM_TRY(sm_noise_write(&s->noise, &h->rng, sm_view_of(h->passport, h->passport_n),
                          sm_pool_at(&h->pool, s->first) + SM_FRAG_HEAD,
                          SM_POOL_PAGE - SM_FRAG_HEAD, &n));
    first_store(h, s, SM_FRAG_INIT, s->local_id, n);
    return SM_OK;
}

void sm_session_want(struct sm_host *h, struct peer *p)
{
    if (p->opening != SM_NONE || h->passport_n == 0) {
        return;
    }
    if (!is_time(h, p->open_after)) {
        return;
    }
    p->open_after = sm_after(h->now, SM_MS(50));
    arm(h, p->open_after);
    if (h->opening_count >= h->cfg.handshakes) {
        return;
    }
    struct session *s = session_begin(h, p, true, h->cfg.cipher);
    if (s == NULL) {
        return;
    }
    h->opening_count++;
    p->opening = index_of_session(h, s);
    if (message1_write(h, s) != SM_OK) {
        sm_session_free(h, s); /* the peer's key is of small order: nobody will answer */
        sm_session_peer_fail(h, p, SM_E_AUTH);
        return;
    }
    s->hs_slot = (uint8_t)sm_session_slot_next_usable(p, SM_HOST_SLOTS - 1);
    s->tries = 1;
    s->again = sm_after(h->now, RTO_FIRST);
    arm(h, s->again);
    h->stats.handshakes++;
}

void sm_session_doubt(struct sm_host *h, struct session *s)
{
    struct peer *p = &h->peers[s->peer];
    if (!sm_is_due(p->doubt_after, h->now)) {
        return;
    }
    p->doubt_after = sm_after(h->now, DOUBT_GAP);
    s->is_doubted = true;
    sm_session_want(h, p);
}

/* Nobody answered.  An old session that has been heard meanwhile goes on. */
static void opening_failed(struct sm_host *h, struct session *s)
{
    struct peer *p = &h->peers[s->peer];
    struct sm_mono begun = s->begun;
    sm_session_free(h, s);
    struct session *old = p->current != SM_NONE ? &h->sessions[p->current] : NULL;
    if (old != NULL && (!old->is_doubted || old->last_rx.ns > begun.ns)) {
        old->is_doubted = false;
        return;
    }
    sm_session_peer_fail(h, p, SM_E_UNREACHABLE);
    if (old != NULL) {
        sm_session_free(h, old);
    }
}

/* The peer may have forgotten what it acknowledged: send whole requests again, once. */
static void requests_replay(struct sm_host *h, struct peer *p)
{
    for (uint32_t i = p->messages.head; i != SM_NONE; i = h->messages[i].of_peer.next) {
        struct message *m = &h->messages[i];
        if (m->state == MESSAGE_REQUEST && !m->is_replayed) {
            m->is_replayed = true;
            m->todo = sm_session_fragset_all(m->frag_count);
            m->acked = (struct fragset){0};
            m->acked_count = 0;
            sm_session_queue_add(h, m);
        }
    }
}

/* A newer session is up: move what an older doubted one had in flight, retire our own. */
static void successors(struct sm_host *h, const struct session *s)
{
    struct peer *p = &h->peers[s->peer];
    const struct session *oldest = NULL;
    uint32_t theirs = 0;
    for (uint32_t i = 0; i < h->session_top; i++) {
        struct session *o = &h->sessions[i];
        if (o->state != SESSION_UP || o->peer != s->peer) {
            continue;
        }
        if (!o->is_opener) {
            theirs++;
            oldest = oldest == NULL || o->age < oldest->age ? o : oldest;
        }
        if (o == s) {
            continue;
        }
        if (o->is_doubted) {
            o->is_doubted = false;
            for (unsigned j = 0; j < SM_HOST_SLOTS; j++) {
                sm_session_flight_requeue(h, o, j);
            }
            requests_replay(h, p);
        }
        if (s->is_opener && o->is_opener && o->retire.ns == SM_NEVER.ns) {
            o->retire = sm_after(h->now, OVERLAP);
            arm(h, o->retire);
        }
    }
    if (theirs > PER_PEER) {
        session_close(h, &h->sessions[index_of_session(h, oldest)]);
    }
}

void sm_session_up(struct sm_host *h, struct session *s)
{
    struct peer *p = &h->peers[s->peer];
    state_uncount(h, s);
    first_drop(h, s);
    s->state = SESSION_UP;
    s->up = h->now;
    s->last_rx = h->now;
    p->current = index_of_session(h, s);
    p->waiting_since = SM_NEVER;
    p->last_used = h->now;
    successors(h, s);
    arm(h, sm_after(h->now, h->cfg.idle));
    sm_session_active_add(h, p);
    if (s->is_opener && p->small.head == SM_NONE && p->bulk.head == SM_NONE) {
        s->wants_ping |= (uint8_t)(1u << s->hs_slot); /* the answerer waits for a proof */
        sm_session_control_add(h, s);
    }
}

/* -- answering ------------------------------------------------------------------------------
 */

struct opener {
    struct sm_noise noise;
    struct sm_passport passport;
    struct sm_dh_pub key;
};

/* Read message 1 and believe it or not. */
static enum sm_err message1_read(struct sm_host *h, struct sm_wall wall, struct sm_addr src,
                                 const struct sm_frag_head *head, struct sm_view body,
                                 struct opener *out)
{
    if (head->cipher != SM_AESGCM && head->cipher != SM_CHACHAPOLY) {
        return SM_E_UNSUPPORTED;
    }
    enum sm_aead_kind cipher = (enum sm_aead_kind)head->cipher;
    uint8_t room[PROLOGUE_MAX];
    struct sm_view prologue = prologue_write(h, cipher, head->session, src, h->cfg.self, room);
    SM_TRY(sm_noise_init(&out->noise, h->cfg.suite, protocol_of(cipher), false, prologue,
                         &(struct sm_noise_keys){.s = &h->cfg.dh, .known = h->cfg.known}));
    size_t n = 0;
    SM_TRY(sm_noise_read(&out->noise, body, h->plain, SM_PASSPORT_MAX, &n));
    SM_TRY(sm_noise_remote(&out->noise, &out->key));
    if (h->cfg.may_open != NULL && !h->cfg.may_open(h->cfg.ctx, out->key.b)) {
        return SM_E_REFUSED;
    }
    SM_TRY(sm_passport_verify(h->cfg.suite, h->cfg.anchor, wall, sm_view_of(h->plain, n),
                              &out->passport));
    bool is_theirs = sm_addr_eq(out->passport.addr, src) &&
                     memcmp(out->passport.dh_key, out->key.b, sizeof out->key.b) == 0;
    if (!is_theirs) {
        return SM_E_AUTH;
    }
    sm_noise_remember(&out->noise, &h->cfg.dh.pub);
    return SM_OK;
}

/* The oldest half-open session, of one peer or (SM_NONE) of all; and how many there are. */
static struct session *half_oldest(struct sm_host *h, uint32_t peer, uint32_t *count)
{
    struct session *oldest = NULL;
    *count = 0;
    for (uint32_t i = 0; i < h->session_top; i++) {
        struct session *s = &h->sessions[i];
        if (s->state == SESSION_HALF && (peer == SM_NONE || s->peer == peer)) {
            ++*count;
            oldest = oldest == NULL || s->age < oldest->age ? s : oldest;
        }
    }
    return oldest;
}

static enum sm_err half_make_room(struct sm_host *h, const struct peer *p)
{
    uint32_t count = 0;
    struct session *oldest = half_oldest(h, index_of_peer(h, p), &count);
    if (count >= HALF_PER_PEER) {
        sm_session_free(h, oldest);
    }
    oldest = half_oldest(h, SM_NONE, &count);
    if (count < h->cfg.handshakes) {
        return SM_OK;
    }
    if (!sm_is_due(sm_after(oldest->begun, HALF_SAFE), h->now)) {
        return SM_E_BUSY;
    }
    sm_session_free(h, oldest);
    return SM_OK;
}

static enum sm_err keys_take(struct sm_host *h, struct session *s, struct sm_noise *n)
{
    struct sm_secret32 tx, rx;
    SM_TRY(sm_noise_split(n, &tx, &rx));
    enum sm_err err = sm_aead_init(&s->tx, h->cfg.suite, s->cipher, &tx);
    if (err == SM_OK) {
        err = sm_aead_init(&s->rx, h->cfg.suite, s->cipher, &rx);
    }
    sm_wipe(&tx, sizeof tx);
    sm_wipe(&rx, sizeof rx);
    return err;
}

/* Write message 2: our number for the session, and our passport. */
static enum sm_err message2_write(struct sm_host *h, struct session *s, struct sm_noise *n)
{
    uint8_t payload[4 + SM_PASSPORT_MAX];
    struct sm_wr w = sm_wr_init(payload, sizeof payload);
    sm_wr_u32(&w, s->local_id);
    sm_wr_bytes(&w, h->passport, h->passport_n);
    size_t len = 0;
    SM_TRY(sm_noise_write(n, &h->rng, sm_view_of(payload, w.n),
                          sm_pool_at(&h->pool, s->first) + SM_FRAG_HEAD,
                          SM_POOL_PAGE - SM_FRAG_HEAD, &len));
    SM_TRY(keys_take(h, s, n));
    first_store(h, s, SM_FRAG_REPLY, s->remote_id, len);
    return SM_OK;
}

/* The session this very message made before, if we still have it. */
static struct session *half_find(struct sm_host *h, struct sm_addr src, uint32_t remote_id,
                                 const uint8_t e[static 32])
{
    for (uint32_t i = 0; i < h->session_top; i++) {
        struct session *s = &h->sessions[i];
        if (s->state != SESSION_FREE && !s->is_opener && s->remote_id == remote_id &&
            sm_addr_eq(h->peers[s->peer].addr, src) && memcmp(s->first_e, e, 32) == 0) {
            return s;
        }
    }
    return NULL;
}

static enum sm_err answer_init(struct sm_host *h, struct sm_addr src, uint8_t slot,
                               const struct sm_frag_head *head, struct sm_view body,
                               struct opener *o)
{
    struct peer *p = sm_session_peer_take(h, src, o->key.b);
    if (p == NULL) {
        return SM_E_BUSY;
    }
    SM_TRY(half_make_room(h, p));
    struct session *s = session_begin(h, p, false, (enum sm_aead_kind)head->cipher);
    if (s == NULL) {
        return SM_E_BUSY;
    }
    h->half_count++;
    if (o->passport.node.head.seq >= p->passport.node.head.seq) {
        p->passport = o->passport; /* a replayed message does not bring an older one back */
    }
    s->remote_id = head->session;
    s->hs_slot = slot;
    memcpy(s->first_e, body.p, sizeof s->first_e);
    enum sm_err err = message2_write(h, s, &o->noise);
    if (err != SM_OK) {
        sm_session_free(h, s);
        return err;
    }
    arm(h, sm_after(h->now, h->cfg.handshake));
    h->stats.handshakes++;
    return SM_OK;
}

void sm_session_hs_init(struct sm_host *h, struct sm_wall wall, struct sm_addr src,
                        uint8_t slot, const struct sm_frag_head *head, struct sm_view body)
{
    if (body.n < MSG1_MIN || h->passport_n == 0 || sm_addr_eq(src, h->cfg.self)) {
        h->stats.refused_handshakes++;
        return;
    }
    struct session *known = half_find(h, src, head->session, body.p);
    if (known != NULL) {
        if (known->state == SESSION_HALF) {
            known->wants_first = true;
            known->hs_slot = slot;
            sm_session_control_add(h, known);
        }
        return;
    }
    struct opener o = {0};
    enum sm_err err = message1_read(h, wall, src, head, body, &o);
    if (err == SM_OK) {
        err = answer_init(h, src, slot, head, body, &o);
    }
    if (err != SM_OK) {
        h->stats.refused_handshakes++;
    }
    sm_noise_wipe(&o.noise);
}

/* Read message 2 into a copy of the handshake, so that a forged one changes nothing. */
static enum sm_err message2_read(struct sm_host *h, struct sm_wall wall, struct session *s,
                                 struct sm_view body, struct opener *o, uint32_t *remote_id)
{
    const struct peer *p = &h->peers[s->peer];
    o->noise = s->noise;
    size_t n = 0;
    SM_TRY(sm_noise_read(&o->noise, body, h->plain, 4 + SM_PASSPORT_MAX, &n));
    struct sm_rd r = sm_rd_init(sm_view_of(h->plain, n));
    uint32_t id = sm_rd_u32(&r);
    struct sm_view passport = sm_rd_rest(&r);
    SM_TRY(sm_rd_done(&r));
    SM_TRY(sm_passport_verify(h->cfg.suite, h->cfg.anchor, wall, passport, &o->passport));
    if (!sm_addr_eq(o->passport.addr, p->addr) ||
        memcmp(o->passport.dh_key, p->dh_key, sizeof p->dh_key) != 0) {
        return SM_E_AUTH;
    }
    sm_noise_remember(&o->noise, &h->cfg.dh.pub);
    SM_TRY(keys_take(h, s, &o->noise));
    *remote_id = id;
    return SM_OK;
}

void sm_session_hs_reply(struct sm_host *h, struct sm_wall wall, struct sm_addr src,
                         const struct sm_frag_head *head, struct sm_view body)
{
    struct session *s = sm_session_by_id(h, head->session);
    if (s == NULL || s->state != SESSION_OPENING || !sm_addr_eq(h->peers[s->peer].addr, src)) {
        h->stats.refused_handshakes += s == NULL || s->state != SESSION_UP;
        return;
    }
    struct opener o = {0};
    uint32_t remote_id = 0;
    enum sm_err err = message2_read(h, wall, s, body, &o, &remote_id);
    sm_noise_wipe(&o.noise);
    if (err != SM_OK) {
        h->stats.refused_handshakes++;
        return;
    }
    struct peer *p = &h->peers[s->peer];
    p->passport = o.passport;
    s->remote_id = remote_id;
    if (s->tries == 1) {
        sm_session_slot_sample(h, p, s->hs_slot, sm_between(s->begun, h->now).ns / 1000u);
    }
    sm_session_up(h, s);
}

/* -- time -----------------------------------------------------------------------------------
 */

static struct sm_mono later(struct sm_mono a, struct sm_mono b)
{
    return a.ns > b.ns ? a : b;
}

static void opening_tick(struct sm_host *h, struct session *s)
{
    if (is_time(h, sm_after(s->begun, h->cfg.handshake))) {
        opening_failed(h, s);
        return;
    }
    if (!is_time(h, s->again)) {
        return;
    }
    struct peer *p = &h->peers[s->peer];
    sm_session_slot_report(h, p, s->hs_slot, false);
    s->hs_slot = (uint8_t)sm_session_slot_next_usable(p, s->hs_slot);
    s->tries = (uint8_t)(s->tries + 1);
    uint64_t wait = RTO_FIRST.ns << (s->tries < 3 ? s->tries - 1 : 2);
    s->again = sm_after(h->now, (struct sm_dur){wait < RTO_MAX.ns ? wait : RTO_MAX.ns});
    arm(h, s->again);
    s->wants_first = true;
    sm_session_control_add(h, s);
}

static void up_tick(struct sm_host *h, struct session *s)
{
    struct peer *p = &h->peers[s->peer];
    bool is_current = p->current == index_of_session(h, s);
    struct sm_mono used = later(s->last_rx, s->last_tx);
    struct sm_dur life = {h->cfg.rekey.ns * 4}; /* of a key, whatever the peer does */
    bool is_idle = is_time(h, sm_after(used, h->cfg.idle));
    if ((is_idle && (!is_current || !sm_session_peer_has_work(p))) || is_time(h, s->retire) ||
        is_time(h, sm_after(s->up, life))) {
        session_close(h, s);
        return;
    }
    for (unsigned i = 0; i < SM_HOST_SLOTS; i++) {
        if (s->owed[i].n > 0 && is_time(h, s->owed[i].at)) {
            s->wants_ack |= (uint8_t)(1u << i);
            sm_session_control_add(h, s);
        }
    }
    if (!is_current) {
        return;
    }
    if (p->waiting_since.ns != SM_NEVER.ns &&
        is_time(h, later(sm_after(p->waiting_since, SUSPECT_AFTER), p->doubt_after))) {
        sm_session_doubt(h, s);
    }
    if (p->request_count > 0 &&
        is_time(h, later(sm_after(s->last_rx, KEEPALIVE), p->ping_after))) {
        p->ping_after = sm_after(h->now, KEEPALIVE);
        s->wants_ping |= (uint8_t)(1u << sm_session_slot_next_usable(p, SM_HOST_SLOTS - 1));
        sm_session_control_add(h, s);
    }
}

void sm_session_hs_tick(struct sm_host *h, struct session *s)
{
    switch (s->state) {
    case SESSION_OPENING:
        opening_tick(h, s);
        break;
    case SESSION_HALF:
        if (is_time(h, sm_after(s->begun, h->cfg.handshake))) {
            sm_session_free(h, s);
        }
        break;
    case SESSION_UP:
        up_tick(h, s);
        break;
    case SESSION_CLOSING:
    case SESSION_FREE:
        break;
    }
}

bool sm_session_hs_next(struct sm_host *h, struct session *s, struct sm_host_out *out)
{
    if (!s->wants_first) {
        return false;
    }
    assert(s->state == SESSION_OPENING || s->state == SESSION_HALF);
    s->wants_first = false;
    *out = (struct sm_host_out){.kind = SM_HOST_PACKET};
    out->packet.dst = h->peers[s->peer].addr;
    out->packet.slot = s->hs_slot;
    out->packet.bytes = sm_view_of(sm_pool_at(&h->pool, s->first), s->first_n);
    return true;
}
