// SPDX-License-Identifier: Apache-2.0
#include "wire/fragment.h"

#include <assert.h>

void sm_frag_head_write(const struct sm_frag_head *head, uint8_t out[static SM_FRAG_HEAD])
{
    struct sm_wr w = sm_wr_init(out, SM_FRAG_HEAD);
    sm_wr_u8(&w, (uint8_t)head->type);
    sm_wr_u8(&w, head->flags);
    sm_wr_u8(&w, head->slot);
    sm_wr_u8(&w, head->cipher);
    sm_wr_u32(&w, head->session);
    sm_wr_u64(&w, head->number);
}

enum sm_err sm_frag_head_read(struct sm_view packet, struct sm_frag_head *out,
                              struct sm_view *body)
{
    struct sm_rd r = sm_rd_init(packet);
    struct sm_frag_head h;
    uint8_t type = sm_rd_u8(&r);
    h.flags = sm_rd_u8(&r);
    h.slot = sm_rd_u8(&r);
    h.cipher = sm_rd_u8(&r);
    h.session = sm_rd_u32(&r);
    h.number = sm_rd_u64(&r);
    struct sm_view rest = sm_rd_rest(&r);
    if (type < SM_FRAG_INIT || type > SM_FRAG_DATAGRAM || (h.flags & ~SM_FRAG_ACK_NOW) != 0) {
        sm_rd_fail(&r);
    }
    bool is_datagram = type == SM_FRAG_DATAGRAM;
    if (is_datagram ? h.flags != 0 || (h.number & SM_FRAG_DATAGRAM_BIT) == 0
                    : type == SM_FRAG_DATA_SEALED && (h.number & SM_FRAG_DATAGRAM_BIT) != 0) {
        sm_rd_fail(&r);
    }
    if (type != SM_FRAG_INIT && h.cipher != 0) {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    h.type = (enum sm_frag_type)type;
    *out = h;
    *body = rest;
    return SM_OK;
}

void sm_frame_message_head(const struct sm_frame_message *message,
                           uint8_t out[static SM_FRAG_MSG_HEAD])
{
    struct sm_wr w = sm_wr_init(out, SM_FRAG_MSG_HEAD);
    sm_wr_u8(&w, (uint8_t)message->kind);
    sm_wr_u8(&w, message->service);
    sm_wr_u16(&w, 0);
    sm_wr_u32(&w, message->total);
    sm_wr_u64(&w, message->id);
    sm_wr_u32(&w, message->offset);
    sm_wr_u32(&w, message->word);
    sm_wr_u32(&w, message->cookie);
    sm_wr_u32(&w, 0);
    assert(!w.full && w.n == SM_FRAG_MSG_HEAD);
}

static void message_read(struct sm_rd *r, struct sm_frame_message *m)
{
    m->service = sm_rd_u8(r);
    uint16_t zero16 = sm_rd_u16(r);
    m->total = sm_rd_u32(r);
    m->id = sm_rd_u64(r);
    m->offset = sm_rd_u32(r);
    m->word = sm_rd_u32(r);
    m->cookie = sm_rd_u32(r);
    uint32_t zero32 = sm_rd_u32(r);
    m->data = sm_rd_rest(r);
    if (zero16 != 0 || zero32 != 0 || m->total > SM_FRAG_MESSAGE_MAX || m->offset > m->total ||
        m->offset % SM_FRAG_DATA != 0) {
        sm_rd_fail(r);
        return;
    }
    uint32_t left = m->total - m->offset;
    if (left == 0 && m->total != 0) {
        sm_rd_fail(r);
    }
    if (m->data.n != (left < SM_FRAG_DATA ? left : SM_FRAG_DATA)) {
        sm_rd_fail(r);
    }
}

static void ack_read(struct sm_rd *r, struct sm_frame_ack *a)
{
    a->n = sm_rd_u8(r);
    uint16_t zero = sm_rd_u16(r);
    a->delay_us = sm_rd_u32(r);
    uint64_t top = sm_rd_u64(r);
    if (zero != 0 || a->n == 0 || a->n > SM_FRAG_RANGES) {
        sm_rd_fail(r);
        return;
    }
    for (uint32_t i = 0; i < a->n; i++) {
        uint32_t gap = sm_rd_u32(r);
        uint32_t len = sm_rd_u32(r);
        if (r->failed) {
            return;
        }
        bool is_first = i == 0;
        if (is_first != (gap == 0) || len == 0 || top < gap || top - gap < len - 1) {
            sm_rd_fail(r);
            return;
        }
        a->range[i].high = top - gap;
        a->range[i].low = top - gap - (len - 1);
        top = a->range[i].low - 1; /* may wrap when low is 0: then no range may follow */
        if (a->range[i].low == 0 && i + 1 < a->n) {
            sm_rd_fail(r);
            return;
        }
    }
}

enum sm_err sm_frame_read(struct sm_view plain, struct sm_frame *out)
{
    struct sm_rd r = sm_rd_init(plain);
    uint8_t kind = sm_rd_u8(&r);
    if (kind < SM_FRAME_REQUEST || kind > SM_FRAME_CLOSE) {
        return plain.n == 0 ? SM_E_TRUNCATED : SM_E_MALFORMED;
    }
    struct sm_frame f = {.kind = (enum sm_frame_kind)kind};
    switch (f.kind) {
    case SM_FRAME_REQUEST:
    case SM_FRAME_RESPONSE:
        f.message.kind = f.kind;
        message_read(&r, &f.message);
        break;
    case SM_FRAME_ACK:
        ack_read(&r, &f.ack);
        break;
    case SM_FRAME_PING:
    case SM_FRAME_CLOSE:
        break;
    }
    SM_TRY(sm_rd_done(&r));
    *out = f;
    return SM_OK;
}

enum sm_err sm_frame_ack_write(const struct sm_frame_ack *ack, struct sm_wr *w)
{
    assert(ack->n > 0 && ack->n <= SM_FRAG_RANGES);
    sm_wr_u8(w, SM_FRAME_ACK);
    sm_wr_u8(w, (uint8_t)ack->n);
    sm_wr_u16(w, 0);
    sm_wr_u32(w, ack->delay_us);
    sm_wr_u64(w, ack->range[0].high);
    uint64_t above = ack->range[0].high;
    for (uint32_t i = 0; i < ack->n; i++) {
        const struct sm_frame_range *g = &ack->range[i];
        /* SPEC: the first gap is 0; later ones count the missing numbers between. */
        sm_wr_u32(w, (uint32_t)(above - g->high));
        sm_wr_u32(w, (uint32_t)(g->high - g->low + 1));
        above = g->low - 1;
    }
    return w->full ? SM_E_LIMIT : SM_OK;
}
