// SPDX-License-Identifier: Apache-2.0
/* A LINKSTATE of a stranger is written back byte for byte, and so are the kept bytes of the
 * trust table, whatever they hold. */
#include "core/trust.h"
#include "wire/linkstate.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void linkstate(struct sm_view in)
{
    uint8_t out[SM_LINKSTATE_RECORD_MAX];
    struct sm_wr w = sm_wr_init(out, sizeof out);
    struct sm_linkstate ls;
    if (sm_linkstate_read(in, &ls) != SM_OK) {
        return;
    }
    sm_linkstate_write(&ls, &w);
    assert(!w.full && w.n == in.n - SM_RECORD_SIG && memcmp(out, in.p, w.n) == 0);
    for (unsigned i = 0; i < ls.n; i++) {
        assert(sm_linkstate_find(&ls, ls.links[i].hop) == &ls.links[i]);
    }
}

static void trust(struct sm_view in)
{
    const struct sm_mono now = {1};
    const struct sm_wall wall = {0};
    struct sm_trust_cfg cfg = {.nodes_max = 8, .grade = {1000}};
    struct sm_trust *t = sm_trust_new(&cfg);
    SM_CLEANUP(sm_buf_done) struct sm_buf b = SM_BUF(4096);
    if (t != NULL && sm_trust_load(t, now, wall, in) == SM_OK) {
        struct sm_node_id id = {{1}};
        enum sm_err err = sm_trust_save(t, now, wall, &b);
        assert(err == SM_OK && b.n == in.n);
        if (sm_trust_appraise(t, now, &id, in.n >= 44 ? in.p + 12 : id.b, 0, SM_S(0)) ==
            SM_OK) {
            sm_trust_observe(t, now, &id, SM_TRUST_WRONG);
            assert(sm_trust_score(t, now, &id) <= SM_Q16_ONE);
        }
    }
    sm_trust_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    linkstate(sm_view_of(data, n));
    trust(sm_view_of(data, n));
    return 0;
}
