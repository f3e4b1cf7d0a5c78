// SPDX-License-Identifier: Apache-2.0
#include "wire/linkstate.h"

#include <assert.h>

static bool links_are_sound(const struct sm_linkstate *ls)
{
    for (unsigned i = 0; i < ls->n; i++) {
        const struct sm_link *l = &ls->links[i];
        if (l->cost_class > SM_LINK_CLASS_MAX || l->trust_class > SM_LINK_CLASS_MAX ||
            l->hop.v == sm_hop_of(&ls->node_id).v ||
            (i > 0 && l->hop.v <= ls->links[i - 1].hop.v)) {
            return false;
        }
    }
    return true;
}

enum sm_err sm_linkstate_read(struct sm_view record, struct sm_linkstate *out)
{
    struct sm_rd r = sm_rd_init(record);
    struct sm_linkstate ls;
    uint8_t sig[SM_RECORD_SIG];

    sm_record_head_read(&r, &ls.head);
    sm_rd_bytes(&r, ls.node_id.b, sizeof ls.node_id.b);
    ls.area = sm_rd_u32(&r);
    ls.n = sm_rd_u16(&r);
    if (ls.head.type != SM_RECORD_LINKSTATE || ls.n > SM_LINKS_MAX) {
        sm_rd_fail(&r);
        ls.n = 0;
    }
    for (unsigned i = 0; i < ls.n; i++) {
        ls.links[i].hop.v = sm_rd_u64(&r);
        ls.links[i].cost_class = sm_rd_u8(&r);
        ls.links[i].trust_class = sm_rd_u8(&r);
    }
    sm_rd_bytes(&r, sig, sizeof sig);
    if (!r.failed && !links_are_sound(&ls)) {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    *out = ls;
    return SM_OK;
}

void sm_linkstate_write(const struct sm_linkstate *ls, struct sm_wr *w)
{
    assert(ls->n <= SM_LINKS_MAX);
    assert(links_are_sound(ls));
    struct sm_record_head head = ls->head;
    head.type = SM_RECORD_LINKSTATE;
    sm_record_head_write(&head, w);
    sm_wr_bytes(w, ls->node_id.b, sizeof ls->node_id.b);
    sm_wr_u32(w, ls->area);
    sm_wr_u16(w, ls->n);
    for (unsigned i = 0; i < ls->n; i++) {
        sm_wr_u64(w, ls->links[i].hop.v);
        sm_wr_u8(w, ls->links[i].cost_class);
        sm_wr_u8(w, ls->links[i].trust_class);
    }
}

const struct sm_link *sm_linkstate_find(const struct sm_linkstate *ls, struct sm_hop hop)
{
    unsigned low = 0, high = ls->n;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (ls->links[mid].hop.v < hop.v) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < ls->n && ls->links[low].hop.v == hop.v ? &ls->links[low] : NULL;
}
