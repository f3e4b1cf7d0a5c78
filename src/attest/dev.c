// SPDX-License-Identifier: Apache-2.0
#include "attest/dev.h"

#define ENDORSEMENT_AAD "seemesh/dev-endorsement/1"
#define EVIDENCE_AAD    "seemesh/dev-evidence/1"
#define PLATFORM_TEXT   "software"
#define PAYLOAD_MAX     256u
#define AAD_MAX         64u
#define TO_SIGN_MAX     (PAYLOAD_MAX + AAD_MAX + 32u)

/* -- the few forms of CBOR in use (RFC 8949, 4.2.1: shortest heads) ----------------------- */

enum { CBOR_UINT = 0, CBOR_BYTES = 2, CBOR_TEXT = 3, CBOR_ARRAY = 4, CBOR_MAP = 5 };
#define CBOR_TRUE 0xf5u

static void write_head(struct sm_wr *w, unsigned major, uint64_t v)
{
    unsigned width = v < 24            ? 0
                     : v <= UINT8_MAX  ? 1
                     : v <= UINT16_MAX ? 2
                     : v <= UINT32_MAX ? 4
                                       : 8;
    static const uint8_t info[] = {[1] = 24, [2] = 25, [4] = 26, [8] = 27};
    sm_wr_u8(w, (uint8_t)(major << 5 | (width == 0 ? (unsigned)v : info[width])));
    for (unsigned i = width; i > 0; i--) {
        sm_wr_u8(w, (uint8_t)(v >> 8 * (i - 1)));
    }
}

static void write_bytes(struct sm_wr *w, unsigned major, struct sm_view v)
{
    write_head(w, major, v.n);
    sm_wr_view(w, v);
}

static uint64_t read_head(struct sm_rd *r, unsigned major)
{
    uint8_t first = sm_rd_u8(r);
    unsigned info = first & 31u, width = info < 24 ? 0 : 1u << (info - 24);
    if (r->failed) {
        return 0;
    }
    if (first >> 5 != major || info > 27) {
        sm_rd_fail(r);
        return 0;
    }
    uint64_t v = width == 0 ? info : 0;
    for (unsigned i = 0; i < width; i++) {
        v = v << 8 | sm_rd_u8(r);
    }
    uint64_t least = width == 1 ? 24 : width == 0 ? 0 : (uint64_t)1 << 4 * width;
    if (!r->failed && v < least) {
        sm_rd_fail(r);
    }
    return v;
}

static struct sm_view read_bytes(struct sm_rd *r, unsigned major)
{
    uint64_t n = read_head(r, major);
    return sm_rd_view(r, n <= SIZE_MAX ? (size_t)n : SIZE_MAX);
}

static void expect(struct sm_rd *r, unsigned major, uint64_t v)
{
    if (read_head(r, major) != v && !r->failed) {
        sm_rd_fail(r);
    }
}

static void read_fixed(struct sm_rd *r, uint64_t key, void *out, size_t n)
{
    expect(r, CBOR_UINT, key);
    expect(r, CBOR_BYTES, n);
    sm_rd_bytes(r, out, n);
}

static void write_fixed(struct sm_wr *w, uint64_t key, const void *p, size_t n)
{
    write_head(w, CBOR_UINT, key);
    write_bytes(w, CBOR_BYTES, sm_view_of(p, n));
}

static uint64_t read_uint(struct sm_rd *r, uint64_t key)
{
    expect(r, CBOR_UINT, key);
    return read_head(r, CBOR_UINT);
}

static void write_uint(struct sm_wr *w, uint64_t key, uint64_t v)
{
    write_head(w, CBOR_UINT, key);
    write_head(w, CBOR_UINT, v);
}

/* -- COSE_Sign1 (RFC 9052, 4.2 and 4.4) --------------------------------------------------- */

static const uint8_t protected_eddsa[] = {0xa1, 0x01, 0x27}; /* {1: -8} */

static enum sm_err to_sign(struct sm_view aad, struct sm_view payload,
                           uint8_t buf[static TO_SIGN_MAX], struct sm_view *out)
{
    struct sm_wr w = sm_wr_init(buf, TO_SIGN_MAX);
    write_head(&w, CBOR_ARRAY, 4);
    write_bytes(&w, CBOR_TEXT, sm_view_str("Signature1"));
    write_bytes(&w, CBOR_BYTES, sm_view_of(protected_eddsa, sizeof protected_eddsa));
    write_bytes(&w, CBOR_BYTES, aad);
    write_bytes(&w, CBOR_BYTES, payload);
    return sm_wr_done(&w, out);
}

static enum sm_err cose_write(const struct sm_suite *suite, const struct sm_sign_pair *key,
                              struct sm_view aad, struct sm_view payload, struct sm_wr *w)
{
    uint8_t buf[TO_SIGN_MAX];
    struct sm_view msg;
    struct sm_sig sig;
    SM_TRY(to_sign(aad, payload, buf, &msg));
    suite->sign(key, msg, &sig);
    write_head(w, CBOR_ARRAY, 4);
    write_bytes(w, CBOR_BYTES, sm_view_of(protected_eddsa, sizeof protected_eddsa));
    write_head(w, CBOR_MAP, 0);
    write_bytes(w, CBOR_BYTES, payload);
    write_bytes(w, CBOR_BYTES, sm_view_of(sig.b, sizeof sig.b));
    return w->full ? SM_E_LIMIT : SM_OK;
}

struct cose {
    struct sm_view payload;
    struct sm_sig sig;
};

static enum sm_err cose_read(struct sm_view bytes, struct cose *out)
{
    struct sm_rd r = sm_rd_init(bytes);
    struct cose c;
    expect(&r, CBOR_ARRAY, 4);
    struct sm_view prot = read_bytes(&r, CBOR_BYTES);
    expect(&r, CBOR_MAP, 0);
    c.payload = read_bytes(&r, CBOR_BYTES);
    expect(&r, CBOR_BYTES, sizeof c.sig.b);
    sm_rd_bytes(&r, c.sig.b, sizeof c.sig.b);
    if (!r.failed && !sm_view_eq(prot, sm_view_of(protected_eddsa, sizeof protected_eddsa))) {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    *out = c;
    return SM_OK;
}

static enum sm_err cose_verify(const struct sm_suite *suite, const uint8_t key[static 32],
                               struct sm_view aad, const struct cose *c)
{
    uint8_t buf[TO_SIGN_MAX];
    struct sm_view msg;
    struct sm_sign_pub pub;
    memcpy(pub.b, key, sizeof pub.b);
    SM_TRY(to_sign(aad, c->payload, buf, &msg));
    return suite->verify(&pub, msg, &c->sig);
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
    write_head(&p, CBOR_MAP, 4);
    write_fixed(&p, 1, e->platform_id, sizeof e->platform_id);
    write_fixed(&p, 2, e->sign_key, sizeof e->sign_key);
    write_uint(&p, 3, e->not_before.s);
    write_uint(&p, 4, e->expires.s);
    return cose_write(suite, root, endorsement_aad(a, aad), sm_view_of(p.p, p.n), w);
}

static enum sm_err endorsement_read(struct sm_view payload, struct sm_dev_endorsement *out)
{
    struct sm_rd r = sm_rd_init(payload);
    struct sm_dev_endorsement e;
    expect(&r, CBOR_MAP, 4);
    read_fixed(&r, 1, e.platform_id, sizeof e.platform_id);
    read_fixed(&r, 2, e.sign_key, sizeof e.sign_key);
    e.not_before.s = read_uint(&r, 3);
    e.expires.s = read_uint(&r, 4);
    SM_TRY(sm_rd_done(&r));
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
    struct cose c;
    SM_TRY(cose_read(endorsement, &c));
    SM_TRY(endorsement_read(c.payload, &e));
    enum sm_err err = SM_E_CRYPTO;
    for (size_t i = 0; i < a->n_roots && err != SM_OK; i++) {
        err = cose_verify(suite, a->roots[i], aad, &c);
    }
    SM_TRY(err);
    struct sm_record_head times = {.not_before = e.not_before, .expires = e.expires};
    SM_TRY(sm_record_times(&times, now));
    *out = e;
    return SM_OK;
}

/* -- evidence ----------------------------------------------------------------------------- */

enum sm_err sm_attest_collect_dev(const struct sm_suite *suite, const struct sm_sign_pair *node,
                                  const struct sm_dev_platform *platform, struct sm_wall now,
                                  const struct sm_binding *binding, struct sm_wr *w)
{
    uint8_t buf[PAYLOAD_MAX], rd[SM_REPORT_DATA];
    struct sm_wr p = sm_wr_init(buf, sizeof buf);
    sm_binding_report_data(binding, rd);
    write_head(&p, CBOR_MAP, 6);
    write_head(&p, CBOR_UINT, 1);
    write_bytes(&p, CBOR_TEXT, sm_view_str(PLATFORM_TEXT));
    write_fixed(&p, 2, platform->measurement, sizeof platform->measurement);
    write_fixed(&p, 3, rd, sizeof rd);
    write_fixed(&p, 4, platform->boot_id, sizeof platform->boot_id);
    write_head(&p, CBOR_UINT, 5);
    sm_wr_u8(&p, CBOR_TRUE);
    write_uint(&p, 6, now.s);
    return cose_write(suite, node, sm_view_str(EVIDENCE_AAD), sm_view_of(p.p, p.n), w);
}

/* Debug must say true: there is no other development evidence. */
static enum sm_err evidence_read(struct sm_view payload, struct sm_claims *out)
{
    struct sm_rd r = sm_rd_init(payload);
    struct sm_claims c = {.platform = SM_PLATFORM_SOFTWARE, .is_debug = true};
    expect(&r, CBOR_MAP, 6);
    expect(&r, CBOR_UINT, 1);
    struct sm_view platform = read_bytes(&r, CBOR_TEXT);
    read_fixed(&r, 2, c.measurement, sizeof c.measurement);
    read_fixed(&r, 3, c.report_data, sizeof c.report_data);
    read_fixed(&r, 4, c.boot_id, sizeof c.boot_id);
    expect(&r, CBOR_UINT, 5);
    uint8_t debug = sm_rd_u8(&r);
    c.issued_at.s = read_uint(&r, 6);
    if (!r.failed &&
        (debug != CBOR_TRUE || !sm_view_eq(platform, sm_view_str(PLATFORM_TEXT)))) {
        sm_rd_fail(&r);
    }
    SM_TRY(sm_rd_done(&r));
    *out = c;
    return SM_OK;
}

enum sm_err sm_dev_evidence_verify(const struct sm_suite *suite,
                                   const uint8_t sign_key[static 32], struct sm_view evidence,
                                   struct sm_claims *out, struct sm_reasons *why)
{
    struct sm_claims claims;
    struct cose c;
    enum sm_err e = cose_read(evidence, &c);
    e = e == SM_OK ? evidence_read(c.payload, &claims) : e;
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_GRAMMAR, "evidence", sm_err_words(e),
                       "development evidence");
        return e;
    }
    e = cose_verify(suite, sign_key, sm_view_str(EVIDENCE_AAD), &c);
    if (e != SM_OK) {
        sm_reasons_add(why, SM_REASON_SIGNATURE, "signature", "not by this key",
                       "by the node's sign_key");
        return SM_E_CRYPTO;
    }
    *out = claims;
    return SM_OK;
}
