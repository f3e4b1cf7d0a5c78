// SPDX-License-Identifier: Apache-2.0
#include "wire/packet.h"

#include <assert.h>

/* Where the two bytes lie that a relay changes. */
enum { AT_AT = 3, HOP_LIMIT_AT = 20 };

size_t sm_packet_header_len(unsigned n_hops)
{
    return (SM_PACKET_FIXED + 8u * n_hops + 15u) & ~(size_t)15u;
}

/* No hop twice; the source only in a packet that stays on its node. */
static bool path_is_simple(const struct sm_packet *p)
{
    if (p->n_hops == 1) {
        return true;
    }
    for (unsigned i = 0; i < p->n_hops; i++) {
        if (p->hops[i].v == p->src.v) {
            return false;
        }
        for (unsigned j = 0; j < i; j++) {
            if (p->hops[i].v == p->hops[j].v) {
                return false;
            }
        }
    }
    return true;
}

static bool is_sound(const struct sm_packet *p)
{
    return p->kind == SM_PACKET_SESSION && p->n_hops >= 1 && p->n_hops <= SM_PACKET_HOPS_MAX &&
           p->at < p->n_hops && p->hop_limit <= SM_PACKET_HOPS_MAX &&
           p->path_slot < SM_PACKET_SLOTS;
}

enum sm_err sm_packet_head_write(const struct sm_packet *p, struct sm_wr *w)
{
    static const uint8_t zeros[16];

    struct sm_packet h = *p;
    h.at = 0;
    h.hop_limit = h.n_hops;
    if (!is_sound(&h) || !path_is_simple(&h)) {
        return SM_E_INVALID;
    }
    size_t offset = sm_packet_header_len(h.n_hops);
    sm_wr_u8(w, SM_PACKET_VERSION);
    sm_wr_u8(w, h.kind);
    sm_wr_u8(w, h.n_hops);
    sm_wr_u8(w, h.at);
    sm_wr_u32(w, h.src_ep);
    sm_wr_u64(w, h.src.v);
    sm_wr_u32(w, h.dst_ep);
    sm_wr_u8(w, h.hop_limit);
    sm_wr_u8(w, h.path_slot);
    sm_wr_u16(w, (uint16_t)offset);
    for (unsigned i = 0; i < h.n_hops; i++) {
        sm_wr_u64(w, h.hops[i].v);
    }
    sm_wr_bytes(w, zeros, offset - SM_PACKET_FIXED - 8u * h.n_hops);
    return SM_OK;
}

static bool is_zero(struct sm_view v)
{
    uint8_t any = 0;
    for (size_t i = 0; i < v.n; i++) {
        any |= v.p[i];
    }
    return any == 0;
}

enum sm_err sm_packet_read(struct sm_view bytes, struct sm_packet *out)
{
    struct sm_rd r = sm_rd_init(bytes);
    struct sm_packet p = {0};

    uint8_t version = sm_rd_u8(&r);
    p.kind = sm_rd_u8(&r);
    p.n_hops = sm_rd_u8(&r);
    p.at = sm_rd_u8(&r);
    p.src_ep = sm_rd_u32(&r);
    p.src.v = sm_rd_u64(&r);
    p.dst_ep = sm_rd_u32(&r);
    p.hop_limit = sm_rd_u8(&r);
    p.path_slot = sm_rd_u8(&r);
    uint16_t offset = sm_rd_u16(&r);
    if (r.failed) {
        return sm_rd_done(&r);
    }
    if (version != SM_PACKET_VERSION) {
        return SM_E_VERSION;
    }
    size_t header = sm_packet_header_len(p.n_hops);
    if (!is_sound(&p) || offset != header) {
        return SM_E_MALFORMED;
    }
    for (unsigned i = 0; i < p.n_hops; i++) {
        p.hops[i].v = sm_rd_u64(&r);
    }
    struct sm_view padding = sm_rd_view(&r, header - SM_PACKET_FIXED - 8u * p.n_hops);
    p.payload = sm_rd_rest(&r);
    bool is_good =
        is_zero(padding) && p.payload.n <= SM_PACKET_PAYLOAD_MAX && path_is_simple(&p);
    if (!r.failed && !is_good) {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    *out = p;
    return SM_OK;
}

struct sm_addr sm_packet_src(const struct sm_packet *p)
{
    return (struct sm_addr){p->src, p->src_ep};
}

struct sm_addr sm_packet_dst(const struct sm_packet *p)
{
    assert(p->n_hops >= 1);
    return (struct sm_addr){p->hops[p->n_hops - 1], p->dst_ep};
}

enum sm_packet_fate sm_packet_forward(uint8_t *p, size_t n, struct sm_hop self,
                                      struct sm_hop from, struct sm_hop *next)
{
    struct sm_packet h;
    if (sm_packet_read(sm_view_of(p, n), &h) != SM_OK) {
        return SM_PACKET_BAD;
    }
    if (h.hops[h.at].v != self.v) {
        return SM_PACKET_NOT_OURS;
    }
    struct sm_hop before = h.at == 0 ? h.src : h.hops[h.at - 1];
    if (before.v != from.v) {
        return SM_PACKET_WRONG_FROM;
    }
    if (h.at + 1 == h.n_hops) {
        return SM_PACKET_DELIVER;
    }
    if (h.hop_limit <= 1) { /* this hop uses one, and the next needs one */
        return SM_PACKET_LIMIT;
    }
    p[AT_AT]++;
    p[HOP_LIMIT_AT]--;
    *next = h.hops[h.at + 1];
    return SM_PACKET_FORWARD;
}

const char *sm_packet_fate_words(enum sm_packet_fate fate)
{
    switch (fate) {
    case SM_PACKET_DELIVER:
        return "delivered";
    case SM_PACKET_FORWARD:
        return "forwarded";
    case SM_PACKET_BAD:
        return "header breaks the grammar";
    case SM_PACKET_NOT_OURS:
        return "meant for another hop";
    case SM_PACKET_WRONG_FROM:
        return "came from a neighbour that is not on its path";
    case SM_PACKET_LIMIT:
        return "hop limit used up";
    }
    return "unknown fate";
}
