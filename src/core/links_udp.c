// SPDX-License-Identifier: Apache-2.0
/* Datagrams: whose they are, and what a stranger's meet.
 *
 * A tunnel's datagrams carry the id it chose, which holds its place in the table.  One without
 * an id is a dialer's first, or the same again; it goes past the door by itself, whole, so a
 * stranger that is asked for work costs nothing but the answer. */
#include "core/node_int.h"

#include <assert.h>
#include <string.h>

#define ID_SLOTS 1024u /* of own_id, below them the rest is chance */

static struct link *link_of_id(struct sm_node *n, uint32_t id)
{
    unsigned i = id % ID_SLOTS;
    bool is_it = id != 0 && i < n->links_top && n->links[i].is_used && n->links[i].own_id == id;
    return is_it && n->links[i].tunnel != NULL ? &n->links[i] : NULL;
}

static uint32_t new_id(struct sm_node *n, const struct link *l)
{
    uint32_t chance = (uint32_t)sm_rng_u64(&n->rng) | ID_SLOTS; /* so it is never 0 */
    return (chance & ~(ID_SLOTS - 1)) | (uint32_t)(l - n->links);
}

enum sm_err udp_dial(struct sm_node *n, struct link *l)
{
    l->own_id = new_id(n, l);
    l->path = (struct sm_path){n->peers[l->peer_index].addr, SM_SOCK_ANY};
    const struct sm_dgram_cfg cfg = {.own_id = l->own_id, .path = l->path};
    return links_start(n, l, &cfg);
}

/* -- strangers --------------------------------------------------------------------------- */

/* The dialer whose first datagram this was before. */
static struct link *link_of_dialer(struct sm_node *n, const struct sm_path *from, uint32_t id)
{
    for (unsigned i = 0; i < n->links_top; i++) {
        struct link *l = &n->links[i];
        if (l->is_used && l->is_udp && l->peer_index < 0 && l->peer_id == id &&
            sm_path_eq(&l->path, from)) {
            return l;
        }
    }
    return NULL;
}

static void answer(struct sm_node *n, const struct sm_dgram_clear *to,
                   const struct sm_wr *words)
{
    struct sm_wr w = sm_wr_init(n->udp.answer, sizeof n->udp.answer);
    sm_dgram_clear_write(&(struct sm_dgram_clear){.flight = (uint8_t)(to->flight + 1),
                                                  .to = to->from,
                                                  .messages = sm_view_of(words->p, words->n)},
                         0, &w);
    n->udp.answer_n = w.full ? 0 : w.n;
}

static void let_in(struct sm_node *n, const struct sm_path *from,
                   const struct sm_dgram_clear *c, struct sm_view hello)
{
    struct link *l = links_stranger(n, &from->addr);
    if (l == NULL) {
        return;
    }
    l->own_id = new_id(n, l);
    l->peer_id = c->from;
    l->path = *from;
    const struct sm_dgram_cfg cfg = {
        .own_id = l->own_id, .peer_id = c->from, .flight = c->flight, .path = *from};
    struct sm_dgram_clear first = {.flight = c->flight, .from = c->from, .messages = hello};
    struct sm_wr w = sm_wr_init(n->udp.hello, sizeof n->udp.hello);
    sm_dgram_clear_write(&first, SM_DGRAM_BASE, &w);
    if (w.full || links_start(n, l, &cfg) != SM_OK) {
        links_drop(n, l);
        return;
    }
    sm_tunnel_datagrams(l->tunnel, n->now, n->wall, from, n->udp.hello, w.n, w.n);
}

/* A datagram without an id: from c->from at *from. */
static void knock(struct sm_node *n, const struct sm_path *from, const struct sm_dgram_clear *c)
{
    uint8_t source[32], words[sizeof n->udp.answer];
    struct sm_wr s = sm_wr_init(source, sizeof source), w = sm_wr_init(words, sizeof words);
    struct sm_knock k = {.in = n->udp.knock,
                         .is_asked = c->messages.n > 3 && c->messages.p[3] == SM_HAND_ADMIT};
    sm_wr_u8(&s, from->addr.family);
    sm_wr_bytes(&s, from->addr.ip, sizeof from->addr.ip);
    sm_wr_u16(&s, from->addr.port);
    sm_wr_u32(&s, c->from);
    switch (sm_door_hear(&n->door, n->now, links_strangers(n), sm_view_of(s.p, s.n),
                         c->messages, &k, &w)) {
    case SM_DOOR_WAIT:
        return; /* a piece of a HELLO is nothing */
    case SM_DOOR_ASK:
    case SM_DOOR_SHUT:
        if (w.n > 0) {
            answer(n, c, &w);
        }
        return;
    case SM_DOOR_OPEN:
        let_in(n, from, c, sm_view_of(k.in + k.hello_at, k.n - k.hello_at));
        return;
    }
}

static void on_stranger(struct sm_node *n, const struct sm_path *from, uint8_t *p, size_t len)
{
    struct sm_dgram_clear c;
    if (n->self_record_n == 0 || len < SM_DGRAM_BASE ||
        sm_dgram_clear_read(sm_view_of(p, len), &c) != SM_OK || c.from == 0) {
        return;
    }
    struct link *l = link_of_dialer(n, from, c.from);
    if (l != NULL) {
        sm_tunnel_datagrams(l->tunnel, n->now, n->wall, from, p, len, len);
    } else {
        knock(n, from, &c);
    }
}

/* -- all --------------------------------------------------------------------------------- */

void udp_input(struct sm_node *n, const struct sm_path *from, uint8_t *p, size_t len,
               size_t segment)
{
    assert(n->udp.n == 0); /* the driver drains between events */
    n->udp.from = *from;
    n->udp.p = p;
    n->udp.n = len;
    n->udp.segment = segment > 0 ? segment : len;
}

/* The datagrams at the front that are for one tunnel: how many bytes. */
static size_t run_for(const struct sm_node *n, uint32_t id)
{
    size_t at = 0;
    while (at < n->udp.n) {
        size_t len = n->udp.n - at < n->udp.segment ? n->udp.n - at : n->udp.segment;
        enum sm_dgram_kind kind;
        uint32_t to;
        if (!sm_dgram_to(sm_view_of(n->udp.p + at, len), &kind, &to) || to != id) {
            break;
        }
        at += len;
    }
    return at;
}

static void give_front(struct sm_node *n)
{
    uint8_t *p = n->udp.p;
    size_t len = n->udp.n < n->udp.segment ? n->udp.n : n->udp.segment;
    enum sm_dgram_kind kind;
    uint32_t to = 0;
    bool is_ours = sm_dgram_to(sm_view_of(p, len), &kind, &to);
    struct link *l = is_ours ? link_of_id(n, to) : NULL;
    if (l != NULL) {
        len = run_for(n, to);
    }
    n->udp.p += len;
    n->udp.n -= len;
    if (l != NULL) {
        l->received_bytes += len;
        sm_tunnel_datagrams(l->tunnel, n->now, n->wall, &n->udp.from, p, len, n->udp.segment);
    } else if (is_ours && kind == SM_DGRAM_CLEAR && to == 0) {
        on_stranger(n, &n->udp.from, p, len);
    }
}

bool udp_next(struct sm_node *n, struct sm_action *out, bool *progress)
{
    if (n->udp.answer_n > 0) {
        *out = (struct sm_action){.kind = SM_ACT_SEND,
                                  .bytes = sm_view_of(n->udp.answer, n->udp.answer_n),
                                  .segment = n->udp.answer_n,
                                  .addr = n->udp.from.addr,
                                  .sock = n->udp.from.sock};
        n->udp.answer_n = 0;
        return true;
    }
    if (n->udp.n > 0) {
        give_front(n);
        *progress = true;
    }
    return false;
}
