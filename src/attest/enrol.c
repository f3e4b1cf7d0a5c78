// SPDX-License-Identifier: Apache-2.0
#include "attest/enrol.h"

#include "attest/envelope.h"
#include "attest/hardware.h"
#include "attest/policy.h"
#include "base/cbor.h"
#include "crypto/hash.h"
#include "wire/frame.h"

#include <string.h>

enum { FIELDS = 5 };

void sm_enrol_report_data(const struct sm_enrol_request *r, uint8_t out[static SM_REPORT_DATA])
{
    static const char label[] = "seemesh/enrol/v1"; /* with its zero byte */
    uint8_t nonce[32];
    struct sm_hash h;
    sm_sha256(r->nonce, nonce);
    sm_hash_init(&h, SM_SHA512);
    sm_hash_add(&h, sm_view_of(label, sizeof label));
    sm_hash_add(&h, r->mesh_id);
    sm_hash_add(&h, r->sign_key);
    sm_hash_add(&h, sm_view_of(&r->platform, 1));
    sm_hash_add(&h, sm_view_of(nonce, sizeof nonce));
    sm_hash_end(&h, out);
}

/* -- the request -------------------------------------------------------------------------- */

static void put_bytes(struct sm_wr *w, uint64_t key, struct sm_view v)
{
    sm_cbor_put_uint(w, key);
    sm_cbor_put_bytes(w, v);
}

void sm_enrol_request_write(const struct sm_enrol_request *r, struct sm_wr *w)
{
    sm_cbor_put_map(w, FIELDS);
    put_bytes(w, 1, r->mesh_id);
    put_bytes(w, 2, r->sign_key);
    sm_cbor_put_uint(w, 3);
    sm_cbor_put_uint(w, r->platform);
    put_bytes(w, 4, r->nonce);
    put_bytes(w, 5, r->envelope);
}

static void expect_key(struct sm_cbor *c, uint64_t key)
{
    if (sm_cbor_uint(c) != key) {
        sm_cbor_fail(c);
    }
}

static struct sm_view read_bytes(struct sm_cbor *c, uint64_t key, size_t min, size_t max)
{
    expect_key(c, key);
    struct sm_view v = sm_cbor_bytes(c);
    if (v.n < min || v.n > max) {
        sm_cbor_fail(c);
    }
    return v;
}

enum sm_err sm_enrol_request_read(struct sm_view bytes, struct sm_enrol_request *out)
{
    struct sm_cbor c = sm_cbor_init(bytes);
    struct sm_enrol_request r;
    size_t fields = sm_cbor_map(&c);
    r.mesh_id = read_bytes(&c, 1, 32, 32);
    r.sign_key = read_bytes(&c, 2, 32, 32);
    expect_key(&c, 3);
    uint64_t platform = sm_cbor_uint(&c);
    r.nonce = read_bytes(&c, 4, 0, SM_ENROL_NONCE_MAX);
    r.envelope = read_bytes(&c, 5, 1, SM_EVIDENCE_MAX);
    SM_TRY(sm_cbor_done(&c));
    if (fields != FIELDS || platform >= SM_PLATFORMS) {
        return SM_E_MALFORMED;
    }
    r.platform = (uint8_t)platform;
    *out = r;
    return SM_OK;
}

/* -- endorsing ---------------------------------------------------------------------------- */

/* Whose machine it is, the root decides now: so what it shows is what is expected. */
static enum sm_err verify(const struct sm_enrol_by *by, const struct sm_enrol_request *r,
                          struct sm_claims *out, struct sm_reasons *why)
{
    struct sm_envelope envelope;
    struct sm_makers pinned;
    if (r->platform == SM_PLATFORM_SOFTWARE || r->platform == SM_PLATFORM_TPM) {
        sm_reasons_add(why, SM_REASON_PLATFORM, "platform", sm_platform_name(r->platform),
                       "a confidential machine");
        return SM_E_REFUSED;
    }
    enum sm_err e = sm_envelope_read(r->envelope, &envelope);
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_GRAMMAR, "evidence", sm_err_words(e), "an envelope");
        return e;
    }
    sm_makers_pinned(&pinned);
    const struct sm_makers *trust = by->anchor->trust != NULL ? by->anchor->trust : &pinned;
    return sm_hw_evidence_verify(trust, by->now, r->platform, &envelope, out, why);
}

static enum sm_err appraise(const struct sm_enrol_by *by, const struct sm_enrol_request *r,
                            const struct sm_claims *claims, struct sm_reasons *why)
{
    struct sm_hw_policy p;
    struct sm_value measurement = {.n = (uint8_t)by->measurement.n};
    uint8_t rd[SM_REPORT_DATA];
    sm_hw_policy_default(&p);
    p.needs_crl = r->platform == SM_PLATFORM_SNP || r->platform == SM_PLATFORM_SNP_VTPM;
    if (by->measurement.n > 0 && by->measurement.n <= sizeof measurement.b) {
        memcpy(measurement.b, by->measurement.p, by->measurement.n);
        p.measurements = (struct sm_values){.v = &measurement, .n = 1};
    } else {
        p.measurements.is_any = by->measurement.n == 0;
    }
    sm_enrol_report_data(r, rd);
    return sm_hw_appraise(&p, claims, rd, by->now, why);
}

static enum sm_err check_ask(const struct sm_enrol_by *by, const struct sm_enrol_request *r,
                             struct sm_reasons *why)
{
    if (!sm_view_eq(r->mesh_id, sm_view_of(by->anchor->mesh_id, 32))) {
        sm_reasons_add_hex(why, SM_REASON_BINDING, "mesh", r->mesh_id,
                           sm_view_of(by->anchor->mesh_id, 32));
        return SM_E_AUTH;
    }
    if (!sm_view_eq(r->nonce, by->nonce)) {
        sm_reasons_add_hex(why, SM_REASON_BINDING, "nonce", r->nonce, by->nonce);
        return SM_E_REFUSED;
    }
    return SM_OK;
}

enum sm_err sm_enrol_endorse(const struct sm_enrol_by *by, struct sm_view request,
                             struct sm_wr *w, struct sm_endorsement *out,
                             struct sm_claims *claims, struct sm_reasons *why)
{
    struct sm_enrol_request r;
    struct sm_claims c;
    *why = (struct sm_reasons){0};
    enum sm_err e = sm_enrol_request_read(request, &r);
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_GRAMMAR, "request", sm_err_words(e),
                       "a node's request for an endorsement");
        return e;
    }
    SM_TRY(check_ask(by, &r, why));
    SM_TRY(verify(by, &r, &c, why));
    SM_TRY(appraise(by, &r, &c, why));
    struct sm_endorsement made = {.platform = r.platform,
                                  .indexes = by->indexes,
                                  .not_before = by->now,
                                  .expires = by->expires};
    memcpy(made.sign_key, r.sign_key.p, sizeof made.sign_key);
    e = sm_platform_id_hash(r.platform, sm_view_of(c.platform_id, c.platform_id_n),
                            made.platform_id);
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_PLATFORM_ID, "platform id", "none",
                       "one: a masked chip or a cloud's key names no machine");
        return SM_E_REFUSED;
    }
    memcpy(made.shown_id, made.platform_id, sizeof made.shown_id);
    SM_TRY(sm_endorse(by->suite, by->root, by->anchor, &made, w));
    *out = made;
    *claims = c;
    return SM_OK;
}
