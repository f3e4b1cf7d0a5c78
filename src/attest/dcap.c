// SPDX-License-Identifier: Apache-2.0
#include "attest/dcap.h"

#include "attest/dcap_tcb.h"
#include "attest/json.h"
#include "attest/x509.h"
#include "wire/record.h"

#include <string.h>

#define SKEW_S 60u /* by how much a certificate may lie ahead of our clock */

static const char pck_extension[] = "1.2.840.113741.1.13.1";

/* All checks run, so that all reasons are told; the first error is the result. */
static void keep(enum sm_err *first, enum sm_err e)
{
    if (*first == SM_OK) {
        *first = e;
    }
}

static enum sm_err grammar(struct sm_reasons *why, const char *field, enum sm_err e)
{
    if (e != SM_OK) {
        enum sm_reason_code code =
            e == SM_E_UNSUPPORTED ? SM_REASON_UNSUPPORTED : SM_REASON_GRAMMAR;
        sm_reasons_add(why, code, field, sm_err_words(e), "well formed");
    }
    return e;
}

/* -- answers of Intel's service ---------------------------------------------------------- */

enum sm_err sm_dcap_signed_read(struct sm_view answer, const char *member,
                                uint8_t sig[static 64], struct sm_dcap_signed *out)
{
    struct sm_json j = sm_json_init(answer);
    struct sm_dcap_signed s = {.sig = {sig, 64}};
    struct sm_view key, hex = {0};
    sm_json_object(&j);
    while (sm_json_key(&j, &key)) {
        if (sm_view_eq(key, sm_view_str(member)) && s.json.n == 0) {
            s.json = sm_json_value(&j);
        } else if (sm_view_eq(key, sm_view_str("signature")) && hex.n == 0) {
            hex = sm_json_text(&j);
        } else {
            sm_json_fail(&j);
        }
    }
    SM_TRY(sm_json_done(&j));
    if (s.json.n == 0 || s.json.p[0] != '{') {
        return SM_E_MALFORMED;
    }
    SM_TRY(sm_unhex((const char *)hex.p, hex.n, sig, 64));
    *out = s;
    return SM_OK;
}

/* -- chains ------------------------------------------------------------------------------ */

struct crls {
    struct sm_crl *root, *pck;
};

static void crls_done(struct crls *l)
{
    sm_crl_free(l->root);
    sm_crl_free(l->pck);
}

static enum sm_err crls_read(const struct sm_dcap_collateral *c, struct crls *out,
                             struct sm_reasons *why)
{
    SM_TRY(grammar(why, "root crl", sm_crl_read(c->root_crl, &out->root)));
    return grammar(why, "pck crl", sm_crl_read(c->pck_crl, &out->pck));
}

static bool subject_is(const struct sm_cert *c, const char *want)
{
    char cn[SM_CN_MAX];
    return sm_cert_subject_cn(c, cn) == SM_OK && strcmp(cn, want) == 0;
}

static enum sm_err chain_name(struct sm_reasons *why, const char *field, bool is_good,
                              const char *want)
{
    if (is_good) {
        return SM_OK;
    }
    sm_reasons_add(why, SM_REASON_CHAIN, field, "other certificates", want);
    return SM_E_CRYPTO;
}

/* PCK -> platform or processor CA -> root; all but the root covered by a list. */
static enum sm_err pck_chain_check(const struct sm_chain *chain, const struct crls *crls,
                                   const struct sm_makers *trust, struct sm_wall now,
                                   struct sm_wall *not_after, struct sm_reasons *why)
{
    const struct sm_crl *lists[] = {crls->root, crls->pck};
    struct sm_chain_rules rules = {
        .is_strict = true, .skew_s = SKEW_S, .needs_crl = 3, .cache = trust->cache};
    SM_TRY(chain_name(why, "pck chain",
                      chain->n == 3 && subject_is(chain->c[0], "Intel SGX PCK Certificate") &&
                          (subject_is(chain->c[1], "Intel SGX PCK Platform CA") ||
                           subject_is(chain->c[1], "Intel SGX PCK Processor CA")),
                      "PCK, its CA, root"));
    return sm_chain_verify(chain, trust->root[SM_ROOT_INTEL_SGX], lists, SM_COUNT(lists),
                           &rules, now, not_after, why);
}

/* TCB signing -> root. */
static enum sm_err tcb_chain_check(const struct sm_chain *chain, const struct crls *crls,
                                   const struct sm_makers *trust, struct sm_wall now,
                                   struct sm_wall *not_after, struct sm_reasons *why)
{
    const struct sm_crl *lists[] = {crls->root};
    struct sm_chain_rules rules = {
        .is_strict = true, .skew_s = SKEW_S, .needs_crl = 1, .cache = trust->cache};
    SM_TRY(chain_name(why, "tcb signing chain",
                      chain->n == 2 && subject_is(chain->c[0], "Intel SGX TCB Signing"),
                      "TCB signing, root"));
    return sm_chain_verify(chain, trust->root[SM_ROOT_INTEL_SGX], lists, SM_COUNT(lists),
                           &rules, now, not_after, why);
}

/* -- signatures -------------------------------------------------------------------------- */

static enum sm_err p256_verify(const struct sm_pub *key, struct sm_view msg, struct sm_view sig)
{
    if (sig.n != 64 || !sm_pub_is_curve(key, SM_P256)) {
        return SM_E_CRYPTO;
    }
    return sm_pub_verify(key, SM_DIGEST_SHA256, msg, sig);
}

static enum sm_err cert_verify(const struct sm_cert *c, struct sm_view msg, struct sm_view sig)
{
    struct sm_pub *key = NULL;
    enum sm_err e = sm_pub_of_cert(c, &key);
    if (e == SM_OK) {
        e = p256_verify(key, msg, sig);
    }
    sm_pub_free(key);
    return e;
}

static enum sm_err told(struct sm_reasons *why, enum sm_err e, enum sm_reason_code code,
                        const char *field, const char *want)
{
    if (e != SM_OK) {
        sm_reasons_add(why, code, field, "wrong", want);
    }
    return e;
}

/* The report's data is the hash of the attestation key and what else the QE was given. */
static enum sm_err qe_binding(const struct sm_quote *q)
{
    uint8_t both[64 + UINT16_MAX], want[64] = {0};
    struct sm_wr w = sm_wr_init(both, sizeof both);
    struct sm_view bytes;
    sm_wr_view(&w, q->key);
    sm_wr_view(&w, q->qe_auth);
    SM_TRY(sm_wr_done(&w, &bytes));
    sm_digest(SM_DIGEST_SHA256, bytes, want);
    return memcmp(want, q->qe.report_data, sizeof want) == 0 ? SM_OK : SM_E_CRYPTO;
}

static enum sm_err quote_signature(const struct sm_quote *q)
{
    struct sm_pub *key = NULL;
    enum sm_err e = sm_pub_of_point(SM_P256, q->key, &key);
    if (e == SM_OK) {
        e = p256_verify(key, q->body, q->sig);
    }
    sm_pub_free(key);
    return e;
}

static enum sm_err quote_check(const struct sm_quote *q, const struct sm_cert *pck,
                               struct sm_reasons *why)
{
    enum sm_err e = told(why, cert_verify(pck, q->qe_bytes, q->qe_sig), SM_REASON_QE_SIGNATURE,
                         "qe signature", "by the PCK");
    keep(&e, told(why, qe_binding(q), SM_REASON_BINDING, "qe report data",
                  "of the attestation key"));
    keep(&e, told(why, quote_signature(q), SM_REASON_SIGNATURE, "quote signature",
                  "by the attestation key"));
    return e;
}

/* -- documents --------------------------------------------------------------------------- */

static void sooner(struct sm_wall *a, struct sm_wall b)
{
    a->s = b.s < a->s ? b.s : a->s;
}

/* Signed by the one TCB signing certificate of its own chain.  Nothing is parsed before. */
static enum sm_err signed_check(const struct sm_dcap_signed *doc, struct sm_view pem,
                                const char *field, const struct crls *crls,
                                const struct sm_makers *trust, struct sm_wall now,
                                struct sm_wall *not_after, struct sm_reasons *why)
{
    struct sm_chain chain = {0};
    struct sm_wall ends = {0};
    if (doc->json.n > SM_DCAP_JSON_MAX) {
        return grammar(why, field, SM_E_LIMIT);
    }
    enum sm_err e = grammar(why, "tcb signing chain", sm_chain_add(&chain, pem));
    if (e == SM_OK) {
        e = tcb_chain_check(&chain, crls, trust, now, &ends, why);
    }
    if (e == SM_OK) {
        e = told(why, cert_verify(chain.c[0], doc->json, doc->sig), SM_REASON_COLLATERAL, field,
                 "signed by TCB signing");
    }
    sm_chain_done(&chain);
    if (e == SM_OK) {
        sooner(not_after, ends);
    }
    return e;
}

static enum sm_err head_check(const struct sm_dcap_head *h, const char *field, bool is_tdx,
                              struct sm_wall now, struct sm_wall *not_after,
                              struct sm_reasons *why)
{
    enum sm_err e = SM_OK;
    if (h->is_tdx != is_tdx) {
        sm_reasons_add(why, SM_REASON_COLLATERAL, field, h->is_tdx ? "TDX" : "SGX",
                       is_tdx ? "TDX" : "SGX");
        e = SM_E_REFUSED;
    }
    if (now.s + SKEW_S < h->issued.s || now.s > h->next_update.s) {
        sm_reasons_add_u64(why, SM_REASON_COLLATERAL, field, now.s,
                           now.s > h->next_update.s ? "<=" : ">=",
                           now.s > h->next_update.s ? h->next_update.s : h->issued.s);
        keep(&e, SM_E_EXPIRED);
    }
    sooner(not_after, h->next_update);
    return e;
}

struct documents {
    struct sm_tcb_info info;
    struct sm_qe_identity qe;
};

static enum sm_err documents_check(const struct sm_dcap_collateral *c, const struct crls *crls,
                                   const struct sm_makers *trust, bool is_tdx,
                                   struct sm_wall now, struct documents *out,
                                   struct sm_wall *not_after, struct sm_reasons *why)
{
    enum sm_err e = signed_check(&c->tcb_info, c->tcb_info_chain, "tcb info", crls, trust, now,
                                 not_after, why);
    keep(&e, signed_check(&c->qe_identity, c->qe_identity_chain, "qe identity", crls, trust,
                          now, not_after, why));
    SM_TRY(e);
    SM_TRY(grammar(why, "tcb info", sm_tcb_info_read(c->tcb_info.json, &out->info)));
    SM_TRY(grammar(why, "qe identity", sm_qe_identity_read(c->qe_identity.json, &out->qe)));
    keep(&e, head_check(&out->info.head, "tcb info", is_tdx, now, not_after, why));
    keep(&e, head_check(&out->qe.head, "qe identity", is_tdx, now, not_after, why));
    return e;
}

/* -- the platform ------------------------------------------------------------------------ */

static enum sm_err pck_of_cert(const struct sm_cert *c, struct sm_pck *out,
                               struct sm_reasons *why)
{
    struct sm_view ext;
    enum sm_err e = sm_cert_ext(c, pck_extension, &ext);
    if (e == SM_OK) {
        e = sm_pck_read(ext, out);
    }
    return grammar(why, "pck extension", e);
}

static enum sm_err same_platform(const struct sm_tcb_info *info, const struct sm_pck *pck,
                                 struct sm_reasons *why)
{
    enum sm_err e = SM_OK;
    if (memcmp(info->fmspc, pck->fmspc, sizeof pck->fmspc) != 0) {
        sm_reasons_add_hex(why, SM_REASON_COLLATERAL, "fmspc", sm_view_of(info->fmspc, 6),
                           sm_view_of(pck->fmspc, 6));
        e = SM_E_REFUSED;
    }
    if (memcmp(info->pceid, pck->pceid, sizeof pck->pceid) != 0) {
        sm_reasons_add_hex(why, SM_REASON_COLLATERAL, "pceid", sm_view_of(info->pceid, 2),
                           sm_view_of(pck->pceid, 2));
        e = SM_E_REFUSED;
    }
    return e;
}

static enum sm_err td_check(const struct sm_quote *q, struct sm_reasons *why)
{
    if (q->is_tdx && (q->td.attributes & SM_TD_RESERVED) != 0) {
        sm_reasons_add_u64(why, SM_REASON_RESERVED, "td attributes", q->td.attributes, "no",
                           SM_TD_RESERVED);
        return SM_E_REFUSED;
    }
    return SM_OK;
}

/* Nobody signed what is behind a quote; zeros are what is left of a buffer. */
static enum sm_err trailing_check(const struct sm_quote *q, struct sm_reasons *why)
{
    if (q->is_trailing_zero) {
        return SM_OK;
    }
    sm_reasons_add(why, SM_REASON_RESERVED, "behind the quote", "other bytes", "zeros");
    return SM_E_MALFORMED;
}

/* -- claims ------------------------------------------------------------------------------ */

static void copy(uint8_t *to, uint8_t *to_n, const uint8_t *from, uint8_t n)
{
    memcpy(to, from, n);
    *to_n = n;
}

static void claim_td(const struct sm_td_report *td, struct sm_claims *c)
{
    c->platform = SM_PLATFORM_TDX;
    copy(c->measurement, &c->measurement_n, td->mrtd, 48);
    copy(c->report_data, &c->report_data_n, td->report_data, 64);
    copy(c->host_data, &c->host_data_n, td->mrconfigid, 48);
    c->reg_n = 48;
    for (unsigned i = 0; i < 4; i++) {
        memcpy(c->regs[i], td->rtmr[i], 48);
        c->regs_mask |= 1u << i;
    }
    c->is_debug = (td->attributes & SM_TD_DEBUG) != 0;
    c->tdx.attributes = td->attributes;
    c->tdx.xfam = td->xfam;
    c->tdx.is_sept_ve_disabled = (td->attributes & SM_TD_SEPT_VE_DISABLE) != 0;
    memcpy(c->tdx.mrowner, td->mrowner, 48);
    memcpy(c->tdx.mrownerconfig, td->mrownerconfig, 48);
    memcpy(c->tdx.mrservicetd, td->mrservicetd, 48);
    memcpy(c->tcb_parts, td->tee_tcb_svn, 16);
}

static void claim_sgx(const struct sm_sgx_report *sgx, struct sm_claims *c)
{
    c->platform = SM_PLATFORM_SGX;
    copy(c->measurement, &c->measurement_n, sgx->mrenclave, 32);
    copy(c->signer, &c->signer_n, sgx->mrsigner, 32);
    copy(c->report_data, &c->report_data_n, sgx->report_data, 64);
    copy(c->host_data, &c->host_data_n, sgx->configid, 64);
    c->is_debug = (sgx->attributes[0] & SM_SGX_DEBUG) != 0;
    c->svn = sgx->isvsvn;
    memcpy(c->tcb_parts, sgx->cpusvn, 16);
}

static void claim(const struct sm_quote *q, const struct sm_pck *pck,
                  const struct documents *docs, const struct sm_tcb *tcb,
                  struct sm_wall not_after, struct sm_claims *out)
{
    struct sm_claims c = {.profile = (uint8_t)q->version, .is_hw_rooted = true};
    if (q->is_tdx) {
        claim_td(&q->td, &c);
    } else {
        claim_sgx(&q->sgx, &c);
    }
    c.tdx.trailing = (uint16_t)q->trailing;
    copy(c.platform_id, &c.platform_id_n, pck->ppid, sizeof pck->ppid);
    c.not_after = not_after;
    c.has_crl = true; /* nothing passes without both lists */
    c.tcb = tcb->status;
    c.tcb_date = tcb->date;
    c.tcb_eval =
        docs->info.head.eval < docs->qe.head.eval ? docs->info.head.eval : docs->qe.head.eval;
    c.n_advisories = tcb->n_advisories;
    memcpy(c.advisories, tcb->advisories, sizeof c.advisories);
    *out = c;
}

/* -- the whole --------------------------------------------------------------------------- */

/* SPEC QVL 4.1.2.4, steps in its order where one does not hang on another. */
static enum sm_err verify(const struct sm_quote *q, const struct sm_chain *chain,
                          const struct crls *crls, const struct sm_dcap_collateral *collateral,
                          const struct sm_makers *trust, struct sm_wall now,
                          struct sm_claims *out, struct sm_reasons *why)
{
    struct documents docs;
    struct sm_pck pck;
    struct sm_tcb qe, tcb;
    struct sm_wall not_after = {UINT64_MAX}, ends = {0};
    enum sm_err e = pck_chain_check(chain, crls, trust, now, &ends, why);
    enum sm_err trailing_e = trailing_check(q, why);
    sooner(&not_after, ends);
    keep(&e, documents_check(collateral, crls, trust, q->is_tdx, now, &docs, &not_after, why));
    if (chain->n > 0) {
        keep(&e, quote_check(q, chain->c[0], why));
    }
    keep(&e, td_check(q, why));
    SM_TRY(e);
    SM_TRY(pck_of_cert(chain->c[0], &pck, why));
    SM_TRY(same_platform(&docs.info, &pck, why));
    SM_TRY(sm_qe_identity_check(&docs.qe, &q->qe, &qe, why));
    SM_TRY(sm_tcb_evaluate(&docs.info, &pck, q, &qe, &tcb, why));
    SM_TRY(trailing_e);
    claim(q, &pck, &docs, &tcb, not_after, out);
    return SM_OK;
}

enum sm_err sm_dcap_verify(struct sm_view quote, const struct sm_dcap_collateral *collateral,
                           const struct sm_makers *trust, struct sm_wall now,
                           struct sm_claims *out, struct sm_reasons *why)
{
    struct sm_quote q;
    struct sm_chain chain = {0};
    struct crls crls = {0};
    SM_TRY(grammar(why, "quote", sm_quote_read(quote, &q)));
    enum sm_err e = grammar(why, "pck chain", sm_chain_add(&chain, q.pck_chain));
    if (e == SM_OK) {
        e = crls_read(collateral, &crls, why);
    }
    if (e == SM_OK) {
        e = verify(&q, &chain, &crls, collateral, trust, now, out, why);
    }
    crls_done(&crls);
    sm_chain_done(&chain);
    return e;
}
