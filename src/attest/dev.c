// SPDX-License-Identifier: Apache-2.0
#include "attest/dev.h"

#include "attest/envelope.h"
#include "base/cbor.h"
#include "crypto/cose.h"

#include <string.h>

#define ENDORSEMENT_AAD "seemesh/dev-endorsement/1"
#define EVIDENCE_AAD    "seemesh/dev-evidence/1"
#define PLATFORM_TEXT   "software"
#define DEV_MEASUREMENT 48u
#define PAYLOAD_MAX     256u
#define AAD_MAX         64u
#define MESSAGE_MAX     (PAYLOAD_MAX + 96u) /* with headers and signature */

/* Fields stand in the order of their keys and each has one form. */
static void put_bytes(struct sm_wr *w, uint64_t key, const void *p, size_t n)
{
    sm_cbor_put_uint(w, key);
    sm_cbor_put_bytes(w, sm_view_of(p, n));
}

static void put_uint(struct sm_wr *w, uint64_t key, uint64_t v)
{
    sm_cbor_put_uint(w, key);
    sm_cbor_put_uint(w, v);
}

static void expect_key(struct sm_cbor *c, uint64_t key)
{
    if (sm_cbor_uint(c) != key) {
        sm_cbor_fail(c);
    }
}

static void read_bytes(struct sm_cbor *c, uint64_t key, void *out, size_t n)
{
    expect_key(c, key);
    struct sm_view v = sm_cbor_bytes(c);
    if (v.n != n) {
        sm_cbor_fail(c);
        memset(out, 0, n);
        return;
    }
    memcpy(out, v.p, n);
}

static uint64_t read_uint(struct sm_cbor *c, uint64_t key)
{
    expect_key(c, key);
    return sm_cbor_uint(c);
}

static enum sm_err sign(const struct sm_suite *suite, const struct sm_sign_pair *key,
                        struct sm_view aad, const struct sm_wr *payload, struct sm_wr *w)
{
    uint8_t msg[MESSAGE_MAX];
    struct sm_view v;
    size_t n;
    SM_TRY(sm_wr_done(payload, &v));
    SM_TRY(sm_cose_sign(suite, key, v, aad, msg, sizeof msg, &n));
    sm_wr_bytes(w, msg, n);
    return w->full ? SM_E_LIMIT : SM_OK;
}

static enum sm_err verify(struct sm_known_sigs *known, const struct sm_suite *suite,
                          const uint8_t key[static 32], struct sm_view aad,
                          const struct sm_cose *m)
{
    struct sm_sign_pub pub;
    memcpy(pub.b, key, sizeof pub.b);
    return sm_cose_verify_known(known, suite, m, &pub, aad);
}

/* -- endorsement -------------------------------------------------------------------------- */

/* The mesh is signed with it: a root that serves two meshes does not mix them up. */
static struct sm_view endorsement_aad(const struct sm_anchor *a, uint8_t buf[static AAD_MAX])
{
    struct sm_wr w = sm_wr_init(buf, AAD_MAX);
    sm_wr_view(&w, sm_view_str(ENDORSEMENT_AAD));
    sm_wr_bytes(&w, a->mesh_id, sizeof a->mesh_id);
    return sm_view_of(w.p, w.n);
}

enum sm_err sm_dev_endorse(const struct sm_suite *suite, const struct sm_sign_pair *root,
                           const struct sm_anchor *a, const struct sm_dev_endorsement *e,
                           struct sm_wr *w)
{
    uint8_t buf[PAYLOAD_MAX], aad[AAD_MAX];
    struct sm_wr p = sm_wr_init(buf, sizeof buf);
    sm_cbor_put_map(&p, 4);
    put_bytes(&p, 1, e->platform_id, sizeof e->platform_id);
    put_bytes(&p, 2, e->sign_key, sizeof e->sign_key);
    put_uint(&p, 3, e->not_before.s);
    put_uint(&p, 4, e->expires.s);
    return sign(suite, root, endorsement_aad(a, aad), &p, w);
}

static enum sm_err endorsement_read(struct sm_view payload, struct sm_dev_endorsement *out)
{
    struct sm_cbor r = sm_cbor_init(payload);
    struct sm_dev_endorsement e;
    size_t fields = sm_cbor_map(&r);
    read_bytes(&r, 1, e.platform_id, sizeof e.platform_id);
    read_bytes(&r, 2, e.sign_key, sizeof e.sign_key);
    e.not_before.s = read_uint(&r, 3);
    e.expires.s = read_uint(&r, 4);
    SM_TRY(sm_cbor_done(&r));
    if (fields != 4) {
        return SM_E_MALFORMED;
    }
    *out = e;
    return SM_OK;
}

enum sm_err sm_dev_endorsement_verify(const struct sm_suite *suite, const struct sm_anchor *a,
                                      struct sm_wall now, struct sm_view endorsement,
                                      struct sm_dev_endorsement *out)
{
    uint8_t aad_buf[AAD_MAX];
    struct sm_view aad = endorsement_aad(a, aad_buf);
    struct sm_dev_endorsement e;
    struct sm_cose c;
    SM_TRY(sm_cose_read(endorsement, &c));
    SM_TRY(endorsement_read(c.payload, &e));
    enum sm_err err = SM_E_CRYPTO;
    for (size_t i = 0; i < a->n_roots && err != SM_OK; i++) {
        err = verify(a->known, suite, a->roots[i], aad, &c);
    }
    SM_TRY(err);
    struct sm_record_head times = {.not_before = e.not_before, .expires = e.expires};
    SM_TRY(sm_record_times(&times, now));
    *out = e;
    return SM_OK;
}

/* -- evidence ----------------------------------------------------------------------------- */

enum sm_err sm_dev_collect(const struct sm_suite *suite, const struct sm_sign_pair *node,
                           const struct sm_dev_platform *platform, struct sm_wall now,
                           const uint8_t report_data[static SM_REPORT_DATA], struct sm_wr *w)
{
    uint8_t buf[PAYLOAD_MAX], msg[MESSAGE_MAX];
    struct sm_wr p = sm_wr_init(buf, sizeof buf), m = sm_wr_init(msg, sizeof msg);
    sm_cbor_put_map(&p, 6);
    sm_cbor_put_uint(&p, 1);
    sm_cbor_put_text(&p, sm_view_str(PLATFORM_TEXT));
    put_bytes(&p, 2, platform->measurement, sizeof platform->measurement);
    put_bytes(&p, 3, report_data, SM_REPORT_DATA);
    put_bytes(&p, 4, platform->boot_id, sizeof platform->boot_id);
    sm_cbor_put_uint(&p, 5);
    sm_cbor_put_bool(&p, true);
    put_uint(&p, 6, now.s);
    SM_TRY(sign(suite, node, sm_view_str(EVIDENCE_AAD), &p, &m));
    struct sm_envelope e = {.part[SM_PART_DEV] = sm_view_of(m.p, m.n)};
    return sm_envelope_write(&e, w);
}

enum sm_err sm_attest_collect_dev(const struct sm_suite *suite, const struct sm_sign_pair *node,
                                  const struct sm_dev_platform *platform, struct sm_wall now,
                                  const struct sm_binding *binding, struct sm_wr *w)
{
    uint8_t rd[SM_REPORT_DATA];
    sm_binding_report_data(binding, rd);
    return sm_dev_collect(suite, node, platform, now, rd, w);
}

/* Debug must say true: there is no other development evidence. */
static enum sm_err evidence_read(struct sm_view payload, struct sm_claims *out)
{
    struct sm_cbor r = sm_cbor_init(payload);
    struct sm_claims c = {.platform = SM_PLATFORM_SOFTWARE,
                          .profile = 1,
                          .is_debug = true,
                          .measurement_n = DEV_MEASUREMENT,
                          .report_data_n = SM_REPORT_DATA,
                          .has_issued_at = true};
    size_t fields = sm_cbor_map(&r);
    expect_key(&r, 1);
    struct sm_view platform = sm_cbor_text(&r);
    read_bytes(&r, 2, c.measurement, DEV_MEASUREMENT);
    read_bytes(&r, 3, c.report_data, sizeof c.report_data);
    read_bytes(&r, 4, c.boot_id, sizeof c.boot_id);
    expect_key(&r, 5);
    bool is_debug = sm_cbor_bool(&r);
    c.issued_at.s = read_uint(&r, 6);
    SM_TRY(sm_cbor_done(&r));
    if (fields != 6 || !is_debug || !sm_view_eq(platform, sm_view_str(PLATFORM_TEXT))) {
        return SM_E_MALFORMED;
    }
    *out = c;
    return SM_OK;
}

enum sm_err sm_dev_evidence_verify(const struct sm_suite *suite,
                                   const uint8_t sign_key[static 32], struct sm_view evidence,
                                   struct sm_claims *out, struct sm_reasons *why)
{
    struct sm_claims claims;
    struct sm_cose c;
    enum sm_err e = sm_cose_read(evidence, &c);
    e = e == SM_OK ? evidence_read(c.payload, &claims) : e;
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_GRAMMAR, "evidence", sm_err_words(e),
                       "development evidence");
        return e;
    }
    e = verify(NULL, suite, sign_key, sm_view_str(EVIDENCE_AAD), &c);
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_SIGNATURE, "signature", "not by this key",
                       "by the node's sign_key");
        return SM_E_CRYPTO;
    }
    *out = claims;
    return SM_OK;
}
