// SPDX-License-Identifier: Apache-2.0
/* Datagrams: sealed and opened where they lie, under the keys of the session and numbers of
 * their own.  A session counts both kinds towards the life of its key. */
#include "core/session_int.h"

#include <string.h>

_Static_assert(SM_HOST_DATAGRAM_FRONT == SM_FRAG_HEAD + SM_FRAG_DATAGRAM_HEAD &&
                   SM_HOST_DATAGRAM_BACK == SM_FRAG_TAG &&
                   SM_HOST_DATAGRAM_MAX == SM_FRAG_DATAGRAM_MAX,
               "the contract and the grammar agree");

/* -- out ---------------------------------------------------------------------------------- */

/* Nothing answers a datagram, so a relay that swallows them would not show: ask now and then.
 */
static void ping_if_due(struct sm_host *h, struct peer *p, struct session *s, unsigned slot)
{
    struct slot *t = &p->slot[slot];
    if (!sm_is_due(t->datagram_ping, h->now)) {
        return;
    }
    t->datagram_ping = sm_after(h->now, DATAGRAM_PING);
    s->wants_ping |= (uint8_t)(1u << slot);
    sm_session_control_add(h, s);
}

static enum sm_err seal(struct sm_host *h, struct session *s, uint8_t slot, uint8_t service,
                        uint8_t *p, size_t n, struct sm_view *out)
{
    uint8_t *plain = p - SM_FRAG_DATAGRAM_HEAD, *packet = plain - SM_FRAG_HEAD;
    struct sm_frag_head head = {
        .type = SM_FRAG_DATAGRAM,
        .slot = slot,
        .session = s->remote_id,
        .number = SM_FRAG_DATAGRAM_BIT | s->tx_datagrams,
    };
    sm_frag_head_write(&head, packet);
    memset(plain, 0, SM_FRAG_DATAGRAM_HEAD);
    plain[0] = service;
    SM_TRY(sm_aead_seal(&s->tx, head.number, sm_view_of(packet, SM_FRAG_HEAD),
                        sm_view_of(plain, SM_FRAG_DATAGRAM_HEAD + n), plain));
    s->tx_datagrams++;
    s->last_tx = h->now;
    h->stats.datagrams_sent++;
    *out = sm_view_of(packet, SM_FRAG_HEAD + SM_FRAG_DATAGRAM_HEAD + n + SM_FRAG_TAG);
    return SM_OK;
}

enum sm_err sm_host_datagram(struct sm_host *h, struct sm_mono now, struct sm_addr dst,
                             const uint8_t dh_key[static 32], uint8_t slot, uint8_t service,
                             uint8_t *p, size_t n, struct sm_view *out)
{
    h->now = now;
    if (n > SM_FRAG_DATAGRAM_MAX) {
        return SM_E_LIMIT;
    }
    if (slot >= SM_HOST_SLOTS || sm_addr_eq(dst, h->cfg.self)) {
        return SM_E_INVALID;
    }
    struct peer *to = sm_session_peer_take(h, dst, dh_key);
    if (to == NULL) {
        return SM_E_BUSY;
    }
    to->last_used = now;
    if (to->current == SM_NONE) {
        sm_session_want(h, to);
        return to->opening != SM_NONE ? SM_E_STATE : SM_E_BUSY;
    }
    struct session *s = &h->sessions[to->current];
    sm_session_rekey_if_due(h, to, s);
    if (sealed_count(s) >= HARD_COUNT) {
        return SM_E_STATE; /* its successor is being opened */
    }
    ping_if_due(h, to, s, slot);
    return seal(h, s, slot, service, p, n, out);
}

/* -- in ----------------------------------------------------------------------------------- */

/* The numbers of the session's datagrams that have come. */
static struct sm_window *window_of(struct sm_host *h, struct session *s)
{
    struct sm_window *w = &h->datagrams_seen[index_of_session(h, s)];
    if (!s->has_datagrams) {
        s->has_datagrams = true;
        memset(w, 0, sizeof *w);
    }
    return w;
}

static bool is_zero(const uint8_t *p, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++) {
        any |= p[i];
    }
    return any == 0;
}

void sm_session_recv_datagram(struct sm_host *h, struct sm_addr src,
                              const struct sm_frag_head *head, struct sm_view packet)
{
    struct session *s = sm_session_recv_find(h, src, head, packet.n);
    if (s == NULL) {
        return;
    }
    uint64_t number = head->number & ~SM_FRAG_DATAGRAM_BIT;
    struct sm_window *seen = window_of(h, s);
    if (!sm_window_is_new(seen, number)) {
        h->stats.refused_replays++;
        return;
    }
    struct sm_view sealed = sm_view_sub(packet, SM_FRAG_HEAD, packet.n);
    uint8_t *plain = (uint8_t *)(uintptr_t)sealed.p; /* the caller's, to be changed */
    if (sm_aead_open(&s->rx, head->number, sm_view_sub(packet, 0, SM_FRAG_HEAD), sealed,
                     plain) != SM_OK) {
        h->stats.refused_sealed++;
        return;
    }
    sm_window_mark(seen, number);
    if (s->state == SESSION_HALF) {
        sm_session_up(h, s); /* the opener has our message 2: nobody else could seal this */
    }
    sm_session_heard(h, s);
    size_t n = sealed.n - SM_FRAG_TAG;
    if (n < SM_FRAG_DATAGRAM_HEAD || !is_zero(plain + 1, SM_FRAG_DATAGRAM_HEAD - 1)) {
        h->stats.refused_packets++;
        return;
    }
    h->stats.datagrams_received++;
    h->datagram = (struct sm_host_datagram){.peer = &h->peers[s->peer].passport,
                                            .service = plain[0],
                                            .p = plain + SM_FRAG_DATAGRAM_HEAD,
                                            .n = n - SM_FRAG_DATAGRAM_HEAD};
}

bool sm_host_datagram_take(struct sm_host *h, struct sm_host_datagram *out)
{
    if (h->datagram.p == NULL) {
        return false;
    }
    *out = h->datagram;
    h->datagram.p = NULL;
    return true;
}
