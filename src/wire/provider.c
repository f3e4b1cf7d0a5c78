// SPDX-License-Identifier: Apache-2.0
#include "wire/provider.h"

enum sm_err sm_provider_read(struct sm_view record, struct sm_provider *out)
{
    struct sm_rd r = sm_rd_init(record);
    struct sm_provider p;

    sm_record_head_read(&r, &p.head);
    sm_rd_bytes(&r, p.key.b, sizeof p.key.b);
    sm_rd_bytes(&r, p.node_id.b, sizeof p.node_id.b);
    p.kind = sm_rd_u8(&r);
    p.frag_map = sm_rd_u64(&r);
    p.bytes = sm_rd_u64(&r);
    (void)sm_rd_view(&r, SM_RECORD_SIG);
    SM_TRY(sm_rd_done(&r));
    if (p.head.type != SM_RECORD_PROVIDER || p.kind < SM_PROVIDER_SHARDS ||
        p.kind > SM_PROVIDER_DATASET) {
        return SM_E_MALFORMED;
    }
    *out = p;
    return SM_OK;
}

void sm_provider_write(const struct sm_provider *rec, struct sm_wr *w)
{
    struct sm_record_head head = rec->head;
    head.type = SM_RECORD_PROVIDER;
    sm_record_head_write(&head, w);
    sm_wr_bytes(w, rec->key.b, sizeof rec->key.b);
    sm_wr_bytes(w, rec->node_id.b, sizeof rec->node_id.b);
    sm_wr_u8(w, rec->kind);
    sm_wr_u64(w, rec->frag_map);
    sm_wr_u64(w, rec->bytes);
}
