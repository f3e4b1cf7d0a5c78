// SPDX-License-Identifier: Apache-2.0
#include "wire/datagram.h"

#include <string.h>

#define ALIGN 16u

static bool is_zeros(const uint8_t *p, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++) {
        any |= p[i];
    }
    return any == 0;
}

/* -- in clear ---------------------------------------------------------------------------- */

enum sm_err sm_dgram_clear_read(struct sm_view datagram, struct sm_dgram_clear *out)
{
    struct sm_rd r = sm_rd_init(datagram);
    struct sm_dgram_clear c = {0};
    uint8_t kind = sm_rd_u8(&r);
    c.flight = sm_rd_u8(&r);
    uint16_t n = sm_rd_u16(&r);
    c.to = sm_rd_u32(&r);
    c.from = sm_rd_u32(&r);
    uint32_t zero = sm_rd_u32(&r);
    c.messages = sm_rd_view(&r, n);
    struct sm_view rest = sm_rd_rest(&r);
    SM_TRY(sm_rd_done(&r));
    if (kind != SM_DGRAM_CLEAR || zero != 0 || n == 0 || n > SM_DGRAM_CLEAR_MAX ||
        rest.n > SM_DGRAM_BASE || !is_zeros(rest.p, rest.n)) {
        return SM_E_MALFORMED;
    }
    *out = c;
    return SM_OK;
}

void sm_dgram_clear_write(const struct sm_dgram_clear *c, size_t least, struct sm_wr *w)
{
    size_t start = w->n;
    sm_wr_u8(w, SM_DGRAM_CLEAR);
    sm_wr_u8(w, c->flight);
    sm_wr_u16(w, (uint16_t)c->messages.n);
    sm_wr_u32(w, c->to);
    sm_wr_u32(w, c->from);
    sm_wr_u32(w, 0);
    sm_wr_view(w, c->messages);
    while (!w->full && w->n - start < least) {
        sm_wr_u8(w, 0);
    }
}

bool sm_dgram_to(struct sm_view datagram, enum sm_dgram_kind *kind, uint32_t *to)
{
    if (datagram.n < SM_DGRAM_HEAD ||
        (datagram.p[0] != SM_DGRAM_CLEAR && datagram.p[0] != SM_DGRAM_SEALED)) {
        return false;
    }
    *kind = (enum sm_dgram_kind)datagram.p[0];
    *to = sm_le32(datagram.p + 4);
    return true;
}

/* -- sealed ------------------------------------------------------------------------------ */

enum sm_err sm_dgram_head_read(struct sm_view datagram, struct sm_dgram_head *out)
{
    if (datagram.n < SM_DGRAM_OVERHEAD) {
        return SM_E_TRUNCATED;
    }
    const uint8_t *p = datagram.p;
    if (p[0] != SM_DGRAM_SEALED || p[2] >= ALIGN || p[3] != 0 || datagram.n % ALIGN != 0 ||
        datagram.n > SM_DGRAM_MAX) {
        return SM_E_MALFORMED;
    }
    *out = (struct sm_dgram_head){
        .phase = p[1], .padding = p[2], .to = sm_le32(p + 4), .counter = sm_le64(p + 8)};
    return SM_OK;
}

void sm_dgram_head_write(const struct sm_dgram_head *h, uint8_t out[static SM_DGRAM_HEAD])
{
    out[0] = SM_DGRAM_SEALED;
    out[1] = h->phase;
    out[2] = h->padding;
    out[3] = 0;
    sm_put_le32(out + 4, h->to);
    sm_put_le64(out + 8, h->counter);
}

/* -- frames ------------------------------------------------------------------------------ */

uint32_t sm_dgram_piece(uint32_t total, uint32_t n)
{
    if (n == 0 || n > SM_DGRAM_PIECES_MAX || total == 0 || total > SM_DGRAM_PACKET_MAX) {
        return 0;
    }
    uint32_t each = ((total + n - 1) / n + ALIGN - 1) / ALIGN * ALIGN;
    return each * (n - 1) < total ? each : 0;
}

void sm_dgram_frame_head(const struct sm_dgram_frame *f,
                         uint8_t out[static SM_DGRAM_FRAME_HEAD])
{
    memset(out, 0, SM_DGRAM_FRAME_HEAD);
    out[0] = (uint8_t)f->type;
    if (f->type == SM_DGRAM_PIECE) {
        out[1] = f->index;
        out[2] = f->n;
        sm_put_le32(out + 4, f->number);
        sm_put_le32(out + 8, f->total);
        return;
    }
    sm_put_le64(out + 8, f->word);
}

static enum sm_err piece_read(struct sm_view plain, struct sm_dgram_frame *out)
{
    const uint8_t *p = plain.p;
    uint32_t total = sm_le32(p + 8), each = sm_dgram_piece(total, p[2]);
    if (p[3] != 0 || sm_le32(p + 12) != 0 || each == 0 || p[1] >= p[2] ||
        plain.n != SM_DGRAM_FRAME_HEAD + each) {
        return SM_E_MALFORMED;
    }
    uint32_t from = each * p[1], n = total - from < each ? total - from : each;
    if (!is_zeros(p + SM_DGRAM_FRAME_HEAD + n, each - n)) {
        return SM_E_MALFORMED;
    }
    out->type = SM_DGRAM_PIECE;
    out->index = p[1];
    out->n = p[2];
    out->number = sm_le32(p + 4);
    out->total = total;
    out->bytes = sm_view_of(p + SM_DGRAM_FRAME_HEAD, n);
    return SM_OK;
}

static enum sm_err ack_read(struct sm_view plain, struct sm_dgram_frame *out)
{
    struct sm_frame f;
    SM_TRY(sm_frame_read(plain, &f));
    if (f.kind != SM_FRAME_ACK) {
        return SM_E_MALFORMED;
    }
    out->type = SM_DGRAM_ACK;
    out->ack = f.ack;
    return SM_OK;
}

static enum sm_err plain_read(struct sm_view plain, struct sm_dgram_frame *out)
{
    enum sm_dgram_type type = (enum sm_dgram_type)plain.p[0];
    struct sm_view bytes = sm_view_sub(plain, SM_DGRAM_FRAME_HEAD, plain.n);
    uint64_t word = sm_le64(plain.p + 8);
    bool is_right = type == SM_DGRAM_STREAM  ? bytes.n > 0
                    : type == SM_DGRAM_PROBE ? word == 0 && is_zeros(bytes.p, bytes.n)
                                             : bytes.n == 0;
    if (!is_right || !is_zeros(plain.p + 1, 7)) {
        return SM_E_MALFORMED;
    }
    out->type = type;
    out->word = word;
    out->bytes = bytes;
    return SM_OK;
}

enum sm_err sm_dgram_frame_read(struct sm_view plain, struct sm_dgram_frame *out)
{
    if (plain.n < SM_DGRAM_FRAME_HEAD) {
        return SM_E_TRUNCATED;
    }
    switch ((enum sm_dgram_type)plain.p[0]) {
    case SM_DGRAM_PIECE:
        return piece_read(plain, out);
    case SM_DGRAM_ACK:
        return ack_read(plain, out);
    case SM_DGRAM_STREAM:
    case SM_DGRAM_PROBE:
    case SM_DGRAM_CHALLENGE:
    case SM_DGRAM_RESPONSE:
        return plain_read(plain, out);
    }
    return SM_E_MALFORMED;
}
