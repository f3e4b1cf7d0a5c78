// SPDX-License-Identifier: Apache-2.0
/* COSE messages, evidence and passports of a stranger, over the stand-in suite: whole ones of
 * the input, and an honest one with the input's changes, which must not be believed. */
#include "attest/dev.h"
#include "crypto/cose.h"
#include "crypto/suite_sim.h"
#include "passport_kit.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect_inside(struct sm_view v, struct sm_view in)
{
    assert(v.n == 0 || (v.p >= in.p && v.p + v.n <= in.p + in.n));
}

static void cose(const struct kit *k, struct sm_view in)
{
    struct sm_cose m;
    if (sm_cose_read(in, &m) == SM_OK) {
        expect_inside(m.protected, in);
        expect_inside(m.kid, in);
        expect_inside(m.payload, in);
        (void)sm_cose_verify(k->suite, &m, &k->root.pub, in);
    }
}

static void evidence(const struct kit *k, struct sm_view in)
{
    struct sm_claims claims;
    struct sm_reasons why = {0};
    struct sm_dev_endorsement e;
    (void)sm_dev_endorsement_verify(k->suite, &k->anchor, KIT_NOW, in, &e);
    (void)sm_dev_evidence_verify(k->suite, k->root.pub.b, in, &claims, &why);
}

/* Change the honest passport where the input says; three bytes a change. */
static void changed(const struct kit *k, const struct kit_id *id, struct sm_view in)
{
    uint8_t bytes[SM_PASSPORT_MAX];
    struct sm_passport p;
    memcpy(bytes, id->passport, id->passport_n);
    for (size_t i = 0; i + 3 <= in.n; i += 3) {
        bytes[(in.p[i] | (size_t)in.p[i + 1] << 8) % id->passport_n] ^= in.p[i + 2];
    }
    bool is_honest = memcmp(bytes, id->passport, id->passport_n) == 0;
    enum sm_err e = sm_passport_verify(k->suite, &k->anchor, KIT_NOW,
                                       sm_view_of(bytes, id->passport_n), &p);
    assert((e == SM_OK) == is_honest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct kit kit;
    static struct kit_id id;
    struct sm_view in = {data, n};
    struct sm_passport p;
    if (kit.suite == NULL) {
        kit_make(&kit, sm_suite_sim(), 1);
        kit_identity(&kit, 1, 0, &id);
    }
    cose(&kit, in);
    evidence(&kit, in);
    (void)sm_passport_verify(kit.suite, &kit.anchor, KIT_NOW, in, &p);
    changed(&kit, &id, in);
    return 0;
}
