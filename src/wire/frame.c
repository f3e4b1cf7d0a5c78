// SPDX-License-Identifier: Apache-2.0
#include "wire/frame.h"

#include "wire/record.h"

/* -- in clear ---------------------------------------------------------------------------- */

/* Each kind has its own fields; the others are zero, so there is one encoding. */
static bool is_hand(const struct sm_hand *h)
{
    bool has_choice = h->pattern != 0 && h->pattern <= SM_HAND_IK && h->cipher != 0 &&
                      h->faster != 0 && h->pq <= SM_HAND_PQ;
    bool no_choice = h->pattern == 0 && h->cipher == 0 && h->faster == 0 && h->pq == 0;
    switch (h->kind) {
    case SM_HAND_HELLO:
        return has_choice && h->reason == 0 && h->n > 0 && h->n <= SM_HAND_MAX;
    case SM_HAND_NOISE:
        return no_choice && h->reason == 0 && h->n > 0 && h->n <= SM_HAND_MAX;
    case SM_HAND_RETRY:
        return has_choice && h->reason == 0 && h->n == 0;
    case SM_HAND_REFUSE:
        return no_choice && h->reason != 0 && h->n == 0;
    case SM_HAND_COOKIE:
        return no_choice && h->reason == 0 && h->n == SM_COOKIE_BYTES;
    case SM_HAND_ADMIT:
        return no_choice && h->reason == 0 && h->n == SM_ADMIT_BYTES;
    default:
        return false;
    }
}

enum sm_err sm_hand_read(const uint8_t head[static SM_HAND_HEAD], struct sm_hand *out)
{
    struct sm_rd r = sm_rd_init(sm_view_of(head, SM_HAND_HEAD));
    struct sm_hand h = {0};
    if (sm_rd_u8(&r) != 'S' || sm_rd_u8(&r) != 'M') {
        return SM_E_MALFORMED;
    }
    uint8_t version = sm_rd_u8(&r);
    h.kind = sm_rd_u8(&r);
    h.pattern = sm_rd_u8(&r);
    h.cipher = sm_rd_u8(&r);
    h.faster = sm_rd_u8(&r);
    h.reason = sm_rd_u8(&r);
    h.n = sm_rd_u16(&r);
    h.pq = sm_rd_u8(&r);
    uint8_t zero = sm_rd_u8(&r);
    SM_TRY(sm_rd_done(&r));
    if (version != SM_HAND_VERSION) {
        return SM_E_VERSION;
    }
    if (zero != 0 || !is_hand(&h)) {
        return SM_E_MALFORMED;
    }
    *out = h;
    return SM_OK;
}

void sm_hand_write(const struct sm_hand *h, uint8_t out[static SM_HAND_HEAD])
{
    struct sm_wr w = sm_wr_init(out, SM_HAND_HEAD);
    sm_wr_u8(&w, 'S');
    sm_wr_u8(&w, 'M');
    sm_wr_u8(&w, SM_HAND_VERSION);
    sm_wr_u8(&w, h->kind);
    sm_wr_u8(&w, h->pattern);
    sm_wr_u8(&w, h->cipher);
    sm_wr_u8(&w, h->faster);
    sm_wr_u8(&w, h->reason);
    sm_wr_u16(&w, h->n);
    sm_wr_u8(&w, h->pq);
    sm_wr_u8(&w, 0);
}

static void read_cookie(struct sm_rd *r, struct sm_cookie *c)
{
    c->stamp = sm_rd_u32(r);
    c->bits = sm_rd_u8(r);
    sm_rd_bytes(r, c->mac, sizeof c->mac);
    if (!r->failed && (c->bits == 0 || c->bits > SM_PUZZLE_BITS_MAX)) {
        sm_rd_fail(r);
    }
}

enum sm_err sm_cookie_read(struct sm_view body, struct sm_cookie *out)
{
    struct sm_rd r = sm_rd_init(body);
    struct sm_cookie c;
    read_cookie(&r, &c);
    SM_TRY(sm_rd_done(&r));
    *out = c;
    return SM_OK;
}

void sm_cookie_write(const struct sm_cookie *c, struct sm_wr *w)
{
    sm_wr_u32(w, c->stamp);
    sm_wr_u8(w, c->bits);
    sm_wr_bytes(w, c->mac, sizeof c->mac);
}

enum sm_err sm_admit_read(struct sm_view body, struct sm_cookie *out, uint64_t *out_nonce)
{
    struct sm_rd r = sm_rd_init(body);
    struct sm_cookie c;
    read_cookie(&r, &c);
    uint64_t nonce = sm_rd_u64(&r);
    SM_TRY(sm_rd_done(&r));
    *out = c;
    *out_nonce = nonce;
    return SM_OK;
}

void sm_admit_write(const struct sm_cookie *c, uint64_t nonce, struct sm_wr *w)
{
    sm_cookie_write(c, w);
    sm_wr_u64(w, nonce);
}

/* -- sealed ------------------------------------------------------------------------------ */

enum sm_err sm_tframe_read(const uint8_t head[static SM_TFRAME_HEAD], size_t payload_max,
                           struct sm_tframe *out)
{
    struct sm_rd r = sm_rd_init(sm_view_of(head, SM_TFRAME_HEAD));
    struct sm_tframe f;
    f.n = sm_rd_u32(&r);
    f.type = sm_rd_u8(&r);
    f.padding = sm_rd_u8(&r);
    uint16_t zero = sm_rd_u16(&r);
    f.counter = sm_rd_u64(&r);
    SM_TRY(sm_rd_done(&r));
    if (f.n < SM_TFRAME_TAG || f.n % SM_TFRAME_ALIGN != 0 || zero != 0 ||
        f.padding >= SM_TFRAME_ALIGN || f.padding > f.n - SM_TFRAME_TAG) {
        return SM_E_MALFORMED;
    }
    if (f.n - SM_TFRAME_TAG > payload_max) {
        return SM_E_LIMIT;
    }
    *out = f;
    return SM_OK;
}

void sm_tframe_write(const struct sm_tframe *f, uint8_t out[static SM_TFRAME_HEAD])
{
    sm_put_le32(out, f->n);
    out[4] = f->type;
    out[5] = f->padding;
    out[6] = 0;
    out[7] = 0;
    sm_put_le64(out + 8, f->counter);
}

/* -- what frames carry -------------------------------------------------- */

enum sm_err sm_evidence_frame_read(struct sm_view payload, struct sm_evidence_frame *out)
{
    struct sm_rd r = sm_rd_init(payload);
    struct sm_evidence_frame f;
    f.lease_seq = sm_rd_u64(&r);
    f.record = sm_rd_view(&r, sm_rd_u16(&r));
    f.evidence = sm_rd_view(&r, sm_rd_u16(&r));
    if (f.record.n > SM_NODE_RECORD_MAX || f.evidence.n > SM_EVIDENCE_MAX) {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    *out = f;
    return SM_OK;
}

void sm_evidence_frame_write(const struct sm_evidence_frame *f, struct sm_wr *w)
{
    if (f->record.n > SM_NODE_RECORD_MAX || f->evidence.n > SM_EVIDENCE_MAX) {
        w->full = true;
        return;
    }
    sm_wr_u64(w, f->lease_seq);
    sm_wr_u16(w, (uint16_t)f->record.n);
    sm_wr_view(w, f->record);
    sm_wr_u16(w, (uint16_t)f->evidence.n);
    sm_wr_view(w, f->evidence);
}

enum sm_err sm_challenge_frame_read(struct sm_view payload, struct sm_challenge_frame *out)
{
    struct sm_rd r = sm_rd_init(payload);
    struct sm_challenge_frame f;
    f.lease_seq = sm_rd_u64(&r);
    sm_rd_bytes(&r, f.challenge, sizeof f.challenge);
    SM_TRY(sm_rd_done(&r));
    *out = f;
    return SM_OK;
}

void sm_challenge_frame_write(const struct sm_challenge_frame *f, struct sm_wr *w)
{
    sm_wr_u64(w, f->lease_seq);
    sm_wr_bytes(w, f->challenge, sizeof f->challenge);
}

/* A peer's words end in our log: printable ASCII only. */
static bool is_printable(struct sm_view text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < 0x20 || text.p[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

enum sm_err sm_close_frame_read(struct sm_view payload, struct sm_close_frame *out)
{
    struct sm_rd r = sm_rd_init(payload);
    struct sm_close_frame f;
    f.err = sm_err_from_i32(-(int)sm_rd_u8(&r));
    f.text = sm_rd_view(&r, sm_rd_u8(&r));
    f.reasons = sm_rd_rest(&r);
    if (f.text.n > SM_CLOSE_TEXT_MAX || f.reasons.n > SM_CLOSE_REASONS_MAX ||
        !is_printable(f.text)) {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    *out = f;
    return SM_OK;
}

void sm_close_frame_write(const struct sm_close_frame *f, struct sm_wr *w)
{
    struct sm_view text = sm_view_sub(f->text, 0, SM_CLOSE_TEXT_MAX);
    sm_wr_u8(w, (uint8_t)(-(int)f->err));
    sm_wr_u8(w, (uint8_t)text.n);
    sm_wr_view(w, text);
    sm_wr_view(w, f->reasons);
}
