// SPDX-License-Identifier: Apache-2.0
/* A stranger's bytes as each record, passport, head and request there is.  What reads must
 * write to the same bytes. */
#include "attest/reason.h"
#include "wire/frame.h"
#include "wire/receipt.h"
#include "wire/record.h"
#include "wire/sign.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect_same(const struct sm_wr *w, struct sm_view in, size_t tail)
{
    assert(!w->full);
    assert(w->n + tail == in.n);
    assert(memcmp(w->p, in.p, w->n) == 0);
}

static void try_records(struct sm_view in)
{
    uint8_t buf[SM_PASSPORT_MAX];
    struct sm_wr w = sm_wr_init(buf, sizeof buf);
    struct sm_node_record node;
    struct sm_endpoint_record ep;
    struct sm_view a, b;
    if (sm_node_record_read(in, &node) == SM_OK) {
        sm_node_record_write(&node, &w);
        expect_same(&w, in, SM_RECORD_SIG);
    }
    w = sm_wr_init(buf, sizeof buf);
    if (sm_endpoint_record_read(in, &ep) == SM_OK) {
        sm_endpoint_record_write(&ep, &w);
        expect_same(&w, in, SM_RECORD_SIG);
    }
    w = sm_wr_init(buf, sizeof buf);
    struct sm_receipt receipt;
    if (sm_receipt_read(in, &receipt) == SM_OK) {
        sm_receipt_write(&receipt, &w);
        expect_same(&w, in, SM_RECORD_SIG);
    }
    w = sm_wr_init(buf, sizeof buf);
    if (sm_passport_read(in, &a, &b) == SM_OK) {
        sm_passport_write(a, b, &w);
        expect_same(&w, in, 0);
    }
}

static void try_frames(struct sm_view in)
{
    uint8_t buf[SM_TFRAME_EVIDENCE_MAX];
    struct sm_wr w = sm_wr_init(buf, sizeof buf);
    struct sm_evidence_frame ev;
    struct sm_close_frame cl;
    struct sm_hand hand;
    struct sm_tframe f;
    if (sm_evidence_frame_read(in, &ev) == SM_OK) {
        sm_evidence_frame_write(&ev, &w);
        expect_same(&w, in, 0);
    }
    w = sm_wr_init(buf, sizeof buf);
    if (sm_close_frame_read(in, &cl) == SM_OK && in.p[0] == (uint8_t)(-(int)cl.err)) {
        sm_close_frame_write(&cl, &w);
        expect_same(&w, in, 0);
    }
    struct sm_reasons why;
    w = sm_wr_init(buf, sizeof buf);
    if (sm_reasons_read(in, &why) == SM_OK) {
        char fix[SM_FIX_TEXT];
        sm_reasons_write(&why, &w);
        expect_same(&w, in, 0);
        for (size_t i = 0; i < why.n; i++) {
            sm_reason_fix(&why.r[i], buf[0], fix);
            assert(strlen(fix) < sizeof fix);
        }
    }
    if (in.n >= SM_HAND_HEAD && sm_hand_read(in.p, &hand) == SM_OK) {
        sm_hand_write(&hand, buf);
        assert(memcmp(buf, in.p, SM_HAND_HEAD) == 0);
    }
    if (in.n >= SM_TFRAME_HEAD && sm_tframe_read(in.p, SM_TFRAME_PAYLOAD_MAX, &f) == SM_OK) {
        sm_tframe_write(&f, buf);
        assert(memcmp(buf, in.p, SM_TFRAME_HEAD) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sm_view in = sm_view_of(data, n);
    struct sm_sign_request req;
    uint8_t buf[SM_SIGN_EVIDENCE_MAX];
    struct sm_wr w = sm_wr_init(buf, sizeof buf);
    try_records(in);
    try_frames(in);
    if (sm_sign_request_read(in, &req) == SM_OK && req.kind == SM_SIGN_EVIDENCE) {
        sm_sign_evidence_write(&req.binding, &w);
        expect_same(&w, in, 0);
    } else if (sm_sign_request_read(in, &req) == SM_OK && req.kind == SM_SIGN_USER) {
        sm_sign_user_write(req.user, &w);
        expect_same(&w, in, 0);
    }
    return 0;
}
