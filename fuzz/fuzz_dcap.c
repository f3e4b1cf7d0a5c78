// SPDX-License-Identifier: Apache-2.0
/* Quotes, Intel's documents and certificates' extensions from a stranger.  The first byte picks
 * what the rest is; documents are read here as if their signature held. */
#include "attest/dcap.h"
#include "attest/dcap_quote.h"
#include "attest/dcap_tcb.h"
#include "attest/json.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void within(struct sm_view part, struct sm_view whole)
{
    assert(part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

static void quote(struct sm_view in)
{
    struct sm_quote q;
    struct sm_claims c;
    struct sm_reasons why = {0};
    struct sm_dcap_collateral none = {0};
    struct sm_makers trust;
    sm_makers_pinned(&trust);
    if (sm_quote_read(in, &q) == SM_OK) {
        within(q.body, in);
        within(q.pck_chain, in);
        within(q.qe_auth, in);
        assert(q.sig.n == 64 && q.key.n == 64 && q.qe_sig.n == 64);
        assert(q.body.n + q.trailing < in.n);
    }
    assert(sm_dcap_verify(in, &none, &trust, (struct sm_wall){1751328000}, &c, &why) != SM_OK);
    assert(why.n > 0);
}

/* Both documents, evaluated for a platform that reaches every level, and one that reaches
 * none. */
static void documents(struct sm_view in)
{
    struct sm_tcb_info info;
    struct sm_qe_identity id;
    struct sm_tcb tcb, qe = {.status = SM_TCB_UP_TO_DATE};
    struct sm_quote q = {.version = 5, .is_tdx = true, .td.is_15 = true};
    struct sm_pck pck = {0};
    struct sm_reasons why = {0};
    if (sm_qe_identity_read(in, &id) == SM_OK &&
        sm_qe_identity_check(&id, &q.qe, &tcb, &why) == SM_OK) {
        assert(tcb.status != SM_TCB_UNKNOWN && tcb.n_advisories <= SM_ADVISORIES);
    }
    if (sm_tcb_info_read(in, &info) != SM_OK) {
        return;
    }
    within(info.levels, in);
    for (int round = 0; round < 2; round++) {
        q.is_tdx = info.head.is_tdx;
        if (sm_tcb_evaluate(&info, &pck, &q, &qe, &tcb, &why) == SM_OK) {
            assert(tcb.status != SM_TCB_UNKNOWN && tcb.status < SM_TCB_STATUSES);
        }
        memset(pck.svn, 0xff, sizeof pck.svn);
        memset(q.td.tee_tcb_svn, 1, sizeof q.td.tee_tcb_svn);
        memset(q.td.tee_tcb_svn2, 3, sizeof q.td.tee_tcb_svn2);
        pck.pcesvn = UINT16_MAX;
    }
}

static void answer(struct sm_view in)
{
    uint8_t sig[64];
    struct sm_dcap_signed s;
    struct sm_json j = sm_json_init(in);
    sm_json_skip(&j);
    enum sm_err e = sm_json_done(&j);
    if (sm_dcap_signed_read(in, "tcbInfo", sig, &s) == SM_OK) {
        assert(e == SM_OK);
        within(s.json, in);
        assert(s.json.p[0] == '{' && s.json.p[s.json.n - 1] == '}');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sm_pck pck;
    if (n == 0) {
        return 0;
    }
    struct sm_view in = {data + 1, n - 1};
    switch (data[0] % 4) {
    case 0:
        quote(in);
        break;
    case 1:
        documents(in);
        break;
    case 2:
        answer(in);
        break;
    default:
        (void)(sm_pck_read(in, &pck) == SM_OK);
        break;
    }
    return 0;
}
