// SPDX-License-Identifier: Apache-2.0
#include "wire/task.h"

enum sm_err sm_task_read(struct sm_view record, struct sm_task *out)
{
    struct sm_rd r = sm_rd_init(record);
    struct sm_task t;

    sm_record_head_read(&r, &t.head);
    sm_rd_bytes(&r, t.task_id.b, sizeof t.task_id.b);
    sm_rd_bytes(&r, t.holder.b, sizeof t.holder.b);
    t.holder_ep = sm_rd_u32(&r);
    t.fence = sm_rd_u64(&r);
    t.lease_ms = sm_rd_u32(&r);
    t.state = sm_rd_u8(&r);
    sm_rd_bytes(&r, t.signer.b, sizeof t.signer.b);
    (void)sm_rd_view(&r, SM_RECORD_SIG);
    SM_TRY(sm_rd_done(&r));
    if (t.head.type != SM_RECORD_TASK || t.state < SM_TASK_OFFERED ||
        t.state > SM_TASK_FAILED) {
        return SM_E_MALFORMED;
    }
    *out = t;
    return SM_OK;
}

void sm_task_write(const struct sm_task *rec, struct sm_wr *w)
{
    struct sm_record_head head = rec->head;
    head.type = SM_RECORD_TASK;
    sm_record_head_write(&head, w);
    sm_wr_bytes(w, rec->task_id.b, sizeof rec->task_id.b);
    sm_wr_bytes(w, rec->holder.b, sizeof rec->holder.b);
    sm_wr_u32(w, rec->holder_ep);
    sm_wr_u64(w, rec->fence);
    sm_wr_u32(w, rec->lease_ms);
    sm_wr_u8(w, rec->state);
    sm_wr_bytes(w, rec->signer.b, sizeof rec->signer.b);
}
