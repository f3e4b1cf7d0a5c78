// SPDX-License-Identifier: Apache-2.0
#include "wire/sign.h"

#include "wire/record.h"

void sm_sign_record_write(struct sm_view unsigned_record, struct sm_wr *w)
{
    sm_wr_u8(w, SM_SIGN_RECORD);
    sm_wr_view(w, unsigned_record);
}

void sm_sign_evidence_write(const struct sm_binding *b, struct sm_wr *w)
{
    sm_wr_u8(w, SM_SIGN_EVIDENCE);
    sm_wr_u8(w, b->role);
    sm_wr_bytes(w, b->h, sizeof b->h);
    sm_wr_bytes(w, b->pk_self, sizeof b->pk_self);
    sm_wr_bytes(w, b->pk_peer, sizeof b->pk_peer);
    sm_wr_u64(w, b->lease_seq);
    sm_wr_blob(w, b->challenge);
}

void sm_sign_user_write(struct sm_view data, struct sm_wr *w)
{
    sm_wr_u8(w, SM_SIGN_USER);
    sm_wr_view(w, data);
}

static void read_binding(struct sm_rd *r, struct sm_binding *b)
{
    b->role = sm_rd_u8(r);
    sm_rd_bytes(r, b->h, sizeof b->h);
    sm_rd_bytes(r, b->pk_self, sizeof b->pk_self);
    sm_rd_bytes(r, b->pk_peer, sizeof b->pk_peer);
    b->lease_seq = sm_rd_u64(r);
    b->challenge = sm_rd_blob(r, SM_CHALLENGE_MAX);
    if (!r->failed && b->role != SM_ROLE_INITIATOR && b->role != SM_ROLE_RESPONDER) {
        sm_rd_fail(r);
    }
}

enum sm_err sm_sign_request_read(struct sm_view request, struct sm_sign_request *out)
{
    struct sm_rd r = sm_rd_init(request);
    struct sm_sign_request req = {.kind = sm_rd_u8(&r)};
    if (req.kind == SM_SIGN_RECORD) {
        req.record = sm_rd_view(&r, r.left.n);
        if (req.record.n < SM_RECORD_HEAD || req.record.n > SM_RECORD_MAX - SM_RECORD_SIG) {
            sm_rd_fail(&r);
        }
    } else if (req.kind == SM_SIGN_EVIDENCE) {
        read_binding(&r, &req.binding);
    } else if (req.kind == SM_SIGN_USER) {
        req.user = sm_rd_rest(&r);
        if (req.user.n == 0 || req.user.n > SM_USER_DATA_MAX) {
            sm_rd_fail(&r);
        }
    } else if (!r.failed) {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    *out = req;
    return SM_OK;
}
