// SPDX-License-Identifier: Apache-2.0
#include "wire/store_rpc.h"

#include <assert.h>

/* Which parts a request of each op has. */
struct shape {
    bool index, segment, upload, object, token;
    size_t bytes_max; /* 0: none may follow */
};

static bool shape_of(uint8_t op, struct shape *out)
{
    switch (op) {
    case SM_STORE_SHARD_PUT:
        *out = (struct shape){
            .index = true, .segment = true, .upload = true, .bytes_max = SM_SHARD_MAX};
        return true;
    case SM_STORE_COMMIT:
        *out = (struct shape){.index = true, .upload = true, .bytes_max = SM_MANIFEST_MAX};
        return true;
    case SM_STORE_ABORT:
        *out = (struct shape){.upload = true};
        return true;
    case SM_STORE_MANIFEST_GET:
        *out = (struct shape){.object = true};
        return true;
    case SM_STORE_SHARD_GET:
        *out = (struct shape){.index = true, .segment = true, .object = true};
        return true;
    case SM_STORE_REMOVE:
        *out = (struct shape){.object = true, .token = true};
        return true;
    case SM_STORE_STAT:
        *out = (struct shape){0};
        return true;
    }
    return false;
}

enum sm_err sm_store_req_read(struct sm_view in, struct sm_store_req *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_store_req q = {0};
    struct shape s = {0};
    uint8_t op = sm_rd_u8(&r);
    if (in.n > 0 && !shape_of(op, &s)) {
        return SM_E_UNSUPPORTED;
    }
    q.op = (enum sm_store_op)op;
    q.index = sm_rd_u8(&r);
    uint16_t zero16 = sm_rd_u16(&r);
    q.segment = sm_rd_u32(&r);
    uint64_t zero64 = sm_rd_u64(&r);
    if (zero16 != 0 || zero64 != 0 || (!s.index && q.index != 0) ||
        (!s.segment && q.segment != 0)) {
        sm_rd_fail(&r);
    }
    if (s.upload) {
        sm_rd_bytes(&r, q.upload.b, sizeof q.upload.b);
    }
    if (s.object) {
        sm_rd_bytes(&r, q.object.b, sizeof q.object.b);
    }
    if (s.token) {
        sm_rd_bytes(&r, q.token.b, sizeof q.token.b);
    }
    if (s.bytes_max > 0) {
        q.bytes = sm_rd_rest(&r);
        if (q.bytes.n == 0 || q.bytes.n > s.bytes_max) {
            sm_rd_fail(&r);
        }
    }
    SM_TRY(sm_rd_done(&r));
    *out = q;
    return SM_OK;
}

enum sm_err sm_store_req_write(struct sm_wr *w, const struct sm_store_req *req)
{
    struct shape s = {0};
    bool known = shape_of((uint8_t)req->op, &s);
    assert(known);
    assert(req->bytes.n <= s.bytes_max && (req->bytes.n > 0 || s.bytes_max == 0));
    sm_wr_u8(w, (uint8_t)req->op);
    sm_wr_u8(w, s.index ? req->index : 0);
    sm_wr_u16(w, 0);
    sm_wr_u32(w, s.segment ? req->segment : 0);
    sm_wr_u64(w, 0);
    if (s.upload) {
        sm_wr_bytes(w, req->upload.b, sizeof req->upload.b);
    }
    if (s.object) {
        sm_wr_bytes(w, req->object.b, sizeof req->object.b);
    }
    if (s.token) {
        sm_wr_bytes(w, req->token.b, sizeof req->token.b);
    }
    sm_wr_view(w, req->bytes);
    return w->full ? SM_E_LIMIT : SM_OK;
}

enum sm_err sm_store_manifest_reply_read(struct sm_view in, struct sm_store_manifest_reply *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_store_manifest_reply m = {0};
    m.held = sm_rd_u64(&r);
    uint64_t zero = sm_rd_u64(&r);
    m.manifest = sm_rd_rest(&r);
    if (zero != 0 || m.manifest.n > SM_MANIFEST_MAX) {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    *out = m;
    return SM_OK;
}

enum sm_err sm_store_manifest_reply_write(struct sm_wr *w,
                                          const struct sm_store_manifest_reply *m)
{
    sm_wr_u64(w, m->held);
    sm_wr_u64(w, 0);
    sm_wr_view(w, m->manifest);
    return w->full ? SM_E_LIMIT : SM_OK;
}

enum sm_err sm_store_stat_read(struct sm_view in, struct sm_store_stat *out)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_store_stat s = {0};
    s.objects = sm_rd_u64(&r);
    s.shards = sm_rd_u64(&r);
    s.bytes = sm_rd_u64(&r);
    s.client_bytes = sm_rd_u64(&r);
    s.client_quota = sm_rd_u64(&r);
    s.free_bytes = sm_rd_u64(&r);
    SM_TRY(sm_rd_done(&r));
    *out = s;
    return SM_OK;
}

enum sm_err sm_store_stat_write(struct sm_wr *w, const struct sm_store_stat *s)
{
    sm_wr_u64(w, s->objects);
    sm_wr_u64(w, s->shards);
    sm_wr_u64(w, s->bytes);
    sm_wr_u64(w, s->client_bytes);
    sm_wr_u64(w, s->client_quota);
    sm_wr_u64(w, s->free_bytes);
    return w->full ? SM_E_LIMIT : SM_OK;
}
