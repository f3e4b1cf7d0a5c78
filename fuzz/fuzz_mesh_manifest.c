// SPDX-License-Identifier: Apache-2.0
/* What is read of a manifest or a revocation list writes to the same bytes, its text form
 * prints to one that says the same, and documents of anybody are refused. */
#include "attest/collateral.h" /* by way of offers */
#include "attest/manifest.h"
#include "attest/manifest_text.h"
#include "attest/revocation.h"
#include "attest/rules.h"
#include "base/date.h"
#include "crypto/suite.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void try_manifest(struct sm_view in, uint8_t *again)
{
    struct sm_mesh_manifest m;
    if (sm_mesh_manifest_read(in, &m) == SM_OK) {
        struct sm_wr w = sm_wr_init(again, in.n);
        sm_mesh_manifest_write(&m, &w);
        assert(!w.full && w.n == in.n && memcmp(again, in.p, in.n) == 0);
        sm_mesh_manifest_done(&m);
    }
}

/* A text that is taken prints to one that is taken as the same. */
static void try_text(struct sm_view in)
{
    struct sm_mesh_manifest a, b;
    struct sm_text_problem why;
    SM_CLEANUP(sm_buf_done) struct sm_buf one = SM_BUF(SM_MANIFEST_TEXT_MAX);
    SM_CLEANUP(sm_buf_done) struct sm_buf two = SM_BUF(SM_MANIFEST_TEXT_MAX);
    if (sm_mesh_manifest_parse(in, &a, &why) != SM_OK) {
        assert(why.text[0] != '\0');
        return;
    }
    enum sm_err e = sm_mesh_manifest_print(&a, &one);
    assert(e == SM_OK);
    e = sm_mesh_manifest_parse(sm_buf_view(&one), &b, &why);
    assert(e == SM_OK);
    e = sm_mesh_manifest_print(&b, &two);
    assert(e == SM_OK && sm_view_eq(sm_buf_view(&one), sm_buf_view(&two)));
    sm_mesh_manifest_done(&a);
    sm_mesh_manifest_done(&b);
}

static void try_revocations(struct sm_view in, uint8_t *again)
{
    struct sm_revocations l;
    if (sm_revocations_read(in, &l) == SM_OK) {
        struct sm_wr w = sm_wr_init(again, in.n);
        sm_revocations_write(&l, &w);
        assert(!w.full && w.n == in.n && memcmp(again, in.p, in.n) == 0);
        sm_revocations_done(&l);
    }
}

static void try_date(struct sm_view in)
{
    struct sm_wall t;
    char text[SM_DATE_LEN + 1];
    if (sm_date_parse(in, &t) == SM_OK) {
        sm_date_print(t, text);
        assert(in.n == SM_DATE_LEN && memcmp(text, in.p, in.n) == 0);
    }
}

static void try_offer(struct sm_view in)
{
    static const uint8_t root[1][32] = {{1}};
    struct sm_anchor anchor;
    struct sm_rules *rules = NULL;
    struct sm_rules_change change;
    struct sm_reasons why;
    enum sm_err e = sm_anchor_make(SM_ENV_DEV, "fuzz", root, 1, &anchor);
    assert(e == SM_OK);
    if (sm_rules_new(sm_suite_real(), &anchor, &rules) != SM_OK) {
        return;
    }
    e = sm_rules_offer(rules, (struct sm_wall){1700000000}, in.n > 0 ? in.p[0] : 0,
                       sm_view_sub(in, 1, in.n), &change, &why);
    assert(e != SM_OK && why.n > 0);
    sm_rules_free(rules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sm_view in = {data, n};
    uint8_t *again = malloc(n > 0 ? n : 1);
    if (again == NULL) {
        return 0;
    }
    try_manifest(in, again);
    try_revocations(in, again);
    try_text(in);
    try_date(in);
    try_offer(in);
    free(again);
    return 0;
}
