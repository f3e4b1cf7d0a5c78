// SPDX-License-Identifier: Apache-2.0
/* What a local program may say to net, and what net says to it. */
#include "same.h"
#include "wire/ctl.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void try_head(struct sm_view in)
{
    struct sm_ctl_head h;
    uint8_t head[SM_CTL_HEAD];
    if (sm_ctl_head_read(in, &h) == SM_OK) {
        assert(h.body_n <= SM_CTL_BODY_MAX);
        sm_ctl_head_write(&h, head);
        assert(memcmp(head, in.p, sizeof head) == 0);
    }
}

static void try_nodes(struct sm_view in, uint8_t *room)
{
    struct sm_rd r = sm_rd_init(in);
    struct sm_wr w = sm_wr_init(room, in.n);
    while (!r.failed && r.left.n > 0) {
        struct sm_ctl_node m;
        sm_ctl_node_next(&r, &m);
        sm_ctl_node_write(&w, &m);
    }
    if (sm_rd_done(&r) == SM_OK) {
        fuzz_same(&w, in);
    }
}

static void try_found(struct sm_view in)
{
    struct sm_ctl_found m;
    if (sm_ctl_found_read(in, &m) == SM_OK) {
        struct sm_rd r = sm_rd_init(m.records);
        for (unsigned i = 0; i < m.n; i++) {
            (void)sm_rd_blob(&r, m.records.n);
        }
        enum sm_err e = sm_rd_done(&r);
        assert(e == SM_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sm_view in = {data, n};
    uint8_t *room = malloc(n + 1);
    assert(room != NULL);
    try_head(in);
    try_nodes(in, room);
    try_found(in);
    FUZZ_SAME(ctl_hello, in, room);
    FUZZ_SAME(ctl_welcome, in, room);
    FUZZ_SAME(ctl_packet, in, room);
    FUZZ_SAME(ctl_fail, in, room);
    FUZZ_SAME(ctl_find, in, room);
    FUZZ_SAME(ctl_task, in, room);
    FUZZ_SAME(ctl_report, in, room);
    FUZZ_SAME(ctl_doc, in, room);
    FUZZ_SAME(ctl_tun, in, room);
    free(room);
    return 0;
}
