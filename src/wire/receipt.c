// SPDX-License-Identifier: Apache-2.0
#include "wire/receipt.h"

enum sm_err sm_receipt_read(struct sm_view record, struct sm_receipt *out)
{
    struct sm_view body, sig;
    SM_TRY(sm_record_split(record, &body, &sig));
    struct sm_rd r = sm_rd_init(body);
    struct sm_receipt m;
    sm_record_head_read(&r, &m.head);
    sm_rd_bytes(&r, m.job, sizeof m.job);
    m.unit = sm_rd_u32(&r);
    m.fence = sm_rd_u64(&r);
    sm_rd_bytes(&r, m.module, sizeof m.module);
    sm_rd_bytes(&r, m.args, sizeof m.args);
    sm_rd_bytes(&r, m.input, sizeof m.input);
    sm_rd_bytes(&r, m.output, sizeof m.output);
    m.see.node.v = sm_rd_u64(&r);
    m.see.ep = sm_rd_u32(&r);
    m.platform = sm_rd_u8(&r);
    m.run_ms = sm_rd_u32(&r);
    if (m.head.type != SM_RECORD_RECEIPT || m.platform >= SM_PLATFORMS) {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    *out = m;
    return SM_OK;
}

void sm_receipt_write(const struct sm_receipt *m, struct sm_wr *w)
{
    struct sm_record_head head = m->head;
    head.type = SM_RECORD_RECEIPT;
    sm_record_head_write(&head, w);
    sm_wr_bytes(w, m->job, sizeof m->job);
    sm_wr_u32(w, m->unit);
    sm_wr_u64(w, m->fence);
    sm_wr_bytes(w, m->module, sizeof m->module);
    sm_wr_bytes(w, m->args, sizeof m->args);
    sm_wr_bytes(w, m->input, sizeof m->input);
    sm_wr_bytes(w, m->output, sizeof m->output);
    sm_wr_u64(w, m->see.node.v);
    sm_wr_u32(w, m->see.ep);
    sm_wr_u8(w, m->platform);
    sm_wr_u32(w, m->run_ms);
}
